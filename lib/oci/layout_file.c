/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a layout that is written: under a temporary name in its folder until they are
 * whole and on the disk. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "oci/layout_target.h"

enum { STEP = 1 << 20, TRIES = 64 };

static int failed(int os_errno, rafs_error *err)
{
    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, os_errno, NULL,
                         os_errno == ENOSPC || os_errno == EDQUOT ? "the disk is full"
                         : os_errno == EACCES || os_errno == EPERM || os_errno == EROFS
                             ? "may not be written"
                             : "cannot be written");
}

int rafsi_layout_file(struct layout_target *own, struct layout_file *out, rafs_error *err)
{
    out->dir = own->dir;
    out->fd = -1;
    for (unsigned i = 0; i < TRIES && out->fd < 0; i++) {
        snprintf(out->name, sizeof(out->name), ".rafs-%ld-%u.tmp", (long)getpid(),
                 atomic_fetch_add(&own->names, 1));
        out->fd =
            openat(own->dir, out->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (out->fd < 0 && errno != EEXIST)
            break;
    }
    return out->fd < 0 ? failed(errno, err) : RAFS_OK;
}

int rafsi_layout_file_add(const struct rafsi_env *env, struct layout_file *file,
                          const void *data, size_t len, const rafs_call *call,
                          rafs_error *err)
{
    const uint8_t *at = data;

    while (len > 0) {
        ssize_t wrote;
        int rc = rafsi_call_check(env, call, RAFS_STAGE_FETCH, err);

        if (rc < 0)
            return rc;
        wrote = write(file->fd, at, (size_t)rafsi_min(len, STEP));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return failed(wrote < 0 ? errno : EIO, err);
        at += wrote;
        len -= (size_t)wrote;
    }
    return RAFS_OK;
}

int rafsi_layout_file_name(const struct layout_target *own, struct layout_file *file,
                           int dir, const char *name, rafs_error *err)
{
    if (!own->hasty && fsync(file->fd) < 0)
        return failed(errno, err);
    if (renameat(file->dir, file->name, dir, name) < 0)
        return failed(errno, err);
    close(file->fd);
    file->fd = -1;
    if (!own->hasty && fsync(dir) < 0 && errno != EINVAL) /* some file systems cannot */
        return failed(errno, err);
    return RAFS_OK;
}

void rafsi_layout_file_drop(struct layout_file *file)
{
    if (file->fd < 0)
        return;
    unlinkat(file->dir, file->name, 0);
    close(file->fd);
    file->fd = -1;
}

int rafsi_layout_file_put(rafs_target *target, int dir, const char *name,
                          const void *data, size_t len, const rafs_call *call,
                          rafs_error *err)
{
    struct layout_target *own = target->own;
    struct layout_file file = {.fd = -1};
    int rc = rafsi_layout_file(own, &file, err);

    if (rc == RAFS_OK)
        rc = rafsi_layout_file_add(&target->env, &file, data, len, call, err);
    if (rc == RAFS_OK)
        rc = rafsi_layout_file_name(own, &file, dir, name, err);
    rafsi_layout_file_drop(&file);
    return rafsi_fail_object(err, rc, "%s", name);
}
