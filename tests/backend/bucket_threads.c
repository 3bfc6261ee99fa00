/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of a bucket that come from a callback: asked for once at the start and once when
 * the store says that they are over, whoever reads; and no lack of memory on the way of a
 * request leaves anything behind. The store is a thread here.
 */
#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/backend.h"
#include "golden.h"
#include "rafs/rafs.h"
#include "watch.h"

enum { THREADS = 8, READS = 25, BLOB_BYTES = 4096 };

#define SECRET "S3CR3T-half-of-the-key"
#define TOKEN "T0K3N-that-goes-with-it"
#define OLD "OLDKEY"
#define NEW "NEWKEY"

struct store {
    int fd;
    unsigned port;
    pthread_t thread;
    const char *_Atomic accepted; /* the key that lets in */
    atomic_uint refused;
    atomic_bool echoes; /* fails, and repeats what it was told */
};

/* Busy twice, then no; with all that came in the message. */
static void echo(struct store *store, int fd, const char *request)
{
    const char *status = atomic_fetch_add(&store->refused, 1) < 2 ? "503 Busy" : "403 No";
    char answer[17000];
    int len = snprintf(answer, sizeof(answer),
                       "HTTP/1.1 %s\r\nConnection: close\r\n\r\n"
                       "<Error><Message>%s</Message><Code>" TOKEN "</Code></Error>",
                       status, strstr(request, TOKEN));

    NEED(write(fd, answer, (size_t)len) > 0);
}

/* One request for each connection: simple, and libcurl asks anew. */
static void serve_one(struct store *store, int fd)
{
    static const char denied[] =
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 75\r\n\r\n"
        "<Error><Code>ExpiredToken</Code><Message>the token is over</Message></Error>";
    char request[16384], answer[256], body[BLOB_BYTES], wanted[64];
    unsigned first = 0, last = 0;
    size_t used = 0;
    const char *range;

    do {
        ssize_t n = read(fd, request + used, sizeof(request) - 1 - used);

        if (n <= 0)
            return;
        used += (size_t)n;
        request[used] = '\0';
    } while (!strstr(request, "\r\n\r\n"));
    if (store->echoes) {
        echo(store, fd, request);
        return;
    }
    snprintf(wanted, sizeof(wanted), "Credential=%s/", store->accepted);
    range = strstr(request, "Range: bytes=");
    if (!strstr(request, wanted) || !range ||
        sscanf(range, "Range: bytes=%u-%u", &first, &last) != 2 || last >= BLOB_BYTES) {
        atomic_fetch_add(&store->refused, 1);
        NEED(write(fd, denied, sizeof(denied) - 1) > 0);
        return;
    }
    memset(body, 'x', sizeof(body));
    used = (size_t)snprintf(answer, sizeof(answer),
                            "HTTP/1.1 206 Partial Content\r\nConnection: close\r\n"
                            "Content-Range: bytes %u-%u/%d\r\nContent-Length: %u\r\n\r\n",
                            first, last, BLOB_BYTES, last - first + 1);
    if (write(fd, answer, used) < 0 || write(fd, body, last - first + 1) < 0)
        return;
}

static void *serve(void *arg)
{
    struct store *store = arg;

    for (;;) {
        int fd = accept(store->fd, NULL, NULL);

        if (fd < 0)
            return NULL;
        serve_one(store, fd);
        close(fd);
    }
}

static void store_start(struct store *store)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);

    atomic_init(&store->accepted, OLD);
    atomic_init(&store->refused, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    store->fd = socket(AF_INET, SOCK_STREAM, 0);
    NEED(store->fd >= 0 && bind(store->fd, (struct sockaddr *)&address, len) == 0);
    NEED(listen(store->fd, 64) == 0);
    NEED(getsockname(store->fd, (struct sockaddr *)&address, &len) == 0);
    store->port = ntohs(address.sin_port);
    NEED(pthread_create(&store->thread, NULL, serve, store) == 0);
}

static void store_stop(struct store *store)
{
    shutdown(store->fd, SHUT_RDWR);
    pthread_join(store->thread, NULL);
    close(store->fd);
}

