/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/data_impl.h"

/* What can be done to a job alone: read and hash it, and compress what is new of it. */

void rafsi_content_drop(struct content *content)
{
    const struct rafsi_env *env;
    atomic_uint *alive;

    if (!content || atomic_fetch_sub(&content->refs, 1) != 1)
        return;
    env = content->env;
    alive = content->alive;
    if (content->content.release)
        content->content.release(content->content.user);
    rafsi_free(env, content);
    atomic_fetch_sub(alive, 1);
}

static void drop_contents(struct job *job)
{
    for (uint32_t i = 0; i < job->item_count; i++) {
        rafsi_content_drop(job->items[i].content);
        job->items[i].content = NULL;
    }
}

void rafsi_job_clear(struct job *job)
{
    drop_contents(job);
    for (uint32_t i = 0; i < job->piece_count; i++)
        rafsi_buffer_free(job->pieces[i].batch);
    rafsi_buffer_free(job->bytes);
    rafsi_buffer_free(job->packed);
    job->bytes = job->packed = NULL;
    job->item_count = job->piece_count = 0;
    job->used = 0;
    job->last = false;
    job->rc = RAFS_OK;
}

static int hash_item(struct rafsi_data *data, struct job *job, struct item *item,
                     rafs_error *err)
{
    const uint8_t *bytes = item->zeros ? data->zeros : job->bytes->at + item->at;
    int rc = RAFS_OK;

    if (item->zeros && item->size == data->image->chunk_size) {
        memcpy(item->digest, data->zero_digest, sizeof(item->digest));
        item->crc32 = data->zero_crc32;
        return RAFS_OK;
    }
    if (item->content)
        rc = item->content->content.read(item->content->content.user, item->offset,
                                         job->bytes->at + item->at, item->size, err);
    if (rc == RAFS_OK)
        rc = rafsi_hash_bytes(data->image->hashes, data->image->digest_algorithm, bytes,
                              item->size, item->digest, err);
    if (rc == RAFS_OK)
        item->crc32 = rafsi_crc32c(bytes, item->size);
    return rc;
}

static void hash_job(struct rafsi_data *data, struct job *job)
{
    for (uint32_t i = 0; i < job->item_count && job->rc == RAFS_OK; i++)
        job->rc = hash_item(data, job, &job->items[i], &job->err);
    drop_contents(job);
}

/* All pieces, as they are to be stored, one behind the other: one write for the sink,
 * however small they are. What does not shrink is copied. */
static int take_packed(struct rafsi_data *data, struct job *job, rafs_error *err)
{
    size_t size = 0;
    int rc;

    for (uint32_t i = 0; i < job->piece_count; i++)
        size += rafsi_blob_room(data, job->pieces[i].size);
    /* Of one size, where that is enough, so that buffers are found again. */
    if (size < data->job_bytes)
        size = data->job_bytes;
    rc = rafsi_pool_take(data->pool, size, &job->packed, err);
    if (rc == RAFS_OK)
        job->packed->len = 0;
    return rc;
}

static int pack_piece(struct rafsi_data *data, struct job *job, struct piece *piece,
                      struct rafsi_encoder *encoder, rafs_error *err)
{
    uint8_t *to = job->packed->at + job->packed->len;
    size_t len = 0, room;
    int rc = rafsi_encode(encoder, piece->bytes, piece->size, to, &len, err);

    if (rc < 0)
        return rc;
    if (len == 0) {
        len = piece->size;
        memcpy(to, piece->bytes, len);
    }
    room = rafsi_blob_room(data, (uint32_t)len);
    memset(to + len, 0, room - len);
    piece->stored_size = (uint32_t)len;
    job->packed->len += room;
    rafsi_buffer_free(piece->batch);
    piece->batch = NULL;
    return RAFS_OK;
}

static int pack(struct rafsi_data *data, struct job *job, struct rafsi_encoder *encoder,
                rafs_error *err)
{
    int rc = take_packed(data, job, err);

    for (uint32_t i = 0; i < job->piece_count && rc == RAFS_OK; i++)
        rc = pack_piece(data, job, &job->pieces[i], encoder, err);
    rafsi_buffer_free(job->bytes);
    job->bytes = NULL;
    return rc;
}

/* Under the lock. What was decided goes first: it is what the feeder waits for, and its
 * bytes are still in the processor's cache. */
static struct job *pick(struct rafsi_data *data, enum job_state state)
{
    for (uint64_t i = data->head; i < data->tail; i++) {
        struct job *job = &data->ring[i % data->ring_size];

        if (job->state == state)
            return job;
    }
    return NULL;
}

static struct job *next(struct rafsi_data *data, enum job_state *was)
{
    struct job *job = pick(data, JOB_DECIDED);

    if (!job)
        job = pick(data, JOB_QUEUED);
    if (job) {
        *was = job->state;
        job->state = JOB_BUSY;
    }
    return job;
}

static void *work(void *user)
{
    struct worker *worker = user;
    struct rafsi_data *data = worker->data;

    pthread_mutex_lock(&data->lock);
    while (!data->stop) {
        enum job_state was = JOB_FREE;
        struct job *job = next(data, &was);

        if (!job) {
            data->idle++;
            pthread_cond_wait(&data->work, &data->lock);
            data->idle--;
            continue;
        }
        pthread_mutex_unlock(&data->lock);
        if (was == JOB_QUEUED)
            hash_job(data, job);
        else
            job->rc = pack(data, job, worker->encoder, &job->err);
        pthread_mutex_lock(&data->lock);
        job->state = was == JOB_QUEUED ? JOB_HASHED : JOB_PACKED;
        if (data->waiting)
            pthread_cond_signal(&data->done);
    }
    pthread_mutex_unlock(&data->lock);
    return NULL;
}

int rafsi_work_start(struct rafsi_data *data, rafs_error *err)
{
    for (uint32_t i = 0; i < data->options.threads; i++) {
        struct worker *worker = &data->workers[i];
        int rc;

        worker->data = data;
        rc = rafsi_encoder_new(&data->env, data->image->compressor, data->options.level,
                               &worker->encoder, err);
        if (rc < 0)
            return rc;
        if (rafsi_thread_start(&worker->thread, work, worker) < 0)
            return rafsi_fail(err, RAFS_E_NOMEM, RAFS_STAGE_NONE, NULL,
                              "thread %u of %u could not be started", i + 1,
                              data->options.threads);
        worker->started = true;
    }
    return RAFS_OK;
}

void rafsi_work_stop(struct rafsi_data *data)
{
    if (!data->workers)
        return;
    pthread_mutex_lock(&data->lock);
    data->stop = true;
    pthread_cond_broadcast(&data->work);
    pthread_mutex_unlock(&data->lock);
    for (uint32_t i = 0; i < data->options.threads; i++) {
        if (data->workers[i].started)
            pthread_join(data->workers[i].thread, NULL);
        rafsi_encoder_free(data->workers[i].encoder);
    }
    rafsi_free(&data->env, data->workers);
    data->workers = NULL;
}
