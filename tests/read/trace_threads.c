/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access traces: what was read is recorded once, in order; saved and loaded it is the
 * same; replayed it brings just that in few requests; damaged it is refused.
 */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/trace.h"
#include "rafs/prefetch.h"
#include "rafs/trace.h"
#include "reading.h"
#include "v6_content.h"

enum { CHUNK = 64 << 10, FILES = 40, PER_FILE = 4, FILE_BYTES = PER_FILE * CHUNK };

struct setup {
    struct content content;
    struct script script;
    struct watch watch;
    rafs_backend *backend;
    rafs_cache *cache;
    rafs_image *image;
    char dir[64];
    unsigned caches;
    bool guesses; /* by the thread that reads: no cache, whose guesses are the crew's */
};

static void setup_open(struct setup *setup, uint32_t flags, bool fresh)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits)};
    char path[100];

    limits.merge_bytes = setup->guesses ? 0 : 1;
    rafs_image_close(setup->image);
    if (fresh) {
        rafs_cache_close(setup->cache);
        snprintf(path, sizeof(path), "%s/%u", setup->dir, setup->caches++);
        NEED(rafs_cache_open(path, NULL, &setup->cache, NULL) == RAFS_OK);
    }
    options.flags = flags;
    options.env = &setup->watch.env;
    options.backends = &setup->backend;
    options.backend_count = 1;
    options.cache = setup->guesses ? NULL : setup->cache;
    options.limits = &limits;
    NEED(rafs_image_open_memory(setup->content.boot.at, setup->content.boot.len, &options,
                                &setup->image, NULL, NULL) == RAFS_OK);
}

static void setup_make(struct setup *setup, uint32_t flags)
{
    rafs_backend_ops ops = script_ops();

    memset(setup, 0, sizeof(*setup));
    content_make(&setup->content, FILES, PER_FILE, CHUNK);
    watch_init(&setup->watch);
    ops.flags = RAFS_BACKEND_REMOTE;
    script_init(&setup->script, &setup->content.blob, NULL, 1, &setup->watch);
    NEED(rafs_backend_new(&ops, &setup->script, &setup->watch.env, &setup->backend,
                          NULL) == RAFS_OK);
    snprintf(setup->dir, sizeof(setup->dir), "/tmp/rafs-trace-XXXXXX");
    NEED(mkdtemp(setup->dir));
    setup_open(setup, flags, true);
}

static void setup_drop(struct setup *setup)
{
    char command[100];

    rafs_image_close(setup->image);
    rafs_cache_close(setup->cache);
    rafs_backend_free(setup->backend);
    content_drop(&setup->content);
    snprintf(command, sizeof(command), "rm -rf %s", setup->dir);
    NEED(system(command) == 0);
}

static uint64_t file_of(const struct setup *setup, unsigned i)
{
    char path[16];
    uint64_t ino;

    snprintf(path, sizeof(path), "/f%07u", i % FILES);
    NEED(rafs_image_resolve(setup->image, path, 0, &ino, NULL) == RAFS_OK);
    return ino;
}

static bool read_at(const struct setup *setup, unsigned i, uint64_t offset, size_t len)
{
    uint8_t *buf = malloc(len);
    size_t nread = 0;
    bool right;

    NEED(buf);
    right = rafs_image_read(setup->image, file_of(setup, i), offset, len, buf, &nread,
                            NULL, NULL) == RAFS_OK &&
            nread == len &&
            memcmp(buf, setup->content.blob.at + i * FILE_BYTES + offset, len) == 0;
    free(buf);
    return right;
}

static rafs_trace *take(const struct setup *setup)
{
    rafs_trace *trace = NULL;

    NEED(rafs_trace_take(setup->image, &trace, NULL, NULL) == RAFS_OK);
    return trace;
}

static rafs_trace_info info_of(const rafs_trace *trace)
{
    rafs_trace_info info = RAFS_TRACE_INFO_INIT;

    NEED(rafs_trace_get_info(trace, &info, NULL) == RAFS_OK);
    return info;
}

static uint8_t *saved(const rafs_trace *trace, size_t *len)
{
    uint8_t *bytes;

    NEED(rafs_trace_save(trace, NULL, 0, len, NULL) == RAFS_E_RANGE);
    bytes = malloc(*len);
    NEED(bytes && rafs_trace_save(trace, bytes, *len, len, NULL) == RAFS_OK);
    return bytes;
}

/* Files 30 and 2 and a piece of 9, twice. */
static void use_some(struct setup *setup)
{
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(read_at(setup, 30, 0, FILE_BYTES));
        watch_advance(&setup->watch, 5000000);
        ck_assert(read_at(setup, 2, 0, FILE_BYTES));
        ck_assert(read_at(setup, 9, CHUNK + 100, 10));
    }
}

