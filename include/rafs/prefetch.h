/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_PREFETCH_H
#define RAFS_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

#include "image.h"
#include "trace.h"

/**
 * @file
 * Fetching before anybody asks: the image's own list, files and ranges, everything, or
 * what an earlier run read; and what of an image is not cached yet.
 *
 * Chunks are fetched in a few large requests by threads of the image, verified like every
 * other chunk, and put into the image's cache; without a cache they go into memory, and
 * no more than half of rafs_limits.chunk_cache_bytes is prefetched. What is there already
 * is not asked for. While a read waits for its source, prefetch makes do with one
 * request at a time.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** A prefetch that runs or has ended. */
typedef struct rafs_prefetch rafs_prefetch;

/** What is to be prefetched. */
enum {
    RAFS_PREFETCH_ALL = 0,   /**< the content of all files */
    RAFS_PREFETCH_TABLE = 1, /**< what the image's own list names */
    RAFS_PREFETCH_LIST = 2,  /**< paths and ranges of the options */
    RAFS_PREFETCH_TRACE = 3  /**< what a trace says was read, in that order */
};

/** A part of a file. */
typedef struct rafs_prefetch_range {
    uint64_t ino;    /**< a regular file, or a directory for all files below it */
    uint64_t offset; /**< in the file; 0 for a directory */
    uint64_t length; /**< 0: up to the end */
} rafs_prefetch_range;

/** How to prefetch; zero in a field means the default. */
typedef struct rafs_prefetch_options {
    uint32_t struct_size;              /**< sizeof(rafs_prefetch_options) */
    uint32_t what;                     /**< RAFS_PREFETCH_ */
    uint32_t flags;                    /**< 0 */
    uint32_t threads;                  /**< requests at once, up to 16; default 4, of a
                                            trace 8 */
    uint64_t bytes_per_second;         /**< stored bytes, by one request at a time;
                                            default: no limit */
    const char *const *paths;          /**< LIST: files, or directories for all below;
                                            links are followed; copied */
    size_t path_count;                 /**< 0: none */
    const rafs_prefetch_range *ranges; /**< LIST; copied */
    size_t range_count;                /**< 0: none */
    uint64_t timeout_ms;               /**< longest time for one request, with all that
                                            is tried again; default 60,000 */
    const rafs_trace *trace;           /**< TRACE; of this image; copied */
} rafs_prefetch_options;

#define RAFS_PREFETCH_OPTIONS_INIT                                           \
    {                                                                        \
        sizeof(rafs_prefetch_options), 0, 0, 0, 0, NULL, 0, NULL, 0, 0, NULL \
    }

/** How far a prefetch is. Chunks are counted once, however many files share them. */
typedef struct rafs_prefetch_progress {
    uint32_t struct_size;    /**< sizeof(rafs_prefetch_progress); set before the call */
    uint32_t ended;          /**< 1: nothing more will happen */
    uint64_t chunks_total;   /**< that were asked for */
    uint64_t chunks_done;    /**< of them, those that are dealt with */
    uint64_t bytes_total;    /**< stored bytes of chunks_total */
    uint64_t bytes_done;     /**< of chunks_done */
    uint64_t chunks_fetched; /**< that came from a source */
    uint64_t bytes_fetched;  /**< stored bytes of them */
    uint64_t bytes_asked;    /**< stored bytes that travelled: more where gaps between
                                  chunks were cheaper than a request */
    uint64_t chunks_failed;  /**< that no source had right */
    uint64_t chunks_unkept; /**< fetched, but the cache could not keep them (disk full) */
    uint64_t chunks_skipped; /**< not fetched, since there is no cache and memory for no
                                  more of them */
} rafs_prefetch_progress;

