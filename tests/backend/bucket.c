/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets: which options are refused, where requests go, and what of an error is told. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/bucket.h"
#include "golden.h"
#include "rafs/rafs.h"
#include "watch.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static rafs_http *http;

static void start(void)
{
    NEED(rafs_http_new(NULL, &http, NULL) == RAFS_OK);
}

static void stop(void)
{
    rafs_http_free(http);
}

static const struct bucket_kind s3 = {.name = "S3",
                                      .default_region = "us-east-1",
                                      .default_endpoint = "https://s3.",
                                      .path_elsewhere = true};
static const struct bucket_kind oss = {.name = "OSS"};

static const struct {
    const struct bucket_kind *kind;
    uint32_t flags;
    const char *bucket, *prefix, *endpoint, *region;
    const char *base, *host; /* NULL: refused */
} places[] = {
    {&s3, 0, "data", NULL, NULL, NULL, "https://data.s3.us-east-1.amazonaws.com/",
     "data.s3.us-east-1.amazonaws.com"},
    {&s3, 0, "data", "a b/+", NULL, "eu-west-1",
     "https://data.s3.eu-west-1.amazonaws.com/a%20b/%2B",
     "data.s3.eu-west-1.amazonaws.com"},
    {&s3, 0, "data", "", "", "cn-north-1", "https://data.s3.cn-north-1.amazonaws.com.cn/",
     "data.s3.cn-north-1.amazonaws.com.cn"},
    {&s3, 0, "my.data", "p/", NULL, NULL, "https://s3.us-east-1.amazonaws.com/my.data/p/",
     "s3.us-east-1.amazonaws.com"},
    {&s3, RAFS_BUCKET_PATH_STYLE, "data", NULL, NULL, NULL,
     "https://s3.us-east-1.amazonaws.com/data/", "s3.us-east-1.amazonaws.com"},
    {&s3, 0, "data", "p", "http://Store.Example:9000", NULL,
     "http://store.example:9000/data/p", "store.example:9000"},
    {&s3, RAFS_BUCKET_VIRTUAL_HOST, "data", "p", "store.example:443/", NULL,
     "https://data.store.example/p", "data.store.example"},
    {&s3, 0, "data", NULL, "http://[::1]:80", NULL, "http://[::1]/data/", "[::1]"},
    {&oss, 0, "data", "n/", "oss-cn-x.example", NULL, "https://data.oss-cn-x.example/n/",
     "data.oss-cn-x.example"},
    {&oss, 0, "data", "n/", "http://127.0.0.1:8080", NULL,
     "http://127.0.0.1:8080/data/n/", "127.0.0.1:8080"},
    {&oss, 0, "data", NULL, NULL, NULL, NULL, NULL},
    {&s3, 0, NULL, NULL, NULL, NULL, NULL, NULL},
    {&s3, 0, "a/b", NULL, NULL, NULL, NULL, NULL},
    {&s3, 0, "a..b", NULL, NULL, NULL, NULL, NULL},
    {&s3, 0, "a@b", NULL, NULL, NULL, NULL, NULL},
    {&s3, 0, "data", "a/../b", NULL, NULL, NULL, NULL},
    {&s3, 0, "data", ".", NULL, NULL, NULL, NULL},
    {&s3, 0, "data", NULL, "ftp://host", NULL, NULL, NULL},
    {&s3, 0, "data", NULL, "http://host/path", NULL, NULL, NULL},
    {&s3, 0, "data", NULL, "http://user:word@host", NULL, NULL, NULL},
    {&s3, 0, "data", NULL, "http://host?x", NULL, NULL, NULL},
    {&s3, 0, "data", NULL, NULL, "eu west", NULL, NULL},
    {&s3, 3, "data", NULL, NULL, NULL, NULL, NULL},
    {&s3, 4, "data", NULL, NULL, NULL, NULL, NULL},
};

START_TEST(a_bucket_is_where_its_options_say_or_nowhere)
{
    rafs_bucket_options options = RAFS_BUCKET_OPTIONS_INIT;
    struct bucket bucket = {.kind = places[_i].kind};
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    NEED(rafsi_env_take(NULL, &bucket.env, NULL) == RAFS_OK);
    options.flags = places[_i].flags;
    options.bucket = places[_i].bucket;
    options.prefix = places[_i].prefix;
    options.endpoint = places[_i].endpoint;
    options.region = places[_i].region;
    rc = rafsi_bucket_place(&bucket, &options, &err);
    if (!places[_i].base) {
        ck_assert_msg(rc == RAFS_E_BADARG || rc == RAFS_E_UNSUPPORTED, "row %d: %d", _i,
                      rc);
        ck_assert(err.text[0] && !strstr(err.text, "word"));
        return;
    }
    ck_assert_msg(rc == RAFS_OK, "row %d: %s", _i, err.text);
    ck_assert_str_eq(bucket.base, places[_i].base);
    ck_assert_str_eq(bucket.host, places[_i].host);
    rafsi_free(&bucket.env, bucket.base);
}
END_TEST

static const struct {
    const char *id, *secret, *token;
    int rc;
} keys[] = {
    {"id", "hunter22", "", RAFS_OK},
    {"id", "hun ter22/+", "token", RAFS_OK},
    {"", "", "", RAFS_OK},
    {"id", "", "", RAFS_E_BADARG},
    {"", "hunter22", "", RAFS_E_BADARG},
    {"", "", "token", RAFS_E_BADARG},
    {"id\r\nX: y", "hunter22", "", RAFS_E_BADARG},
    {"id", "hun\nter22", "", RAFS_E_BADARG},
    {"id", "hunter22", "tok\ten", RAFS_E_BADARG},
};

