/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and failures: each moves by what happened, and by no more. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reading.h"

enum { SAMPLES_MAX = 2048, FAILED = RAFS_FAILURES_KEPT };

static struct golden golden;
static struct reading reading;
static const struct item *file; /* the one with the most chunks */
static struct watch watch;
static struct script scripts[2];
static rafs_backend *backends[2];
static rafs_image *image;
static uint64_t cache_bytes; /* 0: as many as usual */
static rafs_cache *cache;    /* NULL: none */
static bool real_clock;      /* not the watch's */

static void load(const char *variant)
{
    struct rig rig;

    golden_load(golden_folder(), variant, &golden);
    rig_init(&rig, &golden, NULL);
    NEED(rig_open(&rig, &golden, NULL, 0, NULL) == RAFS_OK);
    reading_take(rig.image, &reading);
    file = NULL;
    for (size_t i = 0; i < reading.count; i++)
        if (S_ISREG(reading.items[i].attr.mode) &&
            (!file || reading.items[i].attr.size > file->attr.size))
            file = &reading.items[i];
    NEED(file);
    rig_drop(&rig);
}

/* The golden image over `sources` scripts, chunk by chunk, on the watch's clock. */
static void open_over(size_t sources, uint64_t merge_bytes)
{
    rafs_limits limits = {.struct_size = sizeof(limits),
                          .merge_bytes = merge_bytes,
                          .ahead_bytes = 1,
                          .chunk_cache_bytes = cache_bytes};
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    static const char *const names[] = {"first.example:5000", "second \"quoted\"\\\n"};

    watch_init(&watch);
    if (real_clock)
        watch.env.now_ns = NULL;
    for (size_t i = 0; i < sources; i++) {
        rafs_backend_ops ops = script_ops();

        script_init(&scripts[i], golden.blob, golden.blob_id, golden.blob_count, &watch);
        ops.flags = RAFS_BACKEND_REMOTE;
        ops.name = names[i];
        NEED(rafs_backend_new(&ops, &scripts[i], &watch.env, &backends[i], NULL) ==
             RAFS_OK);
    }
    options.env = &watch.env;
    options.backends = backends;
    options.backend_count = sources;
    options.limits = &limits;
    options.name = golden.boot_name;
    options.cache = cache;
    NEED(rafs_image_open_memory(golden.boot.at, golden.boot.len, &options, &image, NULL,
                                NULL) == RAFS_OK);
}

static void begin(size_t sources)
{
    load("v6-chunk4k");
    open_over(sources, 1);
}

static void end(void)
{
    rafs_image_close(image);
    for (size_t i = 0; i < 2; i++) {
        rafs_backend_free(backends[i]);
        backends[i] = NULL;
    }
    ck_assert_uint_eq(watch.live, 0);
    reading_drop(&reading);
    golden_drop(&golden);
}

static int read_some(uint64_t offset, size_t len, const rafs_call *call)
{
    static uint8_t buf[1 << 20];
    size_t nread;

    NEED(len <= sizeof(buf));
    return rafs_image_read(image, file->attr.ino, offset, len, buf, &nread, call, NULL);
}

/* What all families say, to be compared with what they say later. */
struct table {
    rafs_sample samples[SAMPLES_MAX];
    uint32_t ids[SAMPLES_MAX];
    size_t count;
};

static void take_table(struct table *out)
{
    out->count = 0;
    for (uint32_t id = 1; id <= rafs_metric_count(); id++) {
        size_t first = 0;
        size_t got = 1;

        while (got > 0) { /* in odd portions, so that paging is seen to work */
            ck_assert_int_eq(rafs_image_get_samples(image, id, first,
                                                    &out->samples[out->count], 7, &got,
                                                    NULL),
                             RAFS_OK);
            for (size_t i = 0; i < got; i++)
                out->ids[out->count + i] = id;
            out->count += got;
            first += got;
            NEED(out->count + 7 <= SAMPLES_MAX);
        }
    }
}

struct change {
    uint32_t id;
    const char *first, *second; /* labels */
    uint64_t by;
};

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Counters moved as listed, and all others stayed; gauges and histograms are looked at
 * elsewhere. */
