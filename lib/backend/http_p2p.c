/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/http_p2p.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

enum {
    INTERVAL_MS = 5000, /* between health checks, and for which a failing one is passed */
    INTERVAL_DOUBLINGS = 4,
    PING_MS = 2000,
    PART_MS = 5000,  /* of a request through the proxy, as long as there is another way */
    FAILURES_MAX = 3 /* in a row; one that cannot even be reached is passed at once */
};

struct http_p2p {
    char *proxy;
    char *ping; /* NULL: it is believed to be well */
    uint32_t flags;
    uint32_t interval_ms;
    pthread_mutex_t lock; /* guards all below */
    bool checking;
    bool healthy;
    uint64_t checked_ns; /* 0: never */
    unsigned failures;   /* in a row */
    uint64_t down_until_ns;
};

static int copy(rafs_http *http, const char *text, const char *what, char **out,
                rafs_error *err)
{
    char origin[300];

    if (rafsi_url_origin(text, origin, sizeof(origin), NULL) < 0)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_p2p_options",
                          "%s is no http or https URL", what);
    *out = rafsi_strdup(rafsi_http_env(http), text);
    return *out ? RAFS_OK : rafsi_fail_nomem(err, strlen(text));
}

int rafsi_p2p_new(rafs_http *http, const rafs_p2p_options *options, struct http_p2p **out,
                  rafs_error *err)
{
    const struct rafsi_env *env = rafsi_http_env(http);
    rafs_p2p_options from;
    struct http_p2p *p2p;
    int rc = rafsi_take_struct(options, &from, sizeof(from), "rafs_p2p_options", err);

    if (rc == RAFS_OK && (from.flags & ~(uint32_t)(RAFS_P2P_STRICT | RAFS_P2P_USE_HTTP)))
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "rafs_p2p_options",
                        "flags 0x%x are not known", from.flags);
    if (rc == RAFS_OK && !from.proxy)
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_p2p_options",
                        "proxy is NULL");
    if (rc < 0)
        return rc;
    p2p = rafsi_alloc_zero(env, sizeof(*p2p));
    if (!p2p)
        return rafsi_fail_nomem(err, sizeof(*p2p));
    if (pthread_mutex_init(&p2p->lock, NULL) != 0) {
        rafsi_free(env, p2p);
        return rafsi_fail_nomem(err, sizeof(p2p->lock));
    }
    p2p->flags = from.flags;
    p2p->interval_ms = from.check_interval_ms ? from.check_interval_ms : INTERVAL_MS;
    rc = copy(http, from.proxy, "proxy", &p2p->proxy, err);
    if (rc == RAFS_OK && from.ping && *from.ping)
        rc = copy(http, from.ping, "ping", &p2p->ping, err);
    if (rc < 0)
        rafsi_p2p_free(http, p2p);
    else
        *out = p2p;
    return rc;
}

void rafsi_p2p_free(rafs_http *http, struct http_p2p *p2p)
{
    const struct rafsi_env *env = rafsi_http_env(http);

    if (!p2p)
        return;
    pthread_mutex_destroy(&p2p->lock);
    rafsi_free(env, p2p->proxy);
    rafsi_free(env, p2p->ping);
    rafsi_free(env, p2p);
}

bool rafsi_p2p_passable(const struct http_p2p *p2p)
{
    return !(p2p->flags & RAFS_P2P_STRICT);
}

static rafs_call part_of(rafs_http *http, const rafs_call *call, uint64_t ms)
{
    rafs_call part = rafsi_http_bound(http, call);
    uint64_t now = rafsi_now_ns(rafsi_http_env(http));
    uint64_t left = part.deadline_ns > now ? part.deadline_ns - now : 0;

    part.deadline_ns = now + rafsi_min(left / 2, ms * 1000000);
    return part;
}

