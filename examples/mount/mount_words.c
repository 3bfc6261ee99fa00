/* SPDX-License-Identifier: Apache-2.0 */
/* -o of mount(8): what each word means to the kernel, to fuse, or to nobody. */
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "mount_words.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

enum kind {
    SET,    /* a flag */
    CLEAR,  /* a flag */
    KERNEL, /* handed to EROFS as it is */
    FUSE,   /* handed to fuse as it is */
    BOTH,
    NOTHING, /* for fstab and its readers, or what is so anyway */
    UIDS,
    GIDS,
    NEVER /* known, and cannot be */
};

/* A name that ends in '=' has a value; "x-" and the like are beginnings of names. */
static const struct word {
    const char *name;
    enum kind kind;
    unsigned long flag;
    const char *why;
} table[] = {
    {"ro", SET, MS_RDONLY, NULL},
    {"nodev", SET, MS_NODEV, NULL},
    {"dev", CLEAR, MS_NODEV, NULL},
    {"nosuid", SET, MS_NOSUID, NULL},
    {"suid", CLEAR, MS_NOSUID, NULL},
    {"noexec", SET, MS_NOEXEC, NULL},
    {"exec", CLEAR, MS_NOEXEC, NULL},
    {"nosymfollow", SET, MS_NOSYMFOLLOW, NULL},
    {"symfollow", CLEAR, MS_NOSYMFOLLOW, NULL},
    {"context=", BOTH, 0, NULL},
    {"fscontext=", BOTH, 0, NULL},
    {"defcontext=", BOTH, 0, NULL},
    {"rootcontext=", BOTH, 0, NULL},
    {"acl", NOTHING, 0, NULL},
    {"user_xattr", NOTHING, 0, NULL},
    {"noacl", KERNEL, 0, NULL},
    {"nouser_xattr", KERNEL, 0, NULL},
    /* A kernel mount looks at permissions anyway, and lets in whom they let in. */
    {"allow_other", FUSE, 0, NULL},
    {"allow_root", FUSE, 0, NULL},
    {"default_permissions", NOTHING, 0, NULL},
    {"max_read=", FUSE, 0, NULL},
    {"uidmap=", UIDS, 0, NULL},
    {"gidmap=", GIDS, 0, NULL},
    /* Nothing is written, so nothing has times of access or waits to be written. */
    {"atime", NOTHING, 0, NULL},
    {"noatime", NOTHING, 0, NULL},
    {"diratime", NOTHING, 0, NULL},
    {"nodiratime", NOTHING, 0, NULL},
    {"relatime", NOTHING, 0, NULL},
    {"norelatime", NOTHING, 0, NULL},
    {"strictatime", NOTHING, 0, NULL},
    {"nostrictatime", NOTHING, 0, NULL},
    {"lazytime", NOTHING, 0, NULL},
    {"nolazytime", NOTHING, 0, NULL},
    {"sync", NOTHING, 0, NULL},
    {"async", NOTHING, 0, NULL},
    {"dirsync", NOTHING, 0, NULL},
    {"iversion", NOTHING, 0, NULL},
    {"noiversion", NOTHING, 0, NULL},
    {"silent", NOTHING, 0, NULL},
    {"loud", NOTHING, 0, NULL},
    {"mand", NOTHING, 0, NULL},
    {"nomand", NOTHING, 0, NULL},
    {"defaults", NOTHING, 0, NULL},
    {"auto", NOTHING, 0, NULL},
    {"noauto", NOTHING, 0, NULL},
    {"nofail", NOTHING, 0, NULL},
    {"_netdev", NOTHING, 0, NULL},
    {"user", NOTHING, 0, NULL},
    {"user=", NOTHING, 0, NULL},
    {"users", NOTHING, 0, NULL},
    {"nouser", NOTHING, 0, NULL},
    {"nousers", NOTHING, 0, NULL},
    {"owner", NOTHING, 0, NULL},
    {"noowner", NOTHING, 0, NULL},
    {"group", NOTHING, 0, NULL},
    {"nogroup", NOTHING, 0, NULL},
    {"comment=", NOTHING, 0, NULL},
    {"X-mount.idmap=", NEVER, 0, "uidmap=INSIDE:OUTSIDE:COUNT and gidmap= do that"},
    {"x-", NOTHING, 0, NULL},
    {"X-", NOTHING, 0, NULL},
    {"rw", NEVER, 0,
     "an image cannot be written to; lay a writable one over it (overlay)"},
    {"remount", NEVER, 0, "unmount it and mount it again"},
    {"bind", NEVER, 0, "mount --bind does that with the mounted directory"},
    {"loop", NEVER, 0, "no loop device is needed"},
    {"uid=", NEVER, 0, "uidmap=INSIDE:OUTSIDE:COUNT shows owners as others"},
    {"gid=", NEVER, 0, "gidmap=INSIDE:OUTSIDE:COUNT shows groups as others"},
    {"device=", NEVER, 0, "devices follow from the image"},
};

