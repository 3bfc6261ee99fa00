/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of an image as families of samples: one table, which everything that shows
 * them walks. */
#include "read/reader.h"

/* What a family's samples are told apart by. */
enum shape {
    ONE,
    BY_KIND,
    BY_ORIGIN_CAUSE,
    BY_BUCKET,
    BY_SOURCE,
    BY_SOURCE_CAUSE,
    BY_SOURCE_KIND
};

struct family {
    enum shape shape;
    uint32_t kind;
    const char *name, *unit, *help;
};

static const struct family families[] = {
    [RAFS_METRIC_READS] = {ONE, RAFS_METRIC_KIND_COUNTER, "rafs_reads", "",
                           "Reads of files that succeeded."},
    [RAFS_METRIC_READ_BYTES] = {ONE, RAFS_METRIC_KIND_COUNTER, "rafs_read_bytes", "bytes",
                                "Bytes that reads of files gave."},
    [RAFS_METRIC_READ_ERRORS] = {BY_KIND, RAFS_METRIC_KIND_COUNTER, "rafs_read_errors",
                                 "", "Reads of files that failed."},
    [RAFS_METRIC_CHUNKS] = {BY_ORIGIN_CAUSE, RAFS_METRIC_KIND_COUNTER, "rafs_chunks", "",
                            "Chunks that were wanted, by where they came from."},
    [RAFS_METRIC_CHUNK_WAIT] = {BY_BUCKET, RAFS_METRIC_KIND_HISTOGRAM,
                                "rafs_chunk_wait_seconds", "seconds",
                                "How long readers waited for chunks not in memory."},
    [RAFS_METRIC_WAITING] = {ONE, RAFS_METRIC_KIND_GAUGE, "rafs_waiting_readers", "",
                             "Readers that wait for a chunk now."},
    [RAFS_METRIC_OLDEST_WAIT] = {ONE, RAFS_METRIC_KIND_GAUGE, "rafs_oldest_wait_seconds",
                                 "seconds", "How long the first of them has waited."},
    [RAFS_METRIC_REQUESTS] = {BY_SOURCE_CAUSE, RAFS_METRIC_KIND_COUNTER, "rafs_requests",
                              "", "Reads that sources were asked for."},
    [RAFS_METRIC_FETCHED_BYTES] = {BY_SOURCE_CAUSE, RAFS_METRIC_KIND_COUNTER,
                                   "rafs_fetched_bytes", "bytes",
                                   "Bytes that sources gave."},
    [RAFS_METRIC_REQUEST_TIME] = {BY_BUCKET, RAFS_METRIC_KIND_HISTOGRAM,
                                  "rafs_request_seconds", "seconds",
                                  "How long sources took to answer."},
    [RAFS_METRIC_REQUESTS_ACTIVE] = {ONE, RAFS_METRIC_KIND_GAUGE, "rafs_active_requests",
                                     "", "Requests to sources that run now."},
    [RAFS_METRIC_OLDEST_REQUEST] = {ONE, RAFS_METRIC_KIND_GAUGE,
                                    "rafs_oldest_request_seconds", "seconds",
                                    "How long the first of them has run."},
    [RAFS_METRIC_SOURCE_ERRORS] =
        {BY_SOURCE_KIND, RAFS_METRIC_KIND_COUNTER, "rafs_source_errors", "",
         "Answers of sources that failed, or failed the check."},
    [RAFS_METRIC_SENT_REQUESTS] = {BY_SOURCE, RAFS_METRIC_KIND_COUNTER,
                                   "rafs_sent_requests", "",
                                   "Requests on the wire, with second tries."},
    [RAFS_METRIC_RECEIVED_BYTES] = {BY_SOURCE, RAFS_METRIC_KIND_COUNTER,
                                    "rafs_received_bytes", "bytes",
                                    "Bytes of answers on the wire."},
    [RAFS_METRIC_RETRIES] = {BY_SOURCE, RAFS_METRIC_KIND_COUNTER, "rafs_retries", "",
                             "Requests that were tried again."},
    [RAFS_METRIC_REDIRECTS] = {BY_SOURCE, RAFS_METRIC_KIND_COUNTER, "rafs_redirects", "",
                               "Redirects that were followed."},
    [RAFS_METRIC_RENEWALS] = {BY_SOURCE, RAFS_METRIC_KIND_COUNTER, "rafs_token_renewals",
                              "", "Tokens that were asked for."},
    [RAFS_METRIC_HEDGES] = {BY_SOURCE, RAFS_METRIC_KIND_COUNTER, "rafs_hedges", "",
                            "Second sources asked while the first was slow."},
    [RAFS_METRIC_FAILOVERS] = {BY_SOURCE, RAFS_METRIC_KIND_COUNTER, "rafs_failovers", "",
                               "Times that another source was asked since this failed."},
    [RAFS_METRIC_CACHE_WRITE_ERRORS] = {ONE, RAFS_METRIC_KIND_COUNTER,
                                        "rafs_cache_write_errors", "",
                                        "Chunks that the cache on disk did not take."},
    [RAFS_METRIC_MEMORY_BYTES] = {ONE, RAFS_METRIC_KIND_GAUGE, "rafs_memory_cache_bytes",
                                  "bytes", "Verified chunks in memory."},
    [RAFS_METRIC_CACHE_REFUSED] = {ONE, RAFS_METRIC_KIND_COUNTER, "rafs_cache_refused",
                                   "", "Chunks from a cache that failed the check."},
};
enum { FAMILIES = sizeof(families) / sizeof(families[0]) };

