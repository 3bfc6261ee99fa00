/* SPDX-License-Identifier: Apache-2.0 */
/* Images written as EROFS, and what was written opened again: the same image. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reading.h"
#include "scratch.h"

enum { VARIANTS_MAX = 64 };

static char names[VARIANTS_MAX][64];
static size_t variants;

/* Where the bytes go to, and when that fails. */
struct taker {
    int fd;
    uint64_t taken;
    uint64_t fail_after; /* bytes */
    int fail_with;
};

static int take(void *user, const void *data, size_t len, const rafs_call *call,
                rafs_error *err)
{
    struct taker *taker = user;

    (void)call;
    (void)err;
    ck_assert_uint_gt(len, 0);
    if (taker->taken + len > taker->fail_after)
        return taker->fail_with;
    NEED(write(taker->fd, data, len) == (ssize_t)len);
    taker->taken += len;
    return RAFS_OK;
}

static struct taker taker_new(void)
{
    struct taker taker = {.fd = memfd_create("erofs", 0), .fail_after = UINT64_MAX};

    NEED(taker.fd >= 0);
    return taker;
}

static struct bytes bytes_of(const struct taker *taker)
{
    struct bytes bytes = {malloc(taker->taken + 1), taker->taken};

    NEED(bytes.at && pread(taker->fd, bytes.at, bytes.len, 0) == (ssize_t)bytes.len);
    return bytes;
}

static rafs_erofs_result written(const rafs_image *image, struct taker *taker)
{
    rafs_erofs_result result = RAFS_EROFS_RESULT_INIT;
    rafs_error err = RAFS_ERROR_INIT;

    ck_assert_msg(rafs_image_write_erofs(image, NULL, take, taker, &result, NULL, &err) ==
                      RAFS_OK,
                  "%s: %s", err.object, err.text);
    ck_assert_uint_eq(result.size, taker->taken);
    ck_assert_uint_eq(result.size % 4096, 0);
    return result;
}

static void names_its_digest(const rafs_erofs_result *result, const struct taker *taker)
{
    struct bytes bytes = bytes_of(taker);
    char sum[80], told[80];

    digest_text("", RAFS_DIGEST_SHA256, bytes, sum);
    for (int i = 0; i < 32; i++)
        sprintf(told + 2 * i, "%02x", result->sha256[i]);
    ck_assert_str_eq(sum[0] == ':' ? sum + 1 : sum, told);
    free(bytes.at);
}

/* Everything but numbers of inodes, and sizes that directories have in a format. */
static void same_attr(const char *path, const rafs_attr *a, const rafs_attr *b)
{
    bool sized = S_ISREG(a->mode) || S_ISLNK(a->mode);

    ck_assert_msg(a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
                      a->nlink == b->nlink && a->mtime_sec == b->mtime_sec &&
                      a->mtime_nsec == b->mtime_nsec && a->rdev_major == b->rdev_major &&
                      a->rdev_minor == b->rdev_minor && (!sized || a->size == b->size),
                  "%s: attributes differ: mode %o %o links %u %u", path, a->mode, b->mode,
                  a->nlink, b->nlink);
}

static size_t names_of(const rafs_image *image)
{
    const rafs_walk_entry *entry = NULL;
    rafs_walk *walk = NULL;
    size_t count = 0;

    ck_assert_int_eq(rafs_walk_open(image, "/", 0, &walk, NULL), RAFS_OK);
    while (rafs_walk_next(walk, &entry, NULL) == RAFS_OK && entry)
        count++;
    ck_assert_ptr_null(entry);
    rafs_walk_close(walk);
    return count;
}

/* Names, attributes, xattrs, content; hard links stay such. */
static void reads_as(const rafs_image *image, const struct reading *reading)
{
    struct tally tally = {0};

    ck_assert_uint_eq(names_of(image), reading->count);
    for (size_t i = 0; i < reading->count; i++) {
        struct item item = reading->items[i];
        uint8_t xattrs[RAFS_DIGEST_BYTES];
        rafs_attr attr;
        uint64_t ino = 0;

        ck_assert_int_eq(
            rafs_image_resolve(image, item.path, RAFS_RESOLVE_NOFOLLOW, &ino, NULL),
            RAFS_OK);
        ck_assert_int_eq(rafs_image_get_attr(image, ino, &attr, NULL), RAFS_OK);
        same_attr(item.path, &item.attr, &attr);
        ck_assert_int_eq(xattr_digest(image, ino, xattrs), RAFS_OK);
        ck_assert_mem_eq(xattrs, item.xattrs, sizeof(xattrs));
        item.attr.ino = ino;
        reading_compare_item(image, &item, &tally);
    }
    ck_assert_uint_eq(tally.wrong, 0);
    ck_assert_uint_eq(tally.refused, 0);
    ck_assert_uint_gt(tally.right, 0);
}

