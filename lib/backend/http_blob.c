/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/http_blob.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "backend/http_address.h"
#include "backend/http_whole.h"

enum {
    HOPS_MAX = 5,
    REFUSED_MAX = 3 /* URLs that the origin gives and that do not work */
};

/* Presigned URLs live for minutes; what is older is asked for anew before it fails. */
static const uint64_t redirect_life_ns = 300ull * 1000000000;

/* A server that ignores ranges is not asked for one for so long. */
static const uint64_t whole_life_ns = 300ull * 1000000000;

struct site {
    struct http_site of;
    struct rafsi_env env;
    /* Until when the server is known to ignore ranges; 0: it does not. */
    atomic_uint_least64_t whole_until_ns;
};

struct site_blob {
    pthread_mutex_t lock;
    char *redirect; /* NULL: none */
    uint64_t redirect_at_ns;
    struct http_whole *whole; /* NULL: not needed so far */
    char id[RAFS_BLOB_ID_MAX + 1];
};

int rafsi_site_may_send(const char *from, const char *to, char *origin, size_t room,
                        rafs_error *err)
{
    int rc = to ? rafsi_url_origin(to, origin, room, NULL) : RAFS_E_BADARG;

    if (rc < 0)
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                          "the server redirects to what is no http or https URL, or "
                          "one with a user in it");
    if (strncmp(from, "https:", 6) == 0 && strncmp(origin, "https:", 6) != 0)
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                          "the server redirects from https to http, which is refused");
    if (rafsi_origin_link_local(origin))
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                          "the server redirects to a link-local address, which is "
                          "refused");
    return RAFS_OK;
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 ||
           status == 308;
}

/* One way from the origin to an answer. */
struct chase {
    const struct http_site *site;
    struct http_request *request;
    struct http_answer *answer;
    char *at;  /* where we were sent to; NULL: we are at the origin */
    bool away; /* from the origin */
};

/* Ask where we are. Who once was sent away gets no credentials any more, even if he is
 * sent back: the way there was chosen by somebody else. */
static int ask_here(struct chase *chase, const rafs_call *call, rafs_error *err)
{
    const struct http_site *site = chase->site;

    chase->request->once = chase->request->guarded = chase->away;
    return chase->away
               ? rafsi_http_do(site->http, chase->request, call, chase->answer, err)
               : site->ask(site->user, chase->request, call, chase->answer, err);
}

/* From the origin along redirects. */
static int follow(struct chase *chase, const char *home, const rafs_call *call,
                  rafs_error *err)
{
    const struct rafsi_env *env = rafsi_http_env(chase->site->http);
    const char *first = chase->request->url;
    char origin[300];
    int rc;

    for (unsigned hop = 0;; hop++) {
        rc = ask_here(chase, call, err);
        if (rc < 0 || !is_redirect(chase->answer->status))
            break;
        if (hop == HOPS_MAX)
            rc = rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                            "the server redirects more than %d times", HOPS_MAX);
        else
            rc = rafsi_site_may_send(chase->request->url, chase->answer->location, origin,
                                     sizeof(origin), err);
        if (rc == RAFS_OK) {
            rafs_call_count(call, RAFS_EVENT_REDIRECT, 1);
            rafsi_free(env, chase->at);
            chase->at = chase->answer->location;
            chase->answer->location = NULL;
            chase->request->url = chase->at;
            chase->away = chase->away || strcmp(origin, home) != 0;
        }
        rafsi_http_drop(chase->site->http, chase->answer);
        if (rc < 0) {
            chase->away = false; /* asking again would lead here again */
            break;
        }
    }
    chase->request->url = first;
    return rc;
}

/* May another URL from the origin help where this one led? */
static bool is_worth_another(const struct chase *chase, int rc, unsigned *refused)
{
    enum http_verdict verdict = chase->request->progress->verdict;

    if (!chase->away)
        return false;
    if (rc == RAFS_OK)
        return chase->answer->status / 100 != 2 && chase->answer->status != 416 &&
               ++*refused < REFUSED_MAX;
    if (rc != RAFS_E_BACKEND || verdict == HTTP_FINAL)
        return false;
    return verdict == HTTP_AGAIN || ++*refused < REFUSED_MAX;
}

