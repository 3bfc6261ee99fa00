/* SPDX-License-Identifier: Apache-2.0 */
#include "extract_attrs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "command.h"

enum { PROC_PATH = 64 + RAFS_NAME_MAX + 1 };

void restore_lack(struct restore *restore, enum lack_kind kind, const char *path,
                  const char *detail, int os_errno)
{
    struct lack *lack = &restore->lacks[kind];

    if (lack->count < LACK_NAMED) {
        lack->paths[lack->count] = strdup(path); /* NULL only leaves the name out */
        snprintf(lack->detail[lack->count], sizeof lack->detail[0], "%s", detail);
        lack->os_errno[lack->count] = os_errno;
    }
    lack->count++;
    if (os_errno != 0 && os_errno != EPERM && os_errno != EACCES)
        lack->refused = 1;
}

void restore_free(struct restore *restore)
{
    size_t kind, i;

    for (kind = 0; kind < LACK_KINDS; kind++) {
        for (i = 0; i < LACK_NAMED; i++)
            free(restore->lacks[kind].paths[i]);
    }
}

static void set_owner(struct restore *restore, const struct target *target,
                      const rafs_attr *attr)
{
    int rc;

    if (!restore->owners) {
        if (attr->uid != restore->uid || attr->gid != restore->gid)
            restore_lack(restore, LACK_OWNER, target->path, "", 0);
        return;
    }
    if (target->fd >= 0)
        rc = fchown(target->fd, attr->uid, attr->gid);
    else
        rc = fchownat(target->parent, target->name, attr->uid, attr->gid,
                      AT_SYMLINK_NOFOLLOW);
    if (rc < 0)
        restore_lack(restore, LACK_OWNER, target->path, "", errno);
}

/* Set-id bits say "run as the owner", so they stay off where the owner is not the one
 * that the image names: a program of the image must not run as whoever extracted it. */
static mode_t mode_to_set(struct restore *restore, const struct target *target,
                          const rafs_attr *attr)
{
    mode_t mode = attr->mode & 07777;
    struct stat st;
    int rc;

    if (!(mode & (S_ISUID | S_ISGID)))
        return mode;
    rc = target->fd >= 0
             ? fstat(target->fd, &st)
             : fstatat(target->parent, target->name, &st, AT_SYMLINK_NOFOLLOW);
    if (rc < 0 || st.st_uid != attr->uid)
        mode &= ~(mode_t)S_ISUID;
    if (rc < 0 || st.st_gid != attr->gid)
        mode &= ~(mode_t)S_ISGID;
    if (mode != (attr->mode & 07777))
        restore_lack(restore, LACK_SETID, target->path, "", rc < 0 ? errno : 0);
    return mode;
}

static void set_mode(struct restore *restore, const struct target *target,
                     const rafs_attr *attr)
{
    mode_t mode;
    int rc;

    if (S_ISLNK(attr->mode))
        return; /* a link's own mode means nothing to Linux */
    mode = mode_to_set(restore, target, attr);
    rc = target->fd >= 0
             ? fchmod(target->fd, mode)
             : fchmodat(target->parent, target->name, mode, AT_SYMLINK_NOFOLLOW);
    if (rc < 0)
        restore_lack(restore, LACK_MODE, target->path, "", errno);
}

static void set_time(struct restore *restore, const struct target *target,
                     const rafs_attr *attr)
{
    /* The image has no access time; its own time of change is the honest stand-in. */
    struct timespec when = {.tv_sec = attr->mtime_sec, .tv_nsec = attr->mtime_nsec};
    struct timespec times[2] = {when, when};
    int rc = target->fd >= 0
                 ? futimens(target->fd, times)
                 : utimensat(target->parent, target->name, times, AT_SYMLINK_NOFOLLOW);

    if (rc < 0)
        restore_lack(restore, LACK_TIME, target->path, "", errno);
}

/* Links and devices cannot be opened to set an attribute; /proc names them without
 * following the last component. */
static void proc_path(const struct target *target, char *path, size_t room)
{
    snprintf(path, room, "/proc/self/fd/%d/%s", target->parent, target->name);
}

static int set_one(const struct target *target, const char *name, const void *value,
                   size_t len)
{
    char path[PROC_PATH];

    if (target->fd >= 0)
        return fsetxattr(target->fd, name, value, len, 0);
    proc_path(target, path, sizeof path);
    return lsetxattr(path, name, value, len, 0);
}

/* ACLs that the parent directory handed down are no part of the image. */
static void scrub_acls(const struct target *target)
{
    char path[PROC_PATH];

    if (target->fd >= 0) {
        fremovexattr(target->fd, "system.posix_acl_access");
        fremovexattr(target->fd, "system.posix_acl_default");
        return;
    }
    proc_path(target, path, sizeof path);
    lremovexattr(path, "system.posix_acl_access");
}

static int set_xattrs(struct restore *restore, const struct target *target, uint64_t ino,
                      rafs_error *err)
{
    size_t count = 0, len, i;
    char **names = read_xattr_names(restore->image, ino, &count, err);
    int rc = names ? RAFS_OK : err->code;

    for (i = 0; i < count && rc == RAFS_OK; i++) {
        char *value = read_xattr(restore->image, ino, names[i], &len, err);

        if (!value)
            rc = err->code;
        else if (set_one(target, names[i], value, len) < 0)
            restore_lack(restore, LACK_XATTR, target->path, names[i], errno);
        free(value);
    }
    free(names);
    return rc;
}

int restore_attributes(struct restore *restore, const struct target *target,
                       const rafs_attr *attr, rafs_error *err)
{
    int rc = RAFS_OK;

    set_owner(restore, target, attr);
    if (restore->scrub)
        scrub_acls(target);
    if (restore->xattrs && attr->xattr_hint)
        rc = set_xattrs(restore, target, attr->ino, err);
    set_mode(restore, target, attr);
    set_time(restore, target, attr);
    return rc;
}