static void expect_changes(const struct table *before, const struct change *changes,
                           size_t count)
{
    static struct table now;
    uint64_t listed = 0;
    uint64_t seen = 0;

    take_table(&now);
    ck_assert_uint_eq(now.count, before->count);
    for (size_t i = 0; i < now.count; i++) {
        rafs_metric metric = {.struct_size = sizeof(metric)};
        const rafs_sample *sample = &now.samples[i];
        uint64_t by = 0;

        NEED(rafs_metric_get(now.ids[i], &metric, NULL) == RAFS_OK);
        if (metric.kind != RAFS_METRIC_KIND_COUNTER)
            continue;
        for (size_t k = 0; k < count; k++)
            if (changes[k].id == now.ids[i] &&
                same_text(changes[k].first, sample->labels[0]) &&
                same_text(changes[k].second, sample->labels[1])) {
                by = changes[k].by;
                seen++;
            }
        ck_assert_msg(sample->value - before->samples[i].value == by,
                      "%s{%s,%s} went from %llu to %llu, not by %llu", metric.name,
                      sample->labels[0] ? sample->labels[0] : "",
                      sample->labels[1] ? sample->labels[1] : "",
                      (unsigned long long)before->samples[i].value,
                      (unsigned long long)sample->value, (unsigned long long)by);
    }
    listed = count;
    ck_assert_uint_eq(seen, listed); /* each names a sample that there is */
}

static uint64_t counter(uint32_t id)
{
    uint64_t value = 0;

    ck_assert_int_eq(rafs_image_get_counter(image, id, &value, NULL), RAFS_OK);
    return value;
}

/* Stored bytes of the chunk at an offset. */
static uint64_t stored_at(uint64_t offset)
{
    rafs_extent extent;
    size_t count = 0;

    NEED(rafs_image_get_extents(image, file->attr.ino, offset, &extent, 1, &count, NULL,
                                NULL) == RAFS_OK &&
         count == 1 && extent.flags == RAFS_EXTENT_COMPRESSED);
    return extent.compressed_size;
}

#define FIRST "first.example:5000"
#define SECOND "second \"quoted\"\\?" /* the newline is none any more */
#define CHANGES(list) list, sizeof(list) / sizeof((list)[0])

START_TEST(a_cold_and_a_warm_read)
{
    static struct table before;
    const struct change cold[] = {
        {RAFS_METRIC_READS, NULL, NULL, 1},
        {RAFS_METRIC_READ_BYTES, NULL, NULL, 100},
        {RAFS_METRIC_CHUNKS, "fetched", "demand", 1},
        {RAFS_METRIC_REQUESTS, FIRST, "demand", 1},
        {RAFS_METRIC_FETCHED_BYTES, FIRST, "demand", 0},
    };
    const struct change warm[] = {
        {RAFS_METRIC_READS, NULL, NULL, 1},
        {RAFS_METRIC_READ_BYTES, NULL, NULL, 4096},
        {RAFS_METRIC_CHUNKS, "memory", "demand", 1},
    };
    struct change stored[5];

    begin(1);
    memcpy(stored, cold, sizeof(stored));
    stored[4].by = stored_at(0);
    take_table(&before);
    ck_assert_uint_eq(counter(RAFS_METRIC_MEMORY_BYTES), 0);
    ck_assert_int_eq(read_some(5, 100, NULL), RAFS_OK);
    expect_changes(&before, CHANGES(stored));
    ck_assert_uint_ge(counter(RAFS_METRIC_MEMORY_BYTES), 4096);
    ck_assert_uint_eq(counter(RAFS_METRIC_CHUNK_WAIT), 1);
    ck_assert_uint_eq(counter(RAFS_METRIC_REQUEST_TIME), 1);
    take_table(&before);
    ck_assert_int_eq(read_some(0, 4096, NULL), RAFS_OK);
    expect_changes(&before, CHANGES(warm));
    ck_assert_uint_eq(counter(RAFS_METRIC_CHUNK_WAIT), 1);
    end();
}
END_TEST