START_TEST(what_is_written_is_the_image)
{
    struct taker taker = taker_new();
    rafs_erofs_result result;
    struct reading reading;
    rafs_image *again = NULL;
    rafs_error err = RAFS_ERROR_INIT;
    struct golden golden;
    struct rig rig;

    golden_load(golden_folder(), names[_i], &golden);
    rig_init(&rig, &golden, NULL);
    ck_assert_int_eq(rig_open(&rig, &golden, golden.digest, 0, NULL), RAFS_OK);
    reading_take(rig.image, &reading);
    result = written(rig.image, &taker);
    names_its_digest(&result, &taker);
    ck_assert_msg(rafs_image_open_erofs(rig.image, taker.fd, 0, NULL, &again, NULL,
                                        &err) == RAFS_OK,
                  "%s: %s", err.object, err.text);
    reads_as(again, &reading);
    rafs_image_close(again);
    reading_drop(&reading);
    rig_drop(&rig);
    golden_drop(&golden);
    close(taker.fd);
}
END_TEST

START_TEST(version_6_is_its_own_bootstrap)
{
    struct taker taker = taker_new();
    rafs_erofs_result result;
    struct golden golden;
    struct bytes bytes;
    struct rig rig;

    golden_load(golden_folder(), "v6-zstd", &golden);
    rig_init(&rig, &golden, NULL);
    ck_assert_int_eq(rig_open(&rig, &golden, golden.digest, 0, NULL), RAFS_OK);
    result = written(rig.image, &taker);
    ck_assert_uint_eq(result.flags, RAFS_EROFS_OWN | RAFS_EROFS_SAME_PLACES);
    ck_assert_uint_eq(result.devices, 1);
    bytes = bytes_of(&taker);
    ck_assert_uint_eq(bytes.len, golden.boot.len);
    ck_assert_mem_eq(bytes.at, golden.boot.at, bytes.len);
    free(bytes.at);
    rig_drop(&rig);
    golden_drop(&golden);
    close(taker.fd);
}
END_TEST

START_TEST(what_the_taker_says_ends_it)
{
    static const int codes[] = {RAFS_E_BACKEND, RAFS_E_NOMEM, RAFS_E_CANCELLED};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct taker taker = taker_new();
        rafs_erofs_result result = RAFS_EROFS_RESULT_INIT;
        struct golden golden;
        struct rig rig;

        golden_load(golden_folder(), names[_i], &golden);
        rig_init(&rig, &golden, NULL);
        ck_assert_int_eq(rig_open(&rig, &golden, NULL, 0, NULL), RAFS_OK);
        taker.fail_after = 0;
        taker.fail_with = codes[i];
        result.size = 77;
        ck_assert_int_eq(
            rafs_image_write_erofs(rig.image, NULL, take, &taker, &result, NULL, NULL),
            codes[i]);
        ck_assert_uint_eq(result.size, 77);
        rig_drop(&rig);
        golden_drop(&golden);
        close(taker.fd);
    }
}
END_TEST

START_TEST(sources_and_cache_are_those_of_the_image)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    struct taker taker = taker_new();
    rafs_image *again = NULL;
    struct golden golden;
    struct rig rig, other;

    golden_load(golden_folder(), "v6-zstd", &golden);
    rig_init(&rig, &golden, NULL);
    ck_assert_int_eq(rig_open(&rig, &golden, NULL, 0, NULL), RAFS_OK);
    written(rig.image, &taker);
    options.backends = &rig.backend;
    options.backend_count = 1;
    ck_assert_int_eq(
        rafs_image_open_erofs(rig.image, taker.fd, 0, &options, &again, NULL, NULL),
        RAFS_E_BADARG);
    ck_assert_int_eq(rafs_image_open_erofs(NULL, taker.fd, 0, NULL, &again, NULL, NULL),
                     RAFS_E_BADARG);
    ck_assert_int_eq(
        rafs_image_write_erofs(rig.image, NULL, NULL, NULL, NULL, NULL, NULL),
        RAFS_E_BADARG);
    /* Bytes of another image: its blobs are nobody's. */
    rig_init(&other, &golden, NULL);
    golden_drop(&golden);
    golden_load(golden_folder(), "v6-lz4", &golden);
    rig_drop(&other);
    rig_init(&other, &golden, NULL);
    ck_assert_int_eq(rig_open(&other, &golden, NULL, 0, NULL), RAFS_OK);
    ck_assert_int_eq(
        rafs_image_open_erofs(other.image, taker.fd, 0, NULL, &again, NULL, NULL),
        RAFS_E_BADARG);
    ck_assert_ptr_null(again);
    rig_drop(&other);
    rig_drop(&rig);
    golden_drop(&golden);
    close(taker.fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("erofs");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    variants = golden_list(golden_folder(), names, VARIANTS_MAX);
    tcase_add_loop_test(tcase, what_is_written_is_the_image, 0, (int)variants);
    tcase_add_test(tcase, version_6_is_its_own_bootstrap);
    tcase_add_loop_test(tcase, what_the_taker_says_ends_it, 0, (int)variants);
    tcase_add_test(tcase, sources_and_cache_are_those_of_the_image);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
