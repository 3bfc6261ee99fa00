/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/v6_tree.h"

/*
 * The chunk table is sorted by digest, but files name chunks by blob and number. So, when
 * content is first wanted, the table is read once and (blob, number) of all records
 * sorted. Memory is 8 bytes for 80 bytes of the table: in proportion to what is really in
 * the file, not to what it claims.
 *
 * Sorting goes bit by bit, so the order of the image's records makes it no slower, and a
 * search takes no more than 32 steps, whatever numbers the image chose. A hash table has
 * neither property against an image that was made to break it.
 */
struct v6_index {
    uint64_t count;
    uint64_t items[]; /* bits 63-56 blob, 55-32 number, 31-0 record */
};

/* Few large reads: each may have to check more than it asks for. */
#define RECORDS_AT_ONCE 3276 /* 256 KiB */
#define BLOB_AT 32
#define NUMBER_AT 72
#define KEY_LOW_BIT 32
#define INSERTION_MAX 16

static uint64_t make_key(uint32_t blob, uint32_t number)
{
    return (uint64_t)blob << 56 | (uint64_t)number << 32;
}

static void insertion_sort(uint64_t *items, uint64_t count)
{
    for (uint64_t i = 1; i < count; i++) {
        uint64_t item = items[i];
        uint64_t j = i;

        for (; j != 0 && items[j - 1] > item; j--)
            items[j] = items[j - 1];
        items[j] = item;
    }
}

/* Items with the bit clear come first; how many they are. */
static uint64_t partition(uint64_t *items, uint64_t count, unsigned bit)
{
    uint64_t low = 0;
    uint64_t high = count;

    while (low < high) {
        uint64_t item = items[low];

        if (item >> bit & 1) {
            items[low] = items[--high];
            items[high] = item;
        } else {
            low++;
        }
    }
    return low;
}

/* Parts whose upper bits are equal wait on the stack: one for each bit of the key. */
static void sort(uint64_t *items, uint64_t count)
{
    struct {
        uint64_t begin, count;
        unsigned bit; /* not looked at yet, nor those below */
    } stack[64 - KEY_LOW_BIT + 1];
    size_t depth = 0;

    stack[depth++].begin = 0;
    stack[0].count = count;
    stack[0].bit = 64;
    while (depth != 0) {
        uint64_t begin = stack[--depth].begin;
        uint64_t left = stack[depth].count;
        unsigned bit = stack[depth].bit;
        uint64_t zeros;

        if (left <= INSERTION_MAX) {
            insertion_sort(items + begin, left);
            continue;
        }
        if (bit == KEY_LOW_BIT)
            continue; /* all keys are equal, and their order does not matter */
        bit--;
        zeros = partition(items + begin, left, bit);
        stack[depth].begin = begin;
        stack[depth].count = zeros;
        stack[depth++].bit = bit;
        stack[depth].begin = begin + zeros;
        stack[depth].count = left - zeros;
        stack[depth++].bit = bit;
    }
}

/* Key and number of each record in a piece of the table. */
static int take_records(const struct v6_tree *tree, struct span piece, uint64_t first,
                        uint64_t *items, rafs_error *err)
{
    for (uint64_t i = 0; i < piece.len / CHUNK_RECORD_BYTES; i++) {
        struct cursor c = cursor_at_entry(piece, i, CHUNK_RECORD_BYTES);
        uint32_t blob, number;

        take_skip(&c, BLOB_AT);
        blob = take_u32(&c);
        take_skip(&c, NUMBER_AT - BLOB_AT - 4);
        number = take_u32(&c);
        if (blob >= tree->tree.super.blob_count)
            return rafsi_corrupt(err, piece.origin + i * CHUNK_RECORD_BYTES + BLOB_AT,
                                 "chunk in blob %u of %u", blob,
                                 tree->tree.super.blob_count);
        if (number >= RAFS_CHUNKS_PER_BLOB_MAX)
            return rafsi_corrupt(err, piece.origin + i * CHUNK_RECORD_BYTES + NUMBER_AT,
                                 "chunk number %u", number);
        items[i] = make_key(blob, number) | (first + i);
    }
    return RAFS_OK;
}