struct asked {
    atomic_uint first, again, released;
};

static int give_key(void *user, const char *bucket, uint32_t attempt,
                    rafs_bucket_key *out, const rafs_call *call, rafs_error *err)
{
    struct asked *asked = user;

    (void)call;
    (void)err;
    NEED(strcmp(bucket, "data") == 0 && out->id[0] == '\0');
    atomic_fetch_add(attempt == 0 ? &asked->first : &asked->again, 1);
    strcpy(out->id, attempt == 0 ? OLD : NEW);
    strcpy(out->secret, SECRET);
    strcpy(out->session_token, TOKEN);
    return RAFS_OK;
}

static void release(void *user)
{
    atomic_fetch_add(&((struct asked *)user)->released, 1);
}

static int make_backend(rafs_http *http, const struct store *store, struct asked *asked,
                        rafs_backend **out, rafs_error *err)
{
    rafs_bucket_options options = RAFS_BUCKET_OPTIONS_INIT;
    rafs_bucket_keys keys = RAFS_BUCKET_KEYS_INIT;
    char endpoint[64];

    keys.get = give_key;
    keys.release = release;
    keys.user = asked;
    snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%u", store->port);
    options.bucket = "data";
    options.endpoint = endpoint;
    options.keys = &keys;
    return rafs_backend_new_s3(http, &options, out, err);
}

static int read_some(rafs_backend *backend, uint64_t offset, rafs_error *err)
{
    struct rafsi_blob_handle handle = {NULL, NULL};
    rafs_call call = RAFS_CALL_INIT;
    uint64_t requests = 0;
    char buf[100];
    int rc = rafsi_backend_open(backend, "blob", &call, &handle, err);

    memset(buf, 0, sizeof(buf));
    if (rc == RAFS_OK)
        rc = rafsi_backend_read(&handle, "blob", offset, buf, sizeof(buf), &call,
                                &requests, err);
    for (size_t i = 0; rc == RAFS_OK && i < sizeof(buf); i++)
        NEED(buf[i] == 'x');
    rafsi_backend_close(&handle);
    return rc;
}

static void *reader(void *arg)
{
    for (unsigned i = 0; i < READS; i++) {
        rafs_error err = RAFS_ERROR_INIT;
        int rc = read_some(arg, i * 100, &err);

        if (rc != RAFS_OK)
            fprintf(stderr, "%s: %s\n", err.object, err.text);
        NEED(rc == RAFS_OK);
    }
    return NULL;
}

START_TEST(keys_that_are_over_are_asked_for_again_by_whoever_reads)
{
    struct store store = {0};
    struct asked asked = {0};
    pthread_t threads[THREADS];
    rafs_backend *backend = NULL;
    rafs_http *http = NULL;

    store_start(&store);
    ck_assert_int_eq(rafs_http_new(NULL, &http, NULL), RAFS_OK);
    ck_assert_int_eq(make_backend(http, &store, &asked, &backend, NULL), RAFS_OK);
    ck_assert_uint_eq(asked.first, 0);
    ck_assert_int_eq(read_some(backend, 0, NULL), RAFS_OK);
    ck_assert_uint_eq(asked.first, 1);
    ck_assert_uint_eq(store.refused, 0);
    store.accepted = NEW;
    for (size_t i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, reader, backend) == 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(asked.first, 1);
    /* Those that were under way with the old one, and no more. */
    ck_assert_uint_ge(asked.again, 1);
    ck_assert_uint_le(asked.again, THREADS);
    ck_assert_uint_le(store.refused, THREADS);
    rafs_backend_free(backend);
    ck_assert_uint_eq(asked.released, 1);
    rafs_http_free(http);
    store_stop(&store);
}
END_TEST

