/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_READ_STATS_H
#define RAFSI_READ_STATS_H

/*
 * What an image has done so far. Who counts takes no lock and waits for nobody. A read
 * that finds its chunk in memory touches one line that few threads share; where the chunk
 * is found, the cache counts under the lock that it holds anyway.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "backend/backend.h"
#include "base/base.h"
#include "base/tally.h"
#include "rafs/limits.h"
#include "rafs/stats.h"

enum {
    STATS_CAUSES = RAFS_CAUSE_CHECK + 1,
    STATS_KINDS = -RAFS_E_AGAIN + 1, /* by code; 0 for those that are none */
    STATS_STRIPES = 8,
    STATS_CLOCKS = 64, /* waits and requests whose age is known */
    /* Sources: the carrier, those given, and where the image itself came from. */
    STATS_SOURCES = RAFS_SOURCES_MAX + 2,
    STATS_OPENED = STATS_SOURCES - 1
};

/* Where a chunk came from that somebody wanted. */
enum stats_origin {
    ORIGIN_MEMORY,
    ORIGIN_DISK,
    ORIGIN_OTHER_BLOB, /* on disk, as a chunk of another blob */
    ORIGIN_FETCHED,
    ORIGIN_SHARED, /* fetched at that moment for somebody else */
    ORIGINS
};

struct source_stats {
    char name[sizeof(((rafs_failure *)0)->source)]; /* "": there is none */
    atomic_uint_least64_t requests[STATS_CAUSES];
    atomic_uint_least64_t bytes[STATS_CAUSES];
    atomic_uint_least64_t errors[STATS_KINDS];
    atomic_uint_least64_t events[RAFSI_EVENTS];
};

struct stats_histogram {
    atomic_uint_least64_t buckets[RAFS_HISTOGRAM_BUCKETS];
    atomic_uint_least64_t sum_ns;
};

/* When things began that go on. */
struct stats_clocks {
    atomic_uint_least64_t since[STATS_CLOCKS]; /* 0: free */
    atomic_uint_least64_t active;              /* those without a place too */
};

/* A part of a counter. So far apart that no two share a line, wherever they begin. */
struct stats_stripe {
    atomic_uint_least64_t reads, bytes;
    uint8_t apart[112];
};

struct stats {
    const struct rafsi_env *env;
    struct stats_stripe stripes[STATS_STRIPES];
    atomic_uint_least64_t read_errors[STATS_KINDS];
    atomic_uint_least64_t chunks[ORIGINS][STATS_CAUSES]; /* the cache has most of [0] */
    atomic_uint_least64_t cache_write_errors, cache_refused;
    struct stats_histogram waits, requests;
    struct stats_clocks waiting, asking;
    struct source_stats sources[STATS_SOURCES];
    /* failures.c */
    pthread_mutex_t failures_lock;
    bool failures_lock_ready;
    rafs_failure *failures; /* RAFS_FAILURES_KEPT, by number; NULL before the first */
    uint64_t failure_count;
};

/* stats is zeros. */
int rafsi_stats_new(struct stats *stats, const struct rafsi_env *env, rafs_error *err);
void rafsi_stats_free(struct stats *stats);
/* Name a source, so that no two have one name. */
void rafsi_stats_name(struct stats *stats, size_t source, const rafs_backend *backend);

/* A read ended: with so many bytes, or with an error. */
void rafsi_stats_read(struct stats *stats, int rc, uint64_t bytes);
void rafsi_stats_chunk(struct stats *stats, enum stats_origin origin, uint32_t cause);

/* The cache on disk did not take a chunk. */
void rafsi_stats_unkept(struct stats *stats);
/* What it gave failed the check. */
void rafsi_stats_cache_refused(struct stats *stats);
/* This source is asked since another one is slow. */
void rafsi_stats_hedge(struct stats *stats, size_t source);
/* Another source is asked since this one failed. */
void rafsi_stats_failover(struct stats *stats, size_t source);
/* A source that failed is asked again. */
void rafsi_stats_retry(struct stats *stats, size_t source);

/* Something that takes a while. */
struct stats_timer {
    uint64_t began_ns;
    uint32_t place; /* STATS_CLOCKS: none */
};
struct stats_timer rafsi_stats_begin(struct stats *stats, struct stats_clocks *clocks);
void rafsi_stats_end(struct stats *stats, struct stats_clocks *clocks,
                     struct stats_histogram *histogram, const struct stats_timer *timer);
uint64_t rafsi_histogram_bound(uint32_t bucket); /* UINT64_MAX: the last has none */
/* How long the first of those that go on has; 0: none does. */
uint64_t rafsi_stats_oldest(const struct stats *stats, const struct stats_clocks *clocks);

/* A request to a source, from before to after. */
struct stats_request {
    struct rafs_tally tally;
    rafs_call call; /* to be handed to the source */
    struct stats_timer timer;
};
void rafsi_stats_ask(struct stats *stats, struct stats_request *request,
                     const rafs_call *call);
/* requests: how many were made; bytes: what they gave. */
void rafsi_stats_answered(struct stats *stats, struct stats_request *request,
                          size_t source, uint32_t cause, uint64_t requests,
                          uint64_t bytes);
/* Events counted elsewhere happened at a source. */
void rafsi_stats_events(struct stats *stats, size_t source,
                        const struct rafs_tally *tally);

/* failures.c: an answer of a source that was an error, or failed the check. tries: 0 if
 * the last request tells nothing about it. */
void rafsi_stats_failed(struct stats *stats, size_t source, uint32_t cause,
                        uint32_t tries, const rafs_error *error);
/* A failure that is no source's. */
void rafsi_stats_failed_alone(struct stats *stats, uint32_t cause,
                              const rafs_error *error);
void rafsi_stats_failures(struct stats *stats, uint64_t after, rafs_failure *out,
                          size_t capacity, size_t *count);

#endif
