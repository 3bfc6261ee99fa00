/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling when something fails: the n-th allocation, the n-th answer of the source, the
 * deadline, the token. An error is what it ends in, never a wrong byte in the file; and
 * the next call makes all of it good.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reading.h"
#include "scratch.h"

static const char *const variants[] = {"v6-zstd", "v6-merge", "v6-toc-apart", "v6-none"};
enum { VARIANTS = 4, RUNS_MAX = 20000, DEVICES = 8 };

struct setup {
    struct golden golden;
    struct watch watch;
    struct script script;
    rafs_backend *backend;
    struct bytes want[DEVICES]; /* of each device, filled well */
    uint32_t blobs;
    char dir[64];
    unsigned caches;
};

/* One life of an image with a fresh cache. */
struct life {
    rafs_cache *cache;
    rafs_image *image;
};

static int life_open(struct setup *setup, struct life *life, bool again)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_cache_options cache_options = RAFS_CACHE_OPTIONS_INIT;
    char path[100];
    int rc;

    setup->caches += !again;
    snprintf(path, sizeof(path), "%s/%u", setup->dir, setup->caches);
    cache_options.env = &setup->watch.env;
    rc = rafs_cache_open(path, &cache_options, &life->cache, NULL);
    if (rc < 0)
        return rc;
    options.env = &setup->watch.env;
    options.backends = &setup->backend;
    options.backend_count = 1;
    options.cache = life->cache;
    options.name = setup->golden.boot_name;
    return rafs_image_open_memory(setup->golden.boot.at, setup->golden.boot.len, &options,
                                  &life->image, NULL, NULL);
}

static void life_close(struct life *life)
{
    rafs_image_close(life->image);
    rafs_cache_close(life->cache);
    *life = (struct life){NULL, NULL};
}

/* Fill all blobs; what is in a file afterwards is right or was never written. */
static int fill_all(struct setup *setup, struct life *life, const rafs_call *call,
                    rafs_error *err)
{
    int rc = RAFS_OK;

    for (uint32_t i = 0; rc == RAFS_OK && i < setup->blobs; i++) {
        uint64_t size = 0;
        int32_t fd = -1;
        bool same, wrong = false;

        rc = rafs_image_fill_file(life->image, i, &fd, &size, call, err);
        if (rc == RAFS_OK)
            rc = rafs_image_fill(life->image, i, 0, size, NULL, call, err);
        if (fd < 0)
            continue;
        if (setup->want[i].at) {
            uint8_t *have = malloc(setup->want[i].len + 1);

            NEED(have && pread(fd, have, size, 0) == (ssize_t)setup->want[i].len);
            same = memcmp(have, setup->want[i].at, size) == 0;
            for (size_t b = 0; !same && b < size; b++)
                wrong |= have[b] != setup->want[i].at[b] && have[b] != 0;
            ck_assert(!wrong && (same || rc < 0));
            free(have);
        } else {
            NEED(rc == RAFS_OK);
            setup->want[i] = (struct bytes){malloc(size + 1), size};
            NEED(setup->want[i].at &&
                 pread(fd, setup->want[i].at, size, 0) == (ssize_t)size);
        }
        close(fd);
    }
    return rc;
}

static void setup_make(struct setup *setup, const char *variant)
{
    rafs_image_info info = {.struct_size = sizeof(info)};
    struct life life = {NULL, NULL};

    memset(setup, 0, sizeof(*setup));
    golden_load(golden_folder(), variant, &setup->golden);
    watch_init(&setup->watch);
    script_init(&setup->script, setup->golden.blob, setup->golden.blob_id,
                setup->golden.blob_count, &setup->watch);
    setup->backend = script_backend(&setup->script, &setup->watch.env);
    /* Nothing here has to survive a power cut. */
    snprintf(setup->dir, sizeof(setup->dir), "%s/rafs-fault-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    NEED(mkdtemp(setup->dir) && life_open(setup, &life, false) == RAFS_OK &&
         rafs_image_get_info(life.image, &info, NULL) == RAFS_OK);
    setup->blobs = info.blob_count;
    NEED(setup->blobs <= DEVICES && fill_all(setup, &life, NULL, NULL) == RAFS_OK);
    life_close(&life);
}

static void setup_drop(struct setup *setup)
{
    for (size_t i = 0; i < DEVICES; i++)
        free(setup->want[i].at);
    rafs_backend_free(setup->backend);
    golden_drop(&setup->golden);
    ck_assert_uint_eq(atomic_load(&setup->watch.live), 0);
    ck_assert_int_eq(scratch_remove(setup->dir), 0);
}

/* All of them, or those at the beginning and fewer and fewer behind. */
static size_t next_of(size_t n)
{
    return getenv("RAFS_TEST_FULL") ? n + 1 : n + 1 + n / 3;
}

static void life_drop(struct setup *setup, struct life *life)
{
    char path[100];

    life_close(life);
    snprintf(path, sizeof(path), "%s/%u", setup->dir, setup->caches);
    NEED(scratch_remove(path) == 0);
}

