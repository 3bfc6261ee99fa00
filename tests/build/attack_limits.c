/* SPDX-License-Identifier: Apache-2.0 */
/*
 * More of something than there can be: descriptors, ids.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "made.h"
#include "scratch.h"

enum { FILES = 400, DESCRIPTORS = 24 };

static rafs_builder *begin(struct made *made, const rafs_build_options *options)
{
    rafs_builder *builder = NULL;

    made_init(made, NULL);
    ck_assert_int_eq(rafs_builder_new(options, made->sink, NULL, &builder, NULL),
                     RAFS_OK);
    return builder;
}

/* Each test is a process of its own. */
START_TEST(few_descriptors_are_enough)
{
    struct rlimit few = {DESCRIPTORS, DESCRIPTORS};
    char folder[] = "/tmp/rafs-limits-XXXXXX", path[128];
    rafs_build_options options;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_builder *builder;
    struct made made;
    int rc;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    for (int i = 0; i < FILES; i++) {
        FILE *file;

        snprintf(path, sizeof(path), "%s/%d", folder, i);
        file = fopen(path, "wb");
        ck_assert_ptr_nonnull(file);
        fprintf(file, "content %d", i);
        ck_assert_int_eq(fclose(file), 0);
    }
    rafs_build_options_init(&options);
    options.threads = 2;
    builder = begin(&made, &options);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    rc = rafs_builder_add_directory(builder, folder, NULL, &err);
    ck_assert_msg(rc == RAFS_OK, "%s: %s", err.object, err.text);
    ck_assert_int_eq(rafs_builder_finish(builder, NULL, NULL, NULL), RAFS_OK);
    rafs_builder_free(builder);
    made_drop(&made);
    scratch_remove(folder);
}
END_TEST

START_TEST(ids_do_not_wrap)
{
    static const struct {
        rafs_id_map map;
        int rc;
    } maps[] = {
        {{0, 0, UINT32_MAX}, RAFS_OK},       {{0, UINT32_MAX, 1}, RAFS_OK},
        {{0, UINT32_MAX, 2}, RAFS_E_BADARG}, {{UINT32_MAX, 0, 1}, RAFS_OK},
        {{UINT32_MAX, 0, 2}, RAFS_E_BADARG}, {{1, UINT32_MAX - 5, 10}, RAFS_E_BADARG},
        {{5, 1, UINT32_MAX}, RAFS_E_BADARG},
    };

    for (size_t i = 0; i < 2 * sizeof(maps) / sizeof(maps[0]); i++) {
        rafs_builder *builder = NULL;
        rafs_build_options options;
        struct made made;

        made_init(&made, NULL);
        rafs_build_options_init(&options);
        *(i % 2 ? &options.uid_maps : &options.gid_maps) = &maps[i / 2].map;
        *(i % 2 ? &options.uid_map_count : &options.gid_map_count) = 1;
        ck_assert_int_eq(rafs_builder_new(&options, made.sink, NULL, &builder, NULL),
                         maps[i / 2].rc);
        rafs_builder_free(builder);
        made_drop(&made);
    }
}
END_TEST

START_TEST(everybody_is_everybody)
{
    rafs_build_entry entry = {
        .struct_size = sizeof(entry), .mode = S_IFREG | 0644, .path = "a/b/c"};
    const rafs_walk_entry *at;
    rafs_build_options options;
    rafs_builder *builder;
    rafs_image *image = NULL;
    rafs_walk *walk;
    struct made made;
    unsigned count = 0;

    rafs_build_options_init(&options);
    options.flags = RAFS_BUILD_OWNER | RAFS_BUILD_MTIME_ALL;
    options.owner_uid = 7;
    options.owner_gid = 8;
    options.mtime_max = 5;
    builder = begin(&made, &options);
    ck_assert_int_eq(rafs_builder_add_entry(builder, &entry, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_builder_finish(builder, NULL, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(made_open(&made, NULL, &image, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_walk_open(image, "/", 0, &walk, NULL), RAFS_OK);
    while (rafs_walk_next(walk, &at, NULL) == RAFS_OK && at) {
        ck_assert_msg(at->attr.uid == 7 && at->attr.gid == 8 && at->attr.mtime_sec == 5,
                      "%s", at->path);
        count++;
    }
    ck_assert_uint_eq(count, 4);
    rafs_walk_close(walk);
    rafs_image_close(image);
    rafs_builder_free(builder);
    made_drop(&made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("limits of builds");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, few_descriptors_are_enough);
    tcase_add_test(tcase, ids_do_not_wrap);
    tcase_add_test(tcase, everybody_is_everybody);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
