/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_CONTENT_H
#define RAFS_COMMAND_CONTENT_H

/*
 * What a listing knows of files beyond their attributes: digests, and which path named an
 * inode first.
 */

#include "command.h"

/* Hash a regular file's content. 0, or a RAFS_E_ code. */
int digest_file(struct command *c, uint64_t ino, rafs_hash *hash,
                uint8_t digest[RAFS_DIGEST_BYTES], rafs_error *err);

/* An inode with several names: its first path, and the digest of its content. */
struct link_group {
    uint64_t ino;
    char *path;  /* NULL: slot is free */
    bool hashed; /* digest is filled */
    uint8_t digest[RAFS_DIGEST_BYTES];
};

struct links {
    struct link_group *slots;
    size_t room; /* a power of two, or 0 */
    size_t count;
};

/* The group of an inode; made with `path` as its first one if it is new. NULL: no
 * memory. Valid until the next call. */
struct link_group *links_find(struct links *links, uint64_t ino, const char *path,
                              size_t path_len);
void links_free(struct links *links);

#endif
