/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that is laid out after a trace of fills, which knows chunks and no files: the
 * same files and bytes, and the chunks of the trace in a blob of their own.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reading.h"
#include "scratch.h"

static char dir[64];

static const char *in(const char *name)
{
    static char path[4][100];
    static unsigned turn;
    char *out = path[turn++ % 4];

    snprintf(out, 100, "%s/%s", dir, name);
    return out;
}

static rafs_trace *record(const rafs_image *image)
{
    rafs_trace *trace = NULL;
    uint64_t size = 0;
    int32_t fd = -1;

    NEED(rafs_trace_start(image, NULL) == RAFS_OK &&
         rafs_image_fill_file(image, 0, &fd, &size, NULL, NULL) == RAFS_OK);
    close(fd);
    NEED(rafs_image_fill(image, 0, size / 2, size / 4, NULL, NULL, NULL) == RAFS_OK &&
         rafs_trace_take(image, &trace, NULL, NULL) == RAFS_OK);
    return trace;
}

static void build(const rafs_image *image, const rafs_trace *trace, uint64_t *stored)
{
    rafs_build_result result = {.struct_size = sizeof(result)};
    rafs_image_info info = {.struct_size = sizeof(info)};
    rafs_error err = RAFS_ERROR_INIT;
    rafs_build_options options;
    rafs_builder *builder = NULL;
    rafs_sink *sink = NULL;

    NEED(rafs_image_get_info(image, &info, NULL) == RAFS_OK);
    rafs_build_options_init(&options);
    options.version = 6;
    options.chunk_size = info.chunk_size;
    NEED(rafs_sink_new_directory(in("boot"), in("blobs"), 0, NULL, &sink, NULL) ==
             RAFS_OK &&
         rafs_builder_new(&options, sink, NULL, &builder, NULL) == RAFS_OK);
    ck_assert_msg(rafs_builder_add_optimized(builder, image, trace, NULL, &err) ==
                      RAFS_OK,
                  "%s: %s", err.object, err.text);
    ck_assert_int_eq(rafs_builder_finish(builder, &result, NULL, NULL), RAFS_OK);
    *stored = result.stored_chunks;
    rafs_builder_free(builder);
    rafs_sink_free(sink);
}

START_TEST(a_trace_that_knows_no_files_is_as_good)
{
    rafs_trace_info info = RAFS_TRACE_INFO_INIT;
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    struct tally tally = {0};
    struct golden golden;
    struct reading reading;
    struct script script;
    rafs_backend *backends[2] = {NULL, NULL};
    rafs_image *image = NULL, *fast = NULL;
    rafs_cache *cache = NULL;
    rafs_trace *trace;
    uint64_t stored = 0;

    snprintf(dir, sizeof(dir), "/tmp/rafs-optimize-XXXXXX");
    NEED(mkdtemp(dir));
    golden_load(golden_folder(), "v6-chunk64k", &golden);
    script_init(&script, golden.blob, golden.blob_id, golden.blob_count, NULL);
    backends[0] = script_backend(&script, NULL);
    NEED(rafs_cache_open(in("cache"), NULL, &cache, NULL) == RAFS_OK);
    options.backends = backends;
    options.backend_count = 1;
    options.cache = cache;
    NEED(rafs_image_open_memory(golden.boot.at, golden.boot.len, &options, &image, NULL,
                                NULL) == RAFS_OK);
    trace = record(image);
    NEED(rafs_trace_get_info(trace, &info, NULL) == RAFS_OK);
    build(image, trace, &stored);
    ck_assert_uint_gt(stored, 0);
    ck_assert_uint_le(stored, info.events);

    NEED(rafs_backend_new_directory(in("blobs"), NULL, &backends[1], NULL) == RAFS_OK);
    options.backend_count = 2;
    options.cache = NULL;
    NEED(rafs_image_open_path(in("boot"), &options, &fast, NULL, NULL) == RAFS_OK);
    reading_take(image, &reading);
    for (size_t i = 0; i < reading.count; i++) {
        struct item item = reading.items[i]; /* which has another number there */

        NEED(rafs_image_resolve(fast, item.path, RAFS_RESOLVE_NOFOLLOW, &item.attr.ino,
                                NULL) == RAFS_OK);
        reading_compare_item(fast, &item, &tally);
    }
    ck_assert_uint_eq(tally.wrong + tally.refused, 0);
    ck_assert_uint_gt(tally.right, 0);

    reading_drop(&reading);
    rafs_trace_free(trace);
    rafs_image_close(fast);
    rafs_image_close(image);
    rafs_cache_close(cache);
    rafs_backend_free(backends[0]);
    rafs_backend_free(backends[1]);
    golden_drop(&golden);
    NEED(scratch_remove(dir) == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optimize");
    TCase *tests = tcase_create("optimize");
    SRunner *runner;
    int failed;

    tcase_add_test(tests, a_trace_that_knows_no_files_is_as_good);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
