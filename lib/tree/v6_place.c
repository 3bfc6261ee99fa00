/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "tree/v6_place.h"

/*
 * Chunks by where they lie in their blob, as whoever fills a device of EROFS needs them:
 * the kernel asks for bytes of the uncompressed blob and knows neither files nor chunks.
 *
 * Made in one pass through the chunk table when first wanted, 12 bytes a chunk, sorted
 * digit by digit: nothing in an image chooses how long that takes.
 *
 * Where the table has a record of each chunk of a blob, what lies between them is no
 * chunk, and nothing else has to be read. Else (merged images have no records of what
 * upper layers hide, other blobs have no records at all) files may name chunks there, and
 * only a walk through all of them can tell.
 */
enum { RECORDS_AT_ONCE = 3276 }; /* 256 KiB */

static bool has_records(const struct blob_record *blob)
{
    return !(blob->features & (RAFS_BLOB_CHUNKDICT | RAFS_BLOB_EXTERNAL));
}

/* ---- from the table -------------------------------------------------------------- */

/* Which numbers of a blob have records: a bit each, for blobs that may be complete. */
struct seen {
    uint64_t begin[V6_BLOBS_MAX]; /* first bit of each; UINT64_MAX: none */
    uint32_t count[V6_BLOBS_MAX];
    uint8_t *bits;
};

static int seen_new(const struct v6_tree *tree, struct seen *seen, rafs_error *err)
{
    uint64_t bits = 0;

    memset(seen, 0, sizeof(*seen));
    for (uint32_t i = 0; i < tree->tree.super.blob_count; i++) {
        uint32_t chunks = tree->tree.blobs[i].chunk_count;
        bool possible =
            chunks <= tree->ext.chunk_count && has_records(&tree->tree.blobs[i]);

        seen->begin[i] = possible ? bits : UINT64_MAX;
        bits += possible ? chunks : 0;
    }
    seen->bits = rafsi_alloc_zero(&tree->tree.env, (size_t)(bits / 8 + 1));
    return seen->bits ? RAFS_OK : rafsi_fail_nomem(err, (size_t)(bits / 8 + 1));
}

static bool seen_before(struct seen *seen, uint32_t blob, uint32_t number)
{
    uint64_t bit = seen->begin[blob] + number;
    uint8_t mask = (uint8_t)(1u << bit % 8);
    bool before;

    if (seen->begin[blob] == UINT64_MAX)
        return false;
    before = seen->bits[bit / 8] & mask;
    seen->bits[bit / 8] |= mask;
    seen->count[blob] += !before;
    return before;
}

static int add_record(const struct v6_tree *tree, struct v6_places *places,
                      struct seen *seen, const struct chunk_record *record,
                      uint32_t number, uint64_t at, rafs_error *err)
{
    const struct blob_record *blob;

    if (record->blob >= tree->tree.super.blob_count)
        return rafsi_corrupt(err, at + 32, "chunk in blob %u of %u", record->blob,
                             tree->tree.super.blob_count);
    blob = &tree->tree.blobs[record->blob];
    if (!has_records(blob))
        return RAFS_OK;
    if (record->index >= blob->chunk_count)
        return rafsi_corrupt(err, at + 72, "chunk %u of %u", record->index,
                             blob->chunk_count);
    if (record->uncompressed_size == 0 ||
        record->uncompressed_size > RAFS_CHUNK_SIZE_MAX ||
        record->uncompressed_offset % V6_BLOCK_BYTES != 0 ||
        record->uncompressed_offset / V6_BLOCK_BYTES > UINT32_MAX ||
        !rafsi_within(record->uncompressed_offset, record->uncompressed_size,
                      blob->uncompressed_size))
        return rafsi_corrupt(err, at + 56, "chunk lies beyond its uncompressed blob");
    if (seen_before(seen, record->blob, record->index))
        return rafsi_corrupt(err, at, "chunk %u of blob %u has two records",
                             record->index, record->blob);
    places->items[places->count++] = (struct v6_place){
        .block = (uint32_t)(record->uncompressed_offset / V6_BLOCK_BYTES),
        .blob_size = record->blob << 24 | (record->uncompressed_size - 1),
        .record = number};
    return RAFS_OK;
}

