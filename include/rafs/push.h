/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_PUSH_H
#define RAFS_PUSH_H

#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "copy.h"
#include "target.h"

/**
 * @file
 * A bootstrap and its blobs become an image in a registry or a layout.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Bits of rafs_push_options.flags. */
enum {
    RAFS_PUSH_DOCKER = 1,  /**< docker's media types in place of those of OCI */
    RAFS_PUSH_ARTIFACT = 2 /**< the manifest says by its artifactType that it is of a RAFS
                                image, for who chooses from an index */
};

/** What the image is, besides its files; zero in a field means the default. All is
 *  borrowed for the call. */
typedef struct rafs_push_options {
    uint32_t struct_size; /**< sizeof(rafs_push_options) */
    uint32_t flags;       /**< RAFS_PUSH_ */
    /** Where blobs are that the target lacks, such as rafs_backend_new_directory(), asked
     *  one after the other. NULL: all are in the target. */
    rafs_backend *const *backends;
    size_t backend_count; /**< 0 to RAFS_SOURCES_MAX */
    /** JSON of an image's config, of which all stays but the layers, and the history is
     *  added to. NULL: one that says no more than the platform. */
    const char *config;
    size_t config_len; /**< bytes */
    /** "os/architecture" or "os/architecture/variant" without a config; NULL: that of
     * this machine. */
    const char *platform;
    /** "KEY=VALUE" each: annotations of the manifest. NULL: none. */
    const char *const *annotations;
    size_t annotation_count; /**< 0: none */
    /** JSON of the descriptor of a manifest in the same repository that this one is to
     *  hang on; NULL: none. */
    const char *subject;
    size_t subject_len;             /**< bytes */
    uint32_t threads;               /**< blobs at once, up to 16; default 3 */
    uint32_t reserved;              /**< 0 */
    rafs_copy_progress_fn progress; /**< NULL: nobody wants to know */
    void *progress_user;            /**< its first argument */
} rafs_push_options;

#define RAFS_PUSH_OPTIONS_INIT                                                        \
    {                                                                                 \
        sizeof(rafs_push_options), 0, NULL, 0, NULL, 0, NULL, NULL, 0, NULL, 0, 0, 0, \
            NULL, NULL                                                                \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_push_options_init(rafs_push_options *options);

/**
 * Push an image that was built, and put it under the target's own tag.
 *
 * Each blob that the bootstrap names becomes a layer, in the order of its blob table, and
 * the bootstrap the last one, as the file image/image.boot in a tar.gz. A blob is in the
 * target already, or comes from a backend and is compared with the digest that is its
 * name. The same files and options make the same image, byte for byte (with the same
 * zlib).
 *
 * @param bootstrap  path of it: a file of its own, not a blob that carries one
 * @param to         where it is to be; rafs_target_finish() is called
 * @param options    NULL: the defaults
 * @param result     out, optional: what was done; manifests is 1, and blobs counts those
 *                   of the bootstrap's table, not the bootstrap's layer and the config
 * @param call       deadline and cancel token of all of it, borrowed for the call; NULL:
 *                   neither
 * @param err        out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       an option is wrong; the target's digest is another one
 *         RAFS_E_NOENT        there is no such file, or a blob is missing
 *         RAFS_E_CORRUPT      no bootstrap, or a blob differs from its digest
 *         RAFS_E_UNSUPPORTED  the bootstrap lies in a blob, or needs layers of another
 *                             image (zran), or a blob that no SHA-256 names
 *         RAFS_E_BACKEND, RAFS_E_LIMIT   of either side
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_NOMEM
 *
 * On failure *result is unchanged, and the tag is what it was. Blocks on the network and
 * on storage. Any thread. Source: OCI image specification 1.1; nydusify. Since: 1.0.
 */
RAFS_API int rafs_push(const char *bootstrap, rafs_target *to,
                       const rafs_push_options *options, rafs_copy_result *result,
                       const rafs_call *call, rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
