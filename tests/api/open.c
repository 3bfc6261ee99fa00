/* SPDX-License-Identifier: Apache-2.0 */
/* What opening promises: pins, images inside files, options of other versions. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "golden.h"
#include "rafs/rafs.h"

static const char *const variants[] = {"v5-zstd", "v6-zstd", "v5-inline", "v6-inline",
                                       "v6-toc"};
enum { VARIANTS = sizeof(variants) / sizeof(variants[0]) };

static int open_pinned(const struct golden *golden, const char *expect, rafs_image **out,
                       rafs_error *err)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;

    options.expect_digest = expect;
    return rafs_image_open_memory(golden->boot.at, golden->boot.len, &options, out, NULL,
                                  err);
}

/* Paths in an image, counted by a walk that must not fail. */
static size_t count_names(const rafs_image *image)
{
    const rafs_walk_entry *entry;
    rafs_walk *walk = NULL;
    size_t count = 0;

    ck_assert_int_eq(rafs_walk_open(image, "/", 0, &walk, NULL), RAFS_OK);
    for (;;) {
        ck_assert_int_eq(rafs_walk_next(walk, &entry, NULL), RAFS_OK);
        if (!entry)
            break;
        count++;
    }
    rafs_walk_close(walk);
    return count;
}

START_TEST(the_expected_digest_opens_and_any_other_is_refused)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image_info info = {.struct_size = sizeof(info)};
    rafs_image *image = NULL;
    struct golden golden;
    char whole[90], sum[80];

    golden_load(golden_folder(), variants[_i], &golden);
    digest_text("sha256", RAFS_DIGEST_SHA256, golden.boot, sum);
    snprintf(whole, sizeof(whole), "blob-%s", sum);
    for (int form = 0; form < 2; form++) {
        char text[90];

        strcpy(text, form == 0 ? golden.digest : whole);
        ck_assert_msg(open_pinned(&golden, text, &image, &err) == RAFS_OK, "%s: %s", text,
                      err.text);
        ck_assert_int_eq(rafs_image_get_info(image, &info, NULL), RAFS_OK);
        ck_assert_uint_eq(info.pinned, 1);
        ck_assert_uint_gt(count_names(image), 1);
        rafs_image_close(image);
        image = NULL;
        text[strlen(text) - 1] = text[strlen(text) - 1] == '0' ? '1' : '0';
        ck_assert_int_eq(open_pinned(&golden, text, &image, &err), RAFS_E_CORRUPT);
        ck_assert_ptr_null(image);
        ck_assert_uint_eq(err.stage, RAFS_STAGE_VERIFY);
    }
    golden_drop(&golden);
}
END_TEST

START_TEST(what_is_no_digest_is_a_bad_argument)
{
    static const char *const bad[] = {"",
                                      "sha256:",
                                      "sha256:12",
                                      "md5:0123456789abcdef0123456789abcdef",
                                      "sha256:00000000000000000000000000000000"
                                      "00000000000000000000000000000000",
                                      "sha256:g1111111111111111111111111111111"
                                      "11111111111111111111111111111111"};
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    struct golden golden;

    golden_load(golden_folder(), "v6-zstd", &golden);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(open_pinned(&golden, bad[i], &image, &err), RAFS_E_BADARG);
    ck_assert_ptr_null(image);
    golden_drop(&golden);
}
END_TEST

/* A file of the test's own with these bytes behind `before` others. */
static int file_with(struct bytes bytes, size_t before)
{
    char path[] = "/tmp/rafs-test-XXXXXX";
    int fd = mkstemp(path);

    NEED(fd >= 0);
    NEED(unlink(path) == 0);
    NEED(pwrite(fd, bytes.at, bytes.len, (off_t)before) == (ssize_t)bytes.len);
    return fd;
}

START_TEST(an_image_inside_a_larger_file_is_found_at_its_offset)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    struct golden golden;
    size_t names;
    int fd;

    golden_load(golden_folder(), variants[_i], &golden);
    ck_assert_int_eq(open_pinned(&golden, NULL, &image, &err), RAFS_OK);
    names = count_names(image);
    rafs_image_close(image);
    image = NULL;
    fd = file_with(golden.boot, 12345);
    NEED(pwrite(fd, "behind", 6, (off_t)(12345 + golden.boot.len)) == 6);
    ck_assert_msg(rafs_image_open_fd(fd, 12345, golden.boot.len, NULL, &image, NULL,
                                     &err) == RAFS_OK,
                  "%s", err.text);
    close(fd); /* ours was duplicated */
    ck_assert_uint_eq(count_names(image), names);
    rafs_image_close(image);
    golden_drop(&golden);
}
END_TEST

/* After a pinned open, the file's bytes change. Nothing that is returned does. */
START_TEST(a_file_that_changes_after_it_was_pinned_gives_the_old_bytes_or_an_error)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits),
                          .metadata_cache_bytes = _i == 0 ? 0 : 1};
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    struct golden golden;
    uint64_t ino = 0;
    uint8_t *other;
    int fd, rc;

    golden_load(golden_folder(), "v6-zstd", &golden);
    fd = file_with(golden.boot, 0);
    options.expect_digest = golden.digest;
    options.limits = &limits;
    ck_assert_int_eq(rafs_image_open_fd(fd, 0, 0, &options, &image, NULL, &err), RAFS_OK);
    other = malloc(golden.boot.len);
    NEED(other);
    memcpy(other, golden.boot.at, golden.boot.len);
    for (size_t i = 4096; i < golden.boot.len; i++)
        other[i] ^= 1;
    NEED(pwrite(fd, other, golden.boot.len, 0) == (ssize_t)golden.boot.len);
    rc = rafs_image_resolve(image, "/", 0, &ino, &err);
    if (rc == RAFS_OK) {
        rafs_dirent entries[4];
        char names[4 * (RAFS_NAME_MAX + 1)];
        size_t count = 0;

        rc = rafs_image_readdir(image, ino, 0, 0, entries, 4, names, sizeof(names),
                                &count, &err);
    }
    if (_i == 0) {
        ck_assert_int_eq(rc, RAFS_OK); /* all blocks were kept */
        ck_assert_uint_gt(count_names(image), 1);
    } else {
        ck_assert_int_eq(rc, RAFS_E_CORRUPT);
        ck_assert_ptr_nonnull(strstr(err.text, "changed"));
    }
    rafs_image_close(image);
    close(fd);
    free(other);
    golden_drop(&golden);
}
END_TEST

