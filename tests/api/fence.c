/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fence in a mounted bootstrap: which bytes of the file change, and no others. That
 * the kernel follows them is for the tests of mounts, which need root.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reading.h"

enum { SUPER_FIELD = 1024 + 86, SLOTS_AT = 1408, SLOT = 128, EXTENTS_MAX = 4096 };

static struct golden golden;
static struct reading reading;
static struct rig rig;
static rafs_image_info info = {.struct_size = sizeof(info)};
static int fd;

static void load(const char *variant)
{
    char path[] = "/tmp/fence-XXXXXX";

    golden_load(golden_folder(), variant, &golden);
    rig_init(&rig, &golden, NULL);
    NEED(rig_open(&rig, &golden, NULL, 0, NULL) == RAFS_OK);
    reading_take(rig.image, &reading);
    NEED(rafs_image_get_info(rig.image, &info, NULL) == RAFS_OK);
    fd = mkstemp(path);
    NEED(fd >= 0 && unlink(path) == 0);
    NEED(write(fd, rig.boot.at, rig.boot.len) == (ssize_t)rig.boot.len);
}

static void unload(void)
{
    close(fd);
    rig_drop(&rig);
    reading_drop(&reading);
    golden_drop(&golden);
}

static uint8_t *now(size_t *len)
{
    struct stat st;
    uint8_t *bytes;

    NEED(fstat(fd, &st) == 0);
    *len = (size_t)st.st_size;
    bytes = malloc(*len);
    NEED(bytes && pread(fd, bytes, *len, 0) == (ssize_t)*len);
    return bytes;
}

/* Bytes of the original that are others in the file, but for the devices. */
static size_t changes(size_t *last)
{
    size_t len, count = 0;
    uint8_t *bytes = now(&len);
    const uint8_t *was = rig.boot.at;

    NEED(len >= rig.boot.len);
    for (size_t i = 0; i < rig.boot.len; i++) {
        if (bytes[i] == was[i] || (i >= SUPER_FIELD && i < SUPER_FIELD + 4) ||
            (i >= SLOTS_AT && i < SLOTS_AT + 2 * SLOT * info.blob_count))
            continue;
        ck_assert_uint_eq(bytes[i], was[i] + info.blob_count);
        *last = i;
        count++;
    }
    free(bytes);
    return count;
}

static rafs_fence_info info_of(const rafs_fence *fence)
{
    rafs_fence_info out = RAFS_FENCE_INFO_INIT;

    ck_assert_int_eq(rafs_fence_get_info(fence, &out, NULL), RAFS_OK);
    return out;
}

/* All, or nothing, is there. */
static int everything = 1;

static int is_there(void *user, uint32_t blob, uint64_t begin, uint64_t end)
{
    ck_assert_ptr_eq(user, &everything);
    ck_assert_uint_lt(blob, info.blob_count);
    ck_assert_uint_lt(begin, end);
    return everything;
}

static bool is_run(uint64_t ino, uint64_t chunk, uint64_t size)
{
    const uint8_t *boot = rig.boot.at;
    uint64_t meta = (uint64_t)(boot[1024 + 40] | boot[1024 + 41] << 8) * 4096;
    const uint8_t *inode = boot + meta + ino * 32;

    return size > chunk && (uint64_t)4096 << (inode[16] & 31) != info.chunk_size;
}

/* Entries that the kernel looks at, hard links once. */
static uint64_t entries_of(void)
{
    static rafs_extent extents[EXTENTS_MAX];
    uint64_t count = 0;

    for (size_t i = 0; i < reading.count; i++) {
        const struct item *item = &reading.items[i];
        bool seen = !S_ISREG(item->attr.mode);
        size_t n;

        for (size_t j = 0; j < i && !seen; j++)
            seen = reading.items[j].attr.ino == item->attr.ino;
        if (seen)
            continue;
        NEED(rafs_image_get_extents(rig.image, item->attr.ino, 0, extents, EXTENTS_MAX,
                                    &n, NULL, NULL) == RAFS_OK);
        /* The format word lies behind the size, in the inode. */
        if (is_run(item->attr.ino, n > 0 ? extents[0].length : 0, item->attr.size)) {
            count++;
            continue;
        }
        for (size_t k = 0; k < n; k++)
            count += !(extents[k].flags & RAFS_EXTENT_HOLE);
    }
    return count;
}

START_TEST(devices_are_added)
{
    rafs_fence *fence = NULL;
    size_t len, last = 0;
    uint8_t *bytes;
    size_t slots;

    load("v6-chunk4k");
    ck_assert_int_eq(rafs_fence_new(rig.image, fd, &fence, NULL), RAFS_OK);
    ck_assert_uint_eq(changes(&last), 0);
    bytes = now(&len);
    ck_assert_uint_eq(bytes[SUPER_FIELD] | bytes[SUPER_FIELD + 1] << 8,
                      2 * info.blob_count);
    slots = (size_t)(bytes[SUPER_FIELD + 2] | bytes[SUPER_FIELD + 3] << 8) * SLOT;
    ck_assert(slots + 2 * SLOT * info.blob_count <= len);
    for (size_t i = 0; i < 2 * info.blob_count; i++)
        ck_assert_mem_eq(
            bytes + slots + i * SLOT,
            (const uint8_t *)rig.boot.at + SLOTS_AT + i % info.blob_count * SLOT, SLOT);
    free(bytes);
    ck_assert_uint_eq(info_of(fence).blobs, info.blob_count);
    ck_assert_int_eq(
        rafs_fence_open(fence, 0, 0, UINT64_MAX, is_there, &everything, NULL),
        RAFS_E_BADARG);
    rafs_fence_free(fence);
    unload();
}
END_TEST