START_TEST(first_uses_are_recorded_in_order)
{
    rafs_trace_event events[16];
    rafs_trace *trace = NULL;
    struct setup setup;
    size_t count;
    uint64_t size;
    char id[72];

    setup_make(&setup, 0);
    ck_assert_int_eq(rafs_trace_take(setup.image, &trace, NULL, NULL), RAFS_E_BADARG);
    ck_assert(read_at(&setup, 20, 0, 1)); /* before, so not recorded */
    ck_assert_int_eq(rafs_trace_start(setup.image, NULL), RAFS_OK);
    use_some(&setup);
    trace = take(&setup);
    ck_assert_uint_eq(info_of(trace).events, 2 * PER_FILE + 1);
    ck_assert_uint_eq(info_of(trace).complete, 1);
    ck_assert_int_eq(rafs_trace_get_blob(trace, 0, id, &size, NULL), RAFS_OK);
    ck_assert_uint_eq(size, setup.content.blob.len);
    ck_assert_int_eq(rafs_trace_get_blob(trace, 1, id, &size, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_trace_get_events(trace, 0, events, 16, &count, NULL), RAFS_OK);
    ck_assert_uint_eq(count, 2 * PER_FILE + 1);
    ck_assert_uint_eq(events[0].ino, file_of(&setup, 30));
    ck_assert_uint_eq(events[0].compressed_offset, 30 * FILE_BYTES);
    ck_assert_uint_eq(events[PER_FILE].time_us, events[0].time_us + 5000);
    ck_assert_uint_eq(events[PER_FILE].chunk, 2 * PER_FILE);
    ck_assert_uint_eq(events[8].ino, file_of(&setup, 9));
    ck_assert_uint_eq(events[8].file_offset, CHUNK);
    ck_assert_uint_eq(events[8].length, CHUNK);
    rafs_trace_free(trace);
    setup_drop(&setup);
}
END_TEST

static void replay(struct setup *setup, const rafs_trace *trace,
                   rafs_prefetch_progress *progress)
{
    rafs_prefetch_options options = RAFS_PREFETCH_OPTIONS_INIT;
    rafs_prefetch *prefetch = NULL;

    options.what = RAFS_PREFETCH_TRACE;
    options.trace = trace;
    NEED(rafs_prefetch_start(setup->image, &options, &prefetch, NULL, NULL) == RAFS_OK);
    ck_assert_int_eq(rafs_prefetch_wait(prefetch, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_prefetch_get_progress(prefetch, progress, NULL), RAFS_OK);
    rafs_prefetch_free(prefetch);
}

START_TEST(a_replay_brings_what_was_used_in_few_requests)
{
    rafs_prefetch_progress progress = RAFS_PREFETCH_PROGRESS_INIT;
    rafs_trace *trace, *again = NULL;
    char path[100];
    uint8_t *bytes;
    struct setup setup;
    size_t len, before;

    setup_make(&setup, 0);
    ck_assert_int_eq(rafs_trace_start(setup.image, NULL), RAFS_OK);
    use_some(&setup);
    for (unsigned i = 20; i > 10; i--) /* ten files beside each other, backwards */
        ck_assert(read_at(&setup, i, 0, FILE_BYTES));
    trace = take(&setup);
    bytes = saved(trace, &len);
    rafs_trace_free(trace);
    ck_assert_int_eq(rafs_trace_load(bytes, len, NULL, &trace, NULL), RAFS_OK);
    snprintf(path, sizeof(path), "%s/t", setup.dir);
    ck_assert_int_eq(rafs_trace_save_path(trace, path, NULL), RAFS_OK);
    rafs_trace_free(trace);
    ck_assert_int_eq(rafs_trace_load_path(path, NULL, &again, NULL), RAFS_OK);
    setup_open(&setup, 0, true);
    before = setup.script.reads;
    replay(&setup, again, &progress);
    ck_assert_uint_eq(progress.chunks_fetched, 12 * PER_FILE + 1);
    ck_assert_uint_eq(progress.bytes_asked, (12 * PER_FILE + 1) * CHUNK);
    /* 30, 2, 9 and one each for the parts of 11 to 20 that fell into a segment */
    ck_assert_uint_le(setup.script.reads - before, 3 + 4);
    before = setup.script.reads;
    use_some(&setup);
    ck_assert_uint_eq(setup.script.reads, before);
    free(bytes);
    rafs_trace_free(again);
    setup_drop(&setup);
}
END_TEST

/* Reads of what lies behind `beyond` wait until their token fires. */
struct hold {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    uint64_t beyond;
    unsigned inside;
};

static int hold(void *user, uint64_t offset, const rafs_call *call)
{
    struct hold *gate = user;
    struct pollfd fd = {.events = POLLIN};

    if (offset < gate->beyond || !call->cancel)
        return RAFS_OK; /* or it is what a reader waits for */
    pthread_mutex_lock(&gate->lock);
    gate->inside++;
    pthread_cond_signal(&gate->arrived);
    pthread_mutex_unlock(&gate->lock);
    fd.fd = rafs_cancel_fd(call->cancel);
    while (poll(&fd, 1, -1) < 1)
        ;
    return RAFS_E_CANCELLED;
}

static uint64_t fetched(const struct setup *setup)
{
    rafs_stats stats = {.struct_size = sizeof(stats)};

    NEED(rafs_image_get_stats(setup->image, &stats, NULL) == RAFS_OK);
    return stats.chunks_fetched;
}

START_TEST(nothing_is_guessed_while_a_trace_tells_what_comes)
{
    struct hold gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
                        30 * FILE_BYTES, 0};
    rafs_prefetch_options options = RAFS_PREFETCH_OPTIONS_INIT;
    rafs_prefetch *prefetch = NULL;
    rafs_trace *trace;
    struct setup setup;
    uint64_t before;

    setup_make(&setup, 0);
    ck_assert_int_eq(rafs_trace_start(setup.image, NULL), RAFS_OK);
    ck_assert(read_at(&setup, 30, 0, FILE_BYTES));
    trace = take(&setup);
    setup.guesses = true;
    setup_open(&setup, 0, true);
    setup.script.before_user = &gate;
    setup.script.before_read = hold;
    options.what = RAFS_PREFETCH_TRACE;
    options.trace = trace;
    NEED(rafs_prefetch_start(setup.image, &options, &prefetch, NULL, NULL) == RAFS_OK);
    pthread_mutex_lock(&gate.lock);
    while (gate.inside == 0)
        pthread_cond_wait(&gate.arrived, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    before = fetched(&setup);
    ck_assert(read_at(&setup, 2, 0, 10));
    ck_assert_uint_eq(fetched(&setup) - before, 1);
    rafs_prefetch_free(prefetch);
    before = fetched(&setup);
    ck_assert(read_at(&setup, 5, 0, 10));
    ck_assert_uint_gt(fetched(&setup) - before, 1);
    rafs_trace_free(trace);
    setup_drop(&setup);
}
END_TEST

START_TEST(an_image_learns_from_its_last_run)
{
    rafs_trace *trace = NULL;
    struct setup setup;
    size_t reads;

    setup_make(&setup, RAFS_OPEN_TRACE);
    ck_assert_int_eq(rafs_trace_find(setup.image, &trace, NULL, NULL), RAFS_E_NOENT);
    use_some(&setup);
    setup_open(&setup, RAFS_OPEN_TRACE, false);
    ck_assert_int_eq(rafs_trace_find(setup.image, &trace, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(info_of(trace).events, 2 * PER_FILE + 1);
    rafs_trace_free(trace);
    reads = setup.script.reads;
    use_some(&setup);
    ck_assert_uint_eq(setup.script.reads, reads);
    ck_assert(read_at(&setup, 39, 0, 1)); /* one more, which is added */
    setup_open(&setup, RAFS_OPEN_TRACE, false);
    trace = take(&setup);
    ck_assert_uint_eq(info_of(trace).events, 2 * PER_FILE + 2);
    rafs_trace_free(trace);
    setup_drop(&setup);
}
END_TEST

START_TEST(a_trace_of_another_image_is_refused)
{
    rafs_prefetch_options options = RAFS_PREFETCH_OPTIONS_INIT;
    rafs_prefetch *prefetch = NULL;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_trace *trace;
    struct setup setup;

    setup_make(&setup, RAFS_OPEN_TRACE);
    use_some(&setup);
    trace = take(&setup);
    setup.content.boot.at[setup.content.boot.len - 1] ^= 1; /* nothing that matters */
    setup_open(&setup, 0, false);
    options.what = RAFS_PREFETCH_TRACE;
    options.trace = trace;
    ck_assert_int_eq(rafs_prefetch_start(setup.image, &options, &prefetch, NULL, &err),
                     RAFS_E_BADARG);
    ck_assert_str_eq(err.object, "trace");
    rafs_trace_free(trace);
    setup_drop(&setup);
}
END_TEST

START_TEST(damage_is_found_wherever_it_is)
{
    rafs_trace *trace, *bad = NULL;
    struct setup setup;
    uint8_t *bytes;
    size_t len;

    setup_make(&setup, RAFS_OPEN_TRACE);
    use_some(&setup);
    trace = take(&setup);
    bytes = saved(trace, &len);
    for (size_t i = 0; i < len; i++) {
        bytes[i] ^= 0x20;
        ck_assert_int_ne(rafs_trace_load(bytes, len, NULL, &bad, NULL), RAFS_OK);
        bytes[i] ^= 0x20;
        ck_assert_int_eq(rafs_trace_load(bytes, i, NULL, &bad, NULL), RAFS_E_CORRUPT);
    }
    free(bytes);
    rafs_trace_free(trace);
    setup_drop(&setup);
}
END_TEST

/* Whoever can seal a trace can say anything in it. */
START_TEST(a_forged_trace_is_refused_or_costs_time)
{
    static const struct {
        size_t at; /* in the last event */
        uint64_t value;
        size_t bytes;
        int rc;
    } forged[] = {
        {0, 1, 8, RAFS_E_CORRUPT},           /* before the others */
        {8, 0, 8, RAFS_E_CORRUPT},           /* no inode */
        {8, 99999, 8, RAFS_OK},              /* none of the image: left out */
        {16, UINT64_MAX, 8, RAFS_E_CORRUPT}, /* beyond every file */
        {16, 1 << 30, 8, RAFS_OK},           /* beyond this file: left out */
        {24, UINT64_MAX, 8, RAFS_E_CORRUPT}, /* beyond the blob */
        {32, 0, 4, RAFS_E_CORRUPT},          /* no bytes */
        {32, 0x2000000, 4, RAFS_E_CORRUPT},  /* too many */
        {40, 1, 4, RAFS_E_CORRUPT},          /* no such blob */
        {44, 0x1000000, 4, RAFS_E_CORRUPT},  /* no such chunk can be */
        {44, 0xffffff, 4, RAFS_OK},          /* not looked at */
    };
    rafs_prefetch_progress progress = RAFS_PREFETCH_PROGRESS_INIT;
    rafs_trace *trace, *bad = NULL;
    struct setup setup;
    uint8_t *bytes, *event;
    size_t len;

    setup_make(&setup, RAFS_OPEN_TRACE);
    use_some(&setup);
    trace = take(&setup);
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        bytes = saved(trace, &len);
        event = bytes + len - 32 - TRACE_EVENT_BYTES + forged[i].at;
        for (size_t k = 0; k < forged[i].bytes; k++)
            event[k] = (uint8_t)(forged[i].value >> (8 * k));
        rafsi_trace_seal(bytes, len);
        ck_assert_msg(rafs_trace_load(bytes, len, NULL, &bad, NULL) == forged[i].rc,
                      "number %zu", i);
        if (forged[i].rc == RAFS_OK) {
            setup_open(&setup, 0, true);
            replay(&setup, bad, &progress);
            ck_assert_uint_ge(progress.chunks_fetched, 2 * PER_FILE);
            rafs_trace_free(bad);
        }
        free(bytes);
    }
    rafs_trace_free(trace);
    setup_drop(&setup);
}
END_TEST

static void *go(void *user)
{
    struct setup *setup = user;

    for (unsigned i = 0; i < FILES; i++)
        ck_assert(read_at(setup, i, 0, FILE_BYTES));
    return NULL;
}

START_TEST(threads_record_each_chunk_once)
{
    pthread_t threads[6];
    rafs_trace *trace;
    struct setup setup;

    setup_make(&setup, RAFS_OPEN_TRACE);
    for (unsigned i = 0; i < 6; i++)
        NEED(pthread_create(&threads[i], NULL, go, &setup) == 0);
    for (unsigned i = 0; i < 6; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    trace = take(&setup);
    ck_assert_uint_eq(info_of(trace).events, FILES * PER_FILE);
    rafs_trace_free(trace);
    setup_drop(&setup);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, first_uses_are_recorded_in_order);
    tcase_add_test(tcase, a_replay_brings_what_was_used_in_few_requests);
    tcase_add_test(tcase, nothing_is_guessed_while_a_trace_tells_what_comes);
    tcase_add_test(tcase, an_image_learns_from_its_last_run);
    tcase_add_test(tcase, a_trace_of_another_image_is_refused);
    tcase_add_test(tcase, damage_is_found_wherever_it_is);
    tcase_add_test(tcase, a_forged_trace_is_refused_or_costs_time);
    tcase_add_loop_test(tcase, threads_record_each_chunk_once, 0, 3);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
