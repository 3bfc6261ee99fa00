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

/** An open cache directory. Any number of images and threads may use one at once. */
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
 * of the library, or a damaged one, is emptied first, unless somebody uses it.
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
 * after fork(). Source: none. Since: 1.0.
 */
RAFS_API int rafs_cache_open(const char *path, const rafs_cache_options *options,
                             rafs_cache **out, rafs_error *err);

/**
 * Close a cache. Nothing may be using it any more.
 *
 * @param cache  NULL does nothing
 *
 * Blocks on storage, until what was written is durable. Source: none. Since: 1.0.
 */
RAFS_API void rafs_cache_close(rafs_cache *cache);

#ifdef __cplusplus
}
#endif
#endif
