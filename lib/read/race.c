/* SPDX-License-Identifier: Apache-2.0 */
#include "read/race.h"

#include <time.h>

#include "read/reader.h"

enum {
    LEGS = 2,
    HEDGE_LEAST_MS = 250,
    HEDGE_UNKNOWN_MS = 500, /* as long as nobody knows how fast a source is */
    HEDGE_TIMES = 4,        /* so many times what is usual */
    HEDGE_OFF = 1,
    HEDGES_FREE = 16,    /* so many second requests at first, */
    RACES_PER_HEDGE = 10 /* then one for so many */
};

/* A waiter looks this often whether it was cancelled: see flight.c. */
static const uint64_t slice_ns = 20 * 1000 * 1000;

struct race;

/* One source's attempt. */
struct leg {
    struct race *race;
    size_t source;
    bool done;
    int rc;
    struct rafsi_buffer *bytes; /* with RAFS_OK, until it is taken */
    rafs_error error;
};

/* Shared by the one who waits and the threads at work; the last of them frees it. */
struct race {
    struct rafsi_reader *reader;
    uint32_t blob, cause;
    uint64_t offset;
    size_t len;
    rafs_call call; /* for the legs, but for the token */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned users;
    struct leg legs[LEGS];
};

struct runner {
    pthread_t thread;
    struct racers *racers;
    rafs_cancel *cancel;
    struct leg *leg; /* NULL: idle */
    bool started;
};

struct racers {
    struct rafsi_reader *reader;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t posted;
    bool ending;
    struct runner runners[RACE_THREADS];
};

/* --- a race ----------------------------------------------------------------------------
 */

static struct race *race_new(struct rafsi_reader *reader, const struct ask *ask,
                             const rafs_call *call)
{
    struct race *race = rafsi_alloc_zero(&reader->env, sizeof(*race));

    if (!race)
        return NULL;
    race->reader = reader;
    race->blob = ask->blob;
    race->cause = ask->cause;
    race->offset = ask->offset;
    race->len = ask->len;
    race->call = call ? *call : (rafs_call)RAFS_CALL_INIT;
    race->call.tally = NULL; /* it may be gone before the last of us */
    race->users = 1;
    if (rafsi_lock_new(&race->lock, &race->changed))
        return race;
    rafsi_free(&reader->env, race);
    return NULL;
}

static void race_leave(struct race *race)
{
    struct rafsi_reader *reader = race->reader;
    bool last;

    pthread_mutex_lock(&race->lock);
    last = --race->users == 0;
    pthread_mutex_unlock(&race->lock);
    if (!last)
        return;
    for (size_t i = 0; i < LEGS; i++)
        rafsi_buffer_free(race->legs[i].bytes);
    pthread_cond_destroy(&race->changed);
    pthread_mutex_destroy(&race->lock);
    rafsi_free(&reader->env, race);
}

/* Ask one source, into memory of its own. */
static int ask_source(struct rafsi_reader *reader, const struct race *race, size_t source,
                      const rafs_call *call, struct rafsi_buffer **out, rafs_error *err)
{
    struct rafsi_buffer *bytes = NULL;
    struct blob_source *at;
    int rc = rafsi_blob_open_at(reader, race->blob, source, call, &at, err);

    if (rc == RAFS_OK)
        rc = rafsi_pool_take(reader->pool, race->len, &bytes, err);
    if (rc == RAFS_OK)
        rc = rafsi_blob_fetch(reader, race->blob, at, race->cause, race->offset,
                              bytes->at, race->len, call, err);
    if (rc < 0) {
        rafsi_buffer_free(bytes);
        return rc;
    }
    *out = bytes;
    return RAFS_OK;
}

/* --- threads ---------------------------------------------------------------------------
 */

static void run_leg(struct leg *leg, rafs_cancel *cancel)
{
    struct race *race = leg->race;
    rafs_call call = race->call;
    rafs_error error = RAFS_ERROR_INIT;
    struct rafsi_buffer *bytes = NULL;
    int rc;

    call.cancel = cancel;
    rc = ask_source(race->reader, race, leg->source, &call, &bytes, &error);
    pthread_mutex_lock(&race->lock);
    leg->done = true;
    leg->rc = rc;
    leg->bytes = bytes;
    leg->error = error;
    pthread_cond_broadcast(&race->changed);
    pthread_mutex_unlock(&race->lock);
    race_leave(race);
}

static void *work(void *user)
{
    struct runner *runner = user;
    struct racers *racers = runner->racers;

    pthread_mutex_lock(&racers->lock);
    while (!racers->ending || runner->leg) {
        if (!runner->leg) {
            pthread_cond_wait(&racers->posted, &racers->lock);
            continue;
        }
        pthread_mutex_unlock(&racers->lock);
        run_leg(runner->leg, runner->cancel);
        pthread_mutex_lock(&racers->lock);
        runner->leg = NULL;
        rafs_cancel_reset(runner->cancel);
    }
    pthread_mutex_unlock(&racers->lock);
    return NULL;
}

