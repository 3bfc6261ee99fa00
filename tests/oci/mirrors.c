/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of mirrors before any of them is asked. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "rafs/rafs.h"

static const struct {
    const char *reference, *host;
} hosts[] = {
    {"docker://alpine", "docker.io"},
    {"library/alpine:3", "docker.io"},
    {"docker.io/library/alpine", "docker.io"},
    {"index.docker.io/library/alpine", "docker.io"},
    {"registry.example/a/b:c", "registry.example"},
    {"docker://registry.example:5000/a", "registry.example:5000"},
    {"localhost/a", "localhost"},
};

START_TEST(the_registry_of_a_reference)
{
    char host[256] = "";

    ck_assert_int_eq(rafs_registry_host(hosts[_i].reference, host, sizeof(host), NULL),
                     RAFS_OK);
    ck_assert_str_eq(host, hosts[_i].host);
}
END_TEST

START_TEST(no_host_without_a_reference_or_room)
{
    char host[4] = "abc";

    ck_assert_int_eq(rafs_registry_host("A B", host, sizeof(host), NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_registry_host("alpine", host, sizeof(host), NULL),
                     RAFS_E_RANGE);
    ck_assert_int_eq(rafs_registry_host(NULL, host, sizeof(host), NULL), RAFS_E_BADARG);
    ck_assert_str_eq(host, "abc");
}
END_TEST

static const struct {
    const char *url;
    uint32_t flags;
    int code;
} mirrors[] = {
    {"http://mirror.example", 0, RAFS_OK},
    {"https://mirror.example:5000/some/path/", RAFS_MIRROR_OVERRIDE_PATH, RAFS_OK},
    {"https://[::1]:5000/v2", RAFS_MIRROR_PULL, RAFS_OK},
    {NULL, 0, RAFS_E_BADARG},
    {"mirror.example", 0, RAFS_E_BADARG},
    {"ftp://mirror.example", 0, RAFS_E_BADARG},
    {"http://eve:secret@mirror.example", 0, RAFS_E_BADARG},
    {"http://mirror.example/?a", 0, RAFS_E_BADARG},
    {"http://mirror.example/#a", 0, RAFS_E_BADARG},
    {"http://mirror.example/a b", 0, RAFS_E_BADARG},
    {"http://mirror.example", 0x80, RAFS_E_UNSUPPORTED},
};

static int released;

static void release(void *user)
{
    (void)user;
    released++;
}

static int get(void *user, const char *host, const char *repo, uint32_t attempt,
               rafs_credential *out, const rafs_call *call, rafs_error *err)
{
    (void)user;
    (void)host;
    (void)repo;
    (void)attempt;
    (void)out;
    (void)call;
    (void)err;
    return RAFS_OK;
}

START_TEST(urls_of_mirrors)
{
    rafs_credentials_source source = RAFS_CREDENTIALS_SOURCE_INIT;
    rafs_registry_options options = RAFS_REGISTRY_OPTIONS_INIT;
    rafs_registry_mirror mirror = RAFS_REGISTRY_MIRROR_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend *backend = NULL;
    rafs_http *http = NULL;

    ck_assert_int_eq(rafs_http_new(NULL, &http, NULL), RAFS_OK);
    source.get = get;
    source.release = release;
    options.credentials = &source;
    mirror.url = mirrors[_i].url;
    mirror.flags = mirrors[_i].flags;
    released = 0;
    ck_assert_int_eq(rafs_backend_new_mirror(http, "registry.example/a/b", &mirror,
                                             &options, &backend, &err),
                     mirrors[_i].code);
    ck_assert_ptr_null(strstr(err.text, "secret"));
    ck_assert_int_eq(backend != NULL, mirrors[_i].code == RAFS_OK);
    ck_assert_int_eq(released, 0);
    rafs_backend_free(backend);
    ck_assert_int_eq(released, mirrors[_i].code == RAFS_OK);
    rafs_http_free(http);
}
END_TEST

START_TEST(a_backend_is_one_source)
{
    rafs_registry_options options = RAFS_REGISTRY_OPTIONS_INIT;
    rafs_registry_mirror mirror = RAFS_REGISTRY_MIRROR_INIT;
    const rafs_registry_mirror *list[] = {&mirror, &mirror};
    rafs_backend *backend = NULL;
    rafs_image *image = NULL;
    rafs_http *http = NULL;

    ck_assert_int_eq(rafs_http_new(NULL, &http, NULL), RAFS_OK);
    mirror.url = "http://127.0.0.1:1";
    mirror.flags = RAFS_MIRROR_SERVER;
    options.mirrors = list;
    options.mirror_count = 1;
    ck_assert_int_eq(
        rafs_backend_new_registry(http, "registry.example/a", &options, &backend, NULL),
        RAFS_E_BADARG);
    /* Only the last can stand for the registry. */
    options.mirror_count = 2;
    ck_assert_int_eq(rafs_image_open_registry(http, "registry.example/a", &options, NULL,
                                              &image, NULL, NULL),
                     RAFS_E_BADARG);
    options.mirror_count = RAFS_MIRRORS_MAX + 1;
    ck_assert_int_eq(rafs_image_open_registry(http, "registry.example/a", &options, NULL,
                                              &image, NULL, NULL),
                     RAFS_E_BADARG);
    options.mirrors = NULL;
    options.mirror_count = 1;
    ck_assert_int_eq(rafs_image_open_registry(http, "registry.example/a", &options, NULL,
                                              &image, NULL, NULL),
                     RAFS_E_BADARG);
    rafs_http_free(http);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mirrors");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, the_registry_of_a_reference, 0,
                        sizeof(hosts) / sizeof(hosts[0]));
    tcase_add_test(tcase, no_host_without_a_reference_or_room);
    tcase_add_loop_test(tcase, urls_of_mirrors, 0, sizeof(mirrors) / sizeof(mirrors[0]));
    tcase_add_test(tcase, a_backend_is_one_source);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
