/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_HTTP_CLIENT_H
#define RAFSI_HTTP_CLIENT_H

/* What the files of the HTTP client share; nobody else includes it. */

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "backend/http.h"
#include "backend/http_p2p.h"

/* One request at a time runs in a slot, in the thread that asks: an easy handle alone in
 * a multi handle, which keeps its connections. So nobody waits in a library where neither
 * deadline nor cancel token is looked at. The easy handle is a new one each time: libcurl
 * (7.83 to 8.0 at least) remembers the last header of an answer after it was freed, and
 * appends to it when the next answer begins with a folded line. */
struct http_slot {
    CURLM *multi;
    CURLSH *sessions; /* of TLS */
    struct http_slot *next;
    char origin[300]; /* where its last connection leads */
};

struct rafs_http {
    struct rafsi_env env;
    rafs_http_options options; /* numbers; texts are NULL, see below */
    char *texts[8];            /* by enum http_text */
    struct http_p2p *p2p;      /* NULL: none */
    char **headers;
    size_t header_count;
    pthread_mutex_t lock;
    pthread_cond_t given;
    bool lock_ready, cond_ready;
    struct http_slot *idle;
    unsigned slots;      /* idle and at work */
    atomic_bool reached; /* some server answered: names and TLS do work here */
    /* Bandwidth: when the bytes that came so far may have come. */
    pthread_mutex_t rate_lock;
    bool rate_ready;
    uint64_t paid_until_ns;
};

enum http_text {
    HTTP_CA_FILE,
    HTTP_CA_DIR,
    HTTP_CLIENT_CERT,
    HTTP_CLIENT_KEY,
    HTTP_PROXY,
    HTTPS_PROXY,
    HTTP_NO_PROXY,
    HTTP_USER_AGENT
};

/* http_client.c */
int rafsi_http_take(rafs_http *http, const char *origin, const rafs_call *call,
                    struct http_slot **out, rafs_error *err);
/* keep: the slot's connections may be used again. */
void rafsi_http_give(rafs_http *http, struct http_slot *slot, bool keep);
/* Count len bytes against the bandwidth. */
void rafsi_http_pay(rafs_http *http, size_t len);
/* Nanoseconds to wait before more may be read. */
uint64_t rafsi_http_debt(rafs_http *http);

/* One attempt, http_attempt.c. */
struct http_attempt {
    rafs_http *http;
    const struct http_request *request;
    rafs_call *call;
    uint64_t grace_ns; /* the deadline is ours, and moves so far ahead as bytes come */
    struct http_answer *answer;
    uint64_t from;  /* byte of the thing that is wanted next */
    uint64_t until; /* first byte that is not wanted; UINT64_MAX: to its end */
    bool ask_range; /* a Range header is sent */
    /* Filled by the answer. */
    uint64_t at;     /* byte of the thing that the body has come to */
    uint64_t length; /* Content-Length; UINT64_MAX: not told */
    uint64_t range_first, range_last, range_total;
    bool has_range;
    bool encoded;           /* Content-Encoding other than identity */
    bool transfer;          /* there is a Transfer-Encoding */
    uint64_t retry_ms;      /* Retry-After in seconds; 0: none */
    int64_t retry_at, date; /* Retry-After and Date as a time; -1: none */
    uint64_t header_bytes;  /* of all header lines, also of 1xx answers */
    curl_off_t sent;        /* of the body of the request */
    bool begun;             /* headers were judged */
    bool full;              /* all that was wanted came; the rest was refused */
    bool forbidden;         /* a link-local address was refused */
    const char *broken;     /* what is wrong with the answer; NULL: nothing */
    int rc;                 /* what piece() or memory said */
    rafs_error error;
    uint64_t error_bytes; /* of the body of an error, thrown away */
};

/* Run it. Text for people about what went wrong is put into *err with AGAIN and SOON too.
 */
enum http_verdict rafsi_http_attempt(struct http_attempt *attempt, rafs_error *err);

/* http_setup.c: the header lines, NULL without memory; and all else but who takes the
 * answer. text has room for an error of libcurl's. */
struct curl_slist *rafsi_http_lines(const struct http_attempt *attempt);
void rafsi_http_set(CURL *easy, struct http_attempt *attempt, struct curl_slist *headers,
                    char *text);

/* http_headers.c: one header line into the attempt and its answer. */
void rafsi_http_header(struct http_attempt *attempt, const char *line, size_t len);
void rafsi_http_headers_reset(struct http_attempt *attempt);
/* How long the server asks to wait, in ms; 0: it does not. */
uint64_t rafsi_http_retry_after(const struct http_attempt *attempt);

#endif
