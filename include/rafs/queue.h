/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_QUEUE_H
#define RAFS_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "image.h"
#include "read.h"

/**
 * @file
 * Reads for programs that must not wait: submit, go on, and hear of each when it is
 * complete, through a descriptor for poll(), select() and epoll, or by a callback.
 *
 * Every read that was taken completes exactly once, whatever happens to it, in no
 * promised order. Its memory belongs to the queue until then. What it gives is what
 * rafs_image_readv() gives: every byte verified.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Reads under way, of any number of images. Any number of threads may use one at once.
 */
typedef struct rafs_queue rafs_queue;

/** A read. Set struct_size before the call. */
typedef struct rafs_queue_read {
    uint32_t struct_size;    /**< sizeof(rafs_queue_read) */
    uint32_t iov_count;      /**< 0: buf and len say where the bytes go */
    const rafs_image *image; /**< borrowed until completion */
    uint64_t ino;            /**< a regular file of the image */
    uint64_t offset;         /**< first byte wanted */
    void *buf;               /**< room for len bytes; borrowed until completion */
    size_t len;              /**< 0 to RAFS_READ_MAX */
    /** Instead of buf: 1 to 1024 pieces; the array and they are borrowed until
     *  completion. */
    const rafs_iovec *iov;
    /** On the clock of the image's environment; 0: none. It counts from the submission:
     * a read that did not even begin ends at it too. */
    uint64_t deadline_ns;
    const rafs_cancel *cancel; /**< stops it as well; borrowed until completion; NULL */
    uint64_t tag;              /**< the program's own, given back */
} rafs_queue_read;

#define RAFS_QUEUE_READ_INIT                                              \
    {                                                                     \
        sizeof(rafs_queue_read), 0, NULL, 0, 0, NULL, 0, NULL, 0, NULL, 0 \
    }

/** How a read ended. 544 bytes. */
typedef struct rafs_completion {
    uint64_t id;       /**< what rafs_queue_submit() gave */
    uint64_t tag;      /**< of the rafs_queue_read */
    uint64_t nread;    /**< bytes; 0 if it failed, less than asked where the file ends */
    int32_t code;      /**< RAFS_OK, or what rafs_image_readv() returns */
    uint32_t reserved; /**< 0 */
    rafs_error error;  /**< of a read that failed; else zeros */
} rafs_completion;

/** How a queue works; zero in a field means the default. */
typedef struct rafs_queue_options {
    uint32_t struct_size; /**< sizeof(rafs_queue_options) */
    uint32_t flags;       /**< 0 */
    /** Memory and log; copied; NULL: the default environment. Its token stops no reads:
     *  those of the images and reads do. */
    const rafs_env *env;
    /** Reads under way and completions not yet reaped together, 1 to 65536; default 256.
     *  All memory that the queue needs for them is taken when it is made. */
    uint32_t depth;
    uint32_t threads; /**< reads that run at once, 1 to 64; default 8 */
    /**
     * Called for each completion instead of keeping it for rafs_queue_reap(). From the
     * queue's threads; for reads that had not begun also from the thread that cancels
     * them or frees the queue. Several at once; never under a lock. It may submit and
     * cancel, but not drain or free the queue. NULL: completions are reaped.
     */
    void (*complete)(void *user, const rafs_completion *completion);
    void (*release)(void *user); /**< called once, when the queue is freed; may be NULL */
    void *user;                  /**< first argument of both; borrowed until release() */
} rafs_queue_options;

