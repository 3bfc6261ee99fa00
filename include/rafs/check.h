/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_CHECK_H
#define RAFS_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "image.h"

/**
 * @file
 * Checking a whole image.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Flags of rafs_check_options. */
enum { RAFS_CHECK_METADATA_ONLY = 1 /**< leave the blobs alone */ };

/** How far a check is. */
typedef struct rafs_check_progress {
    uint64_t inodes_done;
    uint64_t inodes_total; /**< as the super block claims */
    uint64_t chunks_done;
    uint64_t chunks_total; /**< 0 while not known */
    uint64_t bytes_done;   /**< uncompressed bytes of chunks that were verified */
    uint64_t findings;
} rafs_check_progress;

/** Options of rafs_image_check(); zero in a field means the default. */
typedef struct rafs_check_options {
    uint32_t struct_size; /**< sizeof(rafs_check_options) */
    uint32_t flags;       /**< RAFS_CHECK_ */
    void *user;           /**< first argument of the callbacks; borrowed */
    /** Told of each finding: code, object, offset and text; valid during the call. */
    void (*finding)(void *user, const rafs_error *finding);
    /** Told now and then. */
    void (*progress)(void *user, const rafs_check_progress *progress);
} rafs_check_options;

#define RAFS_CHECK_OPTIONS_INIT                         \
    {                                                   \
        sizeof(rafs_check_options), 0, NULL, NULL, NULL \
    }

/** What a check found. Set struct_size before the call. */
typedef struct rafs_check_result {
    uint32_t struct_size; /**< sizeof(rafs_check_result) */
    uint32_t complete;    /**< 1: everything was looked at */
    uint64_t inodes;      /**< inodes looked at */
    uint64_t chunks;      /**< chunks whose bytes were verified, each once */
    uint64_t bytes;       /**< uncompressed bytes of them */
    uint64_t corrupt;     /**< findings with RAFS_E_CORRUPT */
    uint64_t unreadable;  /**< findings with RAFS_E_BACKEND */
    uint64_t unsupported; /**< findings with RAFS_E_UNSUPPORTED */
    uint64_t other;       /**< findings with another code */
} rafs_check_result;

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_check_options_init(rafs_check_options *options);

/**
 * Look at everything in an image: metadata invariants (names, order, links, counts,
 * bounds), the digests of v5 inodes, blob metadata, and every chunk of every blob.
 *
 * Goes on after a finding. Findings are results, not failures: the call succeeds if it
 * came to the end, whatever it found.
 *
 * @param image    open image
 * @param options  NULL: the defaults
 * @param result   out; struct_size set by the caller; also filled if the call fails, with
 *                 what was seen until then
 * @param call     deadline and cancel token; NULL: neither
 * @param err      out, optional
 * @return RAFS_OK             all was looked at; see result->corrupt and the others
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_NOMEM, RAFS_E_BADARG, RAFS_E_LIMIT
 *
 * The callbacks come from the calling thread. Memory grows by 8 bytes a chunk and 16 a
 * file with several links. Blocks on storage and on the network. Any threads. Source:
 * reader checks of v5, v6 and the blob. Since: 1.0.
 */
RAFS_API int rafs_image_check(const rafs_image *image, const rafs_check_options *options,
                              rafs_check_result *result, const rafs_call *call,
                              rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