static int add_records(const struct v6_tree *tree, struct v6_places *places,
                       struct seen *seen, struct span piece, uint32_t first,
                       rafs_error *err)
{
    int rc = RAFS_OK;

    for (uint32_t i = 0; rc == RAFS_OK && i < piece.len / CHUNK_RECORD_BYTES; i++) {
        struct cursor c = cursor_at_entry(piece, i, CHUNK_RECORD_BYTES);
        struct chunk_record record;

        take_skip(&c, RAFSI_DIGEST_BYTES);
        record.blob = take_u32(&c);
        take_skip(&c, 8);
        record.uncompressed_size = take_u32(&c);
        take_skip(&c, 8);
        record.uncompressed_offset = take_u64(&c);
        take_skip(&c, 8);
        record.index = take_u32(&c);
        rc = add_record(tree, places, seen, &record, first + i,
                        piece.origin + (uint64_t)i * CHUNK_RECORD_BYTES, err);
    }
    return rc;
}

static int read_table(const struct v6_tree *tree, struct v6_places *places,
                      struct seen *seen, const rafs_call *call, rafs_error *err)
{
    uint64_t count = tree->ext.chunk_count;
    uint64_t at_once = rafsi_min(count ? count : 1, RECORDS_AT_ONCE);
    uint8_t *piece = rafsi_alloc(&tree->tree.env, (size_t)at_once * CHUNK_RECORD_BYTES);
    int rc = piece ? RAFS_OK : rafsi_fail_nomem(err, RECORDS_AT_ONCE);

    for (uint64_t i = 0; rc == RAFS_OK && i < count; i += at_once) {
        uint64_t at = tree->ext.chunks_at + i * CHUNK_RECORD_BYTES;
        size_t len = (size_t)rafsi_min(count - i, at_once) * CHUNK_RECORD_BYTES;

        rc = rafsi_call_check(&tree->tree.env, call, RAFS_STAGE_METADATA, err);
        if (rc == RAFS_OK)
            rc = rafsi_source_stream(tree->tree.source, at, len, piece, err);
        if (rc == RAFS_OK)
            rc = add_records(tree, places, seen, (struct span){piece, len, at},
                             (uint32_t)i, err);
    }
    rafsi_free(&tree->tree.env, piece);
    return rc;
}

/* As many chunks as the other index may have. */
static int make(const struct v6_tree *tree, uint64_t room, struct v6_places **out,
                rafs_error *err)
{
    struct v6_places *places;
    size_t size;

    if (room > tree->tree.limits.chunk_index_bytes / 8 || room > PLACE_NUMBER ||
        room > SIZE_MAX / 32)
        return rafsi_fail_at(
            err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, NULL, tree->ext.chunks_at,
            "%llu chunks need %llu bytes of rafs_limits.chunk_index_bytes",
            (unsigned long long)room, (unsigned long long)room * 8);
    size = sizeof(*places) + (size_t)room * sizeof(places->items[0]);
    places = rafsi_alloc(&tree->tree.env, size);
    if (!places)
        return rafsi_fail_nomem(err, size);
    memset(places, 0, sizeof(*places));
    places->room = (uint32_t)room;
    *out = places;
    return RAFS_OK;
}

static int from_table(const struct v6_tree *tree, const rafs_call *call,
                      struct v6_places **out, rafs_error *err)
{
    struct v6_places *places = NULL;
    struct seen seen = {.bits = NULL};
    int rc = make(tree, tree->ext.chunk_count, &places, err);

    if (rc == RAFS_OK)
        rc = seen_new(tree, &seen, err);
    if (rc == RAFS_OK)
        rc = read_table(tree, places, &seen, call, err);
    if (rc == RAFS_OK)
        rc = rafsi_v6_places_arrange(tree, places, err);
    for (uint32_t i = 0; rc == RAFS_OK && i < tree->tree.super.blob_count; i++)
        places->whole[i] = seen.begin[i] != UINT64_MAX &&
                           seen.count[i] == tree->tree.blobs[i].chunk_count;
    rafsi_free(&tree->tree.env, seen.bits);
    if (rc == RAFS_OK)
        *out = places;
    else
        rafsi_free(&tree->tree.env, places);
    return rc;
}

/* ---- from the files -------------------------------------------------------------- */

