/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt at a request: run it, judge what came. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "backend/http_client.h"

enum {
    SLICE_MS = 1000, /* between looks at clock and token, if no descriptor wakes us */
    HEADERS_BYTES_MAX = 131072, /* of an answer, with all that came before it */
    ERROR_BODY_MAX = 65536, /* of an answer that is no success, before it is cut off */
    LINGER_MS = 50,         /* for the end of a body whose rest does not matter, */
    LINGER_TURNS = 4        /* so many times at most */
};

/* Is this the answer to what was asked? Says what is wrong, or NULL. */
static const char *judge_headers(struct http_attempt *attempt, int status)
{
    struct http_answer *answer = attempt->answer;

    if (attempt->broken)
        return attempt->broken;
    if (status < 200 || status > 599)
        return "a status that there is none of";
    if (attempt->encoded)
        return "a Content-Encoding that was not asked for";
    if (attempt->transfer && attempt->length != UINT64_MAX)
        return "a Content-Length and a Transfer-Encoding";
    if (attempt->request->ranged && status / 100 == 2 && status != 200 && status != 206)
        return "a success that is no answer to a range";
    if (status != 206) {
        attempt->at = 0;
        answer->range_ignored = attempt->ask_range && status == 200;
        /* That of a 416 or another error is of its own body. */
        if (attempt->length != UINT64_MAX && status / 100 == 2)
            answer->total = attempt->length;
        return NULL;
    }
    if (!attempt->ask_range)
        return "part of a thing that was asked for as a whole (206)";
    if (!attempt->has_range)
        return "206 without a Content-Range, or in several parts";
    if (attempt->range_first != attempt->from)
        return "another range than was asked for";
    if (attempt->range_last >= attempt->until)
        return "a longer range than was asked for";
    /* Shorter ones happen at the end only. */
    if (attempt->range_last + 1 < attempt->until && attempt->range_total != UINT64_MAX &&
        attempt->range_last + 1 < attempt->range_total)
        return "a shorter range than was asked for";
    if (attempt->length != UINT64_MAX &&
        attempt->length != attempt->range_last - attempt->range_first + 1)
        return "a Content-Length that contradicts its Content-Range";
    attempt->at = attempt->range_first;
    answer->total = attempt->range_total;
    return NULL;
}

static int begin(struct http_attempt *attempt, CURL *easy)
{
    long status = 0;

    attempt->begun = true;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    attempt->answer->status = (int)status;
    attempt->broken = judge_headers(attempt, (int)status);
    return attempt->broken ? -1 : 0;
}

struct pump {
    struct http_attempt *attempt;
    CURL *easy;
};

static size_t on_header(char *line, size_t size, size_t count, void *user)
{
    struct pump *pump = user;
    struct http_attempt *attempt = pump->attempt;
    size_t len = size * count;
    long status = 0;

    attempt->header_bytes += len;
    if (attempt->header_bytes > HEADERS_BYTES_MAX) {
        attempt->broken = "headers without end";
        return 0;
    }
    if (attempt->begun)
        return len;
    /* Each answer begins anew: one for a proxy's CONNECT or a 1xx comes before. */
    if (len > 5 && memcmp(line, "HTTP/", 5) == 0)
        rafsi_http_headers_reset(attempt);
    else
        rafsi_http_header(attempt, line, len);
    if (attempt->rc < 0)
        return 0;
    /* The empty line at their end. */
    if (line[0] == '\r' || line[0] == '\n') {
        curl_easy_getinfo(pump->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200 && begin(attempt, pump->easy) < 0)
            return 0;
    }
    return len;
}

/* As bytes come, wanted or to be passed over, a deadline that nobody asked for moves on.
 */
static void move_deadline(struct http_attempt *attempt, size_t len)
{
    if (attempt->grace_ns && attempt->at >> 20 != (attempt->at + len) >> 20)
        attempt->call->deadline_ns =
            rafsi_now_ns(&attempt->http->env) + attempt->grace_ns;
}

