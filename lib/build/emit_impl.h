/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_EMIT_IMPL_H
#define RAFSI_EMIT_IMPL_H

/* What the emitters of both versions share. */

#include "build/data.h"
#include "build/emit.h"

/* A bootstrap on its way out. */
struct emit {
    struct build_image *image;
    rafsi_write_fn write;
    void *user;
    const rafs_call *call;
    rafs_error *err;
    uint8_t *buffer;
    size_t fill;
    uint64_t at;      /* bytes given so far, with what the buffer holds */
    uint32_t *number; /* in the table, by number in image->blobs; or NO_BLOB */
    uint32_t *blob;   /* in image->blobs, by number in the table */
    uint32_t blobs;   /* in the table */
};

/*
 * Begin: check what the image is made of, number the blobs, at most blobs_max. After it
 * every inode's scratch is the index of its first name, and its `at` is 0.
 */
int rafsi_emit_begin(struct emit *emit, uint32_t blobs_max);
/* Hand over the rest and copy out the numbers of blobs, if `used` is not NULL. */
int rafsi_emit_finish(struct emit *emit, uint32_t *used);
void rafsi_emit_free(struct emit *emit);

int rafsi_emit_put(struct emit *emit, const void *bytes, size_t len);
/* Zeros up to that position, which is not behind. */
int rafsi_emit_pad(struct emit *emit, uint64_t until);

/* Looks at the call now and then. i: counts up. */
int rafsi_emit_tick(struct emit *emit, uint64_t i);

/* A failure that has to do with a name, whose path becomes the error's object. */
__attribute__((format(printf, 4, 5))) int rafsi_emit_fail(struct emit *emit,
                                                          const struct build_node *node,
                                                          int code, const char *format,
                                                          ...);

/* Is it the first name of its inode? */
static inline bool rafsi_emit_first(const struct build_node *node)
{
    return node->inode->scratch == node->index;
}

/* Chunks of a regular file. */
static inline uint32_t rafsi_emit_chunks(const struct build_image *image,
                                         const struct build_inode *inode)
{
    uint32_t count;

    (void)rafsi_chunks_of(inode->size, image->chunk_size, &count);
    return count;
}

/* A chunk as the tables have it. */
void rafsi_emit_record(const struct emit *emit, const struct build_chunk *chunk,
                       uint64_t file_offset, struct chunk_record *out);

/* Super block flags of both versions, from the image and the blobs in the table. */
uint64_t rafsi_emit_flags(const struct emit *emit);

#endif
