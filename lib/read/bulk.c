/* SPDX-License-Identifier: Apache-2.0 */
#include "read/bulk.h"

enum { PIECES_MAX = 512 };

struct piece {
    struct rafsi_chunk chunk;
    struct rafsi_flight *flight;
    struct rafsi_store_flight *kept;
};

struct bulk {
    struct rafsi_reader *reader;
    uint64_t most;
    bool memory; /* chunks go into memory too */
    uint32_t cause;
    uint64_t begin, end; /* in the stored blob */
    uint32_t count;
    struct piece pieces[PIECES_MAX];
};

int rafsi_bulk_new(struct rafsi_reader *reader, uint64_t most, uint32_t cause,
                   struct bulk **out, rafs_error *err)
{
    struct bulk *bulk = rafsi_alloc(&reader->env, sizeof(*bulk));

    if (!bulk)
        return rafsi_fail_nomem(err, sizeof(*bulk));
    bulk->reader = reader;
    bulk->most = most;
    bulk->memory = cause == RAFS_CAUSE_AHEAD || !reader->store;
    bulk->cause = cause;
    bulk->count = 0;
    *out = bulk;
    return RAFS_OK;
}

static void land(struct bulk *bulk, struct piece *piece, int rc, struct verified *good)
{
    rafsi_kept_end(bulk->reader, &piece->chunk, piece->kept);
    rafsi_flight_land(bulk->reader->flights, piece->flight, rc, good, NULL);
}

/* Whoever waits for the pieces from one on fetches for himself. */
static void give_up(struct bulk *bulk, uint32_t from)
{
    for (uint32_t i = from; i < bulk->count; i++)
        land(bulk, &bulk->pieces[i], RAFS_E_CANCELLED, NULL);
    bulk->count = 0;
}

void rafsi_bulk_free(struct bulk *bulk)
{
    if (!bulk)
        return;
    give_up(bulk, 0);
    rafsi_free(&bulk->reader->env, bulk);
}

/* Is it where this bulk is to put it? */
static bool have(struct bulk *bulk, const struct rafsi_chunk *chunk,
                 const struct rafsi_cache_key *key, const rafs_call *call)
{
    struct rafsi_reader *reader = bulk->reader;
    struct verified *good;

    if (bulk->memory && rafsi_cache_has(reader->cache, key))
        return true;
    if (rafsi_kept_open(reader, chunk->record.blob, call) &&
        rafsi_kept_has(reader, chunk))
        return true;
    good = bulk->memory ? NULL : rafsi_cache_get(reader->cache, key);
    if (!good)
        return false;
    rafsi_kept_put(reader, chunk, NULL, good, call);
    rafsi_verified_drop(good);
    return true;
}

static bool fits(const struct bulk *bulk, const struct chunk_record *record)
{
    uint64_t at = record->compressed_offset;

    if (bulk->count == 0)
        return true;
    if (bulk->count == PIECES_MAX || at < bulk->end ||
        record->blob != bulk->pieces[0].chunk.record.blob ||
        !rafsi_plainly_placed(bulk->reader, &bulk->pieces[0].chunk))
        return false;
    return at - bulk->end <= BULK_GAP &&
           at + record->compressed_size - bulk->begin <= bulk->most;
}

/* The cache had it after all, perhaps in another blob. */
static void take_over(struct bulk *bulk, struct piece *piece,
                      const struct rafsi_cache_key *key, struct verified *good,
                      const rafs_call *call)
{
    if (bulk->memory)
        rafsi_cache_put(bulk->reader->cache, key, good);
    rafsi_kept_put(bulk->reader, &piece->chunk, piece->kept, good, call);
    land(bulk, piece, RAFS_OK, good);
    rafsi_verified_drop(good);
}

