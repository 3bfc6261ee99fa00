/* SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree/v6_tree.h"
#include "tree/walk.h"

struct collecting {
    const struct rafsi_tree *tree;
    struct fence_entries *blobs;
    uint64_t bytes;           /* of memory */
    struct v6_owners *owners; /* NULL: no more of them */
    uint64_t ino, dir;        /* of the file that is looked at */
};

static void note_owner(struct collecting *c, const struct v6_chunk_addr *addr,
                       uint64_t number)
{
    if (!c->owners ||
        rafsi_v6_owners_add(c->tree, c->owners, addr, c->ino, c->dir, number))
        return;
    rafsi_v6_owners_free(&c->tree->env, c->owners);
    c->owners = NULL;
}

/* Room for one more of `each` bytes. */
static int grow(struct collecting *c, void **array, uint64_t count, uint64_t *room,
                size_t each, rafs_error *err)
{
    uint64_t more = *room ? *room * 2 : 64;
    void *larger;

    if (count < *room)
        return RAFS_OK;
    c->bytes += (more - *room) * each;
    if (c->bytes > c->tree->limits.chunk_index_bytes)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, NULL,
                          "more chunks than fit in chunk_index_bytes");
    larger = rafsi_alloc(&c->tree->env, (size_t)more * each);
    if (!larger)
        return rafsi_fail_nomem(err, (size_t)more * each);
    if (count > 0)
        memcpy(larger, *array, (size_t)count * each);
    rafsi_free(&c->tree->env, *array);
    *array = larger;
    *room = more;
    return RAFS_OK;
}

static int read_entry(const struct rafsi_tree *tree, uint64_t at,
                      struct v6_chunk_addr *addr, rafs_error *err)
{
    uint8_t scratch[V6_CHUNK_ADDR_BYTES];
    const uint8_t *bytes;
    int rc = rafsi_source_view(tree->source, at, sizeof(scratch), scratch, &bytes, err);

    if (rc == RAFS_OK)
        rc = rafsi_v6_chunk_addr((struct span){bytes, sizeof(scratch), at},
                                 tree->super.blob_count, addr, err);
    if (rc == RAFS_OK && at / V6_CHUNK_ADDR_BYTES > UINT32_MAX)
        rc = rafsi_fail_at(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, NULL, at,
                           "bootstrap of more than 32 GiB");
    return rc;
}

static uint64_t item_of(const struct v6_chunk_addr *addr, uint64_t at)
{
    return addr->uncompressed_offset / V6_BLOCK_BYTES << 32 | at / V6_CHUNK_ADDR_BYTES;
}

static int take_entry(struct collecting *c, uint64_t at, uint64_t number, rafs_error *err)
{
    struct v6_chunk_addr addr;
    struct fence_entries *blob;
    void *items;
    int rc = read_entry(c->tree, at, &addr, err);

    if (rc < 0 || addr.hole)
        return rc;
    note_owner(c, &addr, number);
    blob = &c->blobs[addr.blob];
    items = blob->items;
    rc = grow(c, &items, blob->count, &blob->room, sizeof(*blob->items), err);
    blob->items = items;
    if (rc == RAFS_OK)
        blob->items[blob->count++] = item_of(&addr, at);
    return rc;
}

/* The entries have to say what the kernel takes for granted. */
static int check_run(struct collecting *c, const struct rafsi_node *file, uint64_t at,
                     uint64_t count, const struct v6_chunk_addr *first, rafs_error *err)
{
    uint32_t chunk_size = c->tree->super.chunk_size;
    int rc = first->hole ? RAFS_E_CORRUPT : RAFS_OK;

    for (uint64_t i = 1; rc == RAFS_OK && i < count; i++) {
        struct v6_chunk_addr addr;

        rc = read_entry(c->tree, at + i * V6_CHUNK_ADDR_BYTES, &addr, err);
        if (rc < 0)
            return rc;
        if (addr.hole || addr.blob != first->blob ||
            addr.uncompressed_offset != first->uncompressed_offset + i * chunk_size)
            rc = RAFS_E_CORRUPT;
        else
            note_owner(c, &addr, i);
    }
    return rc == RAFS_OK ? rc
                         : rafsi_corrupt(err, file->at + 16,
                                         "chunks of a file lie apart, and the kernel is "
                                         "told that they do not");
}

