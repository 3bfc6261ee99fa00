/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guesses by the tree: whoever reads one file of a directory finds the others of its kind
 * there when he comes to them, at the price of few requests; not where he asked for none,
 * and a source that fails costs him nothing.
 */
#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rafs/fence.h>
#include <rafs/fill.h>

#include "reading.h"
#include "v6_content.h"

enum { FILES = 40, CHUNK = 16 << 10 };

struct setup {
    struct content content;
    struct script script;
    rafs_backend *backend;
    rafs_cache *cache;
    rafs_image *image;
    char folder[64];
    atomic_bool failing;
};

static int arrive(void *user, uint64_t offset, const rafs_call *call)
{
    struct setup *setup = user;

    (void)call;
    return atomic_load(&setup->failing) && offset >= CHUNK ? RAFS_E_BACKEND : RAFS_OK;
}

static void setup_open(struct setup *setup, uint64_t merge, bool cached)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits), .merge_bytes = merge};
    rafs_backend_ops ops = script_ops();

    memset(setup, 0, sizeof(*setup));
    content_make(&setup->content, FILES, 1, CHUNK);
    ops.flags = RAFS_BACKEND_REMOTE;
    script_init(&setup->script, &setup->content.blob, NULL, 1, NULL);
    setup->script.before_read = arrive;
    setup->script.before_user = setup;
    NEED(rafs_backend_new(&ops, &setup->script, NULL, &setup->backend, NULL) == RAFS_OK);
    strcpy(setup->folder, "/tmp/rafs-near-XXXXXX");
    NEED(mkdtemp(setup->folder));
    NEED(rafs_cache_open(setup->folder, NULL, &setup->cache, NULL) == RAFS_OK);
    options.backends = &setup->backend;
    options.backend_count = 1;
    options.limits = &limits;
    options.cache = cached ? setup->cache : NULL;
    NEED(rafs_image_open_memory(setup->content.boot.at, setup->content.boot.len, &options,
                                &setup->image, NULL, NULL) == RAFS_OK);
}

static void setup_drop(struct setup *setup)
{
    char command[128];

    rafs_image_close(setup->image);
    rafs_cache_close(setup->cache);
    rafs_backend_free(setup->backend);
    content_drop(&setup->content);
    snprintf(command, sizeof(command), "rm -rf '%s'", setup->folder);
    NEED(system(command) == 0);
}

static rafs_stats stats_of(const struct setup *setup)
{
    rafs_stats stats = {.struct_size = sizeof(stats)};

    NEED(rafs_image_get_stats(setup->image, &stats, NULL) == RAFS_OK);
    return stats;
}

