/* SPDX-License-Identifier: Apache-2.0 */
/* A request with all its tries, and what to make of URLs and statuses. */
#include "backend/http.h"

#include <errno.h>

#include "backend/http_client.h"

enum {
    PAUSE_FIRST_MS = 50,
    PAUSE_MOST_MS = 800, /* so that a server that is back is noticed within a second */
    SOON_MAX = 3         /* tries of what is hardly going to get better */
};

void rafsi_http_drop(rafs_http *http, struct http_answer *answer)
{
    char *const texts[] = {answer->location, answer->authenticate, answer->content_type,
                           answer->digest,   answer->error_type,   answer->link,
                           answer->range,    answer->subject,      answer->chunk_min};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        rafsi_free(&http->env, texts[i]);
    memset(answer, 0, sizeof(*answer));
}

/* Somewhere between half of it and all of it, so that clients do not come in step. */
static uint64_t jitter(const void *salt, unsigned tries, uint64_t ms, uint64_t now)
{
    uint64_t mix = (now ^ (uint64_t)(uintptr_t)salt) * 0x9e3779b97f4a7c15u + tries;

    mix ^= mix >> 29;
    return ms / 2 + mix % (ms / 2 + 1);
}

int rafsi_http_pause(rafs_http *http, unsigned idle, uint64_t retry_ms,
                     const rafs_call *call, rafs_error *err)
{
    uint64_t now = rafsi_now_ns(&http->env);
    uint64_t ms =
        rafsi_min((uint64_t)PAUSE_FIRST_MS << rafsi_min(idle, 8), PAUSE_MOST_MS);
    int rc = rafsi_call_check(&http->env, call, RAFS_STAGE_FETCH, err);

    ms = jitter(&rc, idle, ms, now);
    if (retry_ms > ms)
        ms = retry_ms;
    if (rc == RAFS_OK && call->deadline_ns && now + ms * 1000000 >= call->deadline_ns)
        rc = RAFS_E_TIMEOUT;
    return rc < 0 ? rc : rafsi_call_sleep(&http->env, call, ms, err);
}

/* The last failure becomes the request's: with the URL, and how often it was tried. */
static int give_up(const struct http_attempt *attempt, unsigned tries, int rc,
                   const rafs_error *last, rafs_error *err)
{
    char shown[120];
    char cause[200];

    if (!err)
        return rc;
    rafsi_url_show(attempt->request->url, shown, sizeof(shown));
    snprintf(cause, sizeof(cause), "%.199s", last->text);
    return rafsi_fail_os(err, rc, RAFS_STAGE_FETCH, last->os_errno, NULL,
                         tries > 1 ? "%s: %s (tried %u times)" : "%s: %s", shown, cause,
                         tries);
}

rafs_call rafsi_http_bound(rafs_http *http, const rafs_call *call)
{
    rafs_call bounded = RAFS_CALL_INIT;

    if (call)
        bounded = *call;
    if (bounded.deadline_ns == 0)
        bounded.deadline_ns =
            rafsi_now_ns(&http->env) + (uint64_t)http->options.retry_ms * 1000000;
    return bounded;
}

static struct http_attempt first_attempt(rafs_http *http,
                                         const struct http_request *request,
                                         rafs_call *call, struct http_answer *answer)
{
    struct http_attempt attempt = {
        .http = http, .request = request, .call = call, .answer = answer};

    memset(answer, 0, sizeof(*answer));
    attempt.from = (request->ranged ? request->offset : 0) +
                   (request->progress ? request->progress->got : 0);
    attempt.until = request->ranged  ? request->offset + request->len
                    : request->piece ? request->piece_max
                                     : request->len;
    return attempt;
}

static void tell(const struct http_attempt *attempt, enum http_verdict verdict)
{
    const struct http_request *request = attempt->request;

    if (request->progress)
        *request->progress = (struct http_progress){
            .got = attempt->from - (request->ranged ? request->offset : 0),
            .verdict = verdict,
            .retry_ms = rafsi_http_retry_after(attempt)};
}

int rafsi_http_do(rafs_http *http, const struct http_request *request,
                  const rafs_call *call, struct http_answer *answer, rafs_error *err)
{
    return request->data && http->p2p
               ? rafsi_p2p_do(http, http->p2p, request, call, answer, err)
               : rafsi_http_try(http, request, call, answer, err);
}

bool rafsi_http_relayed(const rafs_http *http)
{
    return http->p2p && rafsi_p2p_passable(http->p2p);
}

