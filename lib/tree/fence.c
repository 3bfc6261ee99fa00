/* SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree/v6_tree.h"
#include "tree/walk.h"

struct collecting {
    const struct rafsi_tree *tree;
    struct fence_entries *blobs;
    uint64_t bytes; /* of memory */
};

static int grow(struct collecting *c, struct fence_entries *blob, rafs_error *err)
{
    uint64_t room = blob->room ? blob->room * 2 : 512;
    uint64_t *items;

    c->bytes += (room - blob->room) * sizeof(*items);
    if (c->bytes > c->tree->limits.chunk_index_bytes)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, NULL,
                          "more chunks than fit in chunk_index_bytes");
    items = rafsi_alloc(&c->tree->env, (size_t)room * sizeof(*items));
    if (!items)
        return rafsi_fail_nomem(err, (size_t)room * sizeof(*items));
    if (blob->count > 0)
        memcpy(items, blob->items, (size_t)blob->count * sizeof(*items));
    rafsi_free(&c->tree->env, blob->items);
    blob->items = items;
    blob->room = room;
    return RAFS_OK;
}

static int take_entry(struct collecting *c, uint64_t at, rafs_error *err)
{
    const struct rafsi_tree *tree = c->tree;
    uint8_t scratch[V6_CHUNK_ADDR_BYTES];
    struct v6_chunk_addr addr;
    struct fence_entries *blob;
    const uint8_t *bytes;
    int rc = rafsi_source_view(tree->source, at, sizeof(scratch), scratch, &bytes, err);

    if (rc == RAFS_OK)
        rc = rafsi_v6_chunk_addr((struct span){bytes, sizeof(scratch), at},
                                 tree->super.blob_count, &addr, err);
    if (rc < 0 || addr.hole)
        return rc;
    if (at / V6_CHUNK_ADDR_BYTES > UINT32_MAX)
        return rafsi_fail_at(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, NULL, at,
                             "bootstrap of more than 32 GiB");
    blob = &c->blobs[addr.blob];
    if (blob->count == blob->room)
        rc = grow(c, blob, err);
    if (rc == RAFS_OK)
        blob->items[blob->count++] =
            addr.uncompressed_offset / V6_BLOCK_BYTES << 32 | at / V6_CHUNK_ADDR_BYTES;
    return rc;
}

static int take_file(struct collecting *c, const struct rafsi_node *file, rafs_error *err)
{
    uint32_t chunk_size = c->tree->super.chunk_size;
    uint64_t count = file->v6.size / chunk_size + (file->v6.size % chunk_size != 0);
    uint64_t at = rafsi_v6_chunk_array(file);
    int rc = RAFS_OK;

    /* The array lies in the file: rafsi_v6_node() looked. */
    for (uint64_t i = 0; rc == RAFS_OK && i < count; i++)
        rc = take_entry(c, at + i * V6_CHUNK_ADDR_BYTES, err);
    return rc;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Sorted, and each once: a file with several names was met as often. */
static void order(struct fence_entries *blob)
{
    uint64_t kept = 0;

    if (blob->count == 0)
        return;
    qsort(blob->items, (size_t)blob->count, sizeof(*blob->items), by_number);
    for (uint64_t i = 1; i < blob->count; i++)
        if (blob->items[i] != blob->items[kept])
            blob->items[++kept] = blob->items[i];
    blob->count = kept + 1;
}

int rafsi_fence_collect(const struct rafsi_tree *tree, const rafs_call *call,
                        struct fence_entries *blobs, rafs_error *err)
{
    struct collecting c = {.tree = tree, .blobs = blobs};
    const rafs_walk_entry *step = NULL;
    struct rafsi_walk *walk = NULL;
    uint64_t seen = 0;
    int rc = rafsi_walk_new(tree, "/", &walk, err);

    while (rc == RAFS_OK) {
        rc = rafsi_walk_step(walk, &step, err);
        if (rc < 0 || !step)
            break;
        if (S_ISREG(step->attr.mode))
            rc = take_file(&c, rafsi_walk_node(walk), err);
        if (rc == RAFS_OK && ++seen % 256 == 0)
            rc = rafsi_call_check(&tree->env, call, RAFS_STAGE_METADATA, err);
    }
    rafsi_walk_free(walk);
    for (uint32_t i = 0; rc == RAFS_OK && i < tree->super.blob_count; i++)
        order(&blobs[i]);
    return rc;
}

void rafsi_fence_entries_free(const struct rafsi_tree *tree, struct fence_entries *blobs)
{
    for (uint32_t i = 0; blobs && i < tree->super.blob_count; i++) {
        rafsi_free(&tree->env, blobs[i].items);
        blobs[i] = (struct fence_entries){0};
    }
}

uint64_t rafsi_fence_first(const struct fence_entries *blob, uint64_t offset)
{
    uint64_t key = (offset / V6_BLOCK_BYTES + (offset % V6_BLOCK_BYTES != 0)) << 32;
    uint64_t low = 0, high = blob->count;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (blob->items[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
