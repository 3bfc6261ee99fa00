/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thousand threads want one cold chunk: there is one request, whoever waits gets the
 * bytes, and whoever gives up earlier may. In one image, in many images on one cache, and
 * in images of many caches on one directory, which is what processes are to each other.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reading.h"
#include "scratch.h"

enum { IMAGES_MAX = 16 };

#if defined(__SANITIZE_THREAD__)
enum { THREADS = 300 }; /* each costs the sanitizer much memory */
#else
enum { THREADS = 1000 };
#endif

static char dir[64];
static struct golden golden;
static struct reading reading;
static struct rig rigs[IMAGES_MAX];
static rafs_cache *caches[IMAGES_MAX];
static unsigned images, cache_count;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned arrived, requests, wrong;
static const struct item *wanted;

/* The source answers when everybody is there. */
static int wait_for_all(void *user, uint64_t offset, const rafs_call *call)
{
    (void)user;
    (void)offset;
    (void)call;
    pthread_mutex_lock(&lock);
    requests++;
    while (arrived < THREADS)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    return RAFS_OK;
}

static void *want(void *user)
{
    struct tally tally = {0};

    pthread_mutex_lock(&lock);
    arrived++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    reading_compare_item(((struct rig *)user)->image, wanted, &tally);
    pthread_mutex_lock(&lock);
    wrong += (unsigned)(tally.wrong + tally.refused);
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* A file of one chunk, and not of one byte. */
static const struct item *one_chunk(void)
{
    for (size_t i = 0; i < reading.count; i++)
        if (S_ISREG(reading.items[i].attr.mode) && reading.items[i].attr.size > 1000 &&
            reading.items[i].attr.size <= 4096)
            return &reading.items[i];
    NEED(!"a file of one chunk");
    return NULL;
}

static void set_up(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(dir, sizeof(dir), "%s/rafs-herd-XXXXXX", base && *base ? base : "/tmp");
    NEED(mkdtemp(dir) != NULL);
    golden_load(golden_folder(), "v6-none", &golden);
    rig_init(&rigs[0], &golden, NULL);
    NEED(rig_open(&rigs[0], &golden, NULL, 0, NULL) == RAFS_OK);
    reading_take(rigs[0].image, &reading);
    rig_drop(&rigs[0]);
    wanted = one_chunk();
    arrived = requests = wrong = 0;
}

static void open_images(unsigned count, unsigned with_caches)
{
    images = count;
    cache_count = with_caches;
    for (unsigned i = 0; i < with_caches; i++)
        NEED(rafs_cache_open(dir, NULL, &caches[i], NULL) == RAFS_OK);
    for (unsigned i = 0; i < count; i++) {
        rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
        struct rig *rig = &rigs[i];

        rig_init(rig, &golden, NULL);
        rig->script.before_read = wait_for_all;
        options.backends = &rig->backend;
        options.backend_count = 1;
        options.name = golden.boot_name;
        options.cache = with_caches ? caches[i % with_caches] : NULL;
        NEED(rafs_image_open_memory(rig->boot.at, rig->boot.len, &options, &rig->image,
                                    NULL, NULL) == RAFS_OK);
    }
}

static void tear_down(void)
{
    for (unsigned i = 0; i < images; i++)
        rig_drop(&rigs[i]);
    for (unsigned i = 0; i < cache_count; i++)
        rafs_cache_close(caches[i]);
    reading_drop(&reading);
    golden_drop(&golden);
    scratch_remove(dir);
}

static const struct {
    unsigned images, caches;
} herds[] = {{1, 0}, {1, 1}, {8, 1}, {8, 8}};

START_TEST(a_thousand_who_want_one_cold_chunk_make_one_request)
{
    static pthread_t threads[THREADS];
    pthread_attr_t attr;

    open_images(herds[_i].images, herds[_i].caches);
    NEED(pthread_attr_init(&attr) == 0 &&
         pthread_attr_setstacksize(&attr, 256 << 10) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], &attr, want, &rigs[i % images]) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_attr_destroy(&attr);
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_eq(requests, 1);
}
END_TEST

/* Readers, those who evict, those who scrub and those who list, all on one handle. */
static void *look_after(void *user)
{
    rafs_cache_gc_options all = RAFS_CACHE_GC_OPTIONS_INIT;

    (void)user;
    all.quota_bytes = 1;
    for (int i = 0; i < 20; i++) {
        NEED(rafs_cache_gc(caches[0], &all, NULL, NULL) == RAFS_OK);
        NEED(rafs_cache_scrub(caches[0], NULL, NULL, NULL, NULL) == RAFS_OK);
        NEED(rafs_cache_pin(caches[0], "of nobody", NULL) == RAFS_OK);
        NEED(rafs_cache_unpin(caches[0], "of nobody", NULL) == RAFS_OK);
    }
    return NULL;
}

static void *read_all(void *user)
{
    struct rig *rig = user;
    struct tally tally = {0};

    for (size_t i = 0; i < reading.count; i++)
        reading_compare_item(rig->image, &reading.items[i], &tally);
    pthread_mutex_lock(&lock);
    wrong += (unsigned)(tally.wrong + tally.refused);
    pthread_mutex_unlock(&lock);
    return NULL;
}

START_TEST(readers_and_those_who_look_after_a_cache_get_along)
{
    pthread_t threads[12];

    open_images(4, 2);
    arrived = THREADS; /* nobody waits */
    for (unsigned i = 0; i < 12; i++)
        NEED(pthread_create(&threads[i], NULL, i < 8 ? read_all : look_after,
                            &rigs[i % images]) == 0);
    for (unsigned i = 0; i < 12; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache");
    TCase *tcase = tcase_create("herd_threads");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 100);
    tcase_add_loop_test(tcase, a_thousand_who_want_one_cold_chunk_make_one_request, 0,
                        sizeof(herds) / sizeof(herds[0]));
    tcase_add_test(tcase, readers_and_those_who_look_after_a_cache_get_along);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
