/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blobs as files for a kernel: what a fill says is good has the bytes that reads give, in
 * the file, verified in that call; and nothing else is said to be good.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reading.h"
#include "scratch.h"
#include "v6_content.h"

enum { NAMES_MAX = 64, BLOCK = RAFS_FILL_BLOCK };

struct setup {
    struct golden golden;
    struct script script;
    struct watch watch;
    rafs_backend *backend;
    rafs_cache *cache;
    rafs_image *image;
    char dir[64];
};

static int image_open(struct setup *setup, rafs_image **out)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;

    options.env = &setup->watch.env;
    options.backends = &setup->backend;
    options.backend_count = 1;
    options.cache = setup->cache;
    options.name = setup->golden.boot_name;
    return rafs_image_open_memory(setup->golden.boot.at, setup->golden.boot.len, &options,
                                  out, NULL, NULL);
}

static void cache_open(struct setup *setup)
{
    char path[100];

    snprintf(path, sizeof(path), "%s/cache", setup->dir);
    NEED(rafs_cache_open(path, NULL, &setup->cache, NULL) == RAFS_OK);
}

/* false: the image is of a kind that does not open. */
static bool setup_golden(struct setup *setup)
{
    int rc;

    watch_init(&setup->watch);
    script_init(&setup->script, setup->golden.blob, setup->golden.blob_id,
                setup->golden.blob_count, &setup->watch);
    setup->backend = script_backend(&setup->script, &setup->watch.env);
    snprintf(setup->dir, sizeof(setup->dir), "/tmp/rafs-fill-XXXXXX");
    NEED(mkdtemp(setup->dir));
    cache_open(setup);
    rc = image_open(setup, &setup->image);
    NEED(rc == RAFS_OK || rc == RAFS_E_UNSUPPORTED);
    return rc == RAFS_OK;
}

static void setup_make(struct setup *setup, const char *variant)
{
    memset(setup, 0, sizeof(*setup));
    golden_load(golden_folder(), variant, &setup->golden);
    NEED(setup_golden(setup));
}

static void setup_drop(struct setup *setup)
{
    rafs_image_close(setup->image);
    rafs_cache_close(setup->cache);
    rafs_backend_free(setup->backend);
    golden_drop(&setup->golden);
    ck_assert_uint_eq(atomic_load(&setup->watch.live), 0);
    ck_assert_int_eq(scratch_remove(setup->dir), 0);
}

/* A file of the cache and its device's size. */
struct device {
    int32_t fd;
    uint64_t size;
};

static struct device device_of(const rafs_image *image, uint32_t blob)
{
    struct device device = {-1, 0};

    ck_assert_int_eq(
        rafs_image_fill_file(image, blob, &device.fd, &device.size, NULL, NULL), RAFS_OK);
    return device;
}

static uint32_t blobs_of(const rafs_image *image)
{
    rafs_image_info info = {.struct_size = sizeof(info)};

    NEED(rafs_image_get_info(image, &info, NULL) == RAFS_OK);
    return info.blob_count;
}

static int fill(const rafs_image *image, uint32_t blob, uint64_t offset, uint64_t len,
                rafs_filled *filled, rafs_error *err)
{
    *filled = (rafs_filled)RAFS_FILLED_INIT;
    return rafs_image_fill(image, blob, offset, len, filled, NULL, err);
}

/* Each byte of each file, against the devices. */
static void compare_file(const rafs_image *image, uint64_t ino, uint64_t size,
                         const struct device *devices)
{
    uint64_t at = 0;

    while (at < size) {
        rafs_extent extent;
        uint8_t *want, *have;
        size_t count, got;

        ck_assert_int_eq(
            rafs_image_get_extents(image, ino, at, &extent, 1, &count, NULL, NULL),
            RAFS_OK);
        ck_assert_uint_eq(count, 1);
        at = extent.file_offset + extent.length;
        if (extent.flags & RAFS_EXTENT_HOLE)
            continue;
        want = malloc(extent.length);
        have = malloc(extent.length);
        NEED(want && have);
        ck_assert_int_eq(rafs_image_read(image, ino, extent.file_offset, extent.length,
                                         want, &got, NULL, NULL),
                         RAFS_OK);
        ck_assert_int_eq(pread(devices[extent.blob].fd, have, extent.length,
                               (off_t)extent.uncompressed_offset),
                         (ssize_t)extent.length);
        ck_assert_int_eq(memcmp(want, have, extent.length), 0);
        free(want);
        free(have);
    }
}