START_TEST(keys_that_stay_refused_end_in_an_error)
{
    struct store store = {0};
    struct asked asked = {0};
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend *backend = NULL;
    rafs_http *http = NULL;

    store_start(&store);
    store.accepted = "NONE";
    ck_assert_int_eq(rafs_http_new(NULL, &http, NULL), RAFS_OK);
    ck_assert_int_eq(make_backend(http, &store, &asked, &backend, NULL), RAFS_OK);
    ck_assert_int_eq(read_some(backend, 0, &err), RAFS_E_BACKEND);
    ck_assert_msg(strstr(err.text, "ExpiredToken"), "%s", err.text);
    ck_assert_uint_eq(asked.first, 1);
    ck_assert_uint_eq(asked.again, 1);
    ck_assert_uint_eq(store.refused, 2);
    rafs_backend_free(backend);
    rafs_http_free(http);
    store_stop(&store);
}
END_TEST

static char logged[65536];

static void keep_log(void *user, uint32_t level, const char *text)
{
    (void)user;
    (void)level;
    strncat(logged, text, sizeof(logged) - strlen(logged) - 1);
}

START_TEST(no_secret_is_in_logs_and_errors_though_the_store_repeats_it)
{
    rafs_http_options options = RAFS_HTTP_OPTIONS_INIT;
    struct store store = {0};
    struct asked asked = {0};
    rafs_env env = RAFS_ENV_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend *backend = NULL;
    rafs_http *http = NULL;

    store_start(&store);
    store.echoes = true;
    env.log = keep_log;
    env.log_level = RAFS_LOG_DEBUG;
    options.env = &env;
    ck_assert_int_eq(rafs_http_new(&options, &http, NULL), RAFS_OK);
    ck_assert_int_eq(make_backend(http, &store, &asked, &backend, NULL), RAFS_OK);
    ck_assert_int_eq(read_some(backend, 0, &err), RAFS_E_BACKEND);
    ck_assert_uint_eq(store.refused, 3);
    ck_assert_msg(strstr(err.text, "403"), "%s", err.text);
    ck_assert_ptr_nonnull(strstr(logged, "503"));
    strcat(logged, err.text);
    strcat(logged, err.object);
    ck_assert_msg(!strstr(logged, "S3CR3T") && !strstr(logged, "T0K3N") &&
                      !strstr(logged, "Signature"),
                  "%s", logged);
    rafs_backend_free(backend);
    rafs_http_free(http);
    store_stop(&store);
}
END_TEST

START_TEST(a_lack_of_memory_on_the_way_is_reported_and_leaves_nothing)
{
    rafs_http_options options = RAFS_HTTP_OPTIONS_INIT;
    struct store store = {0};
    struct asked asked = {0};
    struct watch watch;
    bool done = false;

    store_start(&store);
    watch_init(&watch);
    options.env = &watch.env;
    for (size_t n = 0; !done; n++) {
        rafs_error err = RAFS_ERROR_INIT;
        rafs_backend *backend = NULL;
        rafs_http *http = NULL;
        int rc;

        store.accepted = OLD;
        watch_fail_at(&watch, WATCH_NEVER);
        NEED(rafs_http_new(&options, &http, NULL) == RAFS_OK);
        NEED(make_backend(http, &store, &asked, &backend, NULL) == RAFS_OK);
        NEED(read_some(backend, 0, NULL) == RAFS_OK);
        store.accepted = NEW; /* refused, asked for, and signed again */
        watch_fail_at(&watch, n);
        rc = read_some(backend, 0, &err);
        done = !watch.failed;
        ck_assert_msg(rc == (done ? RAFS_OK : RAFS_E_NOMEM), "%zu: %d, %s", n, rc,
                      err.text);
        rafs_backend_free(backend);
        rafs_http_free(http);
        ck_assert_uint_eq(watch.live, 0);
    }
    store_stop(&store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bucket keys");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, keys_that_are_over_are_asked_for_again_by_whoever_reads);
    tcase_add_test(tcase, keys_that_stay_refused_end_in_an_error);
    tcase_add_test(tcase, no_secret_is_in_logs_and_errors_though_the_store_repeats_it);
    tcase_add_test(tcase, a_lack_of_memory_on_the_way_is_reported_and_leaves_nothing);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
