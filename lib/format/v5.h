/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_FORMAT_V5_H
#define RAFSI_FORMAT_V5_H

/*
 * Structures of a RAFS v5 bootstrap. Part of the door of format: include that.
 *
 * The file: super block of 8192 bytes, then in any order the inode table, the prefetch
 * table, the blob table, the extended blob table, and the inode records.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/fail.h"
#include "base/span.h"
#include "rafs/limits.h"

struct blob_record;

#define V5_SUPER_BYTES 8192 /* as the file reserves it */
#define V5_SUPER_USED 80    /* of it that mean something */
#define V5_FILE_MAX 0x80000000u
#define V5_INODE_BYTES 128
#define V5_EXTENDED_BYTES 64     /* an entry of the extended blob table today */
#define V5_EXTENDED_OLD_BYTES 32 /* as written in 2021, under the same version number */
#define V5_XATTR_HEAD_BYTES 260  /* length, longest name, NUL */
#define V5_ROOT 1

/* Inode flags. */
enum {
    V5_INODE_SYMLINK = 0x1,
    V5_INODE_HARDLINK = 0x2, /* informative */
    V5_INODE_XATTR = 0x4,
    V5_INODE_HAS_HOLE = 0x8
};

struct v5_super {
    uint32_t chunk_size;
    uint64_t flags;
    uint32_t compressor;
    uint32_t digest_algorithm;
    uint64_t inodes;
    uint64_t inode_table;
    uint32_t inode_table_entries;
    uint64_t prefetch_table;
    uint32_t prefetch_entries;
    uint64_t blob_table;
    uint32_t blob_table_bytes;
    uint64_t extended_table;
    uint32_t extended_entries;
    uint32_t extended_entry_bytes; /* by geometry: 64 or 32; 0 if there are no entries */
};

struct v5_inode {
    uint8_t digest[32];
    uint64_t parent;
    uint64_t ino;
    uint32_t uid;
    uint32_t gid;
    uint32_t mode;
    uint64_t size;
    uint64_t blocks;
    uint64_t flags;
    uint32_t nlink;
    uint32_t child_index;
    uint32_t child_count; /* of a directory: children; of a file: chunks */
    uint16_t name_size;
    uint16_t target_size;
    uint32_t rdev;
    uint64_t mtime;
    uint32_t mtime_nsec;

    /* Positions in the bootstrap, from rafsi_v5_inode_layout(). */
    uint64_t target_at;
    uint64_t xattr_at;    /* of the first pair */
    uint32_t xattr_bytes; /* of all pairs, 0 if there are none */
    uint64_t chunks_at;
    uint64_t end; /* first byte after the record */
};

struct v5_xattr {
    uint8_t name_len;
    uint32_t value_len;
    uint32_t value_pos; /* from the pair's first byte */
    uint32_t pair_len;  /* with its length field: where the next pair begins */
};

/* v5_super.c. head: at least V5_SUPER_USED bytes. Checks each field, and that the tables
 * lie in a file of file_size bytes without overlap. */
int rafsi_v5_super(struct span head, uint64_t file_size, struct v5_super *out,
                   rafs_error *err);
/* The compressor and the digest algorithm are those of the flags. The rest of the super
 * block is zero. */
void rafsi_v5_super_put(const struct v5_super *super, uint8_t out[V5_SUPER_USED]);
/* How large the entries of the extended table are can only be told from the room that it
 * has up to what follows it: a table, the first inode record (first_record) or the end.
 */
int rafsi_v5_super_extended(struct v5_super *super, uint64_t file_size,
                            uint64_t first_record, rafs_error *err);

#define V5_BLOB_HEAD_BYTES (8 + RAFS_BLOB_ID_MAX + 1)

/* v5_blob.c. The entry of the blob table that begins with head, which is cut at the
 * table's end or after V5_BLOB_HEAD_BYTES; *used: its bytes with its NUL. Sets the id and
 * its readahead as prefetch_size, the rest to zero. */
int rafsi_v5_blob(struct span head, struct blob_record *out, size_t *used,
                  rafs_error *err);
/* Without the NUL, which stands between entries; *used of V5_BLOB_HEAD_BYTES. */
void rafsi_v5_blob_put(const struct blob_record *blob, uint8_t out[V5_BLOB_HEAD_BYTES],
                       size_t *used);
/* An entry of the extended table, 64 or 32 bytes: fills sizes, count, features. */
int rafsi_v5_extended_blob(struct span entry, struct blob_record *out, rafs_error *err);
void rafsi_v5_extended_blob_put(const struct blob_record *blob,
                                uint8_t out[V5_EXTENDED_BYTES]);
/* Features that a v5 image cannot have. */
uint32_t rafsi_v5_blob_excess(const struct blob_record *blob);

/* v5_inode.c. The 128 bytes; all that can be told from them and the super block. */
int rafsi_v5_inode(struct span bytes, const struct v5_super *super, struct v5_inode *out,
                   rafs_error *err);
void rafsi_v5_inode_put(const struct v5_inode *inode, uint8_t out[V5_INODE_BYTES]);
/* The name of the record at `at` is name_size bytes at rafsi_v5_name_at(). */
static inline uint64_t rafsi_v5_name_at(uint64_t at)
{
    return at + V5_INODE_BYTES;
}
/* Position after name and target, both padded: of the xattr table or the chunks. */
uint64_t rafsi_v5_inode_tail(const struct v5_inode *inode, uint64_t at);
/* Where the parts of the record at `at` lie, which is below 2^32; all within file_size.
 * xattr_bytes: the number at rafsi_v5_inode_tail() if the flags say XATTR, else 0. */
int rafsi_v5_inode_layout(struct v5_inode *inode, uint64_t at, uint64_t xattr_bytes,
                          uint64_t file_size, rafs_error *err);

/* v5_xattr.c. The pair that begins with head, of which there are `rest` bytes up to the
 * end of the table; head holds the first min(rest, V5_XATTR_HEAD_BYTES). */
int rafsi_v5_xattr(struct span head, uint64_t rest, struct v5_xattr *out,
                   rafs_error *err);
/* All of a pair but its value: *used of V5_XATTR_HEAD_BYTES. False: no image can hold
 * such a name. */
bool rafsi_v5_xattr_put(const char *name, size_t len, uint32_t value_len,
                        uint8_t out[V5_XATTR_HEAD_BYTES], size_t *used);

#endif
