/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunk tables that are odd: chunks that overlap, two records of one, a chunk without a
 * record, fewer records than the blob has chunks. What only a file tells of is no gap,
 * and where two chunks contradict each other nothing is said to be good.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rafs/rafs.h"
#include "scratch.h"
#include "script.h"
#include "v6_content.h"

enum {
    FILES = 6,
    CHUNKS = 2,
    CHUNK = 8192,
    COUNT = FILES * CHUNKS,
    BLOB = COUNT * CHUNK,
    AT_OFFSET = 56, /* in a record */
    AT_INDEX = 72,
    AT_CHUNK_SIZE = 68, /* in a blob's */
    AT_META_SIZE = 128
};

static struct content content;
static struct script script;
static rafs_backend *backend;
static rafs_cache *cache;
static rafs_image *image;
static char dir[64];
static int32_t device;

static void set_up(void)
{
    char path[100];

    content_make(&content, FILES, CHUNKS, CHUNK);
    script_init(&script, &content.blob, NULL, 1, NULL);
    backend = script_backend(&script, NULL);
    snprintf(dir, sizeof(dir), "/tmp/rafs-places-XXXXXX");
    NEED(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/cache", dir);
    NEED(rafs_cache_open(path, NULL, &cache, NULL) == RAFS_OK);
    device = -1;
}

static void tear_down(void)
{
    rafs_image_close(image);
    image = NULL;
    rafs_cache_close(cache);
    rafs_backend_free(backend);
    content_drop(&content);
    if (device >= 0)
        close(device);
    scratch_remove(dir);
}

static void open_image(void)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    uint64_t size = 0;

    options.backends = &backend;
    options.backend_count = 1;
    options.cache = cache;
    NEED(rafs_image_open_memory(content.boot.at, content.boot.len, &options, &image, NULL,
                                NULL) == RAFS_OK &&
         rafs_image_fill_file(image, 0, &device, &size, NULL, NULL) == RAFS_OK);
}

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* The record of a chunk, by its digest. */
static uint8_t *record_of(uint32_t chunk)
{
    uint8_t digest[RAFS_DIGEST_BYTES];
    uint8_t *found;

    for (uint32_t algorithm = 0; algorithm < 2; algorithm++) {
        NEED(rafs_digest_bytes(algorithm, content.blob.at + (size_t)chunk * CHUNK, CHUNK,
                               digest) == RAFS_OK);
        found = memmem(content.boot.at, content.boot.len, digest, sizeof(digest));
        if (found)
            return found;
    }
    NEED(false);
    return NULL;
}

/* The blob's own record says that it has more chunks: their number lies behind the size
 * of chunks, and the size of the compression information follows from it. */
static void more_chunks(void)
{
    uint8_t want[8], *at;
    uint64_t each;

    put(want, CHUNK, 4);
    put(want + 4, COUNT, 4);
    at = memmem(content.boot.at, content.boot.len, want, sizeof(want));
    NEED(at);
    put(at + 4, COUNT + 5, 4);
    at += AT_META_SIZE - AT_CHUNK_SIZE;
    each = (uint64_t)(at[0] | at[1] << 8 | at[2] << 16) / COUNT;
    put(at, each * (COUNT + 5), 8);
}

static int fill(uint64_t offset, uint64_t len, rafs_filled *filled)
{
    *filled = (rafs_filled)RAFS_FILLED_INIT;
    return rafs_image_fill(image, 0, offset, len, filled, NULL, NULL);
}

static bool is_right(uint64_t at, uint64_t end)
{
    static uint8_t have[BLOB];

    return pread(device, have, end - at, (off_t)at) == (ssize_t)(end - at) &&
           memcmp(have, content.blob.at + at, end - at) == 0;
}

