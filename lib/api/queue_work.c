/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of a queue. Workers read, one read at a time each. While all of them are
 * busy the clerk looks after those that wait: a deadline or a token ends a read that has
 * not even begun, however long the others take.
 */
#include <unistd.h>

#include "api/queue.h"

enum {
    HELD_MAX = 64,
    LOOK_NS = 20 * 1000 * 1000 /* how often the clerk looks */
};

void rafsi_queue_append(struct queue_list *list, struct queue_entry *entry)
{
    entry->next = NULL;
    entry->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = entry;
    list->last = entry;
    list->count++;
}

void rafsi_queue_remove(struct queue_list *list, struct queue_entry *entry)
{
    *(entry->prev ? &entry->prev->next : &list->first) = entry->next;
    *(entry->next ? &entry->next->prev : &list->last) = entry->prev;
    list->count--;
}

/* Never blocks, and does not fail: the count is 0 or 1. Under the lock, so that the
 * descriptor tells what is. */
void rafsi_queue_ring(rafs_queue *queue, bool on)
{
    uint64_t count = 1;
    ssize_t done = on ? write(queue->ready, &count, sizeof(count))
                      : read(queue->ready, &count, sizeof(count));

    (void)done;
}

static void left(rafs_queue *queue)
{
    if (--queue->under_way == 0)
        pthread_cond_broadcast(&queue->quiet);
}

void rafsi_queue_finish(rafs_queue *queue, struct queue_entry *entry)
{
    rafs_completion end;

    if (!queue->options.complete) {
        entry->state = QUEUE_DONE;
        rafsi_queue_append(&queue->done, entry);
        if (queue->done.count == 1)
            rafsi_queue_ring(queue, true);
        left(queue);
        return;
    }
    end = entry->end;
    entry->state = QUEUE_FREE;
    rafsi_queue_append(&queue->free, entry);
    pthread_mutex_unlock(&queue->lock);
    queue->options.complete(queue->options.user, &end);
    pthread_mutex_lock(&queue->lock);
    left(queue);
}

void rafsi_queue_refuse(rafs_queue *queue, struct queue_entry *entry,
                        const rafs_error *error)
{
    entry->end.code = error->code;
    entry->end.error = *error;
    rafsi_queue_finish(queue, entry);
}

void rafsi_queue_cancelled(rafs_queue *queue, struct queue_entry *entry)
{
    rafs_error error = RAFS_ERROR_INIT;

    rafsi_fail(&error, RAFS_E_CANCELLED, RAFS_STAGE_FETCH, NULL,
               "cancelled by the caller");
    rafsi_queue_refuse(queue, entry, &error);
}

static rafs_call call_of(const rafs_queue_read *read, const rafs_cancel *token)
{
    rafs_call call = RAFS_CALL_INIT;

    call.deadline_ns = read->deadline_ns;
    call.cancel = token;
    return call;
}

static void run(const struct queue_worker *worker, const rafs_queue_read *read,
                rafs_completion *end)
{
    const rafs_iovec whole = {read->buf, read->len};
    const rafs_iovec *iov = read->iov_count > 0 ? read->iov : &whole;
    size_t count = read->iov_count > 0 ? read->iov_count : 1;
    rafs_call call = call_of(read, worker->token);
    size_t nread = 0;

    if (read->cancel)
        rafsi_cancel_join(worker->token, read->cancel);
    end->code = rafs_image_readv(read->image, read->ino, read->offset, iov, count, &nread,
                                 &call, &end->error);
    end->nread = nread;
    if (read->cancel)
        rafsi_cancel_join(worker->token, NULL);
}

static void *work(void *user)
{
    struct queue_worker *worker = user;
    rafs_queue *queue = worker->queue;

    pthread_mutex_lock(&queue->lock);
    while (!queue->closing) {
        struct queue_entry *entry = queue->waiting.first;

        if (!entry) {
            queue->idle++;
            pthread_cond_wait(&queue->posted, &queue->lock);
            queue->idle--;
            continue;
        }
        rafsi_queue_remove(&queue->waiting, entry);
        entry->state = QUEUE_RUNNING;
        entry->by = worker;
        if (queue->waiting.first && queue->idle == 0)
            pthread_cond_signal(&queue->busy);
        pthread_mutex_unlock(&queue->lock);
        run(worker, &entry->read, &entry->end);
        pthread_mutex_lock(&queue->lock);
        entry->by = NULL;
        if (worker->fired)
            rafs_cancel_reset(worker->token);
        worker->fired = false;
        rafsi_queue_finish(queue, entry);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

/* Take some that wait and look at each: their environments are the images', so no lock
 * may be held, and nothing else may touch them meanwhile. */
static size_t look_at_some(rafs_queue *queue, size_t most)
{
    struct queue_entry *held[HELD_MAX];
    rafs_error errors[HELD_MAX];
    size_t count = 0;

    while (count < HELD_MAX && count < most && queue->waiting.first) {
        held[count] = queue->waiting.first;
        rafsi_queue_remove(&queue->waiting, held[count]);
        held[count++]->state = QUEUE_HELD;
    }
    pthread_mutex_unlock(&queue->lock);
    for (size_t i = 0; i < count; i++) {
        const rafs_queue_read *read = &held[i]->read;
        rafs_call call = call_of(read, read->cancel);

        rafs_error_init(&errors[i]);
        rafsi_call_check(&read->image->env, &call, RAFS_STAGE_FETCH, &errors[i]);
    }
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < count; i++) {
        if (held[i]->cancelled) {
            rafsi_queue_cancelled(queue, held[i]);
        } else if (errors[i].code < 0) {
            rafsi_queue_refuse(queue, held[i], &errors[i]);
        } else {
            held[i]->state = QUEUE_WAITING;
            rafsi_queue_append(&queue->waiting, held[i]);
        }
    }
    return count;
}

static void *watch_those_who_wait(void *user)
{
    rafs_queue *queue = user;

    pthread_mutex_lock(&queue->lock);
    while (!queue->closing) {
        size_t left_to_see = queue->waiting.count;

        if (left_to_see == 0 || queue->idle > 0) {
            pthread_cond_wait(&queue->busy, &queue->lock);
            continue;
        }
        /* Once around, after which they are in the order in which they were. */
        while (left_to_see > 0 && !queue->closing) {
            size_t seen = look_at_some(queue, left_to_see);

            left_to_see = seen > 0 ? left_to_see - seen : 0;
        }
        /* While they were held, those who submitted or looked for work saw too few. */
        if (queue->waiting.count > 0) {
            rafsi_queue_staff(queue);
            pthread_cond_broadcast(&queue->posted);
        }
        if (!queue->closing)
            rafsi_wait_ns(&queue->busy, &queue->lock, LOOK_NS);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

static bool hire(rafs_queue *queue)
{
    struct queue_worker *worker = &queue->workers[queue->started];

    worker->queue = queue;
    worker->fired = false;
    if (rafs_cancel_new(&worker->token, NULL) < 0)
        return false;
    if (rafsi_thread_start(&worker->thread, work, worker) == RAFS_OK) {
        queue->started++;
        return true;
    }
    rafs_cancel_free(worker->token);
    return false;
}

bool rafsi_queue_staff(rafs_queue *queue)
{
    if (!queue->clerk_runs)
        queue->clerk_runs =
            rafsi_thread_start(&queue->clerk, watch_those_who_wait, queue) == RAFS_OK;
    if (!queue->clerk_runs)
        return false;
    if (queue->idle < queue->waiting.count && queue->started < queue->options.threads)
        hire(queue);
    return queue->started > 0;
}