static enum bulk_place board(struct bulk *bulk, const struct rafsi_chunk *chunk,
                             const struct rafsi_cache_key *key, const rafs_call *call)
{
    struct rafsi_reader *reader = bulk->reader;
    struct piece *piece = &bulk->pieces[bulk->count];
    struct verified *good = NULL;

    piece->chunk = *chunk;
    piece->kept = NULL;
    piece->flight = rafsi_flight_try(reader->flights, key);
    if (!piece->flight)
        return BULK_ELSEWHERE;
    if (!rafsi_kept_try(reader, chunk, bulk->cause, call, &piece->kept, &good)) {
        land(bulk, piece, RAFS_E_CANCELLED, NULL);
        return BULK_ELSEWHERE;
    }
    if (good) {
        take_over(bulk, piece, key, good, call);
        return BULK_HAVE;
    }
    /* The last flight may have landed between our look and ours. */
    if (have(bulk, chunk, key, call)) {
        land(bulk, piece, RAFS_E_CANCELLED, NULL);
        return BULK_HAVE;
    }
    if (bulk->count++ == 0)
        bulk->begin = chunk->record.compressed_offset;
    bulk->end = chunk->record.compressed_offset + chunk->record.compressed_size;
    return BULK_ADDED;
}

int rafsi_bulk_add(struct bulk *bulk, const struct rafsi_chunk *chunk,
                   const rafs_call *call, enum bulk_place *place, rafs_error *err)
{
    struct rafsi_chunk found;
    struct rafsi_cache_key key;
    int rc = rafsi_blob_readable(bulk->reader->tree, chunk->record.blob, err);

    if (rc < 0)
        return rafsi_fail_object(err, rc, "blob %s",
                                 bulk->reader->tree->blobs[chunk->record.blob].id);
    if (chunk->no_record) {
        rc = rafsi_digest_find(bulk->reader, chunk, call, &found, err);
        if (rc < 0)
            return rc;
        chunk = &found;
    }
    key = rafsi_chunk_key(chunk);
    if (have(bulk, chunk, &key, call))
        *place = BULK_HAVE;
    else if (!fits(bulk, &chunk->record) ||
             (bulk->count > 0 && !rafsi_plainly_placed(bulk->reader, chunk)))
        *place = BULK_FULL;
    else
        *place = board(bulk, chunk, &key, call);
    return RAFS_OK;
}

static void keep(struct bulk *bulk, struct piece *piece, struct verified *good,
                 const rafs_call *call, struct bulk_result *result)
{
    struct rafsi_reader *reader = bulk->reader;
    struct rafsi_cache_key key = rafsi_chunk_key(&piece->chunk);

    if (bulk->cause == RAFS_CAUSE_AHEAD) {
        rafsi_fetch_keep(reader, &piece->chunk, &key, bulk->cause, true, good);
    } else {
        if (bulk->memory)
            rafsi_cache_put(reader->cache, &key, good);
        rafsi_stats_chunk(&reader->stats, ORIGIN_FETCHED, bulk->cause);
    }
    rafsi_kept_put(reader, &piece->chunk, piece->kept, good, call);
    result->fetched++;
    result->fetched_bytes += piece->chunk.record.compressed_size;
    if (reader->store && !rafsi_kept_has(reader, &piece->chunk))
        result->unkept++;
}

static bool is_our_own(int rc)
{
    return rc == RAFS_E_CANCELLED || rc == RAFS_E_NOMEM || rc == RAFS_E_LIMIT ||
           rc == RAFS_E_BUG;
}

/* A chunk that the large request did not bring, from whatever source has it. */
static int fetch_alone(struct bulk *bulk, struct piece *piece, const rafs_call *call,
                       struct verified **good, struct bulk_result *result,
                       rafs_error *err)
{
    struct rafsi_reader *reader = bulk->reader;
    rafs_error local = RAFS_ERROR_INIT;
    int rc = rafsi_fetch_fresh(reader, &piece->chunk, bulk->cause, call, good, &local);

    result->asked_bytes += piece->chunk.record.compressed_size;
    if (rc == RAFS_OK)
        return rc;
    rafsi_fail_object(&local, rc, "blob %s",
                      reader->tree->blobs[piece->chunk.record.blob].id);
    if (!is_our_own(rc) && result->failed++ == 0)
        result->error = local;
    if (err)
        *err = local;
    return rc;
}

