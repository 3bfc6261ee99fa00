/* SPDX-License-Identifier: Apache-2.0 */
#include "read/ahead.h"
#include "read/near.h"
#include "read/prefetch.h"
#include "read/trace.h"

enum { READ_LARGE = 2 << 20 };

/* What a cache on disk holds need not be in memory too: the kernel's page cache is before
 * the disk. Enough for some readers to go through a chunk piece by piece. */
enum { MEMORY_ALONE = 32 << 20, MEMORY_WITH_CACHE = 4 << 20 };

static int make_parts(struct rafsi_reader *reader, bool cached, rafs_error *err)
{
    size_t bytes = reader->tree->super.blob_count * sizeof(reader->blobs[0]);
    int rc;

    reader->blobs = rafsi_alloc_zero(&reader->env, bytes);
    if (!reader->blobs)
        return rafsi_fail_nomem(err, bytes);
    reader->memory_bytes = reader->tree->limits.chunk_cache_bytes;
    if (reader->memory_bytes == 0)
        reader->memory_bytes = cached ? MEMORY_WITH_CACHE : MEMORY_ALONE;
    rc = rafsi_pool_new(&reader->env, cached ? BUFFERS_CACHED_MAX : BUFFERS_IDLE_MAX,
                        &reader->pool, err);
    if (rc == RAFS_OK)
        rc = rafsi_cache_new(&reader->env, reader->memory_bytes, &reader->cache, err);
    if (rc == RAFS_OK)
        rc = rafsi_flights_new(&reader->env, &reader->flights, err);
    if (rc < 0)
        return rc;
    if (pthread_mutex_init(&reader->worker_lock, NULL) != 0)
        return rafsi_fail_nomem(err, sizeof(reader->worker_lock));
    reader->worker_lock_ready = true;
    return RAFS_OK;
}

int rafsi_reader_crew(struct rafsi_reader *reader, struct rafsi_crew **out,
                      rafs_error *err)
{
    struct rafsi_crew *present = atomic_load(&reader->crew);
    struct rafsi_crew *made = NULL;
    int rc;

    if (!present) {
        rc = rafsi_crew_new(&reader->env, &made, err);
        if (rc < 0)
            return rc;
        if (atomic_compare_exchange_strong(&reader->crew, &present, made))
            present = made;
        else
            rafsi_crew_free(made);
    }
    *out = present;
    return RAFS_OK;
}

int rafsi_reader_new(const struct rafsi_env *env, const struct rafsi_tree *tree,
                     struct rafsi_hashes *hashes, const struct rafsi_sources *sources,
                     struct rafsi_reader **out, rafs_error *err)
{
    struct rafsi_reader *reader = rafsi_alloc_zero(env, sizeof(*reader));
    int rc;

    if (!reader)
        return rafsi_fail_nomem(err, sizeof(*reader));
    reader->env = *env;
    reader->tree = tree;
    reader->hashes = hashes;
    rc = rafsi_stats_new(&reader->stats, &reader->env, err);
    if (rc == RAFS_OK)
        rc = make_parts(reader, sources->cache != NULL, err);
    if (rc == RAFS_OK)
        rc = rafsi_kept_new(reader, sources->cache, err);
    if (rc < 0) {
        rafsi_reader_free(reader);
        return rc;
    }
    reader->sources[0] = sources->carrier;
    reader->carrier_lent = sources->carrier_lent;
    for (size_t i = 0; i < sources->count; i++)
        reader->sources[i + 1] = sources->backends[i];
    reader->source_count = sources->count + 1;
    for (size_t i = 0; i < reader->source_count; i++)
        if (reader->sources[i])
            rafsi_stats_name(&reader->stats, i, reader->sources[i]);
    rc = rafsi_race_new(reader, err);
    if (rc == RAFS_OK)
        rc = rafsi_ahead_new(reader, err);
    if (rc < 0) {
        reader->sources[0] = NULL; /* taken only on success */
        rafsi_reader_free(reader);
        return rc;
    }
    *out = reader;
    return RAFS_OK;
}

void rafsi_reader_free(struct rafsi_reader *reader)
{
    if (!reader)
        return;
    rafsi_crew_free(atomic_load(&reader->crew)); /* first: it uses all the rest */
    rafsi_race_free(reader);
    rafsi_prefetch_orphan_all(reader);
    rafs_prefetch_free(reader->replay);
    rafsi_trace_close(reader);
    rafsi_tracer_free(reader);
    rafsi_ahead_free(reader);
    rafsi_near_free(reader);
    while (reader->workers) {
        struct worker *worker = reader->workers;

        reader->workers = worker->next;
        rafsi_worker_free(reader, worker);
    }
    rafsi_blob_states_free(reader);
    rafsi_kept_free(reader);
    rafsi_flights_free(reader->flights);
    rafsi_cache_free(reader->cache);
    rafsi_pool_free(reader->pool); /* after the cache, whose chunks come back to it */
    if (!reader->carrier_lent)
        rafs_backend_free(reader->sources[0]);
    if (reader->worker_lock_ready)
        pthread_mutex_destroy(&reader->worker_lock);
    rafsi_stats_free(&reader->stats);
    rafsi_free(&reader->env, reader);
}

