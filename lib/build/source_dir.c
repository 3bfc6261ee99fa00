/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A directory of this machine. First all names and attributes, then content: so the total
 * is known early, and files of the prefetch list can come first. Both in the order of
 * `tar --sort=name`: a directory, then what is in it by name, each with what is below it.
 *
 * Nothing is followed: every directory is opened from the one above it, and every file
 * from its directory, without symbolic links. A file is compared when it is opened with
 * what was seen of it first.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "build/source_dir.h"

static int fail_path(struct dir_walk *walk, int os_errno, const char *what,
                     rafs_error *err)
{
    char reason[128];

    rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, os_errno, NULL, "%s: %s", what,
                  strerror_r(os_errno, reason, sizeof(reason)));
    return rafsi_fail_object(err, RAFS_E_BACKEND, "path %.180s",
                             walk->path_len ? walk->path : walk->root);
}

/* The path of what is in a directory whose path is at_len long. */
static int set_path(struct dir_walk *walk, size_t at_len, const char *name,
                    rafs_error *err)
{
    size_t len = strlen(name);

    if (at_len + len + 2 > walk->path_room) {
        size_t room = (at_len + len + 2) * 2;
        char *path = rafsi_alloc(walk->env, room);

        if (!path)
            return rafsi_fail_nomem(err, room);
        if (walk->path)
            memcpy(path, walk->path, walk->path_len + 1);
        rafsi_free(walk->env, walk->path);
        walk->path = path;
        walk->path_room = room;
    }
    if (len) {
        walk->path[at_len] = '/';
        memcpy(walk->path + at_len + 1, name, len);
        at_len += len + 1;
    }
    walk->path[at_len] = '\0';
    walk->path_len = at_len;
    return RAFS_OK;
}

static int read_target(struct dir_walk *walk, int dir, const char *name,
                       struct build_inode *inode, rafs_error *err)
{
    ssize_t len = readlinkat(dir, name, walk->target, sizeof(walk->target));

    if (len < 0)
        return fail_path(walk, errno, "its target cannot be read", err);
    if (len == 0 || (size_t)len >= sizeof(walk->target))
        return fail_path(walk, ENAMETOOLONG, "its target cannot be read", err);
    walk->target[len] = '\0';
    inode->target = walk->target;
    inode->size = (uint64_t)len;
    return RAFS_OK;
}

static void take_stat(const struct stat *st, struct build_inode *inode)
{
    inode->mode = st->st_mode;
    inode->uid = st->st_uid;
    inode->gid = st->st_gid;
    inode->mtime_sec = st->st_mtim.tv_sec;
    inode->mtime_nsec = (uint32_t)st->st_mtim.tv_nsec;
    if (S_ISREG(st->st_mode))
        inode->size = (uint64_t)st->st_size;
    if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
        inode->rdev = (minor(st->st_rdev) & 0xff) | major(st->st_rdev) << 8 |
                      (minor(st->st_rdev) & ~0xffu) << 12;
}

/* Add what walk->path names, st being its attributes. *added: it is part of the image. */
static int add_name(struct dir_walk *walk, int dir, const char *name,
                    const struct stat *st, bool *added, rafs_error *err)
{
    struct layers_entry entry = {.path = walk->path, .path_len = walk->path_len};
    struct build_inode *inode = NULL;
    int rc = RAFS_OK;

    *added = false;
    if (rafsi_builder_excluded(walk->builder, walk->path, walk->path_len))
        return RAFS_OK;
    if (st->st_nlink > 1 && !S_ISDIR(st->st_mode) &&
        (inode = rafsi_dir_links_find(&walk->links, st->st_dev, st->st_ino)))
        return rafsi_layers_link_inode(walk->builder->layers, walk->path, walk->path_len,
                                       inode, err);
    take_stat(st, &entry.inode);
    if (S_ISLNK(st->st_mode))
        rc = read_target(walk, dir, name, &entry.inode, err);
    if (rc == RAFS_OK && !(walk->builder->options.flags & RAFS_BUILD_NO_XATTRS))
        rc = rafsi_dir_xattrs(walk, dir, name, &entry.inode, err);
    if (rc == RAFS_OK)
        rc = rafsi_builder_shape(walk->builder, &entry, added, err);
    if (rc == RAFS_OK && *added)
        rc = rafsi_layers_add(walk->builder->layers, &entry, &inode, err);
    if (rc < 0)
        return rc;
    *added = *added && inode;
    if (*added && st->st_nlink > 1 && !S_ISDIR(st->st_mode))
        rc = rafsi_dir_links_add(&walk->links, walk->env, st->st_dev, st->st_ino, inode,
                                 err);
    if (rc == RAFS_OK && *added && S_ISREG(st->st_mode) && st->st_size > 0) {
        walk->builder->bytes_total += (uint64_t)st->st_size;
        rc = rafsi_feed_add(walk, inode, st, err);
    }
    return rc;
}

