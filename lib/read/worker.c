/* SPDX-License-Identifier: Apache-2.0 */
#include "read/reader.h"

int rafsi_worker_take(struct rafsi_reader *reader, struct worker **out, rafs_error *err)
{
    struct worker *worker;
    int rc;

    pthread_mutex_lock(&reader->worker_lock);
    worker = reader->workers;
    if (worker) {
        reader->workers = worker->next;
        reader->workers_idle--;
    }
    pthread_mutex_unlock(&reader->worker_lock);
    if (!worker) {
        worker = rafsi_alloc_zero(&reader->env, sizeof(*worker));
        if (!worker)
            return rafsi_fail_nomem(err, sizeof(*worker));
        rc = rafsi_decoder_new(&reader->env, &worker->decoder, err);
        if (rc < 0) {
            rafsi_free(&reader->env, worker);
            return rc;
        }
    }
    *out = worker;
    return RAFS_OK;
}

void rafsi_worker_give(struct rafsi_reader *reader, struct worker *worker)
{
    bool keep;

    if (!worker)
        return;
    pthread_mutex_lock(&reader->worker_lock);
    keep = reader->workers_idle < WORKERS_IDLE_MAX;
    if (keep) {
        worker->next = reader->workers;
        reader->workers = worker;
        reader->workers_idle++;
    }
    pthread_mutex_unlock(&reader->worker_lock);
    if (!keep)
        rafsi_worker_free(reader, worker);
}

void rafsi_worker_free(struct rafsi_reader *reader, struct worker *worker)
{
    rafsi_decoder_free(worker->decoder);
    rafsi_free(&reader->env, worker->stored);
    rafsi_free(&reader->env, worker);
}

int rafsi_worker_room(struct rafsi_reader *reader, struct worker *worker, size_t size,
                      rafs_error *err)
{
    uint8_t *room;

    if (size <= worker->capacity)
        return RAFS_OK;
    room = rafsi_alloc(&reader->env, size);
    if (!room)
        return rafsi_fail_nomem(err, size);
    rafsi_free(&reader->env, worker->stored);
    worker->stored = room;
    worker->capacity = size;
    return RAFS_OK;
}