void rafsi_reader_sources(const struct rafsi_reader *reader, struct rafsi_sources *out)
{
    *out = (struct rafsi_sources){.backends = reader->sources + 1,
                                  .count = reader->source_count - 1,
                                  .carrier = reader->sources[0],
                                  .carrier_lent = true,
                                  .cache = reader->shelf};
}

/* A position in the caller's pieces of memory. */
struct sink {
    const rafs_iovec *iov;
    size_t left; /* pieces, with the current one */
    size_t used; /* bytes of the current one */
};

/* Put len bytes into the sink: a copy, or zeros where from is NULL. */
static void put(struct sink *sink, const uint8_t *from, size_t len)
{
    while (len > 0) {
        size_t part = (size_t)rafsi_min(len, sink->iov->len - sink->used);
        uint8_t *to;

        if (part == 0) {
            sink->iov++;
            sink->left--;
            sink->used = 0;
            continue;
        }
        to = (uint8_t *)sink->iov->base + sink->used;
        if (from)
            memcpy(to, from, part);
        else
            memset(to, 0, part);
        from = from ? from + part : NULL;
        sink->used += part;
        len -= part;
    }
}

/* Bytes wanted: the sum of the pieces, cut at the end of the file. */
static int wanted(const struct rafsi_node *file, uint64_t offset, const rafs_iovec *iov,
                  size_t iov_count, uint64_t *out, rafs_error *err)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < iov_count; i++) {
        if (iov[i].len > RAFS_READ_MAX - sum)
            return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                              "more than RAFS_READ_MAX bytes are wanted at once");
        if (!iov[i].base && iov[i].len > 0)
            return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                              "piece %zu of the memory is NULL", i);
        sum += iov[i].len;
    }
    *out = offset >= file->attr.size ? 0 : rafsi_min(sum, file->attr.size - offset);
    return RAFS_OK;
}

/* Copy up to `most` bytes from the chunk that holds `offset`; says how many. */
static int read_chunk(struct rafsi_reader *reader, const struct rafsi_node *file,
                      uint64_t offset, uint64_t most, enum rafsi_ahead_how how,
                      struct sink *sink, uint64_t *done, const rafs_call *call,
                      rafs_error *err)
{
    struct wish wish = {.file = file, .until = offset + most};
    struct rafsi_chunk chunk;
    struct verified *good;
    uint64_t skip, len;
    int rc = rafsi_tree_chunk(reader->tree, file, offset, &chunk, err);

    if (rc < 0)
        return rc;
    skip = offset - chunk.file_offset;
    if (offset < chunk.file_offset || skip >= chunk.length)
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_METADATA, NULL,
                          "the plan of a file does not hold byte %llu",
                          (unsigned long long)offset);
    len = rafsi_min(chunk.length - skip, most);
    *done = len;
    if (chunk.hole) {
        put(sink, NULL, (size_t)len);
        return RAFS_OK;
    }
    /* A read knows best itself how far it goes. */
    if (!rafsi_ahead_flow(reader, &chunk, how) || most > READ_LARGE)
        rafsi_ahead_note(reader, file, offset, offset + most);
    rc = rafsi_fetch(reader, &chunk, &wish, call, &good, err);
    if (rc < 0)
        return rc;
    if (rafsi_within(skip, len, rafsi_verified_size(good)))
        put(sink, rafsi_verified_bytes(good) + skip, (size_t)len);
    else
        rc = rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_VERIFY, NULL,
                        "a verified chunk is shorter than the plan says");
    rafsi_verified_drop(good);
    return rc;
}

static int read_range(struct rafsi_reader *reader, const struct rafsi_node *file,
                      uint64_t offset, const rafs_iovec *iov, size_t iov_count,
                      size_t *nread, const rafs_call *call, rafs_error *err)
{
    struct sink sink = {iov, iov_count, 0};
    uint64_t len = 0;
    uint64_t done = 0;
    int rc = wanted(file, offset, iov, iov_count, &len, err);

    *nread = 0;
    if (rc < 0)
        return rc;
    while (done < len) {
        uint64_t step = 0;

        rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_FETCH, err);
        if (rc == RAFS_OK)
            rc = read_chunk(reader, file, offset + done, len - done,
                            done == 0 ? AHEAD_BEGINS : AHEAD_WITHIN, &sink, &step, call,
                            err);
        if (rc < 0)
            return rc;
        done += step;
    }
    *nread = (size_t)len;
    return RAFS_OK;
}

int rafsi_reader_read(struct rafsi_reader *reader, const struct rafsi_node *file,
                      uint64_t offset, const rafs_iovec *iov, size_t iov_count,
                      size_t *nread, const rafs_call *call, rafs_error *err)
{
    int rc = read_range(reader, file, offset, iov, iov_count, nread, call, err);

    if (rc != RAFS_E_AGAIN) /* the caller will read it in another way */
        rafsi_stats_read(&reader->stats, rc, *nread);
    return rc;
}