int rafsi_site_get(const struct http_site *site, struct http_request *request,
                   const rafs_call *call, struct http_answer *answer, char **where,
                   rafs_error *err)
{
    const struct rafsi_env *env = rafsi_http_env(site->http);
    struct http_progress own = {0};
    struct http_progress *progress = request->progress ? request->progress : &own;
    rafs_call bounded = rafsi_http_bound(site->http, call);
    struct chase chase;
    unsigned refused = 0;
    unsigned idle = 0;
    char home[300];
    int rc = rafsi_url_origin(request->url, home, sizeof(home), err);

    if (rc < 0)
        return rc;
    request->progress = progress;
    for (;;) {
        uint64_t before = progress->got;

        chase = (struct chase){.site = site, .request = request, .answer = answer};
        rc = follow(&chase, home, call, err);
        idle = progress->got > before ? 0 : idle + 1;
        if (!is_worth_another(&chase, rc, &refused) ||
            (rc < 0 && idle > 0 && (bounded.flags & RAFS_CALL_ONCE)))
            break;
        /* err stays: it says what is wrong with that place. */
        if (rafsi_http_pause(site->http, idle, progress->retry_ms, &bounded, NULL) < 0)
            break;
        rafs_call_count(call, RAFS_EVENT_RETRY, 1);
        if (rc == RAFS_OK)
            rafsi_http_drop(site->http, answer);
        rafsi_free(env, chase.at);
    }
    request->progress = progress == &own ? NULL : progress;
    request->once = request->guarded = false;
    if (rc == RAFS_OK && where && chase.at && answer->status / 100 == 2) {
        *where = chase.at;
        chase.at = NULL;
    }
    rafsi_free(env, chase.at);
    return rc;
}

/* Room is HTTP_URL_MAX + 1: nobody's allocator is called under the lock. */
static bool take_redirect(const struct site *site, struct site_blob *blob, char *out)
{
    uint64_t now = rafsi_now_ns(&site->env);
    bool any;

    pthread_mutex_lock(&blob->lock);
    any = blob->redirect && now - blob->redirect_at_ns < redirect_life_ns &&
          strlen(blob->redirect) <= HTTP_URL_MAX;
    if (any)
        memcpy(out, blob->redirect, strlen(blob->redirect) + 1);
    pthread_mutex_unlock(&blob->lock);
    return any;
}

/* Remember a URL (taken), or forget the one that was refused. */
static void put_redirect(const struct site *site, struct site_blob *blob, char *url,
                         const char *refused)
{
    uint64_t now = rafsi_now_ns(&site->env);
    char *old = NULL;

    pthread_mutex_lock(&blob->lock);
    if (url || (refused && blob->redirect && strcmp(blob->redirect, refused) == 0)) {
        old = blob->redirect;
        blob->redirect = url;
        blob->redirect_at_ns = now;
    }
    pthread_mutex_unlock(&blob->lock);
    rafsi_free(&site->env, old);
}

/* The URL that answered last time, without asking the origin. False: ask it. */
static bool get_redirected(const struct site *site, struct site_blob *blob,
                           struct http_request *request, const rafs_call *call,
                           struct http_answer *answer)
{
    char url[HTTP_URL_MAX + 1];
    struct http_request direct = *request;
    bool good;

    if (!take_redirect(site, blob, url))
        return false;
    direct.url = url;
    direct.once = direct.guarded = true;
    good = rafsi_http_do(site->of.http, &direct, call, answer, NULL) == RAFS_OK;
    if (good && answer->status != 200 && answer->status != 206) {
        rafsi_http_drop(site->of.http, answer);
        good = false;
    }
    if (!good)
        put_redirect(site, blob, NULL, url);
    return good;
}

static int get_range(const struct site *site, struct site_blob *blob, uint64_t offset,
                     void *buf, size_t len, const rafs_call *call,
                     struct http_answer *answer, rafs_error *err)
{
    struct http_progress progress = {0};
    struct http_request request = {.ranged = true,
                                   .offset = offset,
                                   .buf = buf,
                                   .len = len,
                                   .progress = &progress,
                                   .data = true};
    char url[HTTP_URL_MAX];
    char *where = NULL;
    int rc;

    if (get_redirected(site, blob, &request, call, answer))
        return RAFS_OK;
    rc = site->of.url(site->of.user, blob->id, url, sizeof(url), err);
    request.url = url;
    if (rc == RAFS_OK)
        rc = rafsi_site_get(&site->of, &request, call, answer, &where, err);
    if (where)
        put_redirect(site, blob, where, NULL);
    if (rc < 0 || answer->status == 416)
        return rc;
    rc = rafsi_http_judge(answer, url, "blob", err);
    if (rc < 0)
        rafsi_http_drop(site->of.http, answer);
    return rc;
}

static int site_open(void *user, const char *blob_id, void **out, const rafs_call *call,
                     rafs_error *err)
{
    struct site *site = user;
    struct site_blob *blob = rafsi_alloc_zero(&site->env, sizeof(*blob));

    (void)call;
    if (!blob)
        return rafsi_fail_nomem(err, sizeof(*blob));
    if (pthread_mutex_init(&blob->lock, NULL) != 0) {
        rafsi_free(&site->env, blob);
        return rafsi_fail_nomem(err, sizeof(*blob));
    }
    snprintf(blob->id, sizeof(blob->id), "%s", blob_id);
    *out = blob;
    return RAFS_OK;
}

