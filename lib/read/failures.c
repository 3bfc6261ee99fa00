/* SPDX-License-Identifier: Apache-2.0 */
/* The last things that went wrong. They are rare, so a lock does. */
#include <time.h>

#include "read/stats.h"

static uint64_t unix_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The ring is made when first needed: most images never fail. */
static bool have_ring(struct stats *stats)
{
    rafs_failure *fresh = NULL;
    bool there;

    pthread_mutex_lock(&stats->failures_lock);
    there = stats->failures != NULL;
    pthread_mutex_unlock(&stats->failures_lock);
    if (!there)
        fresh = rafsi_alloc_zero(stats->env, RAFS_FAILURES_KEPT * sizeof(*fresh));
    if (!there && !fresh)
        return false;
    pthread_mutex_lock(&stats->failures_lock);
    if (!stats->failures) {
        stats->failures = fresh;
        fresh = NULL;
    }
    pthread_mutex_unlock(&stats->failures_lock);
    rafsi_free(stats->env, fresh);
    return true;
}

static void keep(struct stats *stats, rafs_failure *failure)
{
    bool room = have_ring(stats);

    failure->at_ns = rafsi_now_ns(stats->env);
    failure->unix_ns = unix_now();
    pthread_mutex_lock(&stats->failures_lock);
    failure->number = ++stats->failure_count;
    if (room)
        stats->failures[failure->number % RAFS_FAILURES_KEPT] = *failure;
    pthread_mutex_unlock(&stats->failures_lock);
}

void rafsi_stats_failed(struct stats *stats, size_t source, uint32_t cause,
                        uint32_t tries, const rafs_error *error)
{
    struct source_stats *at = &stats->sources[source];
    uint32_t kind =
        error->code < 0 && error->code >= RAFS_E_AGAIN ? (uint32_t)-error->code : 0;
    rafs_failure failure = {.cause = cause, .tries = tries, .error = *error};

    atomic_fetch_add_explicit(&at->errors[kind], 1, memory_order_relaxed);
    if (error->code == RAFS_E_NOENT || error->code == RAFS_E_CANCELLED)
        return;
    memcpy(failure.source, at->name, sizeof(failure.source));
    keep(stats, &failure);
}

void rafsi_stats_failed_alone(struct stats *stats, uint32_t cause,
                              const rafs_error *error)
{
    rafs_failure failure = {.cause = cause, .error = *error};

    if (error->code != RAFS_E_CANCELLED)
        keep(stats, &failure);
}

void rafsi_stats_failures(struct stats *stats, uint64_t after, rafs_failure *out,
                          size_t capacity, size_t *count)
{
    uint64_t number;
    size_t filled = 0;

    pthread_mutex_lock(&stats->failures_lock);
    number = stats->failure_count > RAFS_FAILURES_KEPT
                 ? stats->failure_count - RAFS_FAILURES_KEPT + 1
                 : 1;
    if (after >= number)
        number = after < stats->failure_count ? after + 1 : stats->failure_count + 1;
    for (; stats->failures && number <= stats->failure_count && filled < capacity;
         number++) {
        const rafs_failure *kept = &stats->failures[number % RAFS_FAILURES_KEPT];

        if (kept->number == number) /* not so if there was no memory for it */
            out[filled++] = *kept;
    }
    pthread_mutex_unlock(&stats->failures_lock);
    *count = filled;
}
