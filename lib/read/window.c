/* SPDX-License-Identifier: Apache-2.0 */
#include "read/reader.h"

/*
 * A request costs a round trip, so chunks that lie beside each other travel together:
 * those that the same read wants, then, where bytes are cheaper than requests, those that
 * follow. Each chunk is decoded and verified on its own, as if it had come alone.
 */

enum {
    GAP_MAX =
        8192, /* unwanted bytes between two chunks that are cheaper than a request */
    PIECES_MAX = 256,
    ASK_MAX = 2 << 20,       /* stored bytes in one request */
    AUTOMATIC_MAX = 1 << 18, /* of them for nobody in particular */
    EXTRA_FREE = 1 << 18     /* such bytes before any has proved useful */
};

struct piece {
    struct rafsi_chunk chunk;
    struct rafsi_flight *flight; /* NULL: the chunk that was wanted, whose leader lands */
    struct rafsi_store_flight *kept; /* tells other processes; may be NULL */
    uint32_t cause;
};

struct window {
    uint64_t begin, end; /* in the stored blob */
    uint64_t raw_bytes;  /* that its chunks decode to */
    struct rafsi_buffer *bytes;
    size_t source;
    bool aside; /* what is on disk need not be in memory, whoever waits for it */
    uint32_t count;
    struct piece pieces[PIECES_MAX];
};

/* How far a window may go. */
struct bounds {
    uint64_t stored; /* all of it */
    uint64_t extra;  /* of it with chunks that nobody asked for */
    uint64_t gap;    /* between two chunks */
    uint64_t raw;
};

static bool bounds_of(struct rafsi_reader *reader, size_t source, struct bounds *out)
{
    uint64_t merge = reader->tree->limits.merge_bytes;
    uint64_t wanted = atomic_load_explicit(&reader->wanted, memory_order_relaxed);
    uint64_t extra = atomic_load_explicit(&reader->extra, memory_order_relaxed);
    bool remote = rafsi_backend_remote(reader->sources[source]);

    if (merge == 0 && !remote)
        return false;
    out->stored = ASK_MAX;
    out->extra = 0;
    /* What is taken along has to stay until it is used. */
    out->raw = reader->store ? UINT64_MAX : reader->memory_bytes / 4;
    if (rafsi_following(reader))
        merge = 1;
    if (merge > 1)
        out->stored = out->extra = merge;
    else if (merge == 0 && extra < EXTRA_FREE + wanted / 2)
        out->extra = rafsi_min(AUTOMATIC_MAX, EXTRA_FREE + wanted / 2 - extra);
    out->gap = merge == 1 ? 0 : GAP_MAX;
    return true;
}

/* v6: the chunk with the next number, whatever file it is of. */
static bool next_in_blob(struct rafsi_reader *reader, struct rafsi_chunk *chunk)
{
    struct rafsi_chunk next = {.digest_algorithm = chunk->digest_algorithm,
                               .compressor = chunk->compressor};

    if (rafsi_v6_chunk_of(reader->tree, chunk->record.blob, chunk->record.index + 1,
                          &next.record, NULL) < 0)
        return false;
    *chunk = next;
    return true;
}

/* The next chunk of a file before a byte, past holes and past chunks in other blobs. */
static bool next_in_file(struct rafsi_reader *reader, const struct rafsi_node *file,
                         uint64_t until, struct rafsi_chunk *chunk)
{
    struct rafsi_chunk next = *chunk;
    uint64_t end = rafsi_min(until, file->attr.size);

    for (unsigned seen = 0; seen < PIECES_MAX; seen++) {
        uint64_t offset = next.file_offset + next.length;

        if (offset >= end ||
            rafsi_tree_chunk(reader->tree, file, offset, &next, NULL) < 0)
            return false;
        if (next.hole || next.no_record || next.record.blob != chunk->record.blob)
            continue;
        *chunk = next;
        return true;
    }
    return false;
}

/* Take the lead for a chunk unless it is there or under way. The latter ends a window:
 * with what lies behind it, it would travel twice at a time. */
static struct rafsi_flight *board(struct rafsi_reader *reader,
                                  const struct rafsi_chunk *chunk, const rafs_call *call,
                                  struct rafsi_store_flight **kept, bool *busy)
{
    struct rafsi_cache_key key = rafsi_chunk_key(chunk);
    struct rafsi_flight *flight;

    *busy = false;
    if (rafsi_cache_has(reader->cache, &key) || rafsi_kept_has(reader, chunk) ||
        rafsi_kept_elsewhere(reader, chunk))
        return NULL;
    flight = rafsi_flight_try(reader->flights, &key);
    *busy = !flight;
    *kept = NULL;
    if (flight && (rafsi_cache_has(reader->cache, &key) ||
                   !rafsi_kept_claim(reader, chunk, call, kept))) {
        /* The last flight landed meanwhile, or another process fetches it; whoever joined
         * ours looks again. */
        rafsi_flight_land(reader->flights, flight, RAFS_E_CANCELLED, NULL, NULL);
        flight = NULL;
        *busy = true;
    }
    return flight;
}