/* Wanted bytes go where they belong; what comes before or after is dropped. */
static int deliver(struct http_attempt *attempt, const uint8_t *bytes, size_t len)
{
    const struct http_request *request = attempt->request;
    uint64_t skip = attempt->from > attempt->at ? attempt->from - attempt->at : 0;
    uint64_t most = attempt->until - attempt->from;
    size_t use;

    move_deadline(attempt, len);
    attempt->at += len;
    if (skip >= len)
        return RAFS_OK;
    bytes += skip;
    len -= (size_t)skip;
    use = (size_t)rafsi_min(len, most);
    if (request->piece) {
        int rc =
            use ? request->piece(request->user, bytes, use, &attempt->error) : RAFS_OK;

        if (rc < 0)
            return rc;
    } else if (use > 0) {
        memcpy(request->buf + (attempt->from - request->offset), bytes, use);
    }
    attempt->from += use;
    if (request->ranged)
        attempt->full = attempt->from == attempt->until;
    else if (use < len)
        return rafsi_fail(&attempt->error, RAFS_E_LIMIT, RAFS_STAGE_FETCH, NULL,
                          "the answer is longer than %llu bytes",
                          (unsigned long long)attempt->until);
    return RAFS_OK;
}

static void keep_error(const struct http_attempt *attempt, const char *bytes, size_t len)
{
    const struct http_request *request = attempt->request;
    size_t have;

    if (request->error_room == 0)
        return;
    have = (size_t)rafsi_min(attempt->error_bytes, request->error_room - 1);
    len = (size_t)rafsi_min(len, request->error_room - 1 - have);
    memcpy(request->error_body + have, bytes, len);
    request->error_body[have + len] = '\0';
}

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
    struct pump *pump = user;
    struct http_attempt *attempt = pump->attempt;
    size_t len = size * count;

    rafsi_http_pay(attempt->http, len);
    rafs_call_count(attempt->call, RAFS_EVENT_RECEIVED, len);
    if (!attempt->begun && begin(attempt, pump->easy) < 0)
        return 0;
    if (attempt->answer->status / 100 != 2) {
        keep_error(attempt, bytes, len);
        attempt->error_bytes += len;
        attempt->full = attempt->error_bytes > ERROR_BODY_MAX;
        return attempt->full ? 0 : len;
    }
    attempt->rc = deliver(attempt, (const uint8_t *)bytes, len);
    if (attempt->rc < 0)
        return 0;
    /* The end of what was asked may be the end of the body too: then the connection can
     * be used again, so it is cut only if more comes. */
    if (attempt->full &&
        (attempt->at > attempt->until ||
         (attempt->answer->range_ignored && attempt->at < attempt->answer->total)))
        return 0;
    return len;
}

/* Wait for the network, the tokens, or a moment. */
static void wait_for_more(struct http_attempt *attempt, CURLM *multi, uint64_t left_ns,
                          uint64_t most_ms)
{
    const rafs_cancel *tokens[] = {attempt->call->cancel, attempt->http->env.set.cancel};
    struct curl_waitfd wake[2];
    unsigned count = 0;
    uint64_t ms = rafsi_min(left_ns / 1000000 + 1, most_ms);
    int ready = 0;

    for (size_t i = 0; i < 2; i++)
        if (tokens[i])
            wake[count++] = (struct curl_waitfd){.fd = rafs_cancel_fd(tokens[i]),
                                                 .events = CURL_WAIT_POLLIN};
    curl_multi_poll(multi, wake, count, (int)ms, &ready);
}

/* Too much came too soon: let the sender wait. */
static void wait_for_rate(struct http_attempt *attempt, uint64_t debt_ns)
{
    const rafs_cancel *tokens[] = {attempt->call->cancel, attempt->http->env.set.cancel};
    struct pollfd wake[2];
    nfds_t count = 0;
    uint64_t left = rafsi_call_left_ns(&attempt->http->env, attempt->call, debt_ns);

    for (size_t i = 0; i < 2; i++)
        if (tokens[i])
            wake[count++] =
                (struct pollfd){.fd = rafs_cancel_fd(tokens[i]), .events = POLLIN};
    poll(wake, count, (int)rafsi_min(left / 1000000 + 1, SLICE_MS));
}

/* Does what is still to come matter? */
static bool is_enough(const struct http_attempt *attempt)
{
    return attempt->full || (attempt->begun && attempt->answer->status / 100 != 2);
}