START_TEST(entries_are_turned)
{
    rafs_fence *fence = NULL, *again = NULL;
    rafs_blob_info blob = {.struct_size = sizeof(blob)};
    uint64_t open, half;
    size_t last = 0;

    load("v6-chunk4k");
    ck_assert_int_eq(rafs_fence_new(rig.image, fd, &fence, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_fence_index(fence, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_fence_index(fence, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(info_of(fence).entries, entries_of());
    ck_assert_uint_gt(info_of(fence).entries, 10);
    NEED(rafs_image_get_blob(rig.image, 0, &blob, NULL) == RAFS_OK);
    half = blob.uncompressed_size / 2 / 4096 * 4096;
    ck_assert_int_eq(rafs_fence_open(fence, 0, 0, half, is_there, &everything, NULL),
                     RAFS_OK);
    open = info_of(fence).open;
    ck_assert_uint_gt(open, 0);
    ck_assert_uint_lt(open, info_of(fence).entries);
    ck_assert_uint_eq(changes(&last), open);
    ck_assert_int_eq(rafs_fence_open(fence, 0, 0, half, is_there, &everything, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(info_of(fence).open, open);
    /* A file in one piece waits for all of it. */
    everything = 0;
    ck_assert_int_eq(
        rafs_fence_open(fence, 0, 0, UINT64_MAX, is_there, &everything, NULL), RAFS_OK);
    ck_assert_uint_lt(info_of(fence).open, info_of(fence).entries);
    everything = 1;
    ck_assert_int_eq(rafs_fence_shut(fence, 0, half, UINT64_MAX, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_fence_open(fence, 0, 0, half, is_there, &everything, NULL),
                     RAFS_OK);
    open = info_of(fence).open;
    /* Another process finds what is open, and shuts it. */
    ck_assert_int_eq(rafs_fence_new(rig.image, fd, &again, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_fence_index(again, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(info_of(again).open, open);
    for (uint32_t i = 0; i < info.blob_count; i++)
        ck_assert_int_eq(
            rafs_fence_open(again, i, 0, UINT64_MAX, is_there, &everything, NULL),
            RAFS_OK);
    ck_assert_uint_eq(info_of(again).open, info_of(again).entries);
    ck_assert_uint_eq(changes(&last), info_of(again).entries);
    for (uint32_t i = 0; i < info.blob_count; i++)
        ck_assert_int_eq(rafs_fence_shut(again, i, 0, UINT64_MAX, NULL), RAFS_OK);
    ck_assert_uint_eq(info_of(again).open, 0);
    ck_assert_uint_eq(changes(&last), 0);
    ck_assert_int_eq(
        rafs_fence_open(again, info.blob_count, 0, 1, is_there, &everything, NULL),
        RAFS_E_BADARG);
    rafs_fence_free(again);
    rafs_fence_free(fence);
    unload();
}
END_TEST

START_TEST(other_files_are_refused)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_fence *fence = NULL;
    uint8_t byte = 7;
    int empty;

    load("v6-chunk4k");
    NEED(pwrite(fd, &byte, 1, 1024 + 40) == 1);
    ck_assert_int_eq(rafs_fence_new(rig.image, fd, &fence, &err), RAFS_E_BADARG);
    ck_assert_ptr_null(fence);
    NEED(ftruncate(fd, 1030) == 0);
    ck_assert_int_eq(rafs_fence_new(rig.image, fd, &fence, &err), RAFS_E_BADARG);
    empty = open("/dev/null", O_RDWR);
    ck_assert_int_eq(rafs_fence_new(rig.image, empty, &fence, &err), RAFS_E_BADARG);
    close(empty);
    ck_assert_int_eq(rafs_fence_new(rig.image, -1, &fence, &err) < 0, 1);
    ck_assert_int_eq(rafs_fence_new(NULL, fd, &fence, &err), RAFS_E_BADARG);
    unload();
    load("v5-zstd");
    ck_assert_int_eq(rafs_fence_new(rig.image, fd, &fence, &err), RAFS_E_BADARG);
    unload();
    rafs_fence_free(NULL);
}
END_TEST

/* A file that cannot be written: what is not open stays shut, and can be tried again. */
START_TEST(failing_writes_keep_it_shut)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_fence *fence = NULL, *late = NULL;
    char path[64];
    size_t last = 0;
    int reader;

    load("v6-chunk4k");
    ck_assert_int_eq(rafs_fence_new(rig.image, fd, &fence, NULL), RAFS_OK);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    reader = open(path, O_RDONLY);
    NEED(reader >= 0);
    ck_assert_int_eq(rafs_fence_new(rig.image, reader, &late, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_fence_index(late, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_fence_open(late, 0, 0, UINT64_MAX, is_there, &everything, &err),
                     RAFS_E_BACKEND);
    ck_assert_int_eq(err.os_errno, 9); /* EBADF */
    ck_assert_uint_eq(info_of(late).open, 0);
    ck_assert_uint_eq(changes(&last), 0);
    close(reader);
    rafs_fence_free(late);
    rafs_fence_free(fence);
    unload();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fence");
    TCase *cases = tcase_create("fence");
    SRunner *runner;
    int failed;

    tcase_add_test(cases, devices_are_added);
    tcase_add_test(cases, entries_are_turned);
    tcase_add_test(cases, other_files_are_refused);
    tcase_add_test(cases, failing_writes_keep_it_shut);
    suite_add_tcase(suite, cases);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
