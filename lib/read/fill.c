/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blob's file made good range by range, for a kernel that reads it without looking at
 * digests. So a chunk counts only when its bytes were seen to be right during the call
 * and are in the file: what the journal says is where to look, what memory has is a
 * source.
 *
 * Order of locks, as for reads: the flight of a digest first (threads), then that of a
 * place (processes). Who waits for the second may hold the first, never the other way.
 */
#include <errno.h>

#include "read/ahead.h"
#include "read/near.h"
#include "read/trace.h"

/* Another process may write a chunk and spoil it, again and again. */
enum { TRIES = 8 };

struct fill {
    struct rafsi_reader *reader;
    const struct v6_places *places;
    uint32_t blob;
    uint64_t size; /* of the blob, in whole blocks */
    uint64_t offset, end;
    const rafs_call *call;
};

static uint64_t block_up(uint64_t at)
{
    return (at + RAFS_FILL_BLOCK - 1) / RAFS_FILL_BLOCK * RAFS_FILL_BLOCK;
}

static uint64_t end_of(struct rafsi_v6_place place)
{
    return place.offset + place.size;
}

/* Copy into the file what another thread fetched, perhaps for another place. */
static int keep_shared(struct fill *fill, const struct rafsi_chunk *chunk,
                       const struct verified *good, bool *done, rafs_error *err)
{
    struct rafsi_store_flight *right;
    int rc = rafsi_kept_right(fill->reader, chunk, fill->call, &right, err);

    if (rc == RAFS_OK && right) {
        rc = rafsi_kept_keep(fill->reader, chunk, right, good, err);
        *done = rc == RAFS_OK;
    }
    rafsi_kept_end(fill->reader, chunk, right);
    return rc;
}

/* With the right to write it: from memory, from another blob, from a source. */
static int obtain(struct fill *fill, const struct rafsi_chunk *chunk,
                  const struct rafsi_cache_key *key, const struct wish *wish,
                  struct verified **good, struct window **rest, bool *fetched,
                  rafs_error *err)
{
    struct rafsi_reader *reader = fill->reader;
    int rc;

    *fetched = false;
    *good = rafsi_cache_get(reader->cache, key);
    if (*good)
        rafsi_stats_chunk(&reader->stats, ORIGIN_MEMORY, wish->cause);
    else
        *good = rafsi_kept_other(reader, chunk, wish->cause, fill->call);
    if (*good) {
        rafsi_fetch_use(reader, chunk, wish);
        return RAFS_OK;
    }
    rc = rafsi_fetch_lead(reader, chunk, wish, fill->call, good, rest, err);
    rafsi_fetch_say_not_cached(reader, rc, err);
    *fetched = rc == RAFS_OK;
    return rc;
}

/* Fetch as the one that all others wait for. They get the chunk even if it cannot be
 * kept. */
static int lead(struct fill *fill, const struct rafsi_chunk *chunk,
                const struct rafsi_cache_key *key, const struct wish *wish,
                struct rafsi_flight *flight, bool *done, rafs_error *err)
{
    struct rafsi_reader *reader = fill->reader;
    rafs_error local = RAFS_ERROR_INIT;
    struct rafsi_store_flight *right;
    struct window *rest = NULL;
    struct verified *good = NULL;
    bool fetched = false;
    int kept = RAFS_OK;
    int rc = rafsi_kept_right(reader, chunk, fill->call, &right, &local);

    if (rc < 0)
        rafsi_fetch_blame(reader, chunk, wish->cause, &local);
    else if (right)
        rc = obtain(fill, chunk, key, wish, &good, &rest, &fetched, &local);
    rafsi_fail_object(&local, rc, "blob %s", reader->tree->blobs[fill->blob].id);
    if (good) {
        kept = rafsi_kept_keep(reader, chunk, right, good, err);
        *done = kept == RAFS_OK;
    }
    if (fetched)
        rafsi_fetch_keep(reader, chunk, key, wish->cause, !*done, good);
    rafsi_kept_end(reader, chunk, right);
    /* Without the right there is nothing to hand on: whoever waits looks for himself. */
    rafsi_flight_land(reader->flights, flight,
                      rc == RAFS_OK && !good ? RAFS_E_CANCELLED : rc, good, &local);
    rafsi_window_finish(reader, rest, fill->call);
    rafsi_verified_drop(good);
    if (rc < 0 && err)
        *err = local;
    return rc < 0 ? rc : kept;
}