static void compare_all(const rafs_image *image, const struct device *devices)
{
    const rafs_walk_entry *entry = NULL;
    rafs_walk *walk = NULL;

    NEED(rafs_walk_open(image, "/", 0, &walk, NULL) == RAFS_OK);
    while (rafs_walk_next(walk, &entry, NULL) == RAFS_OK && entry)
        if (S_ISREG(entry->attr.mode))
            compare_file(image, entry->ino, entry->attr.size, devices);
    rafs_walk_close(walk);
}

static bool fill_whole(const rafs_image *image, uint32_t blob,
                       const struct device *device)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_filled filled;

    if (rafs_image_fill(image, blob, 0, device->size, NULL, NULL, NULL) ==
        RAFS_E_UNSUPPORTED)
        return false;
    ck_assert_msg(fill(image, blob, 0, device->size, &filled, &err) == RAFS_OK, "%s: %s",
                  err.object, err.text);
    ck_assert_uint_eq(filled.begin, 0);
    ck_assert_uint_eq(filled.end, device->size);
    return true;
}

/* Block by block, as a kernel might ask; the ranges that are good join without a gap. */
static bool fill_blocks(const rafs_image *image, uint32_t blob,
                        const struct device *device)
{
    size_t count = (size_t)(device->size / BLOCK), left = count;
    uint8_t *good = calloc(count ? count : 1, 1);

    NEED(good);
    for (size_t i = 0; i < count; i++) {
        size_t at = i * 7 % count; /* in some order, perhaps with repeats */
        rafs_filled filled;

        ck_assert_int_eq(fill(image, blob, at * BLOCK, BLOCK, &filled, NULL), RAFS_OK);
        ck_assert_uint_eq(filled.begin % BLOCK + filled.end % BLOCK, 0);
        ck_assert_uint_le(filled.begin, at * BLOCK);
        ck_assert_uint_ge(filled.end, (at + 1) * BLOCK);
        ck_assert_uint_le(filled.end, device->size);
        for (uint64_t b = filled.begin / BLOCK; b < filled.end / BLOCK; b++) {
            left -= !good[b];
            good[b] = 1;
        }
    }
    if (count % 7 != 0)
        ck_assert_uint_eq(left, 0);
    free(good);
    return true;
}

static void try_variant(const char *folder, const char *variant, bool whole)
{
    struct device devices[16];
    struct setup setup = {0};
    uint32_t blobs;
    bool read = true; /* blobs of a kind that is not */

    golden_load(folder, variant, &setup.golden);
    if (!setup_golden(&setup)) {
        setup_drop(&setup);
        return;
    }
    blobs = blobs_of(setup.image);
    NEED(blobs <= 16);
    for (uint32_t i = 0; i < blobs; i++) {
        devices[i] = device_of(setup.image, i);
        read &= (whole ? fill_whole : fill_blocks)(setup.image, i, &devices[i]);
    }
    if (read)
        compare_all(setup.image, devices);
    for (uint32_t i = 0; i < blobs; i++)
        close(devices[i].fd);
    setup_drop(&setup);
}

static void try_all(const char *folder, bool whole)
{
    char names[NAMES_MAX][64];
    size_t count = folder ? golden_list(folder, names, NAMES_MAX) : 0;

    for (size_t i = 0; i < count; i++)
        if (strncmp(names[i], "v6-", 3) == 0)
            try_variant(folder, names[i], whole);
}

START_TEST(a_blob_that_was_filled_whole_has_the_bytes_that_reads_give)
{
    try_all(golden_folder(), true);
    try_all(golden_shared_folder(), true);
}
END_TEST

START_TEST(block_by_block_the_whole_becomes_good)
{
    try_all(golden_folder(), false);
}
END_TEST

