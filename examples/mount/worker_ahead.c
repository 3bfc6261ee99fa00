/* SPDX-License-Identifier: Apache-2.0 */
/* What is fetched before anybody asks, and what is remembered for the next time. */
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include <rafs/fill.h>

#include "worker.h"

enum {
    WINDOW = 4 << 20, /* bytes that are filled at once */
    PAUSE_MS = 20,    /* while readers wait, they go first */
    STEP_MS = 60000,  /* longest time for one window, or for a trace */
    FAILED_FIRST_MS = 1000,
    FAILED_LAST_MS = 30000,
    KEEP_FIRST_MS = 10000, /* until a trace is kept while it is recorded */
    KEEP_LAST_MS = 600000
};

/* ---- everything ------------------------------------------------------------------ */

/* False: the mount ends. */
static bool let_readers_go_first(struct served *served)
{
    for (int i = 0; i < 50 && atomic_load(&worker_slot(served)->waiting) > 0; i++)
        if (!fill_wait_ms(served, PAUSE_MS, 0))
            return false;
    return !rafs_cancel_fired(served->cancel);
}

/* From `at` on. False: the mount ends. */
static bool fill_window(struct served *served, uint32_t device, uint64_t at, bool *failed)
{
    uint64_t size = served->map->device[device].size;
    uint64_t end = size - at > WINDOW ? at + WINDOW : size;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_call call = RAFS_CALL_INIT;

    call.flags = RAFS_CALL_AHEAD;
    call.deadline_ns = worker_now_ns() + (uint64_t)STEP_MS * 1000000;
    *failed = false;
    if (!let_readers_go_first(served))
        return false;
    if (fill_range(served, device, at, end, &call, &err) == RAFS_OK) {
        fill_count(served);
        return true;
    }
    if (err.code == RAFS_E_CANCELLED)
        return false;
    worker_failed(served, "fetching all", &err);
    *failed = true;
    return true;
}

/* Once over all devices. False: the mount ends. */
static bool fill_once(struct served *served, bool *whole)
{
    *whole = true;
    for (uint32_t i = 0; i < served->map->devices; i++) {
        uint64_t size = served->map->device[i].size;
        uint64_t at = map_next(served->map, i, 0);

        while (at < size) {
            bool failed;

            if (!fill_window(served, i, at, &failed))
                return false;
            *whole = *whole && !failed;
            at = map_next(served->map, i, failed ? at + WINDOW : at + FILL_BLOCK);
        }
    }
    return true;
}

static void fill_all(struct served *served)
{
    uint64_t pause = FAILED_FIRST_MS;
    bool whole = false;

    while (fill_once(served, &whole) && !whole) {
        if (!fill_wait_ms(served, pause, 0))
            return;
        pause = pause * 2 < FAILED_LAST_MS ? pause * 2 : FAILED_LAST_MS;
    }
    worker_wake_pump(served->worker); /* it may be complete */
}

/* ---- traces ---------------------------------------------------------------------- */

static void call_for(const struct served *served, rafs_call *call)
{
    rafs_call_init(call, NULL, STEP_MS, served->cancel);
}

static void replay(struct served *served)
{
    rafs_prefetch_options options = RAFS_PREFETCH_OPTIONS_INIT;
    rafs_prefetch *prefetch = NULL;
    rafs_trace *trace = NULL;
    rafs_call call;

    call_for(served, &call);
    /* None is kept, or it is of no use: then nothing comes beforehand. */
    if (rafs_trace_find(served->image, &trace, &call, NULL) < 0)
        return;
    options.what = RAFS_PREFETCH_TRACE;
    options.trace = trace;
    if (rafs_prefetch_start(served->image, &options, &prefetch, &call, NULL) == RAFS_OK)
        served->prefetch = prefetch;
    rafs_trace_free(trace);
    if (!served->prefetch)
        return;
    rafs_call_init(&call, NULL, 0, served->cancel);
    (void)rafs_prefetch_wait(served->prefetch, &call, NULL);
    fill_count(served);
}

void ahead_record(struct served *served)
{
    _Atomic uint32_t *asked = &worker_slot(served)->recording;
    uint32_t state = atomic_load(asked);
    bool wanted =
        state != RECORD_NO || (!served->options.no_trace && served->options.c.cache);
    rafs_error err = RAFS_ERROR_INIT;

    if (wanted && !served->recording) {
        if (rafs_trace_start(served->image, &err) == RAFS_OK)
            served->recording = true;
        else
            worker_failed(served, "recording", &err);
    }
    if (state == RECORD_STOP)
        ahead_keep(served);
    /* Whoever asked waits for this, and if it changed meanwhile, looks again. */
    if (state == RECORD_WANTED || state == RECORD_STOP)
        (void)atomic_compare_exchange_strong(
            asked, &state,
            state == RECORD_WANTED && served->recording ? RECORD_ON : RECORD_NO);
}

void ahead_keep(struct served *served)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_call call;

    if (!served->recording || !served->options.c.cache)
        return;
    rafs_call_init(&call, NULL, STEP_MS, NULL);
    if (rafs_trace_keep(served->image, &call, &err) < 0)
        worker_failed(served, "the trace is not kept", &err);
}

/* A worker that is killed has kept what was read long before. */
static void keep_now_and_then(struct served *served)
{
    uint64_t pause = KEEP_FIRST_MS, reads, before = 0;

    while (fill_wait_ms(served, pause, 0)) {
        reads = atomic_load(&worker_slot(served)->events);
        if (reads != before)
            ahead_keep(served);
        before = reads;
        pause = pause * 2 < KEEP_LAST_MS ? pause * 2 : KEEP_LAST_MS;
    }
}

/* ---- the thread ------------------------------------------------------------------ */

static void *run(void *argument)
{
    struct served *served = argument;

    if (!served->options.no_trace && !served->lost)
        replay(served);
    if (served->options.prefetch_all && served->map && !served->lost)
        fill_all(served);
    atomic_store(&served->ahead_done, true);
    worker_look_again(served->worker);
    keep_now_and_then(served);
    return NULL;
}

void ahead_begin(struct served *served)
{
    pthread_attr_t attributes;

    ahead_record(served);
    atomic_init(&served->ahead_done, false);
    if (pthread_attr_init(&attributes) != 0)
        return;
    pthread_attr_setstacksize(&attributes, WORKER_STACK);
    served->has_background =
        pthread_create(&served->background, &attributes, run, served) == 0;
    pthread_attr_destroy(&attributes);
}

void ahead_end(struct served *served)
{
    if (served->has_background)
        pthread_join(served->background, NULL);
    served->has_background = false;
    rafs_prefetch_free(served->prefetch);
    served->prefetch = NULL;
}

bool ahead_runs(struct served *served)
{
    rafs_prefetch_progress progress = RAFS_PREFETCH_PROGRESS_INIT;

    if (served->has_background && !atomic_load(&served->ahead_done))
        return true;
    return served->prefetch &&
           rafs_prefetch_get_progress(served->prefetch, &progress, NULL) == RAFS_OK &&
           !progress.ended;
}