static void add(struct window *window, const struct rafsi_chunk *chunk,
                struct rafsi_flight *flight, struct rafsi_store_flight *kept,
                uint32_t cause)
{
    window->pieces[window->count++] = (struct piece){*chunk, flight, kept, cause};
    window->end = chunk->record.compressed_offset + chunk->record.compressed_size;
    window->raw_bytes += chunk->record.uncompressed_size;
}

/* Where is a chunk, seen from a window's end? */
enum place { BEHIND, FITS, BEYOND };

static enum place place_of(const struct window *window, const struct bounds *bounds,
                           const struct rafsi_chunk *chunk, uint64_t most)
{
    uint64_t at = chunk->record.compressed_offset;

    if (at < window->end)
        return BEHIND;
    if (at - window->end > bounds->gap ||
        at + chunk->record.compressed_size - window->begin > most ||
        window->raw_bytes + chunk->record.uncompressed_size > bounds->raw)
        return BEYOND;
    return FITS;
}

/* Chunks that the read will want; the same chunk may occur twice in a file. */
static void extend_wanted(struct rafsi_reader *reader, struct window *window,
                          const struct wish *wish, const struct bounds *bounds,
                          const rafs_call *call)
{
    struct rafsi_chunk next = window->pieces[0].chunk;

    for (unsigned seen = 0; window->count < PIECES_MAX && seen < 2 * PIECES_MAX; seen++) {
        struct rafsi_store_flight *kept;
        struct rafsi_flight *flight;
        bool busy = false;
        enum place place;

        if (!next_in_file(reader, wish->file, wish->until, &next))
            break;
        place = place_of(window, bounds, &next, bounds->stored);
        if (place == BEYOND)
            break;
        flight = place == FITS ? board(reader, &next, call, &kept, &busy) : NULL;
        if (busy)
            break;
        if (flight)
            add(window, &next, flight, kept, wish->cause);
    }
}

/* What lies between the last chunk and one of a list: it would travel for nothing, so it
 * is taken along. false: it cannot be, and the window ends before it. */
static bool bridge(struct rafsi_reader *reader, struct window *window,
                   const struct wish *wish, uint64_t until, const rafs_call *call)
{
    struct rafsi_chunk next = window->pieces[window->count - 1].chunk;

    while (window->end < until && window->count < PIECES_MAX - 1) {
        struct rafsi_store_flight *kept;
        struct rafsi_flight *flight;
        bool busy;

        if (!next_in_blob(reader, &next) || next.record.compressed_offset < window->end ||
            next.record.compressed_offset >= until)
            return false;
        flight = board(reader, &next, call, &kept, &busy);
        if (!flight)
            return false;
        add(window, &next, flight, kept, wish->cause);
    }
    return window->end == until;
}

/* Chunks of a list. */
static void extend_listed(struct rafsi_reader *reader, struct window *window,
                          const struct wish *wish, const struct bounds *bounds,
                          const rafs_call *call)
{
    bool v6 = reader->tree->super.version == 6;

    for (size_t i = 0; i < wish->other_count && window->count < PIECES_MAX; i++) {
        const struct rafsi_chunk *next = &wish->others[i];
        uint64_t at = next->record.compressed_offset;
        enum place place = place_of(window, bounds, next, bounds->stored);
        struct rafsi_store_flight *kept;
        struct rafsi_flight *flight;
        bool busy;

        if (next->record.blob != window->pieces[0].chunk.record.blob || place == BEYOND)
            break;
        if (place == BEHIND)
            continue;
        if (at != window->end && !(v6 && bridge(reader, window, wish, at, call)))
            break;
        flight = board(reader, next, call, &kept, &busy);
        if (!flight)
            break;
        add(window, next, flight, kept, wish->cause);
    }
}

/* Chunks that nobody asked for, but that cost no request. v5 has no table of a blob's
 * chunks, so that only those of the same file are known. */
