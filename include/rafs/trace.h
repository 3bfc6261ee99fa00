/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_TRACE_H
#define RAFS_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "image.h"

/**
 * @file
 * Access traces: which chunks of an image were first used when. Recorded on one run, a
 * trace lets the next one fetch the same chunks beforehand (RAFS_PREFETCH_TRACE).
 *
 * A trace belongs to one bootstrap, by its digest. It only says what to fetch early;
 * chunks are looked up in the image and verified as ever, so a wrong trace costs time and
 * never a wrong byte.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** A trace; does not change. Any number of threads may use one. */
typedef struct rafs_trace rafs_trace;

/** Facts about a trace. */
typedef struct rafs_trace_info {
    uint32_t struct_size;                 /**< sizeof(rafs_trace_info); set before */
    uint32_t complete;                    /**< 0: more was read than is recorded (2^18
                                               chunks, or no memory) */
    uint32_t blobs;                       /**< blobs of the image */
    uint32_t events;                      /**< chunks used */
    uint64_t duration_us;                 /**< from the start to the last first use */
    uint8_t bootstrap[RAFS_DIGEST_BYTES]; /**< SHA-256 of the (uncompressed) bootstrap */
} rafs_trace_info;

#define RAFS_TRACE_INFO_INIT                 \
    {                                        \
        sizeof(rafs_trace_info), 0, 0, 0, 0, \
        {                                    \
            0                                \
        }                                    \
    }

/** The first use of a chunk. 48 bytes. */
typedef struct rafs_trace_event {
    uint64_t time_us;           /**< since recording began */
    uint64_t ino;               /**< the file that was read; 0: not known, because it was
                                     rafs_image_fill() that used the chunk */
    uint64_t file_offset;       /**< where the chunk begins in it; 0 where that is not
                                     known */
    uint64_t compressed_offset; /**< and in the blob */
    uint32_t length;            /**< bytes of the file */
    uint32_t compressed_size;   /**< bytes of the blob */
    uint32_t blob;              /**< index of the blob */
    uint32_t chunk;             /**< number of the chunk in it */
} rafs_trace_event;

/**
 * Record from now on what reads of an image use. Up to 2^18 chunks, 64 bytes each.
 *
 * @param image  open image; recording twice is recording once
 * @param err    out, optional
 * @return RAFS_OK, RAFS_E_BADARG, RAFS_E_NOMEM
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_trace_start(const rafs_image *image, rafs_error *err);

/**
 * What was recorded so far; recording goes on.
 *
 * @param image  an image that records
 * @param out    out: the trace, to be freed with rafs_trace_free(), also after the image
 * @param call   NULL: no limits
 * @param err    out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG  nothing is recorded
 *         RAFS_E_NOMEM, RAFS_E_TIMEOUT, RAFS_E_CANCELLED
 *         RAFS_E_BACKEND, RAFS_E_CORRUPT  the bootstrap, whose digest is needed, cannot
 *                                         be read
 *
 * On failure *out is unchanged. Blocks on storage: reads the whole bootstrap. Any thread.
 * Source: none. Since: 1.0.
 */
RAFS_API int rafs_trace_take(const rafs_image *image, rafs_trace **out,
                             const rafs_call *call, rafs_error *err);

/**
 * Keep what was recorded so far in the image's cache, as its trace; recording goes on.
 *
 * With RAFS_OPEN_TRACE this is done when the image is closed; a process that may be
 * killed before does it now and then.
 *
 * @param image  an image that records and has a cache
 * @param call   NULL: no limits
 * @param err    out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       nothing is recorded
 *         RAFS_E_UNSUPPORTED  there is no cache that keeps traces
 *         RAFS_E_BACKEND      it cannot be written; or as for rafs_trace_take()
 *         RAFS_E_CORRUPT, RAFS_E_NOMEM, RAFS_E_TIMEOUT, RAFS_E_CANCELLED
 *
 * On failure the trace that was kept before stays. Blocks on storage: reads the whole
 * bootstrap once. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_trace_keep(const rafs_image *image, const rafs_call *call,
                             rafs_error *err);

/**
 * The trace that the image's cache keeps, from a run with RAFS_OPEN_TRACE.
 *
 * @param image, out, call, err  as rafs_trace_take()
 * @return as rafs_trace_take(); RAFS_E_NOENT: there is none, or no cache
 *
 * On failure *out is unchanged. Blocks on storage. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_trace_find(const rafs_image *image, rafs_trace **out,
                             const rafs_call *call, rafs_error *err);

/**
 * A trace from bytes that rafs_trace_save() gave, or anybody made up.
 *
 * @param data  len bytes; copied
 * @param len   any
 * @param env   copied; NULL: the default environment
 * @param out   out: the trace, to be freed with rafs_trace_free()
 * @param err   out, optional
 * @return RAFS_OK; RAFS_E_CORRUPT: damaged or no trace; RAFS_E_UNSUPPORTED: of a newer
 *         version; RAFS_E_BADARG; RAFS_E_NOMEM
 *
 * On failure *out is unchanged. Never blocks. Any thread. Source: lib/format/trace.c.
 * Since: 1.0.
 */