START_TEST(what_comes_along_is_ahead)
{
    static struct table before;
    const struct change alone[] = {{RAFS_METRIC_READS, NULL, NULL, 1},
                                   {RAFS_METRIC_READ_BYTES, NULL, NULL, 4096},
                                   {RAFS_METRIC_CHUNKS, "memory", "demand", 1}};

    load("v6-chunk4k");
    open_over(1, 64 << 10);
    ck_assert_int_eq(read_some(0, 1, NULL), RAFS_OK);
    ck_assert_uint_eq(counter(RAFS_METRIC_REQUESTS), 1);
    ck_assert_uint_gt(counter(RAFS_METRIC_CHUNKS), 1);
    take_table(&before);
    ck_assert_int_eq(read_some(4096, 4096, NULL), RAFS_OK);
    expect_changes(&before, CHANGES(alone));
    end();
}
END_TEST

/* What a source does wrong, and what is to be seen of it. */
static const struct {
    enum script_fault fault;
    size_t at; /* which answer: 0 is the open */
    int kind;  /* of the source */
    int rc;    /* of the read */
    bool kept; /* among the failures */
    const char *text;
} faults[] = {
    {SCRIPT_FAILS, 1, RAFS_E_BACKEND, RAFS_E_BACKEND, true, "the script says so"},
    {SCRIPT_FAILS, 0, RAFS_E_BACKEND, RAFS_E_BACKEND, true, "failed to open"},
    {SCRIPT_SHORT, 1, RAFS_E_BACKEND, RAFS_E_BACKEND, true, "the blob ends here"},
    {SCRIPT_ALTERED, 1, RAFS_E_CORRUPT, RAFS_E_CORRUPT, true, ""},
    {SCRIPT_CLAIMS, 1, RAFS_E_BACKEND, RAFS_E_BACKEND, true, "says it gave"},
    {SCRIPT_NONSENSE, 1, RAFS_E_BACKEND, RAFS_E_BACKEND, true, "failed to read"},
    {SCRIPT_HANGS, 1, RAFS_E_TIMEOUT, RAFS_E_TIMEOUT, true, "failed to read"},
    {SCRIPT_NOMEM, 1, RAFS_E_NOMEM, RAFS_E_NOMEM, true, "failed to read"},
};
enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };

