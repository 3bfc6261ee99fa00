/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/http_whole.h"

#include <pthread.h>
#include <time.h>

enum { SLICE_MS = 20 };

/* A thread that nobody needs lets its connection go after so long. */
static const uint64_t idle_ns = 5ull * 1000000000;

/* Somebody who reads. */
struct seat {
    uint64_t pos, until;
    uint64_t number; /* in the order of their coming */
    struct seat *next;
};

struct http_whole {
    const struct http_site *site;
    struct rafsi_env env;
    const char *id;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool lock_ready, cond_ready;
    rafs_cancel *token; /* ends what the thread waits for */
    pthread_t thread;
    bool made;    /* it is to be joined */
    bool running; /* it has not come to its end */
    bool stop;    /* it should */
    uint8_t *room;
    uint64_t begin, end; /* of the blob, in room: byte n at n % HTTP_WHOLE_WINDOW */
    uint64_t total;      /* UINT64_MAX: the end was not seen yet */
    uint64_t failures;   /* streams that broke, and how the last of them did */
    rafs_error failure;
    struct seat *seats;
    uint64_t number;
    uint64_t used_ns; /* when somebody sat there last */
};

static void wait_slice(struct http_whole *whole)
{
    rafsi_wait_ns(&whole->changed, &whole->lock, SLICE_MS * 1000000);
}

/* Bytes that may come in now: some if anybody wants more, but not over what somebody
 * still has to take. The lock is held. */
static size_t space(const struct http_whole *whole)
{
    uint64_t keep = whole->end;
    bool wanted = false;

    for (const struct seat *seat = whole->seats; seat; seat = seat->next) {
        wanted = wanted || seat->until > whole->end;
        if (seat->pos >= whole->begin && seat->pos < keep)
            keep = seat->pos;
    }
    return wanted ? (size_t)(HTTP_WHOLE_WINDOW - (whole->end - keep)) : 0;
}

/* The lock is held. */
static void store(struct http_whole *whole, const uint8_t *at, size_t len)
{
    while (len > 0) {
        size_t to = (size_t)(whole->end % HTTP_WHOLE_WINDOW);
        size_t n = rafsi_min(len, HTTP_WHOLE_WINDOW - to);

        memcpy(whole->room + to, at, n);
        whole->end += n;
        at += n;
        len -= n;
    }
    if (whole->end - whole->begin > HTTP_WHOLE_WINDOW)
        whole->begin = whole->end - HTTP_WHOLE_WINDOW;
}

static int on_piece(void *user, const uint8_t *at, size_t len, rafs_error *err)
{
    struct http_whole *whole = user;
    int rc = RAFS_OK;

    pthread_mutex_lock(&whole->lock);
    while (rc == RAFS_OK && len > 0) {
        size_t n = rafsi_min(space(whole), len);
        uint64_t now = rafsi_monotonic_ns();

        if (whole->seats)
            whole->used_ns = now;
        if (n > 0) {
            store(whole, at, n);
            at += n;
            len -= n;
            pthread_cond_broadcast(&whole->changed);
        } else if (whole->stop || now - whole->used_ns >= idle_ns) {
            rc = rafsi_fail(err, RAFS_E_CANCELLED, RAFS_STAGE_FETCH, NULL,
                            "nobody wants more");
        } else {
            wait_slice(whole);
        }
    }
    pthread_mutex_unlock(&whole->lock);
    return rc;
}

/* The blob from byte `end` on; a server that gives all of it begins before. */
static int stream(struct http_whole *whole, uint64_t end, rafs_error *err)
{
    struct http_progress progress = {.got = end};
    struct http_request request = {
        .piece = on_piece, .user = whole, .piece_max = INT64_MAX, .progress = &progress};
    rafs_call call = RAFS_CALL_INIT;
    struct http_answer answer;
    char url[HTTP_URL_MAX];
    int rc = whole->site->url(whole->site->user, whole->id, url, sizeof(url), err);

    if (rc < 0)
        return rc;
    request.url = url;
    call.cancel = whole->token;
    rc = rafsi_site_get(whole->site, &request, &call, &answer, NULL, err);
    if (rc < 0)
        return rc;
    rc = rafsi_http_judge(&answer, url, "blob", err);
    rafsi_http_drop(whole->site->http, &answer);
    return rc;
}