int rafsi_http_try(rafs_http *http, const struct http_request *request,
                   const rafs_call *call, struct http_answer *answer, rafs_error *err)
{
    rafs_error last = RAFS_ERROR_INIT;
    rafs_call bounded = rafsi_http_bound(http, call);
    struct http_attempt attempt = first_attempt(http, request, &bounded, answer);
    bool own_deadline = !call || call->deadline_ns == 0;
    unsigned tries = 0;
    unsigned idle = 0; /* of them, in a row, those that brought nothing */
    unsigned soon = 0;
    int rc;

    if (own_deadline)
        attempt.grace_ns = (uint64_t)http->options.retry_ms * 1000000;
    for (;;) {
        rafs_error now = RAFS_ERROR_INIT;
        uint64_t before = attempt.from;
        enum http_verdict verdict;

        attempt.ask_range = request->ranged || attempt.from > 0;
        if (tries > 0)
            rafs_call_count(call, RAFS_EVENT_RETRY, 1);
        rafs_call_count(call, RAFS_EVENT_SENT, 1);
        verdict = rafsi_http_attempt(&attempt, &now);
        tell(&attempt, verdict);
        tries++;
        if (verdict == HTTP_DONE)
            return RAFS_OK;
        rc = now.code;
        if (verdict == HTTP_FINAL && rc == RAFS_E_TIMEOUT && tries > 1)
            now = last; /* the clock ran out; what was wrong is what was wrong before */
        last = now;
        if (verdict == HTTP_FINAL)
            break;
        soon += verdict == HTTP_SOON;
        idle = attempt.from > before ? 0 : idle + 1;
        rc = RAFS_E_BACKEND;
        if (((request->once || (bounded.flags & RAFS_CALL_ONCE)) && idle > 0) ||
            soon == SOON_MAX)
            break;
        rc = rafsi_http_pause(http, idle, rafsi_http_retry_after(&attempt), &bounded,
                              &now);
        if (rc < 0)
            break;
        rafsi_log(&http->env, RAFS_LOG_INFO, "trying again: %s", last.text);
    }
    if (rc == RAFS_E_TIMEOUT && own_deadline)
        rc = RAFS_E_BACKEND;
    rafsi_http_drop(http, answer);
    if (rc == RAFS_E_CANCELLED || rc == RAFS_E_NOMEM)
        return rafsi_fail(err, rc, RAFS_STAGE_FETCH, NULL, "%s",
                          rc == RAFS_E_CANCELLED ? "cancelled" : last.text);
    if (rc == RAFS_E_TIMEOUT && last.text[0] == '\0')
        rafsi_call_check(&http->env, &bounded, RAFS_STAGE_FETCH, &last);
    return give_up(&attempt, tries, rc, &last, err);
}

int rafsi_http_judge(const struct http_answer *answer, const char *url, const char *what,
                     rafs_error *err)
{
    char shown[160];

    if (answer->status / 100 == 2)
        return RAFS_OK;
    rafsi_url_show(url, shown, sizeof(shown));
    switch (answer->status) {
    case 404:
        return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, NULL,
                          "%s: there is no such %s (404)", shown, what);
    case 401:
        return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, EACCES, NULL,
                             "%s: the %s wants credentials, or refuses these (401)",
                             shown, what);
    case 403:
        return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, EACCES, NULL,
                             "%s: access to the %s is denied (403)", shown, what);
    default:
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                          "%s: the server answers with status %d", shown, answer->status);
    }
}

int rafsi_url_origin(const char *url, char *out, size_t room, rafs_error *err)
{
    CURLU *parsed = curl_url();
    char *scheme = NULL;
    char *host = NULL;
    char *port = NULL;
    int rc = RAFS_E_BADARG;

    if (!parsed)
        return rafsi_fail_nomem(err, 0);
    if (strlen(url) <= HTTP_URL_MAX &&
        curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0)) {
        for (char *at = host; *at; at++)
            if (*at >= 'A' && *at <= 'Z')
                *at = (char)(*at - 'A' + 'a');
        if ((size_t)snprintf(out, room, "%s://%s:%s", scheme, host, port) < room)
            rc = RAFS_OK;
    }
    if (rc < 0)
        rafsi_fail(err, rc, RAFS_STAGE_FETCH, NULL, "not a usable http or https URL");
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parsed);
    return rc;
}

void rafsi_url_show(const char *url, char *out, size_t room)
{
    const char *rest = strstr(url, "://");
    size_t len = strcspn(url, "?#");
    size_t scheme = rest ? (size_t)(rest + 3 - url) : 0;
    size_t host_end = scheme + strcspn(url + scheme, "/?#");
    const char *user = NULL;

    for (const char *at = url + scheme; at < url + host_end; at++)
        if (*at == '@')
            user = at;
    if (user)
        snprintf(out, room, "%.*s%.*s", (int)scheme, url, (int)(url + len - user - 1),
                 user + 1);
    else
        snprintf(out, room, "%.*s", (int)len, url);
}
