/* SPDX-License-Identifier: Apache-2.0 */
#ifdef HAVE_FUSE3
#include "worker_fuse_own.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

int fuse_errno(const rafs_error *err)
{
    switch (err->code) {
    case RAFS_E_BADARG:
        return err->os_errno > 0 ? err->os_errno : EINVAL;
    case RAFS_E_NOMEM:
        return ENOMEM;
    case RAFS_E_TIMEOUT:
        return ETIMEDOUT;
    case RAFS_E_CANCELLED:
        return EINTR;
    case RAFS_E_NOENT:
        return ENOENT;
    case RAFS_E_NOTDIR:
        return ENOTDIR;
    case RAFS_E_ISDIR:
        return EISDIR;
    case RAFS_E_NOATTR:
        return ENODATA;
    case RAFS_E_RANGE:
        return ERANGE;
    case RAFS_E_UNSUPPORTED:
        return EOPNOTSUPP;
    default:
        return EIO;
    }
}

int fuse_failed(struct fuse_service *s, const char *doing, uint64_t ino,
                const rafs_error *err)
{
    char line[64];

    if (s->wish.fence) /* the error names the blob */
        line[0] = '\0';
    else
        snprintf(line, sizeof line, "%s inode %" PRIu64, doing, ino);
    if (s->wish.failed)
        s->wish.failed(s->wish.user, line, err);
    return fuse_errno(err);
}

/* Errors of metadata; what is simply not there is none to talk about. */
static void reply_failed(fuse_req_t req, uint64_t ino, const rafs_error *err)
{
    bool broken = err->code == RAFS_E_CORRUPT || err->code == RAFS_E_BACKEND ||
                  err->code == RAFS_E_NOMEM || err->code == RAFS_E_BUG;

    fuse_reply_err(req, broken ? fuse_failed(service_of(req), "looking at", ino, err)
                               : fuse_errno(err));
}

void fuse_stat_of(const struct fuse_service *s, const rafs_attr *attr, struct stat *out)
{
    memset(out, 0, sizeof *out);
    out->st_ino = node_of(s, attr->ino);
    out->st_mode = attr->mode;
    out->st_nlink = attr->nlink;
    out->st_uid = attr->uid;
    out->st_gid = attr->gid;
    out->st_rdev = makedev(attr->rdev_major, attr->rdev_minor);
    out->st_size = (off_t)attr->size;
    out->st_blocks = (blkcnt_t)attr->blocks;
    out->st_blksize = FILL_BLOCK;
    out->st_mtim.tv_sec = attr->mtime_sec;
    out->st_mtim.tv_nsec = attr->mtime_nsec;
    out->st_atim = out->st_ctim = out->st_mtim;
}

void fuse_entry_of(const struct fuse_service *s, const rafs_attr *attr,
                   struct fuse_entry_param *out)
{
    fuse_stat_of(s, attr, &out->attr);
    out->ino = node_of(s, attr->ino);
    out->generation = 1;
    out->attr_timeout = out->entry_timeout = FUSE_FOR_EVER;
}

/* Without FUSE_CAP_ASYNC_DIO: who reads with O_DIRECT would wait in a way that not even a
 * SIGKILL ends. */
static void op_init(void *user, struct fuse_conn_info *conn)
{
    static const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS |
                                   FUSE_CAP_READDIRPLUS | FUSE_CAP_NO_OPEN_SUPPORT |
                                   FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_CACHE_SYMLINKS |
                                   FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_EXPORT_SUPPORT;
    struct fuse_service *s = user;

    conn->want = conn->capable & wanted;
    if (s->xattrs)
        conn->want |= conn->capable & FUSE_CAP_POSIX_ACL;
    conn->max_readahead = FUSE_READ_MAX;
    conn->max_write = FUSE_READ_MAX; /* libfuse takes the size of reads from it */
    conn->max_background = 4 * s->most;
    conn->congestion_threshold = 3 * s->most;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_service *s = service_of(req);
    struct fuse_entry_param entry = {.entry_timeout = FUSE_FOR_EVER};
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t dir = ino_of(s, parent), ino = dir;
    rafs_attr attr;
    int rc = RAFS_OK;

    if (strlen(name) > RAFS_NAME_MAX) {
        fuse_reply_err(req, ENAMETOOLONG);
        return;
    }
    /* Of a file handle: the number alone, and not only of directories. */
    if (strcmp(name, ".") != 0)
        rc = rafs_image_lookup(s->image, dir, name, &ino, &err);
    if (rc == RAFS_OK)
        rc = rafs_image_get_attr(s->image, ino, &attr, &err);
    if (rc == RAFS_OK)
        fuse_entry_of(s, &attr, &entry);
    if (rc == RAFS_OK || rc == RAFS_E_NOENT)
        fuse_reply_entry(req, &entry); /* number 0: surely not there */
    else
        reply_failed(req, dir, &err);
}

static void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *file)
{
    struct fuse_service *s = service_of(req);
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t ino = ino_of(s, node);
    struct stat st;
    rafs_attr attr;

    (void)file;
    if (rafs_image_get_attr(s->image, ino, &attr, &err) < 0) {
        reply_failed(req, ino, &err);
        return;
    }
    fuse_stat_of(s, &attr, &st);
    fuse_reply_attr(req, &st, FUSE_FOR_EVER);
}

static void op_readlink(fuse_req_t req, fuse_ino_t node)
{
    struct fuse_service *s = service_of(req);
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t ino = ino_of(s, node);
    char target[RAFS_TARGET_MAX + 1];
    size_t len;

    if (rafs_image_readlink(s->image, ino, target, sizeof target, &len, &err) < 0)
        reply_failed(req, ino, &err);
    else if (len >= FILL_BLOCK) /* what the kernel has room for */
        fuse_reply_err(req, ENAMETOOLONG);
    else
        fuse_reply_readlink(req, target);
}