static int grow(const struct v6_tree *tree, struct v6_places **places, rafs_error *err)
{
    struct v6_places *larger = NULL;
    int rc = make(tree, 2 * (uint64_t)(*places)->room + 64, &larger, err);

    if (rc < 0)
        return rc;
    memcpy(larger->items, (*places)->items,
           (size_t)(*places)->count * sizeof(larger->items[0]));
    larger->count = (*places)->count;
    rafsi_free(&tree->tree.env, *places);
    *places = larger;
    return RAFS_OK;
}

/* A chunk that only a file tells of. */
static int add_unrecorded(const struct v6_tree *tree, struct v6_places **places,
                          const struct rafsi_chunk *chunk, rafs_error *err)
{
    const struct chunk_record *record = &chunk->record;

    if ((*places)->count == (*places)->room) {
        int rc = grow(tree, places, err);

        if (rc < 0)
            return rc;
    }
    (*places)->items[(*places)->count++] = (struct v6_place){
        .block = (uint32_t)(record->uncompressed_offset / V6_BLOCK_BYTES),
        .blob_size = record->blob << 24 | (record->uncompressed_size - 1),
        .record = record->index | PLACE_IN_FILE};
    return RAFS_OK;
}

static int add_file(const struct v6_tree *tree, const struct rafsi_node *file,
                    struct v6_places **places, const rafs_call *call, rafs_error *err)
{
    uint64_t at = 0;
    int rc = RAFS_OK;

    while (rc == RAFS_OK && at < file->attr.size) {
        struct rafsi_chunk chunk;

        rc = rafsi_call_check(&tree->tree.env, call, RAFS_STAGE_METADATA, err);
        if (rc == RAFS_OK)
            rc = rafsi_tree_chunk(&tree->tree, file, at, &chunk, err);
        if (rc < 0)
            break;
        at = chunk.file_offset + chunk.length;
        if (!chunk.hole && chunk.no_record)
            rc = add_unrecorded(tree, places, &chunk, err);
    }
    return rc;
}

static int add_files(const struct v6_tree *tree, struct v6_places **places,
                     const rafs_call *call, rafs_error *err)
{
    const rafs_walk_entry *entry = NULL;
    struct rafsi_walk *walk = NULL;
    int rc = rafsi_walk_new(&tree->tree, "/", &walk, err);

    while (rc == RAFS_OK) {
        struct rafsi_node file;

        rc = rafsi_call_check(&tree->tree.env, call, RAFS_STAGE_METADATA, err);
        if (rc == RAFS_OK)
            rc = rafsi_walk_step(walk, &entry, err);
        if (rc < 0 || !entry)
            break;
        if (!S_ISREG(entry->attr.mode))
            continue;
        rc = rafsi_tree_file(&tree->tree, entry->ino, &file, err);
        if (rc == RAFS_OK)
            rc = add_file(tree, &file, places, call, err);
    }
    rafsi_walk_free(walk);
    return rc;
}

static int from_files(const struct v6_tree *tree, const struct v6_places *known,
                      const rafs_call *call, struct v6_places **out, rafs_error *err)
{
    struct v6_places *places = NULL;
    int rc = make(tree, known->count, &places, err);

    if (rc < 0)
        return rc;
    memcpy(places->items, known->items, (size_t)known->count * sizeof(places->items[0]));
    places->count = known->count;
    rc = add_files(tree, &places, call, err);
    if (rc == RAFS_OK && places->count > known->count) {
        rc = rafsi_v6_places_arrange(tree, places, err);
    } else if (rc == RAFS_OK) {
        memcpy(places->first, known->first, sizeof(places->first));
    }
    if (rc < 0) {
        rafsi_free(&tree->tree.env, places);
        return rc;
    }
    memset(places->whole, true, sizeof(places->whole));
    *out = places;
    return RAFS_OK;
}

/* ---- for readers ----------------------------------------------------------------- */

/* Of threads that come at the same time, the first one's stays. */
static const struct v6_places *publish(const struct v6_tree *tree,
                                       _Atomic(struct v6_places *) *slot,
                                       struct v6_places *made)
{
    struct v6_places *present = NULL;

