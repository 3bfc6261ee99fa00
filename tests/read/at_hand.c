/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads that take only what is at hand: no source is asked, nothing short is given, and
 * what comes out of a cache on disk is compared with its digest as ever.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reading.h"
#include "scratch.h"
#include "v6_content.h"

enum { CHUNK = 64 << 10, CHUNKS = 8 };

struct setup {
    struct content content;
    struct script script;
    rafs_backend *backend;
    rafs_cache *cache;
    rafs_image *image;
    uint64_t ino;
    char dir[64];
};

static void setup_make(struct setup *setup)
{
    rafs_backend_ops ops = script_ops();

    memset(setup, 0, sizeof(*setup));
    content_make(&setup->content, 1, CHUNKS, CHUNK);
    script_init(&setup->script, &setup->content.blob, NULL, 1, NULL);
    NEED(rafs_backend_new(&ops, &setup->script, NULL, &setup->backend, NULL) == RAFS_OK);
    snprintf(setup->dir, sizeof(setup->dir), "/tmp/rafs-at-hand-XXXXXX");
    NEED(mkdtemp(setup->dir));
}

static void setup_open(struct setup *setup, bool cached)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits)};
    char path[80];

    limits.merge_bytes = 1;
    limits.ahead_bytes = 1;
    options.limits = &limits;
    options.backends = &setup->backend;
    options.backend_count = 1;
    snprintf(path, sizeof(path), "%s/cache", setup->dir);
    if (cached)
        NEED(rafs_cache_open(path, NULL, &setup->cache, NULL) == RAFS_OK);
    options.cache = setup->cache;
    NEED(rafs_image_open_memory(setup->content.boot.at, setup->content.boot.len, &options,
                                &setup->image, NULL, NULL) == RAFS_OK);
    NEED(rafs_image_resolve(setup->image, "/f0000000", 0, &setup->ino, NULL) == RAFS_OK);
}

static void setup_close(struct setup *setup)
{
    rafs_image_close(setup->image);
    rafs_cache_close(setup->cache);
    setup->cache = NULL;
}

static void setup_drop(struct setup *setup)
{
    setup_close(setup);
    rafs_backend_free(setup->backend);
    content_drop(&setup->content);
    ck_assert_int_eq(scratch_remove(setup->dir), 0);
}

/* What a read says; the bytes of one that succeeds are looked at. */
static int take(const struct setup *setup, uint32_t flags, uint64_t at, size_t len)
{
    static uint8_t buf[CHUNKS * CHUNK];
    rafs_call call = RAFS_CALL_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    size_t nread = 77;
    int rc;

    call.flags = flags;
    rc = rafs_image_read(setup->image, setup->ino, at, len, buf, &nread, &call, &err);
    ck_assert_int_eq(err.code, rc);
    ck_assert_uint_eq(nread, rc == RAFS_OK ? len : 0);
    if (rc == RAFS_OK)
        ck_assert_mem_eq(buf, setup->content.blob.at + at, len);
    return rc;
}

static rafs_stats stats_of(const struct setup *setup)
{
    rafs_stats stats = {.struct_size = sizeof(stats)};

    NEED(rafs_image_get_stats(setup->image, &stats, NULL) == RAFS_OK);
    return stats;
}

START_TEST(what_is_not_at_hand_is_said_so)
{
    struct setup setup;

    setup_make(&setup);
    setup_open(&setup, _i == 1);
    ck_assert_int_eq(take(&setup, RAFS_CALL_CACHED, 10, 100), RAFS_E_AGAIN);
    ck_assert_uint_eq(stats_of(&setup).requests, 0);
    ck_assert_int_eq(take(&setup, 0, 10, 100), RAFS_OK);
    ck_assert_uint_eq(stats_of(&setup).requests, 1);
    ck_assert_int_eq(take(&setup, RAFS_CALL_CACHED, 10, 100), RAFS_OK);
    ck_assert_int_eq(take(&setup, RAFS_CALL_CACHED, 0, CHUNK), RAFS_OK);
    /* Half of it will not do. */
    ck_assert_int_eq(take(&setup, RAFS_CALL_CACHED, CHUNK - 1, 2), RAFS_E_AGAIN);
    ck_assert_uint_eq(stats_of(&setup).requests, 1);
    ck_assert_int_eq(take(&setup, RAFS_CALL_CACHED, 0, 0), RAFS_OK);
    setup_drop(&setup);
}
END_TEST

START_TEST(a_cache_on_disk_is_at_hand)
{
    struct setup setup;

    setup_make(&setup);
    setup_open(&setup, true);
    ck_assert_int_eq(take(&setup, 0, 0, 3 * CHUNK), RAFS_OK);
    setup_close(&setup);
    setup_open(&setup, true);
    ck_assert_int_eq(take(&setup, RAFS_CALL_CACHED, CHUNK + 5, CHUNK), RAFS_OK);
    ck_assert_int_eq(take(&setup, RAFS_CALL_CACHED, 3 * CHUNK, 1), RAFS_E_AGAIN);
    ck_assert_uint_eq(stats_of(&setup).requests, 0);
    setup_drop(&setup);
}
END_TEST

START_TEST(a_damaged_cache_is_not_at_hand)
{
    struct setup setup;
    char command[240];

    setup_make(&setup);
    setup_open(&setup, true);
    ck_assert_int_eq(take(&setup, 0, 0, CHUNK), RAFS_OK);
    setup_close(&setup);
    /* Every file that is large enough to hold the chunk. */
    snprintf(command, sizeof(command),
             "find %s/cache -type f -size +60k -exec sh -c "
             "'printf x | dd of=\"$1\" bs=1 seek=777 conv=notrunc 2>/dev/null' - {} ';'",
             setup.dir);
    ck_assert_int_eq(system(command), 0);
    setup_open(&setup, true);
    ck_assert_int_eq(take(&setup, RAFS_CALL_CACHED, 0, CHUNK), RAFS_E_AGAIN);
    ck_assert_uint_eq(stats_of(&setup).cache_refused, 1);
    ck_assert_int_eq(take(&setup, 0, 0, CHUNK), RAFS_OK);
    ck_assert_int_eq(take(&setup, RAFS_CALL_CACHED, 0, CHUNK), RAFS_OK);
    setup_drop(&setup);
}
END_TEST

START_TEST(others_refuse_the_flag)
{
    struct setup setup;
    rafs_call call = RAFS_CALL_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_extent extent;
    size_t count = 1;

    setup_make(&setup);
    setup_open(&setup, false);
    call.flags = RAFS_CALL_CACHED;
    ck_assert_int_eq(rafs_image_get_extents(setup.image, setup.ino, 0, &extent, 1, &count,
                                            &call, &err),
                     RAFS_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "RAFS_CALL_CACHED"));
    ck_assert_int_eq(take(&setup, 16, 0, 1), RAFS_E_UNSUPPORTED);
    setup_drop(&setup);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("at_hand");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, what_is_not_at_hand_is_said_so, 0, 2);
    tcase_add_test(tcase, a_cache_on_disk_is_at_hand);
    tcase_add_test(tcase, a_damaged_cache_is_not_at_hand);
    tcase_add_test(tcase, others_refuse_the_flag);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
