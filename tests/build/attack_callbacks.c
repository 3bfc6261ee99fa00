/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program's functions that do what they should not: give codes that are none, more
 * bytes than asked for, or call the builder that called them. Nothing of it becomes an
 * image that shows other bytes than there were.
 */
#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "made.h"

enum { SIZE = 10000, CHUNK = 4096 };

static const int rubbish[] = {1, 2, 1000, INT_MAX, -17, -1000, INT_MIN};
enum { RUBBISH = sizeof(rubbish) / sizeof(rubbish[0]) };

/* Gives some bytes, then a code, perhaps with a length that makes no sense. */
struct odd {
    int code;
    size_t got;
    unsigned calls;
    rafs_builder *builder; /* to be called from within; or NULL */
    int inner;             /* what that said */
};

static int odd_read(void *user, void *buf, size_t len, size_t *got, const rafs_call *call,
                    rafs_error *err)
{
    struct odd *odd = user;
    rafs_build_entry entry = {
        .struct_size = sizeof(entry), .mode = S_IFDIR | 0755, .path = "inner"};

    if (odd->builder && odd->calls == 1)
        odd->inner = rafs_builder_add_entry(odd->builder, &entry, call, err);
    if (odd->calls++ == 1 && odd->code) {
        *got = odd->got;
        return odd->code;
    }
    *got = len < 3000 ? len : 3000;
    memset(buf, 'x', *got);
    return RAFS_OK;
}

struct stage {
    struct made made;
    rafs_builder *builder;
    rafs_error err;
};

static void stage_set(struct stage *stage, uint32_t flags)
{
    rafs_build_options options;

    memset(stage, 0, sizeof(*stage));
    made_init(&stage->made, NULL);
    rafs_build_options_init(&options);
    options.chunk_size = CHUNK;
    options.flags = flags;
    options.threads = 2;
    ck_assert_int_eq(
        rafs_builder_new(&options, stage->made.sink, NULL, &stage->builder, NULL),
        RAFS_OK);
}

static void stage_clear(struct stage *stage)
{
    rafs_builder_free(stage->builder);
    made_drop(&stage->made);
}

static int add(struct stage *stage, const char *path, struct odd *odd)
{
    rafs_build_entry entry = {.struct_size = sizeof(entry),
                              .mode = S_IFREG | 0644,
                              .path = path,
                              .size = SIZE,
                              .read = odd_read,
                              .user = odd};

    return rafs_builder_add_entry(stage->builder, &entry, NULL, &stage->err);
}

static bool is_code(int rc)
{
    return rc < 0 && rc >= RAFS_E_AGAIN;
}

static void never_finishes(struct stage *stage)
{
    ck_assert_int_eq(rafs_builder_finish(stage->builder, NULL, NULL, NULL),
                     RAFS_E_BADARG);
    ck_assert_ptr_null(made_bootstrap(&stage->made));
}

START_TEST(content_with_codes_that_are_none)
{
    struct odd odd = {.code = rubbish[_i], .got = 5};
    struct stage stage;
    int rc;

    stage_set(&stage, 0);
    rc = add(&stage, "a", &odd);
    ck_assert_msg(is_code(rc), "%d became %d", odd.code, rc);
    ck_assert_int_eq(stage.err.code, rc);
    never_finishes(&stage);
    stage_clear(&stage);
}
END_TEST

START_TEST(a_stream_with_codes_that_are_none)
{
    struct odd odd = {.code = rubbish[_i], .got = SIZE_MAX / 2};
    struct stage stage;
    int rc;

    stage_set(&stage, 0);
    odd.calls = _i % 2; /* the first bytes, and those of what they say */
    rc = rafs_builder_add_tar(stage.builder, odd_read, &odd, "odd", NULL, &stage.err);
    ck_assert_msg(is_code(rc), "%d became %d", odd.code, rc);
    ck_assert_int_eq(stage.err.code, rc);
    never_finishes(&stage);
    stage_clear(&stage);
}
END_TEST

/* What cannot be read is no entry that no image can hold: its name is in the tree. */
START_TEST(content_that_fails_is_not_left_out)
{
    struct odd odd = {.code = RAFS_E_UNSUPPORTED}, good = {.code = 0};
    struct stage stage;

    stage_set(&stage, RAFS_BUILD_SKIP_UNSUPPORTED);
    ck_assert_int_eq(add(&stage, "before", &good), RAFS_OK);
    ck_assert_int_eq(add(&stage, "a", &odd), RAFS_E_UNSUPPORTED);
    never_finishes(&stage);
    stage_clear(&stage);
}
END_TEST

START_TEST(the_builder_is_not_called_from_what_it_calls)
{
    struct odd odd = {.code = 0};
    rafs_image *image = NULL;
    struct stage stage;

    stage_set(&stage, 0);
    odd.builder = stage.builder;
    ck_assert_int_eq(add(&stage, "a", &odd), RAFS_OK);
    ck_assert_int_eq(odd.inner, RAFS_E_BADARG);
    ck_assert_int_eq(rafs_builder_finish(stage.builder, NULL, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(made_open(&stage.made, NULL, &image, &stage.err), RAFS_OK);
    ck_assert_int_eq(made_check(image, &stage.err), RAFS_OK);
    rafs_image_close(image);
    stage_clear(&stage);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("odd callbacks");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, content_with_codes_that_are_none, 0, RUBBISH);
    tcase_add_loop_test(tcase, a_stream_with_codes_that_are_none, 0, RUBBISH);
    tcase_add_test(tcase, content_that_fails_is_not_left_out);
    tcase_add_test(tcase, the_builder_is_not_called_from_what_it_calls);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
