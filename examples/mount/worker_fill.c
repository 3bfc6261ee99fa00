/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that fill what readers of kernel mounts wait for.
 *
 * A reader is let through when the range that it asked for was verified and lies in the
 * device's file; whatever else is an error for it, at its deadline at the latest. A
 * thread that has taken an event gives it back when the worker is to end, so that the
 * next one goes on.
 */
#include <errno.h>
#include <string.h>

#include <rafs/fill.h>

#include "worker_fence.h"

enum {
    IDLE_S = 5,           /* a thread without work ends after that */
    RETRY_FIRST_MS = 100, /* between tries where the source fails, doubled each time */
    RETRY_LAST_MS = 2000,
    FULL_TRIES = 4, /* disk full: others may make room */
};

/* What a thread took from the table. */
struct job {
    struct served *served;
    struct mount_event *event;
    uint64_t word; /* of the event, TAKEN by us */
    uint32_t device;
    uint64_t begin, end, deadline_ns;
    struct filling *filling;
};

/* ---- which event ----------------------------------------------------------------- */

static uint32_t threads_of(const struct served *served)
{
    return served->options.threads ? served->options.threads : WORKER_MOUNT_THREADS;
}

/* Somebody is at it: the answer will come from the map, without a thread. */
static bool is_under_way(const struct worker *worker, const struct job *job)
{
    for (uint32_t i = 0; i < WORKER_THREADS; i++) {
        const struct filling *f = &worker->filling[i];

        if (f->used && f->slot == job->served->slot && f->device == job->device &&
            f->begin < job->end && job->begin < f->end)
            return true;
    }
    return false;
}

/* Fields of an entry are only its reader's as long as the word is the same. */
static bool read_event(struct worker *worker, struct mount_event *event, uint64_t word,
                       struct job *job)
{
    uint32_t slot = event->slot, number = event->number;

    job->event = event;
    job->device = event->device;
    job->begin = event->offset;
    job->end = event->offset + event->len;
    job->deadline_ns = event->deadline_ns;
    if (atomic_load(&event->word) != word || slot >= MOUNTS_MAX)
        return false;
    job->served = worker->served[slot];
    return job->served && job->served->number == number &&
           job->served->state == SERVED_OPEN;
}

/* Under the lock. */
static bool take(struct worker *worker, struct job *job)
{
    uint32_t high = atomic_load(&worker->table->events_high);

    for (uint32_t i = 0; i < high && i < EVENTS_MAX; i++) {
        struct mount_event *event = &worker->table->events[i];
        uint64_t word = atomic_load(&event->word);

        if (event_state(word) != EVENT_WAITING || !read_event(worker, event, word, job) ||
            job->served->running >= threads_of(job->served) || is_under_way(worker, job))
            continue;
        job->word = event_moved(word, EVENT_TAKEN, 0);
        if (atomic_compare_exchange_strong(&event->word, &word, job->word))
            return true;
    }
    return false;
}

static void note_filling(struct worker *worker, struct job *job)
{
    job->filling = NULL;
    for (uint32_t i = 0; i < WORKER_THREADS && !job->filling; i++)
        if (!worker->filling[i].used)
            job->filling = &worker->filling[i];
    if (job->filling)
        *job->filling =
            (struct filling){true, job->served->slot, job->device, job->begin, job->end};
    job->served->running++;
}

static void forget_filling(struct worker *worker, struct job *job)
{
    if (job->filling)
        job->filling->used = false;
    job->served->running--;
    pthread_cond_broadcast(&worker->ended);
}

/* ---- filling --------------------------------------------------------------------- */

static uint64_t total(const rafs_image *image, uint32_t id)
{
    uint64_t value = 0;

    rafs_image_get_counter(image, id, &value, NULL);
    return value;
}

void fill_count(struct served *served)
{
    struct mount_slot *slot = worker_slot(served);
    rafs_stats stats = {.struct_size = sizeof stats};

    if (rafs_image_get_stats(served->image, &stats, NULL) == RAFS_OK)
        atomic_store(&slot->fetched_chunks,
                     served->before.fetched_chunks + stats.chunks_fetched);
    atomic_store(&slot->fetched_bytes,
                 served->before.fetched_bytes +
                     total(served->image, RAFS_METRIC_FETCHED_BYTES));
    atomic_store(&slot->refused_chunks,
                 served->before.refused_chunks +
                     total(served->image, RAFS_METRIC_CACHE_REFUSED));
}

void fill_mark(struct served *served, uint32_t device, uint64_t begin, uint64_t end)
{
    uint64_t fresh = map_set(served->map, device, begin, end);

    atomic_fetch_add(&worker_slot(served)->bytes_filled, fresh * FILL_BLOCK);
    fence_filled(served, device, begin, end);
}

/* May it be better in a while? The network's own tries are the library's. */
static bool is_worth_another(const rafs_error *err, uint32_t tries)
{
    if (err->code == RAFS_E_NOMEM)
        return tries < FULL_TRIES;
    if (err->code != RAFS_E_BACKEND)
        return false;
    switch (err->os_errno) {
    case ENOSPC:
    case EDQUOT:
        return tries < FULL_TRIES;
    case ENOENT:
    case EACCES:
    case EPERM:
    case EISDIR:
        return false;
    default:
        return true;
    }
}