START_TEST(a_file_that_is_cut_short_is_an_error)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits), .metadata_cache_bytes = 1};
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    const rafs_walk_entry *entry;
    rafs_walk *walk = NULL;
    struct golden golden;
    int fd, rc = RAFS_OK;

    golden_load(golden_folder(), "v5-zstd", &golden);
    fd = file_with(golden.boot, 0);
    options.limits = &limits;
    ck_assert_int_eq(rafs_image_open_fd(fd, 0, 0, &options, &image, NULL, &err), RAFS_OK);
    ck_assert_int_eq(rafs_walk_open(image, "/", 0, &walk, &err), RAFS_OK);
    NEED(ftruncate(fd, 8192) == 0);
    do
        rc = rafs_walk_next(walk, &entry, &err);
    while (rc == RAFS_OK && entry);
    ck_assert_int_eq(rc, RAFS_E_BACKEND);
    rafs_walk_close(walk);
    rafs_image_close(image);
    close(fd);
    golden_drop(&golden);
}
END_TEST

/* Options of an older caller, of a newer one that wants nothing new, and of one that
 * does. */
START_TEST(options_of_other_versions_are_taken_or_refused_never_ignored)
{
    struct {
        rafs_open_options known;
        uint64_t newer;
    } options = {.known = RAFS_OPEN_OPTIONS_INIT};
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    struct golden golden;

    golden_load(golden_folder(), "v6-zstd", &golden);
    options.known.struct_size = 8; /* knew no more than the size and the flags */
    options.known.expect_digest = "must not be looked at";
    ck_assert_int_eq(rafs_image_open_memory(golden.boot.at, golden.boot.len,
                                            &options.known, &image, NULL, &err),
                     RAFS_OK);
    rafs_image_close(image);
    image = NULL;
    options.known.expect_digest = NULL;
    options.known.struct_size = sizeof(options);
    ck_assert_int_eq(rafs_image_open_memory(golden.boot.at, golden.boot.len,
                                            &options.known, &image, NULL, &err),
                     RAFS_OK);
    rafs_image_close(image);
    image = NULL;
    options.newer = 1;
    ck_assert_int_eq(rafs_image_open_memory(golden.boot.at, golden.boot.len,
                                            &options.known, &image, NULL, &err),
                     RAFS_E_UNSUPPORTED);
    options.known.struct_size = 0;
    ck_assert_int_eq(rafs_image_open_memory(golden.boot.at, golden.boot.len,
                                            &options.known, &image, NULL, &err),
                     RAFS_E_BADARG);
    ck_assert_ptr_null(image);
    golden_drop(&golden);
}
END_TEST

START_TEST(a_directory_is_read_on_from_every_offset)
{
    rafs_dirent all[64], one;
    char names[64 * (RAFS_NAME_MAX + 1)], name[RAFS_NAME_MAX + 1];
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    struct golden golden;
    uint64_t root, offset = 0;
    size_t count, n;

    golden_load(golden_folder(), variants[_i], &golden);
    ck_assert_int_eq(open_pinned(&golden, NULL, &image, &err), RAFS_OK);
    ck_assert_int_eq(rafs_image_resolve(image, "/", 0, &root, &err), RAFS_OK);
    ck_assert_int_eq(rafs_image_readdir(image, root, 0, RAFS_DIR_ATTR, all, 64, names,
                                        sizeof(names), &count, &err),
                     RAFS_OK);
    ck_assert_uint_gt(count, 2);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(rafs_image_readdir(image, root, offset, 0, &one, 1, name,
                                            sizeof(name), &n, &err),
                         RAFS_OK);
        ck_assert_uint_eq(n, 1);
        ck_assert_str_eq(one.name, all[i].name);
        ck_assert_uint_eq(one.ino, all[i].ino);
        ck_assert_uint_eq(all[i].attr.ino, all[i].ino);
        offset = one.next_offset;
    }
    ck_assert_int_eq(
        rafs_image_readdir(image, root, offset, 0, &one, 1, name, sizeof(name), &n, &err),
        RAFS_OK);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(rafs_image_readdir(image, root, UINT64_MAX, 0, &one, 1, name,
                                        sizeof(name), &n, &err),
                     RAFS_E_BADARG);
    rafs_image_close(image);
    golden_drop(&golden);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("open");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, the_expected_digest_opens_and_any_other_is_refused, 0,
                        VARIANTS);
    tcase_add_test(tcase, what_is_no_digest_is_a_bad_argument);
    tcase_add_loop_test(tcase, an_image_inside_a_larger_file_is_found_at_its_offset, 0,
                        VARIANTS);
    tcase_add_loop_test(
        tcase, a_file_that_changes_after_it_was_pinned_gives_the_old_bytes_or_an_error, 0,
        2);
    tcase_add_test(tcase, a_file_that_is_cut_short_is_an_error);
    tcase_add_test(tcase, options_of_other_versions_are_taken_or_refused_never_ignored);
    tcase_add_loop_test(tcase, a_directory_is_read_on_from_every_offset, 0, VARIANTS);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
