/* SPDX-License-Identifier: Apache-2.0 */
/* A server that ignores ranges is asked for a blob once, as long as readers go forward.
 */
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/backend.h"
#include "golden.h"
#include "rafs/http.h"

enum { BLOB = 20 << 20, READ = 100000, THREADS = 8 };

static struct {
    int listener;
    unsigned port;
    pthread_t thread;
    atomic_uint requests;
    atomic_uint_least64_t sent;
    atomic_uint_least64_t cut_at; /* each answer ends there; 0: at its end */
    atomic_bool forbidden;        /* answer 403 */
} server;

static rafs_http *http;
static rafs_backend *backend;
static struct rafsi_blob_handle handle;

/* Byte n of the blob. */
static uint8_t byte_at(uint64_t n)
{
    return (uint8_t)((n * 2654435761u) >> 13 ^ n >> 7);
}

static void send_all(int fd, const char *from, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, from, len, MSG_NOSIGNAL);

        if (sent <= 0)
            return;
        from += sent;
        len -= (size_t)sent;
    }
}

static void send_blob(int fd)
{
    uint64_t end = atomic_load(&server.cut_at) ? atomic_load(&server.cut_at) : BLOB;
    static _Thread_local uint8_t piece[65536];
    ssize_t sent = 1;

    for (uint64_t at = 0; at < end && sent > 0; at += (uint64_t)sent) {
        size_t len = (size_t)(end - at < sizeof(piece) ? end - at : sizeof(piece));

        for (size_t i = 0; i < len; i++)
            piece[i] = byte_at(at + i);
        sent = send(fd, piece, len, MSG_NOSIGNAL);
        if (sent > 0)
            atomic_fetch_add(&server.sent, (uint64_t)sent);
    }
}

static void *serve(void *user)
{
    int fd = (int)(intptr_t)user;
    char request[4096];
    size_t len = 0;
    ssize_t got;

    while ((got = recv(fd, request + len, sizeof(request) - 1 - len, 0)) > 0) {
        char head[100];

        len += (size_t)got;
        request[len] = '\0';
        if (!strstr(request, "\r\n\r\n"))
            continue;
        atomic_fetch_add(&server.requests, 1);
        snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n",
                 atomic_load(&server.forbidden) ? "403 no" : "200 all of it",
                 atomic_load(&server.forbidden) ? 0 : BLOB);
        send_all(fd, head, strlen(head));
        if (!atomic_load(&server.forbidden))
            send_blob(fd);
        break;
    }
    shutdown(fd, SHUT_WR);
    while (recv(fd, request, sizeof(request), 0) > 0)
        ;
    close(fd);
    return NULL;
}

static void *accept_all(void *unused)
{
    (void)unused;
    for (;;) {
        int fd = accept(server.listener, NULL, NULL);
        pthread_t thread;

        if (fd < 0)
            return NULL;
        NEED(pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0);
        pthread_detach(thread);
    }
}