static void read_file(const struct setup *setup, unsigned file)
{
    static _Thread_local uint8_t buf[CHUNK];
    size_t nread = 0;
    uint64_t ino = 0;
    char path[32];

    snprintf(path, sizeof(path), "/f%07u", file);
    ck_assert_int_eq(rafs_image_resolve(setup->image, path, 0, &ino, NULL), RAFS_OK);
    ck_assert_int_eq(
        rafs_image_read(setup->image, ino, 0, CHUNK, buf, &nread, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(nread, CHUNK);
    ck_assert(memcmp(buf, setup->content.blob.at + (size_t)file * CHUNK, CHUNK) == 0);
}

START_TEST(one_file_brings_the_others_of_its_directory)
{
    struct setup setup;
    uint64_t requests;

    setup_open(&setup, 0, true);
    read_file(&setup, 7);
    while (stats_of(&setup).chunks_fetched < FILES)
        sched_yield();
    requests = stats_of(&setup).requests;
    ck_assert_uint_le(requests, 1 + FILES * CHUNK / (256 << 10) + 2);
    for (unsigned i = 0; i < FILES; i++)
        read_file(&setup, i);
    ck_assert_uint_eq(stats_of(&setup).requests, requests);
    ck_assert_uint_eq(stats_of(&setup).bytes_fetched, FILES * CHUNK);
    setup_drop(&setup);
}
END_TEST

/* The bootstrap in a file, as somebody mounts it. */
static rafs_fence *fence_of(const struct setup *setup)
{
    char path[] = "/tmp/rafs-near-boot-XXXXXX";
    rafs_fence *fence = NULL;
    int fd = mkstemp(path);

    NEED(fd >= 0 && unlink(path) == 0);
    NEED(write(fd, setup->content.boot.at, setup->content.boot.len) ==
         (ssize_t)setup->content.boot.len);
    NEED(rafs_fence_new(setup->image, fd, &fence, NULL) == RAFS_OK);
    NEED(rafs_fence_index(fence, NULL, NULL) == RAFS_OK);
    close(fd);
    return fence;
}

static void fill_file(const struct setup *setup, unsigned file)
{
    rafs_filled filled = RAFS_FILLED_INIT;

    ck_assert_int_eq(rafs_image_fill(setup->image, 0, (uint64_t)file * CHUNK, CHUNK,
                                     &filled, NULL, NULL),
                     RAFS_OK);
}

START_TEST(a_kernel_that_knows_no_file_gets_the_others_too)
{
    struct setup setup;
    rafs_fence *fence;
    uint64_t requests;

    setup_open(&setup, 0, true);
    fence = fence_of(&setup);
    fill_file(&setup, 7);
    while (stats_of(&setup).chunks_fetched < FILES)
        sched_yield();
    requests = stats_of(&setup).requests;
    ck_assert_uint_le(requests, 1 + FILES * CHUNK / (256 << 10) + 2);
    for (unsigned i = 0; i < FILES; i++)
        fill_file(&setup, i);
    ck_assert_uint_eq(stats_of(&setup).requests, requests);
    ck_assert_uint_eq(stats_of(&setup).bytes_fetched, FILES * CHUNK);
    rafs_fence_free(fence);
    setup_drop(&setup);
}
END_TEST

START_TEST(nor_does_a_kernel_where_nothing_more_is_wanted)
{
    struct setup setup;
    rafs_fence *fence;

    setup_open(&setup, /* strictly on demand */ 1, true);
    fence = fence_of(&setup);
    fill_file(&setup, 7);
    fill_file(&setup, 9);
    ck_assert_uint_eq(stats_of(&setup).chunks_fetched, 2);
    ck_assert_uint_eq(stats_of(&setup).requests, 2);
    rafs_fence_free(fence);
    setup_drop(&setup);
}
END_TEST

START_TEST(who_asks_for_nothing_more_gets_nothing_more)
{
    struct setup setup;

    setup_open(&setup, /* strictly on demand */ 1, true);
    read_file(&setup, 7);
    read_file(&setup, 9);
    ck_assert_uint_eq(stats_of(&setup).chunks_fetched, 2);
    ck_assert_uint_eq(stats_of(&setup).requests, 2);
    setup_drop(&setup);
}
END_TEST

START_TEST(a_guess_that_fails_is_nobodys_error)
{
    struct setup setup;

    setup_open(&setup, 0, true);
    atomic_store(&setup.failing, true);
    read_file(&setup, 0);
    atomic_store(&setup.failing, false);
    for (unsigned i = 0; i < FILES; i++)
        read_file(&setup, i);
    setup_drop(&setup);
}
END_TEST

START_TEST(an_image_closes_in_the_midst_of_guesses)
{
    for (unsigned i = 0; i < 8; i++) {
        struct setup setup;

        setup_open(&setup, 0, true);
        read_file(&setup, i);
        setup_drop(&setup);
        ck_assert_uint_eq(setup.script.opens, setup.script.closes);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("near");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, one_file_brings_the_others_of_its_directory);
    tcase_add_test(tcase, a_kernel_that_knows_no_file_gets_the_others_too);
    tcase_add_test(tcase, nor_does_a_kernel_where_nothing_more_is_wanted);
    tcase_add_test(tcase, who_asks_for_nothing_more_gets_nothing_more);
    tcase_add_test(tcase, a_guess_that_fails_is_nobodys_error);
    tcase_add_test(tcase, an_image_closes_in_the_midst_of_guesses);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
