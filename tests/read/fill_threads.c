/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads fill one blob through several images and read it at the same time: every
 * range that a call says is good is, and each chunk travels once. And requests are few
 * for whoever goes through a blob in order.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rafs/rafs.h"
#include "scratch.h"
#include "script.h"
#include "v6_content.h"

enum {
    FILES = 100,
    CHUNKS = 4,
    CHUNK = 8 << 10,
    BLOB = FILES * CHUNKS * CHUNK,
    THREADS = 8,
    IMAGES = 2,
    STEP = 20 << 10
};

struct setup {
    struct content content;
    struct script script;
    rafs_backend *backend;
    rafs_cache *cache;
    rafs_image *image[IMAGES];
    int32_t device;
    char dir[64];
    atomic_uint fetched[BLOB / CHUNK]; /* times that each chunk travelled */
    atomic_bool wrong;
    atomic_uint turn;
};

/* The script counts requests; which chunks they were for, their places tell. */
static int count_chunks(void *user, uint64_t offset, const rafs_call *call)
{
    struct setup *setup = user;

    (void)call;
    atomic_fetch_add(&setup->fetched[offset / CHUNK], 1);
    return RAFS_OK;
}

static void setup_make(struct setup *setup, uint32_t flags)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits), .hedge_ms = 1};
    rafs_backend_ops ops = script_ops();
    char path[100];
    uint64_t size;

    memset(setup, 0, sizeof(*setup));
    content_make(&setup->content, FILES, CHUNKS, CHUNK);
    script_init(&setup->script, &setup->content.blob, NULL, 1, NULL);
    setup->script.before_read = count_chunks;
    setup->script.before_user = setup;
    ops.flags = flags;
    NEED(rafs_backend_new(&ops, &setup->script, NULL, &setup->backend, NULL) == RAFS_OK);
    snprintf(setup->dir, sizeof(setup->dir), "/tmp/rafs-fills-XXXXXX");
    NEED(mkdtemp(setup->dir));
    snprintf(path, sizeof(path), "%s/cache", setup->dir);
    NEED(rafs_cache_open(path, NULL, &setup->cache, NULL) == RAFS_OK);
    options.backends = &setup->backend;
    options.backend_count = 1;
    options.cache = setup->cache;
    options.limits = &limits;
    for (unsigned i = 0; i < IMAGES; i++)
        NEED(rafs_image_open_memory(setup->content.boot.at, setup->content.boot.len,
                                    &options, &setup->image[i], NULL, NULL) == RAFS_OK);
    NEED(rafs_image_fill_file(setup->image[0], 0, &setup->device, &size, NULL, NULL) ==
             RAFS_OK &&
         size == BLOB);
}

static void setup_drop(struct setup *setup)
{
    for (unsigned i = 0; i < IMAGES; i++)
        rafs_image_close(setup->image[i]);
    rafs_cache_close(setup->cache);
    rafs_backend_free(setup->backend);
    close(setup->device);
    content_drop(&setup->content);
    ck_assert_int_eq(scratch_remove(setup->dir), 0);
}

static bool is_right(const struct setup *setup, uint64_t at, uint64_t len)
{
    uint8_t have[4096];
    bool right = true;

    for (uint64_t end = at + len; at < end && right; at += sizeof(have))
        right = pread(setup->device, have, sizeof(have), (off_t)at) ==
                    (ssize_t)sizeof(have) &&
                memcmp(have, setup->content.blob.at + at, sizeof(have)) == 0;
    return right;
}

static bool fill_some(struct setup *setup, rafs_image *image, uint64_t at)
{
    uint64_t len = at + STEP > BLOB ? BLOB - at : STEP;
    rafs_filled filled = RAFS_FILLED_INIT;

    return rafs_image_fill(image, 0, at, len, &filled, NULL, NULL) == RAFS_OK &&
           filled.begin <= at && filled.end >= at + len &&
           is_right(setup, filled.begin, filled.end - filled.begin);
}

