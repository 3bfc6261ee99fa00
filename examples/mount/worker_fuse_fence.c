/* SPDX-License-Identifier: Apache-2.0 */
#ifdef HAVE_FUSE3
#include "worker_fuse_own.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker_fence.h"

/* The file system of a fence: a folder with a file for each blob, by its number. Whatever
 * is read waits in the same way as a read of a mount does. */

enum { FIRST_NODE = 2 };

static bool stat_of(const struct fuse_service *s, fuse_ino_t node, struct stat *out)
{
    memset(out, 0, sizeof *out);
    out->st_ino = node;
    out->st_nlink = 1;
    out->st_blksize = FILL_BLOCK;
    if (node == FUSE_NODE_ROOT) {
        out->st_mode = S_IFDIR | 0700;
        return true;
    }
    if (node < FIRST_NODE || node - FIRST_NODE >= fence_blobs(s->wish.fence))
        return false;
    out->st_mode = S_IFREG | 0400;
    out->st_size = (off_t)s->wish.fence->map->device[node - FIRST_NODE].size;
    return true;
}

static void lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry = {.attr_timeout = FUSE_FOR_EVER,
                                     .entry_timeout = FUSE_FOR_EVER};
    char *end = NULL;
    unsigned long number = strtoul(name, &end, 10);

    entry.ino = FIRST_NODE + number;
    if (parent != FUSE_NODE_ROOT || end == name || *end || number >= MOUNT_DEVICES_MAX ||
        !stat_of(service_of(req), entry.ino, &entry.attr))
        fuse_reply_err(req, ENOENT);
    else
        fuse_reply_entry(req, &entry);
}

static void getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *file)
{
    struct stat st;

    (void)file;
    if (stat_of(service_of(req), node, &st))
        fuse_reply_attr(req, &st, FUSE_FOR_EVER);
    else
        fuse_reply_err(req, ENOENT);
}

/* Straight to us: what the kernel kept of it would be kept twice. */
static void open_file(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *file)
{
    (void)node;
    file->direct_io = 1;
    fuse_reply_open(req, file);
}

const struct fuse_lowlevel_ops fuse_fence_ops = {
    .lookup = lookup, .getattr = getattr, .open = open_file, .read = fuse_op_read};

int fuse_fence_read(struct fuse_service *s, const struct reading *r,
                    const rafs_call *call, size_t *nread, rafs_error *err)
{
    return fence_read(s->wish.fence, (uint32_t)(r->ino - FIRST_NODE), r->offset, r->size,
                      r->buf, nread, call, err);
}
#endif
