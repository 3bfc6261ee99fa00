/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/jobs.h"

#include <pthread.h>

enum { LOOK_NS = 100 * 1000 * 1000 };

struct work {
    const struct jobs *jobs;
    rafs_call call;    /* ends with the caller's, or when a job fails */
    rafs_cancel *stop; /* its token */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    size_t next;    /* job that nobody has begun */
    size_t at_work; /* threads */
    int rc;         /* the first failure */
    rafs_error error;
};

static bool take(struct work *work, size_t *i)
{
    bool more;

    pthread_mutex_lock(&work->lock);
    more = work->rc == RAFS_OK && work->next < work->jobs->count;
    if (more)
        *i = work->next++;
    pthread_mutex_unlock(&work->lock);
    return more;
}

static void failed(struct work *work, int rc, const rafs_error *why)
{
    pthread_mutex_lock(&work->lock);
    if (work->rc == RAFS_OK) {
        work->rc = rc;
        work->error = *why;
    }
    pthread_mutex_unlock(&work->lock);
    rafs_cancel_fire(work->stop);
}

static void *thread(void *user)
{
    struct work *work = user;
    size_t i;

    while (take(work, &i)) {
        rafs_error why = RAFS_ERROR_INIT;
        int rc = work->jobs->run(work->jobs->user, i, &work->call, &why);

        if (rc < 0)
            failed(work, rc, &why);
    }
    pthread_mutex_lock(&work->lock);
    work->at_work--;
    pthread_cond_signal(&work->ended);
    pthread_mutex_unlock(&work->lock);
    return NULL;
}

static void watch(struct work *work)
{
    bool more = true;

    while (more) {
        pthread_mutex_lock(&work->lock);
        if (work->at_work > 0)
            rafsi_wait_ns(&work->ended, &work->lock, LOOK_NS);
        more = work->at_work > 0;
        pthread_mutex_unlock(&work->lock);
        if (work->jobs->look)
            work->jobs->look(work->jobs->user);
    }
}

/* As many threads as can be had; one is enough. */
static int run(struct work *work)
{
    pthread_t started[JOBS_THREADS_MAX];
    unsigned wanted = (unsigned)rafsi_min(work->jobs->threads, work->jobs->count);
    unsigned count = 0;
    int rc = RAFS_OK;

    work->at_work = wanted;
    while (count < wanted && rc == RAFS_OK) {
        rc = rafsi_thread_start(&started[count], thread, work);
        count += rc == RAFS_OK;
    }
    pthread_mutex_lock(&work->lock);
    work->at_work -= wanted - count;
    pthread_mutex_unlock(&work->lock);
    watch(work);
    for (unsigned i = 0; i < count; i++)
        pthread_join(started[i], NULL);
    return count > 0 ? RAFS_OK : rc;
}

/* What the caller's own token or deadline ended is no job's failure. */
static int outcome(const struct rafsi_env *env, const struct work *work,
                   const rafs_call *call, rafs_error *err)
{
    if (work->rc == RAFS_E_CANCELLED || work->rc == RAFS_E_TIMEOUT) {
        int rc = rafsi_call_check(env, call, RAFS_STAGE_FETCH, err);

        if (rc < 0)
            return rc;
    }
    if (work->rc < 0 && err)
        *err = work->error;
    return work->rc;
}

int rafsi_jobs_run(const struct rafsi_env *env, const struct jobs *jobs,
                   const rafs_call *call, rafs_error *err)
{
    struct work work = {.jobs = jobs, .call = RAFS_CALL_INIT};
    int rc;

    if (jobs->count == 0)
        return RAFS_OK;
    if (!rafsi_lock_new(&work.lock, &work.ended))
        return rafsi_fail_nomem(err, sizeof(work));
    rc = rafs_cancel_new(&work.stop, err);
    if (rc < 0)
        goto out;
    rafsi_cancel_join(work.stop, call ? call->cancel : NULL);
    work.call.deadline_ns = call ? call->deadline_ns : 0;
    work.call.cancel = work.stop;
    rc = run(&work);
    rc = rc < 0 ? rafsi_fail_nomem(err, 0) : outcome(env, &work, call, err);
    rafsi_cancel_join(work.stop, NULL);
    rafs_cancel_free(work.stop);
out:
    pthread_cond_destroy(&work.ended);
    pthread_mutex_destroy(&work.lock);
    return rc;
}
