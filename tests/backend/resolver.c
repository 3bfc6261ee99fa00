/* SPDX-License-Identifier: Apache-2.0 */
/* Deadline and cancel token hold while a name is looked up, and while TLS is agreed on.
 */
#include <check.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "backend/http.h"
#include "golden.h"

/* libcurl's, too: a program's functions come before those of its libraries. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t go = PTHREAD_COND_INITIALIZER;
static bool may_go;
static unsigned lookups;
static struct sockaddr_in link_local = {.sin_family = AF_INET};

__attribute__((visibility("default"))) int getaddrinfo(const char *node,
                                                       const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **out)
{
    static struct addrinfo made;

    (void)service, (void)hints;
    pthread_mutex_lock(&lock);
    lookups++;
    pthread_cond_broadcast(&go);
    while (!may_go && strcmp(node, "evil.example") != 0)
        pthread_cond_wait(&go, &lock);
    pthread_mutex_unlock(&lock);
    if (strcmp(node, "evil.example") != 0)
        return EAI_FAIL;
    link_local.sin_addr.s_addr = htonl(0xa9fea9fe);
    made = (struct addrinfo){.ai_family = AF_INET,
                             .ai_socktype = SOCK_STREAM,
                             .ai_addrlen = sizeof(link_local),
                             .ai_addr = (struct sockaddr *)&link_local};
    *out = &made;
    return 0;
}

__attribute__((visibility("default"))) void freeaddrinfo(struct addrinfo *unused)
{
    (void)unused;
}

static double seconds(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int ask(const char *url, bool guarded, const rafs_call *call, rafs_error *err)
{
    rafs_http_options options = RAFS_HTTP_OPTIONS_INIT;
    struct http_answer answer;
    uint8_t buf[10];
    struct http_request request = {
        .url = url, .buf = buf, .len = sizeof(buf), .guarded = guarded};
    rafs_http *http;
    int rc;

    options.connect_timeout_ms = 300000;
    NEED(rafs_http_new(&options, &http, NULL) == RAFS_OK);
    rc = rafsi_http_do(http, &request, call, &answer, err);
    if (rc == RAFS_OK)
        rafsi_http_drop(http, &answer);
    rafs_http_free(http);
    return rc;
}

static void *fire(void *token)
{
    usleep(200000);
    rafs_cancel_fire(token);
    return NULL;
}

/* Both ways of giving up, at a URL that never answers. */
static void gives_up(const char *url)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_cancel *token;
    double began = seconds();
    pthread_t thread;
    rafs_call call;

    rafs_call_init(&call, NULL, 300, NULL);
    ck_assert_int_eq(ask(url, false, &call, &err), RAFS_E_TIMEOUT);
    NEED(rafs_cancel_new(&token, NULL) == RAFS_OK);
    NEED(pthread_create(&thread, NULL, fire, token) == 0);
    rafs_call_init(&call, NULL, 0, token);
    ck_assert_int_eq(ask(url, false, &call, &err), RAFS_E_CANCELLED);
    pthread_join(thread, NULL);
    rafs_cancel_free(token);
    ck_assert_msg(seconds() - began < 30, "it took %f s", seconds() - began);
}

START_TEST(lookup_that_never_ends)
{
    gives_up("http://name.example/x");
    pthread_mutex_lock(&lock);
    ck_assert_uint_ge(lookups, 1);
    may_go = true; /* else its thread would be there when the program ends */
    pthread_cond_broadcast(&go);
    pthread_mutex_unlock(&lock);
}
END_TEST

START_TEST(server_that_is_silent)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof(at);
    char url[64];

    NEED(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0);
    NEED(listen(listener, 16) == 0);
    NEED(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    /* The kernel makes the connection; nobody reads what comes. */
    snprintf(url, sizeof(url), "%s://127.0.0.1:%u/x", _i ? "https" : "http",
             ntohs(at.sin_port));
    gives_up(url);
    close(listener);
}
END_TEST

START_TEST(name_that_leads_to_a_link_local_address)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_call call;

    rafs_call_init(&call, NULL, 20000, NULL);
    ck_assert_int_eq(ask("http://evil.example/x", true, &call, &err), RAFS_E_BACKEND);
    ck_assert_ptr_nonnull(strstr(err.text, "link-local"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resolver");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, lookup_that_never_ends);
    tcase_add_loop_test(tcase, server_that_is_silent, 0, 2);
    tcase_add_test(tcase, name_that_leads_to_a_link_local_address);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
