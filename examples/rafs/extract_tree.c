/* SPDX-License-Identifier: Apache-2.0 */
#include "extract_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static void say_os(struct extraction *x, const char *path, int os_errno)
{
    const char *hint = "";

    x->failed++;
    if (os_errno == ENOSPC || os_errno == EDQUOT || os_errno == EROFS) {
        x->stop = true;
        command_say(x->c, EXIT_SOURCE, "%s: %s; stopped at %s, of which nothing was kept",
                    x->dir, strerror(os_errno), path);
        return;
    }
    if (os_errno == EEXIST)
        hint = "; --overwrite replaces files";
    else if (os_errno == ELOOP)
        hint = " in the way; it is not followed, remove it first";
    command_say(x->c, EXIT_SOURCE, "%s%s: %s%s", x->dir, path,
                os_errno == ELOOP ? "a symbolic link is" : strerror(os_errno), hint);
}

/* rc as extract_entry() gives it. */
static void entry_failed(struct extraction *x, const char *path, int rc,
                         const rafs_error *err)
{
    if (rc > 0) {
        say_os(x, path, rc);
        return;
    }
    x->failed++;
    command_failed(x->c, path, err);
    if (rc == RAFS_E_CANCELLED || rc == RAFS_E_NOMEM)
        x->stop = true;
}

static int finish_dir(struct extraction *x, const struct open_dir *dir, const char *path,
                      rafs_error *err)
{
    struct target target = {-1, "", -1, path};
    int rc;

    rc = dest_open_dir(&x->dest, path + 1, dir->path_len - 1, O_RDONLY, &target.fd);
    if (rc == 0)
        rc = restore_attributes(&x->restore, &target, &dir->attr, err);
    if (target.fd >= 0)
        close(target.fd);
    return rc;
}

/* Finish the deepest open directory. */
static void leave_dir(struct extraction *x)
{
    const struct open_dir *dir = &x->dirs[--x->depth];
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    x->dir_path[dir->path_len] = '\0';
    if (!dir->restore)
        return;
    rc = finish_dir(x, dir, x->dir_path, &err);
    if (rc != 0)
        entry_failed(x, x->dir_path, rc, &err);
}

/* Finish the directories that do not hold this path. */
static void leave_dirs_up_to(struct extraction *x, const char *path)
{
    while (x->depth > 0) {
        size_t len = x->dirs[x->depth - 1].path_len;

        if (len == 1 || (strncmp(path, x->dir_path, len) == 0 && path[len] == '/'))
            return;
        leave_dir(x);
    }
}

static int push_dir(struct extraction *x, const char *path, size_t len, bool restore,
                    const rafs_attr *attr)
{
    if (x->depth == x->dirs_room) {
        size_t room = x->dirs_room ? x->dirs_room * 2 : 64;
        struct open_dir *dirs = realloc(x->dirs, room * sizeof *dirs);

        if (!dirs)
            return ENOMEM;
        x->dirs = dirs;
        x->dirs_room = room;
    }
    if (x->dir_path_room <= len) {
        char *bigger = realloc(x->dir_path, (len + 1) * 2);

        if (!bigger)
            return ENOMEM;
        x->dir_path = bigger;
        x->dir_path_room = (len + 1) * 2;
    }
    memcpy(x->dir_path, path, len);
    x->dir_path[len] = '\0';
    x->dirs[x->depth++] = (struct open_dir){len, restore, *attr};
    return 0;
}

/* A directory that was there may hand its default ACL down to all that is made in it. */
static void look_for_acl(struct extraction *x, const char *path, size_t len)
{
    int fd;

    if (x->restore.scrub || dest_open_dir(&x->dest, path, len, O_RDONLY, &fd) != 0)
        return;
    if (fgetxattr(fd, "system.posix_acl_default", NULL, 0) > 0)
        x->restore.scrub = 1;
    close(fd);
}

