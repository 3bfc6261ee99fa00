/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content to blobs: what is written decodes to what was fed, does not depend on threads,
 * and failures end in one error with nothing left behind.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feeding.h"
#include "golden.h"

static void dump(const struct feed *feed, const char *name)
{
    const char *folder = getenv("RAFS_TEST_DUMP");
    char path[4096];
    FILE *file;

    if (!folder)
        return;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "wb");
    NEED(file != NULL);
    NEED(fwrite(feed->sink.objects[0].at, 1, feed->sink.objects[0].len, file) ==
         feed->sink.objects[0].len);
    NEED(fclose(file) == 0);
}

/* Every form of blob. */
static const struct {
    const char *name;
    uint32_t version, compressor, digest, chunk_size, flags, batch;
    int32_t level;
    uint32_t features;
} forms[] = {
    {"zstd", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 16, 0, 0, 0, 0x40000001},
    {"zstd-1m", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 20, 0, 0, 3, 0x40000001},
    {"zstd-fast", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_SHA256, 1 << 16, 0, 0, -5, 0x40000001},
    {"zstd-19", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 14, 0, 0, 19, 0x40000001},
    {"lz4", 6, RAFS_COMPRESSOR_LZ4_BLOCK, RAFSI_BLAKE3, 1 << 16, 0, 0, 0, 0x40000001},
    {"lz4-hc", 6, RAFS_COMPRESSOR_LZ4_BLOCK, RAFSI_BLAKE3, 1 << 16, 0, 0, 9, 0x40000001},
    {"none", 6, RAFS_COMPRESSOR_NONE, RAFSI_BLAKE3, 1 << 16, 0, 0, 0, 0x40000001},
    {"none-batch", 6, RAFS_COMPRESSOR_NONE, RAFSI_BLAKE3, 1 << 16, 0, 1 << 15, 0,
     0x40000001},
    {"4k", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 12, 0, 0, 0, 0x40000001},
    {"toc", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 16, RAFS_BUILD_TOC, 0, 0,
     0x70000021},
    {"toc-lz4", 6, RAFS_COMPRESSOR_LZ4_BLOCK, RAFSI_SHA256, 1 << 16, RAFS_BUILD_TOC, 0, 0,
     0x70000021},
    {"toc-none", 6, RAFS_COMPRESSOR_NONE, RAFSI_SHA256, 1 << 16, RAFS_BUILD_TOC, 0, 0,
     0x70000021},
    {"batch", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 16, 0, 1 << 15, 0, 0x40000085},
    {"batch-large", 6, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 20, 0, 1 << 19, 0,
     0x40000085},
    {"batch-toc-lz4", 6, RAFS_COMPRESSOR_LZ4_BLOCK, RAFSI_BLAKE3, 1 << 16, RAFS_BUILD_TOC,
     1 << 12, 0, 0x700000a5},
    {"v5", 5, RAFS_COMPRESSOR_ZSTD, RAFSI_SHA256, 1 << 16, 0, 0, 0, 0},
    {"v5-aligned", 5, RAFS_COMPRESSOR_ZSTD, RAFSI_BLAKE3, 1 << 16, RAFS_BUILD_ALIGNED, 0,
     0, 1},
    {"v5-none", 5, RAFS_COMPRESSOR_NONE, RAFSI_BLAKE3, 1 << 16, 0, 0, 0, 0},
};
enum { FORMS = sizeof(forms) / sizeof(forms[0]) };

static void set_form(struct feed *feed, int i, uint32_t threads)
{
    feed_init(feed);
    feed->image.version = forms[i].version;
    feed->image.compressor = forms[i].compressor;
    feed->image.digest_algorithm = forms[i].digest;
    feed->image.chunk_size = forms[i].chunk_size;
    feed->options.flags = forms[i].flags;
    feed->options.batch_size = forms[i].batch;
    feed->options.level = forms[i].level;
    feed->options.threads = threads;
    feed_usual(feed);
}

static void same_chunks(const struct feed *a, const struct feed *b)
{
    ck_assert_uint_eq(a->image.chunks.count, b->image.chunks.count);
    for (uint32_t i = 0; i < a->image.chunks.count; i++)
        ck_assert_mem_eq(rafsi_chunks_at(&a->image.chunks, i),
                         rafsi_chunks_at(&b->image.chunks, i),
                         sizeof(struct build_chunk));
}

START_TEST(blob_decodes_to_what_was_fed_and_does_not_depend_on_threads)
{
    static const uint32_t threads[] = {1, 2, 8};
    static struct feed feeds[3];

    for (size_t i = 0; i < 3; i++) {
        set_form(&feeds[i], _i, threads[i]);
        ck_assert_int_eq(feed_run(&feeds[i], NULL, NULL), RAFS_OK);
        ck_assert_uint_eq(feeds[i].sink.objects[0].len, feeds[0].sink.objects[0].len);
        ck_assert_mem_eq(feeds[i].sink.objects[0].at, feeds[0].sink.objects[0].at,
                         feeds[0].sink.objects[0].len);
        same_chunks(&feeds[i], &feeds[0]);
    }
    ck_assert_uint_eq(feeds[0].image.blobs.at[0].record.features, forms[_i].features);
    feed_check(&feeds[0]);
    dump(&feeds[0], forms[_i].name);
    for (size_t i = 0; i < 3; i++)
        feed_drop(&feeds[i]);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(
        tcase, blob_decodes_to_what_was_fed_and_does_not_depend_on_threads, 0, FORMS);
}

int main(void)
{
    Suite *suite = suite_create("data");
    TCase *tcase = tcase_create("data");
    SRunner *runner;
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 300);
    add(tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