START_TEST(the_nth_allocation_fails)
{
    struct setup setup;
    bool failed = true;

    setup_make(&setup, variants[_i]);
    for (size_t n = 0; failed; n = next_of(n)) {
        struct life life = {NULL, NULL};
        rafs_error err = RAFS_ERROR_INIT;
        int rc;

        NEED(life_open(&setup, &life, false) == RAFS_OK);
        watch_fail_at(&setup.watch, n);
        rc = fill_all(&setup, &life, NULL, &err);
        failed = atomic_load(&setup.watch.failed);
        ck_assert_msg(rc == RAFS_OK || (rc == RAFS_E_NOMEM && failed),
                      "%s, allocation %zu: %s %s", variants[_i], n, rafs_error_name(rc),
                      err.text);
        watch_fail_at(&setup.watch, WATCH_NEVER);
        ck_assert_int_eq(fill_all(&setup, &life, NULL, NULL), RAFS_OK);
        life_drop(&setup, &life);
        ck_assert_uint_lt(n, RUNS_MAX);
    }
    setup_drop(&setup);
}
END_TEST

START_TEST(the_nth_answer_is_wrong)
{
    struct setup setup;

    setup_make(&setup, variants[_i]);
    for (int fault = SCRIPT_GOOD + 1; fault < SCRIPT_FAULTS; fault++) {
        bool fired = true;

        for (size_t n = 0; fired; n = next_of(n)) {
            struct life life = {NULL, NULL};
            rafs_call call = watch_call(&setup.watch, 1000000000);

            NEED(life_open(&setup, &life, false) == RAFS_OK);
            script_arm(&setup.script, (enum script_fault)fault, n);
            (void)fill_all(&setup, &life, &call, NULL);
            fired = atomic_load(&setup.script.fired);
            script_arm(&setup.script, SCRIPT_GOOD, WATCH_NEVER);
            /* A source that lied is asked again all the same: there is no other. */
            ck_assert_int_eq(fill_all(&setup, &life, NULL, NULL), RAFS_OK);
            life_drop(&setup, &life);
            ck_assert_uint_lt(n, RUNS_MAX);
        }
    }
    setup_drop(&setup);
}
END_TEST

START_TEST(a_call_that_is_over_ends_at_once)
{
    struct life life = {NULL, NULL};
    rafs_call call = RAFS_CALL_INIT;
    rafs_cancel *cancel = NULL;
    struct setup setup;

    setup_make(&setup, "v6-zstd");
    NEED(life_open(&setup, &life, false) == RAFS_OK &&
         rafs_cancel_new(&cancel, NULL) == RAFS_OK);
    call.deadline_ns = 1;
    ck_assert_int_eq(fill_all(&setup, &life, &call, NULL), RAFS_E_TIMEOUT);
    call.deadline_ns = 0;
    call.cancel = cancel;
    rafs_cancel_fire(cancel);
    ck_assert_int_eq(fill_all(&setup, &life, &call, NULL), RAFS_E_CANCELLED);
    call.cancel = NULL;
    ck_assert_int_eq(fill_all(&setup, &life, &call, NULL), RAFS_OK);
    rafs_cancel_free(cancel);
    life_close(&life);
    setup_drop(&setup);
}
END_TEST

/* Events of inode 0 are replayed, kept, and go on after a new start. */
START_TEST(a_trace_of_fills_is_kept_and_replayed)
{
    rafs_prefetch_options options = RAFS_PREFETCH_OPTIONS_INIT;
    rafs_trace_info info = RAFS_TRACE_INFO_INIT;
    struct life life = {NULL, NULL};
    rafs_prefetch *prefetch = NULL;
    rafs_trace_event event;
    rafs_trace *trace = NULL;
    struct setup setup;
    size_t count, reads;

    setup_make(&setup, variants[_i]);
    NEED(life_open(&setup, &life, false) == RAFS_OK);
    ck_assert_int_eq(rafs_trace_keep(life.image, NULL, NULL), RAFS_E_BADARG);
    NEED(rafs_trace_start(life.image, NULL) == RAFS_OK);
    ck_assert_int_eq(fill_all(&setup, &life, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_trace_keep(life.image, NULL, NULL), RAFS_OK);
    life_close(&life);
    NEED(life_open(&setup, &life, true) == RAFS_OK);
    ck_assert_int_eq(rafs_trace_find(life.image, &trace, NULL, NULL), RAFS_OK);
    life_close(&life);
    NEED(rafs_trace_get_info(trace, &info, NULL) == RAFS_OK);
    ck_assert_uint_gt(info.events, 0);
    ck_assert_int_eq(rafs_trace_get_events(trace, 0, &event, 1, &count, NULL), RAFS_OK);
    ck_assert_uint_eq(event.ino + event.file_offset, 0);

    NEED(life_open(&setup, &life, false) == RAFS_OK);
    options.what = RAFS_PREFETCH_TRACE;
    options.trace = trace;
    ck_assert_int_eq(rafs_prefetch_start(life.image, &options, &prefetch, NULL, NULL),
                     RAFS_OK);
    ck_assert_int_eq(rafs_prefetch_wait(prefetch, NULL, NULL), RAFS_OK);
    rafs_prefetch_free(prefetch);
    reads = atomic_load(&setup.script.reads);
    ck_assert_int_eq(fill_all(&setup, &life, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(atomic_load(&setup.script.reads), reads);
    rafs_trace_free(trace);
    life_close(&life);
    setup_drop(&setup);
}
END_TEST

static Suite *fill_suite(void)
{
    Suite *suite = suite_create("fill_faults");
    TCase *tests = tcase_create("fill_faults");

    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, the_nth_allocation_fails, 0, VARIANTS);
    tcase_add_loop_test(tests, the_nth_answer_is_wrong, 0, VARIANTS);
    tcase_add_test(tests, a_call_that_is_over_ends_at_once);
    tcase_add_loop_test(tests, a_trace_of_fills_is_kept_and_replayed, 0, VARIANTS);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(fill_suite());
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
