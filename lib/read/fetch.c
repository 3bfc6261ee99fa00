/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "read/near.h"
#include "read/trace.h"

int rafsi_blob_readable(const struct rafsi_tree *tree, uint32_t blob, rafs_error *err)
{
    static const struct {
        uint32_t feature;
        const char *kind;
    } kinds[] = {
        {RAFS_BLOB_ENCRYPTED, "is encrypted"},
        {RAFS_BLOB_ZRAN, "is a gzip layer read through checkpoints (zran)"},
        {RAFS_BLOB_TARFS, "is a tar stream (tarfs)"},
        {RAFS_BLOB_SEPARATE, "is a foreign layer (OCI reference, tar-ref)"},
        {RAFS_BLOB_EXTERNAL, "lies in an external backend"},
    };
    const struct blob_record *record = &tree->blobs[blob];
    const char *kind = NULL;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !kind; i++)
        if (record->features & kinds[i].feature)
            kind = kinds[i].kind;
    /* The reference calls a v6 blob of gzip chunks with old entries a stargz layer. */
    if (!kind && tree->super.version == 6 && record->compressor == RAFS_COMPRESSOR_GZIP &&
        !(record->features & RAFS_BLOB_CHUNK_INFO_V2))
        kind = "is an eStargz layer";
    if (!kind)
        return RAFS_OK;
    return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_FETCH, NULL,
                      "%s, which this version of librafs does not read", kind);
}

static int locate_in_meta(const struct rafsi_chunk *chunk, const struct blob_meta *meta,
                          const struct blob_record *record, struct stored *out,
                          rafs_error *err)
{
    struct span array = rafsi_meta_span(meta);
    struct ci_entry entry;
    struct ci_batch batch;
    int rc =
        rafsi_ci_entry(array, &meta->header, record, chunk->record.index, &entry, err);

    if (rc < 0)
        return rc;
    if (entry.uncompressed_offset != chunk->record.uncompressed_offset ||
        entry.uncompressed_size != chunk->record.uncompressed_size)
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_METADATA, NULL,
                          "its compression information contradicts the bootstrap about "
                          "chunk %u",
                          chunk->record.index);
    *out = (struct stored){.offset = entry.compressed_offset,
                           .size = entry.compressed_size,
                           .raw_size = entry.uncompressed_size,
                           .compressed = entry.flags & CI_COMPRESSED};
    if (!(entry.flags & CI_BATCH))
        return RAFS_OK;
    rc = rafsi_ci_batch(array, &meta->header, record, &entry, &batch, err);
    if (rc < 0)
        return rc;
    out->size = batch.compressed_size;
    out->raw_size = batch.uncompressed_size;
    out->raw_offset = entry.batch_offset;
    /* Members carry the flag even where the batch would not shrink; sizes tell. */
    out->compressed = batch.compressed_size != batch.uncompressed_size;
    out->batch = true;
    return RAFS_OK;
}

bool rafsi_plainly_placed(const struct rafsi_reader *reader,
                          const struct rafsi_chunk *chunk)
{
    return !chunk->no_record &&
           !(reader->tree->blobs[chunk->record.blob].features & RAFS_BLOB_BATCH);
}

int rafsi_locate(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                 struct blob_source *at, const rafs_call *call, struct stored *out,
                 rafs_error *err)
{
    const struct blob_record *record = &reader->tree->blobs[chunk->record.blob];
    const struct blob_meta *meta;
    int rc;

    if (rafsi_plainly_placed(reader, chunk)) {
        *out = (struct stored){.offset = chunk->record.compressed_offset,
                               .size = chunk->record.compressed_size,
                               .raw_size = chunk->record.uncompressed_size,
                               .compressed = chunk->record.flags & CHUNK_COMPRESSED};
        return RAFS_OK;
    }
    rc = rafsi_meta_get(reader, chunk->record.blob, at, call, &meta, err);
    if (rc < 0)
        return rc;
    return locate_in_meta(chunk, meta, record, out, err);
}

