/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_SOURCE_IMPL_H
#define RAFSI_SOURCE_IMPL_H

/* What source.c and source_pin.c share. */

#include <stdatomic.h>
#include <stdbool.h>

#include "base/arith.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/source.h"

/* Blocks are as small as the table of them can be kept: about 2 MiB of pointers for a
 * plain source, 1 MiB of digests on top of fewer pointers for a pinned one. */
enum { BLOCK_MIN = 4096, PLAIN_BLOCKS_MAX = 1 << 18, PINNED_BLOCKS_MAX = 1 << 15 };

/* What changes behind a source that is const to its callers: atomically, and without a
 * difference that they could see. */
struct block_cache {
    _Atomic(uint8_t *) *blocks; /* block_count of them */
    atomic_uint_least64_t used; /* bytes in them */
};

struct rafsi_source {
    struct rafsi_env env;
    uint64_t size;
    /* memory */
    const uint8_t *memory; /* NULL: a file or a window */
    void *owned;
    /* window */
    struct rafsi_source *whole;
    uint64_t window_offset;
    /* file */
    int fd;
    uint64_t file_offset;
    uint64_t cache_bytes;
    size_t block_size;
    size_t block_count;
    struct block_cache *cache;
    /* pinned file: one digest for each block, NULL if all blocks are cached */
    uint8_t (*digests)[RAFSI_DIGEST_BYTES];
};

/* Lay out the block table for blocks of at least BLOCK_MIN, at most `most` of them. */
int rafsi_blocks_make(struct rafsi_source *source, size_t most, rafs_error *err);
void rafsi_blocks_free(struct rafsi_source *source);
/* Exactly len bytes of the file at a position of the source. */
int rafsi_blocks_read(const struct rafsi_source *source, uint64_t offset, size_t len,
                      void *out, rafs_error *err);
size_t rafsi_block_len(const struct rafsi_source *source, size_t index);
/* Reserve len bytes of the cache; false if it is full. */
bool rafsi_block_reserve(const struct rafsi_source *source, size_t len);
/* Give up a block that was to enter the cache. */
void rafsi_block_discard(const struct rafsi_source *source, size_t len, uint8_t *block);
/* Put a block into the cache; of two threads that do so at once, the first wins. Returns
 * the block that is in the cache now. */
const uint8_t *rafsi_block_publish(const struct rafsi_source *source, size_t index,
                                   uint8_t *block);

#endif
