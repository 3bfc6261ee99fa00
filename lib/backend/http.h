/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_HTTP_H
#define RAFSI_HTTP_H

/*
 * One HTTP request, as registries and object stores need it. What comes back is
 * untrusted.
 *
 * A request is tried again by itself where that is safe and may help: connections that
 * fail, stall or break, 408, 429 and 5xx, with pauses that grow, up to the deadline of
 * the call (or rafs_http_options.retry_ms). An answer that broke off goes on where it
 * ended. With RAFS_CALL_ONCE only an answer that brought something is gone on with.
 * Everything else is the caller's to judge by its status: redirects are never
 * followed here, since who follows decides what he sends along.
 */

#include "base/base.h"
#include "rafs/http.h"

enum {
    HTTP_HEADERS_MAX = 16, /* that a request adds */
    HTTP_URL_MAX = 8192    /* bytes in a URL, also in a Location */
};

/* What to ask. Texts are borrowed until rafsi_http_do() returns. */
struct http_request {
    const char *method; /* NULL: "GET" */
    const char *url;    /* http or https, no user or password in it */
    /* "Name: value"; secrets in them show up in no log and no error. */
    const char *headers[HTTP_HEADERS_MAX];
    size_t header_count;
    const void *body; /* of a POST, PATCH or PUT; NULL: none */
    size_t body_len;
    /* How long nothing may be heard, in place of rafs_http_options.stall_timeout_ms,
     * where a server has much to do before it answers; 0: the client's. */
    uint32_t patience_ms;
    bool ranged;     /* ask for [offset, offset + len) of the thing */
    uint64_t offset; /* of the range */
    /* Room for the answer. With a range exactly len bytes are wanted, fewer only where
     * the thing ends; without, an answer longer than len is RAFS_E_LIMIT. */
    uint8_t *buf;
    size_t len;
    /* Instead of buf, without a range: called with the pieces of a 2xx body in order,
     * from the thread that asked. A negative value ends the request with that code. */
    int (*piece)(void *user, const uint8_t *at, size_t len, rafs_error *err);
    void *user;
    uint64_t piece_max; /* a longer body is RAFS_E_LIMIT */
    bool once;          /* no second try, unless bytes of the answer came */
    bool data;          /* of a blob: rafs_http_options.p2p goes for it */
    bool bare;          /* without the headers of the client */
    const char *via;    /* proxy in place of the client's; "": none; NULL: the client's */
    const char *sent_url; /* what is asked for in place of url; NULL: that */
    bool guarded;         /* a server chose the URL: link-local addresses are refused */
    struct http_progress *progress; /* NULL: of no interest */
    /* Room for the beginning of the body of an answer that is no success, as a text;
     * NULL: of no interest. It holds what the server says, and may repeat what it was
     * told. */
    char *error_body;
    size_t error_room;
};

enum http_verdict {
    HTTP_DONE,  /* a whole answer */
    HTTP_AGAIN, /* may be better next time */
    HTTP_SOON,  /* the same, but not for ever: three times */
    HTTP_FINAL  /* err says why */
};

/* What outlives rafsi_http_do(), so that another URL can go on where one failed. */
struct http_progress {
    uint64_t got;              /* in, out: bytes that came already */
    enum http_verdict verdict; /* out: on the last try */
    uint64_t retry_ms;         /* out: how long the server asked to wait */
};

/* What came. */
struct http_answer {
    int status;         /* 100 to 599 */
    size_t len;         /* bytes put into buf; all that were wanted, or none */
    uint64_t total;     /* size of the whole thing; UINT64_MAX: not told */
    bool range_ignored; /* the server sent 200 to a range */
    char *location; /* absolute, by RFC 3986 from the URL; NULL: none. Freed by drop */
    char *authenticate; /* all WWW-Authenticate values, a line each; NULL: none */
    char *content_type; /* NULL: none */
    char *digest;       /* Docker-Content-Digest; NULL: none */
    char *error_type;   /* X-Dragonfly-Error-Type; NULL: none */
    char *link;         /* Link; NULL: none */
    char *range;        /* Range, of an upload: "0-LAST"; NULL: none */
    char *subject;      /* OCI-Subject; NULL: none */
    char *chunk_min;    /* OCI-Chunk-Min-Length; NULL: none */
};

/*
 * Ask. RAFS_OK means that a whole answer came, whatever its status, and *answer is to be
 * given to rafsi_http_drop(). Else RAFS_E_BACKEND (tries, the last cause and the URL
 * without its query are in err), RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_LIMIT,
 * RAFS_E_NOMEM.
 */
int rafsi_http_do(rafs_http *http, const struct http_request *request,
                  const rafs_call *call, struct http_answer *answer, rafs_error *err);
/* The same, whatever rafs_http_options.p2p says. */
int rafsi_http_try(rafs_http *http, const struct http_request *request,
                   const rafs_call *call, struct http_answer *answer, rafs_error *err);
/* Does RAFS_CALL_FRESH make a difference for data? */
bool rafsi_http_relayed(const rafs_http *http);
void rafsi_http_drop(rafs_http *http, struct http_answer *answer);

/* The call itself or, if it has no deadline, one that ends after
 * rafs_http_options.retry_ms. */
rafs_call rafsi_http_bound(rafs_http *http, const rafs_call *call);

/* Wait before a try that follows `idle` ones in a row that brought nothing; at least
 * retry_ms. RAFS_E_TIMEOUT at once if no time would be left, RAFS_E_CANCELLED. */
int rafsi_http_pause(rafs_http *http, unsigned idle, uint64_t retry_ms,
                     const rafs_call *call, rafs_error *err);

const struct rafsi_env *rafsi_http_env(const rafs_http *http);

/* RAFS_OK for a 2xx status, else the code that fits it with a sentence that a user can
 * act on: 404 RAFS_E_NOENT, 401 and 403 RAFS_E_BACKEND with EACCES, the others
 * RAFS_E_BACKEND. `what` is "blob", "manifest" … */
int rafsi_http_judge(const struct http_answer *answer, const char *url, const char *what,
                     rafs_error *err);

/* scheme://host[:port] of a URL, in lower case with the port always there, for
 * comparisons. RAFS_E_BADARG if it is no http(s) URL. */
int rafsi_url_origin(const char *url, char *out, size_t room, rafs_error *err);
/* A URL without user, password, query and fragment, for people. */
void rafsi_url_show(const char *url, char *out, size_t room);

#endif