static const char *const origin_names[ORIGINS] = {
    [ORIGIN_MEMORY] = "memory",         [ORIGIN_DISK] = "disk",
    [ORIGIN_OTHER_BLOB] = "other_blob", [ORIGIN_FETCHED] = "fetched",
    [ORIGIN_SHARED] = "shared",
};

uint32_t rafsi_metric_count(void)
{
    return FAMILIES - 1;
}

bool rafsi_metric_get(uint32_t id, rafs_metric *out)
{
    static const char *const labels[][2] = {
        [ONE] = {NULL, NULL},
        [BY_KIND] = {"kind", NULL},
        [BY_ORIGIN_CAUSE] = {"origin", "cause"},
        [BY_BUCKET] = {NULL, NULL},
        [BY_SOURCE] = {"source", NULL},
        [BY_SOURCE_CAUSE] = {"source", "cause"},
        [BY_SOURCE_KIND] = {"source", "kind"},
    };
    const struct family *family;

    if (id == 0 || id >= FAMILIES)
        return false;
    family = &families[id];
    *out = (rafs_metric){.id = id,
                         .kind = family->kind,
                         .name = family->name,
                         .unit = family->unit,
                         .help = family->help};
    for (size_t i = 0; i < 2 && labels[family->shape][i]; i++) {
        out->labels[i] = labels[family->shape][i];
        out->label_count++;
    }
    return true;
}

static uint64_t get(const atomic_uint_least64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t sum_of_stripes(const struct stats *stats, bool bytes)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < STATS_STRIPES; i++)
        sum += get(bytes ? &stats->stripes[i].bytes : &stats->stripes[i].reads);
    return sum;
}

static uint64_t single(const struct rafsi_reader *reader, uint32_t id)
{
    const struct stats *stats = &reader->stats;

    switch (id) {
    case RAFS_METRIC_READS:
    case RAFS_METRIC_READ_BYTES:
        return sum_of_stripes(stats, id == RAFS_METRIC_READ_BYTES);
    case RAFS_METRIC_WAITING:
        return get(&stats->waiting.active);
    case RAFS_METRIC_OLDEST_WAIT:
        return rafsi_stats_oldest(stats, &stats->waiting);
    case RAFS_METRIC_REQUESTS_ACTIVE:
        return get(&stats->asking.active);
    case RAFS_METRIC_OLDEST_REQUEST:
        return rafsi_stats_oldest(stats, &stats->asking);
    case RAFS_METRIC_CACHE_WRITE_ERRORS:
        return get(&stats->cache_write_errors);
    case RAFS_METRIC_CACHE_REFUSED:
        return get(&stats->cache_refused);
    case RAFS_METRIC_MEMORY_BYTES:
        return rafsi_cache_bytes(reader->cache);
    default:
        return 0;
    }
}

/* Those of a source; the events are in the order of their families. */
static const atomic_uint_least64_t *of_source(const struct source_stats *source,
                                              uint32_t id)
{
    switch (id) {
    case RAFS_METRIC_REQUESTS:
        return source->requests;
    case RAFS_METRIC_FETCHED_BYTES:
        return source->bytes;
    case RAFS_METRIC_SOURCE_ERRORS:
        return source->errors;
    default:
        return &source->events[id - RAFS_METRIC_SENT_REQUESTS];
    }
}

/* Samples on their way out: those before `skip` are left out. */
struct tray {
    rafs_sample *samples;
    size_t capacity, skip, count;
};

static void serve(struct tray *tray, uint64_t value, const char *first,
                  const char *second)
{
    if (tray->skip > 0)
        tray->skip--;
    else if (tray->count < tray->capacity)
        tray->samples[tray->count++] =
            (rafs_sample){.value = value, .labels = {first, second}};
}

static void serve_part(struct tray *tray, uint32_t part, uint64_t bound, uint64_t value)
{
    size_t before = tray->count;

    serve(tray, value, NULL, NULL);
    if (tray->count == before)
        return;
    tray->samples[before].part = part;
    tray->samples[before].bound_ns = bound;
}

/* Counts grow from bucket to bucket; the last one is the count, so that they agree. */
static void serve_histogram(struct tray *tray, const struct stats_histogram *histogram)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < RAFS_HISTOGRAM_BUCKETS; i++) {
        count += get(&histogram->buckets[i]);
        serve_part(tray, RAFS_SAMPLE_BUCKET, rafsi_histogram_bound(i), count);
    }
    serve_part(tray, RAFS_SAMPLE_COUNT, 0, count);
    serve_part(tray, RAFS_SAMPLE_SUM, 0, get(&histogram->sum_ns));
}