static int bring(struct fill *fill, const struct rafsi_chunk *chunk,
                 const struct wish *wish, bool *done, rafs_error *err)
{
    struct rafsi_reader *reader = fill->reader;
    struct rafsi_cache_key key = rafsi_chunk_key(chunk);
    struct rafsi_flight *flight = NULL;
    struct verified *good = NULL;
    int rc = rafsi_fetch_readable(reader, chunk, err);

    if (rc == RAFS_OK)
        rc = rafsi_flight_join(reader->flights, &key, fill->call, &flight, &good, err);
    if (rc < 0)
        return rc;
    if (flight)
        return lead(fill, chunk, &key, wish, flight, done, err);
    rafsi_stats_chunk(&reader->stats, ORIGIN_SHARED, wish->cause);
    rafsi_fetch_use(reader, chunk, wish);
    rc = keep_shared(fill, chunk, good, done, err);
    rafsi_verified_drop(good);
    return rc;
}

/* Make one chunk good in the file. */
static int settle(struct fill *fill, const struct rafsi_chunk *chunk,
                  const struct wish *wish, rafs_error *err)
{
    struct rafsi_reader *reader = fill->reader;
    struct stats *stats = &reader->stats;
    bool done = false;
    int rc = RAFS_OK;

    for (unsigned i = 0; rc == RAFS_OK && !done && i < TRIES; i++) {
        struct stats_timer wait;

        rc = rafsi_call_check(&reader->env, fill->call, RAFS_STAGE_FETCH, err);
        if (rc == RAFS_OK)
            rc = rafsi_kept_verify(reader, chunk, wish->cause, &done, err);
        if (done)
            rafsi_fetch_use(reader, chunk, wish);
        if (rc < 0 || done)
            break;
        wait = rafsi_stats_begin(stats, &stats->waiting);
        rc = bring(fill, chunk, wish, &done, err);
        rafsi_stats_end(stats, &stats->waiting, &stats->waits, &wait);
    }
    if (rc == RAFS_OK && !done)
        rc =
            rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, EIO, NULL,
                          "the chunk at %llu of the cache's file is wrong each time that "
                          "it is read",
                          (unsigned long long)chunk->record.uncompressed_offset);
    return rc;
}

/* Somebody reads it: what he may want next is fetched while he waits. Behind a chunk of
 * which the file is known, that is what lies near to it in the tree. */
static void look_ahead(struct fill *fill, const struct rafsi_chunk *chunk,
                       struct wish *wish, struct rafsi_node *file)
{
    struct rafsi_reader *reader = fill->reader;
    uint64_t at = 0, dir = 0;

    rafsi_tracer_note(reader, NULL, chunk);
    if (reader->near &&
        rafsi_v6_owner(reader->tree, fill->blob, chunk->record.uncompressed_offset, file,
                       &at, &dir)) {
        rafsi_home_note(reader->tree, dir, file->attr.ino);
        wish->file = file;
    }
    if (!rafsi_ahead_flow(reader, chunk, wish->file ? AHEAD_BEGINS : AHEAD_BLIND) &&
        wish->file)
        rafsi_ahead_note(reader, file, at, at + chunk->record.uncompressed_size);
}

/* Number i of the blob's chunks. */
static int fill_chunk(struct fill *fill, uint32_t i, rafs_error *err)
{
    struct rafsi_reader *reader = fill->reader;
    bool ahead = fill->call && (fill->call->flags & RAFS_CALL_AHEAD);
    struct rafsi_v6_place place = rafsi_v6_place(fill->places, i);
    struct wish wish = {.until = fill->end,
                        .cause = ahead ? RAFS_CAUSE_PREFETCH : RAFS_CAUSE_DEMAND,
                        .places = fill->places,
                        .place = i};
    struct rafsi_chunk chunk, found;
    struct rafsi_node file;
    int rc;

    if (place.overlaps)
        return rafsi_fail_at(err, RAFS_E_CORRUPT, RAFS_STAGE_METADATA, NULL, place.offset,
                             "the image has different chunks in one place of the blob");
    rc = rafsi_v6_place_chunk(reader->tree, fill->places, i, &chunk, err);
    if (rc == RAFS_OK && chunk.no_record) {
        rc = rafsi_digest_find(reader, &chunk, fill->call, &found, err);
        if (rc == RAFS_OK)
            chunk = found;
    }
    if (rc < 0)
        return rc;
    if (!ahead)
        look_ahead(fill, &chunk, &wish, &file);
    return settle(fill, &chunk, &wish, err);
}