/* Errors that need no source to be found out. */
static int check_stored(const struct rafsi_chunk *chunk, const struct stored *stored,
                        rafs_error *err)
{
    if (stored->compressed || stored->size == stored->raw_size)
        return RAFS_OK;
    return rafsi_fail_at(err, RAFS_E_CORRUPT, RAFS_STAGE_METADATA, NULL, stored->offset,
                         "chunk %u is stored plain in %u bytes, but has %u",
                         chunk->record.index, stored->size, stored->raw_size);
}

/* What a chunk is fetched by. */
struct fetch {
    struct search search;
    struct worker *worker;
    uint32_t cause;
    size_t source; /* who is asked, and after that who answered */
};

/* The stored bytes. Where the image itself says where they lie, another source may be
 * asked beside this one. */
static int fetch_stored(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                        const struct stored *stored, struct fetch *fetch,
                        const rafs_call *call, struct rafsi_buffer **out, rafs_error *err)
{
    bool told = chunk->no_record || stored->batch;
    struct ask ask = {.blob = chunk->record.blob,
                      .cause = fetch->cause,
                      .offset = stored->offset,
                      .len = stored->size,
                      .source = fetch->source,
                      .backup = told ? NO_SOURCE : rafsi_search_backup(&fetch->search)};
    int rc = rafsi_race(reader, &ask, call, out, err);

    if (ask.source != fetch->source)
        rafsi_search_beaten(&fetch->search, fetch->source);
    fetch->source = ask.source;
    if (ask.backup_rc < 0)
        rafsi_search_failed(&fetch->search, ask.backup, ask.backup_rc, &ask.backup_error);
    return rc;
}

/* Stored bytes (taken) into raw ones. */
static int open_stored(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                       const struct stored *stored, struct worker *worker,
                       struct rafsi_buffer *bytes, struct rafsi_buffer **out,
                       rafs_error *err)
{
    int rc;

    *out = NULL;
    if (!stored->compressed) {
        *out = bytes;
        return RAFS_OK;
    }
    rc = rafsi_pool_take(reader->pool, stored->raw_size, out, err);
    if (rc == RAFS_OK)
        rc = rafsi_decode(worker->decoder, chunk->compressor, bytes->at, stored->size,
                          (*out)->at, (*out)->len, err);
    rafsi_buffer_free(bytes);
    return rc;
}

/* One source's answer, verified or refused. */
static int fetch_at(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    struct fetch *fetch, const rafs_call *call, struct verified **out,
                    rafs_error *err)
{
    struct rafsi_buffer *bytes = NULL;
    struct rafsi_buffer *raw = NULL;
    struct rafsi_buffer *batch = NULL;
    struct blob_source *at = NULL;
    /* What errors name if the chunk cannot even be located. */
    struct stored stored = {
        .offset = chunk->no_record ? reader->tree->blobs[chunk->record.blob].ci_offset
                                   : chunk->record.compressed_offset};
    int rc = RAFS_OK;

    if (!rafsi_plainly_placed(reader, chunk))
        rc =
            rafsi_blob_open_at(reader, chunk->record.blob, fetch->source, call, &at, err);
    if (rc < 0)
        return rc;
    rc = rafsi_locate(reader, chunk, at, call, &stored, err);
    if (rc == RAFS_OK)
        rc = check_stored(chunk, &stored, err);
    if (rc == RAFS_OK)
        rc = fetch_stored(reader, chunk, &stored, fetch, call, &bytes, err);
    if (rc == RAFS_OK)
        rc = open_stored(reader, chunk, &stored, fetch->worker, bytes, &raw, err);
    if (rc < 0)
        goto out;
    if (stored.batch) {
        batch = raw;
        raw = NULL;
        rc = rafsi_batch_cut(reader, batch, stored.raw_offset,
                             chunk->record.uncompressed_size, &raw, err);
        if (rc < 0)
            goto out;
    }
    rc = rafsi_verify(raw, reader->hashes, chunk->digest_algorithm, chunk->record.digest,
                      out, err);
    if (rc == RAFS_OK)
        raw = NULL;
    if (rc == RAFS_OK && batch && fetch->cause != RAFS_CAUSE_CHECK)
        rafsi_batch_keep(reader, chunk, at, batch);
out:
    if (rc == RAFS_E_CORRUPT && err && !err->has_offset) {
        err->offset = stored.offset;
        err->has_offset = 1;
    }
    rafsi_buffer_free(raw);
    rafsi_buffer_free(batch);
    return rc;
}

