/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server answers: u8 what is asked, the answer's bytes. A thread of this program
 * is the server; so the way through libcurl is the one that ships.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/http_client.h"
#include "fuzz.h"

enum {
    ROOM = 4096,
    OFFSET = 1000,
    GUARD = 64,
    DOCUMENT_MAX = 100000,
    ANSWER_MAX = 1 << 20
};

static struct {
    int listener;
    uint8_t answer[ANSWER_MAX]; /* of the connection that is served */
    pthread_mutex_t lock;
    struct span next; /* what the next one is answered */
    char url[64];
    rafs_http *http;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void serve(int fd)
{
    char waste[4096];
    size_t len = 0;
    size_t size;

    /* To the end of the request; they are all shorter. */
    while (len < sizeof(waste) - 1) {
        ssize_t got = recv(fd, waste + len, sizeof(waste) - 1 - len, 0);

        if (got <= 0)
            return;
        len += (size_t)got;
        waste[len] = '\0';
        if (strstr(waste, "\r\n\r\n"))
            break;
    }
    pthread_mutex_lock(&server.lock);
    size = rafsi_min(server.next.len, ANSWER_MAX);
    memcpy(server.answer, server.next.at, size);
    pthread_mutex_unlock(&server.lock);
    for (size_t at = 0; at < size;) {
        ssize_t sent = send(fd, server.answer + at, size - at, MSG_NOSIGNAL);

        if (sent <= 0)
            return;
        at += (size_t)sent;
    }
    shutdown(fd, SHUT_WR);
    while (recv(fd, waste, sizeof(waste), 0) > 0)
        ;
}

static void *serve_all(void *unused)
{
    (void)unused;
    for (;;) {
        int fd = accept(server.listener, NULL, NULL);

        if (fd < 0)
            return NULL;
        serve(fd);
        close(fd);
    }
}

static void start(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    rafs_http_options options = RAFS_HTTP_OPTIONS_INIT;
    pthread_t thread;

    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    MUST(server.listener >= 0);
    MUST(bind(server.listener, (struct sockaddr *)&at, sizeof(at)) == 0);
    MUST(listen(server.listener, 16) == 0);
    MUST(getsockname(server.listener, (struct sockaddr *)&at, &len) == 0);
    snprintf(server.url, sizeof(server.url), "http://127.0.0.1:%u/a/b?c",
             ntohs(at.sin_port));
    MUST(rafs_http_new(&options, &server.http, NULL) == RAFS_OK);
    MUST(pthread_create(&thread, NULL, serve_all, NULL) == 0);
    pthread_detach(thread);
}

struct document {
    size_t len;
};

static int take_piece(void *user, const uint8_t *at, size_t len, rafs_error *err)
{
    struct document *document = user;

    (void)at;
    document->len += len;
    if (len == 7)
        return rafsi_fail(err, RAFS_E_NOMEM, RAFS_STAGE_FETCH, NULL, "seven");
    return RAFS_OK;
}

/* Whatever came, what we keep of it is fit for use. */
static void check(const struct http_answer *answer)
{
    char origin[300];

    if (answer->location)
        MUST(rafsi_url_origin(answer->location, origin, sizeof(origin), NULL) == RAFS_OK);
    MUST(!answer->location || !strpbrk(answer->location, "\r\n "));
    MUST(!answer->authenticate || strlen(answer->authenticate) <= 16384);
}

static void ask(unsigned kind)
{
    uint8_t buf[ROOM + GUARD];
    struct document document = {0};
    struct http_answer answer = {.status = 0};
    struct http_request request = {.url = server.url};
    rafs_call call;
    struct http_attempt attempt = {
        .http = server.http, .request = &request, .call = &call, .answer = &answer};
    rafs_error err = RAFS_ERROR_INIT;
    enum http_verdict verdict;

    rafs_call_init(&call, NULL, 30000, NULL);
    memset(buf, 0x5a, sizeof(buf));
    request.ranged = kind % 3 == 0;
    if (request.ranged) {
        request.offset = kind & 4 ? OFFSET : 0;
        request.buf = buf;
        request.len = ROOM;
        attempt.from = request.offset;
        attempt.until = request.offset + ROOM;
    } else if (kind % 3 == 1) {
        request.piece = take_piece;
        request.user = &document;
        attempt.until = request.piece_max = DOCUMENT_MAX;
    } else {
        request.buf = buf;
        attempt.until = request.len = ROOM;
    }
    attempt.ask_range = request.ranged;
    verdict = rafsi_http_attempt(&attempt, &err);
    for (size_t i = 0; i < GUARD; i++)
        MUST(buf[ROOM + i] == 0x5a);
    MUST(attempt.from <= attempt.until);
    MUST(err.code != RAFS_E_TIMEOUT && err.code != RAFS_E_BADARG);
    MUST((verdict == HTTP_DONE) == (err.code == RAFS_OK));
    MUST(document.len <= DOCUMENT_MAX);
    if (verdict == HTTP_DONE) {
        MUST(answer.status >= 200 && answer.status <= 599);
        MUST(!request.ranged || answer.status / 100 != 2 || answer.status == 200 ||
             answer.status == 206);
        MUST(answer.len <= ROOM || request.piece);
        check(&answer);
    }
    MUST(rafsi_http_retry_after(&attempt) <= 3600 * 1000);
    rafsi_http_drop(server.http, &answer);
}

static void set_next(struct span bytes)
{
    pthread_mutex_lock(&server.lock);
    server.next = bytes;
    pthread_mutex_unlock(&server.lock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct input in = {data, size};
    unsigned kind = (unsigned)input_number(&in, 1);
    struct span bytes;

    pthread_once(&once, start);
    bytes = input_copy(&in, in.left, 0);
    set_next(bytes);
    ask(kind);
    set_next((struct span){(const uint8_t *)"", 0, 0});
    input_free(bytes);
    return 0;
}