static bool read_some(struct setup *setup, rafs_image *image, unsigned i)
{
    uint8_t have[CHUNK];
    char path[16];
    uint64_t ino;
    size_t got;

    snprintf(path, sizeof(path), "/f%07u", i % FILES);
    return rafs_image_resolve(image, path, 0, &ino, NULL) == RAFS_OK &&
           rafs_image_read(image, ino, CHUNK, CHUNK, have, &got, NULL, NULL) == RAFS_OK &&
           memcmp(have, setup->content.blob.at + (i % FILES * CHUNKS + 1) * CHUNK,
                  CHUNK) == 0;
}

static void *work(void *arg)
{
    struct setup *setup = arg;
    unsigned number = atomic_fetch_add(&setup->turn, 1);
    rafs_image *image = setup->image[number % IMAGES];
    uint64_t steps = BLOB / STEP + 1;

    for (unsigned i = 0; i < steps; i++) {
        /* Some go forwards, some back, some jump, and some read. */
        uint64_t at = number % 4 == 0   ? i
                      : number % 4 == 1 ? steps - 1 - i
                                        : (i * 37 + number) % steps;

        if (number % 4 == 3 ? !read_some(setup, image, i)
                            : !fill_some(setup, image, at * STEP))
            atomic_store(&setup->wrong, true);
    }
    return NULL;
}

static uint64_t fetched_by(const rafs_image *image)
{
    rafs_stats stats = {.struct_size = sizeof(stats)};

    NEED(rafs_image_get_stats(image, &stats, NULL) == RAFS_OK);
    return stats.chunks_fetched;
}

static const uint32_t flags[] = {0, RAFS_BACKEND_REMOTE};

START_TEST(what_threads_fill_is_good_and_travels_once)
{
    static struct setup setup;
    pthread_t thread[THREADS];

    setup_make(&setup, flags[_i]);
    for (unsigned i = 0; i < THREADS; i++)
        NEED(pthread_create(&thread[i], NULL, work, &setup) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        NEED(pthread_join(thread[i], NULL) == 0);
    ck_assert(!atomic_load(&setup.wrong));
    for (unsigned i = 0; i < BLOB / CHUNK; i++)
        if (atomic_load(&setup.fetched[i]) > 1)
            ck_abort_msg("chunk %u came %u times", i, atomic_load(&setup.fetched[i]));
    ck_assert_uint_eq(fetched_by(setup.image[0]) + fetched_by(setup.image[1]),
                      BLOB / CHUNK);
    ck_assert(is_right(&setup, 0, BLOB));
    setup_drop(&setup);
}
END_TEST

START_TEST(who_goes_through_a_blob_needs_few_requests)
{
    static struct setup setup;

    setup_make(&setup, RAFS_BACKEND_REMOTE);
    for (uint64_t at = 0; at < BLOB; at += STEP)
        ck_assert(fill_some(&setup, setup.image[0], at));
    /* 3.1 MiB in 160 steps: windows of up to 256 KiB, then what is read ahead. */
    ck_assert_uint_le(atomic_load(&setup.script.reads), 32);
    setup_drop(&setup);
}
END_TEST

START_TEST(nothing_stays_in_memory_of_what_is_in_the_file)
{
    rafs_stats stats = {.struct_size = sizeof(stats)};
    static struct setup setup;

    setup_make(&setup, 0);
    ck_assert_int_eq(rafs_image_fill(setup.image[0], 0, 0, BLOB, NULL, NULL, NULL),
                     RAFS_OK);
    ck_assert_int_eq(rafs_image_get_stats(setup.image[0], &stats, NULL), RAFS_OK);
    ck_assert_uint_eq(stats.cache_bytes, 0);
    setup_drop(&setup);
}
END_TEST

static Suite *fill_suite(void)
{
    Suite *suite = suite_create("fill_threads");
    TCase *tests = tcase_create("fill_threads");

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, what_threads_fill_is_good_and_travels_once, 0, 2);
    tcase_add_test(tests, who_goes_through_a_blob_needs_few_requests);
    tcase_add_test(tests, nothing_stays_in_memory_of_what_is_in_the_file);
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
