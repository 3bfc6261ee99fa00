/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_READ_H
#define RAFS_READ_H

#include <stddef.h>
#include <stdint.h>

#include "inode.h"

/**
 * @file
 * File content, each byte verified.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** A piece of the caller's memory: the layout of `struct iovec`. */
typedef struct rafs_iovec {
    void *base;
    size_t len;
} rafs_iovec;

/** Bits of rafs_extent.flags. */
enum {
    RAFS_EXTENT_HOLE = 1,       /**< reads as zeros; no blob has it */
    RAFS_EXTENT_COMPRESSED = 2, /**< stored compressed */
    RAFS_EXTENT_BATCH = 4 /**< stored in a batch with other chunks: compressed_offset
                               and compressed_size are the batch's */
};

/** A part of a file and where its bytes lie. 96 bytes. */
typedef struct rafs_extent {
    uint64_t file_offset;
    uint64_t length;              /**< bytes of the file */
    uint64_t compressed_offset;   /**< in the blob file */
    uint64_t uncompressed_offset; /**< among the blob's chunks side by side */
    uint32_t compressed_size;     /**< bytes in the blob file */
    uint32_t blob;                /**< index of the blob; 0 for holes */
    uint32_t chunk;               /**< number of the chunk in its blob */
    uint32_t flags;               /**< RAFS_EXTENT_ */
    uint32_t digest_algorithm;    /**< RAFS_DIGEST_ */
    uint32_t batch_offset; /**< batch: where the chunk begins in the decoded batch */
    uint8_t digest[RAFS_DIGEST_BYTES]; /**< of the chunk's uncompressed bytes */
    uint64_t reserved;
} rafs_extent;

/**
 * Read bytes of a regular file, each of them verified.
 *
 * Copies the file's bytes [offset, offset + len) into buf. A byte gets there only after
 * the whole chunk that holds it matched its digest in the bootstrap, whether it came from
 * a cache or a backend; there is no setting that skips this. Holes read as zeros. Reading
 * at or past the end succeeds with *nread 0.
 *
 * If a source answers wrong bytes or fails, the next one is asked.
 *
 * @param image   open image; shared, seen unchanged
 * @param ino     inode number of a regular file
 * @param offset  first byte wanted: a position in the file, not in a blob
 * @param len     bytes wanted, 0 to RAFS_READ_MAX
 * @param buf     room for len bytes; may be NULL only if len is 0
 * @param nread   out: bytes copied, less than len only where the file ends
 * @param call    deadline and cancel token, borrowed for the call; NULL: neither
 * @param err     out, optional: what failed, and at which byte of which object
 *
 * @return RAFS_OK
 *         RAFS_E_BADARG       not a regular file of this image, or len is too large
 *         RAFS_E_ISDIR        ino is a directory
 *         RAFS_E_CORRUPT      a chunk's size or digest is wrong, in at least one source,
 *                             and no source had the right bytes
 *         RAFS_E_BACKEND      no source has the blob, or they failed; err->os_errno
 *         RAFS_E_UNSUPPORTED  the blob is encrypted or of another kind not read yet
 *         RAFS_E_LIMIT        see rafs_limits
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED   as asked by call
 *         RAFS_E_AGAIN        not all of it is at hand, and call->flags has the bit
 *                             RAFS_CALL_CACHED
 *         RAFS_E_NOMEM        the image stays usable
 *
 * On failure *nread is 0 and buf may hold verified bytes of this file, never others.
 * Blocks on storage and, without RAFS_CALL_CACHED, on the network. Any threads, also on
 * one image at once; a chunk that several of them want is fetched once. Source: v5 chunk
 * list, v6 chunk index and chunk table. Since: 1.0.
 */
RAFS_API int rafs_image_read(const rafs_image *image, uint64_t ino, uint64_t offset,
                             size_t len, void *buf, size_t *nread, const rafs_call *call,
                             rafs_error *err);

/**
 * Read bytes of a regular file into several pieces of memory, one after the other.
 *
 * @param image, ino, offset, nread, call, err  as rafs_image_read()
 * @param iov        the pieces; together at most RAFS_READ_MAX bytes
 * @param iov_count  0 to 1024
 * @return as rafs_image_read()
 *
 * On failure as rafs_image_read(). Blocks on storage and on the network. Any threads.
 * Source: as rafs_image_read(). Since: 1.0.
 */
RAFS_API int rafs_image_readv(const rafs_image *image, uint64_t ino, uint64_t offset,
                              const rafs_iovec *iov, size_t iov_count, size_t *nread,
                              const rafs_call *call, rafs_error *err);

/**
 * Where the bytes of a file lie, for callers who plan their own I/O or look for holes.
 *
 * Extents are chunks and holes, in order and without gaps up to the end of the file.
 *
 * @param image     open image
 * @param ino       inode number of a regular file
 * @param offset    the first extent is the one that holds this byte
 * @param extents   out: room for capacity extents
 * @param capacity  extents
 * @param count     out: extents filled; 0 at or past the end of the file
 * @param call      deadline and cancel token; NULL: neither
 * @param err       out, optional
 * @return RAFS_OK; RAFS_E_BADARG; RAFS_E_ISDIR; RAFS_E_LIMIT; and what inode.h says.
 *         Images with batches also need the blob: RAFS_E_BACKEND, RAFS_E_CORRUPT,
 *         RAFS_E_TIMEOUT …
 *
 * On failure *count is 0. Blocks on storage, with batches on the network. Any threads.
 * Source: as rafs_image_read(). Since: 1.0.
 */
RAFS_API int rafs_image_get_extents(const rafs_image *image, uint64_t ino,
                                    uint64_t offset, rafs_extent *extents,
                                    size_t capacity, size_t *count, const rafs_call *call,
                                    rafs_error *err);

/** What an image has done so far, in a few sums; stats.h tells it by source and cause.
 *  Set struct_size before the call. */
typedef struct rafs_stats {
    uint32_t struct_size; /**< sizeof(rafs_stats) */
    uint32_t reserved;
    uint64_t chunks_cached;  /**< reads of a chunk that the cache answered */
    uint64_t chunks_fetched; /**< chunks fetched, decoded and verified */
    uint64_t chunks_refused; /**< answers of sources that failed the check */
    uint64_t requests;       /**< reads that backends were asked for */
    uint64_t bytes_fetched;  /**< bytes that backends gave */
    uint64_t cache_bytes;    /**< bytes of verified chunks in memory now */
    uint64_t cache_refused;  /**< chunks from a rafs_cache that failed the check */
    uint64_t hedges;     /**< requests made because another source was slow to answer */
    uint64_t hedges_won; /**< of them those that answered first */
} rafs_stats;

/**
 * Counters of an image.
 *
 * @param image  open image
 * @param stats  out; struct_size set by the caller
 * @param err    out, optional
 * @return RAFS_OK, RAFS_E_BADARG
 *
 * Never blocks. Any threads. Source: none. Since: 1.0.
 */
RAFS_API int rafs_image_get_stats(const rafs_image *image, rafs_stats *stats,
                                  rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
