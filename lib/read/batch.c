/* SPDX-License-Identifier: Apache-2.0 */
#include "read/reader.h"

/* As far as this many chunks to each side; a batch of tiny files may have thousands. */
enum { NEIGHBOURS_MAX = 256 };

struct rafsi_cache_key rafsi_chunk_key(const struct rafsi_chunk *chunk)
{
    struct rafsi_cache_key key = {.algorithm = chunk->digest_algorithm,
                                  .size = chunk->record.uncompressed_size};

    memcpy(key.digest, chunk->record.digest, sizeof(key.digest));
    return key;
}

int rafsi_batch_cut(struct rafsi_reader *reader, const struct rafsi_buffer *batch,
                    uint32_t offset, uint32_t size, struct rafsi_buffer **out,
                    rafs_error *err)
{
    int rc;

    if (!rafsi_within(offset, size, batch->len))
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_METADATA, NULL,
                          "a chunk lies past the end of its batch");
    rc = rafsi_pool_take(reader->pool, size, out, err);
    if (rc == RAFS_OK)
        memcpy((*out)->at, batch->at + offset, size);
    return rc;
}

/* Verify one neighbour and keep it. */
static int keep(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                const struct rafsi_buffer *batch, uint32_t offset)
{
    struct rafsi_cache_key key = rafsi_chunk_key(chunk);
    struct verified *good = rafsi_cache_get(reader->cache, &key);
    struct rafsi_buffer *raw = NULL;
    int rc = RAFS_OK;

    if (!good) {
        rc = rafsi_batch_cut(reader, batch, offset, chunk->record.uncompressed_size, &raw,
                             NULL);
        if (rc == RAFS_OK)
            rc = rafsi_verify(raw, reader->hashes, chunk->digest_algorithm,
                              chunk->record.digest, &good, NULL);
        if (rc == RAFS_OK) {
            raw = NULL;
            rafsi_cache_put(reader->cache, &key, good);
        }
    }
    rafsi_verified_drop(good);
    rafsi_buffer_free(raw);
    return rc;
}

/* The chunk that is number i of the blob, if it is a member of that batch. */
static int neighbour(struct rafsi_reader *reader, const struct blob_meta *meta,
                     const struct rafsi_chunk *of, uint32_t i, uint32_t batch,
                     struct rafsi_chunk *out, uint32_t *offset)
{
    uint32_t blob = of->record.blob;
    struct ci_entry entry;
    int rc = rafsi_ci_entry(rafsi_meta_span(meta), &meta->header,
                            &reader->tree->blobs[blob], i, &entry, NULL);

    if (rc == RAFS_OK && (!(entry.flags & CI_BATCH) || entry.batch_index != batch))
        rc = RAFS_E_NOENT;
    if (rc == RAFS_OK)
        rc = rafsi_v6_chunk_of(reader->tree, blob, i, &out->record, NULL);
    if (rc == RAFS_OK && out->record.uncompressed_size != entry.uncompressed_size)
        rc = RAFS_E_CORRUPT;
    if (rc < 0)
        return rc;
    out->digest_algorithm = of->digest_algorithm;
    out->compressor = of->compressor;
    *offset = entry.batch_offset;
    return RAFS_OK;
}

static void keep_side(struct rafsi_reader *reader, const struct blob_meta *meta,
                      const struct rafsi_chunk *chunk, const struct rafsi_buffer *batch,
                      uint32_t batch_index, uint32_t step)
{
    uint32_t i = chunk->record.index;

    for (unsigned n = 0; n < NEIGHBOURS_MAX; n++) {
        struct rafsi_chunk beside = {0};
        uint32_t offset;

        i += step; /* below 0 it is beyond every entry */
        if (i >= meta->header.entries ||
            neighbour(reader, meta, chunk, i, batch_index, &beside, &offset) < 0 ||
            keep(reader, &beside, batch, offset) < 0)
            return;
    }
}

void rafsi_batch_keep(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      struct blob_source *at, const struct rafsi_buffer *batch)
{
    const struct blob_meta *meta = atomic_load(&at->meta);
    struct ci_entry entry;

    /* A batch that would push most of the cache out is worth no more than its chunk. */
    if (!meta || batch->len > reader->memory_bytes / 4)
        return;
    if (rafsi_ci_entry(rafsi_meta_span(meta), &meta->header,
                       &reader->tree->blobs[chunk->record.blob], chunk->record.index,
                       &entry, NULL) < 0)
        return;
    keep_side(reader, meta, chunk, batch, entry.batch_index, 1);
    keep_side(reader, meta, chunk, batch, entry.batch_index, (uint32_t)-1);
}
