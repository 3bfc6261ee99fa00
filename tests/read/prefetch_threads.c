/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prefetch: what was asked for is there afterwards, every stored byte travelled once at
 * most, whoever else reads meanwhile, no faster than allowed, and gone when the image is.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rafs/prefetch.h"
#include "reading.h"
#include "v6_content.h"

enum { MIB = 1 << 20, CHUNK = 64 << 10, FILES = 20, PER_FILE = 8 };
static const uint64_t second = 1000000000;

struct setup {
    struct content content;
    struct script script;
    struct watch watch;
    rafs_backend *backend;
    rafs_cache *cache;
    rafs_image *image;
    char dir[64];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned inside, reads;
    bool stuck; /* all requests, until their token fires */
};

static int arrive(void *user, uint64_t offset, const rafs_call *call)
{
    struct setup *setup = user;
    bool stuck;

    (void)offset;
    pthread_mutex_lock(&setup->lock);
    setup->inside++;
    setup->reads++;
    stuck = setup->stuck;
    pthread_cond_broadcast(&setup->changed);
    pthread_mutex_unlock(&setup->lock);
    if (stuck) {
        struct pollfd fd = {rafs_cancel_fd(call->cancel), POLLIN, 0};

        while (poll(&fd, 1, -1) < 1)
            ;
    }
    pthread_mutex_lock(&setup->lock);
    setup->inside--;
    pthread_mutex_unlock(&setup->lock);
    return stuck ? RAFS_E_CANCELLED : RAFS_OK;
}

static void wait_for(struct setup *setup, const unsigned *what, unsigned least)
{
    pthread_mutex_lock(&setup->lock);
    while (*what < least)
        pthread_cond_wait(&setup->changed, &setup->lock);
    pthread_mutex_unlock(&setup->lock);
}

static void setup_open(struct setup *setup)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;

    options.env = &setup->watch.env;
    options.backends = &setup->backend;
    options.backend_count = 1;
    options.cache = setup->cache;
    NEED(rafs_image_open_memory(setup->content.boot.at, setup->content.boot.len, &options,
                                &setup->image, NULL, NULL) == RAFS_OK);
}

static void setup_make(struct setup *setup, uint32_t files, bool cached)
{
    rafs_backend_ops ops = script_ops();

    memset(setup, 0, sizeof(*setup));
    NEED(pthread_mutex_init(&setup->lock, NULL) == 0);
    NEED(pthread_cond_init(&setup->changed, NULL) == 0);
    content_make(&setup->content, files, PER_FILE, CHUNK);
    watch_init(&setup->watch);
    ops.flags = RAFS_BACKEND_REMOTE;
    script_init(&setup->script, &setup->content.blob, NULL, 1, &setup->watch);
    setup->script.before_read = arrive;
    setup->script.before_user = setup;
    NEED(rafs_backend_new(&ops, &setup->script, &setup->watch.env, &setup->backend,
                          NULL) == RAFS_OK);
    snprintf(setup->dir, sizeof(setup->dir), "/tmp/rafs-prefetch-XXXXXX");
    NEED(mkdtemp(setup->dir));
    if (cached) {
        char path[80];

        snprintf(path, sizeof(path), "%s/c", setup->dir);
        NEED(rafs_cache_open(path, NULL, &setup->cache, NULL) == RAFS_OK);
    }
    setup_open(setup);
}

static void setup_drop(struct setup *setup)
{
    char command[100];

    rafs_image_close(setup->image);
    ck_assert_uint_eq(setup->inside, 0);
    rafs_cache_close(setup->cache);
    rafs_backend_free(setup->backend);
    content_drop(&setup->content);
    snprintf(command, sizeof(command), "rm -rf %s", setup->dir);
    NEED(system(command) == 0);
    pthread_mutex_destroy(&setup->lock);
    pthread_cond_destroy(&setup->changed);
}

static rafs_stats stats_of(const struct setup *setup)
{
    rafs_stats stats = {.struct_size = sizeof(stats)};

    NEED(rafs_image_get_stats(setup->image, &stats, NULL) == RAFS_OK);
    return stats;
}

static rafs_prefetch_progress progress_of(rafs_prefetch *prefetch)
{
    rafs_prefetch_progress progress = RAFS_PREFETCH_PROGRESS_INIT;

    NEED(rafs_prefetch_get_progress(prefetch, &progress, NULL) == RAFS_OK);
    return progress;
}