START_TEST(v5_and_images_without_a_directory_are_refused)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct setup setup;
    rafs_cache *cache;
    rafs_filled filled;
    uint64_t size = 1;
    int32_t fd = 77;

    setup_make(&setup, "v5-zstd");
    ck_assert_int_eq(rafs_image_fill_file(setup.image, 0, &fd, &size, NULL, &err),
                     RAFS_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "rafs_image_open_erofs"));
    ck_assert_int_eq(fill(setup.image, 0, 0, BLOCK, &filled, NULL), RAFS_E_UNSUPPORTED);
    setup_drop(&setup);

    setup_make(&setup, "v6-zstd");
    rafs_image_close(setup.image);
    cache = setup.cache;
    setup.cache = NULL;
    NEED(image_open(&setup, &setup.image) == RAFS_OK);
    ck_assert_int_eq(rafs_image_fill_file(setup.image, 0, &fd, &size, NULL, NULL),
                     RAFS_E_UNSUPPORTED);
    ck_assert_int_eq(fill(setup.image, 0, 0, BLOCK, &filled, NULL), RAFS_E_UNSUPPORTED);
    ck_assert_int_eq(fd, 77);
    ck_assert_uint_eq(size, 1);
    setup.cache = cache;
    setup_drop(&setup);
}
END_TEST