/* A body on its way to the server is progress too. */
static void note_sent(struct http_attempt *attempt, CURL *easy)
{
    curl_off_t sent = 0;

    if (!attempt->grace_ns || !attempt->request->body)
        return;
    curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    if (sent > attempt->sent)
        attempt->call->deadline_ns =
            rafsi_now_ns(&attempt->http->env) + attempt->grace_ns;
    attempt->sent = sent;
}

static int run(struct http_attempt *attempt, struct http_slot *slot, CURL *easy,
               CURLcode *code, rafs_error *err)
{
    const struct rafsi_env *env = &attempt->http->env;
    unsigned turns = 0; /* waited for an end that may never come */
    int running = 1;
    int rc = RAFS_OK;

    while (rc == RAFS_OK && running > 0) {
        uint64_t debt = rafsi_http_debt(attempt->http);

        rc = rafsi_call_check(env, attempt->call, RAFS_STAGE_FETCH, err);
        if (rc < 0)
            break;
        if (debt > 0) {
            wait_for_rate(attempt, debt);
            continue;
        }
        if (curl_multi_perform(slot->multi, &running) != CURLM_OK)
            rc = rafsi_fail_nomem(err, sizeof(*slot));
        note_sent(attempt, easy);
        if (rc < 0)
            break;
        if (running > 0 && is_enough(attempt) && turns++ == LINGER_TURNS)
            return RAFS_OK;
        else if (running > 0)
            wait_for_more(attempt, slot->multi,
                          rafsi_call_left_ns(env, attempt->call, UINT64_MAX),
                          is_enough(attempt) ? LINGER_MS : SLICE_MS);
    }
    if (rc == RAFS_OK) {
        int left = 0;
        CURLMsg *message = curl_multi_info_read(slot->multi, &left);

        *code = message && message->msg == CURLMSG_DONE ? message->data.result
                                                        : CURLE_FAILED_INIT;
    }
    return rc;
}

static enum http_verdict again(rafs_error *err, enum http_verdict verdict, int os_errno,
                               const char *format, const char *detail)
{
    rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, os_errno, NULL, format, detail);
    return verdict;
}

/* libcurl says "out of memory" for a header line of more than 100 KB too. Is there none?
 */
static bool is_shortage(CURL *easy)
{
    long sent = 0;
    void *probe;

    curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
    if (sent == 0)
        return true;
    probe = malloc(4 * HEADERS_BYTES_MAX);
    free(probe);
    return !probe;
}

/* Names that cannot be looked up and handshakes that fail are mistakes of the user's at
 * first, and failures of the network once there was an answer. Where a server sent us
 * they are its mistakes. */
static enum http_verdict soon_or_again(const struct http_attempt *attempt)
{
    return atomic_load(&attempt->http->reached) && !attempt->request->guarded ? HTTP_AGAIN
                                                                              : HTTP_SOON;
}

/* libcurl's own failures. */
static enum http_verdict judge_code(const struct http_attempt *attempt, CURLcode code,
                                    CURL *easy, const char *text, rafs_error *err)
{
    const char *detail = text[0] ? text : curl_easy_strerror(code);
    long os_errno = 0;
    long proxy = 0; /* what one said to CONNECT */

    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_errno);
    curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &proxy);
    if (proxy / 100 == 4 || proxy / 100 == 3)
        return again(err, HTTP_SOON, EACCES, "the proxy refuses: %s", detail);
    switch (code) {
    case CURLE_OUT_OF_MEMORY:
        if (!is_shortage(easy))
            return again(err, HTTP_SOON, EPROTO, "%s",
                         "the server sends a header that is too long");
        rafsi_fail_nomem(err, 0);
        return HTTP_FINAL;
    case CURLE_URL_MALFORMAT:
        return again(err, HTTP_FINAL, EINVAL, "%s", detail);
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9, that is: anything */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return again(err, HTTP_SOON, EPROTO, "%s", detail);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return again(err, HTTP_FINAL, EKEYREJECTED, "TLS: %s", detail);
    case CURLE_SSL_CONNECT_ERROR:
        return again(err, soon_or_again(attempt), EPROTO, "TLS: %s", detail);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return again(err, soon_or_again(attempt), EHOSTUNREACH, "%s", detail);
    case CURLE_OPERATION_TIMEDOUT:
        return again(err, HTTP_AGAIN, ETIMEDOUT, "%s", detail);
    default:
        return again(err, HTTP_AGAIN, os_errno ? (int)os_errno : EIO, "%s", detail);
    }
}

