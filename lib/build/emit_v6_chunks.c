/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/emit_v6.h"

/*
 * The chunk table: a record for each chunk that a file refers to, sorted by digest, blob
 * and number in the blob. The reference keeps one record for a digest and a blob; we keep
 * all, since a chunk that is stored twice (RAFS_DEDUP_NONE) has to be found by each of
 * its numbers.
 */

/* What is sorted: the first bytes of a digest, and the chunk's number below them. */
struct sorting {
    const struct build_chunks *chunks;
    const uint32_t *number; /* of blobs */
    uint64_t *items;
};

static const struct build_chunk *chunk_of(const struct sorting *sorting, uint64_t item)
{
    return rafsi_chunks_at(sorting->chunks, (uint32_t)item);
}

/* Order of chunks that begin alike. Numbers say in which order threads came, and have no
 * part in it: what is equal in all else is the same chunk. */
static int compare(const struct sorting *sorting, uint64_t a, uint64_t b)
{
    const struct build_chunk *x = chunk_of(sorting, a);
    const struct build_chunk *y = chunk_of(sorting, b);
    int order = memcmp(x->digest, y->digest, sizeof(x->digest));

    if (order != 0)
        return order;
    if (x->blob != y->blob)
        return sorting->number[x->blob] < sorting->number[y->blob] ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static bool less(const struct sorting *sorting, uint64_t a, uint64_t b)
{
    if (a >> 32 != b >> 32)
        return a < b;
    return compare(sorting, a, b) < 0;
}

/* Make a heap of [root, count), whose both branches are heaps. */
static void sift(const struct sorting *sorting, uint64_t root, uint64_t count)
{
    uint64_t *items = sorting->items;
    uint64_t item = items[root];

    while (2 * root + 1 < count) {
        uint64_t child = 2 * root + 1;

        if (child + 1 < count && less(sorting, items[child], items[child + 1]))
            child++;
        if (!less(sorting, item, items[child]))
            break;
        items[root] = items[child];
        root = child;
    }
    items[root] = item;
}

/* In place, and as fast for digests that somebody chose. */
static void sort(const struct sorting *sorting, uint64_t count)
{
    for (uint64_t i = count / 2; i-- > 0;)
        sift(sorting, i, count);
    for (uint64_t end = count; end-- > 1;) {
        uint64_t last = sorting->items[end];

        sorting->items[end] = sorting->items[0];
        sorting->items[0] = last;
        sift(sorting, 0, end);
    }
}

static void collect(const struct v6_emit *v6, uint64_t *items)
{
    const struct build_chunks *chunks = &v6->emit.image->chunks;
    uint64_t count = 0;

    for (uint32_t i = 0; i < chunks->count; i++) {
        const uint8_t *digest = rafsi_chunks_at(chunks, i)->digest;
        uint64_t begin = (uint64_t)digest[0] << 24 | (uint64_t)digest[1] << 16 |
                         (uint64_t)digest[2] << 8 | digest[3];

        if (v6->marks[i / 64] >> i % 64 & 1)
            items[count++] = begin << 32 | i;
    }
}

/* A chunk may have come twice, in two images that were merged. */
static uint64_t drop_repeated(const struct sorting *sorting, uint64_t count)
{
    uint64_t kept = 1;

    for (uint64_t i = 1; i < count; i++)
        if (less(sorting, sorting->items[kept - 1], sorting->items[i]))
            sorting->items[kept++] = sorting->items[i];
    return kept;
}

int rafsi_v6_sort_chunks(struct v6_emit *v6)
{
    const struct build_image *image = v6->emit.image;
    uint64_t count = v6->ext.chunk_count;
    struct sorting sorting = {.chunks = &image->chunks, .number = v6->emit.number};

    if (count == 0)
        return RAFS_OK;
    v6->chunks = rafsi_alloc(&image->env, (size_t)count * sizeof(*v6->chunks));
    if (!v6->chunks)
        return rafsi_fail_nomem(v6->emit.err, (size_t)count * sizeof(*v6->chunks));
    sorting.items = v6->chunks;
    collect(v6, sorting.items);
    sort(&sorting, count);
    v6->ext.chunk_count = drop_repeated(&sorting, count);
    return RAFS_OK;
}

static int write_record(struct v6_emit *v6, const struct build_chunk *chunk)
{
    struct chunk_record record;
    uint8_t bytes[CHUNK_RECORD_BYTES];

    rafsi_emit_record(&v6->emit, chunk, 0, &record);
    rafsi_chunk_record_put(&record, bytes);
    return rafsi_emit_put(&v6->emit, bytes, sizeof(bytes));
}

int rafsi_v6_write_chunks(struct v6_emit *v6)
{
    const struct build_chunks *chunks = &v6->emit.image->chunks;
    int rc = rafsi_emit_pad(&v6->emit, v6->ext.chunks_at);

    for (uint64_t i = 0; rc == RAFS_OK && i < v6->ext.chunk_count; i++) {
        rc = rafsi_emit_tick(&v6->emit, i);
        if (rc == RAFS_OK)
            rc = write_record(v6, rafsi_chunks_at(chunks, (uint32_t)v6->chunks[i]));
    }
    return rc;
}