static void extend_extra(struct rafsi_reader *reader, struct window *window,
                         const struct wish *wish, const struct bounds *bounds,
                         const rafs_call *call)
{
    struct rafsi_chunk next = window->pieces[window->count - 1].chunk;
    bool v6 = reader->tree->super.version == 6;
    uint32_t cause = wish->cause == RAFS_CAUSE_DEMAND ? RAFS_CAUSE_AHEAD : wish->cause;

    for (unsigned seen = 0; window->count < PIECES_MAX && seen < 2 * PIECES_MAX; seen++) {
        struct rafsi_store_flight *kept;
        struct rafsi_flight *flight;
        bool busy;

        if (!(v6 ? next_in_blob(reader, &next)
                 : next_in_file(reader, wish->file, UINT64_MAX, &next)) ||
            place_of(window, bounds, &next, bounds->extra) != FITS)
            break;
        flight = board(reader, &next, call, &kept, &busy);
        if (busy)
            break;
        if (flight)
            add(window, &next, flight, kept, cause);
    }
}

/* Chunks of the blob that follow, wanted or not. */
static void extend_blob(struct rafsi_reader *reader, struct window *window,
                        const struct wish *wish, const struct bounds *bounds,
                        const rafs_call *call)
{
    uint32_t end = rafsi_v6_place_end(wish->places, window->pieces[0].chunk.record.blob);
    uint32_t cause = wish->cause == RAFS_CAUSE_DEMAND ? RAFS_CAUSE_AHEAD : wish->cause;

    for (uint32_t i = wish->place + 1;
         i < end && window->count < PIECES_MAX && i - wish->place < 2 * PIECES_MAX; i++) {
        struct rafsi_chunk next;
        struct rafsi_store_flight *kept;
        struct rafsi_flight *flight;
        bool wanted, busy;

        if (rafsi_v6_place_chunk(reader->tree, wish->places, i, &next, NULL) < 0 ||
            !rafsi_plainly_placed(reader, &next))
            break;
        wanted = next.record.uncompressed_offset < wish->until;
        if (place_of(window, bounds, &next, wanted ? bounds->stored : bounds->extra) !=
            FITS)
            break;
        flight = board(reader, &next, call, &kept, &busy);
        if (busy)
            break;
        if (flight)
            add(window, &next, flight, kept, wanted ? wish->cause : cause);
    }
}

static void extend(struct rafsi_reader *reader, struct window *window,
                   const struct wish *wish, struct bounds *bounds, const rafs_call *call)
{
    /* Where the tree says what is near, the crew fetches that; nobody waits for it. */
    bool guessed = reader->near && wish->file &&
                   rafsi_home_of(reader->tree, wish->file->attr.ino) != 0;

    if (guessed)
        bounds->extra = 0;
    if (wish->places) {
        extend_blob(reader, window, wish, bounds, call);
        return;
    }

    if (!wish->file) {
        bounds->gap = NEAR_GAP;
        extend_listed(reader, window, wish, bounds, call);
        return;
    }
    extend_wanted(reader, window, wish, bounds, call);
    if (!guessed)
        extend_extra(reader, window, wish, bounds, call);
}

int rafsi_piece_open(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                     const uint8_t *from, struct worker *worker, struct verified **out,
                     rafs_error *err)
{
    const struct chunk_record *record = &chunk->record;
    struct rafsi_buffer *raw = NULL;
    int rc = rafsi_pool_take(reader->pool, record->uncompressed_size, &raw, err);

    if (rc < 0)
        return rc;
    if (record->flags & CHUNK_COMPRESSED)
        rc = rafsi_decode(worker->decoder, chunk->compressor, from,
                          record->compressed_size, raw->at, raw->len, err);
    else if (record->compressed_size == raw->len)
        memcpy(raw->at, from, raw->len);
    else
        rc = rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_METADATA, NULL,
                        "chunk %u is stored plain in %u bytes, but has %zu",
                        record->index, record->compressed_size, raw->len);
    if (rc == RAFS_OK)
        rc = rafsi_verify(raw, reader->hashes, chunk->digest_algorithm, record->digest,
                          out, err);
    if (rc < 0)
        rafsi_buffer_free(raw);
    return rc;
}

static int open_piece(struct rafsi_reader *reader, const struct window *window,
                      const struct rafsi_chunk *chunk, struct worker *worker,
                      struct verified **out, rafs_error *err)
{
    return rafsi_piece_open(reader, chunk,
                            window->bytes->at +
                                (chunk->record.compressed_offset - window->begin),
                            worker, out, err);
}

/* Give up the flights from one on: whoever waits fetches for himself. */
static void give_up(struct rafsi_reader *reader, struct window *window, uint32_t from)
{
    for (uint32_t i = from; i < window->count; i++) {
        const struct piece *piece = &window->pieces[i];

        rafsi_kept_end(reader, &piece->chunk, piece->kept);
        if (piece->flight)
            rafsi_flight_land(reader->flights, piece->flight, RAFS_E_CANCELLED, NULL,
                              NULL);
    }
    rafsi_buffer_free(window->bytes);
    rafsi_free(&reader->env, window);
}