/* A bare GET, past all proxies. */
static bool answers(rafs_http *http, const struct http_p2p *p2p, const rafs_call *call)
{
    uint8_t body[4096];
    struct http_request request = {.url = p2p->ping,
                                   .buf = body,
                                   .len = sizeof(body),
                                   .once = true,
                                   .bare = true,
                                   .via = ""};
    rafs_call part = part_of(http, call, PING_MS);
    struct http_answer answer;
    bool good;

    if (rafsi_http_try(http, &request, &part, &answer, NULL) < 0)
        return false;
    good = answer.status >= 200 && answer.status < 400;
    rafsi_http_drop(http, &answer);
    return good;
}

/* May data come through the proxy now? Now and then one of those who ask looks whether it
 * is well; until that is known for the first time, the others go the other way. */
static bool is_well(rafs_http *http, struct http_p2p *p2p, const rafs_call *call)
{
    uint64_t now = rafsi_now_ns(rafsi_http_env(http));
    bool look, well;

    pthread_mutex_lock(&p2p->lock);
    look = p2p->ping && !p2p->checking &&
           (p2p->checked_ns == 0 ||
            now - p2p->checked_ns >= (uint64_t)p2p->interval_ms * 1000000);
    p2p->checking |= look;
    well = (!p2p->ping || p2p->healthy) && now >= p2p->down_until_ns;
    pthread_mutex_unlock(&p2p->lock);
    if (!look)
        return well;
    well = answers(http, p2p, call);
    now = rafsi_now_ns(rafsi_http_env(http));
    pthread_mutex_lock(&p2p->lock);
    p2p->checking = false;
    p2p->checked_ns = now ? now : 1;
    p2p->healthy = well;
    well = well && now >= p2p->down_until_ns;
    pthread_mutex_unlock(&p2p->lock);
    return well;
}

/* How a request through the proxy ended. */
static void note(rafs_http *http, struct http_p2p *p2p, bool good, const rafs_error *why)
{
    uint64_t now = rafsi_now_ns(rafsi_http_env(http));
    bool unreachable = why->os_errno == ECONNREFUSED || why->os_errno == EHOSTUNREACH ||
                       why->os_errno == ETIMEDOUT || why->code == RAFS_E_TIMEOUT;

    pthread_mutex_lock(&p2p->lock);
    p2p->failures = good ? 0 : p2p->failures + 1;
    if (!good && (unreachable || p2p->failures >= FAILURES_MAX))
        p2p->down_until_ns = now + ((uint64_t)p2p->interval_ms * 1000000
                                    << rafsi_min(p2p->failures - 1, INTERVAL_DOUBLINGS));
    pthread_mutex_unlock(&p2p->lock);
}

/* Is this the answer of the server behind the proxy, and one to go on with? */
static bool is_useful(const struct http_answer *answer)
{
    if (answer->error_type && strcmp(answer->error_type, "proxy") == 0)
        return false;
    return answer->status / 100 == 2 || answer->status / 100 == 3 ||
           answer->status == 416 || (answer->status == 401 && answer->authenticate);
}

/* Through the proxy. RAFS_OK: an answer, whatever its status. */
static int through(rafs_http *http, const struct http_p2p *p2p,
                   const struct http_request *request, bool once, const rafs_call *call,
                   struct http_answer *answer, rafs_error *err)
{
    struct http_request via = *request;
    bool ahead = call && (call->flags & RAFS_CALL_AHEAD);
    char *plain = NULL;
    int rc;