START_TEST(what_is_no_range_of_a_blob_is_refused)
{
    struct setup setup;
    struct device device;
    rafs_filled filled;

    setup_make(&setup, "v6-zstd");
    device = device_of(setup.image, 0);
    ck_assert_int_eq(fill(setup.image, 1, 0, 1, &filled, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(fill(setup.image, 0, device.size, 1, &filled, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(fill(setup.image, 0, 1, UINT64_MAX, &filled, NULL), RAFS_E_BADARG);
    ck_assert_uint_eq(filled.end, 0);
    ck_assert_int_eq(fill(setup.image, 0, device.size, 0, &filled, NULL), RAFS_OK);
    ck_assert_uint_eq(filled.end - filled.begin, 0);
    ck_assert_int_eq(rafs_image_fill(setup.image, 0, 0, 1, NULL, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_image_fill(NULL, 0, 0, 1, NULL, NULL, NULL), RAFS_E_BADARG);
    close(device.fd);
    setup_drop(&setup);
}
END_TEST

/* The file of the cache, to be spoiled. */
static int file_of(const struct setup *setup, uint32_t blob)
{
    rafs_blob_info info = {.struct_size = sizeof(info)};
    char path[4096];
    size_t len;
    int fd;

    NEED(rafs_image_get_blob(setup->image, blob, &info, NULL) == RAFS_OK);
    NEED(rafs_cache_path(setup->cache, info.id, path, sizeof(path), &len, NULL) ==
         RAFS_OK);
    fd = open(path, O_RDWR | O_CLOEXEC);
    NEED(fd >= 0);
    return fd;
}

START_TEST(wrong_bytes_in_the_file_are_repaired_in_place)
{
    struct setup setup;
    struct device device;
    uint8_t zeros[BLOCK] = {0};
    size_t reads;
    int fd;

    setup_make(&setup, "v6-zstd");
    device = device_of(setup.image, 0);
    fill_whole(setup.image, 0, &device);
    reads = atomic_load(&setup.script.reads);
    fill_whole(setup.image, 0, &device);
    ck_assert_uint_eq(atomic_load(&setup.script.reads), reads);
    fd = file_of(&setup, 0);
    for (uint64_t at = 0; at < device.size; at += 8 * BLOCK)
        NEED(pwrite(fd, zeros, 1, (off_t)at) == 1);
    close(fd);
    fill_whole(setup.image, 0, &device);
    ck_assert_uint_gt(atomic_load(&setup.script.reads), reads);
    compare_all(setup.image, &device);
    close(device.fd);
    setup_drop(&setup);
}
END_TEST

static rafs_filled kept(const struct setup *setup, uint64_t from, uint64_t end)
{
    rafs_filled filled = RAFS_FILLED_INIT;

    ck_assert_int_eq(
        rafs_image_fill_kept(setup->image, 0, from, end - from, &filled, NULL, NULL),
        RAFS_OK);
    ck_assert_uint_le(filled.begin, filled.end);
    return filled;
}

static uint8_t *bytes_of(const struct device *device)
{
    uint8_t *bytes = malloc(device->size);

    NEED(bytes && pread(device->fd, bytes, device->size, 0) == (ssize_t)device->size);
    return bytes;
}

START_TEST(what_is_in_the_file_is_found_and_nothing_fetched)
{
    struct setup setup;
    struct device device;
    rafs_filled one, found;
    size_t reads;

    setup_make(&setup, "v6-chunk4k");
    device = device_of(setup.image, 0);
    found = kept(&setup, 0, device.size);
    ck_assert_uint_eq(found.begin, device.size);
    ck_assert_uint_eq(found.end, device.size);
    ck_assert_uint_eq(atomic_load(&setup.script.reads), 0);
    ck_assert_int_eq(fill(setup.image, 0, device.size / 2, 1, &one, NULL), RAFS_OK);
    reads = atomic_load(&setup.script.reads);
    for (unsigned i = 0; i < 2; i++) {
        found = kept(&setup, 0, device.size);
        ck_assert_uint_eq(found.begin, one.begin);
        ck_assert_uint_eq(found.end, one.end);
        found = kept(&setup, one.end, device.size);
        ck_assert_uint_eq(found.begin, device.size);
        rafs_image_close(setup.image);
        NEED(image_open(&setup, &setup.image) == RAFS_OK);
    }
    ck_assert_uint_eq(atomic_load(&setup.script.reads), reads);
    ck_assert_int_eq(rafs_image_fill_kept(setup.image, 0, 0, 1, NULL, NULL, NULL),
                     RAFS_E_BADARG);
    ck_assert_int_eq(
        rafs_image_fill_kept(setup.image, 0, device.size, 1, &found, NULL, NULL),
        RAFS_E_BADARG);
    close(device.fd);
    setup_drop(&setup);
}
END_TEST

START_TEST(what_is_wrong_in_the_file_is_not_found)
{
    struct setup setup;
    struct device device;
    rafs_filled found;
    uint8_t *right, *now, byte;
    uint64_t at, rows = 0, bytes = 0;
    size_t reads;
    int fd;

    setup_make(&setup, "v6-chunk4k");
    device = device_of(setup.image, 0);
    fill_whole(setup.image, 0, &device);
    found = kept(&setup, 0, device.size);
    ck_assert_uint_eq(found.begin, 0);
    ck_assert_uint_eq(found.end, device.size);
    right = bytes_of(&device);
    fd = file_of(&setup, 0);
    for (at = 4 * BLOCK; at < device.size; at += 8 * BLOCK) {
        byte = (uint8_t)~right[at];
        NEED(pwrite(fd, &byte, 1, (off_t)at) == 1);
    }
    close(fd);
    now = bytes_of(&device);
    reads = atomic_load(&setup.script.reads);
    for (at = 0; at < device.size; at = found.end, rows++) {
        found = kept(&setup, at, device.size);
        ck_assert_uint_ge(found.end, at + BLOCK);
        ck_assert_mem_eq(right + found.begin, now + found.begin, found.end - found.begin);
        bytes += found.end - found.begin;
    }
    ck_assert_uint_ge(rows, device.size / (8 * BLOCK));
    ck_assert_uint_gt(bytes, 0);
    ck_assert_uint_eq(atomic_load(&setup.script.reads), reads);
    free(right);
    free(now);
    close(device.fd);
    setup_drop(&setup);
}
END_TEST

START_TEST(a_wrong_source_is_an_error_and_leaves_nothing)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct setup setup;
    struct device device;
    rafs_filled filled;
    uint8_t byte, all = 0;

    setup_make(&setup, "v6-none");
    device = device_of(setup.image, 0);
    memset(setup.golden.blob[0].at, 0xa5, setup.golden.blob[0].len);
    ck_assert_int_eq(fill(setup.image, 0, 0, device.size, &filled, &err), RAFS_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.object, "blob "));
    ck_assert_uint_eq(filled.end, 0);
    for (uint64_t at = 0; at < device.size; at++) {
        NEED(pread(device.fd, &byte, 1, (off_t)at) == 1);
        all |= byte;
    }
    ck_assert_uint_eq(all, 0);
    close(device.fd);
    setup_drop(&setup);
}
END_TEST

static Suite *fill_suite(void)
{
    Suite *suite = suite_create("fill");
    TCase *tests = tcase_create("fill");

    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_blob_that_was_filled_whole_has_the_bytes_that_reads_give);
    tcase_add_test(tests, block_by_block_the_whole_becomes_good);
    tcase_add_test(tests, v5_and_images_without_a_directory_are_refused);
    tcase_add_test(tests, what_is_no_range_of_a_blob_is_refused);
    tcase_add_test(tests, wrong_bytes_in_the_file_are_repaired_in_place);
    tcase_add_test(tests, what_is_in_the_file_is_found_and_nothing_fetched);
    tcase_add_test(tests, what_is_wrong_in_the_file_is_not_found);
    tcase_add_test(tests, a_wrong_source_is_an_error_and_leaves_nothing);
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