/* By no more than one try: the chunk that is waited for is asked for alone after that. */
static int travel(struct rafsi_reader *reader, struct window *window,
                  struct search *search, uint32_t cause, const rafs_call *part)
{
    rafs_call once = part ? *part : (rafs_call)RAFS_CALL_INIT;
    rafs_error local = RAFS_ERROR_INIT;
    struct ask ask = {.blob = search->blob,
                      .cause = cause,
                      .offset = window->begin,
                      .len = (size_t)(window->end - window->begin),
                      .source = window->source,
                      .backup = rafsi_search_backup(search)};
    int rc;

    once.flags |= RAFS_CALL_ONCE;
    rc = rafsi_race(reader, &ask, &once, &window->bytes, &local);
    window->source = ask.source;
    return rc;
}

static struct window *make(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                           size_t source)
{
    struct window *window = rafsi_alloc(&reader->env, sizeof(*window));

    if (!window)
        return NULL;
    window->begin = chunk->record.compressed_offset;
    window->raw_bytes = 0;
    window->bytes = NULL;
    window->source = source;
    window->count = 0;
    add(window, chunk, NULL, NULL, RAFS_CAUSE_DEMAND);
    return window;
}

bool rafsi_window_fetch(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                        const struct wish *wish, const rafs_call *call,
                        struct verified **out, struct window **rest)
{
    uint32_t blob = chunk->record.blob;
    struct worker *worker = NULL;
    struct search search;
    struct window *window;
    rafs_error local = RAFS_ERROR_INIT;
    struct bounds bounds;
    const rafs_call *part;
    size_t source;
    int rc;

    if (!rafsi_plainly_placed(reader, chunk))
        return false;
    rafsi_search_begin(&search, reader, blob, ASK_MAX, call);
    if (!rafsi_search_next(&search, &source, &part) ||
        !bounds_of(reader, source, &bounds))
        return false;
    window = make(reader, chunk, source);
    if (!window)
        return false;
    window->aside = wish->places != NULL;
    extend(reader, window, wish, &bounds, call);
    if (window->count == 1) {
        give_up(reader, window, 1);
        return false;
    }
    rc = travel(reader, window, &search, wish->cause, part);
    if (rc == RAFS_OK)
        rc = rafsi_worker_take(reader, &worker, NULL);
    if (rc == RAFS_OK)
        rc = open_piece(reader, window, chunk, worker, out, &local);
    rafsi_worker_give(reader, worker);
    if (rc == RAFS_E_CORRUPT)
        rafsi_blob_strike(reader, blob, window->source, chunk->record.index, wish->cause,
                          &local);
    if ((rc == RAFS_E_BACKEND || rc == RAFS_E_TIMEOUT || rc == RAFS_E_CORRUPT) &&
        rafsi_call_check(&reader->env, call, RAFS_STAGE_FETCH, NULL) == RAFS_OK)
        rafsi_search_turn(reader, blob, window->source);
    if (rc < 0) {
        give_up(reader, window, 1);
        return false;
    }
    *rest = window;
    return true;
}

static int finish_piece(struct rafsi_reader *reader, const struct window *window,
                        struct piece *piece, struct worker *worker, const rafs_call *call)
{
    struct rafsi_cache_key key = rafsi_chunk_key(&piece->chunk);
    rafs_error local = RAFS_ERROR_INIT;
    struct verified *good = NULL;
    int rc = open_piece(reader, window, &piece->chunk, worker, &good, &local);

    if (rc == RAFS_OK) {
        bool there = rafsi_kept_put(reader, &piece->chunk, piece->kept, good, call);

        rafsi_fetch_keep(reader, &piece->chunk, &key, piece->cause,
                         !there || (piece->cause == RAFS_CAUSE_DEMAND && !window->aside),
                         good);
    } else if (rc == RAFS_E_CORRUPT)
        rafsi_blob_strike(reader, piece->chunk.record.blob, window->source,
                          piece->chunk.record.index, piece->cause, &local);
    rafsi_kept_end(reader, &piece->chunk, piece->kept);
    rafsi_flight_land(reader->flights, piece->flight,
                      rc == RAFS_OK ? RAFS_OK : RAFS_E_CANCELLED, good, NULL);
    rafsi_verified_drop(good);
    return rc;
}

void rafsi_window_finish(struct rafsi_reader *reader, struct window *window,
                         const rafs_call *call)
{
    struct worker *worker = NULL;
    uint32_t i = 1;
    int rc;

    if (!window)
        return;
    rc = rafsi_worker_take(reader, &worker, NULL);
    while (rc == RAFS_OK && i < window->count) {
        finish_piece(reader, window, &window->pieces[i], worker, call);
        i++;
        rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_FETCH, NULL);
    }
    rafsi_worker_give(reader, worker);
    give_up(reader, window, i);
}
