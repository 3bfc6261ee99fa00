/* SPDX-License-Identifier: Apache-2.0 */
/* What a path is on both sides of rafs diff. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "diff.h"

/* The value of an attribute for a line: short ones in hex, long ones by their digest. */
static void value_text(const char *value, size_t len, char out[80])
{
    uint8_t digest[RAFS_DIGEST_BYTES];
    const uint8_t *bytes = (const uint8_t *)value;
    size_t at = 0;

    if (len > sizeof digest) {
        if (rafs_digest_bytes(RAFS_DIGEST_SHA256, value, len, digest) < 0)
            memset(digest, 0, sizeof digest);
        at = (size_t)snprintf(out, 80, "sha256:");
        bytes = digest;
        len = sizeof digest;
    } else {
        at = (size_t)snprintf(out, 80, "0x");
    }
    for (size_t i = 0; i < len; i++)
        snprintf(out + at + 2 * i, 3, "%02x", bytes[i]);
}

static void number_change(struct changes *changes, const char *what, const char *format,
                          uint64_t from, uint64_t to)
{
    char a[32], b[32];

    if (from == to)
        return;
    snprintf(a, sizeof a, "%" PRIu64, from);
    snprintf(b, sizeof b, "%" PRIu64, to);
    if (strcmp(format, "octal") == 0) {
        snprintf(a, sizeof a, "%" PRIo64, from);
        snprintf(b, sizeof b, "%" PRIo64, to);
    }
    changes_add(changes, what, a, b);
}

static void time_change(struct changes *changes, const rafs_attr *old,
                        const rafs_attr *new)
{
    char a[64], b[64];
    size_t len;
    /* A tar may not have them. */
    bool fractions = old->mtime_nsec && new->mtime_nsec;

    if (old->mtime_sec == new->mtime_sec &&
        (!fractions || old->mtime_nsec == new->mtime_nsec))
        return;
    time_string(old->mtime_sec, a, sizeof a);
    time_string(new->mtime_sec, b, sizeof b);
    if (old->mtime_sec == new->mtime_sec) {
        len = strlen(a);
        snprintf(a + len, sizeof a - len, ".%09" PRIu32, old->mtime_nsec);
        len = strlen(b);
        snprintf(b + len, sizeof b - len, ".%09" PRIu32, new->mtime_nsec);
    }
    changes_add(changes, "mtime", a, b);
}

static void attr_changes(struct differ *d, struct changes *changes, const rafs_attr *old,
                         const rafs_attr *new, bool root)
{
    if (!(d->ignore & DIFF_MODE))
        number_change(changes, "mode", "octal", old->mode & 07777, new->mode & 07777);
    if (!(d->ignore & DIFF_OWNER)) {
        number_change(changes, "uid", "", old->uid, new->uid);
        number_change(changes, "gid", "", old->gid, new->gid);
    }
    if (!(d->ignore & DIFF_MTIME) && !root)
        time_change(changes, old, new);
    if (S_ISCHR(old->mode) || S_ISBLK(old->mode)) {
        number_change(changes, "rdev major", "", old->rdev_major, new->rdev_major);
        number_change(changes, "rdev minor", "", old->rdev_minor, new->rdev_minor);
    }
}

static bool target_change(struct differ *d, struct changes *changes,
                          const struct tree_entry *old, const struct tree_entry *new,
                          rafs_error *err)
{
    size_t len = 0;
    char *a = read_target(d->old.c->image, old->ino, &len, err);
    char *b = a ? read_target(d->new.c->image, new->ino, &len, err) : NULL;
    bool good = b != NULL;

    if (good && strcmp(a, b) != 0)
        changes_add(changes, "target", a, b);
    free(a);
    free(b);
    return good;
}

