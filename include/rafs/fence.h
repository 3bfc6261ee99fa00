/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_FENCE_H
#define RAFS_FENCE_H

#include <stdint.h>

#include "image.h"

/**
 * @file
 * A mounted EROFS bootstrap whose chunks become readable one by one.
 *
 * EROFS looks up where a chunk lies whenever it reads it, in the file that was mounted.
 * So that file can be written with two devices for each blob: the first, the fence, in
 * front of what is not there yet, and the second with the bytes. All chunks begin behind
 * the fence. Whoever has brought a chunk to the second device opens the fence for it, and
 * the kernel reads it there from then on, with nobody in between.
 *
 * A fence may be any file whose reading waits until the bytes are there and fails when
 * they cannot be had, such as one of a FUSE file system: if its server is gone, reading
 * what was never fetched is an error, and never zeros.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** The fence in a mounted bootstrap. Any number of threads may use it at once. */
typedef struct rafs_fence rafs_fence;

/** Facts about a fence. Set struct_size before the call. */
typedef struct rafs_fence_info {
    uint32_t struct_size; /**< sizeof(rafs_fence_info) */
    uint32_t blobs;       /**< device i + 1 is the fence of blob i; device blobs + i + 1
                               its bytes */
    uint64_t entries;     /**< of files, each for a chunk, or for a file whose chunks lie
                               one after the other; 0 before rafs_fence_index() */
    uint64_t open;        /**< of them, those that lead past the fence */
} rafs_fence_info;

#define RAFS_FENCE_INFO_INIT             \
    {                                    \
        sizeof(rafs_fence_info), 0, 0, 0 \
    }

/**
 * Put a fence into a bootstrap that is going to be mounted, or find it there.
 *
 * @param image  version 6, open; borrowed until rafs_fence_free(). Its own bytes must not
 *               be those of fd, which change
 * @param fd     descriptor for reading and writing of a file that holds the image's
 *               bootstrap as rafs_image_write_erofs() gave it, or with a fence already;
 *               duplicated. Devices are added to it, nothing else is changed
 * @param out    out: the fence, to be freed with rafs_fence_free()
 * @param err    out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       the image is not of version 6, or the file is another one
 *         RAFS_E_UNSUPPORTED  more than 127 blobs, or no room for their devices: a large
 *                             bootstrap with more than 10 blobs
 *         RAFS_E_BACKEND      the file cannot be read or written; err->os_errno
 *         RAFS_E_NOMEM
 *
 * On failure *out is unchanged; the file may have devices that nothing leads to. Blocks
 * on storage. Any thread. Source: EROFS super block and device slots. Since: 1.0.
 */
RAFS_API int rafs_fence_new(const rafs_image *image, int32_t fd, rafs_fence **out,
                            rafs_error *err);

/**
 * Find out which entries of which files lead to which chunks, for rafs_fence_open() to
 * know what to change.
 *
 * Reads all directories and files of the image, 24 bytes of memory for each entry of a
 * chunk. Until it is done, nothing is opened: reads go to the fence, as they may. From
 * then on rafs_image_fill() knows the file that it fills for, and what lies near to that
 * in the tree is fetched along as for rafs_image_read().
 *
 * @param fence  shared
 * @param call   deadline and cancel token; NULL: neither
 * @param err    out, optional
 * @return RAFS_OK; also if it was done before
 *         RAFS_E_CORRUPT, RAFS_E_BACKEND, RAFS_E_NOMEM, RAFS_E_TIMEOUT, RAFS_E_CANCELLED
 *         RAFS_E_LIMIT  more than rafs_limits.chunk_index_bytes
 *
 * On failure it may be called again. Blocks on storage. One thread at a time. Source: v6
 * chunk arrays. Since: 1.0.
 */
RAFS_API int rafs_fence_index(rafs_fence *fence, const rafs_call *call, rafs_error *err);

/** Is all of [begin, end) of a blob's uncompressed bytes on its second device? 1 or 0.
 * From the thread that opens, never under a lock. */
typedef int (*rafs_fence_there)(void *user, uint32_t blob, uint64_t begin, uint64_t end);

/**
 * Let the kernel past the fence: from now on it reads the chunks that begin in
 * [begin, end) of a blob's uncompressed bytes from the second device, where they must be.
 *
 * Of a file whose chunks lie one after the other the kernel looks at the first entry
 * alone. It is opened when a call touches the file's bytes and all of them are there.
 *
 * @param fence  shared, after rafs_fence_index()
 * @param blob   index of the blob
 * @param begin, end  bytes
 * @param there  asked about such files
 * @param user   its first argument; borrowed for the call
 * @param err    out, optional
 * @return RAFS_OK; RAFS_E_BADARG: no index yet, no such blob; RAFS_E_BACKEND: the file
 *         cannot be written: what could not be opened stays behind the fence
 *
 * Blocks on storage. Any thread. Source: v6 chunk arrays. Since: 1.0.
 */
RAFS_API int rafs_fence_open(rafs_fence *fence, uint32_t blob, uint64_t begin,
                             uint64_t end, rafs_fence_there there, void *user,
                             rafs_error *err);

/** The opposite of rafs_fence_open(): reads of what begins in or reaches into
 *  [begin, end) meet the fence again, unless the kernel has their pages. @param fence,
 *  blob, begin, end, err  as rafs_fence_open(). @return as rafs_fence_open(). Blocks on
 *  storage. Any thread. Source: v6 chunk arrays. Since: 1.0. */
RAFS_API int rafs_fence_shut(rafs_fence *fence, uint32_t blob, uint64_t begin,
                             uint64_t end, rafs_error *err);

/** Facts about a fence. @param fence  shared. @param info  out; struct_size set by the
 *  caller. @param err  out, optional. @return RAFS_OK, RAFS_E_BADARG,
 *  RAFS_E_UNSUPPORTED. On failure *info is unchanged. Never blocks. Any thread. Source:
 *  none. Since: 1.0. */
RAFS_API int rafs_fence_get_info(const rafs_fence *fence, rafs_fence_info *info,
                                 rafs_error *err);

/** Free a fence; the file stays as it is. @param fence  NULL does nothing. Never blocks.
 *  Source: none. Since: 1.0. */
RAFS_API void rafs_fence_free(rafs_fence *fence);

#ifdef __cplusplus
}
#endif
#endif
