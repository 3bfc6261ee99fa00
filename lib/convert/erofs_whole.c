/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/erofs_impl.h"

#include <string.h>

/*
 * One file with all of an image: metadata, whose places follow from sizes alone, then
 * chunks in the order in which blobs have them. So it is written from start to end, and
 * no more of the content than a few chunks is in memory at a time.
 */

enum { AT_ONCE = 64 /* chunks that may travel together */ };

struct whole {
    struct erofs_out *out;
    struct rafsi_relaid relaid;
    uint32_t *blobs; /* of the tree, by number in relaid.image.blobs */
    uint64_t data_at;
    uint32_t done; /* chunks of relaid.order that were given out */
};

static int pad(struct erofs_out *out, uint64_t until, const rafs_call *call,
               rafs_error *err)
{
    static const uint8_t zeros[V6_BLOCK_BYTES];
    uint64_t len = until - out->written;

    if (len == 0)
        return RAFS_OK;
    if (until < out->written || len > sizeof(zeros))
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_NONE, "erofs",
                          "byte %llu was placed behind byte %llu",
                          (unsigned long long)until, (unsigned long long)out->written);
    return rafsi_erofs_put(out, zeros, (size_t)len, call, err);
}

/* A verified chunk, at its place. */
static int take(void *user, size_t i, const uint8_t *bytes, size_t len,
                const rafs_call *call, rafs_error *err)
{
    struct whole *whole = user;
    const struct rafsi_relaid *relaid = &whole->relaid;
    const struct build_chunk *chunk =
        rafsi_chunks_at(&relaid->image.chunks, relaid->order[whole->done + i]);
    int rc = pad(whole->out, whole->data_at + chunk->uncompressed_offset, call, err);

    return rc < 0 ? rc : rafsi_erofs_put(whole->out, bytes, len, call, err);
}

/* What the image says of order[i], as its tree would. */
static void chunk_of(const struct whole *whole, uint32_t i, struct rafsi_chunk *out)
{
    const struct rafsi_relaid *relaid = &whole->relaid;
    const struct rafsi_tree *tree = whole->out->erofs->tree;
    const struct build_chunk *chunk =
        rafsi_chunks_at(&relaid->image.chunks, relaid->order[i]);
    const struct blob_record *blob = &tree->blobs[whole->blobs[chunk->blob]];
    bool plain = tree->super.version == 5 && !(chunk->flags & CHUNK_COMPRESSED);

    *out = (struct rafsi_chunk){
        .length = chunk->uncompressed_size,
        .no_record = chunk->flags & CHUNK_UNKNOWN,
        .digest_algorithm = blob->digest_algorithm,
        .compressor = plain ? RAFS_COMPRESSOR_NONE : blob->compressor,
        .record = {.blob = whole->blobs[chunk->blob],
                   .flags = chunk->flags & ~(uint32_t)CHUNK_UNKNOWN,
                   .compressed_size = chunk->compressed_size,
                   .uncompressed_size = chunk->uncompressed_size,
                   .compressed_offset = chunk->compressed_offset,
                   .uncompressed_offset = relaid->was[i],
                   .index = chunk->index,
                   .crc32 = chunk->crc32}};
    memcpy(out->record.digest, chunk->digest, sizeof(out->record.digest));
}

static int write_content(struct whole *whole, const rafs_call *call, rafs_error *err)
{
    const struct rafsi_erofs *erofs = whole->out->erofs;
    size_t bytes = AT_ONCE * sizeof(struct rafsi_chunk);
    struct rafsi_chunk *chunks = rafsi_alloc(erofs->env, bytes);
    int rc = chunks ? RAFS_OK : rafsi_fail_nomem(err, bytes);

    while (rc == RAFS_OK && whole->done < whole->relaid.count) {
        uint32_t count = (uint32_t)rafsi_min(AT_ONCE, whole->relaid.count - whole->done);

        for (uint32_t i = 0; i < count; i++)
            chunk_of(whole, whole->done + i, &chunks[i]);
        rc = rafsi_reader_chunks(erofs->reader, chunks, count, take, whole, call, err);
        whole->done += count;
    }
    rafsi_free(erofs->env, chunks);
    return rc < 0 ? rc : pad(whole->out, whole->out->total, call, err);
}

/* Blobs were numbered anew as files came. */
static int find_blobs(struct whole *whole, rafs_error *err)
{
    const struct rafsi_tree *tree = whole->out->erofs->tree;
    const struct build_blobs *blobs = &whole->relaid.image.blobs;
    size_t bytes = (blobs->count + (size_t)1) * sizeof(*whole->blobs);

    whole->blobs = rafsi_alloc_zero(whole->out->erofs->env, bytes);
    if (!whole->blobs)
        return rafsi_fail_nomem(err, bytes);
    for (uint32_t i = 0; i < blobs->count; i++)
        for (uint32_t k = 0; k < tree->super.blob_count; k++)
            if (strcmp(tree->blobs[k].id, blobs->at[i].record.id) == 0) {
                whole->blobs[i] = k;
                break;
            }
    return RAFS_OK;
}

int rafsi_erofs_whole(struct erofs_out *out, rafs_erofs_result *result,
                      const rafs_call *call, rafs_error *err)
{
    const struct rafsi_erofs *erofs = out->erofs;
    struct whole whole = {.out = out, .relaid = {.image = {.env = *erofs->env}}};
    int rc = rafsi_erofs_take_in(erofs, &whole.relaid, call, err);

    if (rc == RAFS_OK)
        rc = find_blobs(&whole, err);
    if (rc == RAFS_OK)
        rc = rafsi_relaid_pack(&whole.relaid, erofs->hashes, call, err);
    if (rc == RAFS_OK)
        rc = rafsi_emit_v6(&whole.relaid.image, NULL, rafsi_erofs_put, out, call, err);
    if (rc == RAFS_OK) {
        whole.data_at = out->written;
        result->data_bytes = whole.relaid.image.data_bytes;
        out->total = whole.data_at + result->data_bytes;
        rc = write_content(&whole, call, err);
    }
    rafsi_free(erofs->env, whole.blobs);
    rafsi_relaid_free(&whole.relaid);
    return rc;
}
