/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "build/relaid.h"

/* What is found out about chunks, by number. */
struct pack {
    struct rafsi_relaid *relaid;
    struct build_image *image;
    uint32_t *same; /* the one that is stored in its place, itself if it is; NO_CHUNK:
                       zeros */
};

static uint32_t algorithm_of(const struct build_image *image,
                             const struct build_chunk *chunk)
{
    return image->blobs.at[chunk->blob].record.digest_algorithm;
}

/* By content, as far as it is known; equal ones by place. */
static int compare(const struct build_image *image, uint32_t a, uint32_t b)
{
    const struct build_chunk *x = rafsi_chunks_at(&image->chunks, a);
    const struct build_chunk *y = rafsi_chunks_at(&image->chunks, b);
    uint32_t x_kind = algorithm_of(image, x), y_kind = algorithm_of(image, y);

    if (x_kind != y_kind)
        return x_kind < y_kind ? -1 : 1;
    if (x->uncompressed_size != y->uncompressed_size)
        return x->uncompressed_size < y->uncompressed_size ? -1 : 1;
    return memcmp(x->digest, y->digest, sizeof(x->digest));
}

static bool before(const struct build_image *image, uint32_t a, uint32_t b)
{
    int order = compare(image, a, b);

    return order != 0 ? order < 0 : rafsi_relaid_before(image, a, b);
}

/* The digest of as many zeros as a full chunk has. */
static int hash_zeros(struct rafsi_hashes *hashes, uint32_t algorithm, uint32_t size,
                      uint8_t out[RAFSI_DIGEST_BYTES], rafs_error *err)
{
    static const uint8_t zeros[V6_BLOCK_BYTES];
    struct rafsi_hash hash = {0};
    int rc = rafsi_hash_begin(hashes, algorithm, &hash, err);

    for (uint32_t at = 0; rc == RAFS_OK && at < size; at += sizeof(zeros))
        rc = rafsi_hash_add(&hash, zeros, sizeof(zeros), err);
    if (rc == RAFS_OK)
        return rafsi_hash_end(&hash, out, err);
    rafsi_hash_drop(&hash);
    return rc;
}

/* A chunk of which nothing is said to be known is like no other. */
static bool known(const struct build_chunk *chunk)
{
    return !(chunk->flags & CHUNK_UNKNOWN) &&
           !rafsi_all_zero(chunk->digest, sizeof(chunk->digest));
}

/* Whatever has the digest of zeros is zeros, or would be refused when it is read. */
static int find_zeros(struct pack *pack, struct rafsi_hashes *hashes, rafs_error *err)
{
    const struct build_image *image = pack->image;
    uint8_t digests[2][RAFSI_DIGEST_BYTES];

    for (uint32_t kind = 0; kind < 2; kind++) {
        int rc = hash_zeros(hashes, kind, image->chunk_size, digests[kind], err);

        if (rc < 0)
            return rc;
    }
    for (uint32_t i = 0; i < image->chunks.count; i++) {
        const struct build_chunk *chunk = rafsi_chunks_at(&image->chunks, i);
        uint32_t kind = algorithm_of(image, chunk);

        if (chunk->uncompressed_size == image->chunk_size && kind < 2 && known(chunk) &&
            memcmp(chunk->digest, digests[kind], RAFSI_DIGEST_BYTES) == 0)
            pack->same[i] = NO_CHUNK;
    }
    return RAFS_OK;
}

/* The first of equal chunks stands for all. */
static int find_same(struct pack *pack, rafs_error *err)
{
    const struct build_image *image = pack->image;
    uint32_t *by_content = NULL;
    uint32_t first = 0;
    int rc = rafsi_relaid_sort(image, before, &by_content, err);

    for (uint32_t i = 0; rc == RAFS_OK && i < image->chunks.count; i++) {
        uint32_t number = by_content[i];

        if (i == 0 || !known(rafsi_chunks_at(&image->chunks, number)) ||
            compare(image, by_content[first], number) != 0)
            first = i;
        pack->same[number] = by_content[first];
    }
    rafsi_free(&image->env, by_content);
    return rc;
}

/* Those that are stored, one after the other; order keeps only them. */
static int place(struct pack *pack, rafs_error *err)
{
    struct rafsi_relaid *relaid = pack->relaid;
    uint64_t end = 0;
    uint32_t kept = 0;
    size_t bytes;

    for (uint32_t i = 0; i < pack->image->chunks.count; i++) {
        uint32_t number = relaid->order[i];

        if (pack->same[number] == number)
            relaid->order[kept++] = number;
    }
    relaid->count = kept;
    bytes = ((size_t)kept + 1) * sizeof(*relaid->was);
    relaid->was = rafsi_alloc(&pack->image->env, bytes);
    if (!relaid->was)
        return rafsi_fail_nomem(err, bytes);
    for (uint32_t i = 0; i < kept; i++) {
        struct build_chunk *chunk =
            rafsi_chunks_at(&pack->image->chunks, relaid->order[i]);

        relaid->was[i] = chunk->uncompressed_offset;
        chunk->uncompressed_offset = end;
        end = rafsi_relaid_round(end + chunk->uncompressed_size);
    }
    pack->image->data_bytes = end;
    return RAFS_OK;
}

/* Files refer to what is stored. */
static int refer(struct pack *pack, const rafs_call *call, rafs_error *err)
{
    struct build_image *image = pack->image;
    int rc = RAFS_OK;

    for (struct build_node *node = image->root; node && rc == RAFS_OK;
         node = rafsi_batched_next(node)) {
        struct build_inode *inode = node->inode;
        uint32_t count = 0;

        rc = rafsi_call_check(&image->env, call, RAFS_STAGE_NONE, err);
        if (S_ISREG(inode->mode))
            (void)rafsi_chunks_of(inode->size, image->chunk_size, &count);
        for (uint32_t i = 0; i < count; i++)
            if (inode->chunks[i] != NO_CHUNK)
                inode->chunks[i] = pack->same[inode->chunks[i]];
    }
    return rc;
}

int rafsi_relaid_pack(struct rafsi_relaid *relaid, struct rafsi_hashes *hashes,
                      const rafs_call *call, rafs_error *err)
{
    struct build_image *image = &relaid->image;
    struct pack pack = {.relaid = relaid, .image = image};
    size_t bytes = ((size_t)image->chunks.count + 1) * sizeof(*pack.same);
    int rc = rafsi_relaid_sort(image, rafsi_relaid_before, &relaid->order, err);

    image->whole = true;
    if (rc == RAFS_OK) {
        pack.same = rafsi_alloc(&image->env, bytes);
        rc = pack.same ? find_same(&pack, err) : rafsi_fail_nomem(err, bytes);
    }
    if (rc == RAFS_OK)
        rc = find_zeros(&pack, hashes, err);
    if (rc == RAFS_OK)
        rc = refer(&pack, call, err);
    if (rc == RAFS_OK)
        rc = place(&pack, err);
    rafsi_free(&image->env, pack.same);
    return rc;
}
