/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_TREE_FENCE_H
#define RAFSI_TREE_FENCE_H

/* Entries of chunk arrays by the chunk that they lead to, for a bootstrap whose copy is
 * changed while it is mounted; see rafs/fence.h. */

#include "tree/tree.h"

/* Of one blob, sorted: block in the blob << 32 | place of the entry / 8. */
struct fence_entries {
    uint64_t *items;
    uint64_t count;
    uint64_t room;
};

/* All entries of an image of version 6, one array for each blob; to be freed with
 * rafsi_fence_entries_free() in any case. */
int rafsi_fence_collect(const struct rafsi_tree *tree, const rafs_call *call,
                        struct fence_entries *blobs, rafs_error *err);
void rafsi_fence_entries_free(const struct rafsi_tree *tree, struct fence_entries *blobs);

/* The first item of a chunk at or behind this byte of the blob. */
uint64_t rafsi_fence_first(const struct fence_entries *blob, uint64_t offset);
static inline uint64_t rafsi_fence_offset(uint64_t item)
{
    return (item >> 32) * V6_BLOCK_BYTES;
}
static inline uint64_t rafsi_fence_entry_at(uint64_t item)
{
    return (item & UINT32_MAX) * V6_CHUNK_ADDR_BYTES;
}

#endif
