/* SPDX-License-Identifier: Apache-2.0 */
/* A check finds nothing in good images, and each lie in bad ones. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree_images.h"

#define IMAGES_MAX 64

static struct tree_image images[IMAGES_MAX];
static int image_count;

struct seen {
    uint64_t findings;
    uint64_t files;
    uint64_t ticks;
    uint64_t stop_at; /* of ticks; 0: never */
    rafs_error first;
};

static void on_finding(void *user, const rafs_error *finding)
{
    struct seen *seen = user;

    ck_assert_int_lt(finding->code, 0);
    ck_assert_uint_eq(finding->stage, RAFS_STAGE_CHECK);
    ck_assert_str_ne(finding->object, "");
    ck_assert_str_ne(finding->text, "");
    if (seen->findings++ == 0)
        seen->first = *finding;
}

static int on_file(void *user, const struct rafsi_node *file, const char *path,
                   rafs_error *err)
{
    struct seen *seen = user;

    (void)err;
    ck_assert(S_ISREG(file->attr.mode));
    ck_assert_int_eq(path[0], '/');
    seen->files++;
    return RAFS_OK;
}

static int on_tick(void *user, uint64_t inodes, rafs_error *err)
{
    struct seen *seen = user;

    (void)inodes;
    if (++seen->ticks == seen->stop_at)
        return rafsi_fail(err, RAFS_E_CANCELLED, RAFS_STAGE_CHECK, NULL, "stopped");
    return RAFS_OK;
}

static int check_tree(const struct opened_tree *opened, struct seen *seen,
                      rafs_error *err)
{
    struct rafsi_tree_visitor visitor = {seen, on_finding, on_file, on_tick};
    struct rafsi_hashes *hashes = NULL;
    int rc = rafsi_hashes_new(&opened->env, &hashes, err);

    ck_assert_int_eq(rc, RAFS_OK);
    rc = rafsi_tree_check(opened->tree, hashes, &visitor, err);
    rafsi_hashes_free(hashes);
    return rc;
}

START_TEST(good_image_has_no_findings)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct opened_tree opened;
    struct seen seen = {0};

    if (strstr(images[_i].name, "tarfs"))
        return;
    ck_assert_int_eq(opened_tree_file(&opened, images[_i].boot, 4 << 20, &err), RAFS_OK);
    ck_assert_msg(check_tree(&opened, &seen, &err) == RAFS_OK, "%s", err.text);
    ck_assert_msg(seen.findings == 0, "%s: %llu findings, the first: %s at %llu: %s",
                  images[_i].boot, (unsigned long long)seen.findings, seen.first.object,
                  (unsigned long long)seen.first.offset, seen.first.text);
    ck_assert_uint_gt(seen.files, 0);
    ck_assert_uint_gt(seen.ticks, 0);
    opened_tree_close(&opened);
}
END_TEST

START_TEST(check_stops_when_its_caller_says_so)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct opened_tree opened;
    struct seen seen = {.stop_at = 1};

    ck_assert_int_eq(opened_tree_file(&opened, images[0].boot, 4 << 20, &err), RAFS_OK);
    ck_assert_int_eq(check_tree(&opened, &seen, &err), RAFS_E_CANCELLED);
    ck_assert_int_eq(err.code, RAFS_E_CANCELLED);
    opened_tree_close(&opened);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("check");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    image_count = tree_images_find("v", images, IMAGES_MAX);
    if (image_count == 0) {
        fprintf(stderr, "skipped: no golden images\n");
        return 77;
    }
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, good_image_has_no_findings, 0, image_count);
    tcase_add_test(tcase, check_stops_when_its_caller_says_so);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