static enum http_verdict judge_answer(struct http_attempt *attempt, rafs_error *err)
{
    const struct http_request *request = attempt->request;
    struct http_answer *answer = attempt->answer;
    rafs_http *http = attempt->http;
    bool head = request->method && strcmp(request->method, "HEAD") == 0;
    char status[16];

    atomic_store(&http->reached, true);
    snprintf(status, sizeof(status), "%d", answer->status);
    switch (answer->status) {
    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        return again(err, HTTP_AGAIN, answer->status == 429 ? EBUSY : EIO,
                     "the server answers with status %s", status);
    default:
        break;
    }
    /* All had come before it broke off, and nobody had said so. */
    if (answer->status == 416 && attempt->ask_range && !request->ranged &&
        answer->total == attempt->from) {
        answer->status = 200;
        answer->len = (size_t)attempt->from;
    }
    if (answer->status / 100 != 2 || head)
        return HTTP_DONE;
    if (request->ranged) {
        uint64_t end = rafsi_min(attempt->until, answer->total);

        if (attempt->from < end || (attempt->from < attempt->until && end == UINT64_MAX))
            return again(err, HTTP_AGAIN, EIO, "%s", "the answer ended too early");
        answer->len = (size_t)(attempt->from - request->offset);
    } else {
        if (answer->total != UINT64_MAX && attempt->from < answer->total)
            return again(err, HTTP_AGAIN, EIO, "%s", "the answer ended too early");
        answer->len = (size_t)attempt->from;
    }
    return HTTP_DONE;
}

enum http_verdict rafsi_http_attempt(struct http_attempt *attempt, rafs_error *err)
{
    struct curl_slist *headers = NULL;
    struct http_slot *slot = NULL;
    struct pump pump = {attempt, NULL};
    enum http_verdict verdict = HTTP_FINAL;
    char text[CURL_ERROR_SIZE] = "";
    char origin[300];
    CURLcode code = CURLE_OK;
    bool added = false;
    int rc = rafsi_url_origin(attempt->request->url, origin, sizeof(origin), err);

    rafsi_http_headers_reset(attempt);
    attempt->rc = RAFS_OK;
    attempt->full = false;
    attempt->forbidden = false;
    attempt->error_bytes = 0;
    keep_error(attempt, "", 0);
    attempt->header_bytes = 0;
    attempt->sent = 0;
    if (rc == RAFS_OK)
        rc = rafsi_http_take(attempt->http, origin, attempt->call, &slot, err);
    if (rc < 0)
        return HTTP_FINAL;
    headers = rafsi_http_lines(attempt);
    pump.easy = curl_easy_init();
    if (!headers || !pump.easy) {
        rafsi_fail_nomem(err, 0);
        goto out;
    }
    rafsi_http_set(pump.easy, attempt, headers, text);
    curl_easy_setopt(pump.easy, CURLOPT_SHARE, slot->sessions);
    curl_easy_setopt(pump.easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(pump.easy, CURLOPT_HEADERDATA, &pump);
    curl_easy_setopt(pump.easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(pump.easy, CURLOPT_WRITEDATA, &pump);
    added = curl_multi_add_handle(slot->multi, pump.easy) == CURLM_OK;
    rc = added ? run(attempt, slot, pump.easy, &code, err) : rafsi_fail_nomem(err, 0);
    if (rc < 0)
        goto out;
    if (code == CURLE_OK && !attempt->begun)
        begin(attempt, pump.easy);
    if (attempt->rc < 0)
        *err = attempt->error;
    else if (attempt->forbidden && !attempt->begun)
        verdict = again(err, HTTP_FINAL, EACCES, "%s",
                        "a link-local address, which is refused");
    else if (attempt->broken)
        verdict =
            again(err, HTTP_SOON, EPROTO, "the server answers with %s", attempt->broken);
    else if (code != CURLE_OK && !is_enough(attempt))
        verdict = judge_code(attempt, code, pump.easy, text, err);
    else
        verdict = judge_answer(attempt, err);
out:
    if (added)
        curl_multi_remove_handle(slot->multi, pump.easy);
    curl_easy_cleanup(pump.easy);
    curl_slist_free_all(headers);
    rafsi_http_give(attempt->http, slot, rc == RAFS_OK);
    return verdict;
}