/* Under the lock: a runner without work, made if there is room. */
static struct runner *idle_runner(struct racers *racers)
{
    for (size_t i = 0; i < RACE_THREADS; i++) {
        struct runner *runner = &racers->runners[i];

        if (!runner->started) {
            runner->racers = racers;
            if (!runner->cancel && rafs_cancel_new(&runner->cancel, NULL) < 0)
                return NULL;
            if (rafsi_thread_start(&runner->thread, work, runner) < 0)
                return NULL;
            runner->started = true;
        }
        if (!runner->leg)
            return runner;
    }
    return NULL;
}

/* Give a leg to a thread; false: all are busy. */
static bool start(struct race *race, struct leg *leg, size_t source)
{
    struct racers *racers = race->reader->racers;
    struct runner *runner;

    leg->race = race;
    leg->source = source;
    leg->done = false;
    pthread_mutex_lock(&race->lock);
    race->users++;
    pthread_mutex_unlock(&race->lock);
    pthread_mutex_lock(&racers->lock);
    runner = racers->ending ? NULL : idle_runner(racers);
    if (runner) {
        runner->leg = leg;
        pthread_cond_broadcast(&racers->posted);
    }
    pthread_mutex_unlock(&racers->lock);
    if (!runner)
        race_leave(race);
    return runner != NULL;
}

/* Stop a leg, if it still runs. */
static void stop(struct race *race, const struct leg *leg)
{
    struct racers *racers = race->reader->racers;

    pthread_mutex_lock(&racers->lock);
    for (size_t i = 0; i < RACE_THREADS; i++)
        if (racers->runners[i].leg == leg)
            rafs_cancel_fire(racers->runners[i].cancel);
    pthread_mutex_unlock(&racers->lock);
}

int rafsi_race_new(struct rafsi_reader *reader, rafs_error *err)
{
    struct racers *racers;
    size_t remote = 0;

    for (size_t i = 0; i < reader->source_count; i++)
        remote += reader->sources[i] && rafsi_backend_remote(reader->sources[i]);
    if (remote == 0 || reader->source_count < 2 ||
        reader->tree->limits.hedge_ms == HEDGE_OFF)
        return RAFS_OK;
    racers = rafsi_alloc_zero(&reader->env, sizeof(*racers));
    if (!racers)
        return rafsi_fail_nomem(err, sizeof(*racers));
    racers->reader = reader;
    if (pthread_mutex_init(&racers->lock, NULL) != 0) {
        rafsi_free(&reader->env, racers);
        return rafsi_fail_nomem(err, sizeof(racers->lock));
    }
    if (pthread_cond_init(&racers->posted, NULL) != 0) {
        pthread_mutex_destroy(&racers->lock);
        rafsi_free(&reader->env, racers);
        return rafsi_fail_nomem(err, sizeof(racers->posted));
    }
    reader->racers = racers;
    return RAFS_OK;
}

void rafsi_race_free(struct rafsi_reader *reader)
{
    struct racers *racers = reader->racers;

    if (!racers)
        return;
    pthread_mutex_lock(&racers->lock);
    racers->ending = true;
    for (size_t i = 0; i < RACE_THREADS; i++)
        if (racers->runners[i].leg)
            rafs_cancel_fire(racers->runners[i].cancel);
    pthread_cond_broadcast(&racers->posted);
    pthread_mutex_unlock(&racers->lock);
    for (size_t i = 0; i < RACE_THREADS; i++) {
        if (racers->runners[i].started)
            pthread_join(racers->runners[i].thread, NULL);
        rafs_cancel_free(racers->runners[i].cancel);
    }
    pthread_cond_destroy(&racers->posted);
    pthread_mutex_destroy(&racers->lock);
    rafsi_free(&reader->env, racers);
    reader->racers = NULL;
}

/* --- the one who waits -----------------------------------------------------------------
 */

/* A link that is full makes all sources slow at once: then more requests would only make
 * it worse. A source that is slow alone needs few, since it is asked last after them. */
static bool affordable(struct rafsi_reader *reader)
{
    uint64_t most =
        HEDGES_FREE +
        atomic_load_explicit(&reader->raced, memory_order_relaxed) / RACES_PER_HEDGE;

    return atomic_load_explicit(&reader->hedged, memory_order_relaxed) < most;
}

/* How long a source may take before another is asked too. */
static uint64_t patience_ns(const struct rafsi_reader *reader, const struct ask *ask)
{
    uint64_t set_ms = reader->tree->limits.hedge_ms;
    uint64_t own = rafsi_health_usual_ns(reader, ask->source, ask->len);
    uint64_t other = rafsi_health_usual_ns(reader, ask->backup, ask->len);
    uint64_t least = (uint64_t)HEDGE_LEAST_MS * 1000000;
    uint64_t usual = own && other ? rafsi_min(own, other) : own ? own : other;

    if (set_ms > 0)
        return set_ms * 1000000;
    if (usual == 0)
        return (uint64_t)HEDGE_UNKNOWN_MS * 1000000;
    return usual * HEDGE_TIMES > least ? usual * HEDGE_TIMES : least;
}