static void serve_kinds(struct tray *tray, const atomic_uint_least64_t *kinds,
                        const char *source)
{
    for (int i = 1; i < STATS_KINDS; i++) {
        const char *name = rafs_error_name(-i);

        serve(tray, get(&kinds[i]), source ? source : name, source ? name : NULL);
    }
}

static void serve_chunks(struct tray *tray, const struct rafsi_reader *reader)
{
    for (uint32_t origin = 0; origin < ORIGINS; origin++)
        for (uint32_t cause = 0; cause < STATS_CAUSES; cause++) {
            uint64_t value = get(&reader->stats.chunks[origin][cause]);

            if (origin == ORIGIN_MEMORY && cause == RAFS_CAUSE_DEMAND)
                value += rafsi_cache_hits(reader->cache);
            serve(tray, value, origin_names[origin], rafs_cause_name(cause));
        }
}

static void serve_source(struct tray *tray, const struct source_stats *source,
                         uint32_t id)
{
    const atomic_uint_least64_t *counters = of_source(source, id);

    switch (families[id].shape) {
    case BY_SOURCE:
        serve(tray, get(counters), source->name, NULL);
        break;
    case BY_SOURCE_KIND:
        serve_kinds(tray, counters, source->name);
        break;
    default:
        for (uint32_t cause = 0; cause < STATS_CAUSES; cause++)
            serve(tray, get(&counters[cause]), source->name, rafs_cause_name(cause));
    }
}

size_t rafsi_reader_samples(const struct rafsi_reader *reader, uint32_t id, size_t first,
                            rafs_sample *samples, size_t capacity)
{
    const struct stats *stats = &reader->stats;
    struct tray tray = {samples, capacity, first, 0};

    switch (families[id].shape) {
    case ONE:
        serve(&tray, single(reader, id), NULL, NULL);
        break;
    case BY_KIND:
        serve_kinds(&tray, stats->read_errors, NULL);
        break;
    case BY_ORIGIN_CAUSE:
        serve_chunks(&tray, reader);
        break;
    case BY_BUCKET:
        serve_histogram(&tray,
                        id == RAFS_METRIC_CHUNK_WAIT ? &stats->waits : &stats->requests);
        break;
    default:
        for (size_t i = 0; i < STATS_SOURCES; i++)
            if (stats->sources[i].name[0] != '\0')
                serve_source(&tray, &stats->sources[i], id);
    }
    return tray.count;
}

void rafsi_reader_stats(const struct rafsi_reader *reader, rafs_stats *out)
{
    const struct stats *stats = &reader->stats;

    out->chunks_cached = rafsi_cache_hits(reader->cache);
    out->cache_refused = get(&stats->cache_refused);
    for (uint32_t cause = 0; cause < STATS_CAUSES; cause++) {
        out->chunks_cached += get(&stats->chunks[ORIGIN_DISK][cause]) +
                              get(&stats->chunks[ORIGIN_OTHER_BLOB][cause]);
        out->chunks_fetched += get(&stats->chunks[ORIGIN_FETCHED][cause]);
    }
    for (size_t i = 0; i < STATS_SOURCES; i++) {
        const struct source_stats *source = &stats->sources[i];

        out->chunks_refused += get(&source->errors[-RAFS_E_CORRUPT]);
        for (uint32_t cause = 0; cause < STATS_CAUSES; cause++) {
            out->requests += cause == RAFS_CAUSE_OPEN ? 0 : get(&source->requests[cause]);
            out->bytes_fetched +=
                cause == RAFS_CAUSE_OPEN ? 0 : get(&source->bytes[cause]);
        }
        out->hedges += get(&source->events[RAFS_EVENT_HEDGE]);
    }
    out->hedges_won = get(&reader->hedges_won);
    out->cache_bytes = rafsi_cache_bytes(reader->cache);
}

void rafsi_reader_failures(struct rafsi_reader *reader, uint64_t after,
                           rafs_failure *failures, size_t capacity, size_t *count)
{
    rafsi_stats_failures(&reader->stats, after, failures, capacity, count);
}

void rafsi_reader_opened(struct rafsi_reader *reader, const rafs_backend *backend,
                         const struct rafs_tally *tally, uint64_t requests,
                         uint64_t bytes)
{
    struct stats *stats = &reader->stats;
    size_t source = STATS_OPENED;

    for (size_t i = 0; i < reader->source_count; i++)
        if (reader->sources[i] == backend)
            source = i;
    if (source == STATS_OPENED)
        rafsi_stats_name(stats, source, backend);
    rafsi_stats_events(stats, source, tally);
    atomic_fetch_add(&stats->sources[source].requests[RAFS_CAUSE_OPEN], requests);
    atomic_fetch_add(&stats->sources[source].bytes[RAFS_CAUSE_OPEN], bytes);
}