static void *work(void *user)
{
    struct http_whole *whole = user;
    rafs_error error = RAFS_ERROR_INIT;
    int rc = stream(whole, whole->end, &error);

    pthread_mutex_lock(&whole->lock);
    whole->running = false;
    if (rc == RAFS_OK) {
        whole->total = whole->end;
    } else if (rc != RAFS_E_CANCELLED) {
        whole->failures++;
        whole->failure = error;
    }
    pthread_cond_broadcast(&whole->changed);
    pthread_mutex_unlock(&whole->lock);
    return NULL;
}

/* The thread has come to its end, or there was none. The lock is held: it needs it no
 * more. */
static void join(struct http_whole *whole)
{
    if (whole->made)
        pthread_join(whole->thread, NULL);
    whole->made = false;
}

/* Begin again: where the kept bytes end if they lie before `pos`, else at byte 0. The
 * lock is held. */
static int begin(struct http_whole *whole, uint64_t pos, rafs_error *err)
{
    join(whole);
    if (pos < whole->begin)
        whole->begin = whole->end = 0;
    whole->stop = false;
    rafs_cancel_reset(whole->token);
    whole->used_ns = rafsi_monotonic_ns();
    if (rafsi_thread_start(&whole->thread, work, whole) < 0)
        return rafsi_fail(err, RAFS_E_NOMEM, RAFS_STAGE_FETCH, NULL,
                          "no thread for a server that ignores ranges");
    whole->made = whole->running = true;
    return RAFS_OK;
}

static void sit_down(struct http_whole *whole, struct seat *seat)
{
    seat->number = whole->number++;
    seat->next = whole->seats;
    whole->seats = seat;
}

static void get_up(struct http_whole *whole, struct seat *seat)
{
    struct seat **at = &whole->seats;

    while (*at != seat)
        at = &(*at)->next;
    *at = seat->next;
    whole->used_ns = rafsi_monotonic_ns();
}

/* Is there somebody who came before, and whom the stream will still reach? */
static bool is_needed(const struct http_whole *whole, const struct seat *mine)
{
    for (const struct seat *seat = whole->seats; seat; seat = seat->next)
        if (seat->number < mine->number && seat->pos >= whole->begin)
            return true;
    return false;
}

/* What lies ready; false: nothing. */
static bool take(struct http_whole *whole, struct seat *seat, uint8_t **to)
{
    bool any = false;

    while (seat->pos >= whole->begin && seat->pos < whole->end &&
           seat->pos < seat->until) {
        size_t from = (size_t)(seat->pos % HTTP_WHOLE_WINDOW);
        size_t n = (size_t)rafsi_min(rafsi_min(whole->end, seat->until) - seat->pos,
                                     HTTP_WHOLE_WINDOW - from);

        memcpy(*to, whole->room + from, n);
        *to += n;
        seat->pos += n;
        any = true;
    }
    return any;
}

/* Nothing lies ready: see to it that it will. */
static int urge(struct http_whole *whole, struct seat *seat, rafs_error *err)
{
    if (!whole->running)
        return begin(whole, seat->pos, err);
    if (seat->pos < whole->begin && !is_needed(whole, seat)) {
        whole->stop = true;
        rafs_cancel_fire(whole->token);
    }
    return RAFS_OK;
}