#define RAFS_PREFETCH_PROGRESS_INIT                                     \
    {                                                                   \
        sizeof(rafs_prefetch_progress), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_prefetch_options_init(rafs_prefetch_options *options);

/**
 * Start to prefetch.
 *
 * Finds out which chunks are meant, which reads metadata only, and leaves the rest to
 * threads of the image. Several prefetches may run at once; what one fetches the others
 * do not.
 *
 * @param image    open image; it may be closed before the prefetch is freed: then the
 *                 prefetch ends as if cancelled
 * @param options  NULL: everything
 * @param out      out: the prefetch, to be freed with rafs_prefetch_free()
 * @param call     for finding the chunks only; NULL: no limits
 * @param err      out, optional
 * @return RAFS_OK: started
 *         RAFS_E_BADARG       unknown `what`, a trace of another image, an inode that
 *                             the image does not have
 *         RAFS_E_NOENT, RAFS_E_NOTDIR  a path is not in the image
 *         RAFS_E_LIMIT        more chunks than chunk_index_bytes allows, at 8 bytes each
 *         RAFS_E_CORRUPT      metadata is broken
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_UNSUPPORTED, RAFS_E_NOMEM,
 *         RAFS_E_BACKEND
 *
 * On failure *out is unchanged. Blocks on storage. Any thread. Source: prefetch table;
 * file and chunk tables. Since: 1.0.
 */
RAFS_API int rafs_prefetch_start(const rafs_image *image,
                                 const rafs_prefetch_options *options,
                                 rafs_prefetch **out, const rafs_call *call,
                                 rafs_error *err);

/**
 * Wait until a prefetch has ended.
 *
 * @param prefetch  shared
 * @param call      how long to wait; the prefetch goes on after RAFS_E_TIMEOUT. NULL: as
 *                  long as it takes
 * @param err       out, optional: of the wait, or what ended the prefetch
 * @return RAFS_OK: all was dealt with; chunks_unkept and chunks_skipped of the progress
 *                  tell what is not kept all the same
 *         RAFS_E_TIMEOUT    call's deadline; whether the prefetch itself met one, or goes
 *                           on, its progress tells
 *         RAFS_E_CANCELLED  by call, by rafs_prefetch_cancel(), or the image was closed
 *         RAFS_E_BACKEND    the sources failed, or (ENOSPC) the cache keeps nothing any
 *                           more; what was fetched before is kept
 *         RAFS_E_CORRUPT    all else is done, but some chunks are wrong at every source
 *         RAFS_E_UNSUPPORTED, RAFS_E_NOMEM
 *
 * Blocks on the network. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_prefetch_wait(rafs_prefetch *prefetch, const rafs_call *call,
                                rafs_error *err);

/**
 * A descriptor that becomes readable when the prefetch has ended, for event loops.
 *
 * @param prefetch  not NULL
 * @return the descriptor; borrowed: do not read from it, do not close it
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_prefetch_fd(const rafs_prefetch *prefetch);

/**
 * How far a prefetch is.
 *
 * @param prefetch  shared
 * @param progress  out; struct_size set by the caller
 * @param err       out, optional
 * @return RAFS_OK, RAFS_E_BADARG, RAFS_E_UNSUPPORTED
 *
 * On failure *progress is unchanged. Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_prefetch_get_progress(rafs_prefetch *prefetch,
                                        rafs_prefetch_progress *progress,
                                        rafs_error *err);

/** Stop a prefetch soon; what it has fetched stays. @param prefetch  NULL does nothing.
 *  Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_prefetch_cancel(rafs_prefetch *prefetch);

/** Cancel a prefetch, wait for its threads and free it. Nobody else may be using it.
 *  @param prefetch  NULL does nothing. Blocks until requests under way have ended, which
 *  cancelling makes soon. Not while rafs_image_close() runs. Source: none. Since: 1.0. */
RAFS_API void rafs_prefetch_free(rafs_prefetch *prefetch);

/** What of an image is in its cache. */
typedef struct rafs_missing {
    uint32_t struct_size;    /**< sizeof(rafs_missing); set before the call */
    uint32_t reserved;       /**< 0 */
    uint64_t chunks;         /**< chunks that files of the image use */
    uint64_t bytes;          /**< stored bytes of them */
    uint64_t chunks_missing; /**< of them, those that are not cached */
    uint64_t bytes_missing;  /**< stored bytes of those */
} rafs_missing;

#define RAFS_MISSING_INIT                   \
    {                                       \
        sizeof(rafs_missing), 0, 0, 0, 0, 0 \
    }

/**
 * What of each blob would have to be fetched to have the whole image.
 *
 * Looks at what the cache says, not at the bytes. Without a cache everything is missing.
 *
 * @param image    open image
 * @param missing  out: one for each blob, in the order of the blob table; the struct_size
 *                 of each set by the caller
 * @param capacity how many `missing` has room for; blobs beyond are left out
 * @param call     NULL: no limits
 * @param err      out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG, RAFS_E_UNSUPPORTED, RAFS_E_LIMIT, RAFS_E_CORRUPT, RAFS_E_NOMEM,
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_BACKEND
 *
 * On failure `missing` is unchanged. Blocks on storage. Any thread. Source: chunk tables.
 * Since: 1.0.
 */
RAFS_API int rafs_image_get_missing(const rafs_image *image, rafs_missing *missing,
                                    size_t capacity, const rafs_call *call,
                                    rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
