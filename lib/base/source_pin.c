/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/source_impl.h"

/* How much is read at once while pinning. */
enum { PIN_READ = 1 << 20 };

/* One block of the pass that pins a file: kept while there is room, else its digest is.
 */
static int pin_block(struct rafsi_source *source, size_t index, const uint8_t *bytes,
                     rafs_error *err)
{
    size_t len = rafsi_block_len(source, index);
    uint8_t *block;

    if (source->digests)
        rafsi_blake3(bytes, len, source->digests[index]);
    if (!rafsi_block_reserve(source, len))
        return RAFS_OK;
    block = rafsi_alloc(&source->env, len);
    if (!block) {
        rafsi_block_discard(source, len, NULL);
        return rafsi_fail_nomem(err, len);
    }
    memcpy(block, bytes, len);
    rafsi_block_publish(source, index, block);
    return RAFS_OK;
}

static int pin_file(struct rafsi_source *source, struct rafsi_hash *hash, uint8_t *piece,
                    size_t piece_size, const rafs_call *call, rafs_error *err)
{
    for (uint64_t offset = 0; offset < source->size; offset += piece_size) {
        size_t len = (size_t)rafsi_min(piece_size, source->size - offset);
        int rc = rafsi_call_check(&source->env, call, RAFS_STAGE_OPEN, err);

        if (rc == RAFS_OK)
            rc = rafsi_blocks_read(source, offset, len, piece, err);
        if (rc == RAFS_OK)
            rc = rafsi_hash_add(hash, piece, len, err);
        for (size_t at = 0; rc == RAFS_OK && at < len; at += source->block_size)
            rc = pin_block(source, (size_t)((offset + at) / source->block_size),
                           piece + at, err);
        if (rc < 0)
            return rc;
    }
    return RAFS_OK;
}

/* Prepare the tables for pinning. What was read before is forgotten: it was not compared.
 * Digests are needed only if not every block can be kept. */
static int pin_tables(struct rafsi_source *source, rafs_error *err)
{
    bool all = source->size <= source->cache_bytes;
    size_t bytes;
    int rc;

    rafsi_blocks_free(source);
    rc = rafsi_blocks_make(source, all ? PLAIN_BLOCKS_MAX : PINNED_BLOCKS_MAX, err);
    if (rc < 0 || all)
        return rc;
    bytes = source->block_count * sizeof(source->digests[0]);
    source->digests = rafsi_alloc(&source->env, bytes);
    return source->digests ? RAFS_OK : rafsi_fail_nomem(err, bytes);
}

static int pin_read(struct rafsi_source *source, struct rafsi_hash *hash,
                    const rafs_call *call, rafs_error *err)
{
    uint8_t *piece;
    size_t piece_size;
    int rc;

    if (source->memory)
        return rafsi_hash_add(hash, source->memory, (size_t)source->size, err);
    rc = pin_tables(source, err);
    if (rc < 0)
        return rc;
    piece_size = source->block_size > PIN_READ ? source->block_size : PIN_READ;
    piece_size = (size_t)rafsi_min(piece_size, source->block_count * source->block_size);
    piece = rafsi_alloc(&source->env, piece_size);
    if (!piece)
        return rafsi_fail_nomem(err, piece_size);
    rc = pin_file(source, hash, piece, piece_size, call, err);
    rafsi_free(&source->env, piece);
    return rc;
}

int rafsi_source_pin(struct rafsi_source *source, struct rafsi_hashes *hashes,
                     uint32_t algorithm, const uint8_t expected[RAFSI_DIGEST_BYTES],
                     const rafs_call *call, rafs_error *err)
{
    struct rafsi_hash hash;
    uint8_t digest[RAFSI_DIGEST_BYTES];
    char want[65], have[65];
    int rc;

    if (source->whole)
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_OPEN, NULL, "a window was pinned");
    rc = rafsi_hash_begin(hashes, algorithm, &hash, err);
    if (rc < 0)
        return rc;
    rc = pin_read(source, &hash, call, err);
    if (rc == RAFS_OK)
        rc = rafsi_hash_end(&hash, digest, err);
    rafsi_hash_drop(&hash);
    if (rc < 0)
        return rc;
    if (rafsi_digest_equal(digest, expected))
        return RAFS_OK;
    rafsi_digest_hex(expected, want);
    rafsi_digest_hex(digest, have);
    return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_VERIFY, NULL,
                      "is not the one expected: its digest is %s, not %s", have, want);
}
