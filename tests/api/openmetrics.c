/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters as text. With --print the text of two images of hostile names is written to
 * standard output, for golden/run_stats.py to judge.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "rafs/rafs.h"

static const char hostile[] =
    "a\"b\\c\nd{e=\"f\"} 1\n# EOF\xff\xc0\xaf\xed\xa0\x80\xc3\xa9"
    "\xf0\x9f\x98\x80\x01";
/* What becomes of it: escaped, and what is no UTF-8 replaced byte by byte. */
static const char tame[] = "a\\\"b\\\\c\\nd{e=\\\"f\\\"} 1\\n# EOF??" /* ff c0 */
                           "?"                                        /* af */
                           "???"                                      /* ed a0 80 */
                           "\xc3\xa9\xf0\x9f\x98\x80\x01";

static struct golden golden;
static rafs_backend *backend;
static rafs_image *images[2];

static int no_open(void *user, const char *blob_id, void **blob, const rafs_call *call,
                   rafs_error *err)
{
    (void)user;
    (void)blob_id;
    (void)blob;
    (void)call;
    return rafs_error_set(err, RAFS_E_NOENT, 0, NULL, NULL);
}

static int no_read(void *user, void *blob, uint64_t offset, void *buf, size_t len,
                   size_t *nread, const rafs_call *call, rafs_error *err)
{
    (void)user;
    (void)blob;
    (void)offset;
    (void)buf;
    (void)len;
    (void)nread;
    (void)call;
    return rafs_error_set(err, RAFS_E_BACKEND, 0, NULL, NULL);
}

static void begin(void)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_backend_ops ops = RAFS_BACKEND_OPS_INIT;

    golden_load(golden_folder(), "v6-zstd", &golden);
    ops.open = no_open;
    ops.read = no_read;
    ops.name = hostile;
    NEED(rafs_backend_new(&ops, NULL, NULL, &backend, NULL) == RAFS_OK);
    options.backends = &backend;
    options.backend_count = 1;
    for (size_t i = 0; i < 2; i++)
        NEED(rafs_image_open_memory(golden.boot.at, golden.boot.len, &options, &images[i],
                                    NULL, NULL) == RAFS_OK);
}

static void end(void)
{
    for (size_t i = 0; i < 2; i++)
        rafs_image_close(images[i]);
    rafs_backend_free(backend);
    golden_drop(&golden);
}

static char *write_all(const rafs_metrics_image *set, size_t count, size_t *len)
{
    char *text;

    ck_assert_int_eq(rafs_metrics_write(set, count, NULL, 0, len, NULL), RAFS_E_RANGE);
    text = malloc(*len + 1);
    NEED(text);
    ck_assert_int_eq(rafs_metrics_write(set, count, text, *len + 1, len, NULL), RAFS_OK);
    ck_assert_uint_eq(strlen(text), *len);
    return text;
}

START_TEST(labels_are_escaped)
{
    const rafs_metrics_image set[] = {{images[0], hostile}, {images[1], "b"}};
    char wanted[256];
    size_t len = 0;
    char *text = write_all(set, 2, &len);

    snprintf(wanted, sizeof(wanted), "\nrafs_reads_total{image=\"%s\"} 0\n", tame);
    ck_assert_msg(strstr(text, wanted), "%.400s", text);
    ck_assert(strstr(text, "\nrafs_reads_total{image=\"b\"} 0\n"));
    ck_assert_str_eq(text + len - 6, "# EOF\n");
    free(text);
}
END_TEST

START_TEST(a_single_image_needs_no_label)
{
    const rafs_metrics_image set[] = {{images[0], NULL}};
    size_t len = 0;
    char *text = write_all(set, 1, &len);

    ck_assert(strstr(text, "\nrafs_reads_total 0\n"));
    ck_assert(strstr(text, "\nrafs_chunk_wait_seconds_bucket{le=\"0.0001\"} 0\n"));
    ck_assert(strstr(text, "\nrafs_chunk_wait_seconds_bucket{le=\"50.0\"} 0\n"));
    ck_assert(strstr(text, "\nrafs_chunk_wait_seconds_bucket{le=\"+Inf\"} 0\n"));
    ck_assert(strstr(text, "\nrafs_chunk_wait_seconds_count 0\n"));
    ck_assert(strstr(text, "\nrafs_chunk_wait_seconds_sum 0.0\n"));
    free(text);
}
END_TEST

START_TEST(no_room_is_too_little_but_no_overrun)
{
    const rafs_metrics_image set[] = {{images[0], "a"}};
    size_t len = 0;
    char *text = write_all(set, 1, &len);

    for (size_t room = 0; room <= len + 1; room += room < 300 ? 1 : 97) {
        char *part = malloc(room ? room : 1); /* the sanitizer watches its end */
        rafs_error err = RAFS_ERROR_INIT;
        size_t told = 0;
        int rc;

        NEED(part);
        rc = rafs_metrics_write(set, 1, part, room, &told, &err);
        ck_assert_int_eq(rc, room < len ? RAFS_E_RANGE : RAFS_OK);
        ck_assert_uint_eq(told, len);
        ck_assert(memcmp(part, text, room < len ? room : len) == 0);
        free(part);
    }
    free(text);
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
    const rafs_metrics_image nameless[] = {{images[0], NULL}, {images[1], "b"}};
    const rafs_metrics_image twice[] = {{images[0], "a"}, {images[1], "a"}};
    const rafs_metrics_image none[] = {{NULL, "a"}};
    char room[16];
    size_t len = 0;

    ck_assert_int_eq(rafs_metrics_write(nameless, 2, NULL, 0, &len, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_metrics_write(twice, 2, NULL, 0, &len, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_metrics_write(none, 1, NULL, 0, &len, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_metrics_write(twice, 1, NULL, 0, NULL, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_metrics_write(twice, 1, NULL, 1, &len, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_metrics_write(NULL, 1, room, 1, &len, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_metrics_write(NULL, 0, room, sizeof(room), &len, NULL),
                     RAFS_OK);
    ck_assert_str_eq(room, "# EOF\n");
}
END_TEST

static int print(void)
{
    const rafs_metrics_image set[] = {{images[0], hostile}, {images[1], "b"}};
    static char text[1 << 18];
    size_t len = 0;

    NEED(rafs_metrics_write(set, 2, text, sizeof(text), &len, NULL) == RAFS_OK);
    return fwrite(text, 1, len, stdout) == len ? 0 : 1;
}

static int run_tests(void)
{
    Suite *suite = suite_create("openmetrics");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, labels_are_escaped);
    tcase_add_test(tcase, a_single_image_needs_no_label);
    tcase_add_test(tcase, no_room_is_too_little_but_no_overrun);
    tcase_add_test(tcase, wrong_arguments_are_refused);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    int failed;

    begin();
    failed = argc > 1 && strcmp(argv[1], "--print") == 0 ? print() : run_tests();
    end();
    return failed;
}