/* One attribute that one of them has or both have. */
static bool xattr_change(struct differ *d, struct changes *changes, const char *name,
                         const struct tree_entry *old, const struct tree_entry *new,
                         rafs_error *err)
{
    size_t len_a = 0, len_b = 0;
    char *a = old ? read_xattr(d->old.c->image, old->ino, name, &len_a, err) : NULL;
    char *b = new ? read_xattr(d->new.c->image, new->ino, name, &len_b, err) : NULL;
    char from[80], to[80], what[RAFS_XATTR_NAME_MAX + 8];
    bool good = (!old || a) && (!new || b);

    if (good && !(a && b && len_a == len_b && memcmp(a, b, len_a) == 0)) {
        if (a)
            value_text(a, len_a, from);
        if (b)
            value_text(b, len_b, to);
        snprintf(what, sizeof what, "xattr %s", name);
        changes_add(changes, what, a ? from : NULL, b ? to : NULL);
    }
    free(a);
    free(b);
    return good;
}

static bool xattr_changes(struct differ *d, struct changes *changes,
                          const struct tree_entry *old, const struct tree_entry *new,
                          rafs_error *err)
{
    size_t count = 0, i = 0, j = 0;
    char **a = read_xattr_names(d->old.c->image, old->ino, &count, err);
    char **b = a ? read_xattr_names(d->new.c->image, new->ino, &count, err) : NULL;
    bool good = b != NULL;

    while (good && (a[i] || b[j])) {
        int which = !a[i] ? 1 : !b[j] ? -1 : strcmp(a[i], b[j]);

        good = xattr_change(d, changes, which <= 0 ? a[i] : b[j], which <= 0 ? old : NULL,
                            which >= 0 ? new : NULL, err);
        i += which <= 0;
        j += which >= 0;
    }
    free(a);
    free(b);
    return good;
}

/* The first path of the same inode; the path itself if it is the first. NULL: no memory.
 */
static const char *first_name(struct side *side, const struct tree_entry *entry)
{
    struct link_group *group;

    if (S_ISDIR(entry->attr.mode) || entry->attr.nlink < 2)
        return entry->path;
    group = links_find(&side->links, entry->ino, entry->path, entry->path_len);
    return group ? group->path : NULL;
}

static bool link_change(struct differ *d, struct changes *changes,
                        const struct tree_entry *old, const struct tree_entry *new,
                        rafs_error *err)
{
    const char *a = first_name(&d->old, old), *b = first_name(&d->new, new);

    if (!a || !b) {
        rafs_error_set(err, RAFS_E_NOMEM, 0, NULL, "out of memory");
        return false;
    }
    if (strcmp(a, b) != 0)
        changes_add(changes, "link to", strcmp(a, old->path) == 0 ? NULL : a,
                    strcmp(b, new->path) == 0 ? NULL : b);
    else if (!S_ISDIR(old->attr.mode))
        number_change(changes, "links", "", old->attr.nlink, new->attr.nlink);
    return true;
}

static bool file_change(struct differ *d, struct changes *changes,
                        const struct tree_entry *old, const struct tree_entry *new,
                        rafs_error *err)
{
    bool same = true;

    number_change(changes, "size", "", old->attr.size, new->attr.size);
    if (old->attr.size != new->attr.size || (d->ignore & DIFF_CONTENT))
        return true;
    if (!diff_content(d, old, new, &same, err))
        return false;
    if (!same)
        changes_add(changes, "content", NULL, NULL);
    return true;
}

bool diff_entry(struct differ *d, const struct tree_entry *old,
                const struct tree_entry *new)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct changes changes;
    bool good = true;

    changes_begin(&changes, d, old->path, old->path_len);
    if ((old->attr.mode & S_IFMT) != (new->attr.mode &S_IFMT)) {
        changes_add(&changes, "type", type_name(old->attr.mode),
                    type_name(new->attr.mode));
        changes_end(&changes);
        return true;
    }
    attr_changes(d, &changes, &old->attr, &new->attr, old->path_len == 1);
    if (S_ISLNK(old->attr.mode))
        good = target_change(d, &changes, old, new, &err);
    if (good && S_ISREG(old->attr.mode))
        good = file_change(d, &changes, old, new, &err);
    if (good && !(d->ignore & DIFF_XATTR))
        good = xattr_changes(d, &changes, old, new, &err);
    if (good && !(d->ignore & DIFF_LINKS))
        good = link_change(d, &changes, old, new, &err);
    changes_end(&changes);
    if (!good)
        command_failed(d->c, old->path, &err);
    return good;
}