static bool fits(const char *name, const char *word)
{
    size_t len = strlen(name);

    if (name[len - 1] == '=' || (len == 2 && name[1] == '-'))
        return strncmp(word, name, len) == 0;
    return strcmp(word, name) == 0;
}

static const struct word *find(const char *word)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (fits(table[i].name, word))
            return &table[i];
    return NULL;
}

/* `text` is long enough for all words of -o. */
static void add(char *text, const char *word)
{
    if (*text)
        strcat(text, ",");
    strcat(text, word);
}

/* INSIDE:OUTSIDE:COUNT[/INSIDE:OUTSIDE:COUNT]… as lines of /proc/PID/uid_map, where the
 * number in the image comes first. */
static char *map_of(const char *text)
{
    char *map = calloc(1, 2 * strlen(text) + 2);
    const char *at = text;
    uint64_t part[3];

    while (map && *at) {
        for (int i = 0; i < 3; i++) {
            size_t digits = strspn(at, "0123456789");

            part[i] = strtoull(at, NULL, 10);
            at += digits;
            if (digits == 0 || digits > 10 || part[i] > UINT32_MAX ||
                (i < 2 ? *at++ != ':' : *at && *at != '/')) {
                free(map);
                return NULL;
            }
        }
        if (part[2] == 0 || part[0] + part[2] - 1 >= UINT32_MAX ||
            part[1] + part[2] - 1 >= UINT32_MAX) {
            free(map);
            return NULL;
        }
        sprintf(map + strlen(map), "%u %u %u\n", (unsigned)part[0], (unsigned)part[1],
                (unsigned)part[2]);
        if (*at == '/' && *++at == '\0') {
            free(map);
            return NULL;
        }
    }
    return map;
}

static bool set_map(struct command *c, char **map, const char *word)
{
    free(*map);
    *map = map_of(strchr(word, '=') + 1);
    if (*map && **map)
        return true;
    command_usage(c, "-o %s: not INSIDE:OUTSIDE:COUNT[/INSIDE:OUTSIDE:COUNT]...", word);
    return false;
}

static bool unknown(struct command *c, const char *text)
{
    const char *names[sizeof table / sizeof *table];
    size_t count = sizeof table / sizeof *table;
    const char *nearest;
    char bare[64];

    for (size_t i = 0; i < count; i++)
        names[i] = table[i].name;
    /* The value stays unsaid: there may be a secret in it. */
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(text, "=") + !!strchr(text, '='),
             text);
    nearest = nearest_name(bare, names, count);
    if (nearest)
        command_usage(c, "-o %s: there is no such mount option; did you mean %s?", bare,
                      nearest);
    else
        command_usage(c,
                      "-o %s: there is no such mount option; those of rafs mount are "
                      "written rafs.NAME=VALUE",
                      bare);
    return false;
}

static bool take(struct command *c, struct mount_words *out, const char *text)
{
    const struct word *word = find(text);

    if (!word)
        return unknown(c, text);
    switch (word->kind) {
    case SET:
        out->flags |= word->flag;
        return true;
    case CLEAR:
        out->flags &= ~word->flag;
        return true;
    case KERNEL:
        add(out->kernel, text);
        return true;
    case FUSE:
        add(out->fuse, text);
        return true;
    case BOTH:
        add(out->kernel, text);
        add(out->fuse, text);
        return true;
    case UIDS:
        return set_map(c, &out->uid_map, text);
    case GIDS:
        return set_map(c, &out->gid_map, text);
    case NOTHING:
        return true;
    case NEVER:
        break;
    }
    command_usage(c, "-o %.*s: %s", (int)strcspn(text, "="), text, word->why);
    return false;
}

char *mount_word(char **rest)
{
    char *begin = *rest, *at = begin;
    bool quoted = false;

    if (!begin || !*begin)
        return NULL;
    /* context="system_u:object_r:tmp_t:s0:c127,c456" */
    for (; *at && (quoted || *at != ','); at++)
        quoted ^= *at == '"';
    *rest = *at ? at + 1 : at;
    *at = '\0';
    return begin;
}

bool mount_words_parse(struct command *c, struct mount_words *out, const char *text)
{
    char *copy = joined(text, "");
    char *rest = copy;
    char *word;
    bool good = copy != NULL;

    out->flags = MS_RDONLY;
    out->kernel = calloc(1, strlen(text) + 1);
    out->fuse = calloc(1, strlen(text) + 1);
    if (!copy || !out->kernel || !out->fuse) {
        command_say(c, EXIT_SOURCE, "out of memory");
        good = false;
    }
    while (good && (word = mount_word(&rest)) != NULL)
        good = *word == '\0' || take(c, out, word);
    free(copy);
    return good;
}

void mount_words_free(struct mount_words *words)
{
    free(words->kernel);
    free(words->fuse);
    free(words->uid_map);
    free(words->gid_map);
    *words = (struct mount_words){0};
}
