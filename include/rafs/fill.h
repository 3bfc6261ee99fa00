/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_FILL_H
#define RAFS_FILL_H

#include <stdint.h>

#include "image.h"

/**
 * @file
 * Blobs as files that grow full: for whoever gives the kernel a v6 image as the EROFS
 * file system that it is (rafs_image_write_erofs()) and the blobs as its devices.
 *
 * A cache directory keeps each blob's chunks uncompressed at their uncompressed offsets
 * in one sparse file; that file is the device. The kernel does not verify what it reads
 * there: let it read only what rafs_image_fill() has said to be good.
 *
 * What the bootstrap says of files is not checked here: an image whose files and chunk
 * table contradict each other, which rafs_image_read() refuses chunk by chunk, is found
 * by rafs_image_check().
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Blobs are filled, and their files as large as, whole blocks of so many bytes. */
#define RAFS_FILL_BLOCK 4096

/** What is good after rafs_image_fill(). Multiples of RAFS_FILL_BLOCK. */
typedef struct rafs_filled {
    uint32_t struct_size; /**< sizeof(rafs_filled); set before the call */
    uint32_t reserved;    /**< 0 */
    uint64_t begin;       /**< first byte that is good, in the uncompressed blob */
    uint64_t end;         /**< and the one behind the last */
} rafs_filled;

#define RAFS_FILLED_INIT             \
    {                                \
        sizeof(rafs_filled), 0, 0, 0 \
    }

/**
 * The file in which the image's cache keeps a blob, as large as the whole blob.
 *
 * The file is made if it is not there, and made larger if it is too small; it never
 * becomes smaller. What was not filled is a hole, or anything at all. The descriptor is
 * for reading only.
 *
 * As long as this descriptor, or a duplicate of it in whatever process, is open, no cache
 * of librafs deletes the file or gives its place to another one: not when it has to make
 * room, not when it is emptied, also after the image was closed or its process died. A
 * mount needs one such duplicate for as long as it lasts.
 *
 * If somebody else deletes the file, the next image to be opened has another one: compare
 * st_dev and st_ino before you go on with a mount.
 *
 * @param image  an image of version 6 that was opened with a cache directory
 * @param blob   index of the blob
 * @param fd     out: the descriptor (close-on-exec), yours to close
 * @param size   out: bytes that a device of this blob has: its uncompressed size, rounded
 *               up to RAFS_FILL_BLOCK; the file may be larger
 * @param call   NULL: no limits
 * @param err    out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       no such blob
 *         RAFS_E_UNSUPPORTED  no cache, or one without a directory; or the image is of
 *                             version 5, whose chunks do not lie on blocks: open what
 *                             rafs_image_write_erofs() makes of it by
 *                             rafs_image_open_erofs()
 *         RAFS_E_BACKEND      the file cannot be opened or made larger; err->os_errno:
 *                             what the file system says; ESTALE: somebody deleted it
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED   as asked by call
 *         RAFS_E_NOMEM        no memory
 *
 * On failure *fd and *size are unchanged. Blocks on storage. Any thread. Source: none.
 * Since: 1.0.
 */
RAFS_API int rafs_image_fill_file(const rafs_image *image, uint32_t blob, int32_t *fd,
                                  uint64_t *size, const rafs_call *call, rafs_error *err);

/**
 * Put a range of a blob into its file, each byte verified.
 *
 * When it succeeds, each chunk that shares a byte with [offset, offset + len) lies in the
 * file of rafs_image_fill_file() and was compared with its digest during this call: as it
 * came from a source, or as it was read back from the file. What is wrong in the file is
 * fetched and written anew. What lies between chunks is never read by a file system.
 *
 * filled says more: all that is good now around the range, with what no chunk of the
 * image uses beside it; the start and the end of the blob count as such. Once the ranges
 * of all calls together are [0, size), the blob is complete. Chunks that were fetched
 * besides, because they lay beside those wanted, are not part of it: nobody has asked for
 * them.
 *
 * Calls for one chunk at the same time fetch it once, together with reads; whoever goes
 * through a blob in order is read ahead for, as rafs_limits says.
 * If a trace is being recorded, the chunks are part of it, as those of inode 0. With
 * RAFS_CALL_AHEAD in call->flags, nobody waits for the bytes: then neither is done.
 *
 * @param image   as for rafs_image_fill_file()
 * @param blob    index of the blob
 * @param offset  first byte, in the uncompressed blob
 * @param len     bytes; the range must end within the size of rafs_image_fill_file(); 0:
 *                nothing has to be good
 * @param filled  in and out, optional: what is good now, at least the range itself
 * @param call    deadline and cancel token, borrowed for the call; NULL: neither
 * @param err     out, optional: what failed, and at which byte of which object
 * @return RAFS_OK
 *         RAFS_E_BADARG       no such blob, or the range is not in it
 *         RAFS_E_UNSUPPORTED  as for rafs_image_fill_file(); or a kind of blob that is
 *                             not read
 *         RAFS_E_CORRUPT      a chunk is wrong at every source; or the image has two
 *                             different chunks in one place; or the cache has another
 *                             one there, of an image that gives this blob other content
 *         RAFS_E_BACKEND      no source has it, or it cannot be kept; err->os_errno is
 *                             then ENOSPC, EROFS, EFBIG or EIO; EDQUOT also for the
 *                             quota and the floor of the cache; EAGAIN: another process
 *                             that has the right to write the chunk does not go on
 *         RAFS_E_TIMEOUT      as asked by call
 *         RAFS_E_CANCELLED    as asked by call
 *         RAFS_E_LIMIT        more chunks than rafs_limits.chunk_index_bytes allows
 *         RAFS_E_NOMEM        no memory; the image stays usable
 *
 * On failure *filled is unchanged, and a part of the range may be good. Blocks on storage
 * and on the network. Any threads, also at once. Source: RAFS v6 chunk table and files'
 * chunk lists. Since: 1.0.
 */
RAFS_API int rafs_image_fill(const rafs_image *image, uint32_t blob, uint64_t offset,
                             uint64_t len, rafs_filled *filled, const rafs_call *call,
                             rafs_error *err);

/**
 * Find out what of a range is in the file already, and fetch nothing.
 *
 * Looks in [offset, offset + len) for the first chunk that the cache has in the file, and
 * compares it and those that follow with their digests, up to the first that is not there
 * or is wrong. Go on from filled->end. For those who have time before somebody waits.
 *
 * Left out: what was fetched because it lay near to what somebody read, as long as nobody
 * has asked for it; and chunks whose digest only the blob tells.
 *
 * @param image   as for rafs_image_fill_file()
 * @param blob    index of the blob
 * @param offset  first byte, in the uncompressed blob
 * @param len     bytes; the range must end within the size of rafs_image_fill_file()
 * @param filled  in and out: what is good, as rafs_image_fill() says; empty, at the end
 * of the range: nothing of it
 * @param call    deadline and cancel token, borrowed for the call; NULL: neither
 * @param err     out, optional
 * @return as rafs_image_fill(), but for what only fetching can lead to
 *
 * On failure *filled is unchanged. Blocks on storage. Any threads, also at once. Source:
 * RAFS v6 chunk table. Since: 1.0.
 */
RAFS_API int rafs_image_fill_kept(const rafs_image *image, uint32_t blob, uint64_t offset,
                                  uint64_t len, rafs_filled *filled,
                                  const rafs_call *call, rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
