/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_CACHE_H
#define RAFS_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "env.h"

/**
 * @file
 * A directory in which verified chunks outlive the process, shared by all images and by
 * any number of processes at once. What is read back is verified again: a damaged cache
 * costs time and never a wrong byte.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** An open cache: a directory, or a program's own (rafs_cache_new()). Any number of
 * images and threads may use one at once. */
typedef struct rafs_cache rafs_cache;

/** How a cache is used; zero in a field means the default. */
typedef struct rafs_cache_options {
    uint32_t struct_size;      /**< sizeof(rafs_cache_options) */
    uint32_t flags;            /**< 0 */
    const rafs_env *env;       /**< copied; NULL: the default environment */
    uint64_t quota_bytes;      /**< disk space that the cache may take; 0: no limit */
    uint64_t free_floor_bytes; /**< space that is left to others; 0: none */
} rafs_cache_options;

#define RAFS_CACHE_OPTIONS_INIT                   \
    {                                             \
        sizeof(rafs_cache_options), 0, NULL, 0, 0 \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_cache_options_init(rafs_cache_options *options);

/**
 * Open a cache directory, and make it if it is not there.
 *
 * The directory is made with mode 0700; one that others own or can write to is refused,
 * and so is one that holds other things, or a symbolic link. A cache of another version
 * of the library, or a damaged one, is emptied first, unless somebody uses it. Files in
 * it that are links, belong to others or can be written to by them are not used.
 *
 * @param path     the directory; the one above it must be there
 * @param options  NULL: the defaults
 * @param out      out: the cache, to be closed with rafs_cache_close() after every image
 *                 that uses it
 * @param err      out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       not such a directory; err->os_errno is EPERM where others
 *                             could have put something into it
 *         RAFS_E_BACKEND      err->os_errno: EBUSY if another version of the library uses
 *                             the cache now, or what the file system says
 *         RAFS_E_UNSUPPORTED  options is newer than the library and asks for more
 *         RAFS_E_NOMEM        no memory
 *
 * On failure *out is unchanged. Blocks on storage. Any thread. Not to be used in a child
 * after fork(): such a child also keeps the locks of its parent until it ends or calls
 * exec(), so that if the parent is killed while it fetches a chunk, others wait for that
 * chunk as long as the child lives, until their deadline, or 30 s: then they fetch it
 * themselves. Source: none. Since: 1.0.
 */
RAFS_API int rafs_cache_open(const char *path, const rafs_cache_options *options,
                             rafs_cache **out, rafs_error *err);

/**
 * Close a cache. Nothing may be using it any more.
 *
 * @param cache  NULL does nothing
 *
 * Blocks on storage, until what was written is durable; or as release() does. Source:
 * none. Since: 1.0.
 */
RAFS_API void rafs_cache_close(rafs_cache *cache);

/** Bits of rafs_cache_entry.flags. */
enum {
    RAFS_CACHE_ENTRY_DOCUMENT = 1, /**< a manifest, bootstrap or trace, not a blob */
    RAFS_CACHE_ENTRY_PINNED = 2,   /**< never evicted */
    RAFS_CACHE_ENTRY_IN_USE = 4    /**< some process has it open: not evicted now */
};

/** One thing in a cache: a blob, or a document. */
typedef struct rafs_cache_entry {
    const char *name;    /**< blob id, or name of the document; valid in the callback */
    uint64_t disk_bytes; /**< space that it takes */
    uint64_t chunks; /**< that are ready; 0 unless RAFS_CACHE_LIST_COUNT was asked for */
    uint64_t ready_bytes;  /**< of them, uncompressed; 0 likewise */
    uint64_t last_use_sec; /**< seconds since 1970, within a minute */
    uint32_t flags;        /**< RAFS_CACHE_ENTRY_ */
    uint32_t reserved;     /**< 0 */
} rafs_cache_entry;

/** Called for each entry of a list, from the thread that asked for it; a return value
 * other than 0 ends the list. */
typedef int (*rafs_cache_visit)(void *user, const rafs_cache_entry *entry);

/** What rafs_cache_list() is asked for: bits. */
enum { RAFS_CACHE_LIST_COUNT = 1 /**< chunks and ready_bytes too: reads all journals */ };

/**
 * List what a cache holds, the least recently used first.
 *
 * @param cache  shared
 * @param flags  RAFS_CACHE_LIST_COUNT or 0
 * @param visit  called for each
 * @param user   first argument of visit; borrowed for the call
 * @param err    out, optional
 * @return RAFS_OK, also when visit ended it; RAFS_E_BADARG; RAFS_E_BACKEND: the directory
 *         cannot be read, err->os_errno; RAFS_E_UNSUPPORTED: unknown flag; RAFS_E_NOMEM
 *
 * Blocks on storage. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_cache_list(rafs_cache *cache, uint32_t flags, rafs_cache_visit visit,
                             void *user, rafs_error *err);

/** What rafs_cache_gc() is to do: bits. */
enum { RAFS_CACHE_GC_DRY_RUN = 1 /**< say what would go, and delete nothing */ };

/** Options of rafs_cache_gc(); zero in a field means the default. */
typedef struct rafs_cache_gc_options {
    uint32_t struct_size; /**< sizeof(rafs_cache_gc_options) */
    uint32_t flags;       /**< RAFS_CACHE_GC_DRY_RUN */
    /** Space that may be taken after the call; 0: the quota of the cache; 1 empties it */
    uint64_t quota_bytes;
    uint64_t free_floor_bytes; /**< space left to others; 0: as the cache was opened */
    void *user;                /**< first argument of visit; borrowed */
    /** Told of what went, or would go; what it returns does not matter. */
    rafs_cache_visit visit;
} rafs_cache_gc_options;

#define RAFS_CACHE_GC_OPTIONS_INIT                         \
    {                                                      \
        sizeof(rafs_cache_gc_options), 0, 0, 0, NULL, NULL \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_cache_gc_options_init(rafs_cache_gc_options *options);

/** What rafs_cache_gc() did, or would do. */
typedef struct rafs_cache_gc_result {
    uint32_t struct_size;   /**< sizeof(rafs_cache_gc_result); set before the call */
    uint32_t fits;          /**< 1: the quota and the floor are kept now */
    uint64_t evicted;       /**< blobs and documents */
    uint64_t evicted_bytes; /**< space that they took */
    uint64_t kept;          /**< blobs and documents that stay */
    uint64_t kept_bytes;    /**< space that they take */
} rafs_cache_gc_result;

#define RAFS_CACHE_GC_RESULT_INIT                   \
    {                                               \
        sizeof(rafs_cache_gc_result), 0, 0, 0, 0, 0 \
    }

/**
 * Evict what was not used for the longest time, until the cache fits.
 *
 * A cache does this by itself when it grows. What is open in any process, or pinned,
 * stays. Leftovers of processes that died are deleted too.
 *
 * @param cache    shared
 * @param options  NULL: the defaults
 * @param result   in and out, optional
 * @param err      out, optional
 * @return RAFS_OK, also if what is in use does not let it fit
 *         RAFS_E_BADARG, RAFS_E_UNSUPPORTED, RAFS_E_NOMEM
 *         RAFS_E_BACKEND  the directory cannot be read; err->os_errno
 *
 * visit comes from the calling thread. Blocks on storage. Any thread. Source: none.
 * Since: 1.0.
 */
RAFS_API int rafs_cache_gc(rafs_cache *cache, const rafs_cache_gc_options *options,
                           rafs_cache_gc_result *result, rafs_error *err);

/**
 * Keep a blob or document from being evicted, also before any of it is cached.
 *
 * rafs_image_pin() does so for all that an image needs.
 *
 * @param cache  shared
 * @param name   blob id of 1 to 64 bytes, or name of a document as rafs_cache_list()
 *               gives it
 * @param err    out, optional
 * @return RAFS_OK; RAFS_E_BADARG: no such id is possible; RAFS_E_BACKEND: err->os_errno
 *
 * Blocks on storage. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_cache_pin(rafs_cache *cache, const char *name, rafs_error *err);

/**
 * Let what was pinned be evicted again.
 *
 * @param cache  shared
 * @param name   as for rafs_cache_pin(); one that is not pinned is fine
 * @param err    out, optional
 * @return RAFS_OK; RAFS_E_BADARG: no such id is possible; RAFS_E_BACKEND: err->os_errno
 *
 * Blocks on storage. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_cache_unpin(rafs_cache *cache, const char *name, rafs_error *err);

/**
 * The path of a cache, or of the file that holds a blob's chunks.
 *
 * The file holds each chunk uncompressed at its uncompressed offset, and holes where none
 * was kept; so it can serve a kernel mount once all chunks are there (rafs_cache_list()
 * counts them). It must not be written to. A blob that is neither pinned nor in use may
 * be evicted at any time.
 *
 * @param cache    shared
 * @param blob_id  NULL: the directory itself
 * @param buf      out: the absolute path and a NUL
 * @param room     bytes in buf
 * @param len      out: bytes of the path without the NUL
 * @param err      out, optional
 * @return RAFS_OK; RAFS_E_NOENT: the cache has nothing of this blob; RAFS_E_RANGE:
 *         room is not more than *len; RAFS_E_BADARG; RAFS_E_UNSUPPORTED; RAFS_E_BACKEND:
 *         the path cannot be found out
 *
 * On failure *len is 0, except for RAFS_E_RANGE. Blocks on storage. Any thread. Source:
 * none. Since: 1.0.
 */
RAFS_API int rafs_cache_path(rafs_cache *cache, const char *blob_id, char *buf,
                             size_t room, size_t *len, rafs_error *err);

/** How far a scrub is. */
typedef struct rafs_cache_scrub_progress {
    uint64_t chunks_done; /**< compared with their digests */
    uint64_t bytes_done;  /**< of them */
    uint64_t bytes_total; /**< about; of the blobs there were at the beginning */
    uint64_t bad_chunks;  /**< that were wrong */
} rafs_cache_scrub_progress;

/** Options of rafs_cache_scrub(); zero in a field means the default. */
typedef struct rafs_cache_scrub_options {
    uint32_t struct_size;      /**< sizeof(rafs_cache_scrub_options) */
    uint32_t flags;            /**< 0 */
    uint64_t bytes_per_second; /**< 0: as fast as the disk is */
    void *user;                /**< first argument of the callbacks; borrowed */
    /** Told of each wrong chunk: blob, offset among the uncompressed chunks, text; and of
     *  each wrong document. */
    void (*finding)(void *user, const rafs_error *finding);
    /** Told after each chunk. */
    void (*progress)(void *user, const rafs_cache_scrub_progress *progress);
} rafs_cache_scrub_options;

#define RAFS_CACHE_SCRUB_OPTIONS_INIT                            \
    {                                                            \
        sizeof(rafs_cache_scrub_options), 0, 0, NULL, NULL, NULL \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_cache_scrub_options_init(rafs_cache_scrub_options *options);

/** What rafs_cache_scrub() saw. */
typedef struct rafs_cache_scrub_result {
    uint32_t struct_size;   /**< sizeof(rafs_cache_scrub_result); set before the call */
    uint32_t complete;      /**< 1: all was looked at */
    uint64_t blobs;         /**< looked at */
    uint64_t chunks;        /**< compared with their digests */
    uint64_t bytes;         /**< of them */
    uint64_t bad_chunks;    /**< that were wrong; they are forgotten */
    uint64_t documents;     /**< manifests and bootstraps compared with their digests */
    uint64_t bad_documents; /**< that were wrong; they are deleted */
} rafs_cache_scrub_result;

#define RAFS_CACHE_SCRUB_RESULT_INIT                         \
    {                                                        \
        sizeof(rafs_cache_scrub_result), 0, 0, 0, 0, 0, 0, 0 \
    }

/**
 * Compare every chunk in a cache with its digest, and forget those that are wrong: they
 * are fetched anew when they are wanted. So with documents.
 *
 * @param cache    shared; others may read and write meanwhile
 * @param options  NULL: the defaults
 * @param result   in and out, optional; filled also when the call ends early
 * @param call     deadline and cancel token; NULL: neither
 * @param err      out, optional
 * @return RAFS_OK, whatever was found; result->complete is 0 if a blob cannot be opened
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED  as asked by call; chunks seen so far count
 *         RAFS_E_BADARG, RAFS_E_UNSUPPORTED, RAFS_E_NOMEM
 *         RAFS_E_BACKEND  the directory cannot be read; err->os_errno
 *
 * The callbacks come from the calling thread. Blocks on storage. Any thread. Source:
 * none. Since: 1.0.
 */
RAFS_API int rafs_cache_scrub(rafs_cache *cache, const rafs_cache_scrub_options *options,
                              rafs_cache_scrub_result *result, const rafs_call *call,
                              rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
