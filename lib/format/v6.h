/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_FORMAT_V6_H
#define RAFSI_FORMAT_V6_H

/*
 * The structures of a v6 bootstrap: EROFS, uncompressed and chunk-based, with tables of
 * RAFS that EROFS does not see.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "rafs/error.h"
#include "rafs/limits.h"

struct blob_record;

#define V6_BLOCK_BYTES 4096u
#define V6_SUPER_AT 1024u
#define V6_SUPER_BYTES 128u
#define V6_EXT_SUPER_AT 1152u
#define V6_EXT_SUPER_BYTES 256u
#define V6_DEVICES_AT 1408u
#define V6_DEVICE_BYTES 128u
#define V6_BLOB_BYTES 256u
#define V6_BLOBS_MAX 255u /* device ids have 8 bits, and 0 is the bootstrap */
#define V6_NID_BYTES 32u  /* inodes are counted in these */
#define V6_INODE_COMPACT_BYTES 32u
#define V6_INODE_EXTENDED_BYTES 64u
#define V6_XATTR_HEADER_BYTES 12u
#define V6_XATTR_ENTRY_BYTES 4u
#define V6_DIRENT_BYTES 12u
#define V6_CHUNK_ADDR_BYTES 8u
#define V6_TARGET_MAX 4096u
#define V6_HOLE 0xffffffffu

/* The EROFS super block. */
struct v6_super {
    uint64_t inodes; /* paths, as claimed: hard links are counted each */
    int64_t build_sec;
    uint32_t build_nsec;
    uint32_t root_nid;
    uint64_t meta_at; /* position that nids are counted from */
    uint32_t blocks;  /* of the bootstrap, or of its devices; 0 if there are none */
    uint32_t devices;
    uint32_t compat; /* features, of which not all matter to whoever reads by himself */
    bool whole; /* content lies behind the metadata: plain EROFS, without RAFS' tables */
    bool moved; /* librafs laid the image out anew, and chunks lie elsewhere than other
                   images of the same blobs have them */
};
int rafsi_v6_super(struct span bytes, uint64_t file_size, struct v6_super *out,
                   rafs_error *err);
void rafsi_v6_super_put(const struct v6_super *super, uint8_t out[V6_SUPER_BYTES]);

/* The extended super block. Tables lie in the file and do not overlap. */
struct v6_ext_super {
    uint64_t flags;
    uint32_t compressor;
    uint32_t digest_algorithm;
    uint32_t chunk_size;
    uint64_t blobs_at;
    uint64_t chunks_at;
    uint64_t chunk_count; /* records of the chunk table */
    uint64_t prefetch_at;
    uint32_t prefetch_count;
};
int rafsi_v6_ext_super(struct span bytes, const struct v6_super *super,
                       uint64_t file_size, struct v6_ext_super *out, rafs_error *err);
/* The compressor and the digest algorithm are those of the flags. */
void rafsi_v6_ext_super_put(const struct v6_ext_super *ext, uint32_t blobs,
                            uint8_t out[V6_EXT_SUPER_BYTES]);

/* A device slot: what EROFS knows of a blob. */
struct v6_device {
    char tag[RAFS_BLOB_ID_MAX + 8]; /* raw blob id, NUL terminated */
    uint32_t blocks;
    uint32_t mapped; /* first block, when all devices are put on one disk */
};
int rafsi_v6_device(struct span bytes, struct v6_device *out, rafs_error *err);
void rafsi_v6_device_put(const struct v6_device *device, uint8_t out[V6_DEVICE_BYTES]);

/* Record `index` of the blob table. */
int rafsi_v6_blob(struct span bytes, uint32_t index, uint32_t chunk_size,
                  struct blob_record *out, rafs_error *err);
void rafsi_v6_blob_put(const struct blob_record *blob, uint32_t index,
                       uint8_t out[V6_BLOB_BYTES]);

enum { V6_LAYOUT_PLAIN = 0, V6_LAYOUT_INLINE = 2, V6_LAYOUT_CHUNKS = 4 };

