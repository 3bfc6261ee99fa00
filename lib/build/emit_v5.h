/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_EMIT_V5_H
#define RAFSI_EMIT_V5_H

/*
 * Parts of the v5 emitter. Order in the file: super block, inode table, prefetch table,
 * blob table, extended blob table, and a record for each name, each directory's before
 * those below it.
 */

#include <sys/stat.h>

#include "build/emit_impl.h"

/* A directory; they are in the order of their records. */
struct v5_dir {
    const struct build_node *node;
    uint8_t digest[RAFSI_DIGEST_BYTES];
};

struct v5_emit {
    struct emit emit;
    struct v5_super super;
    uint32_t *records; /* by index less 1: where its record lies, in 8 bytes */
    /* A directory's inode has its place in here as its scratch. */
    struct v5_dir *dirs;
    uint32_t dir_count;
    uint64_t records_at;
    uint64_t file_size;
};

static inline uint64_t v5_padded(uint64_t bytes)
{
    return (bytes + 7) & ~(uint64_t)7;
}

/*
 * All names of a file have the number of the first one. Of a link, device, pipe or socket
 * that has several, which the reference never writes, they have that of the last: its
 * reader wants a number larger than that of every directory that such a name lies in.
 */
static inline uint32_t v5_number(const struct build_node *node)
{
    return S_ISDIR(node->inode->mode) ? node->index : node->inode->scratch;
}

/* Bytes of an inode's attributes without their head and padding. */
uint64_t rafsi_v5_xattr_bytes(const struct build_inode *inode);

/* emit_v5_digest.c. The digests of all directories, those below first. */
int rafsi_v5_digest_dirs(struct v5_emit *v5);
/* Of any name; directories' are known. */
int rafsi_v5_digest(struct v5_emit *v5, const struct build_node *node,
                    uint8_t digest[RAFSI_DIGEST_BYTES]);

/* emit_v5_record.c */
int rafsi_v5_write_records(struct v5_emit *v5);

#endif