void rafsi_fetch_blame(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                       uint32_t cause, const rafs_error *error)
{
    rafs_error named = *error;

    rafsi_fail_object(&named, named.code, "blob %s",
                      reader->tree->blobs[chunk->record.blob].id);
    rafsi_stats_failed_alone(&reader->stats, cause, &named);
}

int rafsi_fetch_fresh(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      uint32_t cause, const rafs_call *call, struct verified **out,
                      rafs_error *err)
{
    uint32_t blob = chunk->record.blob;
    struct fetch fetch = {.cause = cause};
    const rafs_call *part;
    int rc = rafsi_worker_take(reader, &fetch.worker, err);

    if (rc < 0)
        return rc;
    rafsi_search_begin(&fetch.search, reader, blob, chunk->record.compressed_size, call);
    rc = RAFS_E_NOENT;
    while (rc < 0 && rafsi_search_next(&fetch.search, &fetch.source, &part)) {
        rafs_error local = RAFS_ERROR_INIT;

        rc = fetch_at(reader, chunk, &fetch, part, out, &local);
        if (rc == RAFS_E_LIMIT || rc == RAFS_E_BUG)
            rafsi_fetch_blame(reader, chunk, cause, &local);
        if (rc == RAFS_E_CORRUPT) {
            rafsi_blob_strike(reader, blob, fetch.source, chunk->record.index, cause,
                              &local);
            rafsi_log(&reader->env, RAFS_LOG_WARNING,
                      "source %zu of blob %s answered wrong bytes: %s", fetch.source,
                      reader->tree->blobs[blob].id, local.text);
        }
        if (rc < 0)
            rafsi_search_failed(&fetch.search, fetch.source, rc, &local);
    }
    rafsi_worker_give(reader, fetch.worker);
    if (rc == RAFS_OK)
        return rc;
    rc = rafsi_search_end(&fetch.search, err);
    if (rc == RAFS_E_BACKEND && err->os_errno == ENOENT)
        rafsi_fetch_blame(reader, chunk, cause, err);
    return rc;
}

/* A chunk came from a source: somebody asked for it, or nobody yet. What a list, a trace
 * or a call wanted beforehand is no guess of ours. */
static void account(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    uint32_t cause)
{
    uint64_t size = chunk->record.compressed_size;

    if (cause == RAFS_CAUSE_DEMAND)
        atomic_fetch_add_explicit(&reader->wanted, size, memory_order_relaxed);
    else if (cause == RAFS_CAUSE_AHEAD && rafsi_unused_set(reader, chunk))
        atomic_fetch_add_explicit(&reader->extra, size, memory_order_relaxed);
}

void rafsi_fetch_use(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                     const struct wish *wish)
{
    uint64_t size = chunk->record.compressed_size;

    if (wish->cause != RAFS_CAUSE_DEMAND || !rafsi_unused_clear(reader, chunk))
        return;
    atomic_fetch_add_explicit(&reader->wanted, size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&reader->extra, size, memory_order_relaxed);
    if (wish->file)
        rafsi_near_note(reader, wish->file);
}

