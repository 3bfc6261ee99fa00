/* SPDX-License-Identifier: Apache-2.0 */

/* Names and attributes of a directory source. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "build/source_dir.h"

/* Names in one block of memory that grows. */
struct names {
    const struct rafsi_env *env;
    char *text;
    size_t len, room, count;
};

static int add_name(struct names *names, const char *name, rafs_error *err)
{
    size_t len = strlen(name) + 1;

    if (names->len + len > names->room) {
        size_t room = names->room ? names->room * 2 : 4096;
        char *text = rafsi_alloc(names->env, room);

        if (!text)
            return rafsi_fail_nomem(err, room);
        if (names->len)
            memcpy(text, names->text, names->len);
        rafsi_free(names->env, names->text);
        names->text = text;
        names->room = room;
    }
    memcpy(names->text + names->len, name, len);
    names->len += len;
    names->count++;
    return RAFS_OK;
}

static int read_names(struct names *names, DIR *dir, const char *path, rafs_error *err)
{
    int rc = RAFS_OK;

    for (;;) {
        struct dirent *entry;

        errno = 0;
        entry = readdir(dir);
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        rc = add_name(names, entry->d_name, err);
        if (rc < 0)
            return rc;
    }
    if (errno != 0)
        return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, errno, path,
                             "the directory cannot be listed");
    return rc;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int make_level(const struct names *names, int fd, struct dir_level **out,
                      rafs_error *err)
{
    size_t pointers = names->count * sizeof(char *);
    struct dir_level *level =
        rafsi_alloc(names->env, sizeof(*level) + pointers + names->len);
    char *text;

    if (!level)
        return rafsi_fail_nomem(err, sizeof(*level) + pointers + names->len);
    memset(level, 0, sizeof(*level));
    level->fd = fd;
    level->count = names->count;
    text = (char *)level + sizeof(*level) + pointers;
    if (names->len)
        memcpy(text, names->text, names->len);
    for (size_t i = 0; i < names->count; i++) {
        level->names[i] = text;
        text += strlen(text) + 1;
    }
    qsort(level->names, level->count, sizeof(*level->names), by_bytes);
    *out = level;
    return RAFS_OK;
}

int rafsi_level_read(struct dir_walk *walk, int fd, struct dir_level **out,
                     rafs_error *err)
{
    struct names names = {.env = walk->env};
    const char *path = walk->path_len ? walk->path : walk->root;
    /* readdir() gets a descriptor of its own, for its position is shared with copies. */
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    int rc;

    if (!dir) {
        rc = rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, errno, path,
                           "the directory cannot be listed");
        if (own >= 0)
            close(own);
        return rc;
    }
    rc = read_names(&names, dir, path, err);
    closedir(dir);
    if (rc == RAFS_OK)
        rc = make_level(&names, fd, out, err);
    rafsi_free(walk->env, names.text);
    return rc;
}

/* Open a directory from the root down, a component at a time. */
int rafsi_dir_reopen(struct dir_walk *walk, struct dir_level *level, rafs_error *err)
{
    const char *at = walk->path, *end = walk->path + level->path_len;
    char name[RAFS_NAME_MAX + 1];
    int fd = fcntl(walk->root_fd, F_DUPFD_CLOEXEC, 3);

    while (fd >= 0 && at < end) {
        const char *slash = memchr(at + 1, '/', (size_t)(end - at - 1));
        size_t len = (size_t)((slash ? slash : end) - at - 1);
        int below;

        memcpy(name, at + 1, len);
        name[len] = '\0';
        below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(fd);
        fd = below;
        at += len + 1;
    }
    if (fd < 0)
        return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, errno, walk->path,
                             "its directory cannot be opened again");
    level->fd = fd;
    return RAFS_OK;
}

static int grow_text(struct dir_walk *walk, size_t room, size_t keep, rafs_error *err)
{
    char *text;

    if (room <= walk->xattr_room)
        return RAFS_OK;
    room = room < 1024 ? 1024 : room * 2;
    text = rafsi_alloc(walk->env, room);
    if (!text)
        return rafsi_fail_nomem(err, room);
    if (keep)
        memcpy(text, walk->xattr_text, keep);
    rafsi_free(walk->env, walk->xattr_text);
    walk->xattr_text = text;
    walk->xattr_room = room;
    return RAFS_OK;
}

/* The path that attributes are asked by: there is no call that takes a directory and a
 * name. A path that is too long for the kernel goes through /proc. */
static const char *asked_by(struct dir_walk *walk, int dir, const char *name, char *room,
                            size_t size)
{
    if (strlen(walk->root) + walk->path_len + 1 < size && strcmp(name, ".") != 0)
        snprintf(room, size, "%s%s", walk->root, walk->path);
    else if (strcmp(name, ".") == 0)
        snprintf(room, size, "%s/.", walk->root);
    else
        snprintf(room, size, "/proc/self/fd/%d/%s", dir, name);
    return room;
}

static int fail_xattr(struct dir_walk *walk, const char *name, rafs_error *err)
{
    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, errno,
                         walk->path_len ? walk->path : walk->root,
                         "its attribute%s%.100s cannot be read", *name ? " " : "s", name);
}