/* To its end; says how that was. */
static int prefetch_all(const struct setup *setup, const rafs_prefetch_options *options,
                        rafs_prefetch_progress *progress, rafs_error *err)
{
    rafs_prefetch *prefetch = NULL;
    struct pollfd fd = {.events = POLLIN};
    int rc = rafs_prefetch_start(setup->image, options, &prefetch, NULL, err);

    if (rc < 0)
        return rc;
    rc = rafs_prefetch_wait(prefetch, NULL, err);
    fd.fd = rafs_prefetch_fd(prefetch);
    ck_assert_int_eq(poll(&fd, 1, 0), 1);
    *progress = progress_of(prefetch);
    ck_assert_uint_eq(progress->ended, 1);
    rafs_prefetch_free(prefetch);
    return rc;
}

static bool read_file(const struct setup *setup, unsigned i)
{
    static const size_t len = PER_FILE * CHUNK;
    uint8_t *buf = malloc(len);
    char path[16];
    uint64_t ino;
    size_t nread = 0;
    bool right;

    NEED(buf);
    snprintf(path, sizeof(path), "/f%07u", i);
    right =
        rafs_image_resolve(setup->image, path, 0, &ino, NULL) == RAFS_OK &&
        rafs_image_read(setup->image, ino, 0, len, buf, &nread, NULL, NULL) == RAFS_OK &&
        nread == len && memcmp(buf, setup->content.blob.at + i * len, len) == 0;
    free(buf);
    return right;
}

START_TEST(everything_is_fetched_once_and_never_again)
{
    rafs_missing missing = RAFS_MISSING_INIT;
    rafs_prefetch_progress progress;
    struct setup setup;
    uint64_t size = (uint64_t)FILES * PER_FILE * CHUNK;

    setup_make(&setup, FILES, true);
    ck_assert_int_eq(rafs_image_get_missing(setup.image, &missing, 1, NULL, NULL), 0);
    ck_assert_uint_eq(missing.bytes_missing, size);
    ck_assert_int_eq(prefetch_all(&setup, NULL, &progress, NULL), RAFS_OK);
    ck_assert_uint_eq(progress.chunks_total, FILES * PER_FILE);
    ck_assert_uint_eq(progress.chunks_done, FILES * PER_FILE);
    ck_assert_uint_eq(progress.chunks_fetched, FILES * PER_FILE);
    ck_assert_uint_eq(progress.bytes_done, size);
    ck_assert_uint_eq(progress.bytes_asked, size);
    ck_assert_uint_eq(progress.chunks_unkept, 0);
    ck_assert_uint_eq(stats_of(&setup).bytes_fetched, size);
    ck_assert_uint_eq(setup.reads, size / (2 * MIB));   /* few large requests */
    ck_assert_uint_eq(stats_of(&setup).cache_bytes, 0); /* past the memory */
    missing = (rafs_missing)RAFS_MISSING_INIT;
    ck_assert_int_eq(rafs_image_get_missing(setup.image, &missing, 1, NULL, NULL), 0);
    ck_assert_uint_eq(missing.chunks_missing, 0);
    ck_assert_uint_eq(missing.chunks, FILES * PER_FILE);
    for (unsigned i = 0; i < FILES; i++)
        ck_assert(read_file(&setup, i));
    rafs_image_close(setup.image);
    setup_open(&setup);
    ck_assert_int_eq(prefetch_all(&setup, NULL, &progress, NULL), RAFS_OK);
    ck_assert_uint_eq(progress.chunks_fetched, 0);
    ck_assert_uint_eq(progress.chunks_done, FILES * PER_FILE);
    ck_assert_uint_eq(setup.reads, size / (2 * MIB));
    setup_drop(&setup);
}
END_TEST

START_TEST(without_a_cache_half_of_the_memory_is_used)
{
    rafs_prefetch_progress progress;
    struct setup setup;
    uint64_t chunks = 80 * PER_FILE; /* 40 MiB */

    setup_make(&setup, 80, false);
    ck_assert_int_eq(prefetch_all(&setup, NULL, &progress, NULL), RAFS_OK);
    ck_assert_uint_eq(progress.chunks_total, chunks);
    ck_assert_uint_eq(progress.chunks_fetched, 16 * MIB / CHUNK);
    ck_assert_uint_eq(progress.chunks_skipped, chunks - 16 * MIB / CHUNK);
    ck_assert_uint_ge(stats_of(&setup).cache_bytes, 16 * MIB);
    ck_assert_uint_le(stats_of(&setup).cache_bytes, 17 * MIB); /* with its own records */
    setup_drop(&setup);
}
END_TEST

