/* SPDX-License-Identifier: Apache-2.0 */
#include "build/relaid.h"

#include <string.h>

#include "build/data.h"
#include "rafs/image.h"

/* What the fields of version 6 and of EROFS can hold. */
#define STORED_MAX (1ull << 40)

int rafsi_relaid_new(const struct rafsi_env *env, const struct rafsi_tree *tree,
                     const rafs_call *call, struct rafsi_relaid *relaid, rafs_error *err)
{
    const struct rafsi_super *super = &tree->super;
    struct build_image *image = &relaid->image;

    memset(relaid, 0, sizeof(*relaid));
    image->env = *env;
    rafsi_arena_init(&image->arena, &image->env);
    image->chunks.env = &image->env;
    image->blobs.env = &image->env;
    image->version = 6;
    image->compressor = super->compressor;
    image->digest_algorithm = super->digest_algorithm;
    image->chunk_size = super->chunk_size;
    image->no_owners = !(super->flags & SB_EXPLICIT_UID_GID);
    image->layers = 1;
    return rafsi_source_tree(image, tree, call, err);
}

void rafsi_relaid_free(struct rafsi_relaid *relaid)
{
    struct build_image *image = &relaid->image;

    rafsi_free(&image->env, relaid->order);
    rafsi_free(&image->env, relaid->was);
    rafsi_chunks_free(&image->chunks);
    rafsi_blobs_free(&image->blobs);
    rafsi_arena_free(&image->arena);
}

/* The order of places. What is equal in all of it is one chunk, in a table of two. */
bool rafsi_relaid_before(const struct build_image *image, uint32_t a, uint32_t b)
{
    const struct build_chunk *x = rafsi_chunks_at(&image->chunks, a);
    const struct build_chunk *y = rafsi_chunks_at(&image->chunks, b);

    if (x->blob != y->blob)
        return x->blob < y->blob;
    if (x->uncompressed_offset != y->uncompressed_offset)
        return x->uncompressed_offset < y->uncompressed_offset;
    if (x->compressed_offset != y->compressed_offset)
        return x->compressed_offset < y->compressed_offset;
    if (x->uncompressed_size != y->uncompressed_size)
        return x->uncompressed_size < y->uncompressed_size;
    if (x->index != y->index)
        return x->index < y->index;
    return memcmp(x->digest, y->digest, sizeof(x->digest)) < 0;
}

/* Two sorted parts, [0, middle) and [middle, count), become one; parts that follow each
 * other already, as they do where a blob was written in the order of its tree, cost one
 * comparison. */
static void merge(const struct build_image *image, rafsi_chunk_before before,
                  uint32_t *at, uint32_t middle, uint32_t count, uint32_t *room)
{
    uint32_t i = 0, k = middle, out = 0;

    if (!before(image, at[middle], at[middle - 1]))
        return;
    memcpy(room, at, middle * sizeof(*at));
    while (i < middle && k < count)
        at[out++] = before(image, at[k], room[i]) ? at[k++] : room[i++];
    memcpy(at + out, room + i, (middle - i) * sizeof(*at));
}

int rafsi_relaid_sort(const struct build_image *image, rafsi_chunk_before before,
                      uint32_t **out, rafs_error *err)
{
    uint64_t count = image->chunks.count;
    size_t bytes = (size_t)(count + 1) * sizeof(uint32_t);
    uint32_t *order = rafsi_alloc(&image->env, bytes);
    uint32_t *room = rafsi_alloc(&image->env, bytes);

    if (!order || !room) {
        rafsi_free(&image->env, order);
        rafsi_free(&image->env, room);
        return rafsi_fail_nomem(err, 2 * bytes);
    }
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    for (uint64_t width = 1; width < count; width *= 2)
        for (uint64_t at = 0; at + width < count; at += 2 * width)
            merge(image, before, order + at, (uint32_t)width,
                  (uint32_t)rafsi_min(2 * width, count - at), room);
    rafsi_free(&image->env, room);
    *out = order;
    return RAFS_OK;
}

