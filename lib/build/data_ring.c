/* SPDX-License-Identifier: Apache-2.0 */
#include "build/data_impl.h"

/* The jobs on their way round: what the feeder waits for, and when. */

/* How long it sleeps before it looks at its call again. */
enum { SLICE_NS = 20000000 };

/* The first failure stays: it is what everything later is told. */
int rafsi_ring_fail(struct rafsi_data *data, int rc, const rafs_error *why,
                    rafs_error *err)
{
    if (data->failed == RAFS_OK) {
        data->failed = rc;
        data->err = *why;
    }
    if (err)
        *err = data->err;
    return data->failed;
}

static struct job *job_at(struct rafsi_data *data, uint64_t i)
{
    return &data->ring[i % data->ring_size];
}

struct job *rafsi_ring_job(struct rafsi_data *data)
{
    return job_at(data, data->tail);
}

static bool is_in(struct rafsi_data *data, uint64_t i, enum job_state state)
{
    bool is;

    pthread_mutex_lock(&data->lock);
    is = job_at(data, i)->state == state;
    pthread_mutex_unlock(&data->lock);
    return is;
}

static void set_state(struct rafsi_data *data, struct job *job, enum job_state state)
{
    pthread_mutex_lock(&data->lock);
    job->state = state;
    if ((state == JOB_QUEUED || state == JOB_DECIDED) && data->idle > 0)
        pthread_cond_signal(&data->work);
    pthread_mutex_unlock(&data->lock);
}

/* A failed job is passed on, so that failures come up in the order of the ring; nothing
 * behind it is decided. */
static bool decide_next(struct rafsi_data *data, const rafs_call *call)
{
    struct job *job = job_at(data, data->decide);

    if (data->halted || data->decide == data->tail ||
        !is_in(data, data->decide, JOB_HASHED))
        return false;
    if (job->rc == RAFS_OK)
        job->rc = rafsi_place_decide(data, job, call, &job->err);
    data->halted = job->rc < 0;
    data->decide++;
    set_state(data, job,
              data->halted || job->piece_count == 0 ? JOB_PACKED : JOB_DECIDED);
    return true;
}

static bool write_next(struct rafsi_data *data, const rafs_call *call)
{
    struct job *job = job_at(data, data->head);

    if (data->head == data->decide || !is_in(data, data->head, JOB_PACKED))
        return false;
    if (job->rc == RAFS_OK)
        job->rc = rafsi_place_write(data, job, call, &job->err);
    if (job->rc < 0) {
        rafsi_ring_fail(data, job->rc, &job->err, NULL);
        return false;
    }
    rafsi_job_clear(job);
    pthread_mutex_lock(&data->lock);
    job->state = JOB_FREE;
    data->head++; /* workers look from there on */
    pthread_mutex_unlock(&data->lock);
    return true;
}

/* Decide and write what is ready. Decisions first: workers wait for them. */
int rafsi_ring_turn(struct rafsi_data *data, const rafs_call *call, rafs_error *err)
{
    bool moved = true;

    while (moved && data->failed == RAFS_OK) {
        moved = false;
        while (decide_next(data, call))
            moved = true;
        if (write_next(data, call))
            moved = true;
    }
    return data->failed == RAFS_OK ? RAFS_OK : rafsi_ring_fail(data, 0, &data->err, err);
}

static bool anything_ready(struct rafsi_data *data)
{
    return (!data->halted && data->decide < data->tail &&
            job_at(data, data->decide)->state == JOB_HASHED) ||
           (data->head < data->decide && job_at(data, data->head)->state == JOB_PACKED);
}

/* Sleep until there is something to decide or to write. */
int rafsi_ring_await(struct rafsi_data *data, const rafs_call *call, rafs_error *err)
{
    rafs_error why = RAFS_ERROR_INIT;
    int rc;

    pthread_mutex_lock(&data->lock);
    if (!anything_ready(data)) {
        data->waiting = true;
        rafsi_wait_ns(&data->done, &data->lock, SLICE_NS);
        data->waiting = false;
    }
    pthread_mutex_unlock(&data->lock);
    rc = rafsi_call_check(&data->env, call, RAFS_STAGE_NONE, &why);
    return rc < 0 ? rafsi_ring_fail(data, rc, &why, err) : RAFS_OK;
}

/* The job that is being filled; waits until there is a place for one. */
int rafsi_ring_open(struct rafsi_data *data, const rafs_call *call, struct job **out,
                    rafs_error *err)
{
    int rc = RAFS_OK;

    while (rc == RAFS_OK && !data->filling &&
           data->tail - data->head == data->ring_size) {
        rc = rafsi_ring_turn(data, call, err);
        if (rc == RAFS_OK && data->tail - data->head == data->ring_size)
            rc = rafsi_ring_await(data, call, err);
    }
    data->filling = data->filling || rc == RAFS_OK;
    *out = job_at(data, data->tail);
    return rc;
}

int rafsi_ring_submit(struct rafsi_data *data, const rafs_call *call, rafs_error *err)
{
    rafs_error why = RAFS_ERROR_INIT;
    struct job *job = job_at(data, data->tail);
    int rc;

    if (data->filling) {
        data->filling = false;
        pthread_mutex_lock(&data->lock);
        data->tail++;
        pthread_mutex_unlock(&data->lock);
        set_state(data, job, JOB_QUEUED);
    }
    rc = rafsi_call_check(&data->env, call, RAFS_STAGE_NONE, &why);
    return rc < 0 ? rafsi_ring_fail(data, rc, &why, err)
                  : rafsi_ring_turn(data, call, err);
}