START_TEST(lists_and_ranges_bring_no_more_than_they_name)
{
    static const char *const paths[] = {"/f0000003", "/f0000003", "/f0000005"};
    rafs_prefetch_options options = RAFS_PREFETCH_OPTIONS_INIT;
    rafs_prefetch_range range = {0, CHUNK + 1, CHUNK};
    rafs_prefetch_progress progress;
    rafs_error err = RAFS_ERROR_INIT;
    struct setup setup;

    setup_make(&setup, FILES, true);
    options.what = RAFS_PREFETCH_LIST;
    options.paths = paths;
    options.path_count = 3;
    options.ranges = &range;
    options.range_count = 1;
    NEED(rafs_image_resolve(setup.image, "/f0000000", 0, &range.ino, NULL) == RAFS_OK);
    ck_assert_int_eq(prefetch_all(&setup, &options, &progress, NULL), RAFS_OK);
    ck_assert_uint_eq(progress.chunks_total, 2 * PER_FILE + 2);
    ck_assert_uint_eq(stats_of(&setup).bytes_fetched, progress.bytes_total);
    ck_assert_uint_eq(setup.reads, 3);
    options.paths = (const char *const[]){"/nothing"};
    options.path_count = 1;
    ck_assert_int_eq(prefetch_all(&setup, &options, &progress, &err), RAFS_E_NOENT);
    ck_assert_str_eq(err.object, "path /nothing");
    options.what = 77;
    ck_assert_int_eq(prefetch_all(&setup, &options, &progress, &err), RAFS_E_UNSUPPORTED);
    setup_drop(&setup);
}
END_TEST

struct reader {
    pthread_t thread;
    struct setup *setup;
    unsigned first;
    bool right;
};

static void *go(void *user)
{
    struct reader *reader = user;

    reader->right = true;
    for (unsigned i = 0; i < FILES; i++)
        reader->right &= read_file(reader->setup, (reader->first + i) % FILES);
    return NULL;
}

START_TEST(readers_and_prefetch_fetch_each_chunk_once)
{
    enum { READERS = 4 };
    struct reader readers[READERS];
    rafs_prefetch *twice[2];
    struct setup setup;

    setup_make(&setup, FILES, true);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.setup = &setup, .first = i * FILES / READERS};
        NEED(pthread_create(&readers[i].thread, NULL, go, &readers[i]) == 0);
    }
    for (unsigned i = 0; i < 2; i++)
        NEED(rafs_prefetch_start(setup.image, NULL, &twice[i], NULL, NULL) == RAFS_OK);
    for (unsigned i = 0; i < READERS; i++) {
        NEED(pthread_join(readers[i].thread, NULL) == 0);
        ck_assert(readers[i].right);
    }
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(rafs_prefetch_wait(twice[i], NULL, NULL), RAFS_OK);
        ck_assert_uint_eq(progress_of(twice[i]).chunks_done, FILES * PER_FILE);
        rafs_prefetch_free(twice[i]);
    }
    ck_assert_uint_eq(stats_of(&setup).chunks_fetched, FILES * PER_FILE);
    setup_drop(&setup);
}
END_TEST

START_TEST(an_image_that_closes_ends_its_prefetches)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_prefetch *prefetch;
    struct setup setup;

    setup_make(&setup, FILES, true);
    setup.stuck = true;
    NEED(rafs_prefetch_start(setup.image, NULL, &prefetch, NULL, NULL) == RAFS_OK);
    wait_for(&setup, &setup.inside, 4);
    if (_i == 1) {
        rafs_prefetch_cancel(prefetch);
        ck_assert_int_eq(rafs_prefetch_wait(prefetch, NULL, &err), RAFS_E_CANCELLED);
    } else if (_i == 2) {
        rafs_prefetch_free(prefetch);
        prefetch = NULL;
    }
    rafs_image_close(setup.image);
    setup.image = NULL;
    if (prefetch) {
        ck_assert_int_eq(rafs_prefetch_wait(prefetch, NULL, &err), RAFS_E_CANCELLED);
        ck_assert_uint_eq(progress_of(prefetch).ended, 1);
        rafs_prefetch_free(prefetch);
    }
    ck_assert_uint_eq(setup.reads, 4);
    setup_drop(&setup);
}
END_TEST

START_TEST(a_cap_counts_on_the_clock_of_the_caller)
{
    rafs_prefetch_options options = RAFS_PREFETCH_OPTIONS_INIT;
    rafs_prefetch *prefetch;
    struct setup setup;
    unsigned parts = FILES * PER_FILE * CHUNK / MIB;

    setup_make(&setup, FILES, true);
    options.bytes_per_second = 2 * MIB; /* requests of 1 MiB */
    NEED(rafs_prefetch_start(setup.image, &options, &prefetch, NULL, NULL) == RAFS_OK);
    for (unsigned i = 1; i <= parts; i++) {
        rafs_call call = RAFS_CALL_INIT;

        wait_for(&setup, &setup.reads, i);
        while (progress_of(prefetch).chunks_fetched < i * MIB / CHUNK)
            usleep(1000);
        /* A third of a second later nothing more has begun; then the rest of the half. */
        watch_advance(&setup.watch, second / 3);
        call.deadline_ns = atomic_load(&setup.watch.now_ns);
        ck_assert(i == parts ||
                  rafs_prefetch_wait(prefetch, &call, NULL) == RAFS_E_TIMEOUT);
        ck_assert_uint_eq(setup.reads, i);
        watch_advance(&setup.watch, second / 6 + 1);
    }
    ck_assert_int_eq(rafs_prefetch_wait(prefetch, NULL, NULL), RAFS_OK);
    rafs_prefetch_free(prefetch);
    setup_drop(&setup);
}
END_TEST