/* Does a chunk lie in each block of the range? Then it is of no interest what lies
 * between chunks elsewhere. */
static bool is_covered(const struct fill *fill)
{
    uint32_t end = rafsi_v6_place_end(fill->places, fill->blob);
    uint32_t i = rafsi_v6_place_from(fill->places, fill->blob, fill->offset);
    uint64_t at = fill->offset;

    for (; i < end && at < fill->end; i++) {
        struct rafsi_v6_place place = rafsi_v6_place(fill->places, i);

        if (place.offset > at)
            return false;
        if (block_up(end_of(place)) > at)
            at = block_up(end_of(place));
    }
    return at >= fill->end;
}

/* Where what lies before chunk `first` ends, at or before the range. */
static uint64_t begin_of(const struct fill *fill, uint32_t first)
{
    uint32_t start = rafsi_v6_place_from(fill->places, fill->blob, 0);
    uint32_t end = rafsi_v6_place_end(fill->places, fill->blob);
    uint64_t begin = 0;

    if (!rafsi_v6_places_whole(fill->places, fill->blob))
        return first < end ? rafsi_v6_place(fill->places, first).offset : fill->offset;
    for (uint32_t i = first; i > start; i--) {
        struct rafsi_v6_place before = rafsi_v6_place(fill->places, i - 1);

        if (block_up(end_of(before)) > begin)
            begin = block_up(end_of(before));
        if (!before.overlaps)
            break;
    }
    return rafsi_min(begin, fill->offset / RAFS_FILL_BLOCK * RAFS_FILL_BLOCK);
}

/* And where the next chunk begins, `behind` being the first that was not filled. */
static uint64_t end_behind(const struct fill *fill, uint32_t behind)
{
    uint32_t end = rafsi_v6_place_end(fill->places, fill->blob);

    if (!rafsi_v6_places_whole(fill->places, fill->blob))
        return behind > 0 ? block_up(end_of(rafsi_v6_place(fill->places, behind - 1)))
                          : block_up(fill->end);
    return behind < end ? rafsi_v6_place(fill->places, behind).offset : fill->size;
}

static int fill_range(struct fill *fill, struct rafsi_filled *out, rafs_error *err)
{
    struct rafsi_reader *reader = fill->reader;
    uint32_t first, end, i;
    int rc = rafsi_v6_places(reader->tree, false, fill->call, &fill->places, err);

    if (rc == RAFS_OK && !rafsi_v6_places_whole(fill->places, fill->blob) &&
        !is_covered(fill))
        rc = rafsi_v6_places(reader->tree, true, fill->call, &fill->places, err);
    if (rc < 0)
        return rc;
    first = rafsi_v6_place_from(fill->places, fill->blob, fill->offset);
    end = rafsi_v6_place_end(fill->places, fill->blob);
    for (i = first; rc == RAFS_OK && i < end; i++) {
        if (rafsi_v6_place(fill->places, i).offset >= fill->end)
            break;
        rc = fill_chunk(fill, i, err);
    }
    if (rc < 0)
        return rc;
    out->begin = begin_of(fill, first);
    out->end = end_behind(fill, i);
    return RAFS_OK;
}

/* Is chunk number i in the file, and right? What was fetched on a guess is left for the
 * one who reads it: by him we see what guesses are worth. */
