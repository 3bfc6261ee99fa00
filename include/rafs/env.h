/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_ENV_H
#define RAFS_ENV_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/**
 * @file
 * What a program lends the library: memory, time, a log, and the means to give up.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** What a call causes, as librafs counts it; see rafs_call_count(). */
typedef struct rafs_tally rafs_tally;

/** A token that is fired once, from any thread or signal handler, to stop calls. */
typedef struct rafs_cancel rafs_cancel;

/** Levels of rafs_env.log; smaller is more important. */
enum { RAFS_LOG_ERROR = 1, RAFS_LOG_WARNING = 2, RAFS_LOG_INFO = 3, RAFS_LOG_DEBUG = 4 };

/**
 * Environment of a handle. Copied when a handle is made; `user` and `cancel` are borrowed
 * and must outlive it. NULL in any field means the default: malloc and free, the
 * monotonic clock, no log, no token.
 *
 * The callbacks are called from every thread that uses the handle, at once, never while a
 * lock of librafs that another thread may need is held.
 */
typedef struct rafs_env {
    uint32_t struct_size; /**< sizeof(rafs_env) */
    uint32_t log_level;   /**< highest level that log wants; 0: RAFS_LOG_WARNING */
    void *user;           /**< first argument of the callbacks; borrowed */
    /** size bytes aligned for any type, or NULL. size is never 0. */
    void *(*alloc)(void *user, size_t size);
    /** Gives back what alloc returned; never called with NULL. Both or neither are set.
     */
    void (*free)(void *user, void *ptr);
    /** Nanoseconds that only grow, from any start. Deadlines are measured on it. */
    uint64_t (*now_ns)(void *user);
    /** One line without a newline; valid during the call only. */
    void (*log)(void *user, uint32_t level, const char *text);
    const rafs_cancel *cancel; /**< stops every call on the handle; borrowed */
} rafs_env;

#define RAFS_ENV_INIT                                           \
    {                                                           \
        sizeof(rafs_env), 0, NULL, NULL, NULL, NULL, NULL, NULL \
    }

/** Bits of rafs_call.flags. */
enum {
    /** Nobody waits for the bytes yet: a backend may let others go first. */
    RAFS_CALL_AHEAD = 1,
    /** Another source can be asked: a backend should say soon that it fails rather than
     * try again. Set by the library where an image has more sources than one. */
    RAFS_CALL_ONCE = 2,
    /** What came before was wrong: past whatever may keep a copy, to the source itself.
     * Only where RAFS_BACKEND_RELAYED says that there is such a way. */
    RAFS_CALL_FRESH = 4,
    /** Only what is at hand: the call asks no source, and waits for nobody who does. What
     * is neither in memory nor in the cache is RAFS_E_AGAIN; threads of the image may
     * read ahead as ever. For rafs_image_read() and rafs_image_readv(), by which a thread
     * that must not wait can try first. Other functions refuse it. */
    RAFS_CALL_CACHED = 8
};

/**
 * How long one call may take, and what stops it. Borrowed during the call.
 */
typedef struct rafs_call {
    uint32_t struct_size;      /**< sizeof(rafs_call) */
    uint32_t flags;            /**< RAFS_CALL_ */
    uint64_t deadline_ns;      /**< on the clock of the handle's environment; 0: none */
    const rafs_cancel *cancel; /**< may be NULL */
    /** Set by librafs in what it hands to backends, which hand it on if they call it in
     *  turn; borrowed for the call. Programs leave it NULL. */
    rafs_tally *tally;
} rafs_call;

#define RAFS_CALL_INIT                      \
    {                                       \
        sizeof(rafs_call), 0, 0, NULL, NULL \
    }

/**
 * Set an environment to the defaults, for callers without the macro.
 *
 * @param env  out; not NULL
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API void rafs_env_init(rafs_env *env);

/**
 * Set a call to end after a time.
 *
 * @param call        out; not NULL
 * @param env         the environment that the handle was made with, for its clock; NULL:
 *                    the default environment
 * @param timeout_ms  time from now; 0: no deadline
 * @param cancel      borrowed; NULL: none
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API void rafs_call_init(rafs_call *call, const rafs_env *env, uint64_t timeout_ms,
                             const rafs_cancel *cancel);

/**
 * Make a cancel token.
 *
 * @param out  out: the token, to be freed with rafs_cancel_free()
 * @param err  out, optional
 * @return RAFS_OK
 *         RAFS_E_NOMEM    no memory
 *         RAFS_E_BACKEND  no file descriptor left; err->os_errno
 *         RAFS_E_BADARG   out is NULL
 *
 * On failure *out is unchanged. Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_cancel_new(rafs_cancel **out, rafs_error *err);

/**
 * Fire a token: every call that looks at it returns RAFS_E_CANCELLED soon, now and later.
 *
 * @param cancel  the token; NULL does nothing
 *
 * Safe in a signal handler; keeps errno. Never blocks. Any thread. Source: none.
 * Since: 1.0.
 */
RAFS_API void rafs_cancel_fire(rafs_cancel *cancel);

/**
 * Make a fired token usable again. No call may be using it.
 *
 * @param cancel  the token; NULL does nothing
 *
 * Never blocks. Source: none. Since: 1.0.
 */
RAFS_API void rafs_cancel_reset(rafs_cancel *cancel);

/**
 * Was the token fired?
 *
 * @param cancel  the token; NULL counts as not fired
 * @return 1 or 0
 *
 * Safe in a signal handler. Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_cancel_fired(const rafs_cancel *cancel);

/**
 * A descriptor that becomes readable when the token is fired, for backends that poll().
 *
 * @param cancel  the token; not NULL
 * @return the descriptor; borrowed: do not read from it, do not close it
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_cancel_fd(const rafs_cancel *cancel);

/**
 * Free a token. No handle and no call may be using it.
 *
 * @param cancel  the token; NULL does nothing
 *
 * Never blocks. Source: none. Since: 1.0.
 */
RAFS_API void rafs_cancel_free(rafs_cancel *cancel);

#ifdef __cplusplus
}
#endif
#endif
