/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blob that carries its bootstrap and has no chunk begins with what a bootstrap begins
 * with. It opens all the same.
 */
#include <check.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "made.h"

static const uint32_t flags[] = {RAFS_BUILD_INLINE_BOOTSTRAP,
                                 RAFS_BUILD_INLINE_BOOTSTRAP | RAFS_BUILD_TOC};

static void build(struct made *made, uint32_t version, uint32_t flag)
{
    rafs_build_entry entry = {
        .struct_size = sizeof(entry), .mode = S_IFREG | 0644, .path = "d/empty"};
    rafs_build_options options;
    rafs_builder *builder = NULL;

    rafs_build_options_init(&options);
    options.version = version;
    options.flags = flag;
    ck_assert_int_eq(rafs_builder_new(&options, made->sink, NULL, &builder, NULL),
                     RAFS_OK);
    ck_assert_int_eq(rafs_builder_add_entry(builder, &entry, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_builder_finish(builder, NULL, NULL, NULL), RAFS_OK);
    rafs_builder_free(builder);
}

static void open_blob(const struct made_object *blob)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    uint64_t ino;
    int rc;

    rc = rafs_image_open_memory(blob->bytes.at, blob->bytes.len, &options, &image, NULL,
                                &err);
    ck_assert_msg(rc == RAFS_OK, "%s: %s", err.object, err.text);
    ck_assert_int_eq(made_check(image, &err), RAFS_OK);
    ck_assert_int_eq(rafs_image_resolve(image, "/d/empty", 0, &ino, &err), RAFS_OK);
    rafs_image_close(image);
}

START_TEST(a_blob_without_chunks_opens)
{
    uint32_t version = 5 + (uint32_t)_i % 2;
    uint32_t flag = flags[version == 5 ? 0 : _i / 2];
    unsigned blobs = 0;
    struct made made;

    made_init(&made, NULL);
    build(&made, version, flag);
    for (size_t i = 0; i < made.count; i++) {
        if (made.objects[i].kind != RAFS_OBJECT_BLOB)
            continue;
        open_blob(&made.objects[i]);
        blobs++;
    }
    ck_assert_uint_eq(blobs, 1);
    made_drop(&made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inlined");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, a_blob_without_chunks_opens, 0, 4);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
