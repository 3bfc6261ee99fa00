/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_CACHE_OPS_H
#define RAFS_CACHE_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "cache.h"

/**
 * @file
 * A cache of the program's own, in place of a directory. Nothing that it says is
 * believed: a chunk that it gives is compared with its digest like one from a backend,
 * and fetched anew if it is wrong. A cache that fails costs time and fails no read.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** A chunk, as a cache sees it. Valid during the callback only. */
typedef struct rafs_cache_chunk {
    const char *blob_id;       /**< 1 to 64 bytes without '/' and control characters */
    const uint8_t *digest;     /**< RAFS_DIGEST_BYTES of the uncompressed chunk: equal
                                * chunks of different blobs have the same one */
    uint64_t offset;           /**< where it begins in the uncompressed blob */
    uint32_t size;             /**< bytes, uncompressed; not 0 */
    uint32_t digest_algorithm; /**< RAFS_DIGEST_ */
} rafs_cache_chunk;

/** Bits of the flags of rafs_cache_ops.begin. */
enum {
    RAFS_CACHE_BEGIN_NO_WAIT = 1 /**< for reading ahead, which is never worth waiting */
};

/**
 * The callbacks of a cache. All are called from any thread that reads, at once, never
 * under a lock of librafs. They return RAFS_OK or a RAFS_E_ code and may fill err with
 * rafs_error_set(). `call` is never NULL; what blocks has to keep its deadline and look
 * at its token, for the read that waits has no other.
 *
 * RAFS_E_NOENT of lookup, find and begin, and RAFS_E_LIMIT of store and keep, mean "not
 * here", "not now" and "not this one". After any other failure that is not the call's own
 * end, the cache is left alone for 30 seconds, and one warning goes to the log.
 */
typedef struct rafs_cache_ops {
    uint32_t struct_size; /**< sizeof(rafs_cache_ops) */
    uint32_t reserved;    /**< 0 */
    /** Take a lease on a blob that is going to be read: what is kept of it should stay.
     *  *lease is the cache's own, first given to the other functions and then to
     *  unlease(). Called once for each blob and image; again after a failure; twice, and
     *  one of them given back, if two threads are first. May be NULL. */
    int (*lease)(void *user, const char *blob_id, void **lease, const rafs_call *call,
                 rafs_error *err);
    /** Give a lease back. May be NULL. */
    void (*unlease)(void *user, void *lease);
    /** Is a chunk kept? Asked to plan requests: must not block. 1 or 0. May be NULL:
     *  then what is kept may be fetched along with what is not. */
    int (*has)(void *user, void *lease, const rafs_cache_chunk *chunk);
    /** Fill buf with chunk->size bytes. *nread is how many came; fewer count as none. buf
     *  is not to be touched after the return. Must be set. */
    int (*lookup)(void *user, void *lease, const rafs_cache_chunk *chunk, void *buf,
                  size_t *nread, const rafs_call *call, rafs_error *err);
    /** Keep chunk->size bytes, which were verified; they are valid during the call. Must
     *  be set. */
    int (*store)(void *user, void *lease, const rafs_cache_chunk *chunk, const void *data,
                 const rafs_call *call, rafs_error *err);
    /** What lookup() gave for this chunk was wrong: it should be forgotten. It is fetched
     *  anew and stored. May be NULL. */
    void (*wrong)(void *user, void *lease, const rafs_cache_chunk *chunk);
    /** Become the one of all processes who fetches a chunk: wait while another one does;
     *  with RAFS_CACHE_BEGIN_NO_WAIT in flags, return RAFS_E_NOENT at once then.
     *  *flight not NULL: fetch, store, then end(). *flight NULL: the chunk came
     *  meanwhile; it is looked up. Threads of one image never meet here. May be NULL. */
    int (*begin)(void *user, void *lease, const rafs_cache_chunk *chunk, uint32_t flags,
                 void **flight, const rafs_call *call, rafs_error *err);
    /** The fetch is over, with or without a store. Set if begin is. */
    void (*end)(void *user, void *lease, void *flight);
    /** Find a document (manifest or bootstrap of an image in a registry) by a name such
     *  as "manifest-HEX". *len is its length; buf is filled only if that is at most room,
     *  else asked again with more. Compared with its digest like a chunk.
     *  May be NULL. */
    int (*find)(void *user, const char *name, void *buf, size_t room, size_t *len,
                const rafs_call *call, rafs_error *err);
    /** Keep a document; data is valid during the call. May be NULL. */
    int (*keep)(void *user, const char *name, const void *data, size_t len,
                const rafs_call *call, rafs_error *err);
    /** Called exactly once, when the cache is closed. May be NULL. */
    void (*release)(void *user);
} rafs_cache_ops;

#define RAFS_CACHE_OPS_INIT                                                              \
    {                                                                                    \
        sizeof(rafs_cache_ops), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
            NULL, NULL                                                                   \
    }

/** Set the table to "nothing", for callers without the macro. @param ops  out; not NULL.
 *  Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_cache_ops_init(rafs_cache_ops *ops);

/**
 * Make a cache from callbacks, to be given to images in rafs_open_options.
 *
 * rafs_cache_list(), rafs_cache_gc(), rafs_cache_pin(), rafs_cache_unpin(),
 * rafs_cache_path(), rafs_cache_scrub() and rafs_image_pin() are for directories: with
 * such a cache they return RAFS_E_UNSUPPORTED.
 *
 * @param ops   lookup and store are set; copied
 * @param user  first argument of the callbacks; borrowed until release()
 * @param env   copied; NULL: the default environment. Its clock is that of the deadlines
 *              that callbacks get: give the one that images are opened with
 * @param out   out: the cache, to be closed with rafs_cache_close() after every image
 *              that uses it
 * @param err   out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       a function is missing, only one of begin and end or of find
 *                             and keep is set, or an argument is NULL
 *         RAFS_E_UNSUPPORTED  ops is newer than the library and asks for more
 *         RAFS_E_NOMEM        no memory
 *
 * On failure *out is unchanged and release() is not called. Never blocks. Any thread.
 * Source: none. Since: 1.0.
 */
RAFS_API int rafs_cache_new(const rafs_cache_ops *ops, void *user, const rafs_env *env,
                            rafs_cache **out, rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
