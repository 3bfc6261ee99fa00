/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "tree/v6_tree.h"

/*
 * Which file has a chunk: whoever asks for bytes of a blob reads a file, and what he will
 * want next follows from that. Known once a walk through all files has been made for
 * another reason, and a hint at all times: of files that share a chunk one is named.
 */

struct v6_owner {
    uint32_t block; /* where the chunk begins in its blob */
    uint32_t ino, dir;
    uint32_t number; /* of the chunk in the file */
};

struct v6_owners {
    uint64_t count[V6_BLOBS_MAX], room[V6_BLOBS_MAX];
    struct v6_owner *items[V6_BLOBS_MAX];
    uint64_t bytes; /* of memory */
};

struct v6_owners *rafsi_v6_owners_new(const struct rafsi_tree *tree)
{
    return rafsi_alloc_zero(&tree->env, sizeof(struct v6_owners));
}

void rafsi_v6_owners_free(const struct rafsi_env *env, struct v6_owners *owners)
{
    for (uint32_t i = 0; owners && i < V6_BLOBS_MAX; i++)
        rafsi_free(env, owners->items[i]);
    rafsi_free(env, owners);
}

static bool grow(const struct rafsi_tree *tree, struct v6_owners *owners, uint32_t blob)
{
    uint64_t room = owners->room[blob] ? owners->room[blob] * 2 : 64;
    struct v6_owner *items;

    if (owners->count[blob] < owners->room[blob])
        return true;
    owners->bytes += (room - owners->room[blob]) * sizeof(*items);
    if (owners->bytes > tree->limits.chunk_index_bytes)
        return false;
    items = rafsi_alloc(&tree->env, (size_t)room * sizeof(*items));
    if (!items)
        return false;
    if (owners->count[blob] > 0)
        memcpy(items, owners->items[blob], (size_t)owners->count[blob] * sizeof(*items));
    rafsi_free(&tree->env, owners->items[blob]);
    owners->items[blob] = items;
    owners->room[blob] = room;
    return true;
}

bool rafsi_v6_owners_add(const struct rafsi_tree *tree, struct v6_owners *owners,
                         const struct v6_chunk_addr *addr, uint64_t ino, uint64_t dir,
                         uint64_t number)
{
    uint64_t block = addr->uncompressed_offset / V6_BLOCK_BYTES;

    if (block > UINT32_MAX || ino > UINT32_MAX || dir > UINT32_MAX ||
        number > UINT32_MAX || !grow(tree, owners, addr->blob))
        return false;
    owners->items[addr->blob][owners->count[addr->blob]++] = (struct v6_owner){
        (uint32_t)block, (uint32_t)ino, (uint32_t)dir, (uint32_t)number};
    return true;
}

static int by_block(const void *a, const void *b)
{
    const struct v6_owner *x = a, *y = b;

    if (x->block != y->block)
        return x->block < y->block ? -1 : 1;
    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

void rafsi_v6_owners_publish(const struct rafsi_tree *tree, struct v6_owners *owners)
{
    struct v6_owners *none = NULL;

    for (uint32_t i = 0; i < V6_BLOBS_MAX; i++)
        if (owners->count[i] > 1)
            qsort(owners->items[i], (size_t)owners->count[i], sizeof(*owners->items[i]),
                  by_block);
    if (!atomic_compare_exchange_strong(&v6_tree_of(tree)->slot->owners, &none, owners))
        rafsi_v6_owners_free(&tree->env, owners);
}

/* The first of those that begin at a block. */
static const struct v6_owner *find(const struct v6_owners *owners, uint32_t blob,
                                   uint64_t block)
{
    const struct v6_owner *items = owners->items[blob];
    uint64_t low = 0, high = owners->count[blob];

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (items[middle].block < block)
            low = middle + 1;
        else
            high = middle;
    }
    return low < owners->count[blob] && items[low].block == block ? &items[low] : NULL;
}

bool rafsi_v6_owner(const struct rafsi_tree *tree, uint32_t blob, uint64_t offset,
                    struct rafsi_node *file, uint64_t *file_offset, uint64_t *dir)
{
    const struct v6_owners *owners;
    const struct v6_owner *owner;

    if (tree->super.version != 6 || blob >= V6_BLOBS_MAX)
        return false;
    owners = atomic_load_explicit(&v6_tree_of(tree)->slot->owners, memory_order_acquire);
    owner = owners ? find(owners, blob, offset / V6_BLOCK_BYTES) : NULL;
    if (!owner || rafsi_tree_file(tree, owner->ino, file, NULL) < 0)
        return false;
    *file_offset = (uint64_t)owner->number * tree->super.chunk_size;
    *dir = owner->dir;
    return true;
}