    if (via.header_count + 3 > HTTP_HEADERS_MAX)
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_FETCH, NULL,
                          "a request with too many headers");
    via.via = p2p->proxy;
    via.once = once || request->once;
    via.headers[via.header_count++] = "X-Dragonfly-Prefetch: true";
    via.headers[via.header_count++] = "X-Dragonfly-Use-P2P: true";
    via.headers[via.header_count++] =
        ahead ? "X-Dragonfly-Priority: 3" : "X-Dragonfly-Priority: 6";
    if ((p2p->flags & RAFS_P2P_USE_HTTP) && strncmp(request->url, "https://", 8) == 0) {
        size_t room = strlen(request->url);

        plain = rafsi_alloc(rafsi_http_env(http), room);
        if (!plain)
            return rafsi_fail_nomem(err, room);
        snprintf(plain, room, "http://%s", request->url + 8);
        via.sent_url = plain;
    }
    rc = rafsi_http_try(http, &via, call, answer, err);
    rafsi_free(rafsi_http_env(http), plain);
    return rc;
}

/* Only through the proxy: wait until it is well, and tell what it says of itself. */
static int strictly(rafs_http *http, struct http_p2p *p2p,
                    const struct http_request *request, const rafs_call *call,
                    struct http_answer *answer, rafs_error *err)
{
    static const char off[] = "and going past it is not allowed";
    rafs_call bounded = rafsi_http_bound(http, call);
    rafs_error why = RAFS_ERROR_INIT;
    char cause[160];
    int rc;

    for (unsigned tries = 0; !is_well(http, p2p, &bounded); tries++) {
        rc = rafsi_http_pause(http, tries, 0, &bounded, &why);
        if (rc == RAFS_E_CANCELLED)
            return rafsi_call_check(rafsi_http_env(http), &bounded, RAFS_STAGE_FETCH,
                                    err);
        if (rc < 0)
            return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, EIO, NULL,
                                 "the peer-to-peer proxy is not healthy, %s", off);
    }
    rc = through(http, p2p, request, false, call, answer, &why);
    if (rc == RAFS_OK && answer->error_type && strcmp(answer->error_type, "proxy") == 0) {
        rc = rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, EACCES, NULL,
                           "the peer-to-peer proxy itself refuses (%d), %s",
                           answer->status, off);
        rafsi_http_drop(http, answer);
        return rc;
    }
    if (rc == RAFS_OK || !err)
        return rc;
    snprintf(cause, sizeof(cause), "%.150s", why.text);
    return rafsi_fail_os(err, rc, RAFS_STAGE_FETCH, why.os_errno, NULL,
                         "the peer-to-peer proxy fails, %s: %s", off, cause);
}

int rafsi_p2p_do(rafs_http *http, struct http_p2p *p2p,
                 const struct http_request *request, const rafs_call *call,
                 struct http_answer *answer, rafs_error *err)
{
    struct http_progress own = {0};
    struct http_request direct = *request;
    rafs_error why = RAFS_ERROR_INIT;
    rafs_call part;
    bool good;
    int rc;

    if (!rafsi_p2p_passable(p2p))
        return strictly(http, p2p, request, call, answer, err);
    if (call && (call->flags & RAFS_CALL_FRESH)) {
        note(http, p2p, false, &why); /* it gave wrong bytes */
        return rafsi_http_try(http, &direct, call, answer, err);
    }
    if (!is_well(http, p2p, call))
        return rafsi_http_try(http, &direct, call, answer, err);
    /* What came through the proxy before it failed need not come again. */
    if (!direct.progress)
        direct.progress = &own;
    part = part_of(http, call, PART_MS);
    rc = through(http, p2p, &direct, true, &part, answer, &why);
    if (rc == RAFS_E_CANCELLED || rc == RAFS_E_NOMEM || rc == RAFS_E_LIMIT) {
        if (err)
            *err = why;
        return rc;
    }
    good = rc == RAFS_OK && is_useful(answer);
    note(http, p2p, good, &why);
    if (good)
        return RAFS_OK;
    if (rc == RAFS_OK)
        rafsi_http_drop(http, answer);
    rafsi_log(rafsi_http_env(http), RAFS_LOG_INFO,
              "the peer-to-peer proxy failed; asking the server: %s", why.text);
    rafs_call_count(call, RAFS_EVENT_FAILOVER, 1);
    return rafsi_http_try(http, &direct, call, answer, err);
}