static int fill(const struct v6_tree *tree, struct v6_index *index, rafs_error *err)
{
    uint64_t at_once = rafsi_min(index->count, RECORDS_AT_ONCE);
    uint8_t *piece = rafsi_alloc(&tree->tree.env, (size_t)at_once * CHUNK_RECORD_BYTES);
    int rc =
        piece ? RAFS_OK : rafsi_fail_nomem(err, (size_t)at_once * CHUNK_RECORD_BYTES);

    for (uint64_t i = 0; rc == RAFS_OK && i < index->count; i += at_once) {
        uint64_t at = tree->ext.chunks_at + i * CHUNK_RECORD_BYTES;
        size_t len = (size_t)rafsi_min(index->count - i, at_once) * CHUNK_RECORD_BYTES;

        rc = rafsi_source_stream(tree->tree.source, at, len, piece, err);
        if (rc == RAFS_OK)
            rc = take_records(tree, (struct span){piece, len, at}, i, index->items + i,
                              err);
    }
    rafsi_free(&tree->tree.env, piece);
    if (rc == RAFS_OK)
        sort(index->items, index->count);
    return rc;
}

static int build(const struct v6_tree *tree, struct v6_index **out, rafs_error *err)
{
    uint64_t count = tree->ext.chunk_count;
    struct v6_index *index;
    size_t size;
    int rc;

    if (count > tree->tree.limits.chunk_index_bytes / sizeof(index->items[0]) ||
        count > UINT32_MAX || count > SIZE_MAX / 16)
        return rafsi_fail_at(
            err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, NULL, tree->ext.chunks_at,
            "%llu chunks need %llu bytes of rafs_limits.chunk_index_bytes",
            (unsigned long long)count, (unsigned long long)count * 8);
    size = sizeof(*index) + (size_t)count * sizeof(index->items[0]);
    index = rafsi_alloc(&tree->tree.env, size);
    if (!index)
        return rafsi_fail_nomem(err, size);
    index->count = count;
    rc = fill(tree, index, err);
    if (rc < 0) {
        rafsi_v6_index_free(&tree->tree.env, index);
        return rc;
    }
    *out = index;
    return RAFS_OK;
}

void rafsi_v6_index_free(const struct rafsi_env *env, struct v6_index *index)
{
    rafsi_free(env, index);
}

/* Threads that come at the same time each build an index, and the first one's stays: a
 * lock would be held while storage is read. */
static int get_index(const struct v6_tree *tree, const struct v6_index **out,
                     rafs_error *err)
{
    struct v6_index *index =
        atomic_load_explicit(&tree->slot->index, memory_order_acquire);
    struct v6_index *expected = NULL;
    int rc;

    if (!index) {
        rc = build(tree, &index, err);
        if (rc < 0)
            return rc;
        if (!atomic_compare_exchange_strong(&tree->slot->index, &expected, index)) {
            rafsi_v6_index_free(&tree->tree.env, index);
            index = expected;
        }
    }
    *out = index;
    return RAFS_OK;
}

int rafsi_v6_find(const struct v6_tree *tree, uint32_t blob, uint32_t chunk, bool *found,
                  uint64_t *record, rafs_error *err)
{
    uint64_t key = make_key(blob, chunk);
    const struct v6_index *index;
    uint64_t low = 0, high;
    int rc = get_index(tree, &index, err);

    if (rc < 0)
        return rc;
    high = index->count;
    while (low < high) { /* to the first item that is not less */
        uint64_t middle = low + (high - low) / 2;

        if (index->items[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < index->count && index->items[low] >> 32 == key >> 32;
    if (!*found)
        return RAFS_OK;
    *record = index->items[low] & UINT32_MAX;
    if (low + 1 < index->count && index->items[low + 1] >> 32 == key >> 32)
        return rafsi_corrupt(err, tree->ext.chunks_at + *record * CHUNK_RECORD_BYTES,
                             "chunk %u of blob %u has two records", chunk, blob);
    return RAFS_OK;
}