RAFS_API int rafs_trace_load(const void *data, size_t len, const rafs_env *env,
                             rafs_trace **out, rafs_error *err);

/**
 * A trace from a file.
 *
 * @param path           the file
 * @param env, out, err  as rafs_trace_load()
 * @return as rafs_trace_load(); RAFS_E_NOENT, RAFS_E_BACKEND: cannot be read;
 *         err->os_errno
 *
 * On failure *out is unchanged. Blocks on storage. Any thread. Source: as
 * rafs_trace_load(). Since: 1.0.
 */
RAFS_API int rafs_trace_load_path(const char *path, const rafs_env *env, rafs_trace **out,
                                  rafs_error *err);

/**
 * A trace as bytes.
 *
 * @param trace  shared
 * @param buf    room bytes; NULL only if room is 0
 * @param room   bytes in buf
 * @param len    out: bytes of the trace, also with RAFS_E_RANGE
 * @param err    out, optional
 * @return RAFS_OK; RAFS_E_RANGE: room is less than *len; RAFS_E_BADARG
 *
 * On failure buf is unchanged, and *len is 0, except for RAFS_E_RANGE. Never blocks. Any
 * thread. Source: lib/format/trace.c. Since: 1.0.
 */
RAFS_API int rafs_trace_save(const rafs_trace *trace, void *buf, size_t room, size_t *len,
                             rafs_error *err);

/**
 * A trace into a file, which is replaced in one go.
 *
 * @param trace  shared
 * @param path   the file
 * @param err    out, optional
 * @return RAFS_OK; RAFS_E_BACKEND: err->os_errno; RAFS_E_BADARG; RAFS_E_NOMEM
 *
 * On failure the file is as before. Blocks on storage. Any thread. Source: as
 * rafs_trace_save(). Since: 1.0.
 */
RAFS_API int rafs_trace_save_path(const rafs_trace *trace, const char *path,
                                  rafs_error *err);

/** Facts about a trace. @param trace  shared. @param info  out; struct_size set by the
 *  caller. @param err  out, optional. @return RAFS_OK, RAFS_E_BADARG,
 *  RAFS_E_UNSUPPORTED. On failure *info is unchanged. Never blocks. Any thread. Source:
 *  none. Since: 1.0. */
RAFS_API int rafs_trace_get_info(const rafs_trace *trace, rafs_trace_info *info,
                                 rafs_error *err);

/** A blob that a trace names. @param trace  shared. @param index  0 to blobs − 1.
 *  @param id  out: 72 bytes, NUL terminated. @param size  out: stored bytes, 0 where not
 *  known. @param err  out, optional. @return RAFS_OK; RAFS_E_BADARG: no such blob. On
 *  failure nothing is written. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API int rafs_trace_get_blob(const rafs_trace *trace, uint32_t index, char *id,
                                 uint64_t *size, rafs_error *err);

/**
 * What was used, in the order of time.
 *
 * @param trace   shared
 * @param first   event to begin with, from 0
 * @param events  out
 * @param capacity  how many it has room for
 * @param count   out: events filled; 0 at the end
 * @param err     out, optional
 * @return RAFS_OK, RAFS_E_BADARG
 *
 * On failure *count is 0. Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_trace_get_events(const rafs_trace *trace, uint32_t first,
                                   rafs_trace_event *events, size_t capacity,
                                   size_t *count, rafs_error *err);

/** Free a trace. @param trace  NULL does nothing. Never blocks. Source: none. Since: 1.0.
 */
RAFS_API void rafs_trace_free(rafs_trace *trace);

#ifdef __cplusplus
}
#endif
#endif
