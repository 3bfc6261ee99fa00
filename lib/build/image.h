/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_IMAGE_H
#define RAFSI_BUILD_IMAGE_H

/*
 * An image in the making, as it lies in memory: names, inodes, chunks, blobs. Filled by
 * the sources (directory, tar, images, a program's entries) through layers.h, its chunks
 * by data.h, and written by emit.h. All of it lies in one arena that is freed at once;
 * an entry takes about 200 bytes, a chunk 72 and its places in the tables 4 each.
 */

#include "base/base.h"
#include "format/format.h"

/* Memory that is only ever given back as a whole. One thread at a time. */
struct arena {
    const struct rafsi_env *env;
    struct arena_block *blocks;
    size_t left;  /* in the newest block */
    size_t given; /* bytes, since it was emptied */
    uint8_t *at;
};
void rafsi_arena_init(struct arena *arena, const struct rafsi_env *env);
void *rafsi_arena_alloc(struct arena *arena,
                        size_t size); /* 8-aligned, cleared; or NULL */
void rafsi_arena_free(struct arena *arena);

/* A distinct chunk. Of a batch: compressed_offset is that of its batch, compressed_size
 * 0, and batch says where it lies in it. */
struct build_chunk {
    uint8_t digest[32];
    uint64_t compressed_offset;
    uint64_t uncompressed_offset;
    uint32_t compressed_size;
    uint32_t uncompressed_size;
    uint32_t blob;  /* number in build_image.blobs */
    uint32_t index; /* of the chunk in its blob */
    uint32_t flags; /* CHUNK_, as the 80-byte record has them */
    uint32_t crc32;
};

/* Chunks by number; numbers are dense and never change, and neither does where a chunk
 * lies. Adding is for one thread at a time; what was added may be read by any. */
enum { CHUNK_PAGE = 1024 };
struct build_chunks {
    const struct rafsi_env *env;
    struct build_chunk **pages;
    uint32_t count;
    uint32_t room; /* pages */
};
int rafsi_chunks_add(struct build_chunks *chunks, const struct build_chunk *chunk,
                     uint32_t *number, rafs_error *err);
static inline struct build_chunk *rafsi_chunks_at(const struct build_chunks *chunks,
                                                  uint32_t number)
{
    return &chunks->pages[number / CHUNK_PAGE][number % CHUNK_PAGE];
}
void rafsi_chunks_free(struct build_chunks *chunks);

/* A blob that chunks lie in. Those of dictionaries, merged images and the index are
 * complete from the start; our own are filled in when they are ended. */
struct build_blob {
    struct blob_record record;
    uint32_t layer;     /* that it was written for, or came with */
    bool ours;          /* written by this build */
    uint8_t sha256[32]; /* ours */
    uint64_t file_size; /* ours: of the whole file */
};
struct build_blobs {
    const struct rafsi_env *env;
    struct build_blob *at;
    uint32_t count;
    uint32_t room;
};
/* A new one at the end, cleared; RAFS_E_LIMIT past RAFS_BLOBS_MAX. */
int rafsi_blobs_add(struct build_blobs *blobs, uint32_t *number, rafs_error *err);
/* That of the id, if there is one. */
bool rafsi_blobs_find(const struct build_blobs *blobs, const char *id, uint32_t *number);
void rafsi_blobs_free(struct build_blobs *blobs);

struct build_xattr {
    const char *name; /* full, NUL terminated */
    const uint8_t *value;
    uint32_t name_len;
    uint32_t value_len;
};

/* What the names of a hard link share. */
struct build_inode {
    uint64_t size; /* of a regular file: bytes; of a link: of its target */
    int64_t mtime_sec;
    uint32_t mtime_nsec;
    uint32_t mode; /* with the type */
    uint32_t uid;
    uint32_t gid;
    uint32_t rdev;  /* as on disk: Linux's "new" encoding */
    uint32_t layer; /* in which it came */
    uint32_t xattr_count;
    uint32_t nlink;  /* names in the final tree; directories: 2 + directories in it. Set
                        by rafsi_image_seal() */
    uint32_t number; /* from 1, in dir-batched order of the first name; by seal */
    uint32_t scratch;
    uint64_t at;                      /* emitters: nid or place of the record */
    const struct build_xattr *xattrs; /* sorted by name */
    union {
        const char *target; /* of a symbolic link, NUL terminated */
        uint32_t *chunks;   /* of a regular file: ceil(size / chunk_size) numbers, or
                               NO_CHUNK */
    };
};
/* In place of a chunk's number, v6 only: a hole. */
#define NO_CHUNK UINT32_MAX

/* A name. */
struct build_node {
    struct build_node *parent; /* NULL: the root */
    struct build_node *next;   /* in the same directory; sorted by name after seal */
    struct build_node *children;
    struct build_inode *inode;
    uint32_t child_count;
    uint32_t layer; /* that this name came with; of a directory: the last that named it */
    uint32_t index; /* from 1, dir-batched; each name has its own; by seal */
    uint32_t first; /* of a directory: index of its first child, or the next free one */
    uint16_t name_len;
    uint8_t flags; /* layers.c's own */
    char name[];   /* NUL terminated; "" for the root */
};

/* The image. */
struct build_image {
    struct rafsi_env env;
    struct rafsi_hashes *hashes;
    struct arena arena;
    struct build_node *root;
    struct build_chunks chunks;
    struct build_blobs blobs;
    uint32_t version;    /* 5 or 6 */
    uint32_t compressor; /* RAFS_COMPRESSOR_, of what is written */
    uint32_t digest_algorithm;
    uint32_t chunk_size;
    bool no_owners;
    bool whole;          /* v6: content follows the metadata, and chunks' places count
                            from where it begins */
    uint64_t data_bytes; /* of that content */
    bool moved; /* v6: chunks lie elsewhere in their blobs than these say themselves */
    /* Of directories that no entry speaks of. */
    uint32_t implied_uid;
    uint32_t implied_gid;
    int64_t implied_mtime;
    uint32_t layers; /* so far, at least 1 */
    /* By seal: */
    uint64_t names; /* with the root */
    uint64_t inodes;
    bool has_xattr;
    /* The prefetch table: names that are in the tree, in the order asked for. */
    struct build_node **prefetch;
    size_t prefetch_count;
};

/* layers.c. Sort directories, count links, number names and inodes: after it the tree
 * does not change. Names and numbers are checked against what the version can hold. */
int rafsi_image_seal(struct build_image *image, rafs_error *err);

/* Chunks of a file of that size; false: more than 2^32. */
static inline bool rafsi_chunks_of(uint64_t size, uint32_t chunk_size, uint32_t *count)
{
    uint64_t n = size / chunk_size + (size % chunk_size != 0);

    *count = (uint32_t)n;
    return n <= UINT32_MAX;
}

/* Names in dir-batched order (bootstrap-common.md §6): the root, then of each directory
 * all children, then what is below each. The next one, or NULL. Valid after seal. */
struct build_node *rafsi_batched_next(const struct build_node *node);
/* Depth first, each name before what is below it. */
struct build_node *rafsi_depth_next(const struct build_node *node);

/* The path of a name, "/a/b", cut if it is longer than the room; for errors. */
void rafsi_node_path(const struct build_node *node, char *out, size_t room);

#endif