START_TEST(a_failure_is_counted_and_kept)
{
    static struct table before;
    const char *kind = rafs_error_name(faults[_i].kind);
    struct change changes[] = {
        {RAFS_METRIC_READ_ERRORS, rafs_error_name(faults[_i].rc), NULL, 1},
        {RAFS_METRIC_SOURCE_ERRORS, FIRST, kind, 1},
        {RAFS_METRIC_REQUESTS, FIRST, "demand", 1},
        {RAFS_METRIC_FETCHED_BYTES, FIRST, "demand", 0},
    };
    rafs_failure kept[FAILED];
    rafs_call call;
    size_t count = 0;
    char blob[100];

    begin(1);
    if (faults[_i].at == 0)
        changes[2].by = 0;
    if (faults[_i].fault == SCRIPT_ALTERED)
        changes[3].by = stored_at(0);
    take_table(&before);
    script_arm(&scripts[0], faults[_i].fault, faults[_i].at);
    call = watch_call(&watch, 1000);
    ck_assert_int_eq(read_some(0, 1, &call), faults[_i].rc);
    expect_changes(&before, CHANGES(changes));
    ck_assert_int_eq(rafs_image_get_failures(image, 0, kept, FAILED, &count, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(count, faults[_i].kept);
    ck_assert_uint_eq(kept[0].number, 1);
    ck_assert_uint_eq(kept[0].at_ns, watch.now_ns);
    ck_assert_uint_gt(kept[0].unix_ns, UINT64_C(1600000000) * 1000000000);
    ck_assert_uint_eq(kept[0].cause,
                      faults[_i].at == 0 ? RAFS_CAUSE_METADATA : RAFS_CAUSE_DEMAND);
    ck_assert_uint_eq(kept[0].tries, 1);
    ck_assert_str_eq(kept[0].source, FIRST);
    ck_assert_int_eq(kept[0].error.code, faults[_i].kind);
    ck_assert_msg(strstr(kept[0].error.text, faults[_i].text), "%s", kept[0].error.text);
    snprintf(blob, sizeof(blob), "blob %s", golden.blob_id[0]);
    ck_assert_str_eq(kept[0].error.object, blob);
    end();
}
END_TEST

START_TEST(a_blob_that_no_source_has_is_no_fault_of_one)
{
    static struct table before;
    const struct change changes[] = {
        {RAFS_METRIC_READ_ERRORS, "RAFS_E_BACKEND", NULL, 1},
        {RAFS_METRIC_SOURCE_ERRORS, FIRST, "RAFS_E_NOENT", 1},
        {RAFS_METRIC_SOURCE_ERRORS, SECOND, "RAFS_E_NOENT", 1},
    };
    rafs_failure kept[2];
    size_t count = 0;

    begin(2);
    take_table(&before);
    for (size_t i = 0; i < 2; i++)
        script_arm(&scripts[i], SCRIPT_NOENT, 0);
    ck_assert_int_eq(read_some(0, 1, NULL), RAFS_E_BACKEND);
    expect_changes(&before, CHANGES(changes));
    ck_assert_int_eq(rafs_image_get_failures(image, 0, kept, 2, &count, NULL), RAFS_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(kept[0].source, "");
    ck_assert_uint_eq(kept[0].tries, 0);
    ck_assert(strstr(kept[0].error.text, "none of the sources"));
    end();
}
END_TEST

START_TEST(another_source_makes_up_for_one)
{
    static struct table before;
    struct change changes[] = {
        {RAFS_METRIC_READS, NULL, NULL, 1},
        {RAFS_METRIC_READ_BYTES, NULL, NULL, 1},
        {RAFS_METRIC_CHUNKS, "fetched", "demand", 1},
        {RAFS_METRIC_SOURCE_ERRORS, FIRST, "RAFS_E_BACKEND", 1},
        {RAFS_METRIC_FAILOVERS, FIRST, NULL, 1},
        {RAFS_METRIC_REQUESTS, FIRST, "demand", 1},
        {RAFS_METRIC_REQUESTS, SECOND, "demand", 1},
        {RAFS_METRIC_FETCHED_BYTES, SECOND, "demand", 0},
    };

    begin(2);
    changes[7].by = stored_at(0);
    take_table(&before);
    script_arm(&scripts[0], SCRIPT_FAILS, 1);
    ck_assert_int_eq(read_some(0, 1, NULL), RAFS_OK);
    expect_changes(&before, CHANGES(changes));
    end();
}
END_TEST

START_TEST(a_source_that_failed_is_asked_again)
{
    static struct table before;
    struct change changes[] = {
        {RAFS_METRIC_READS, NULL, NULL, 1},
        {RAFS_METRIC_READ_BYTES, NULL, NULL, 1},
        {RAFS_METRIC_CHUNKS, "fetched", "demand", 1},
        {RAFS_METRIC_SOURCE_ERRORS, FIRST, "RAFS_E_BACKEND", 1},
        {RAFS_METRIC_RETRIES, FIRST, NULL, 1},
        {RAFS_METRIC_REQUESTS, FIRST, "demand", 2},
        {RAFS_METRIC_FETCHED_BYTES, FIRST, "demand", 0},
        {RAFS_METRIC_SOURCE_ERRORS, SECOND, "RAFS_E_NOENT", 1},
        {RAFS_METRIC_FAILOVERS, FIRST, NULL, 1},
    };
    rafs_call call;

    real_clock = true;
    begin(2);
    changes[6].by = stored_at(0);
    take_table(&before);
    script_arm(&scripts[0], SCRIPT_FAILS, 1);
    script_arm(&scripts[1], SCRIPT_NOENT, 0);
    rafs_call_init(&call, NULL, 60000, NULL);
    ck_assert_int_eq(read_some(0, 1, &call), RAFS_OK);
    expect_changes(&before, CHANGES(changes));
    end();
}
END_TEST

static int count_events(void *user, uint64_t offset, const rafs_call *call)
{
    (void)user;
    (void)offset;
    for (uint32_t event = 0; event <= RAFS_EVENT_FAILOVER + 1; event++)
        rafs_call_count(call, event, 3 + event);
    return RAFS_E_BACKEND;
}

START_TEST(a_backend_counts_for_its_image)
{
    static struct table before;
    const struct change changes[] = {
        {RAFS_METRIC_READ_ERRORS, "RAFS_E_BACKEND", NULL, 1},
        {RAFS_METRIC_REQUESTS, FIRST, "demand", 1},
        {RAFS_METRIC_SOURCE_ERRORS, FIRST, "RAFS_E_BACKEND", 1},
        {RAFS_METRIC_SENT_REQUESTS, FIRST, NULL, 3},
        {RAFS_METRIC_RECEIVED_BYTES, FIRST, NULL, 4},
        {RAFS_METRIC_RETRIES, FIRST, NULL, 5},
        {RAFS_METRIC_REDIRECTS, FIRST, NULL, 6},
        {RAFS_METRIC_RENEWALS, FIRST, NULL, 7},
        {RAFS_METRIC_HEDGES, FIRST, NULL, 8},
        {RAFS_METRIC_FAILOVERS, FIRST, NULL, 9},
    };
    rafs_failure kept;
    size_t count = 0;

    begin(1);
    take_table(&before);
    scripts[0].before_read = count_events;
    ck_assert_int_eq(read_some(0, 1, NULL), RAFS_E_BACKEND);
    expect_changes(&before, CHANGES(changes));
    ck_assert_int_eq(rafs_image_get_failures(image, 0, &kept, 1, &count, NULL), RAFS_OK);
    ck_assert_uint_eq(kept.tries, 3);
    rafs_call_count(NULL, RAFS_EVENT_SENT, 1); /* nobody to count for */
    end();
}
END_TEST

/* How long the next answer takes; what the gauges say meanwhile. */
static uint64_t answer_takes;

static int answer_slowly(void *user, uint64_t offset, const rafs_call *call)
{
    (void)user;
    (void)offset;
    (void)call;
    ck_assert_uint_eq(counter(RAFS_METRIC_WAITING), 1);
    ck_assert_uint_eq(counter(RAFS_METRIC_REQUESTS_ACTIVE), 1);
    watch_advance(&watch, answer_takes);
    ck_assert_uint_eq(counter(RAFS_METRIC_OLDEST_WAIT), answer_takes);
    ck_assert_uint_eq(counter(RAFS_METRIC_OLDEST_REQUEST), answer_takes);
    return RAFS_OK;
}

static void expect_histogram(uint32_t id, const uint64_t *took, size_t count)
{
    rafs_sample samples[RAFS_HISTOGRAM_BUCKETS + 2];
    uint64_t sum = 0;
    uint64_t bound = 0;
    size_t got = 0;

    ck_assert_int_eq(rafs_image_get_samples(image, id, 0, samples,
                                            RAFS_HISTOGRAM_BUCKETS + 2, &got, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(got, RAFS_HISTOGRAM_BUCKETS + 2);
    for (size_t i = 0; i < RAFS_HISTOGRAM_BUCKETS; i++) {
        uint64_t expected = 0;

        ck_assert_uint_eq(samples[i].part, RAFS_SAMPLE_BUCKET);
        ck_assert_uint_gt(samples[i].bound_ns, bound);
        bound = samples[i].bound_ns;
        for (size_t k = 0; k < count; k++)
            expected += took[k] <= bound;
        ck_assert_uint_eq(samples[i].value, expected);
    }
    ck_assert_uint_eq(samples[0].bound_ns, 100000);
    ck_assert_uint_eq(samples[RAFS_HISTOGRAM_BUCKETS - 2].bound_ns,
                      UINT64_C(50) * 1000000000);
    ck_assert_uint_eq(bound, UINT64_MAX);
    for (size_t k = 0; k < count; k++)
        sum += took[k];
    ck_assert_uint_eq(samples[RAFS_HISTOGRAM_BUCKETS].part, RAFS_SAMPLE_COUNT);
    ck_assert_uint_eq(samples[RAFS_HISTOGRAM_BUCKETS].value, count);
    ck_assert_uint_eq(samples[RAFS_HISTOGRAM_BUCKETS + 1].part, RAFS_SAMPLE_SUM);
    ck_assert_uint_eq(samples[RAFS_HISTOGRAM_BUCKETS + 1].value, sum);
}

/* A cache of a single chunk, which may refuse it or give it back altered. */
static struct single {
    uint8_t bytes[4096];
    size_t len;
    bool full, lies;
} single;

static int find_single(void *user, void *lease, const rafs_cache_chunk *chunk, void *buf,
                       size_t *nread, const rafs_call *call, rafs_error *err)
{
    (void)user;
    (void)lease;
    (void)call;
    (void)err;
    if (single.len != chunk->size)
        return RAFS_E_NOENT;
    memcpy(buf, single.bytes, single.len);
    ((uint8_t *)buf)[0] ^= single.lies;
    *nread = single.len;
    return RAFS_OK;
}

static int store_single(void *user, void *lease, const rafs_cache_chunk *chunk,
                        const void *data, const rafs_call *call, rafs_error *err)
{
    (void)user;
    (void)lease;
    (void)call;
    if (single.full)
        return rafs_error_set(err, RAFS_E_LIMIT, 0, NULL, "full");
    NEED(chunk->size <= sizeof(single.bytes));
    memcpy(single.bytes, data, chunk->size);
    single.len = chunk->size;
    return RAFS_OK;
}

START_TEST(what_a_cache_does_is_counted)
{
    static struct table before;
    struct change full[] = {
        {RAFS_METRIC_READS, NULL, NULL, 1},
        {RAFS_METRIC_READ_BYTES, NULL, NULL, 1},
        {RAFS_METRIC_CHUNKS, "fetched", "demand", 1},
        {RAFS_METRIC_REQUESTS, FIRST, "demand", 1},
        {RAFS_METRIC_FETCHED_BYTES, FIRST, "demand", 0},
        {RAFS_METRIC_CACHE_WRITE_ERRORS, NULL, NULL, 1},
    };
    struct change lies[6];
    const struct change found[] = {
        {RAFS_METRIC_READS, NULL, NULL, 1},
        {RAFS_METRIC_READ_BYTES, NULL, NULL, 1},
        {RAFS_METRIC_CHUNKS, "disk", "demand", 1},
    };
    rafs_cache_ops ops = RAFS_CACHE_OPS_INIT;

    ops.lookup = find_single;
    ops.store = store_single;
    memset(&single, 0, sizeof(single));
    NEED(rafs_cache_new(&ops, NULL, NULL, &cache, NULL) == RAFS_OK);
    cache_bytes = 1;
    begin(1);
    full[4].by = stored_at(0);
    memcpy(lies, full, sizeof(lies));
    /* It is asked once more when its time to fetch has come. */
    lies[5] = (struct change){RAFS_METRIC_CACHE_REFUSED, NULL, NULL, 2};
    take_table(&before);
    single.full = true;
    ck_assert_int_eq(read_some(0, 1, NULL), RAFS_OK);
    expect_changes(&before, CHANGES(full));
    single.full = false;
    ck_assert_int_eq(read_some(0, 1, NULL), RAFS_OK);
    take_table(&before);
    ck_assert_int_eq(read_some(0, 1, NULL), RAFS_OK);
    expect_changes(&before, CHANGES(found));
    take_table(&before);
    single.lies = true;
    ck_assert_int_eq(read_some(0, 1, NULL), RAFS_OK);
    expect_changes(&before, CHANGES(lies));
    rafs_image_close(image);
    image = NULL;
    rafs_cache_close(cache);
    cache = NULL;
    end();
}
END_TEST

START_TEST(waits_are_measured)
{
    static const uint64_t took[] = {0,       99999,    100000,    100001,
                                    5000000, 50000000, 500000001, UINT64_C(70000000000)};
    enum { COUNT = sizeof(took) / sizeof(took[0]) };

    cache_bytes = 1; /* nothing is remembered */
    begin(1);
    scripts[0].before_read = answer_slowly;
    ck_assert_uint_eq(counter(RAFS_METRIC_OLDEST_WAIT), 0);
    for (size_t i = 0; i < COUNT; i++) {
        answer_takes = took[i];
        ck_assert_int_eq(read_some(0, 1, NULL), RAFS_OK);
    }
    ck_assert_uint_eq(counter(RAFS_METRIC_WAITING), 0);
    ck_assert_uint_eq(counter(RAFS_METRIC_REQUESTS_ACTIVE), 0);
    ck_assert_uint_eq(counter(RAFS_METRIC_OLDEST_REQUEST), 0);
    expect_histogram(RAFS_METRIC_CHUNK_WAIT, took, COUNT);
    expect_histogram(RAFS_METRIC_REQUEST_TIME, took, COUNT);
    end();
}
END_TEST

START_TEST(the_last_failures_are_kept)
{
    rafs_failure kept[FAILED + 1];
    size_t count = 0;

    begin(1);
    script_arm(&scripts[0], SCRIPT_FAILS, 0);
    scripts[0].fault_stays = true;
    for (unsigned i = 0; i < FAILED + 8; i++)
        ck_assert_int_eq(read_some(0, 1, NULL), RAFS_E_BACKEND);
    ck_assert_int_eq(rafs_image_get_failures(image, 0, kept, FAILED + 1, &count, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(count, FAILED);
    for (size_t i = 0; i < FAILED; i++)
        ck_assert_uint_eq(kept[i].number, 9 + i);
    /* Only what is new, no more than there is room for. */
    ck_assert_int_eq(rafs_image_get_failures(image, 37, kept, 2, &count, NULL), RAFS_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(kept[0].number, 38);
    ck_assert_int_eq(rafs_image_get_failures(image, 40, kept, 2, &count, NULL), RAFS_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(rafs_image_get_failures(image, UINT64_MAX, kept, 2, &count, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(count, 0);
    end();
}
END_TEST

START_TEST(without_memory_failures_are_only_counted)
{
    rafs_failure kept[FAILED];
    bool missed = false;
    size_t count = 0;

    for (size_t at = 0; !missed; at++) {
        begin(1);
        script_arm(&scripts[0], SCRIPT_FAILS, 0);
        scripts[0].fault_stays = true;
        watch_fail_at(&watch, at);
        missed = read_some(0, 1, NULL) == RAFS_E_BACKEND;
        ck_assert(watch.failed); /* at the latest the ring's own allocation */
        watch_fail_at(&watch, WATCH_NEVER);
        NEED(rafs_image_get_failures(image, 0, kept, FAILED, &count, NULL) == RAFS_OK);
        missed &= count == 0;
        if (!missed)
            end();
    }
    ck_assert_uint_eq(counter(RAFS_METRIC_SOURCE_ERRORS), 1);
    ck_assert_int_eq(read_some(0, 1, NULL), RAFS_E_BACKEND);
    ck_assert_int_eq(rafs_image_get_failures(image, 0, kept, FAILED, &count, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(kept[0].number, 2);
    end();
}
END_TEST

START_TEST(checks_and_openings_have_causes_of_their_own)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_check_result result = {.struct_size = sizeof(result)};
    struct bytes blobs[1];
    static const char ids[1][80] = {"boot"};
    rafs_backend *shelf;
    struct script script;
    rafs_sample samples[64];
    size_t count = 0;
    uint64_t opened = 0;

    begin(1);
    ck_assert_int_eq(rafs_image_check(image, NULL, &result, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(
        rafs_image_get_samples(image, RAFS_METRIC_REQUESTS, 0, samples, 64, &count, NULL),
        RAFS_OK);
    for (size_t i = 0; i < count; i++)
        if (strcmp(samples[i].labels[1], "check") == 0)
            ck_assert_uint_eq(samples[i].value, result.chunks);
        else if (strcmp(samples[i].labels[1], "metadata") != 0)
            ck_assert_uint_eq(samples[i].value, 0);
    rafs_image_close(image);
    image = NULL;
    blobs[0] = golden.boot;
    script_init(&script, blobs, ids, 1, &watch);
    shelf = script_backend(&script, &watch.env);
    options.env = &watch.env;
    NEED(rafs_image_open_backend(shelf, "boot", &options, &image, NULL, NULL) == RAFS_OK);
    ck_assert_int_eq(rafs_image_get_samples(image, RAFS_METRIC_FETCHED_BYTES, 0, samples,
                                            64, &count, NULL),
                     RAFS_OK);
    for (size_t i = 0; i < count; i++)
        if (strcmp(samples[i].labels[1], "open") == 0) {
            ck_assert_str_eq(samples[i].labels[0], "program");
            opened += samples[i].value;
        }
    ck_assert_uint_eq(opened, golden.boot.len);
    rafs_image_close(image);
    image = NULL;
    rafs_backend_free(shelf);
    end();
}
END_TEST

START_TEST(sources_of_one_name_are_told_apart)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_backend *many[3];
    rafs_sample samples[8];
    size_t count = 0;

    for (size_t i = 0; i < 3; i++)
        NEED(rafs_backend_new_memory(NULL, "", 0, NULL, &many[i], NULL) == RAFS_OK);
    load("v6-chunk4k");
    options.backends = many;
    options.backend_count = 3;
    watch_init(&watch);
    NEED(rafs_image_open_memory(golden.boot.at, golden.boot.len, &options, &image, NULL,
                                NULL) == RAFS_OK);
    ck_assert_int_eq(
        rafs_image_get_samples(image, RAFS_METRIC_RETRIES, 0, samples, 8, &count, NULL),
        RAFS_OK);
    ck_assert_uint_eq(count, 3);
    ck_assert_str_eq(samples[0].labels[0], "memory");
    ck_assert_str_eq(samples[1].labels[0], "memory#2");
    ck_assert_str_eq(samples[2].labels[0], "memory#3");
    rafs_image_close(image);
    image = NULL;
    for (size_t i = 0; i < 3; i++)
        rafs_backend_free(many[i]);
    end();
}
END_TEST

START_TEST(families_are_well_formed)
{
    rafs_metric metric = {.struct_size = sizeof(metric)};

    ck_assert_uint_ge(rafs_metric_count(), RAFS_METRIC_MEMORY_BYTES);
    for (uint32_t id = 1; id <= rafs_metric_count(); id++) {
        size_t name, unit;

        ck_assert_int_eq(rafs_metric_get(id, &metric, NULL), RAFS_OK);
        ck_assert_uint_eq(metric.id, id);
        ck_assert(metric.kind >= RAFS_METRIC_KIND_COUNTER &&
                  metric.kind <= RAFS_METRIC_KIND_HISTOGRAM);
        name = strlen(metric.name);
        unit = strlen(metric.unit);
        ck_assert(strncmp(metric.name, "rafs_", 5) == 0);
        ck_assert(unit == 0 || (name > unit + 1 &&
                                strcmp(metric.name + name - unit, metric.unit) == 0));
        ck_assert_uint_gt(strlen(metric.help), 0);
        for (uint32_t i = 0; i < 2; i++)
            ck_assert_int_eq(metric.labels[i] != NULL, i < metric.label_count);
    }
    ck_assert_int_eq(rafs_metric_get(0, &metric, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_metric_get(rafs_metric_count() + 1, &metric, NULL),
                     RAFS_E_BADARG);
    ck_assert_str_eq(rafs_cause_name(RAFS_CAUSE_CHECK), "check");
    ck_assert_str_eq(rafs_cause_name(RAFS_CAUSE_CHECK + 1), "?");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stats");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, a_cold_and_a_warm_read);
    tcase_add_test(tcase, what_comes_along_is_ahead);
    tcase_add_loop_test(tcase, a_failure_is_counted_and_kept, 0, FAULTS);
    tcase_add_test(tcase, a_blob_that_no_source_has_is_no_fault_of_one);
    tcase_add_test(tcase, another_source_makes_up_for_one);
    tcase_add_test(tcase, a_source_that_failed_is_asked_again);
    tcase_add_test(tcase, a_backend_counts_for_its_image);
    tcase_add_test(tcase, what_a_cache_does_is_counted);
    tcase_add_test(tcase, waits_are_measured);
    tcase_add_test(tcase, the_last_failures_are_kept);
    tcase_add_test(tcase, without_memory_failures_are_only_counted);
    tcase_add_test(tcase, checks_and_openings_have_causes_of_their_own);
    tcase_add_test(tcase, sources_of_one_name_are_told_apart);
    tcase_add_test(tcase, families_are_well_formed);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
