/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "tree/v5_tree.h"

static int record(const struct rafsi_tree *tree, const struct rafsi_node *file,
                  uint32_t i, struct chunk_record *out, rafs_error *err)
{
    uint64_t at = file->v5.chunks_at + (uint64_t)i * CHUNK_RECORD_BYTES;
    uint8_t scratch[CHUNK_RECORD_BYTES];
    const uint8_t *bytes;
    int rc = rafsi_source_view(tree->source, at, sizeof(scratch), scratch, &bytes, err);

    if (rc == RAFS_OK)
        rc = rafsi_chunk_record((struct span){bytes, sizeof(scratch), at},
                                tree->super.chunk_size, out, err);
    return rc;
}

/* What a chunk says of its blob. Sizes are 0 where there is no extended table. */
static int check_blob(const struct rafsi_tree *tree, const struct chunk_record *chunk,
                      uint64_t at, rafs_error *err)
{
    const struct blob_record *blob;

    if (chunk->blob >= tree->super.blob_count)
        return rafsi_corrupt(err, at + 32, "chunk names blob %u of %u", chunk->blob,
                             tree->super.blob_count);
    blob = &tree->blobs[chunk->blob];
    if (chunk->flags & (CHUNK_ENCRYPTED | CHUNK_BATCH))
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, at + 36,
                             "%s chunk in a v5 image",
                             chunk->flags & CHUNK_BATCH ? "batch" : "encrypted");
    if (!(chunk->flags & CHUNK_COMPRESSED) &&
        chunk->compressed_size != chunk->uncompressed_size)
        return rafsi_corrupt(err, at + 40, "plain chunk of %u bytes is stored in %u",
                             chunk->uncompressed_size, chunk->compressed_size);
    if (blob->chunk_count != 0 && chunk->index >= blob->chunk_count)
        return rafsi_corrupt(err, at + 72, "chunk %u of a blob of %u", chunk->index,
                             blob->chunk_count);
    if (blob->compressed_size != 0 &&
        !rafsi_within(chunk->compressed_offset, chunk->compressed_size,
                      blob->compressed_size))
        return rafsi_corrupt(err, at + 48, "chunk lies outside its blob of %llu bytes",
                             (unsigned long long)blob->compressed_size);
    if (blob->uncompressed_size != 0 &&
        !rafsi_within(chunk->uncompressed_offset, chunk->uncompressed_size,
                      blob->uncompressed_size))
        return rafsi_corrupt(err, at + 56,
                             "chunk lies outside its plain blob of %llu bytes",
                             (unsigned long long)blob->uncompressed_size);
    return RAFS_OK;
}

static int give(const struct rafsi_tree *tree, const struct chunk_record *chunk,
                uint64_t at, struct rafsi_chunk *out, rafs_error *err)
{
    bool hole = chunk->flags & CHUNK_HOLE;
    int rc = hole ? RAFS_OK : check_blob(tree, chunk, at, err);

    if (rc < 0)
        return rc;
    memset(out, 0, sizeof(*out));
    out->file_offset = chunk->file_offset;
    out->length = chunk->uncompressed_size;
    out->hole = hole;
    if (hole)
        return RAFS_OK;
    out->record = *chunk;
    out->digest_algorithm = tree->super.digest_algorithm;
    out->compressor = chunk->flags & CHUNK_COMPRESSED ? tree->super.compressor : 0;
    return RAFS_OK;
}

/* All chunks but the last are full, so that the position gives the number. */
static int dense_chunk(const struct rafsi_tree *tree, const struct rafsi_node *file,
                       uint64_t offset, struct rafsi_chunk *out, rafs_error *err)
{
    uint32_t i = (uint32_t)(offset / tree->super.chunk_size);
    uint64_t at = file->v5.chunks_at + (uint64_t)i * CHUNK_RECORD_BYTES;
    uint64_t begin = (uint64_t)i * tree->super.chunk_size;
    struct chunk_record chunk;
    int rc = record(tree, file, i, &chunk, err);

    if (rc < 0)
        return rc;
    if (chunk.file_offset != begin)
        return rafsi_corrupt(err, at + 64, "chunk %u of a file belongs at %llu, not %llu",
                             i, (unsigned long long)begin,
                             (unsigned long long)chunk.file_offset);
    if (chunk.uncompressed_size !=
        rafsi_min(tree->super.chunk_size, file->v5.size - begin))
        return rafsi_corrupt(err, at + 44, "chunk %u of a file has %u bytes", i,
                             chunk.uncompressed_size);
    return give(tree, &chunk, at, out, err);
}

/* How many chunks begin at or before offset: the last of them is the one, or a hole
 * follows it. */
static int chunks_before(const struct rafsi_tree *tree, const struct rafsi_node *file,
                         uint64_t offset, uint32_t *count, rafs_error *err)
{
    uint32_t low = 0;
    uint32_t high = file->v5.child_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct chunk_record chunk;
        int rc = record(tree, file, middle, &chunk, err);

        if (rc < 0)
            return rc;
        if (chunk.file_offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    *count = low;
    return RAFS_OK;
}

static int sparse_chunk(const struct rafsi_tree *tree, const struct rafsi_node *file,
                        uint64_t offset, struct rafsi_chunk *out, rafs_error *err)
{
    struct chunk_record before = {.file_offset = 0};
    struct chunk_record after = {.file_offset = file->v5.size};
    uint64_t end = 0; /* of the chunk before */
    uint64_t at = file->v5.chunks_at;
    uint32_t count;
    int rc = chunks_before(tree, file, offset, &count, err);

    if (rc == RAFS_OK && count > 0) {
        at += (uint64_t)(count - 1) * CHUNK_RECORD_BYTES;
        rc = record(tree, file, count - 1, &before, err);
        end = before.file_offset + before.uncompressed_size;
    }
    if (rc == RAFS_OK && count < file->v5.child_count)
        rc = record(tree, file, count, &after, err);
    if (rc < 0)
        return rc;
    if (end > after.file_offset || after.file_offset > file->v5.size ||
        after.file_offset <= offset)
        return rafsi_corrupt(err, at + 64,
                             "chunks of a file overlap or are not in order");
    if (offset < end)
        return give(tree, &before, at, out, err);
    memset(out, 0, sizeof(*out));
    out->hole = true;
    out->file_offset = end;
    out->length = after.file_offset - end;
    return RAFS_OK;
}

int rafsi_v5_chunk(const struct rafsi_tree *tree, const struct rafsi_node *file,
                   uint64_t offset, struct rafsi_chunk *out, rafs_error *err)
{
    if (offset >= file->v5.size)
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_METADATA, NULL,
                          "no chunk at the end of a file");
    if (file->v5.flags & V5_INODE_HAS_HOLE)
        return sparse_chunk(tree, file, offset, out, err);
    return dense_chunk(tree, file, offset, out, err);
}