struct v6_inode {
    uint64_t size;
    int64_t mtime_sec; /* extended only */
    uint32_t mtime_nsec;
    uint32_t mode;
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint32_t u;           /* start block, chunk format or device number */
    uint32_t number;      /* what stat() gives where it has 32 bits */
    uint32_t bytes;       /* of the record: 32 or 64 */
    uint32_t xattr_bytes; /* of the area that follows it; 0: none */
    uint8_t layout;       /* V6_LAYOUT_ */
    bool newer; /* fields are set that RAFS has not, and that newer kernels read */
};
/* bytes: 64 of them, or what is left in the file. chunk_size is the super block's. */
int rafsi_v6_inode(struct span bytes, uint32_t chunk_size, struct v6_inode *out,
                   rafs_error *err);
/* Extended, whatever inode->bytes says. */
void rafsi_v6_inode_put(const struct v6_inode *inode,
                        uint8_t out[V6_INODE_EXTENDED_BYTES]);
/* Do the chunks of the file lie one after the other, so that EROFS looks at the first
 * entry of its array alone? */
bool rafsi_v6_is_run(const struct v6_inode *inode, uint32_t chunk_size);
/* Field u of a regular file. contiguous: its chunks lie one after the other in a blob. */
uint32_t rafsi_v6_chunk_format(uint64_t size, uint32_t chunk_size, bool contiguous);

int rafsi_v6_xattr_header(struct span bytes, rafs_error *err);
void rafsi_v6_xattr_header_put(uint8_t out[V6_XATTR_HEADER_BYTES]);
/* The largest area that an inode can have. */
#define V6_XATTR_AREA_MAX (V6_XATTR_HEADER_BYTES + 4u * (UINT16_MAX - 1u))
#define V6_XATTR_VALUE_MAX UINT16_MAX

/* One attribute; positions count from the start of its entry. */
struct v6_xattr {
    char name[RAFS_XATTR_NAME_MAX + 1]; /* with its namespace */
    uint32_t name_len;
    uint32_t value_at;
    uint32_t value_len;
    uint32_t bytes; /* of the entry with its padding */
};
/* An entry takes at most V6_XATTR_HEAD_MAX bytes without its value: that many, or what is
 * left of the area if that is less, are wanted in `bytes`. left: bytes left in the area.
 */
#define V6_XATTR_HEAD_MAX (V6_XATTR_ENTRY_BYTES + 255u)
int rafsi_v6_xattr(struct span bytes, uint64_t left, struct v6_xattr *out,
                   rafs_error *err);
/* The number of a full name's name space, and how many bytes of it that stands for; 0: no
 * image can hold such a name. */
unsigned rafsi_v6_xattr_space(const char *name, size_t len, size_t *prefix);
/* Head of the entry of a full name: *used of V6_XATTR_HEAD_MAX bytes. The value follows,
 * and zeros up to a multiple of 4. False: no image can hold such a name. */
bool rafsi_v6_xattr_put(const char *name, size_t len, uint16_t value_len,
                        uint8_t out[V6_XATTR_HEAD_MAX], size_t *used);

/* Where a part of a file lies. */
struct v6_chunk_addr {
    bool hole;      /* reads as zeros, and the rest means nothing */
    bool own;       /* behind the metadata: blob and chunk mean nothing; never decoded */
    uint32_t blob;  /* index into the blob table */
    uint32_t chunk; /* index in the blob */
    uint64_t uncompressed_offset;
};
/* bytes: the entry, 8 of them. */
int rafsi_v6_chunk_addr(struct span bytes, uint32_t blobs, struct v6_chunk_addr *out,
                        rafs_error *err);
void rafsi_v6_chunk_addr_put(const struct v6_chunk_addr *addr,
                             uint8_t out[V6_CHUNK_ADDR_BYTES]);

/* An entry of a directory block. */
struct v6_dirent {
    uint64_t nid;
    const uint8_t *name; /* in the block; dots are possible */
    uint32_t name_len;
    uint32_t type; /* S_IFMT bits */
    bool dots;     /* "." or ".." */
};
/* How many entries a block has: at least one. The block is all that the directory has in
 * it, 4096 bytes or, the last one, fewer. */
int rafsi_v6_dirent_count(struct span block, uint32_t *count, rafs_error *err);
int rafsi_v6_dirent(struct span block, uint32_t count, uint32_t i, struct v6_dirent *out,
                    rafs_error *err);
/* One entry without its name, which begins at name_at in the block. mode: S_IFMT bits
 * count. */
void rafsi_v6_dirent_put(uint64_t nid, uint32_t name_at, uint32_t mode,
                         uint8_t out[V6_DIRENT_BYTES]);

#endif