void rafsi_fetch_keep(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      const struct rafsi_cache_key *key, uint32_t cause, bool memory,
                      struct verified *good)
{
    if (memory)
        rafsi_cache_put(reader->cache, key, good);
    account(reader, chunk, cause);
    rafsi_stats_chunk(&reader->stats, ORIGIN_FETCHED, cause);
}

/* The right to fetch, as far as other processes are concerned. Who only reads ahead does
 * not wait for it. */
static int begin(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                 const struct wish *wish, const rafs_call *call,
                 struct rafsi_store_flight **kept, struct verified **good,
                 rafs_error *err)
{
    if (wish->cause != RAFS_CAUSE_AHEAD)
        return rafsi_kept_begin(reader, chunk, wish->cause, call, kept, good, err);
    if (rafsi_kept_try(reader, chunk, wish->cause, call, kept, good))
        return RAFS_OK;
    return rafsi_fail(err, RAFS_E_CANCELLED, RAFS_STAGE_FETCH, NULL,
                      "another process is fetching it");
}

int rafsi_fetch_lead(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                     const struct wish *wish, const rafs_call *call,
                     struct verified **good, struct window **rest, rafs_error *err)
{
    struct rafsi_crew *crew = NULL;
    int rc = RAFS_OK;

    if (wish->cause == RAFS_CAUSE_DEMAND) {
        if (wish->file)
            rafsi_near_note(reader, wish->file);
        crew = atomic_load(&reader->crew);
    }
    if (crew)
        rafsi_crew_urgent(crew);
    if (!rafsi_window_fetch(reader, chunk, wish, call, good, rest))
        rc = rafsi_fetch_fresh(reader, chunk, wish->cause, call, good, err);
    if (crew)
        rafsi_crew_calm(crew);
    return rc;
}

void rafsi_fetch_say_not_cached(const struct rafsi_reader *reader, int rc,
                                rafs_error *err)
{
    char why[sizeof(err->text)];

    if (!reader->store || (rc != RAFS_E_BACKEND && rc != RAFS_E_TIMEOUT))
        return;
    memcpy(why, err->text, sizeof(why));
    snprintf(err->text, sizeof(err->text),
             "not in the cache, and no source has it: %.240s", why);
}

/* Fetch as the one that all others wait for. */
static int lead(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                const struct rafsi_cache_key *key, const struct wish *wish,
                struct rafsi_flight *flight, const rafs_call *call, struct verified **out,
                rafs_error *err)
{
    rafs_error local = RAFS_ERROR_INIT;
    struct rafsi_store_flight *kept = NULL;
    struct window *rest = NULL;
    /* The last flight may have landed between our look into the cache and now. */
    struct verified *good = rafsi_cache_get(reader->cache, key);
    int rc = RAFS_OK;

    if (good) {
        rafsi_stats_chunk(&reader->stats, ORIGIN_MEMORY, wish->cause);
    } else {
        rc = begin(reader, chunk, wish, call, &kept, &good, &local);
        if (rc < 0)
            rafsi_fetch_blame(reader, chunk, wish->cause, &local);
    }
    if (rc == RAFS_OK && good) {
        rafsi_cache_put(reader->cache, key, good);
        rafsi_fetch_use(reader, chunk, wish);
    } else if (rc == RAFS_OK) {
        rc = rafsi_fetch_lead(reader, chunk, wish, call, &good, &rest, &local);
        if (rc == RAFS_OK) {
            bool there = rafsi_kept_put(reader, chunk, kept, good, call);

            rafsi_fetch_keep(reader, chunk, key, wish->cause,
                             !there || wish->cause == RAFS_CAUSE_DEMAND, good);
        }
    }
    rafsi_kept_end(reader, chunk, kept);
    rafsi_fetch_say_not_cached(reader, rc, &local);
    rafsi_fail_object(&local, rc, "blob %s", reader->tree->blobs[chunk->record.blob].id);
    rafsi_flight_land(reader->flights, flight, rc, good, &local);
    rafsi_window_finish(reader, rest, call); /* those who wait for the chunk go first */
    if (rc == RAFS_OK)
        *out = good;
    else if (err)
        *err = local;
    return rc;
}