START_TEST(chunks_that_overlap_are_not_good)
{
    rafs_filled filled;

    put(record_of(3) + AT_OFFSET, 2 * CHUNK + _i * 4096, 8);
    open_image();
    ck_assert_int_eq(fill(2 * CHUNK, 4096, &filled), RAFS_E_CORRUPT);
    ck_assert_int_eq(fill(3 * CHUNK - 1, 1, &filled), RAFS_E_CORRUPT);
    ck_assert_int_eq(fill(0, BLOB, &filled), RAFS_E_CORRUPT);
    ck_assert_int_eq(fill(0, 2 * CHUNK, &filled), RAFS_OK);
    ck_assert_uint_eq(filled.end, 2 * CHUNK);
    ck_assert_int_eq(fill(4 * CHUNK, BLOB - 4 * CHUNK, &filled), RAFS_OK);
    ck_assert_uint_ge(filled.begin, 3 * CHUNK);
    ck_assert(is_right(0, 2 * CHUNK) && is_right(4 * CHUNK, BLOB));
}
END_TEST

START_TEST(two_records_of_one_chunk_are_refused)
{
    rafs_filled filled;

    put(record_of(3) + AT_INDEX, 2, 4);
    open_image();
    ck_assert_int_eq(fill(0, CHUNK, &filled), RAFS_E_CORRUPT);
}
END_TEST

START_TEST(a_record_that_no_blob_has_room_for_is_refused)
{
    rafs_filled filled;

    put(record_of(3) + AT_OFFSET, _i == 0 ? BLOB : _i == 1 ? 100 : UINT64_MAX - 4095, 8);
    open_image();
    ck_assert_int_eq(fill(0, CHUNK, &filled), RAFS_E_CORRUPT);
}
END_TEST

/* Merged images have more chunks in a blob than records: what lies between those is known
 * after a walk through the files, and only when somebody asks for it. */
START_TEST(gaps_of_an_incomplete_table_are_asked_of_the_files)
{
    rafs_filled filled;

    more_chunks();
    open_image();
    ck_assert_int_eq(fill(CHUNK, CHUNK, &filled), RAFS_OK);
    ck_assert_uint_eq(filled.begin, CHUNK);
    ck_assert_uint_eq(filled.end, 2 * CHUNK);
    ck_assert_int_eq(fill(0, BLOB, &filled), RAFS_OK);
    ck_assert_uint_eq(filled.begin, 0);
    ck_assert_uint_eq(filled.end, BLOB);
    ck_assert(is_right(0, BLOB));
}
END_TEST

/* The record is another chunk's now, of a number that no file has. */
START_TEST(a_chunk_that_only_a_file_has_is_no_gap)
{
    rafs_filled filled;

    more_chunks();
    put(record_of(3) + AT_INDEX, COUNT + 1, 4);
    /* Somewhere else, so that its place would be a gap. */
    put(record_of(3) + AT_OFFSET, 0, 8);
    memcpy(record_of(3), record_of(0), RAFS_DIGEST_BYTES);
    open_image();
    ck_assert_int_ne(fill(3 * CHUNK, 4096, &filled), RAFS_OK);
    ck_assert_int_eq(fill(4 * CHUNK, 4096, &filled), RAFS_OK);
    ck_assert_uint_eq(filled.begin, 4 * CHUNK);
    ck_assert_int_eq(fill(0, CHUNK, &filled), RAFS_OK); /* the same chunk twice */
    ck_assert(is_right(0, CHUNK) && is_right(4 * CHUNK, 5 * CHUNK));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fill_places");
    TCase *tests = tcase_create("fill_places");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, chunks_that_overlap_are_not_good, 0, 2);
    tcase_add_test(tests, two_records_of_one_chunk_are_refused);
    tcase_add_loop_test(tests, a_record_that_no_blob_has_room_for_is_refused, 0, 3);
    tcase_add_test(tests, gaps_of_an_incomplete_table_are_asked_of_the_files);
    tcase_add_test(tests, a_chunk_that_only_a_file_has_is_no_gap);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
