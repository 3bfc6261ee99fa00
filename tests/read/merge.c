/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that carry several chunks: how many there are, which bytes they ask for, and
 * that a chunk which came beside another is believed no more than one that came alone.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reading.h"

enum { STRICT = 1, EXTENTS_MAX = 4096 };

static struct golden golden;
static struct reading reading;
static const struct item *file; /* the largest */

static void load(const char *variant)
{
    struct rig rig;

    golden_load(golden_folder(), variant, &golden);
    rig_init(&rig, &golden, NULL);
    NEED(rig_open(&rig, &golden, NULL, 0, NULL) == RAFS_OK);
    reading_take(rig.image, &reading);
    rig_drop(&rig);
    file = NULL;
    for (size_t i = 0; i < reading.count; i++)
        if (S_ISREG(reading.items[i].attr.mode) &&
            (!file || reading.items[i].attr.size > file->attr.size))
            file = &reading.items[i];
    NEED(file);
}

static void unload(void)
{
    reading_drop(&reading);
    golden_drop(&golden);
}

/* The golden image over a backend with those flags, opened with those limits. */
static void open_with(struct rig *rig, uint32_t flags, const rafs_limits *limits)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_backend_ops ops = script_ops();

    rig_init(rig, &golden, NULL);
    rafs_backend_free(rig->backend);
    ops.flags = flags;
    NEED(rafs_backend_new(&ops, &rig->script, NULL, &rig->backend, NULL) == RAFS_OK);
    options.backends = &rig->backend;
    options.backend_count = 1;
    options.limits = limits;
    options.name = golden.boot_name;
    NEED(rafs_image_open_memory(rig->boot.at, rig->boot.len, &options, &rig->image, NULL,
                                NULL) == RAFS_OK);
}

static rafs_limits limits_of(uint64_t merge_bytes)
{
    rafs_limits limits = {.struct_size = sizeof(limits)};

    limits.merge_bytes = merge_bytes;
    limits.ahead_bytes = 1;
    return limits;
}

static rafs_stats stats_of(const struct rig *rig)
{
    rafs_stats stats = {.struct_size = sizeof(stats)};

    NEED(rafs_image_get_stats(rig->image, &stats, NULL) == RAFS_OK);
    return stats;
}

/* Stored bytes and number of a file's chunks, each counted once. */
static size_t cost_of(const struct rig *rig, const struct item *item, uint64_t *bytes)
{
    rafs_extent *extents = calloc(EXTENTS_MAX, sizeof(*extents));
    size_t count = 0;
    size_t chunks = 0;

    NEED(extents &&
         rafs_image_get_extents(rig->image, item->attr.ino, 0, extents, EXTENTS_MAX,
                                &count, NULL, NULL) == RAFS_OK &&
         count < EXTENTS_MAX);
    *bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bool again = extents[i].flags & RAFS_EXTENT_HOLE;

        for (size_t j = 0; j < i && !again; j++)
            again = !(extents[j].flags & RAFS_EXTENT_HOLE) &&
                    memcmp(extents[j].digest, extents[i].digest, 32) == 0;
        if (again)
            continue;
        chunks++;
        *bytes += extents[i].compressed_size;
    }
    free(extents);
    return chunks;
}

static void read_right(const struct rig *rig, const struct item *item, size_t step)
{
    size_t len = item->content.len;
    uint8_t *buf = malloc(len + 1);

    NEED(buf);
    for (size_t at = 0; at < len; at += step) {
        size_t nread = 0;
        size_t part = len - at < step ? len - at : step;

        ck_assert_int_eq(rafs_image_read(rig->image, item->attr.ino, at, part, buf + at,
                                         &nread, NULL, NULL),
                         RAFS_OK);
        ck_assert_uint_eq(nread, part);
    }
    ck_assert(memcmp(buf, item->content.at, len) == 0);
    free(buf);
}

static const char *const variants[] = {"v6-chunk4k", "v5-chunk4k", "v6-chunk64k",
                                       "v6-none", "v6-lz4"};

START_TEST(a_remote_file_takes_few_requests)
{
    rafs_limits limits = limits_of(0);
    struct rig rig;
    uint64_t bytes;
    size_t chunks;

    load(variants[_i]);
    open_with(&rig, RAFS_BACKEND_REMOTE, &limits);
    chunks = cost_of(&rig, file, &bytes);
    read_right(&rig, file, 4096);
    ck_assert_msg(stats_of(&rig).requests <= 2 + chunks / 8, "%llu requests, %zu chunks",
                  (unsigned long long)stats_of(&rig).requests, chunks);
    rig_drop(&rig);
    unload();
}
END_TEST

START_TEST(strictly_on_demand_takes_no_byte_too_many)
{
    rafs_limits limits = limits_of(STRICT);
    struct rig rig;
    uint64_t bytes;
    size_t chunks;

    load(variants[_i]);
    open_with(&rig, RAFS_BACKEND_REMOTE, &limits);
    chunks = cost_of(&rig, file, &bytes);
    read_right(&rig, file, file->content.len);
    ck_assert_uint_eq(stats_of(&rig).bytes_fetched, bytes);
    ck_assert_uint_eq(stats_of(&rig).chunks_fetched, chunks);
    ck_assert_uint_le(stats_of(&rig).requests, chunks);
    rig_drop(&rig);

    /* Page by page no chunk is known to be wanted before it is. */
    open_with(&rig, RAFS_BACKEND_REMOTE, &limits);
    read_right(&rig, file, 4096);
    ck_assert_uint_eq(stats_of(&rig).bytes_fetched, bytes);
    ck_assert_uint_eq(stats_of(&rig).requests, chunks);
    rig_drop(&rig);
    unload();
}
END_TEST