int rafsi_fetch_readable(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                         rafs_error *err)
{
    int rc = rafsi_blob_readable(reader->tree, chunk->record.blob, err);

    return rafsi_fail_object(err, rc, "blob %s",
                             reader->tree->blobs[chunk->record.blob].id);
}

/* A chunk that is not in memory: wait for whoever fetches it, or do it. */
static int obtain(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                  const struct rafsi_cache_key *key, const struct wish *wish,
                  const rafs_call *call, struct verified **out, rafs_error *err)
{
    rafs_error local = RAFS_ERROR_INIT;
    struct rafsi_flight *flight = NULL;
    int rc = rafsi_fetch_readable(reader, chunk, &local);

    if (rc == RAFS_OK)
        rc = rafsi_flight_join(reader->flights, key, call, &flight, out, &local);
    if (rc == RAFS_OK && flight)
        return lead(reader, chunk, key, wish, flight, call, out, err);
    if (rc == RAFS_OK) {
        rafsi_stats_chunk(&reader->stats, ORIGIN_SHARED, wish->cause);
        rafsi_fetch_use(reader, chunk, wish);
        return rc;
    }
    /* What failed for the one who led is noted already. */
    if (rc == RAFS_E_TIMEOUT || rc == RAFS_E_UNSUPPORTED)
        rafsi_fetch_blame(reader, chunk, wish->cause, &local);
    if (err)
        *err = local;
    return rc;
}

int rafsi_fetch(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                const struct wish *wish, const rafs_call *call, struct verified **out,
                rafs_error *err)
{
    struct stats *stats = &reader->stats;
    struct rafsi_cache_key key;
    struct rafsi_chunk found;
    struct stats_timer wait;
    struct verified *good;
    int rc;

    if (call && (call->flags & RAFS_CALL_CACHED))
        return rafsi_fetch_at_hand(reader, chunk, wish, call, out, err);
    if (chunk->no_record) {
        rc = rafsi_digest_find(reader, chunk, call, &found, err);
        if (rc < 0)
            return rc;
        chunk = &found;
    }
    if (wish->cause == RAFS_CAUSE_DEMAND)
        rafsi_tracer_note(reader, wish->file, chunk);
    key = rafsi_chunk_key(chunk);
    good = rafsi_cache_use(reader->cache, &key);
    if (good) {
        rafsi_fetch_use(reader, chunk, wish);
        *out = good;
        return RAFS_OK;
    }
    wait = rafsi_stats_begin(stats, &stats->waiting);
    rc = obtain(reader, chunk, &key, wish, call, out, err);
    rafsi_stats_end(stats, &stats->waiting, &stats->waits, &wait);
    return rc;
}

int rafsi_fetch_ahead(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      const struct wish *wish, const rafs_call *call, rafs_error *err)
{
    struct rafsi_cache_key key;
    struct rafsi_chunk found;
    struct rafsi_flight *flight;
    struct verified *good = NULL;
    int rc;

    if (chunk->no_record) {
        rc = rafsi_digest_find(reader, chunk, call, &found, err);
        if (rc < 0)
            return rc;
        chunk = &found;
    }
    key = rafsi_chunk_key(chunk);
    if (rafsi_cache_has(reader->cache, &key))
        return RAFS_OK;
    rc = rafsi_fetch_readable(reader, chunk, err);
    if (rc < 0)
        return rc;
    flight = rafsi_flight_try(reader->flights, &key);
    if (!flight)
        return RAFS_OK;
    rc = lead(reader, chunk, &key, wish, flight, call, &good, err);
    if (rc == RAFS_OK)
        rafsi_verified_drop(good);
    else if (rc == RAFS_E_CANCELLED) /* not ours: then another process fetches it */
        rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_FETCH, err);
    return rc;
}
