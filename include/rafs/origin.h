/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_ORIGIN_H
#define RAFS_ORIGIN_H

#include <stddef.h>
#include <stdint.h>

#include "digest.h"
#include "registry.h"

/**
 * @file
 * Repositories that are read as a whole, image by image: what is copied from them, or
 * converted, comes from here.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** A place where images are. One call at a time uses one. */
typedef struct rafs_origin rafs_origin;

/** How an origin is read; zero in a field means the default. */
typedef struct rafs_origin_options {
    uint32_t struct_size; /**< sizeof(rafs_origin_options) */
    uint32_t flags;       /**< 0 */
    const rafs_env *env;  /**< copied; NULL: the default environment. A registry's is that
                               of its client */
    /** For docker://; borrowed until the origin is closed. NULL: there are none. */
    rafs_http *http;
    /** Credentials, mirrors and flags, as for opening an image. NULL: the defaults. */
    const rafs_registry_options *registry;
} rafs_origin_options;

#define RAFS_ORIGIN_OPTIONS_INIT                         \
    {                                                    \
        sizeof(rafs_origin_options), 0, NULL, NULL, NULL \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_origin_options_init(rafs_origin_options *options);

/**
 * Open a place where an image is.
 *
 * @param where    "docker://HOST/REPO[:TAG][@sha256:HEX]" as docker reads it,
 *                 "oci:DIR[:NAME][@sha256:HEX]" or
 * "oci-archive:FILE[:NAME][@sha256:HEX]"; of the latter two without a name the only image
 * that there is. Copied
 * @param options  NULL: the defaults
 * @param out      out: the origin, to be closed with rafs_origin_close()
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       no such text, or an option is wrong
 *         RAFS_E_UNSUPPORTED  a layout of another version, a compressed archive; options
 *                             is newer than the library and asks for more
 *         RAFS_E_NOENT, RAFS_E_CORRUPT, RAFS_E_BACKEND, RAFS_E_LIMIT   of a layout or an
 *                             archive, as rafs_image_open_layout()
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_NOMEM
 *
 * On failure *out is unchanged, and release() of the credentials is not called. Blocks on
 * storage: a registry is asked when something is read. Any thread. Source: OCI
 * distribution spec 1.1, OCI image layout 1.1; the names of containers-transports(5).
 * Since: 1.0.
 */
RAFS_API int rafs_origin_open(const char *where, const rafs_origin_options *options,
                              rafs_origin **out, const rafs_call *call, rafs_error *err);

/**
 * Close an origin. Nothing may be using it any more.
 *
 * @param origin  NULL does nothing
 *
 * Never blocks. Source: none. Since: 1.0.
 */
RAFS_API void rafs_origin_close(rafs_origin *origin);

#ifdef __cplusplus
}
#endif
#endif
