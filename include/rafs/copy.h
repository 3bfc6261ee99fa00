/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COPY_H
#define RAFS_COPY_H

#include <stdint.h>

#include "origin.h"
#include "target.h"

/**
 * @file
 * Images from one place to another as they are, byte for byte.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Bits of rafs_copy_options.flags. */
enum {
    RAFS_COPY_ALL = 1, /**< an index with all that it names; else the one manifest of the
                            platform */
    RAFS_COPY_REFERRERS = 2 /**< also what hangs on each manifest that is copied:
                                 signatures, lists of parts, other forms of the image */
};

/** How far a copy is. Totals grow as manifests are read. Blobs are counted once for each
 *  manifest that names them, manifests are not. */
typedef struct rafs_copy_progress {
    uint32_t struct_size; /**< sizeof(rafs_copy_progress) */
    uint32_t reserved;    /**< 0 */
    uint64_t blobs_total;
    uint64_t blobs_done; /**< there, one way or another */
    uint64_t bytes_total;
    uint64_t bytes_done;
} rafs_copy_progress;

/** Called a few times a second, from the thread that called rafs_copy(). */
typedef void (*rafs_copy_progress_fn)(void *user, const rafs_copy_progress *progress);

/** What is copied, and how; zero in a field means the default. */
typedef struct rafs_copy_options {
    uint32_t struct_size; /**< sizeof(rafs_copy_options) */
    uint32_t flags;       /**< RAFS_COPY_ */
    /** "os/architecture" or "os/architecture/variant" of the image wanted from an index;
     *  NULL: that of this machine. Borrowed for the call. */
    const char *platform;
    uint32_t threads;               /**< blobs at once, up to 16; default 3 */
    uint32_t reserved;              /**< 0 */
    rafs_copy_progress_fn progress; /**< NULL: nobody wants to know */
    void *progress_user;            /**< its first argument; borrowed for the call */
} rafs_copy_options;

#define RAFS_COPY_OPTIONS_INIT                               \
    {                                                        \
        sizeof(rafs_copy_options), 0, NULL, 0, 0, NULL, NULL \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_copy_options_init(rafs_copy_options *options);

/** What was copied. Set struct_size before the call. */
typedef struct rafs_copy_result {
    uint32_t struct_size;              /**< sizeof(rafs_copy_result) */
    uint32_t manifests;                /**< and indexes, that were put */
    uint8_t digest[RAFS_DIGEST_BYTES]; /**< SHA-256 of the one that has the tag */
    uint64_t referrers;                /**< of the manifests: those that hang on others */
    uint64_t blobs;                    /**< that the manifests name */
    uint64_t blobs_there;              /**< of them: that were there already */
    uint64_t blobs_mounted; /**< of them: that the registry took from another repository
                                 of its own */
    uint64_t blobs_sent;    /**< of them: that travelled */
    uint64_t bytes_sent;    /**< of those that travelled */
} rafs_copy_result;

/**
 * Copy an image, and put it under the target's own tag.
 *
 * Manifests stay as they are, so their digests do, and with them every chunk of a RAFS
 * image; layers that the image must not give away (foreign ones) are left out. A blob
 * appears in the target only if all its bytes came to its digest. What is there is not
 * sent again; so a copy that broke off goes on where it was. Between repositories of one
 * registry blobs are taken over without travelling, where the registry does that.
 *
 * @param from     where the image is
 * @param to       where it is to be; rafs_target_finish() is called
 * @param options  NULL: the defaults
 * @param result   out, optional: what was done
 * @param call     deadline and cancel token of the whole copy, borrowed for the call;
 *                 NULL: neither
 * @param err      out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       an option is wrong; the target's digest is another one
 *         RAFS_E_NOENT        there is no such image, no manifest of the platform, or
 *                             something that a manifest names is missing
 *         RAFS_E_CORRUPT      something differs from its digest, or is malformed
 *         RAFS_E_UNSUPPORTED  a manifest of an unknown kind, or a digest that is no
 *                             SHA-256
 *         RAFS_E_BACKEND, RAFS_E_LIMIT   of either side
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_NOMEM
 *
 * On failure *result is unchanged, and the tag is what it was; blobs and manifests that
 * were copied stay. Blocks on the network and on storage. One call at a time for each
 * origin. Source: OCI image and distribution specs 1.1. Since: 1.0.
 */
RAFS_API int rafs_copy(rafs_origin *from, rafs_target *to,
                       const rafs_copy_options *options, rafs_copy_result *result,
                       const rafs_call *call, rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