/* The lock is held, but not while it waits. */
static int read_locked(struct http_whole *whole, struct seat *seat, uint8_t *to,
                       rafs_call *bounded, bool own, rafs_error *err)
{
    uint64_t failures = whole->failures;
    uint64_t seen = whole->end;
    bool moved;
    int rc = RAFS_OK;

    while (rc == RAFS_OK && seat->pos < rafsi_min(seat->until, whole->total)) {
        if (take(whole, seat, &to)) {
            pthread_cond_broadcast(&whole->changed);
            continue;
        }
        if (whole->failures != failures) {
            if (err)
                *err = whole->failure;
            return whole->failure.code;
        }
        rc = urge(whole, seat, err);
        if (rc < 0)
            return rc;
        wait_slice(whole);
        moved = own && whole->end >> 20 != seen >> 20;
        seen = whole->end;
        pthread_mutex_unlock(&whole->lock);
        /* As long as bytes pass, it is worth waiting. */
        if (moved)
            bounded->deadline_ns = rafsi_http_bound(whole->site->http, NULL).deadline_ns;
        rc = rafsi_call_check(&whole->env, bounded, RAFS_STAGE_FETCH, err);
        pthread_mutex_lock(&whole->lock);
    }
    return rc;
}

int rafsi_whole_read(struct http_whole *whole, uint64_t offset, uint8_t *buf, size_t len,
                     size_t *nread, const rafs_call *call, rafs_error *err)
{
    struct seat seat = {.pos = offset, .until = offset + len};
    rafs_call bounded = rafsi_http_bound(whole->site->http, call);
    bool own = !call || call->deadline_ns == 0;
    int rc;

    pthread_mutex_lock(&whole->lock);
    sit_down(whole, &seat);
    pthread_cond_broadcast(&whole->changed);
    rc = read_locked(whole, &seat, buf, &bounded, own, err);
    get_up(whole, &seat);
    pthread_cond_broadcast(&whole->changed);
    pthread_mutex_unlock(&whole->lock);
    *nread = rc < 0 ? 0 : (size_t)(seat.pos - offset);
    return rc;
}

static int make_parts(struct http_whole *whole, rafs_error *err)
{
    int rc = rafs_cancel_new(&whole->token, err);

    if (rc < 0)
        return rc;
    whole->lock_ready = pthread_mutex_init(&whole->lock, NULL) == 0;
    whole->cond_ready = rafsi_cond_new(&whole->changed);
    whole->room = rafsi_alloc(&whole->env, HTTP_WHOLE_WINDOW);
    return whole->lock_ready && whole->cond_ready && whole->room
               ? RAFS_OK
               : rafsi_fail_nomem(err, HTTP_WHOLE_WINDOW);
}

int rafsi_whole_new(const struct http_site *site, const char *blob_id,
                    struct http_whole **out, rafs_error *err)
{
    const struct rafsi_env *env = rafsi_http_env(site->http);
    struct http_whole *whole = rafsi_alloc_zero(env, sizeof(*whole));
    int rc;

    if (!whole)
        return rafsi_fail_nomem(err, sizeof(*whole));
    whole->env = *env;
    whole->site = site;
    whole->id = blob_id;
    whole->total = UINT64_MAX;
    rc = make_parts(whole, err);
    if (rc < 0) {
        rafsi_whole_free(whole);
        return rc;
    }
    *out = whole;
    return RAFS_OK;
}

void rafsi_whole_free(struct http_whole *whole)
{
    struct rafsi_env env;

    if (!whole)
        return;
    env = whole->env;
    if (whole->made) {
        pthread_mutex_lock(&whole->lock);
        whole->stop = true;
        pthread_cond_broadcast(&whole->changed);
        pthread_mutex_unlock(&whole->lock);
        rafs_cancel_fire(whole->token);
        join(whole);
    }
    if (whole->cond_ready)
        pthread_cond_destroy(&whole->changed);
    if (whole->lock_ready)
        pthread_mutex_destroy(&whole->lock);
    rafs_cancel_free(whole->token);
    rafsi_free(&env, whole->room);
    rafsi_free(&env, whole);
}
