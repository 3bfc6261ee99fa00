/* SPDX-License-Identifier: Apache-2.0 */
#include "read/flight.h"

#include <pthread.h>
#include <time.h>

enum { LANES = 16 };

/* A waiter looks this often whether it was cancelled: a token fired in a signal handler
 * cannot wake a condition variable. */
static const long slice_ns = 20 * 1000 * 1000;

struct rafsi_flight {
    struct rafsi_cache_key key;
    struct rafsi_flight *next;
    unsigned users; /* leader and waiters */
    bool landed;
    int rc;
    struct verified *good;
    rafs_error error;
};

struct lane {
    pthread_mutex_t lock;
    pthread_cond_t landed;
    struct rafsi_flight *first;
};

struct rafsi_flights {
    struct rafsi_env env;
    unsigned ready;
    struct lane lanes[LANES];
};

int rafsi_flights_new(const struct rafsi_env *env, struct rafsi_flights **out,
                      rafs_error *err)
{
    struct rafsi_flights *flights = rafsi_alloc_zero(env, sizeof(*flights));

    if (!flights)
        return rafsi_fail_nomem(err, sizeof(*flights));
    flights->env = *env;
    for (; flights->ready < LANES; flights->ready++) {
        struct lane *lane = &flights->lanes[flights->ready];

        if (rafsi_lock_new(&lane->lock, &lane->landed))
            continue;
        rafsi_flights_free(flights);
        return rafsi_fail_nomem(err, sizeof(struct lane));
    }
    *out = flights;
    return RAFS_OK;
}

void rafsi_flights_free(struct rafsi_flights *flights)
{
    if (!flights)
        return;
    for (unsigned i = 0; i < flights->ready; i++) {
        pthread_mutex_destroy(&flights->lanes[i].lock);
        pthread_cond_destroy(&flights->lanes[i].landed);
    }
    rafsi_free(&flights->env, flights);
}

static struct lane *lane_of(struct rafsi_flights *flights,
                            const struct rafsi_cache_key *key)
{
    return &flights->lanes[rafsi_cache_key_hash(key) % LANES];
}

/* Leave a flight; frees it after the last one. */
static void leave(struct rafsi_flights *flights, struct rafsi_flight *flight)
{
    struct lane *lane = lane_of(flights, &flight->key);
    bool last;

    pthread_mutex_lock(&lane->lock);
    last = --flight->users == 0;
    pthread_mutex_unlock(&lane->lock);
    if (!last)
        return;
    rafsi_verified_drop(flight->good);
    rafsi_free(&flights->env, flight);
}

/* Find the flight of a key, or start `fresh`. Says which by whether fresh was taken. */
static struct rafsi_flight *board(struct lane *lane, struct rafsi_flight *fresh)
{
    struct rafsi_flight *flight;

    pthread_mutex_lock(&lane->lock);
    flight = lane->first;
    while (flight && !rafsi_cache_key_equal(&flight->key, &fresh->key))
        flight = flight->next;
    if (flight) {
        flight->users++;
    } else {
        fresh->next = lane->first;
        lane->first = fresh;
        flight = fresh;
    }
    pthread_mutex_unlock(&lane->lock);
    return flight;
}

static void wait_slice(struct lane *lane, const struct rafsi_flight *flight, bool *landed)
{
    pthread_mutex_lock(&lane->lock);
    if (!flight->landed)
        rafsi_wait_ns(&lane->landed, &lane->lock, slice_ns);
    *landed = flight->landed;
    pthread_mutex_unlock(&lane->lock);
}

/* Wait for somebody else's flight. RAFS_OK without *good: try again. */
static int wait_for(struct rafsi_flights *flights, struct rafsi_flight *flight,
                    const rafs_call *call, struct verified **good, rafs_error *err)
{
    struct lane *lane = lane_of(flights, &flight->key);
    bool landed = false;
    int rc = RAFS_OK;

    while (!landed && rc == RAFS_OK) {
        rc = rafsi_call_check(&flights->env, call, RAFS_STAGE_FETCH, err);
        if (rc == RAFS_OK)
            wait_slice(lane, flight, &landed);
    }
    if (landed && flight->rc == RAFS_OK) {
        rc = RAFS_OK;
        *good = rafsi_verified_hold(flight->good);
    } else if (landed && flight->rc != RAFS_E_TIMEOUT && flight->rc != RAFS_E_CANCELLED &&
               flight->rc != RAFS_E_NOMEM) {
        rc = flight->rc;
        if (err)
            *err = flight->error;
    }
    leave(flights, flight);
    return rc;
}

static struct rafsi_flight *make(struct rafsi_flights *flights,
                                 const struct rafsi_cache_key *key)
{
    struct rafsi_flight *fresh = rafsi_alloc(&flights->env, sizeof(*fresh));

    if (!fresh)
        return NULL;
    fresh->key = *key;
    fresh->users = 1;
    fresh->landed = false;
    fresh->good = NULL; /* the error is set only by a flight that fails */
    return fresh;
}

struct rafsi_flight *rafsi_flight_try(struct rafsi_flights *flights,
                                      const struct rafsi_cache_key *key)
{
    struct rafsi_flight *fresh = make(flights, key);
    struct rafsi_flight *flight;

    if (!fresh)
        return NULL;
    flight = board(lane_of(flights, key), fresh);
    if (flight == fresh)
        return fresh;
    rafsi_free(&flights->env, fresh);
    leave(flights, flight);
    return NULL;
}

int rafsi_flight_join(struct rafsi_flights *flights, const struct rafsi_cache_key *key,
                      const rafs_call *call, struct rafsi_flight **lead,
                      struct verified **good, rafs_error *err)
{
    *lead = NULL;
    *good = NULL;
    while (!*good) {
        struct rafsi_flight *fresh = make(flights, key);
        struct rafsi_flight *flight;
        int rc;

        if (!fresh)
            return rafsi_fail_nomem(err, sizeof(*fresh));
        flight = board(lane_of(flights, key), fresh);
        if (flight == fresh) {
            *lead = fresh;
            return RAFS_OK;
        }
        rafsi_free(&flights->env, fresh);
        rc = wait_for(flights, flight, call, good, err);
        if (rc < 0)
            return rc;
    }
    return RAFS_OK;
}

void rafsi_flight_land(struct rafsi_flights *flights, struct rafsi_flight *flight, int rc,
                       struct verified *good, const rafs_error *err)
{
    struct lane *lane = lane_of(flights, &flight->key);
    struct rafsi_flight **at;

    pthread_mutex_lock(&lane->lock);
    for (at = &lane->first; *at != flight; at = &(*at)->next)
        ;
    *at = flight->next;
    flight->landed = true;
    flight->rc = rc;
    if (rc == RAFS_OK)
        flight->good = rafsi_verified_hold(good);
    else if (err)
        flight->error = *err;
    pthread_cond_broadcast(&lane->landed);
    pthread_mutex_unlock(&lane->lock);
    leave(flights, flight);
}
