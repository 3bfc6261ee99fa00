/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_CONVERT_H
#define RAFS_CONVERT_H

#include <stddef.h>
#include <stdint.h>

#include "build.h"
#include "origin.h"
#include "target.h"

/**
 * @file
 * Ordinary OCI images become RAFS images, layer by layer, on their way from one place to
 * another.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Bits of rafs_convert_options.flags. */
enum {
    RAFS_CONVERT_ALL_PLATFORMS = 1, /**< each image of an index, into an index; else the
                                         one of the platform */
    RAFS_CONVERT_REFERRER = 2, /**< the result hangs on the image that it was made of, so
                                    that who has that one finds it: each manifest has the
                                    original one as its `subject`, and an artifactType */
    RAFS_CONVERT_DOCKER = 4    /**< docker's media types in place of those of OCI */
};

/** How far a conversion is. Totals grow as manifests are read. */
typedef struct rafs_convert_progress {
    uint32_t struct_size; /**< sizeof(rafs_convert_progress) */
    uint32_t reserved;    /**< 0 */
    uint64_t layers_total;
    uint64_t layers_done;
    uint64_t bytes_total; /**< of the source's layers, as they travel */
    uint64_t bytes_done;
} rafs_convert_progress;

/** Called a few times a second, from the thread that called rafs_convert(). */
typedef void (*rafs_convert_progress_fn)(void *user,
                                         const rafs_convert_progress *progress);

/** What is converted, and how; zero in a field means the default. */
typedef struct rafs_convert_options {
    uint32_t struct_size; /**< sizeof(rafs_convert_options) */
    uint32_t flags;       /**< RAFS_CONVERT_ */
    /** How layers are built; NULL: the defaults. Of its flags those that say what layers
     *  are made into, such as RAFS_BUILD_BLOB_PER_LAYER, and its progress are not for the
     *  caller to set. Borrowed for the call. */
    const rafs_build_options *build;
    /** "os/architecture" or "os/architecture/variant" of the image wanted from an index;
     *  NULL: that of this machine. Borrowed for the call. */
    const char *platform;
    /** Directory of layers that were converted before, made if there is none; NULL: none.
     *  Who can write to it decides what images hold: it is refused if others than its
     *  owner can. Borrowed for the call. */
    const char *cache_dir;
    uint32_t threads;                  /**< layers at once, up to 8; default 2 */
    uint32_t reserved;                 /**< 0 */
    rafs_convert_progress_fn progress; /**< NULL: nobody wants to know */
    void *progress_user;               /**< its first argument; borrowed for the call */
} rafs_convert_options;

#define RAFS_CONVERT_OPTIONS_INIT                                           \
    {                                                                       \
        sizeof(rafs_convert_options), 0, NULL, NULL, NULL, 0, 0, NULL, NULL \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_convert_options_init(rafs_convert_options *options);

/** What was converted. Set struct_size before the call. */
typedef struct rafs_convert_result {
    uint32_t struct_size;              /**< sizeof(rafs_convert_result) */
    uint32_t images;                   /**< manifests that were made */
    uint8_t digest[RAFS_DIGEST_BYTES]; /**< SHA-256 of the one, or of their index */
    uint64_t layers;                   /**< of those images */
    uint64_t layers_reused;            /**< of them: converted before */
    uint64_t source_bytes;             /**< of layers, that were read */
    uint64_t blob_bytes;               /**< of all layers' blobs */
    uint64_t built_bytes;              /**< of the blobs that were built */
    uint64_t file_bytes;               /**< of files, in layers that were built */
    uint64_t skipped; /**< entries left out with RAFS_BUILD_SKIP_UNSUPPORTED */
} rafs_convert_result;

/**
 * Convert an image, and put it under the target's own tag.
 *
 * Each layer is read once, compared with its digest, and built into a blob that is sent
 * while it is made; nothing is unpacked. The trees of all layers are then merged, as the
 * whiteouts say, into the image's bootstrap. Labels, history and all else of the config
 * stay, and so do annotations of the manifest. The same image and options make the same
 * manifest, byte for byte (with the same zlib and zstd).
 *
 * With RAFS_CONVERT_REFERRER and a target that is the very place where the image is, the
 * result gets no tag; without it such a target is refused.
 *
 * @param from     where the image is
 * @param to       where it is to be; rafs_target_finish() is called
 * @param options  NULL: the defaults
 * @param result   out, optional: what was done
 * @param call     deadline and cancel token of all of it, borrowed for the call; NULL:
 *                 neither
 * @param err      out, optional: which layer failed, and why
 * @return RAFS_OK
 *         RAFS_E_BADARG       an option is wrong; the target is the source, or names
 *                             another digest; others can write to cache_dir
 *         RAFS_E_NOENT        there is no such image, no manifest of the platform, or
 *                             something that a manifest names is missing
 *         RAFS_E_CORRUPT      something differs from its digest, or is malformed
 *         RAFS_E_UNSUPPORTED  no image of layers that are tar streams; it is a RAFS image
 *                             already; an entry that no image can hold
 *         RAFS_E_BACKEND, RAFS_E_LIMIT   of either side
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_NOMEM
 *
 * On failure *result is unchanged, and the tag is what it was; blobs of layers that were
 * complete stay. Blocks on the network and on storage. One call at a time for each
 * origin. Source: OCI image specification 1.1; nydusify. Since: 1.0.
 */
RAFS_API int rafs_convert(rafs_origin *from, rafs_target *to,
                          const rafs_convert_options *options,
                          rafs_convert_result *result, const rafs_call *call,
                          rafs_error *err);

/**
 * Take in an ordinary OCI image: its layers over what the builder has.
 *
 * Each layer is a tar stream that is compared with its digest as it is read; the next one
 * is not begun before that. rafs_builder_next_layer() is called between them, and once
 * before them by the caller if there is something below.
 *
 * @param builder   the builder
 * @param from      where the image is; borrowed for the call
 * @param platform  "os/architecture" or "os/architecture/variant" of the image wanted
 *                  from an index; NULL: that of this machine
 * @param call      deadline and cancel token, borrowed for the call; NULL: neither
 * @param err       out, optional: the layer and entry that failed
 * @return as rafs_builder_add_tar() and rafs_convert()
 *
 * After a failure the builder can only be freed. Blocks on the network, on storage and on
 * the sink. Source: OCI image specification 1.1. Since: 1.0.
 */
RAFS_API int rafs_builder_add_oci(rafs_builder *builder, rafs_origin *from,
                                  const char *platform, const rafs_call *call,
                                  rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