struct seen {
    bool running;       /* somebody is still at it */
    struct leg *winner; /* NULL: none yet */
};

static struct seen look(struct race *race, unsigned started)
{
    struct seen seen = {false, NULL};

    for (unsigned i = 0; i < started; i++) {
        struct leg *leg = &race->legs[i];

        seen.running |= !leg->done;
        if (leg->done && leg->rc == RAFS_OK && !seen.winner)
            seen.winner = leg;
    }
    return seen;
}

/* Wait until something happens, for a moment at most. */
static struct seen wait_slice(struct race *race, unsigned started, uint64_t most_ns)
{
    uint64_t wait_ns = rafsi_min(most_ns, slice_ns);
    struct seen seen;

    pthread_mutex_lock(&race->lock);
    seen = look(race, started);
    if (!seen.winner && seen.running) {
        rafsi_wait_ns(&race->changed, &race->lock, (long)wait_ns);
        seen = look(race, started);
    }
    pthread_mutex_unlock(&race->lock);
    return seen;
}

static bool is_done(struct race *race, const struct leg *leg)
{
    bool done;

    pthread_mutex_lock(&race->lock);
    done = leg->done;
    pthread_mutex_unlock(&race->lock);
    return done;
}

/* Leave the race with its result; whoever still runs is stopped. */
static int finish(struct race *race, struct ask *ask, unsigned started,
                  struct leg *winner, int rc, struct rafsi_buffer **out, rafs_error *err)
{
    struct rafsi_reader *reader = race->reader;

    for (unsigned i = 0; i < started; i++) {
        struct leg *leg = &race->legs[i];

        if (leg == winner || is_done(race, leg))
            continue;
        /* Who was beaten by one who began later, or let the time pass, is slow. */
        if (rc == RAFS_E_TIMEOUT || (winner && i == 0))
            rafsi_health_fail(reader, race->blob, leg->source, RAFS_E_TIMEOUT);
        stop(race, leg);
    }
    if (winner) {
        ask->source = winner->source;
        if (winner != &race->legs[0])
            atomic_fetch_add_explicit(&reader->hedges_won, 1, memory_order_relaxed);
        pthread_mutex_lock(&race->lock);
        *out = winner->bytes;
        winner->bytes = NULL;
        pthread_mutex_unlock(&race->lock);
        rc = RAFS_OK;
    } else if (rc == RAFS_OK) { /* all failed, so nobody writes there any more */
        rc = race->legs[0].rc;
        *err = race->legs[0].error;
        if (started == LEGS) {
            ask->backup_rc = race->legs[1].rc;
            ask->backup_error = race->legs[1].error;
        }
    }
    race_leave(race);
    return rc;
}

static int watch(struct race *race, struct ask *ask, uint64_t begun,
                 const rafs_call *call, struct rafsi_buffer **out, rafs_error *err)
{
    struct rafsi_reader *reader = race->reader;
    uint64_t patience = patience_ns(reader, ask);
    struct seen seen = {true, NULL};
    unsigned started = 1;
    bool hedge = true; /* not tried yet */
    int rc = RAFS_OK;

    while (rc == RAFS_OK && seen.running && !seen.winner) {
        uint64_t took = rafsi_now_ns(&reader->env) - begun;

        if (hedge && took >= patience) {
            hedge = false;
            if (affordable(reader) && start(race, &race->legs[1], ask->backup)) {
                started = LEGS;
                atomic_fetch_add_explicit(&reader->hedged, 1, memory_order_relaxed);
                rafsi_stats_hedge(&reader->stats, ask->backup);
            }
        }
        seen = wait_slice(race, started, hedge ? patience - took : UINT64_MAX);
        if (seen.running && !seen.winner)
            rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_FETCH, err);
    }
    return finish(race, ask, started, seen.winner, rc, out, err);
}

int rafsi_race(struct rafsi_reader *reader, struct ask *ask, const rafs_call *call,
               struct rafsi_buffer **out, rafs_error *err)
{
    struct race direct = {
        .blob = ask->blob, .cause = ask->cause, .offset = ask->offset, .len = ask->len};
    struct race *race = NULL;
    uint64_t begun = 0;

    ask->backup_rc = RAFS_OK;
    if (reader->racers && ask->backup != NO_SOURCE &&
        rafsi_backend_remote(reader->sources[ask->source]))
        race = race_new(reader, ask, call);
    if (race) {
        atomic_fetch_add_explicit(&reader->raced, 1, memory_order_relaxed);
        begun = rafsi_now_ns(&reader->env);
    }
    if (race && start(race, &race->legs[0], ask->source))
        return watch(race, ask, begun, call, out, err);
    if (race)
        race_leave(race);
    return ask_source(reader, &direct, ask->source, call, out, err);
}