int rafsi_reader_chunks(struct rafsi_reader *reader, const struct rafsi_chunk *chunks,
                        size_t count, rafsi_take_fn take, void *user,
                        const rafs_call *call, rafs_error *err)
{
    int rc = RAFS_OK;

    for (size_t i = 0; rc == RAFS_OK && i < count; i++) {
        struct wish wish = {.cause = RAFS_CAUSE_PREFETCH,
                            .others = chunks + i + 1,
                            .other_count = count - i - 1};
        struct verified *good = NULL;

        rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_FETCH, err);
        if (rc == RAFS_OK)
            rc = rafsi_fetch(reader, &chunks[i], &wish, call, &good, err);
        if (rc == RAFS_OK && rafsi_verified_size(good) != chunks[i].length)
            rc = rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_VERIFY, NULL,
                            "a verified chunk is of another size than the plan says");
        if (rc == RAFS_OK)
            rc = take(user, i, rafsi_verified_bytes(good), (size_t)chunks[i].length, call,
                      err);
        rafsi_verified_drop(good);
    }
    return rc;
}

int rafsi_reader_chunk(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                       void *buf, const rafs_call *call, rafs_error *err)
{
    struct wish wish = {.cause = RAFS_CAUSE_DEMAND};
    struct verified *good;
    int rc = rafsi_fetch(reader, chunk, &wish, call, &good, err);

    if (rc < 0)
        return rc;
    memcpy(buf, rafsi_verified_bytes(good), rafsi_verified_size(good));
    rafsi_verified_drop(good);
    return RAFS_OK;
}

/* Say where a chunk lies that is batched or has no record: the first source that can tell
 * does. */
static int locate_anywhere(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                           const rafs_call *call, struct stored *out, rafs_error *err)
{
    struct search search;
    const rafs_call *part;
    size_t source;

    rafsi_search_begin(&search, reader, chunk->record.blob, 0, call);
    while (rafsi_search_next(&search, &source, &part)) {
        rafs_error local = RAFS_ERROR_INIT;
        struct blob_source *at;
        int rc =
            rafsi_blob_open_at(reader, chunk->record.blob, source, part, &at, &local);

        if (rc == RAFS_OK)
            rc = rafsi_locate(reader, chunk, at, part, out, &local);
        if (rc == RAFS_OK)
            return rc;
        rafsi_search_failed(&search, source, rc, &local);
    }
    if (search.count == 0)
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                          "no source of blobs was given, and only the blob tells where "
                          "its chunks lie");
    return rafsi_search_end(&search, err);
}

static int extent_of(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                     const rafs_call *call, rafs_extent *out, rafs_error *err)
{
    struct stored stored = {0};
    struct rafsi_chunk found;
    int rc = RAFS_OK;

    memset(out, 0, sizeof(*out));
    out->file_offset = chunk->file_offset;
    out->length = chunk->length;
    if (chunk->hole) {
        out->flags = RAFS_EXTENT_HOLE;
        return RAFS_OK;
    }
    if (chunk->no_record) {
        rc = rafsi_digest_find(reader, chunk, call, &found, err);
        if (rc < 0)
            return rc;
        chunk = &found;
    }
    out->blob = chunk->record.blob;
    out->chunk = chunk->record.index;
    out->uncompressed_offset = chunk->record.uncompressed_offset;
    out->digest_algorithm = chunk->digest_algorithm;
    memcpy(out->digest, chunk->record.digest, sizeof(out->digest));
    if (chunk->no_record || (reader->tree->blobs[out->blob].features & RAFS_BLOB_BATCH))
        rc = locate_anywhere(reader, chunk, call, &stored, err);
    else
        rc = rafsi_locate(reader, chunk, NULL, call, &stored, err);
    if (rc < 0)
        return rafsi_fail_object(err, rc, "blob %s", reader->tree->blobs[out->blob].id);
    out->compressed_offset = stored.offset;
    out->compressed_size = stored.size;
    out->batch_offset = stored.raw_offset;
    out->flags = (stored.compressed ? RAFS_EXTENT_COMPRESSED : 0) |
                 (stored.batch ? RAFS_EXTENT_BATCH : 0);
    return RAFS_OK;
}

int rafsi_reader_extents(struct rafsi_reader *reader, const struct rafsi_node *file,
                         uint64_t offset, rafs_extent *extents, size_t capacity,
                         size_t *count, const rafs_call *call, rafs_error *err)
{
    size_t filled = 0;

    *count = 0;
    while (filled < capacity && offset < file->attr.size) {
        struct rafsi_chunk chunk;
        int rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_METADATA, err);

        if (rc == RAFS_OK)
            rc = rafsi_tree_chunk(reader->tree, file, offset, &chunk, err);
        if (rc == RAFS_OK)
            rc = extent_of(reader, &chunk, call, &extents[filled], err);
        if (rc < 0)
            return rc;
        filled++;
        offset = chunk.file_offset + chunk.length;
    }
    *count = filled;
    return RAFS_OK;
}
