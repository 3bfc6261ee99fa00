/* SPDX-License-Identifier: Apache-2.0 */
#include "read/stats.h"

#include <stdio.h>

static void add(atomic_uint_least64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint32_t kind_of(int rc)
{
    return rc < 0 && rc >= RAFS_E_AGAIN ? (uint32_t)-rc : 0;
}

int rafsi_stats_new(struct stats *stats, const struct rafsi_env *env, rafs_error *err)
{
    stats->env = env;
    if (pthread_mutex_init(&stats->failures_lock, NULL) != 0)
        return rafsi_fail_nomem(err, sizeof(stats->failures_lock));
    stats->failures_lock_ready = true;
    return RAFS_OK;
}

void rafsi_stats_free(struct stats *stats)
{
    if (stats->failures_lock_ready)
        pthread_mutex_destroy(&stats->failures_lock);
    rafsi_free(stats->env, stats->failures);
}

static bool taken(const struct stats *stats, size_t source, const char *name)
{
    for (size_t i = 0; i < STATS_SOURCES; i++)
        if (i != source && strcmp(stats->sources[i].name, name) == 0)
            return true;
    return false;
}

void rafsi_stats_name(struct stats *stats, size_t source, const rafs_backend *backend)
{
    const char *name = rafsi_backend_name(backend);
    char *out = stats->sources[source].name;
    size_t room = sizeof(stats->sources[source].name);

    snprintf(out, room, "%s", name);
    for (unsigned n = 2; taken(stats, source, out); n++)
        snprintf(out, room, "%.*s#%u", (int)room - 8, name, n);
}

/* Threads have stacks of their own: a place in one tells them apart at no cost. */
static struct stats_stripe *stripe_of(struct stats *stats)
{
    char here;
    uint64_t mix = (uint64_t)((uintptr_t)&here >> 16) * 0x9e3779b97f4a7c15u;

    return &stats->stripes[mix >> 61];
}

void rafsi_stats_read(struct stats *stats, int rc, uint64_t bytes)
{
    struct stats_stripe *stripe;

    if (rc < 0) {
        add(&stats->read_errors[kind_of(rc)], 1);
        return;
    }
    stripe = stripe_of(stats);
    add(&stripe->reads, 1);
    add(&stripe->bytes, bytes);
}

void rafsi_stats_chunk(struct stats *stats, enum stats_origin origin, uint32_t cause)
{
    add(&stats->chunks[origin][cause], 1);
}

void rafsi_stats_unkept(struct stats *stats)
{
    add(&stats->cache_write_errors, 1);
}

void rafsi_stats_cache_refused(struct stats *stats)
{
    add(&stats->cache_refused, 1);
}

void rafsi_stats_hedge(struct stats *stats, size_t source)
{
    add(&stats->sources[source].events[RAFS_EVENT_HEDGE], 1);
}

void rafsi_stats_retry(struct stats *stats, size_t source)
{
    add(&stats->sources[source].events[RAFS_EVENT_RETRY], 1);
}

void rafsi_stats_failover(struct stats *stats, size_t source)
{
    add(&stats->sources[source].events[RAFS_EVENT_FAILOVER], 1);
}

struct stats_timer rafsi_stats_begin(struct stats *stats, struct stats_clocks *clocks)
{
    uint64_t now = rafsi_now_ns(stats->env);
    struct stats_timer timer = {now, STATS_CLOCKS};
    uint64_t mark = now ? now : 1; /* 0 says "free" */

    add(&clocks->active, 1);
    for (uint32_t i = 0; i < STATS_CLOCKS && timer.place == STATS_CLOCKS; i++) {
        uint64_t free = 0;

        if (atomic_load_explicit(&clocks->since[i], memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong_explicit(&clocks->since[i], &free, mark,
                                                    memory_order_relaxed,
                                                    memory_order_relaxed))
            timer.place = i;
    }
    return timer;
}

uint64_t rafsi_histogram_bound(uint32_t bucket)
{
    static const uint64_t steps[] = {1, 2, 5};
    uint64_t bound = 100000;

    if (bucket >= RAFS_HISTOGRAM_BUCKETS - 1)
        return UINT64_MAX;
    for (uint32_t i = 0; i < bucket / 3; i++)
        bound *= 10;
    return bound * steps[bucket % 3];
}

static uint32_t bucket_of(uint64_t ns)
{
    uint32_t i = 0;

    while (i < RAFS_HISTOGRAM_BUCKETS - 1 && ns > rafsi_histogram_bound(i))
        i++;
    return i;
}

void rafsi_stats_end(struct stats *stats, struct stats_clocks *clocks,
                     struct stats_histogram *histogram, const struct stats_timer *timer)
{
    uint64_t now = rafsi_now_ns(stats->env);
    uint64_t took = now > timer->began_ns ? now - timer->began_ns : 0;

    if (timer->place < STATS_CLOCKS)
        atomic_store_explicit(&clocks->since[timer->place], 0, memory_order_relaxed);
    atomic_fetch_sub_explicit(&clocks->active, 1, memory_order_relaxed);
    add(&histogram->buckets[bucket_of(took)], 1);
    add(&histogram->sum_ns, took);
}

uint64_t rafsi_stats_oldest(const struct stats *stats, const struct stats_clocks *clocks)
{
    uint64_t now = rafsi_now_ns(stats->env);
    uint64_t first = UINT64_MAX;

    for (uint32_t i = 0; i < STATS_CLOCKS; i++) {
        uint64_t since = atomic_load_explicit(&clocks->since[i], memory_order_relaxed);

        if (since != 0 && since < first)
            first = since;
    }
    return now > first ? now - first : 0;
}

void rafsi_stats_ask(struct stats *stats, struct stats_request *request,
                     const rafs_call *call)
{
    rafs_call none = RAFS_CALL_INIT;

    memset(&request->tally, 0, sizeof(request->tally));
    request->call = call ? *call : none;
    request->call.tally = &request->tally;
    request->timer = rafsi_stats_begin(stats, &stats->asking);
}

void rafsi_stats_events(struct stats *stats, size_t source,
                        const struct rafs_tally *tally)
{
    for (uint32_t i = 0; i < RAFSI_EVENTS; i++) {
        uint64_t n = rafsi_tally_of(tally, i);

        if (n > 0)
            add(&stats->sources[source].events[i], n);
    }
}

void rafsi_stats_answered(struct stats *stats, struct stats_request *request,
                          size_t source, uint32_t cause, uint64_t requests,
                          uint64_t bytes)
{
    rafsi_stats_end(stats, &stats->asking, &stats->requests, &request->timer);
    rafsi_stats_events(stats, source, &request->tally);
    add(&stats->sources[source].requests[cause], requests);
    add(&stats->sources[source].bytes[cause], bytes);
}