static void site_close(void *user, void *handle)
{
    struct site *site = user;
    struct site_blob *blob = handle;

    rafsi_whole_free(blob->whole);
    pthread_mutex_destroy(&blob->lock);
    rafsi_free(&site->env, blob->redirect);
    rafsi_free(&site->env, blob);
}

static int site_size(void *user, void *blob, uint64_t *size, const rafs_call *call,
                     rafs_error *err)
{
    struct site *site = user;
    struct http_answer answer;
    uint8_t byte;
    uint64_t total;
    int rc = get_range(site, blob, 0, &byte, 1, call, &answer, err);

    if (rc < 0)
        return rc;
    total = answer.status == 416 ? 0 : answer.total;
    rafsi_http_drop(site->of.http, &answer);
    if (total == UINT64_MAX)
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                          "the server does not tell how long it is");
    *size = total;
    return RAFS_OK;
}

/* Did it send more than was asked for, because it always will? */
static void note_whole(struct site *site, const struct http_answer *answer,
                       uint64_t offset, size_t len)
{
    if (!answer->range_ignored || (offset == 0 && answer->total <= len))
        return;
    if (atomic_load(&site->whole_until_ns) == 0)
        rafsi_log(&site->env, RAFS_LOG_WARNING,
                  "a server ignores ranges: what is wanted of a blob is taken out of all "
                  "of it as it passes");
    atomic_store(&site->whole_until_ns, rafsi_now_ns(&site->env) + whole_life_ns);
}

/* The blob's stream, if its server ignores ranges and there is memory for it. */
static struct http_whole *whole_of(struct site *site, struct site_blob *blob)
{
    uint64_t until = atomic_load(&site->whole_until_ns);
    struct http_whole *whole;
    struct http_whole *mine = NULL;

    if (until == 0 || rafsi_now_ns(&site->env) >= until)
        return NULL;
    pthread_mutex_lock(&blob->lock);
    whole = blob->whole;
    pthread_mutex_unlock(&blob->lock);
    if (whole || rafsi_whole_new(&site->of, blob->id, &mine, NULL) < 0)
        return whole;
    pthread_mutex_lock(&blob->lock);
    whole = blob->whole;
    if (!whole) {
        whole = blob->whole = mine;
        mine = NULL;
    }
    pthread_mutex_unlock(&blob->lock);
    rafsi_whole_free(mine);
    return whole;
}

static int site_read(void *user, void *blob, uint64_t offset, void *buf, size_t len,
                     size_t *nread, const rafs_call *call, rafs_error *err)
{
    struct site *site = user;
    struct http_answer answer;
    struct http_whole *whole;
    int rc;

    *nread = 0;
    if (len == 0)
        return RAFS_OK;
    whole = whole_of(site, blob);
    if (whole)
        return rafsi_whole_read(whole, offset, buf, len, nread, call, err);
    rc = get_range(site, blob, offset, buf, len, call, &answer, err);
    if (rc < 0)
        return rc;
    *nread = answer.status == 416 ? 0 : answer.len;
    note_whole(site, &answer, offset, len);
    rafsi_http_drop(site->of.http, &answer);
    return RAFS_OK;
}

static void site_release(void *user)
{
    struct site *site = user;
    struct rafsi_env env = site->env;

    if (site->of.release)
        site->of.release(site->of.user);
    rafsi_free(&env, site);
}

int rafsi_backend_new_site(const struct http_site *of, rafs_backend **out,
                           rafs_error *err)
{
    const struct rafsi_env *env = rafsi_http_env(of->http);
    rafs_backend_ops ops = {
        .struct_size = sizeof(ops),
        .flags = RAFS_BACKEND_REMOTE |
                 (rafsi_http_relayed(of->http) ? RAFS_BACKEND_RELAYED : 0u),
        .open = site_open,
        .size = site_size,
        .read = site_read,
        .close = site_close,
        .release = site_release,
        .name = of->name ? of->name : "http"};
    struct site *site = rafsi_alloc(env, sizeof(*site));
    int rc;

    if (!site)
        return rafsi_fail_nomem(err, sizeof(*site));
    site->of = *of;
    atomic_init(&site->whole_until_ns, 0);
    site->of.name = NULL;
    site->env = *env;
    rc = rafs_backend_new(&ops, site, &env->set, out, err);
    if (rc < 0)
        rafsi_free(env, site);
    return rc;
}