/* Do all chunks begin at blocks, and in no block of another one? */
static bool in_place(const struct rafsi_relaid *relaid)
{
    const struct build_chunks *chunks = &relaid->image.chunks;
    uint32_t blob = NO_BLOB;
    uint64_t end = 0;

    for (uint32_t i = 0; i < relaid->count; i++) {
        const struct build_chunk *chunk = rafsi_chunks_at(chunks, relaid->order[i]);

        if (chunk->blob != blob)
            end = 0;
        blob = chunk->blob;
        if (chunk->uncompressed_offset % V6_BLOCK_BYTES != 0 ||
            chunk->uncompressed_offset < end)
            return false;
        end = chunk->uncompressed_offset + chunk->uncompressed_size;
    }
    return true;
}

/* What version 6 says of a blob, which version 5 may not know. Where chunks are stored is
 * in their records; compression information, which v6 blobs have, is none there, and its
 * size is what it would be. */
static int fit_blob(struct blob_record *record, uint32_t chunks, uint64_t stored,
                    uint64_t end, rafs_error *err)
{
    if (record->compressed_size < stored)
        record->compressed_size = stored;
    if (chunks > RAFS_CHUNKS_PER_BLOB_MAX || record->compressed_size > STORED_MAX ||
        end / V6_BLOCK_BYTES >= V6_HOLE)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, record->id,
                          "%u chunks of %llu bytes, stored in %llu: EROFS maps 2^24 "
                          "chunks and 2^44 bytes of a blob, and RAFS v6 stores 2^40",
                          chunks, (unsigned long long)end,
                          (unsigned long long)record->compressed_size);
    record->features = RAFS_BLOB_ALIGNED | RAFS_BLOB_CHUNK_INFO_V2;
    record->chunk_count = chunks;
    record->uncompressed_size = rafsi_relaid_round(end);
    record->ci_offset = record->compressed_size;
    record->ci_uncompressed_size = (uint64_t)chunks * CI_V2_BYTES;
    return RAFS_OK;
}

/* The chunks order[from, until), which are all of a blob, get their places and numbers.
 */
static int place_blob(struct rafsi_relaid *relaid, uint32_t from, uint32_t until,
                      rafs_error *err)
{
    struct build_image *image = &relaid->image;
    struct build_chunk *chunk = NULL;
    uint64_t end = 0, stored = 0, stored_end;

    for (uint32_t i = from; i < until; i++) {
        chunk = rafsi_chunks_at(&image->chunks, relaid->order[i]);
        chunk->index = i - from;
        chunk->flags &= CHUNK_COMPRESSED | CHUNK_HAS_CRC32;
        if (image->moved)
            chunk->uncompressed_offset = rafsi_relaid_round(end);
        end = chunk->uncompressed_offset + chunk->uncompressed_size;
        stored_end = chunk->compressed_offset + chunk->compressed_size;
        stored = stored_end > stored ? stored_end : stored;
    }
    return fit_blob(&image->blobs.at[chunk->blob].record, until - from, stored, end, err);
}

int rafsi_relaid_move(struct rafsi_relaid *relaid, rafs_error *err)
{
    struct build_image *image = &relaid->image;
    uint32_t from = 0;
    int rc = rafsi_relaid_sort(image, rafsi_relaid_before, &relaid->order, err);

    if (rc < 0)
        return rc;
    relaid->count = image->chunks.count;
    image->moved = !in_place(relaid);
    for (uint32_t i = 1; rc == RAFS_OK && i <= relaid->count; i++) {
        const struct build_chunk *first =
            rafsi_chunks_at(&image->chunks, relaid->order[from]);

        if (i < relaid->count &&
            rafsi_chunks_at(&image->chunks, relaid->order[i])->blob == first->blob)
            continue;
        rc = place_blob(relaid, from, i, err);
        from = i;
    }
    return rc;
}