bool fill_wait_ms(struct served *served, uint64_t ms, uint64_t deadline_ns)
{
    struct worker *worker = served->worker;
    uint64_t until = worker_now_ns() + ms * 1000000;
    struct timespec at;
    bool stop;

    if (deadline_ns && until >= deadline_ns)
        return false;
    at.tv_sec = (time_t)(until / 1000000000);
    at.tv_nsec = (long)(until % 1000000000);
    pthread_mutex_lock(&worker->lock);
    while (!(stop = worker->stopping || served->state == SERVED_CLOSING) &&
           pthread_cond_clockwait(&worker->ended, &worker->lock, CLOCK_MONOTONIC, &at) ==
               0)
        ;
    pthread_mutex_unlock(&worker->lock);
    return !stop;
}

int fill_range(struct served *served, uint32_t device, uint64_t begin, uint64_t end,
               const rafs_call *limits, rafs_error *err)
{
    rafs_call call = *limits;
    uint64_t pause = RETRY_FIRST_MS;
    int rc;

    if (!call.cancel)
        call.cancel = served->cancel;
    for (uint32_t tries = 1;; tries++) {
        rafs_filled filled = RAFS_FILLED_INIT;

        rafs_error_init(err);
        rc = rafs_image_fill(served->image, device, begin, end - begin, &filled, &call,
                             err);
        if (rc == RAFS_OK) {
            fill_mark(served, device, filled.begin, filled.end);
            return rc;
        }
        if (!is_worth_another(err, tries) || rafs_cancel_fired(call.cancel) ||
            !fill_wait_ms(served, pause, call.deadline_ns))
            return rc;
        pause = pause * 2 < RETRY_LAST_MS ? pause * 2 : RETRY_LAST_MS;
    }
}

static int answer_of(const rafs_error *err)
{
    if (err->code == RAFS_E_BACKEND &&
        (err->os_errno == ENOSPC || err->os_errno == EDQUOT))
        return err->os_errno;
    return EIO;
}

static void give(struct job *job, uint32_t state, int answer)
{
    uint64_t word = job->word;

    /* If it is not ours any more, the pump has answered at the deadline. */
    if (atomic_compare_exchange_strong(&job->event->word, &word,
                                       event_moved(word, state, answer)))
        worker_wake_pump(job->served->worker);
}

static bool is_ending(struct served *served)
{
    struct worker *worker = served->worker;
    bool ending;

    pthread_mutex_lock(&worker->lock);
    ending = worker->stopping;
    pthread_mutex_unlock(&worker->lock);
    return ending;
}

static void work(struct job *job)
{
    struct served *served = job->served;
    const struct fill_map *map = served->map;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_call call = RAFS_CALL_INIT;
    uint64_t size;

    if (job->device >= map->devices || job->begin >= job->end) {
        give(job, EVENT_DONE, job->device >= map->devices ? EIO : 0);
        return;
    }
    if (served->lost) {
        atomic_fetch_add(&worker_slot(served)->failures, 1);
        give(job, EVENT_DONE, EIO);
        return;
    }
    size = map->device[job->device].size;
    if (job->end > size)
        job->end = size;
    /* What is recorded has to pass through the library, there or not. */
    if (job->begin >= job->end || (!atomic_load(&worker_slot(served)->recording) &&
                                   map_has(map, job->device, job->begin, job->end))) {
        give(job, EVENT_DONE, 0);
        return;
    }
    call.deadline_ns = job->deadline_ns;
    if (fill_range(served, job->device, job->begin, job->end, &call, &err) == 0) {
        give(job, EVENT_DONE, 0);
        fill_count(served);
        return;
    }
    if (err.code == RAFS_E_CANCELLED && is_ending(served)) {
        give(job, EVENT_WAITING, 0);
        return;
    }
    worker_failed(served, "", &err);
    atomic_fetch_add(&worker_slot(served)->failures, 1);
    give(job, EVENT_DONE, answer_of(&err));
}

/* ---- threads --------------------------------------------------------------------- */

/* Under the lock. False: nothing came for a while. */
static bool wait_for_work(struct worker *worker)
{
    struct timespec at;
    int rc;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += IDLE_S;
    worker->idle++;
    rc = pthread_cond_clockwait(&worker->work, &worker->lock, CLOCK_MONOTONIC, &at);
    worker->idle--;
    return rc == 0;
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    struct job job;

    pthread_mutex_lock(&worker->lock);
    worker->starting--;
    for (bool goes_on = true; goes_on && !worker->stopping;) {
        if (!take(worker, &job)) {
            goes_on = wait_for_work(worker);
            continue;
        }
        note_filling(worker, &job);
        pthread_mutex_unlock(&worker->lock);
        work(&job);
        pthread_mutex_lock(&worker->lock);
        forget_filling(worker, &job);
        /* Those that were passed over, since this one was under way. */
        if (worker->idle > 0)
            pthread_cond_signal(&worker->work);
    }
    worker->threads--;
    pthread_cond_broadcast(&worker->ended);
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

static uint32_t count_waiting(const struct worker *worker)
{
    uint32_t high = atomic_load(&worker->table->events_high);
    uint32_t count = 0;

    for (uint32_t i = 0; i < high && i < EVENTS_MAX && count < WORKER_THREADS; i++)
        count +=
            event_state(atomic_load(&worker->table->events[i].word)) == EVENT_WAITING;
    return count;
}

void fill_look(struct worker *worker)
{
    uint32_t waiting = count_waiting(worker);

    if (waiting == 0)
        return;
    pthread_mutex_lock(&worker->lock);
    for (uint32_t i = 0; i < waiting && i < worker->idle; i++)
        pthread_cond_signal(&worker->work);
    while (worker->idle + worker->starting < waiting &&
           worker->threads < WORKER_THREADS && worker_thread(run, worker)) {
        worker->threads++;
        worker->starting++;
    }
    pthread_mutex_unlock(&worker->lock);
}