#define RAFS_QUEUE_OPTIONS_INIT                                     \
    {                                                               \
        sizeof(rafs_queue_options), 0, NULL, 0, 0, NULL, NULL, NULL \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_queue_options_init(rafs_queue_options *options);

/** Set a read to nothing, for callers without the macro. @param read  out; not NULL.
 *  Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_queue_read_init(rafs_queue_read *read);

/**
 * Make a queue. Its threads are made when first needed; they take no signals.
 *
 * @param options  NULL: the defaults
 * @param out      out: the queue, to be freed with rafs_queue_free()
 * @param err      out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       an option is out of its range, or out is NULL
 *         RAFS_E_UNSUPPORTED  options is newer than the library and asks for more
 *         RAFS_E_BACKEND      no descriptor left; err->os_errno
 *         RAFS_E_NOMEM        no memory
 *
 * On failure *out is unchanged, and release() is not called. Never blocks. Any thread.
 * Source: none. Since: 1.0.
 */
RAFS_API int rafs_queue_new(const rafs_queue_options *options, rafs_queue **out,
                            rafs_error *err);

/**
 * Submit a read.
 *
 * @param queue  the queue
 * @param read   copied; what it points to is borrowed until completion
 * @param id     out, optional: a number, never 0, that no other read of this queue has;
 *               set before the completion can be seen
 * @param err    out, optional
 * @return RAFS_OK             taken: it completes exactly once
 *         RAFS_E_AGAIN        the queue is full: hear of a completion first
 *         RAFS_E_CANCELLED    the queue is being freed
 *         RAFS_E_BADARG       image or memory is NULL; what is wrong with the read itself
 *                             its completion says
 *         RAFS_E_UNSUPPORTED  read is newer than the library and asks for more
 *         RAFS_E_NOMEM        there is no thread, and none can be made
 *
 * On failure nothing was taken. Never blocks on storage or the network. Any threads.
 * Source: none. Since: 1.0.
 */
RAFS_API int rafs_queue_submit(rafs_queue *queue, const rafs_queue_read *read,
                               uint64_t *id, rafs_error *err);

/**
 * Cancel a read. It completes with RAFS_E_CANCELLED, soon if it has begun, or as it would
 * have if it was about to.
 *
 * @param queue  the queue
 * @param id     from rafs_queue_submit()
 * @return RAFS_OK; RAFS_E_NOENT: no read of this id is under way, it has completed
 *
 * With a callback, that of a read that had not begun is called before this returns. Never
 * blocks on storage or the network. Any threads. Source: none. Since: 1.0.
 */
RAFS_API int rafs_queue_cancel(rafs_queue *queue, uint64_t id);

/**
 * Cancel all reads that are under way.
 *
 * @param queue  the queue
 * @return how many they were
 *
 * With a callback as rafs_queue_cancel(). Never blocks on storage or the network. Any
 * threads. Source: none. Since: 1.0.
 */
RAFS_API size_t rafs_queue_cancel_all(rafs_queue *queue);

/**
 * A descriptor that is readable as long as completions wait to be reaped.
 *
 * @param queue  the queue
 * @return the descriptor; borrowed until the queue is freed: do not read from it, do not
 *         close it. -1 for a queue with a callback
 *
 * Never blocks. Any threads. Source: none. Since: 1.0.
 */
RAFS_API int rafs_queue_fd(const rafs_queue *queue);

/**
 * Take completions, those that came first first.
 *
 * @param queue        the queue
 * @param completions  out: room for capacity of them
 * @param capacity     completions
 * @param count        out: completions taken; 0: none waits now
 * @param err          out, optional
 * @return RAFS_OK; RAFS_E_BADARG: an argument is NULL, or the queue has a callback
 *
 * On failure *count is 0. Never blocks. Any threads; each completion goes to one of them.
 * Source: none. Since: 1.0.
 */
RAFS_API int rafs_queue_reap(rafs_queue *queue, rafs_completion *completions,
                             size_t capacity, size_t *count, rafs_error *err);

/**
 * Wait until no read is under way: all have completed, and callbacks have returned.
 *
 * Completions stay to be reaped. Reads that others submit meanwhile are waited for too.
 *
 * @param queue  the queue
 * @param call   deadline, on the clock of the queue's environment, and cancel token,
 *               which end the waiting and not the reads; NULL: neither
 * @param err    out, optional
 * @return RAFS_OK; RAFS_E_TIMEOUT, RAFS_E_CANCELLED: as asked by call; RAFS_E_BADARG
 *
 * Blocks as the reads do. Any threads but the callback's. Source: none. Since: 1.0.
 */
RAFS_API int rafs_queue_drain(rafs_queue *queue, const rafs_call *call, rafs_error *err);

/**
 * Cancel all reads, wait for them to end, and free the queue.
 *
 * Callbacks are called for all of them before this returns; completions that were not
 * reaped are gone. Afterwards no image or memory is borrowed any more.
 *
 * @param queue  no other call on it may be running; NULL does nothing
 *
 * Blocks until sources notice that they are cancelled. Not from a callback. Source: none.
 * Since: 1.0.
 */
RAFS_API void rafs_queue_free(rafs_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
