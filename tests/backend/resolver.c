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
static struct sockaddr_in address = {.sin_family = AF_INET};
static unsigned bad_lookups; /* of flap.example, before there is a good one */
static unsigned flap_port;

__attribute__((visibility("default"))) int getaddrinfo(const char *node,
                                                       const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **out)
{
    static struct addrinfo made;
    bool flaps, bad;

    (void)service, (void)hints;
    pthread_mutex_lock(&lock);
    lookups++;
    pthread_cond_broadcast(&go);
    while (!may_go && strcmp(node, "name.example") == 0)
        pthread_cond_wait(&go, &lock);
    flaps = strncmp(node, "flap", 4) == 0;
    bad = flaps && bad_lookups > 0;
    bad_lookups -= bad;
    pthread_mutex_unlock(&lock);
    if (bad || (!flaps && strcmp(node, "evil.example") != 0))
        return EAI_AGAIN;
    address.sin_addr.s_addr = htonl(flaps ? INADDR_LOOPBACK : 0xa9fea9fe);
    address.sin_port = htons((uint16_t)(flaps ? flap_port : 80));
    made = (struct addrinfo){.ai_family = AF_INET,
                             .ai_socktype = SOCK_STREAM,
                             .ai_addrlen = sizeof(address),
                             .ai_addr = (struct sockaddr *)&address};
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

static rafs_http *new_http(void)
{
    rafs_http_options options = RAFS_HTTP_OPTIONS_INIT;
    rafs_http *http;

    options.connect_timeout_ms = 300000;
    NEED(rafs_http_new(&options, &http, NULL) == RAFS_OK);
    return http;
}

static int ask_by(rafs_http *http, const char *url, bool guarded, const rafs_call *call,
                  rafs_error *err)
{
    struct http_answer answer;
    uint8_t buf[10];
    struct http_request request = {
        .url = url, .buf = buf, .len = sizeof(buf), .guarded = guarded};
    int rc = rafsi_http_do(http, &request, call, &answer, err);

    if (rc == RAFS_OK)
        rafsi_http_drop(http, &answer);
    return rc;
}

static int ask(const char *url, bool guarded, const rafs_call *call, rafs_error *err)
{
    rafs_http *http = new_http();
    int rc = ask_by(http, url, guarded, call, err);

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

START_TEST(name_that_leads_to_a_address_address)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_call call;

    rafs_call_init(&call, NULL, 20000, NULL);
    ck_assert_int_eq(ask("http://evil.example/x", true, &call, &err), RAFS_E_BACKEND);
    ck_assert_ptr_nonnull(strstr(err.text, "link-local"));
}
END_TEST

/* Answers each connection, and ends it. */
static void *answer_all(void *user)
{
    static const char text[] = "HTTP/1.1 200 x\r\nContent-Length: 0\r\n"
                               "Connection: close\r\n\r\n";
    int listener = (int)(intptr_t)user;
    char waste[4096];
    int fd;

    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        NEED(recv(fd, waste, sizeof(waste), 0) > 0);
        NEED(send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL) > 0);
        shutdown(fd, SHUT_WR);
        while (recv(fd, waste, sizeof(waste), 0) > 0)
            ;
        close(fd);
    }
    return NULL;
}

START_TEST(lookups_that_fail_for_a_while)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    rafs_error err = RAFS_ERROR_INIT;
    socklen_t len = sizeof(at);
    rafs_http *http = new_http();
    pthread_t thread;
    rafs_call call;
    char url[64];

    NEED(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0);
    NEED(listen(listener, 16) == 0);
    NEED(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    NEED(pthread_create(&thread, NULL, answer_all, (void *)(intptr_t)listener) == 0);
    flap_port = ntohs(at.sin_port);
    rafs_call_init(&call, NULL, 60000, NULL);
    /* A name that never worked is given up soon ... */
    bad_lookups = 1000;
    snprintf(url, sizeof(url), "http://flap1.example:%u/x", flap_port);
    ck_assert_int_eq(ask_by(http, url, false, &call, &err), RAFS_E_BACKEND);
    ck_assert_uint_lt(1000 - bad_lookups, 10);
    bad_lookups = 0;
    snprintf(url, sizeof(url), "http://flap2.example:%u/x", flap_port);
    ck_assert_int_eq(ask_by(http, url, false, &call, &err), RAFS_OK);
    /* ... but once something did, it is the network that has to come back. */
    bad_lookups = 6;
    snprintf(url, sizeof(url), "http://flap3.example:%u/x", flap_port);
    ck_assert_msg(ask_by(http, url, false, &call, &err) == RAFS_OK, "%s", err.text);
    ck_assert_uint_eq(bad_lookups, 0);
    rafs_http_free(http);
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
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
    tcase_add_test(tcase, lookups_that_fail_for_a_while);
    tcase_add_test(tcase, name_that_leads_to_a_address_address);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