/* The list of names at the start of the text; *len bytes. */
static int list(struct dir_walk *walk, const char *path, size_t *len, rafs_error *err)
{
    int rc = grow_text(walk, 1, 0, err);

    while (rc == RAFS_OK) {
        ssize_t got = llistxattr(path, walk->xattr_text, walk->xattr_room);

        if (got >= 0) {
            *len = (size_t)got;
            return RAFS_OK;
        }
        if (errno == ENOTSUP || errno == ENODATA) {
            *len = 0;
            return RAFS_OK;
        }
        if (errno != ERANGE || walk->xattr_room > 1 << 20)
            return fail_xattr(walk, "", err);
        rc = grow_text(walk, walk->xattr_room + 1, 0, err);
    }
    return rc;
}

/* The value of an attribute at `at` of the text; NULL of *len: it is gone meanwhile. */
static int value(struct dir_walk *walk, const char *path, size_t name_at, size_t at,
                 size_t *len, rafs_error *err)
{
    for (;;) {
        ssize_t got = lgetxattr(path, walk->xattr_text + name_at, walk->xattr_text + at,
                                walk->xattr_room - at);
        int rc;

        if (got >= 0 && (got > 0 || walk->xattr_room > at)) {
            *len = (size_t)got;
            return RAFS_OK;
        }
        if (got < 0 && errno != ERANGE)
            return fail_xattr(walk, walk->xattr_text + name_at, err);
        rc = grow_text(walk, at + 65536 + 1, at, err);
        if (rc < 0)
            return rc;
    }
}

int rafsi_dir_xattrs(struct dir_walk *walk, int dir, const char *name,
                     struct build_inode *inode, rafs_error *err)
{
    char room[4096];
    const char *path = asked_by(walk, dir, name, room, sizeof(room));
    size_t names = 0, at;
    uint32_t count = 0;
    int rc = list(walk, path, &names, err);

    if (rc < 0 || names == 0)
        return rc;
    for (size_t i = 0; i < names; i += strlen(walk->xattr_text + i) + 1)
        count++;
    if (count > walk->xattrs_room) {
        rafsi_free(walk->env, walk->xattrs);
        walk->xattrs_room = 0;
        walk->xattrs = rafsi_alloc(walk->env, count * sizeof(*walk->xattrs));
        if (!walk->xattrs)
            return rafsi_fail_nomem(err, count * sizeof(*walk->xattrs));
        walk->xattrs_room = count;
    }
    /* The text moves while it grows: offsets first, then pointers. */
    at = names;
    count = 0;
    for (size_t i = 0; i < names; i += strlen(walk->xattr_text + i) + 1, count++) {
        size_t len = 0;

        rc = value(walk, path, i, at, &len, err);
        if (rc < 0)
            return rc;
        walk->xattrs[count].value_len = (uint32_t)len;
        at += len;
    }
    at = names;
    count = 0;
    for (size_t i = 0; i < names; i += strlen(walk->xattr_text + i) + 1, count++) {
        struct build_xattr *xattr = &walk->xattrs[count];

        xattr->name = walk->xattr_text + i;
        xattr->name_len = (uint32_t)strlen(xattr->name);
        xattr->value = (const uint8_t *)walk->xattr_text + at;
        at += xattr->value_len;
    }
    inode->xattrs = walk->xattrs;
    inode->xattr_count = count;
    return RAFS_OK;
}

static size_t place(const struct dir_links *links, uint64_t device, uint64_t number)
{
    uint64_t hash = (number ^ device << 32 ^ device) * UINT64_C(0x9e3779b97f4a7c15);
    size_t i = (size_t)(hash >> 20) & (links->room - 1);

    while (links->at[i].inode &&
           (links->at[i].device != device || links->at[i].number != number))
        i = (i + 1) & (links->room - 1);
    return i;
}

struct build_inode *rafsi_dir_links_find(const struct dir_links *links, uint64_t device,
                                         uint64_t number)
{
    return links->room ? links->at[place(links, device, number)].inode : NULL;
}

int rafsi_dir_links_add(struct dir_links *links, const struct rafsi_env *env,
                        uint64_t device, uint64_t number, struct build_inode *inode,
                        rafs_error *err)
{
    if (links->count * 2 >= links->room) {
        struct dir_links grown = {.room = links->room ? links->room * 2 : 64,
                                  .count = links->count};

        grown.at = rafsi_alloc_zero(env, grown.room * sizeof(*grown.at));
        if (!grown.at)
            return rafsi_fail_nomem(err, grown.room * sizeof(*grown.at));
        for (size_t i = 0; i < links->room; i++)
            if (links->at[i].inode)
                grown.at[place(&grown, links->at[i].device, links->at[i].number)] =
                    links->at[i];
        rafsi_free(env, links->at);
        *links = grown;
    }
    links->at[place(links, device, number)] =
        (struct dir_link){.device = device, .number = number, .inode = inode};
    links->count++;
    return RAFS_OK;
}

void rafsi_dir_links_free(struct dir_links *links, const struct rafsi_env *env)
{
    rafsi_free(env, links->at);
}