START_TEST(a_chunk_that_is_wrong_everywhere_leaves_the_others)
{
    rafs_prefetch_progress progress;
    rafs_error err = RAFS_ERROR_INIT;
    struct setup setup;

    setup_make(&setup, FILES, true);
    setup.content.blob.at[5 * CHUNK + 7] ^= 1;
    ck_assert_int_eq(prefetch_all(&setup, NULL, &progress, &err), RAFS_E_CORRUPT);
    ck_assert_uint_eq(progress.chunks_failed, 1);
    ck_assert_uint_eq(progress.chunks_fetched, FILES * PER_FILE - 1);
    ck_assert_msg(strstr(err.object, "blob ") == err.object, "%s", err.object);
    setup_drop(&setup);
}
END_TEST

START_TEST(a_source_that_fails_is_not_asked_for_everything)
{
    rafs_prefetch_progress progress;
    rafs_error err = RAFS_ERROR_INIT;
    struct setup setup;

    setup_make(&setup, FILES, true);
    script_arm(&setup.script, SCRIPT_FAILS, 0);
    setup.script.fault_stays = true;
    ck_assert_int_eq(prefetch_all(&setup, NULL, &progress, &err), RAFS_E_BACKEND);
    ck_assert_uint_eq(progress.chunks_fetched, 0);
    ck_assert_uint_le(setup.script.reads + setup.script.opens + setup.script.answers, 40);
    script_arm(&setup.script, SCRIPT_GOOD, WATCH_NEVER);
    setup.script.fault_stays = false;
    ck_assert_int_eq(prefetch_all(&setup, NULL, &progress, &err), RAFS_OK);
    ck_assert_uint_eq(progress.chunks_fetched, FILES * PER_FILE);
    setup_drop(&setup);
}
END_TEST

START_TEST(a_cache_that_keeps_nothing_ends_it)
{
    rafs_cache_options options = RAFS_CACHE_OPTIONS_INIT;
    rafs_prefetch_progress progress;
    rafs_error err = RAFS_ERROR_INIT;
    struct setup setup;
    char path[80];

    setup_make(&setup, 80, false);
    rafs_image_close(setup.image);
    snprintf(path, sizeof(path), "%s/c", setup.dir);
    options.quota_bytes = MIB;
    NEED(rafs_cache_open(path, &options, &setup.cache, NULL) == RAFS_OK);
    setup_open(&setup);
    ck_assert_int_eq(prefetch_all(&setup, NULL, &progress, &err), RAFS_E_BACKEND);
    ck_assert_int_eq(err.os_errno, ENOSPC);
    ck_assert_uint_gt(progress.chunks_unkept, 0);
    ck_assert_uint_lt(progress.chunks_fetched, progress.chunks_total);
    ck_assert(read_file(&setup, 79));
    setup_drop(&setup);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    for (size_t n = 0; n < 400; n += 1 + n / 20) {
        rafs_prefetch_progress progress;
        struct setup setup;
        int rc;

        setup_make(&setup, 2, _i == 1);
        watch_fail_at(&setup.watch, n);
        rc = prefetch_all(&setup, NULL, &progress, NULL);
        ck_assert(rc == RAFS_OK || rc == RAFS_E_NOMEM);
        watch_fail_at(&setup.watch, WATCH_NEVER);
        ck_assert(read_file(&setup, 1));
        setup_drop(&setup);
        ck_assert_uint_eq(setup.watch.live, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("prefetch");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, everything_is_fetched_once_and_never_again);
    tcase_add_test(tcase, without_a_cache_half_of_the_memory_is_used);
    tcase_add_test(tcase, lists_and_ranges_bring_no_more_than_they_name);
    tcase_add_loop_test(tcase, readers_and_prefetch_fetch_each_chunk_once, 0, 5);
    tcase_add_loop_test(tcase, an_image_that_closes_ends_its_prefetches, 0, 3);
    tcase_add_test(tcase, a_cap_counts_on_the_clock_of_the_caller);
    tcase_add_test(tcase, a_chunk_that_is_wrong_everywhere_leaves_the_others);
    tcase_add_test(tcase, a_source_that_fails_is_not_asked_for_everything);
    tcase_add_test(tcase, a_cache_that_keeps_nothing_ends_it);
    tcase_add_loop_test(tcase, any_allocation_may_fail, 0, 2);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