/* Into the directory that walk->path names. */
static int push(struct dir_walk *walk, int fd, rafs_error *err)
{
    enum { OPEN_MAX_LEVELS = 64 };
    struct dir_level *level = NULL;
    int rc = rafsi_level_read(walk, fd, &level, err);

    if (rc < 0) {
        close(fd);
        return rc;
    }
    level->path_len = walk->path_len;
    level->up = walk->level;
    level->depth = walk->level ? walk->level->depth + 1 : 0;
    walk->level = level;
    /* Descriptors are few: what lies far above is opened again when it is come back to.
     */
    if (level->depth >= OPEN_MAX_LEVELS && level->up->fd >= 0) {
        close(level->up->fd);
        level->up->fd = -1;
    }
    return RAFS_OK;
}

static void pop(struct dir_walk *walk)
{
    struct dir_level *level = walk->level;

    walk->level = level->up;
    if (level->fd >= 0)
        close(level->fd);
    rafsi_free(walk->env, level);
}

static int step(struct dir_walk *walk, const char *name, rafs_error *err)
{
    struct dir_level *level = walk->level;
    struct stat st;
    bool added = false;
    int rc = set_path(walk, level->path_len, name, err);
    int fd;

    if (rc == RAFS_OK && level->fd < 0)
        rc = rafsi_dir_reopen(walk, level, err);
    if (rc < 0)
        return rc;
    if (fstatat(level->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return fail_path(walk, errno, "cannot be looked at", err);
    walk->builder->entries++;
    rc = add_name(walk, level->fd, name, &st, &added, err);
    if (rc < 0) {
        rafsi_fail_object(err, rc, "path %.180s", walk->path);
        return rafsi_builder_refuse(walk->builder, rc);
    }
    if (!added || !S_ISDIR(st.st_mode))
        return RAFS_OK;
    if ((walk->builder->options.flags & RAFS_BUILD_ONE_FILE_SYSTEM) &&
        st.st_dev != walk->device)
        return RAFS_OK;
    fd = openat(level->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? fail_path(walk, errno, "cannot be opened", err) : push(walk, fd, err);
}

static int walk_root(struct dir_walk *walk, rafs_error *err)
{
    struct stat st;
    bool added;
    int fd;
    int rc = set_path(walk, 0, "", err);

    if (rc < 0)
        return rc;
    walk->root_fd = open(walk->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (walk->root_fd < 0 || fstat(walk->root_fd, &st) != 0) {
        rc = fail_path(walk, errno, "cannot be opened as a directory", err);
        if (err && (err->os_errno == ENOTDIR || err->os_errno == ENOENT))
            return err->code = RAFS_E_BADARG;
        return rc;
    }
    walk->device = st.st_dev;
    walk->path[0] = '/';
    walk->path[1] = '\0';
    walk->path_len = 1;
    rc = add_name(walk, walk->root_fd, ".", &st, &added, err);
    walk->path_len = 0;
    walk->path[0] = '\0';
    fd = rc < 0 ? -1 : fcntl(walk->root_fd, F_DUPFD_CLOEXEC, 3);
    if (rc == RAFS_OK && fd < 0)
        rc = fail_path(walk, errno, "cannot be opened", err);
    return rc < 0 ? rc : push(walk, fd, err);
}

static int walk_all(struct dir_walk *walk, const rafs_call *call, rafs_error *err)
{
    int rc = walk_root(walk, err);

    while (rc == RAFS_OK && walk->level) {
        struct dir_level *level = walk->level;

        rc = rafsi_builder_tick(walk->builder, call, err);
        if (rc < 0)
            break;
        if (level->next == level->count)
            pop(walk);
        else
            rc = step(walk, level->names[level->next++], err);
    }
    return rc;
}

int rafsi_source_dir(rafs_builder *builder, const char *path, const rafs_call *call,
                     rafs_error *err)
{
    struct dir_walk walk = {
        .builder = builder, .env = &builder->image.env, .root = path, .root_fd = -1};
    int rc = walk_all(&walk, call, err);

    if (rc == RAFS_OK)
        rc = rafsi_feed_all(&walk, call, err);
    while (walk.level)
        pop(&walk);
    if (walk.root_fd >= 0)
        close(walk.root_fd);
    rafsi_feed_free(&walk);
    rafsi_dir_links_free(&walk.links, walk.env);
    rafsi_free(walk.env, walk.path);
    rafsi_free(walk.env, walk.xattr_text);
    rafsi_free(walk.env, walk.xattrs);
    return rc;
}
