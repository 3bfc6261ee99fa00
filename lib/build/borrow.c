/* SPDX-License-Identifier: Apache-2.0 */
#include "build/borrow.h"

#include <string.h>

#include "rafs/image.h"

/* What the id of a blob stands for. Sizes of the file and its table of contents are not
 * among it: they grow when a bootstrap is appended. */
static bool same_blob(const struct blob_record *a, const struct blob_record *b)
{
    return a->chunk_count == b->chunk_count && a->compressor == b->compressor &&
           a->digest_algorithm == b->digest_algorithm &&
           a->uncompressed_size == b->uncompressed_size && a->ci_offset == b->ci_offset &&
           a->ci_uncompressed_size == b->ci_uncompressed_size && a->cipher == b->cipher;
}

void rafsi_borrow_init(struct rafsi_borrow *borrow, struct build_image *image)
{
    *borrow = (struct rafsi_borrow){.image = image, .seed = rafsi_seed()};
}

void rafsi_borrow_free(struct rafsi_borrow *borrow)
{
    if (borrow->image)
        rafsi_free(&borrow->image->env, borrow->slots);
    *borrow = (struct rafsi_borrow){0};
}

int rafsi_borrow_allowed(const struct build_image *image,
                         const struct blob_record *record, rafs_error *err)
{
    const char *what = NULL;

    if (record->features & RAFS_BLOB_ENCRYPTED)
        what = "is encrypted";
    else if (record->features & RAFS_BLOB_EXTERNAL)
        what = "is external: its chunks have no digests";
    else if (record->features & RAFS_BLOB_TARFS)
        what = "is a plain tar: its chunks have no digests";
    if (what)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL,
                          "blob %s %s, and cannot be referred to", record->id, what);
    if (record->digest_algorithm != image->digest_algorithm && image->version == 5)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "blob %s has chunks with another kind of digest", record->id);
    if (record->compressor != image->compressor && image->version == 5)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "blob %s is compressed otherwise than the build, and an image "
                          "of version 5 has one compressor",
                          record->id);
    return RAFS_OK;
}

int rafsi_borrow_blob(struct rafsi_borrow *borrow, const struct blob_record *record,
                      uint32_t layer, uint32_t *number, rafs_error *err)
{
    struct build_image *image = borrow->image;
    struct build_blob *blob;
    int rc;

    if (rafsi_blobs_find(&image->blobs, record->id, number)) {
        if (same_blob(&image->blobs.at[*number].record, record))
            return RAFS_OK;
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_METADATA, NULL,
                          "blob %s is described differently in two places", record->id);
    }
    rc = rafsi_blobs_add(&image->blobs, number, err);
    if (rc < 0)
        return rc;
    blob = &image->blobs.at[*number];
    blob->record = *record;
    blob->record.chunk_size = image->chunk_size;
    /* What it carries is not this image's bootstrap, nor is its name a placeholder. */
    blob->record.features &= ~(uint32_t)RAFS_BLOB_INLINED_FS_META;
    blob->layer = layer;
    return RAFS_OK;
}

static uint64_t place_of(uint64_t seed, uint32_t blob, uint32_t index, uint64_t offset)
{
    uint64_t mixed = (seed ^ ((uint64_t)blob << 32 | index)) * 0x9e3779b97f4a7c15u;

    return ((mixed >> 32 | mixed << 32) ^ offset) * 0xff51afd7ed558ccdu >> 32;
}

/* The slot of a chunk, or the free one where it belongs. */
static uint32_t *probe(const struct rafsi_borrow *borrow, uint32_t blob, uint32_t index,
                       uint64_t offset)
{
    uint32_t i =
        (uint32_t)place_of(borrow->seed, blob, index, offset) & (borrow->room - 1);

    while (borrow->slots[i]) {
        const struct build_chunk *chunk =
            rafsi_chunks_at(&borrow->image->chunks, borrow->slots[i] - 1);

        if (chunk->blob == blob && chunk->index == index &&
            chunk->compressed_offset == offset)
            break;
        i = (i + 1) & (borrow->room - 1);
    }
    return &borrow->slots[i];
}

static int grow(struct rafsi_borrow *borrow, rafs_error *err)
{
    const struct rafsi_env *env = &borrow->image->env;
    struct rafsi_borrow larger = *borrow;
    size_t bytes;

    if (borrow->room > UINT32_MAX / 4)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, NULL,
                          "more than 2^30 chunks of other images");
    larger.room = borrow->room ? borrow->room * 2 : 1024;
    bytes = larger.room * sizeof(*larger.slots);
    larger.slots = rafsi_alloc_zero(env, bytes);
    if (!larger.slots)
        return rafsi_fail_nomem(err, bytes);
    for (uint32_t i = 0; i < borrow->room; i++) {
        const struct build_chunk *chunk;

        if (!borrow->slots[i])
            continue;
        chunk = rafsi_chunks_at(&borrow->image->chunks, borrow->slots[i] - 1);
        *probe(&larger, chunk->blob, chunk->index, chunk->compressed_offset) =
            borrow->slots[i];
    }
    rafsi_free(env, borrow->slots);
    *borrow = larger;
    return RAFS_OK;
}

/* Flags and CRC may differ: older builders do not write one. */
static bool same_chunk(const struct build_chunk *chunk, const struct chunk_record *record)
{
    return memcmp(chunk->digest, record->digest, sizeof(chunk->digest)) == 0 &&
           chunk->compressed_size == record->compressed_size &&
           chunk->uncompressed_size == record->uncompressed_size &&
           chunk->uncompressed_offset == record->uncompressed_offset &&
           (chunk->flags & CHUNK_COMPRESSED) == (record->flags & CHUNK_COMPRESSED);
}

int rafsi_borrow_chunk(struct rafsi_borrow *borrow, const struct chunk_record *record,
                       uint32_t blob, uint32_t *number, rafs_error *err)
{
    struct build_chunks *chunks = &borrow->image->chunks;
    struct build_chunk chunk = {.compressed_offset = record->compressed_offset,
                                .uncompressed_offset = record->uncompressed_offset,
                                .compressed_size = record->compressed_size,
                                .uncompressed_size = record->uncompressed_size,
                                .blob = blob,
                                .index = record->index,
                                .flags = record->flags,
                                .crc32 = record->crc32};
    uint32_t *slot;
    int rc;

    if (borrow->used >= borrow->room / 2) {
        rc = grow(borrow, err);
        if (rc < 0)
            return rc;
    }
    slot = probe(borrow, blob, record->index, record->compressed_offset);
    if (*slot) {
        *number = *slot - 1;
        if (same_chunk(rafsi_chunks_at(chunks, *number), record))
            return RAFS_OK;
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_METADATA, NULL,
                          "chunk %u of blob %s is described differently in two places",
                          record->index, borrow->image->blobs.at[blob].record.id);
    }
    memcpy(chunk.digest, record->digest, sizeof(chunk.digest));
    rc = rafsi_chunks_add(chunks, &chunk, number, err);
    if (rc < 0)
        return rc;
    *slot = *number + 1;
    borrow->used++;
    return RAFS_OK;
}