static int take_run(struct collecting *c, const struct rafsi_node *file, uint64_t at,
                    uint64_t count, rafs_error *err)
{
    struct v6_chunk_addr addr;
    struct fence_entries *blob;
    void *runs;
    int rc = read_entry(c->tree, at, &addr, err);

    if (rc == RAFS_OK)
        rc = check_run(c, file, at, count, &addr, err);
    if (rc < 0)
        return rc;
    note_owner(c, &addr, 0);
    blob = &c->blobs[addr.blob];
    runs = blob->runs;
    rc = grow(c, &runs, blob->run_count, &blob->run_room, sizeof(*blob->runs), err);
    blob->runs = runs;
    if (rc == RAFS_OK)
        blob->runs[blob->run_count++] =
            (struct fence_run){item_of(&addr, at), file->v6.size};
    return rc;
}

static int take_file(struct collecting *c, const struct rafsi_node *file, rafs_error *err)
{
    uint32_t chunk_size = c->tree->super.chunk_size;
    uint64_t count = file->v6.size / chunk_size + (file->v6.size % chunk_size != 0);
    uint64_t at = rafsi_v6_chunk_array(file);
    int rc = RAFS_OK;

    /* The array lies in the file: rafsi_v6_node() looked. */
    if (count > 0 && rafsi_v6_is_run(&file->v6, chunk_size))
        return take_run(c, file, at, count, err);
    for (uint64_t i = 0; rc == RAFS_OK && i < count; i++)
        rc = take_entry(c, at + i * V6_CHUNK_ADDR_BYTES, i, err);
    return rc;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static int by_item(const void *a, const void *b)
{
    return by_number(&((const struct fence_run *)a)->item,
                     &((const struct fence_run *)b)->item);
}

/* Sorted, and each once: a file with several names was met as often. */
static void order(struct fence_entries *blob)
{
    uint64_t kept = 0;

    if (blob->count > 0) {
        qsort(blob->items, (size_t)blob->count, sizeof(*blob->items), by_number);
        for (uint64_t i = 1; i < blob->count; i++)
            if (blob->items[i] != blob->items[kept])
                blob->items[++kept] = blob->items[i];
        blob->count = kept + 1;
    }
    kept = 0;
    if (blob->run_count > 0) {
        qsort(blob->runs, (size_t)blob->run_count, sizeof(*blob->runs), by_item);
        for (uint64_t i = 1; i < blob->run_count; i++)
            if (blob->runs[i].item != blob->runs[kept].item)
                blob->runs[++kept] = blob->runs[i];
        blob->run_count = kept + 1;
    }
}

int rafsi_fence_collect(const struct rafsi_tree *tree, const rafs_call *call,
                        struct fence_entries *blobs, struct v6_owners **owners,
                        rafs_error *err)
{
    struct collecting c = {
        .tree = tree, .blobs = blobs, .owners = rafsi_v6_owners_new(tree)};
    const rafs_walk_entry *step = NULL;
    struct rafsi_walk *walk = NULL;
    uint64_t seen = 0;
    int rc = rafsi_walk_new(tree, "/", &walk, err);

    while (rc == RAFS_OK) {
        rc = rafsi_walk_step(walk, &step, err);
        if (rc < 0 || !step)
            break;
        c.ino = step->attr.ino;
        c.dir = step->parent;
        if (S_ISREG(step->attr.mode))
            rc = take_file(&c, rafsi_walk_node(walk), err);
        if (rc == RAFS_OK && ++seen % 256 == 0)
            rc = rafsi_call_check(&tree->env, call, RAFS_STAGE_METADATA, err);
    }
    rafsi_walk_free(walk);
    for (uint32_t i = 0; rc == RAFS_OK && i < tree->super.blob_count; i++)
        order(&blobs[i]);
    *owners = c.owners;
    return rc;
}

void rafsi_fence_entries_free(const struct rafsi_tree *tree, struct fence_entries *blobs)
{
    for (uint32_t i = 0; blobs && i < tree->super.blob_count; i++) {
        rafsi_free(&tree->env, blobs[i].items);
        rafsi_free(&tree->env, blobs[i].runs);
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
