/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_API_QUEUE_H
#define RAFSI_API_QUEUE_H

/* What the files of a queue share. */

#include "api/api.h"

enum {
    QUEUE_DEPTH_MAX = 65536, /* an id holds the place in its low 16 bits */
    QUEUE_THREADS_MAX = 64
};

/* The way of a read: FREE, WAITING, RUNNING, DONE. HELD while the clerk looks at it. */
enum queue_state { QUEUE_FREE, QUEUE_WAITING, QUEUE_HELD, QUEUE_RUNNING, QUEUE_DONE };

struct queue_entry {
    enum queue_state state;
    bool cancelled; /* while HELD */
    rafs_queue_read read;
    struct queue_worker *by; /* RUNNING */
    rafs_completion end;     /* its id tells whose place it is */
    struct queue_entry *next, *prev;
};

struct queue_list {
    struct queue_entry *first, *last;
    size_t count;
};

struct queue_worker {
    rafs_queue *queue;
    pthread_t thread;
    rafs_cancel *token; /* of the read that runs */
    bool fired;
};

struct rafs_queue {
    struct rafsi_env env;
    rafs_queue_options options; /* env is NULL */
    int ready;                  /* readable while anything is done; -1: a callback */
    pthread_mutex_t lock;       /* guards all below; never held in a callback */
    pthread_cond_t posted;      /* for workers */
    pthread_cond_t quiet;       /* for those who drain */
    pthread_cond_t busy;        /* for the clerk */
    struct queue_list free, waiting, done;
    size_t under_way; /* neither free nor done, and callbacks that run */
    uint64_t serial;
    bool closing;
    pthread_t clerk;
    bool clerk_runs;
    size_t started, idle;
    struct queue_worker workers[QUEUE_THREADS_MAX];
    struct queue_entry entries[]; /* options.depth */
};

/* All with the lock held. */
void rafsi_queue_append(struct queue_list *list, struct queue_entry *entry);
void rafsi_queue_remove(struct queue_list *list, struct queue_entry *entry);
/* Is anything done? */
void rafsi_queue_ring(rafs_queue *queue, bool on);
/* A read ended, as entry->end says. Gives the lock up for a callback. */
void rafsi_queue_finish(rafs_queue *queue, struct queue_entry *entry);
/* It failed before it began. */
void rafsi_queue_refuse(rafs_queue *queue, struct queue_entry *entry,
                        const rafs_error *error);
void rafsi_queue_cancelled(rafs_queue *queue, struct queue_entry *entry);
/* Threads for what waits. False: there are none. */
bool rafsi_queue_staff(rafs_queue *queue);

#endif
