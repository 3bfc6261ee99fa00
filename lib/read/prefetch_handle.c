/* SPDX-License-Identifier: Apache-2.0 */
/* A prefetch as its owner sees it: waiting, progress, the end. */
#include "read/prefetch.h"

#include "base/call.h"

void rafsi_prefetch_ends_with(struct rafs_prefetch *prefetch, int rc,
                              const rafs_error *error)
{
    if (prefetch->rc == RAFS_OK && rc < 0) {
        prefetch->rc = rc;
        prefetch->error = *error;
    }
    if (rc < 0 && rc != RAFS_E_CORRUPT)
        prefetch->at = prefetch->plan.count; /* nothing begins any more */
}

void rafsi_prefetch_strays(struct rafs_prefetch *prefetch)
{
    if (atomic_exchange(&prefetch->follows, false))
        atomic_fetch_sub(&prefetch->reader->following, 1);
}

void rafsi_prefetch_delist(struct rafs_prefetch *prefetch)
{
    struct rafsi_reader *reader = prefetch->reader;
    struct rafs_prefetch **at;

    pthread_mutex_lock(&reader->worker_lock);
    for (at = &reader->prefetches; *at != prefetch; at = &(*at)->next)
        ;
    *at = prefetch->next;
    pthread_mutex_unlock(&reader->worker_lock);
}

/* Nobody runs a step any more. */
static void orphan(struct rafs_prefetch *prefetch)
{
    static const rafs_error closed = {.code = RAFS_E_CANCELLED,
                                      .stage = RAFS_STAGE_FETCH,
                                      .text = "the image was closed"};

    rafsi_plan_drop(&prefetch->plan);
    pthread_mutex_lock(&prefetch->lock);
    prefetch->crew = NULL;
    prefetch->reader = NULL;
    if (prefetch->phase != ENDED)
        rafsi_prefetch_ends_with(prefetch, RAFS_E_CANCELLED, &closed);
    prefetch->phase = ENDED;
    prefetch->progress.ended = 1;
    pthread_cond_broadcast(&prefetch->changed);
    pthread_mutex_unlock(&prefetch->lock);
    rafs_cancel_fire(prefetch->done);
}

void rafsi_prefetch_orphan_all(struct rafsi_reader *reader)
{
    while (reader->prefetches) {
        struct rafs_prefetch *prefetch = reader->prefetches;

        reader->prefetches = prefetch->next;
        orphan(prefetch);
    }
}

void rafs_prefetch_cancel(rafs_prefetch *prefetch)
{
    static const rafs_error cancelled = {.code = RAFS_E_CANCELLED,
                                         .stage = RAFS_STAGE_FETCH,
                                         .text = "prefetch was cancelled"};

    if (!prefetch)
        return;
    pthread_mutex_lock(&prefetch->lock);
    if (prefetch->phase != ENDED) {
        rafsi_prefetch_ends_with(prefetch, RAFS_E_CANCELLED, &cancelled);
        if (prefetch->crew)
            rafsi_crew_delay(prefetch->crew, &prefetch->task, 0);
    }
    pthread_mutex_unlock(&prefetch->lock);
    rafs_cancel_fire(prefetch->cancel);
}

void rafs_prefetch_free(rafs_prefetch *prefetch)
{
    if (!prefetch)
        return;
    if (prefetch->crew) {
        rafs_prefetch_cancel(prefetch);
        rafsi_crew_drop(prefetch->crew, &prefetch->task);
        rafsi_prefetch_strays(prefetch);
        rafsi_prefetch_delist(prefetch);
    }
    if (prefetch->reader)
        rafsi_plan_drop(&prefetch->plan);
    rafs_cancel_free(prefetch->cancel);
    rafs_cancel_free(prefetch->done);
    pthread_cond_destroy(&prefetch->changed);
    pthread_mutex_destroy(&prefetch->lock);
    rafsi_free(&prefetch->env, prefetch);
}

static bool wait_slice(struct rafs_prefetch *prefetch)
{
    enum { SLICE_MS = 20 };
    bool ended;

    pthread_mutex_lock(&prefetch->lock);
    if (prefetch->phase != ENDED)
        rafsi_wait_ns(&prefetch->changed, &prefetch->lock, SLICE_MS * 1000000L);
    ended = prefetch->phase == ENDED;
    pthread_mutex_unlock(&prefetch->lock);
    return ended;
}

int rafs_prefetch_wait(rafs_prefetch *prefetch, const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc;

    if (!prefetch)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "prefetch",
                          "prefetch is NULL");
    rc = rafsi_call_take(call, &taken, err);
    if (rc < 0)
        return rc;
    while (!wait_slice(prefetch)) {
        rc = rafsi_call_check(&prefetch->env, &taken, RAFS_STAGE_FETCH, err);
        if (rc < 0)
            return rc;
    }
    if (prefetch->rc < 0 && err)
        *err = prefetch->error;
    return prefetch->rc;
}

int rafs_prefetch_fd(const rafs_prefetch *prefetch)
{
    return rafs_cancel_fd(prefetch->done);
}

int rafs_prefetch_get_progress(rafs_prefetch *prefetch, rafs_prefetch_progress *progress,
                               rafs_error *err)
{
    rafs_prefetch_progress made;

    if (!prefetch || !progress)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "prefetch",
                          "prefetch or progress is NULL");
    pthread_mutex_lock(&prefetch->lock);
    made = prefetch->progress;
    pthread_mutex_unlock(&prefetch->lock);
    return rafsi_give_struct(&made, sizeof(made), progress, "rafs_prefetch_progress",
                             err);
}
