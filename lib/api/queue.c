/* SPDX-License-Identifier: Apache-2.0 */
#include "api/queue.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { DEPTH_DEFAULT = 256, THREADS_DEFAULT = 8, SLICE_NS = 20 * 1000 * 1000 };

void rafs_queue_options_init(rafs_queue_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

void rafs_queue_read_init(rafs_queue_read *read)
{
    memset(read, 0, sizeof(*read));
    read->struct_size = sizeof(*read);
}

static int take_options(const rafs_queue_options *options, rafs_queue_options *out,
                        rafs_error *err)
{
    int rc = rafsi_take_struct(options, out, sizeof(*out), "rafs_queue_options", err);

    if (rc < 0)
        return rc;
    if (out->flags != 0)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                          "rafs_queue_options", "flags 0x%x are not known", out->flags);
    if (out->depth == 0)
        out->depth = DEPTH_DEFAULT;
    if (out->threads == 0)
        out->threads = THREADS_DEFAULT;
    if (out->depth > QUEUE_DEPTH_MAX || out->threads > QUEUE_THREADS_MAX)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_queue_options",
                          "depth is at most %d and threads at most %d", QUEUE_DEPTH_MAX,
                          QUEUE_THREADS_MAX);
    return RAFS_OK;
}

static int make_ready(rafs_queue *queue, rafs_error *err)
{
    queue->ready = -1;
    if (queue->options.complete)
        return RAFS_OK;
    queue->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->ready >= 0)
        return RAFS_OK;
    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_NONE, errno, NULL,
                         "no descriptor for a queue: %s",
                         errno == EMFILE ? "too many open files" : "eventfd failed");
}

/* The lock with the first condition, then the others. */
static int make_locks(rafs_queue *queue, rafs_error *err)
{
    if (!rafsi_lock_new(&queue->lock, &queue->busy))
        return rafsi_fail_nomem(err, sizeof(queue->lock));
    if (!rafsi_cond_new(&queue->quiet))
        goto no_quiet;
    if (!rafsi_cond_new(&queue->posted))
        goto no_posted;
    return RAFS_OK;
no_posted:
    pthread_cond_destroy(&queue->quiet);
no_quiet:
    pthread_cond_destroy(&queue->busy);
    pthread_mutex_destroy(&queue->lock);
    return rafsi_fail_nomem(err, sizeof(queue->quiet));
}

int rafs_queue_new(const rafs_queue_options *options, rafs_queue **out, rafs_error *err)
{
    rafs_queue_options wanted;
    struct rafsi_env env;
    rafs_queue *queue;
    size_t bytes;
    int rc;

    if (!out)
        return rafsi_fail_null(err, "out");
    rc = take_options(options, &wanted, err);
    if (rc == RAFS_OK)
        rc = rafsi_env_take(wanted.env, &env, err);
    if (rc < 0)
        return rc;
    bytes = sizeof(*queue) + wanted.depth * sizeof(queue->entries[0]);
    queue = rafsi_alloc_zero(&env, bytes);
    if (!queue)
        return rafsi_fail_nomem(err, bytes);
    queue->env = env;
    queue->options = wanted;
    queue->options.env = NULL;
    rc = make_ready(queue, err);
    if (rc == RAFS_OK)
        rc = make_locks(queue, err);
    if (rc < 0) {
        if (queue->ready >= 0)
            close(queue->ready);
        rafsi_free(&env, queue);
        return rc;
    }
    for (uint32_t i = 0; i < wanted.depth; i++)
        rafsi_queue_append(&queue->free, &queue->entries[i]);
    *out = queue;
    return RAFS_OK;
}

/* Take a place for a read that was checked. The lock is held. */
static int enqueue(rafs_queue *queue, const rafs_queue_read *read, uint64_t *id,
                   rafs_error *err)
{
    struct queue_entry *entry = queue->free.first;

    if (queue->closing)
        return rafsi_fail(err, RAFS_E_CANCELLED, RAFS_STAGE_ARGUMENT, "queue",
                          "it is being freed");
    if (!entry)
        return rafsi_fail(err, RAFS_E_AGAIN, RAFS_STAGE_ARGUMENT, "queue",
                          "%u reads are under way or wait to be reaped, which is its "
                          "depth",
                          queue->options.depth);
    rafsi_queue_remove(&queue->free, entry);
    rafsi_queue_append(&queue->waiting, entry);
    if (!rafsi_queue_staff(queue)) {
        rafsi_queue_remove(&queue->waiting, entry);
        rafsi_queue_append(&queue->free, entry);
        return rafsi_fail(err, RAFS_E_NOMEM, RAFS_STAGE_NONE, "queue",
                          "no thread can be started");
    }
    entry->state = QUEUE_WAITING;
    entry->cancelled = false;
    entry->read = *read;
    memset(&entry->end, 0, sizeof(entry->end));
    entry->end.id = ++queue->serial << 16 | (uint64_t)(entry - queue->entries);
    entry->end.tag = read->tag;
    if (id)
        *id = entry->end.id;
    queue->under_way++;
    pthread_cond_signal(&queue->posted);
    if (queue->idle == 0)
        pthread_cond_signal(&queue->busy);
    return RAFS_OK;
}

