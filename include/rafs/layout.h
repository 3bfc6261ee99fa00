/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_LAYOUT_H
#define RAFS_LAYOUT_H

#include <stdint.h>

#include "backend.h"
#include "image.h"

/**
 * @file
 * Images in OCI layouts: folders and archives as skopeo, podman, docker and ctr write
 * them.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Bits of rafs_layout_options.flags. */
enum {
    /** Where the name leads to an ordinary image, look for a RAFS form that hangs on it
     * (the image named sha256-HEX). As RAFS_REGISTRY_REFERRERS: nothing binds it. */
    RAFS_LAYOUT_REFERRERS = 1
};

/** What is wanted of a layout; zero in a field means the default. */
typedef struct rafs_layout_options {
    uint32_t struct_size; /**< sizeof(rafs_layout_options) */
    uint32_t flags;       /**< RAFS_LAYOUT_ */
    /** As rafs_registry_options.platform. Borrowed for the call. */
    const char *platform;
} rafs_layout_options;

#define RAFS_LAYOUT_OPTIONS_INIT             \
    {                                        \
        sizeof(rafs_layout_options), 0, NULL \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_layout_options_init(rafs_layout_options *options);

/**
 * Open an image in an OCI layout: a folder, or a plain tar of one.
 *
 * Index, manifest and bootstrap layer are compared with their digests on the way, as by
 * rafs_image_open_registry(); with a digest in `name` everything follows from it, and the
 * image counts as pinned. Data is read from the layout when it is wanted, after
 * rafs_open_options.backends were asked. Of an archive the headers are read once and
 * nothing is unpacked; a compressed one is refused.
 *
 * @param path     the folder or the archive; borrowed for the call, and opened once: a
 *                 later rename does not matter
 * @param name     which image: the name that index.json gives it (annotation
 *                 org.opencontainers.image.ref.name or io.containerd.image.name), or
 *                 "sha256:HEX" of a manifest or index, whether index.json has it or not.
 *                 NULL: the only one that there is
 * @param layout   NULL: the defaults
 * @param options  as rafs_image_open_path(); NULL: the defaults
 * @param out      out: the image, to be closed with rafs_image_close()
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional
 *
 * @return RAFS_OK
 *         RAFS_E_BADARG       an argument is wrong, or more than one image could be meant
 *         RAFS_E_NOENT        no such image, or a file of the layout is missing; err
 *                             lists the images that there are
 *         RAFS_E_UNSUPPORTED  not an image in a RAFS format, none for the platform, or a
 *                             compressed archive
 *         RAFS_E_CORRUPT      something differs from its digest, or is malformed
 *         RAFS_E_BACKEND      path or a file in it cannot be read, or is of another kind
 *                             than it should be
 *         RAFS_E_LIMIT        needs more than options->limits allow, or the archive has
 *                             more than 65536 entries
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED   as asked by call
 *         RAFS_E_NOMEM        no memory
 *
 * On failure *out is unchanged. Blocks on storage. Any thread. Source: OCI image layout
 * 1.1; POSIX.1 pax. Since: 1.0.
 */
RAFS_API int rafs_image_open_layout(const char *path, const char *name,
                                    const rafs_layout_options *layout,
                                    const rafs_open_options *options, rafs_image **out,
                                    const rafs_call *call, rafs_error *err);

/**
 * The blobs of an OCI layout: the blob ID is the file blobs/sha256/ID of it.
 *
 * @param path  the folder or the archive, as rafs_image_open_layout()
 * @param env   copied; NULL: the default environment
 * @param out   out: the backend, to be freed with rafs_backend_free()
 * @param call  deadline and cancel token, borrowed for the call: the headers of an
 *              archive are read now; NULL: neither
 * @param err   out, optional
 * @return RAFS_OK; RAFS_E_BADARG: an argument is NULL; else as rafs_image_open_layout()
 *
 * On failure *out is unchanged. Blocks on storage. Any thread. Source: OCI image layout
 * 1.1. Since: 1.0.
 */
RAFS_API int rafs_backend_new_layout(const char *path, const rafs_env *env,
                                     rafs_backend **out, const rafs_call *call,
                                     rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