START_TEST(keys_that_cannot_be_in_a_header_are_refused_and_not_told)
{
    rafs_bucket_options options = RAFS_BUCKET_OPTIONS_INIT;
    rafs_bucket_key key = RAFS_BUCKET_KEY_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend *backend = NULL;
    int rc;

    strcpy(key.id, keys[_i].id);
    strcpy(key.secret, keys[_i].secret);
    strcpy(key.session_token, keys[_i].token);
    options.bucket = "data";
    options.key = &key;
    rc = rafs_backend_new_s3(http, &options, &backend, &err);
    ck_assert_int_eq(rc, keys[_i].rc);
    ck_assert(!strstr(err.text, "hun"));
    rafs_backend_free(backend);
}
END_TEST

static void count_release(void *user)
{
    ++*(int *)user;
}

START_TEST(release_is_called_once_and_only_for_what_was_taken)
{
    rafs_bucket_options options = RAFS_BUCKET_OPTIONS_INIT;
    rafs_bucket_keys source = RAFS_BUCKET_KEYS_INIT;
    rafs_backend *backend = NULL;
    int released = 0;

    source.user = &released;
    source.release = count_release;
    options.keys = &source;
    ck_assert_int_eq(rafs_backend_new_s3(http, &options, &backend, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(released, 0);
    options.bucket = "data";
    ck_assert_int_eq(rafs_backend_new_oss(http, &options, &backend, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(released, 0);
    ck_assert_int_eq(rafs_backend_new_s3(http, &options, &backend, NULL), RAFS_OK);
    ck_assert_int_eq(released, 0);
    rafs_backend_free(backend);
    ck_assert_int_eq(released, 1);
    ck_assert_int_eq(rafs_backend_new_s3(NULL, &options, &backend, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_backend_new_s3(http, NULL, &backend, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_backend_new_s3(http, &options, NULL, NULL), RAFS_E_BADARG);
}
END_TEST

START_TEST(a_lack_of_memory_is_reported_and_leaves_nothing)
{
    rafs_http_options http_options = RAFS_HTTP_OPTIONS_INIT;
    rafs_bucket_options options = RAFS_BUCKET_OPTIONS_INIT;
    rafs_bucket_key key = RAFS_BUCKET_KEY_INIT;
    struct watch watch;
    rafs_http *own = NULL;
    size_t before;
    bool done = false;

    watch_init(&watch);
    http_options.env = &watch.env;
    ck_assert_int_eq(rafs_http_new(&http_options, &own, NULL), RAFS_OK);
    before = watch.live;
    options.bucket = "data";
    options.key = &key;
    for (size_t n = 0; !done; n++) {
        rafs_backend *backend = NULL;
        int rc;

        watch_fail_at(&watch, n);
        rc = rafs_backend_new_s3(own, &options, &backend, NULL);
        done = !watch.failed;
        ck_assert_int_eq(rc, done ? RAFS_OK : RAFS_E_NOMEM);
        rafs_backend_free(backend);
        ck_assert_uint_eq(watch.live, before);
    }
    rafs_http_free(own);
}
END_TEST

#define TOKEN "IQoJb3JpZ2luX2VjEJrSESSIONTOKEN0123456789"

static const struct {
    const char *body, *code, *message;
} bodies[] = {
    {"<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>The key is "
     "not there.</Message><Key>x</Key></Error>",
     "NoSuchKey", "The key is not there."},
    {"", "", ""},
    {"<html>502</html>", "", ""},
    {"<Code>Unended", "", ""},
    {"<Code></Code><Message>\x1b[2J\r\n\xff</Message>", "", "?[2J???"},
    {"<Code>A</Code><Message>you sent " TOKEN "</Message>", "A", ""},
    {"<Code>A</Code><Message>OKEN0123456789 and so on</Message>", "A", ""},
    {"<Code>b3JpZ2luX2VjEJ</Code><Message>m</Message>", "", "m"},
    {"<Code>A</Code><Message>a secret: wJalrXUtnFEMI0K7MDENG</Message>", "A", ""},
};

START_TEST(of_an_error_what_is_no_secret_is_told)
{
    rafs_bucket_key key = RAFS_BUCKET_KEY_INIT;
    struct bucket_error error;
    char *body = strdup(bodies[_i].body); /* exactly as long as it is */

    strcpy(key.id, "AKIAIOSFODNN7EXAMPLE");
    strcpy(key.secret, "wJalrXUtnFEMI0K7MDENG0bPxRfiCYEXAMPLEKEY");
    strcpy(key.session_token, TOKEN);
    rafsi_bucket_error_parse(body, &key, &error);
    ck_assert_str_eq(error.code, bodies[_i].code);
    ck_assert_str_eq(error.message, bodies[_i].message);
    free(body);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bucket");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, start, stop);
    tcase_add_loop_test(tcase, a_bucket_is_where_its_options_say_or_nowhere, 0,
                        COUNT(places));
    tcase_add_loop_test(tcase, keys_that_cannot_be_in_a_header_are_refused_and_not_told,
                        0, COUNT(keys));
    tcase_add_test(tcase, release_is_called_once_and_only_for_what_was_taken);
    tcase_add_test(tcase, a_lack_of_memory_is_reported_and_leaves_nothing);
    tcase_add_loop_test(tcase, of_an_error_what_is_no_secret_is_told, 0, COUNT(bodies));
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