    if (atomic_compare_exchange_strong(slot, &present, made))
        return made;
    rafsi_free(&tree->tree.env, made);
    return present;
}

int rafsi_v6_places(const struct rafsi_tree *tree, bool whole, const rafs_call *call,
                    const struct v6_places **out, rafs_error *err)
{
    const struct v6_tree *v6 = v6_tree_of(tree);
    struct v6_places *made = NULL;
    const struct v6_places *known;
    int rc = RAFS_OK;

    known = atomic_load_explicit(&v6->slot->whole_places, memory_order_acquire);
    if (!known && !whole)
        known = atomic_load_explicit(&v6->slot->places, memory_order_acquire);
    if (known) {
        *out = known;
        return RAFS_OK;
    }
    if (!whole) {
        rc = from_table(v6, call, &made, err);
        if (rc == RAFS_OK)
            *out = publish(v6, &v6->slot->places, made);
        return rafsi_fail_object(err, rc, "bootstrap");
    }
    rc = rafsi_v6_places(tree, false, call, &known, err);
    if (rc == RAFS_OK)
        rc = from_files(v6, known, call, &made, err);
    if (rc == RAFS_OK)
        *out = publish(v6, &v6->slot->whole_places, made);
    return rafsi_fail_object(err, rc, "bootstrap");
}

bool rafsi_v6_places_whole(const struct v6_places *places, uint32_t blob)
{
    return places->whole[blob];
}

uint32_t rafsi_v6_place_end(const struct v6_places *places, uint32_t blob)
{
    return places->first[blob + 1];
}

/* Whoever reaches into another one that begins after it is marked, and so is that one:
 * going back past what is marked finds the first. */
uint32_t rafsi_v6_place_from(const struct v6_places *places, uint32_t blob,
                             uint64_t offset)
{
    uint32_t low = places->first[blob], high = places->first[blob + 1];
    const struct v6_place *items = places->items;

    while (low < high) { /* to the first that begins behind offset */
        uint32_t middle = low + (high - low) / 2;

        if (place_start(&items[middle]) > offset)
            high = middle;
        else
            low = middle + 1;
    }
    while (low > places->first[blob] &&
           (place_end(&items[low - 1]) > offset ||
            ((items[low - 1].record & PLACE_OVERLAPS) &&
             place_start(&items[low - 1]) + RAFS_CHUNK_SIZE_MAX > offset)))
        low--;
    while (low < places->first[blob + 1] && place_end(&items[low]) <= offset)
        low++;
    return low;
}

struct rafsi_v6_place rafsi_v6_place(const struct v6_places *places, uint32_t i)
{
    const struct v6_place *place = &places->items[i];

    return (struct rafsi_v6_place){.offset = place_start(place),
                                   .size = place_size(place),
                                   .overlaps = place->record & PLACE_OVERLAPS};
}

int rafsi_v6_place_chunk(const struct rafsi_tree *tree, const struct v6_places *places,
                         uint32_t i, struct rafsi_chunk *out, rafs_error *err)
{
    const struct v6_place *place = &places->items[i];
    uint32_t blob = place_blob(place);
    struct rafsi_chunk chunk = {.length = place_size(place),
                                .digest_algorithm = tree->blobs[blob].digest_algorithm,
                                .compressor = tree->blobs[blob].compressor};
    int rc = RAFS_OK;

    if (place->record & PLACE_IN_FILE) {
        chunk.no_record = true;
        chunk.record.blob = blob;
        chunk.record.index = place->record & PLACE_NUMBER;
        chunk.record.uncompressed_offset = place_start(place);
        chunk.record.uncompressed_size = place_size(place);
    } else {
        rc = rafsi_v6_chunk_at(tree, place->record & PLACE_NUMBER, &chunk.record, err);
    }
    if (rc == RAFS_OK && (chunk.record.blob != blob ||
                          chunk.record.uncompressed_offset != place_start(place) ||
                          chunk.record.uncompressed_size != place_size(place)))
        rc = rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_METADATA, NULL,
                        "the index of places leads to another record");
    if (rc == RAFS_OK)
        *out = chunk;
    return rafsi_fail_object(err, rc, "bootstrap");
}

void rafsi_v6_places_free(const struct rafsi_env *env, struct v6_places *places)
{
    rafsi_free(env, places);
}