/* Make or enter a directory. `wanted`: chosen by the user, not only on the way there. */
static int extract_dir(struct extraction *x, const char *path, size_t len,
                       const rafs_attr *attr, bool wanted)
{
    const char *slash = memrchr(path, '/', len);
    size_t parent_len = slash > path ? (size_t)(slash - path) : 1;
    char name[256];
    int made = 0, rc;

    if (len > 1) {
        size_t name_len = (size_t)(path + len - slash) - 1;

        if (dest_bad_name(slash + 1, name_len))
            return EINVAL;
        memcpy(name, slash + 1, name_len);
        name[name_len] = '\0';
        rc = dest_enter(&x->dest, path + 1, parent_len - 1);
        if (rc == 0)
            rc = dest_make_dir(&x->dest, name, &made);
        if (rc != 0)
            return rc;
    }
    if (!made)
        look_for_acl(x, path + 1, len - 1);
    return push_dir(x, path, len, made || wanted, attr);
}

/* The directories between the root and what the user chose. */
static bool extract_parents(struct extraction *x, const char *path)
{
    const char *slash = path;

    for (; slash; slash = strchr(slash + 1, '/')) {
        size_t len = slash > path ? (size_t)(slash - path) : 1;
        rafs_error err = RAFS_ERROR_INIT;
        rafs_attr attr;
        char *prefix;
        uint64_t ino;
        int rc;

        if (x->depth > 0 && len <= x->dirs[x->depth - 1].path_len)
            continue; /* open already */
        prefix = strndup(path, len);
        if (!prefix)
            rc = ENOMEM;
        else
            rc = rafs_image_resolve(x->c->image, prefix, RAFS_RESOLVE_NOFOLLOW, &ino,
                                    &err);
        if (rc == 0)
            rc = rafs_image_get_attr(x->c->image, ino, &attr, &err);
        if (rc == 0)
            rc = extract_dir(x, path, len, &attr, false);
        if (rc != 0)
            entry_failed(x, prefix ? prefix : "", rc, &err);
        free(prefix);
        if (rc != 0)
            return false;
    }
    return true;
}

static int extract_step(struct extraction *x, rafs_walk *walk,
                        const rafs_walk_entry *entry, rafs_error *err)
{
    const char *name = strrchr(entry->path, '/') + 1;
    int rc;

    leave_dirs_up_to(x, entry->path);
    if (x->stop)
        return RAFS_OK;
    if (S_ISDIR(entry->attr.mode)) {
        rc = extract_dir(x, entry->path, entry->path_len, &entry->attr, true);
        if (rc != 0)
            rafs_walk_skip(walk);
        return rc;
    }
    /* The library lets no such name through; this is the second lock on the same door. */
    if (dest_bad_name(name, strlen(name)))
        return rafs_error_set(err, RAFS_E_CORRUPT, EIO, "bootstrap",
                              "a name would lead out of its directory");
    rc = dest_enter(&x->dest, entry->path + 1,
                    name > entry->path + 1 ? (size_t)(name - entry->path) - 2 : 0);
    return rc ? rc : extract_entry(x, entry, name, err);
}

static void extract_subtree(struct extraction *x, const char *path)
{
    const rafs_walk_entry *entry;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_walk *walk = NULL;
    int rc = rafs_walk_open(x->c->image, path, 0, &walk, &err);

    if (rc != RAFS_OK) {
        entry_failed(x, path, rc, &err);
        return;
    }
    while (!x->stop) {
        entry = NULL;
        rc = rafs_walk_next(walk, &entry, &err);
        if (rc == RAFS_OK && !entry)
            break;
        if (rc == RAFS_OK)
            rc = extract_step(x, walk, entry, &err);
        if (rc != RAFS_OK)
            entry_failed(x, entry ? entry->path : path, rc, &err);
        else
            x->entries++;
        progress_step(&x->progress, x->entries, x->expected, x->bytes);
        if (command_interrupted(x->c))
            x->stop = true;
    }
    rafs_walk_close(walk);
}

void extract_selection(struct extraction *x, const struct selection *selection)
{
    size_t i;

    for (i = 0; i < selection->count && !x->stop; i++) {
        const char *path = selection->paths[i];

        leave_dirs_up_to(x, path);
        if (strcmp(path, "/") == 0 || extract_parents(x, path))
            extract_subtree(x, path);
    }
    /* Also after a stop: what is there shall look as it should. */
    while (x->depth > 0)
        leave_dir(x);
}