int rafs_queue_submit(rafs_queue *queue, const rafs_queue_read *read, uint64_t *id,
                      rafs_error *err)
{
    rafs_queue_read taken;
    int rc;

    if (!queue || !read)
        return rafsi_fail_null(err, queue ? "read" : "queue");
    rc = rafsi_take_struct(read, &taken, sizeof(taken), "rafs_queue_read", err);
    if (rc < 0)
        return rc;
    if (!taken.image)
        return rafsi_fail_null(err, "image");
    if (taken.iov_count > 0 ? !taken.iov : !taken.buf && taken.len > 0)
        return rafsi_fail_null(err, taken.iov_count > 0 ? "iov" : "buf");
    pthread_mutex_lock(&queue->lock);
    rc = enqueue(queue, &taken, id, err);
    pthread_mutex_unlock(&queue->lock);
    return rc;
}

/* The lock is held, and given up for a callback. */
static bool cancel(rafs_queue *queue, struct queue_entry *entry)
{
    switch (entry->state) {
    case QUEUE_WAITING:
        rafsi_queue_remove(&queue->waiting, entry);
        rafsi_queue_cancelled(queue, entry);
        return true;
    case QUEUE_HELD:
        entry->cancelled = true;
        return true;
    case QUEUE_RUNNING:
        if (!entry->by->fired)
            rafs_cancel_fire(entry->by->token);
        entry->by->fired = true;
        return true;
    default:
        return false;
    }
}

int rafs_queue_cancel(rafs_queue *queue, uint64_t id)
{
    struct queue_entry *entry;
    bool found = false;

    if (!queue || (id & 0xffff) >= queue->options.depth)
        return RAFS_E_NOENT;
    entry = &queue->entries[id & 0xffff];
    pthread_mutex_lock(&queue->lock);
    if (entry->end.id == id)
        found = cancel(queue, entry);
    pthread_mutex_unlock(&queue->lock);
    return found ? RAFS_OK : RAFS_E_NOENT;
}

size_t rafs_queue_cancel_all(rafs_queue *queue)
{
    size_t count = 0;
    uint64_t last;

    if (!queue)
        return 0;
    pthread_mutex_lock(&queue->lock);
    last = queue->serial; /* what callbacks submit from here on is left alone */
    for (uint32_t i = 0; i < queue->options.depth; i++)
        if (queue->entries[i].end.id >> 16 <= last)
            count += cancel(queue, &queue->entries[i]);
    pthread_mutex_unlock(&queue->lock);
    return count;
}

int rafs_queue_fd(const rafs_queue *queue)
{
    return queue ? queue->ready : -1;
}

int rafs_queue_reap(rafs_queue *queue, rafs_completion *completions, size_t capacity,
                    size_t *count, rafs_error *err)
{
    size_t taken = 0;

    if (count)
        *count = 0;
    if (!queue || !count || (!completions && capacity > 0))
        return rafsi_fail_null(err, queue ? "completions or count" : "queue");
    if (queue->options.complete)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "queue",
                          "its completions go to its callback");
    pthread_mutex_lock(&queue->lock);
    while (taken < capacity && queue->done.first) {
        struct queue_entry *entry = queue->done.first;

        completions[taken++] = entry->end;
        rafsi_queue_remove(&queue->done, entry);
        entry->state = QUEUE_FREE;
        rafsi_queue_append(&queue->free, entry);
    }
    if (taken > 0 && queue->done.count == 0)
        rafsi_queue_ring(queue, false);
    pthread_mutex_unlock(&queue->lock);
    *count = taken;
    return RAFS_OK;
}

int rafs_queue_drain(rafs_queue *queue, const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    bool quiet = false;
    int rc;

    if (!queue)
        return rafsi_fail_null(err, "queue");
    rc = rafsi_call_take(call, &taken, err);
    while (rc == RAFS_OK && !quiet) {
        pthread_mutex_lock(&queue->lock);
        if (queue->under_way > 0)
            rafsi_wait_ns(&queue->quiet, &queue->lock, SLICE_NS);
        quiet = queue->under_way == 0;
        pthread_mutex_unlock(&queue->lock);
        if (!quiet)
            rc = rafsi_call_check(&queue->env, &taken, RAFS_STAGE_FETCH, err);
    }
    return rc;
}

void rafs_queue_free(rafs_queue *queue)
{
    if (!queue)
        return;
    pthread_mutex_lock(&queue->lock);
    queue->closing = true;
    pthread_cond_broadcast(&queue->posted);
    pthread_cond_broadcast(&queue->busy);
    pthread_mutex_unlock(&queue->lock);
    if (queue->clerk_runs)
        pthread_join(queue->clerk, NULL); /* first: it may hold some of them */
    rafs_queue_cancel_all(queue);
    for (size_t i = 0; i < queue->started; i++) {
        pthread_join(queue->workers[i].thread, NULL);
        rafs_cancel_free(queue->workers[i].token);
    }
    if (queue->options.release)
        queue->options.release(queue->options.user);
    pthread_cond_destroy(&queue->posted);
    pthread_cond_destroy(&queue->quiet);
    pthread_cond_destroy(&queue->busy);
    pthread_mutex_destroy(&queue->lock);
    if (queue->ready >= 0)
        close(queue->ready);
    rafsi_free(&queue->env, queue);
}