static void set_up(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    rafs_http_options options = RAFS_HTTP_OPTIONS_INIT;
    socklen_t len = sizeof(at);
    char url[64];

    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    NEED(bind(server.listener, (struct sockaddr *)&at, sizeof(at)) == 0);
    NEED(listen(server.listener, 100) == 0);
    NEED(getsockname(server.listener, (struct sockaddr *)&at, &len) == 0);
    NEED(pthread_create(&server.thread, NULL, accept_all, NULL) == 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/x", ntohs(at.sin_port));
    options.retry_ms = 20000;
    NEED(rafs_http_new(&options, &http, NULL) == RAFS_OK);
    NEED(rafs_backend_new_http(http, url, &backend, NULL) == RAFS_OK);
    NEED(rafsi_backend_open(backend, "blob", NULL, &handle, NULL) == RAFS_OK);
    atomic_store(&server.cut_at, 0);
    atomic_store(&server.forbidden, false);
}

static void tear_down(void)
{
    rafsi_backend_close(&handle);
    rafs_backend_free(backend);
    rafs_http_free(http);
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
}

static int read_at(uint64_t offset, size_t len, const rafs_call *call, rafs_error *err)
{
    uint8_t *buf = malloc(len);
    uint64_t requests = 0;
    int rc;

    NEED(buf);
    rc = rafsi_backend_read(&handle, "blob", offset, buf, len, call, &requests, err);
    for (size_t i = 0; rc == RAFS_OK && i < len; i++)
        NEED(buf[i] == byte_at(offset + i));
    free(buf);
    return rc;
}

/* The first answer shows that ranges are ignored; after that there is one stream. */
static void learn(void)
{
    ck_assert_int_eq(read_at(0, READ, NULL, NULL), RAFS_OK);
    atomic_store(&server.requests, 0);
    atomic_store(&server.sent, 0);
}

START_TEST(forward_reads_cost_one_answer)
{
    learn();
    for (uint64_t at = READ; at + READ <= BLOB; at += 3 * READ)
        ck_assert_int_eq(read_at(at, READ, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(read_at(BLOB - 10, 10, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(atomic_load(&server.requests), 1);
    ck_assert(atomic_load(&server.sent) <=
              BLOB + (4 << 20)); /* and what was on its way */
}
END_TEST

START_TEST(what_passed_a_moment_ago_is_still_there)
{
    learn();
    ck_assert_int_eq(read_at(8 << 20, READ, NULL, NULL), RAFS_OK);
    for (uint64_t back = READ; back < (3 << 20); back += READ)
        ck_assert_int_eq(read_at((8u << 20) - back, READ, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(atomic_load(&server.requests), 1);
}
END_TEST

START_TEST(what_passed_long_ago_begins_again)
{
    learn();
    ck_assert_int_eq(read_at(15 << 20, READ, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(read_at(5 << 20, READ, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(atomic_load(&server.requests), 2);
    ck_assert_int_eq(read_at(0, 12 << 20, NULL, NULL), RAFS_OK); /* more than is kept */
}
END_TEST

static atomic_uint place;

static void *wander(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 12; i++) {
        uint64_t at = (uint64_t)atomic_fetch_add(&place, 1) * 7919 * 997 % (BLOB - READ);

        NEED(read_at(at, READ, NULL, NULL) == RAFS_OK);
    }
    return NULL;
}

START_TEST(many_readers_everywhere_all_get_their_bytes)
{
    pthread_t threads[THREADS];

    learn();
    for (unsigned i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, wander, NULL) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    /* Not one for each of them. */
    ck_assert_uint_lt(atomic_load(&server.requests), THREADS * 12);
}
END_TEST

START_TEST(stream_that_breaks_goes_on)
{
    learn();
    atomic_store(&server.cut_at, 7 << 20);
    ck_assert_int_eq(read_at(6 << 20, READ, NULL, NULL), RAFS_OK);
    atomic_store(&server.cut_at, 0);
    ck_assert_int_eq(read_at((7 << 20) - 50, READ, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(read_at(19 << 20, READ, NULL, NULL), RAFS_OK);
}
END_TEST

START_TEST(end_deadline_and_refusal_are_reported)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_call call;

    learn();
    /* Past the end there is nothing. */
    ck_assert_int_eq(read_at(BLOB - 10, 20, NULL, &err), RAFS_E_BACKEND);
    ck_assert_int_eq(read_at(BLOB + 10, 20, NULL, &err), RAFS_E_BACKEND);
    atomic_store(&server.forbidden, true);
    ck_assert_int_eq(read_at(1, 20, NULL, &err), RAFS_E_BACKEND);
    ck_assert_ptr_nonnull(strstr(err.text, "403"));
    atomic_store(&server.forbidden, false);
    atomic_store(&server.cut_at, 1); /* it never comes any further */
    rafs_call_init(&call, NULL, 300, NULL);
    ck_assert_int_eq(read_at(100, 20, &call, &err), RAFS_E_TIMEOUT);
    atomic_store(&server.cut_at, 0);
    ck_assert_int_eq(read_at(100, 20, NULL, NULL), RAFS_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("whole");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, forward_reads_cost_one_answer);
    tcase_add_test(tcase, what_passed_a_moment_ago_is_still_there);
    tcase_add_test(tcase, what_passed_long_ago_begins_again);
    tcase_add_test(tcase, many_readers_everywhere_all_get_their_bytes);
    tcase_add_test(tcase, stream_that_breaks_goes_on);
    tcase_add_test(tcase, end_deadline_and_refusal_are_reported);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