START_TEST(a_local_backend_is_asked_chunk_by_chunk)
{
    rafs_limits limits = limits_of(0);
    struct rig rig;
    uint64_t bytes;
    size_t chunks;

    load(variants[_i]);
    open_with(&rig, 0, &limits);
    chunks = cost_of(&rig, file, &bytes);
    read_right(&rig, file, file->content.len);
    ck_assert_uint_eq(stats_of(&rig).requests, chunks);
    ck_assert_uint_eq(stats_of(&rig).bytes_fetched, bytes);
    rig_drop(&rig);
    unload();
}
END_TEST

START_TEST(all_files_read_right_in_few_requests)
{
    rafs_limits limits = limits_of(1 << 20);
    struct tally tally = {0};
    struct rig rig;

    load(variants[_i]);
    open_with(&rig, 0, &limits);
    reading_compare(rig.image, &reading, &tally);
    ck_assert_uint_eq(tally.wrong, 0);
    ck_assert_uint_eq(tally.refused, 0);
    ck_assert_uint_lt(stats_of(&rig).requests, stats_of(&rig).chunks_fetched);
    ck_assert_uint_eq(stats_of(&rig).chunks_refused, 0);
    rig_drop(&rig);
    unload();
}
END_TEST

/* Each chunk of the file altered in turn: it alone cannot be read. */
START_TEST(a_lying_neighbour_fails_only_itself)
{
    rafs_limits limits = limits_of(1 << 20);
    rafs_extent *extents = calloc(EXTENTS_MAX, sizeof(*extents));
    struct rig rig;
    size_t count = 0;

    load(variants[_i]);
    open_with(&rig, RAFS_BACKEND_REMOTE, &limits);
    NEED(extents && rafs_image_get_extents(rig.image, file->attr.ino, 0, extents,
                                           EXTENTS_MAX, &count, NULL, NULL) == RAFS_OK);
    rig_drop(&rig);
    NEED(count >= 2);
    for (size_t bad = 0; bad < count && bad < 24; bad++) {
        size_t chunk = extents[bad].compressed_offset;

        if (extents[bad].flags & RAFS_EXTENT_HOLE)
            continue;
        open_with(&rig, RAFS_BACKEND_REMOTE, &limits);
        NEED(chunk < rig.blobs[0].len);
        rig.blobs[0].at[chunk + extents[bad].compressed_size / 2] ^= 1;
        for (size_t i = 0; i < count; i++) {
            bool same = !(extents[i].flags & RAFS_EXTENT_HOLE) &&
                        memcmp(extents[i].digest, extents[bad].digest, 32) == 0;
            size_t len = (size_t)extents[i].length;
            uint8_t *buf = malloc(len);
            size_t nread = 0;
            int rc;

            NEED(buf);
            rc = rafs_image_read(rig.image, file->attr.ino, extents[i].file_offset, len,
                                 buf, &nread, NULL, NULL);
            ck_assert_int_eq(rc, same ? RAFS_E_CORRUPT : RAFS_OK);
            if (rc == RAFS_OK)
                ck_assert(memcmp(buf, file->content.at + extents[i].file_offset, len) ==
                          0);
            free(buf);
        }
        ck_assert_uint_gt(stats_of(&rig).chunks_refused, 0);
        rig_drop(&rig);
    }
    free(extents);
    unload();
}
END_TEST

/* Any one answer that is wrong in any way: the next ones make up for it. */
START_TEST(a_failed_request_is_made_up_for_alone)
{
    static const enum script_fault faults[] = {
        SCRIPT_FAILS,  SCRIPT_SHORT,    SCRIPT_EMPTY,   SCRIPT_ALTERED,
        SCRIPT_CLAIMS, SCRIPT_NONSENSE, SCRIPT_POSITIVE};
    rafs_limits limits = limits_of(0);
    struct rig rig;

    load("v6-chunk4k");
    open_with(&rig, RAFS_BACKEND_REMOTE, &limits);
    script_arm(&rig.script, faults[_i], 1); /* 0 is the open */
    read_right(&rig, file, file->content.len);
    ck_assert(rig.script.fired);
    rig_drop(&rig);
    unload();
}
END_TEST

int main(void)
{
    enum { VARIANTS = sizeof(variants) / sizeof(variants[0]) };
    Suite *suite = suite_create("merge");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_remote_file_takes_few_requests, 0, VARIANTS);
    tcase_add_loop_test(tcase, strictly_on_demand_takes_no_byte_too_many, 0, VARIANTS);
    tcase_add_loop_test(tcase, a_local_backend_is_asked_chunk_by_chunk, 0, VARIANTS);
    tcase_add_loop_test(tcase, all_files_read_right_in_few_requests, 0, VARIANTS);
    tcase_add_loop_test(tcase, a_lying_neighbour_fails_only_itself, 0, VARIANTS);
    tcase_add_loop_test(tcase, a_failed_request_is_made_up_for_alone, 0, 7);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