/* The one large request; NULL: each chunk is to be fetched alone. */
static struct rafsi_buffer *travel(struct bulk *bulk, const rafs_call *call,
                                   size_t *source, struct bulk_result *result)
{
    struct rafsi_reader *reader = bulk->reader;
    struct ask ask = {.blob = bulk->pieces[0].chunk.record.blob,
                      .cause = bulk->cause,
                      .offset = bulk->begin,
                      .len = (size_t)(bulk->end - bulk->begin)};
    rafs_error local = RAFS_ERROR_INIT;
    struct rafsi_buffer *bytes = NULL;
    const rafs_call *part;
    struct search search;
    rafs_call once;

    if (bulk->count == 1)
        return NULL;
    rafsi_search_begin(&search, reader, ask.blob, ask.len, call);
    if (!rafsi_search_next(&search, &ask.source, &part))
        return NULL;
    once = part ? *part : (rafs_call)RAFS_CALL_INIT;
    once.flags |= RAFS_CALL_ONCE;
    ask.backup = rafsi_search_backup(&search);
    if (rafsi_race(reader, &ask, &once, &bytes, &local) < 0)
        return NULL;
    *source = ask.source;
    result->asked_bytes += ask.len;
    return bytes;
}

/* Errors that the next chunk would meet too. */
static bool ends_run(int rc)
{
    return is_our_own(rc) || rc == RAFS_E_BACKEND || rc == RAFS_E_TIMEOUT;
}

static int finish(struct bulk *bulk, struct piece *piece,
                  const struct rafsi_buffer *bytes, size_t source, struct worker *worker,
                  const rafs_call *call, struct bulk_result *result, rafs_error *err)
{
    struct verified *good = NULL;
    const struct chunk_record *record = &piece->chunk.record;
    rafs_error local = RAFS_ERROR_INIT;
    int rc = RAFS_E_NOENT;

    if (bytes) {
        rc = rafsi_piece_open(bulk->reader, &piece->chunk,
                              bytes->at + (record->compressed_offset - bulk->begin),
                              worker, &good, &local);
        if (rc == RAFS_E_CORRUPT)
            rafsi_blob_strike(bulk->reader, record->blob, source, record->index,
                              bulk->cause, &local);
    }
    if (rc < 0)
        rc = fetch_alone(bulk, piece, call, &good, result, err);
    if (rc == RAFS_OK)
        keep(bulk, piece, good, call, result);
    land(bulk, piece, rc == RAFS_OK ? RAFS_OK : RAFS_E_CANCELLED, good);
    rafsi_verified_drop(good);
    return rc < 0 && ends_run(rc) ? rc : RAFS_OK;
}

int rafsi_bulk_run(struct bulk *bulk, const rafs_call *call, struct bulk_result *result,
                   rafs_error *err)
{
    struct rafsi_reader *reader = bulk->reader;
    struct rafsi_buffer *bytes;
    struct worker *worker = NULL;
    size_t source = 0;
    uint32_t i = 0;
    int rc;

    memset(result, 0, sizeof(*result));
    if (bulk->count == 0)
        return RAFS_OK;
    rc = rafsi_worker_take(reader, &worker, err);
    bytes = rc == RAFS_OK ? travel(bulk, call, &source, result) : NULL;
    while (rc == RAFS_OK && i < bulk->count) {
        rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_FETCH, err);
        if (rc < 0)
            break;
        rc = finish(bulk, &bulk->pieces[i], bytes, source, worker, call, result, err);
        i++;
    }
    rafsi_worker_give(reader, worker);
    rafsi_buffer_free(bytes);
    give_up(bulk, i);
    return rc;
}