static int look_at_kept(struct fill *fill, uint32_t i, bool *good, rafs_error *err)
{
    struct rafsi_reader *reader = fill->reader;
    struct rafsi_chunk chunk;
    int rc;

    *good = false;
    if (rafsi_v6_place(fill->places, i).overlaps)
        return RAFS_OK;
    rc = rafsi_v6_place_chunk(reader->tree, fill->places, i, &chunk, err);
    if (rc < 0 || chunk.no_record || rafsi_unused_has(reader, &chunk))
        return rc;
    rc = rafsi_call_check(&reader->env, fill->call, RAFS_STAGE_FETCH, err);
    return rc == RAFS_OK
               ? rafsi_kept_verify(reader, &chunk, RAFS_CAUSE_PREFETCH, good, err)
               : rc;
}

/* The first chunks in a row. */
static int fill_kept(struct fill *fill, struct rafsi_filled *out, rafs_error *err)
{
    uint32_t end, i, first;
    int rc = rafsi_v6_places(fill->reader->tree, false, fill->call, &fill->places, err);

    if (rc < 0)
        return rc;
    first = i = rafsi_v6_place_from(fill->places, fill->blob, fill->offset);
    end = rafsi_v6_place_end(fill->places, fill->blob);
    for (; rc == RAFS_OK && i < end; i++) {
        uint64_t at = rafsi_v6_place(fill->places, i).offset;
        bool good;

        if (at >= fill->end)
            break;
        rc = look_at_kept(fill, i, &good, err);
        if (!good && first < i)
            break;
        if (!good)
            first = i + 1;
        else if (first == i && at > fill->offset)
            fill->offset = at;
    }
    if (rc < 0)
        return rc;
    out->begin = first < i ? begin_of(fill, first) : block_up(fill->end);
    out->end = first < i ? end_behind(fill, i) : block_up(fill->end);
    return RAFS_OK;
}

/* The blob's size as a device has it. */
static int size_of(const struct rafsi_reader *reader, uint32_t blob, uint64_t *size,
                   rafs_error *err)
{
    const struct rafsi_tree *tree = reader->tree;

    if (tree->super.version != 6)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "image",
                          "is of version 5, whose chunks do not lie on blocks: open what "
                          "rafs_image_write_erofs() makes of it by "
                          "rafs_image_open_erofs()");
    if (blob >= tree->super.blob_count)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "blob",
                          "%u of an image with %u blobs", blob, tree->super.blob_count);
    if (tree->blobs[blob].uncompressed_size > UINT64_MAX - RAFS_FILL_BLOCK)
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_METADATA, "bootstrap",
                          "blob %u of %llu bytes", blob,
                          (unsigned long long)tree->blobs[blob].uncompressed_size);
    *size = block_up(tree->blobs[blob].uncompressed_size);
    return RAFS_OK;
}

int rafsi_reader_fill_file(struct rafsi_reader *reader, uint32_t blob, int *fd,
                           uint64_t *size, const rafs_call *call, rafs_error *err)
{
    uint64_t bytes = 0;
    int rc = size_of(reader, blob, &bytes, err);

    if (rc == RAFS_OK)
        rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_OPEN, err);
    if (rc == RAFS_OK)
        rc = rafsi_kept_hold(reader, blob, bytes, fd, call, err);
    if (rc == RAFS_OK)
        *size = bytes;
    return rc;
}

int rafsi_reader_fill(struct rafsi_reader *reader, uint32_t blob, uint64_t offset,
                      uint64_t len, bool kept, struct rafsi_filled *out,
                      const rafs_call *call, rafs_error *err)
{
    struct fill fill = {.reader = reader, .blob = blob, .offset = offset, .call = call};
    int rc = size_of(reader, blob, &fill.size, err);

    if (rc == RAFS_OK && !rafsi_within(offset, len, fill.size))
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "offset and len",
                        "%llu bytes at %llu of a blob of %llu", (unsigned long long)len,
                        (unsigned long long)offset, (unsigned long long)fill.size);
    if (rc == RAFS_OK)
        rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_FETCH, err);
    if (rc == RAFS_OK)
        rc = rafsi_kept_ready(reader, blob, call, err);
    if (rc < 0)
        return rc;
    fill.end = offset + len;
    out->begin = out->end = offset / RAFS_FILL_BLOCK * RAFS_FILL_BLOCK;
    if (len == 0)
        return RAFS_OK;
    rc = kept ? fill_kept(&fill, out, err) : fill_range(&fill, out, err);
    return rafsi_fail_object(err, rc, "blob %s", reader->tree->blobs[blob].id);
}
