/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_PREFETCH_H
#define RAFSI_PREFETCH_H

#include "rafs/prefetch.h"
#include "read/plan.h"
#include "read/reader.h"

/* prefetch.c makes and runs it, prefetch_handle.c is what its owner has of it. */
enum phase { FIRST, AGAIN, ENDED };

struct rafs_prefetch {
    struct rafsi_env env;
    struct rafsi_reader *reader;
    struct rafs_prefetch *next; /* of the reader's */
    struct rafsi_crew *crew;    /* NULL: the image is closed */
    struct rafsi_task task;
    struct plan plan;
    rafs_cancel *cancel; /* of its steps */
    rafs_cancel *done;   /* fired at the end, for its descriptor */
    uint64_t run_bytes, bytes_per_second;
    atomic_bool follows;  /* a trace; counted in the reader */
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    enum phase phase;
    size_t at;       /* next entry of the plan */
    unsigned active; /* steps that have a part of it */
    uint64_t memory_left, next_ns;
    unsigned lost; /* requests in a row of which the cache kept nothing */
    int rc;
    rafs_error error;
    rafs_prefetch_progress progress;
};

/* prefetch_handle.c. The lock is held: the first failure is what it ends with, and but
 * for a chunk that is wrong nothing begins any more. */
void rafsi_prefetch_ends_with(struct rafs_prefetch *prefetch, int rc,
                              const rafs_error *error);
/* It follows a trace no longer. */
void rafsi_prefetch_strays(struct rafs_prefetch *prefetch);
void rafsi_prefetch_delist(struct rafs_prefetch *prefetch);

/* The image ends: its prefetches end with it. After the crew is gone. */
void rafsi_prefetch_orphan_all(struct rafsi_reader *reader);

#endif
