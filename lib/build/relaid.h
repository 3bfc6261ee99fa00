/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_RELAID_H
#define RAFSI_BUILD_RELAID_H

/*
 * An image that is laid out anew as version 6: the same tree, blobs and chunks, at other
 * places. Without a builder, for nothing is stored, filtered or merged, and a mount waits
 * for it: the walk gives names in order and once, so that no table of them is needed.
 *
 *   source_tree.c    tree → struct build_image, sealed
 *   relaid.c         where chunks lie in their blobs
 *   relaid_pack.c    or all together behind the metadata
 *   emit_v6.c        bytes
 */

#include "build/image.h"
#include "tree/tree.h"

struct rafsi_relaid {
    struct build_image image;
    uint32_t
        *order;     /* numbers of chunks, in the order of their places; by _move, _pack */
    uint32_t count; /* of them */
    uint64_t *was;  /* by _pack: where order[i] lies in its uncompressed blob */
};

/* Cleared but for image.env; to be freed in any case. The tree is not needed after it. */
int rafsi_relaid_new(const struct rafsi_env *env, const struct rafsi_tree *tree,
                     const rafs_call *call, struct rafsi_relaid *relaid, rafs_error *err);
void rafsi_relaid_free(struct rafsi_relaid *relaid);

/*
 * Chunks lie in their blobs at multiples of V6_BLOCK_BYTES: where they are, if all of
 * them do so already and none overlaps another one, else each at the next one in the
 * order of where they were (image.moved). Blobs get what version 6 wants of them.
 */
int rafsi_relaid_move(struct rafsi_relaid *relaid, rafs_error *err);

/*
 * Chunks lie behind the metadata, at multiples of V6_BLOCK_BYTES, in the order of their
 * blobs and of where they are in those: equal ones once, and full ones of zeros not at
 * all (image.whole). Each is what its record says; order has those that are stored.
 */
int rafsi_relaid_pack(struct rafsi_relaid *relaid, struct rafsi_hashes *hashes,
                      const rafs_call *call, rafs_error *err);

/* relaid.c: numbers of all chunks in some order; stable, and fast for what is in order
 * already. To be freed by rafsi_free(). */
typedef bool (*rafsi_chunk_before)(const struct build_image *image, uint32_t a,
                                   uint32_t b);
int rafsi_relaid_sort(const struct build_image *image, rafsi_chunk_before before,
                      uint32_t **out, rafs_error *err);
/* By blob and place in it. */
bool rafsi_relaid_before(const struct build_image *image, uint32_t a, uint32_t b);
static inline uint64_t rafsi_relaid_round(uint64_t value)
{
    return (value + V6_BLOCK_BYTES - 1) & ~(uint64_t)(V6_BLOCK_BYTES - 1);
}

/* source_tree.c: all of the tree, and what is to be prefetched. Chunks without a record
 * have CHUNK_UNKNOWN in their flags and no digest. */
enum { CHUNK_UNKNOWN = 0x40000000 };
int rafsi_source_tree(struct build_image *image, const struct rafsi_tree *tree,
                      const rafs_call *call, rafs_error *err);

#endif