/* The kernel keeps "not here" for the whole mount, and asks no more: reading needs no
 * open, and what open() and opendir() would ask for (keep_cache, cache_readdir) is then
 * taken for granted. */
static void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *file)
{
    (void)node;
    fuse_reply_err(req, (file->flags & O_ACCMODE) == O_RDONLY ? ENOSYS : EROFS);
}

static void op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *file)
{
    (void)node;
    (void)file;
    fuse_reply_err(req, ENOSYS);
}

static void op_forget(fuse_req_t req, fuse_ino_t node, uint64_t count)
{
    (void)node;
    (void)count;
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *nodes)
{
    (void)count;
    (void)nodes;
    fuse_reply_none(req);
}

static void op_statfs(fuse_req_t req, fuse_ino_t node)
{
    (void)node;
    fuse_reply_statfs(req, &service_of(req)->statfs);
}

static void reply_xattr(fuse_req_t req, uint64_t ino, int rc, const char *buf,
                        size_t room, size_t len, const rafs_error *err)
{
    if (room == 0 && (rc == RAFS_OK || rc == RAFS_E_RANGE))
        fuse_reply_xattr(req, len);
    else if (rc == RAFS_OK)
        fuse_reply_buf(req, buf, len);
    else
        reply_failed(req, ino, err);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
    struct fuse_service *s = service_of(req);
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t ino = ino_of(s, node);
    char value[RAFS_XATTR_VALUE_MAX];
    size_t room = size < sizeof value ? size : sizeof value, len = 0;
    int rc;

    if (!s->xattrs) {
        fuse_reply_err(req, ENOSYS); /* never asked again */
        return;
    }
    rc = rafs_image_get_xattr(s->image, ino, name, value, room, &len, &err);
    reply_xattr(req, ino, rc, value, room, len, &err);
}

/* Names that only root may use are shown to nobody else: getxattr(2) would refuse them.
 * Other file systems of the kernel leave them out; FUSE asks us for all. */
static size_t without_trusted(char *names, size_t len)
{
    static const char trusted[] = "trusted.";
    size_t kept = 0;

    for (size_t at = 0, n; at < len; at += n) {
        n = strnlen(names + at, len - at);
        n += at + n < len;
        if (strncmp(names + at, trusted, sizeof trusted - 1) == 0)
            continue;
        memmove(names + kept, names + at, n);
        kept += n;
    }
    return kept;
}

static void op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
    struct fuse_service *s = service_of(req);
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t ino = ino_of(s, node);
    char names[RAFS_XATTR_VALUE_MAX];
    size_t len = 0;
    int rc;

    if (!s->xattrs) {
        fuse_reply_err(req, ENOSYS);
        return;
    }
    rc = rafs_image_list_xattr(s->image, ino, names, sizeof names, &len, &err);
    if (rc == RAFS_OK && fuse_req_ctx(req)->uid != 0)
        len = without_trusted(names, len);
    if (rc == RAFS_OK && size > 0 && len > size)
        fuse_reply_err(req, ERANGE);
    else
        reply_xattr(req, ino, rc, names, size, len, &err);
}

/* The mount is read-only, and the kernel refuses by itself; unless somebody mounts it
 * otherwise. */
static void op_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int what,
                       struct fuse_file_info *file)
{
    (void)node, (void)attr, (void)what, (void)file;
    fuse_reply_err(req, EROFS);
}

static void op_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                     dev_t device)
{
    (void)dir, (void)name, (void)mode, (void)device;
    fuse_reply_err(req, EROFS);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
    (void)dir, (void)name, (void)mode;
    fuse_reply_err(req, EROFS);
}

static void op_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    (void)dir, (void)name;
    fuse_reply_err(req, EROFS);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t dir,
                       const char *name)
{
    (void)target, (void)dir, (void)name;
    fuse_reply_err(req, EROFS);
}

static void op_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t to,
                      const char *new_name, unsigned flags)
{
    (void)dir, (void)name, (void)to, (void)new_name, (void)flags;
    fuse_reply_err(req, EROFS);
}

static void op_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t dir, const char *name)
{
    (void)node, (void)dir, (void)name;
    fuse_reply_err(req, EROFS);
}

static void op_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                      struct fuse_file_info *file)
{
    (void)dir, (void)name, (void)mode, (void)file;
    fuse_reply_err(req, EROFS);
}

static void op_write(fuse_req_t req, fuse_ino_t node, const char *buf, size_t size,
                     off_t offset, struct fuse_file_info *file)
{
    (void)node, (void)buf, (void)size, (void)offset, (void)file;
    fuse_reply_err(req, EROFS);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t node, const char *name,
                        const char *value, size_t size, int flags)
{
    (void)node, (void)name, (void)value, (void)size, (void)flags;
    fuse_reply_err(req, EROFS);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
    (void)node, (void)name;
    fuse_reply_err(req, EROFS);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset,
                         off_t length, struct fuse_file_info *file)
{
    (void)node, (void)mode, (void)offset, (void)length, (void)file;
    fuse_reply_err(req, EROFS);
}

const struct fuse_lowlevel_ops fuse_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .readlink = op_readlink,
    .open = op_open,
    .opendir = op_opendir,
    .read = fuse_op_read,
    .lseek = fuse_op_lseek,
    .readdir = fuse_op_readdir,
    .readdirplus = fuse_op_readdirplus,
    .statfs = op_statfs,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .setattr = op_setattr,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_unlink,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .create = op_create,
    .write = op_write,
    .setxattr = op_setxattr,
    .removexattr = op_removexattr,
    .fallocate = op_fallocate,
};
#endif
