/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_IMAGE_H
#define RAFS_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "cache.h"
#include "digest.h"
#include "env.h"
#include "limits.h"

/**
 * @file
 * Opening an image, and what is known of it as a whole.
 *
 * ## What an expected digest promises
 *
 * Everything that librafs returns of an image follows from the bytes of its bootstrap:
 * names, attributes, and the digest of every chunk. With rafs_open_options.expect_digest
 * these bytes are compared before any of them is decoded, and what is used later is what
 * was compared, even if the file changes meanwhile. Then no wrong byte of metadata or
 * content can come out, whoever wrote the blobs or serves them.
 *
 * Without it the bootstrap is believed. Content still agrees with the digests that the
 * bootstrap names and malformed input is still an error, but whoever could change
 * the bootstrap chose what you read. A blob id or file name is a name, never a proof.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** An open image. Any number of threads may use one at once. */
typedef struct rafs_image rafs_image;

/** Bits of rafs_open_options.flags. */
enum {
    /** Learn from earlier runs: what the cache keeps as the trace of this image is
     * fetched at once, in that order (RAFS_PREFETCH_TRACE), and what reads use beyond it
     * is recorded and added to it when the image is closed. Without a cache it is
     * recorded only. A trace that is damaged is recorded anew. */
    RAFS_OPEN_TRACE = 1
};

/** Options of the rafs_image_open functions; zero in a field means the default. */
typedef struct rafs_open_options {
    uint32_t struct_size; /**< sizeof(rafs_open_options) */
    uint32_t flags;       /**< RAFS_OPEN_ */
    /** Memory, clock, log, cancel; copied; NULL: the default environment. */
    const rafs_env *env;
    /**
     * "sha256:HEX" or "blake3:HEX": of the bootstrap's own bytes; of the uncompressed
     * `image.boot` where the bootstrap lies inside a blob. "blob-sha256:HEX": of the
     * whole file that was opened. NULL: none, see above. Copied.
     */
    const char *expect_digest;
    /** Sources of the data blobs, asked in this order; borrowed until the image is
     * closed. A blob that carries its bootstrap is its own first source. */
    rafs_backend *const *backends;
    size_t backend_count; /**< 0 to RAFS_SOURCES_MAX */
    /** Copied; NULL: the defaults. */
    const rafs_limits *limits;
    /** Name from which the id of a blob that carries its own bootstrap follows (its part
     *  before the first '.'); NULL: the last part of the path. Copied. */
    const char *name;
    /** Where chunks outlive the image; borrowed until it is closed. NULL: they are kept
     * in memory alone. */
    rafs_cache *cache;
} rafs_open_options;

#define RAFS_OPEN_OPTIONS_INIT                                              \
    {                                                                       \
        sizeof(rafs_open_options), 0, NULL, NULL, NULL, 0, NULL, NULL, NULL \
    }

/** Compressors, numbered as on disk. */
enum {
    RAFS_COMPRESSOR_NONE = 0,
    RAFS_COMPRESSOR_LZ4_BLOCK = 1,
    RAFS_COMPRESSOR_GZIP = 2,
    RAFS_COMPRESSOR_ZSTD = 3
};

/** Bits of rafs_image_info.flags, as on disk (super block flags of v5 and v6). */
enum {
    RAFS_FLAG_EXPLICIT_UID_GID = 0x10,
    RAFS_FLAG_HAS_XATTR = 0x20,
    RAFS_FLAG_INLINED_CHUNK_DIGEST = 0x100,
    RAFS_FLAG_TARFS = 0x200
};

/** Bits of rafs_blob_info.features, as on disk. */
enum {
    RAFS_BLOB_ALIGNED = 0x1,
    RAFS_BLOB_INLINED_FS_META = 0x2,
    RAFS_BLOB_CHUNK_INFO_V2 = 0x4,
    RAFS_BLOB_ZRAN = 0x8,
    RAFS_BLOB_SEPARATE = 0x10,
    RAFS_BLOB_INLINED_CHUNK_DIGEST = 0x20,
    RAFS_BLOB_TARFS = 0x40,
    RAFS_BLOB_BATCH = 0x80,
    RAFS_BLOB_ENCRYPTED = 0x100,
    RAFS_BLOB_CHUNKDICT = 0x200,
    RAFS_BLOB_PREFETCH = 0x400,
    RAFS_BLOB_EXTERNAL = 0x800,
    RAFS_BLOB_HAS_TAR_HEADER = 0x10000000,
    RAFS_BLOB_HAS_TOC = 0x20000000,
    RAFS_BLOB_CAP_TAR_TOC = 0x40000000
};

/** Facts about an image. Set struct_size before the call. */
typedef struct rafs_image_info {
    uint32_t struct_size;     /**< sizeof(rafs_image_info) */
    uint32_t version;         /**< 5 or 6 */
    uint64_t flags;           /**< RAFS_FLAG_ and others, as on disk */
    uint64_t bootstrap_bytes; /**< length of the (uncompressed) bootstrap */
    uint64_t inodes;          /**< as the super block counts them: v5 hard links once, v6
                                   paths; a claim until rafs_image_check() */
    uint64_t root;            /**< inode number of the root directory */
    uint32_t chunk_size;      /**< bytes in a full chunk */
    uint32_t block_size;      /**< bytes: v6 4096; v5 4096 */
    uint32_t compressor;      /**< RAFS_COMPRESSOR_; v6: a blob's own wins */
    uint32_t digest;          /**< RAFS_DIGEST_; v6: a blob's own wins */
    uint32_t blob_count;      /**< blobs in the table */
    uint32_t prefetch_count;  /**< entries of the prefetch list */
    uint32_t inlined;         /**< 1: the bootstrap lies inside a blob */
    uint32_t pinned;          /**< 1: an expected digest was given, and matched */
} rafs_image_info;

/** One data blob. Set struct_size before the call. */
typedef struct rafs_blob_info {
    uint32_t struct_size;     /**< sizeof(rafs_blob_info) */
    uint32_t index;           /**< place in the blob table */
    char id[72];              /**< NUL terminated; the name that backends are asked for */
    uint32_t features;        /**< RAFS_BLOB_ */
    uint32_t compressor;      /**< RAFS_COMPRESSOR_ of its chunks */
    uint32_t digest;          /**< RAFS_DIGEST_ of its chunks */
    uint32_t chunk_count;     /**< 0 where the image does not say (old v5) */
    uint64_t compressed_size; /**< bytes of the stored blob; 0 where not said (old v5) */
    uint64_t uncompressed_size; /**< bytes of its chunks side by side; 0 as above */
    uint64_t prefetch_size; /**< v5: bytes from its start worth reading ahead; else 0 */
} rafs_blob_info;

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_open_options_init(rafs_open_options *options);

/**
 * Open an image from a file: a bootstrap, or a blob that carries its bootstrap.
 *
 * Reads the super block and the tables, no more; with an expected digest the whole
 * bootstrap once. The file may be gone afterwards; it must not shrink.
 *
 * @param path     the file; must be regular or a block device; copied
 * @param options  NULL: the defaults
 * @param out      out: the image, to be closed with rafs_image_close()
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional: what failed, and at which byte
 *
 * @return RAFS_OK
 *         RAFS_E_BADARG       an argument is wrong, such as a digest that is not one
 *         RAFS_E_CORRUPT      not an image, a broken one, or not the one expected
 *         RAFS_E_UNSUPPORTED  an image of a kind that this version does not read
 *         RAFS_E_LIMIT        needs more than options->limits allow
 *         RAFS_E_BACKEND      the file cannot be read; err->os_errno
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED   as asked by call
 *         RAFS_E_NOMEM        no memory
 *
 * On failure *out is unchanged. Blocks on storage. Any thread. Source: RAFS super blocks,
 * blob TOC. Since: 1.0.
 */
RAFS_API int rafs_image_open_path(const char *path, const rafs_open_options *options,
                                  rafs_image **out, const rafs_call *call,
                                  rafs_error *err);

/**
 * Open an image inside a larger file.
 *
 * @param fd       descriptor open for reading; duplicated
 * @param offset   where the image begins
 * @param size     bytes of the image; 0: all that follow offset
 * @param options  as rafs_image_open_path(); `name` is needed for the id of a blob that
 *                 carries its bootstrap, else other images cannot name it
 * @param out, call, err  as rafs_image_open_path()
 * @return as rafs_image_open_path()
 *
 * On failure *out is unchanged. Blocks on storage. Any thread. Source: as
 * rafs_image_open_path(). Since: 1.0.
 */
RAFS_API int rafs_image_open_fd(int32_t fd, uint64_t offset, uint64_t size,
                                const rafs_open_options *options, rafs_image **out,
                                const rafs_call *call, rafs_error *err);

/**
 * Open an image in memory: a bootstrap, or a blob that carries its bootstrap.
 *
 * @param data     size bytes; borrowed until the image is closed, and not to be changed:
 *                 an expected digest covers what they are now
 * @param size     any
 * @param options, out, call, err  as rafs_image_open_fd()
 * @return as rafs_image_open_path()
 *
 * On failure *out is unchanged. Never blocks. Any thread. Source: as
 * rafs_image_open_path(). Since: 1.0.
 */
RAFS_API int rafs_image_open_memory(const void *data, size_t size,
                                    const rafs_open_options *options, rafs_image **out,
                                    const rafs_call *call, rafs_error *err);

/**
 * Open an image that lies at a backend under a name: a bootstrap, or a blob that carries
 * its bootstrap.
 *
 * It is fetched whole, so rafs_limits.inlined_bootstrap_bytes limits its size.
 *
 * @param backend  asked once for the image; not among the sources of its blobs unless
 *                 options->backends names it; borrowed until the image is closed
 * @param name     1 to RAFS_BLOB_ID_MAX bytes, what the backend's open() is given; copied
 * @param options, out, call, err  as rafs_image_open_path()
 * @return as rafs_image_open_path(), and RAFS_E_NOENT: the backend has nothing of the
 *         name; RAFS_E_UNSUPPORTED also where the backend cannot tell a size
 *
 * On failure *out is unchanged. Blocks on storage and on the network. Any thread. Source:
 * as rafs_image_open_path(). Since: 1.0.
 */
RAFS_API int rafs_image_open_backend(rafs_backend *backend, const char *name,
                                     const rafs_open_options *options, rafs_image **out,
                                     const rafs_call *call, rafs_error *err);

/**
 * Close an image. No call on it may be running.
 *
 * @param image  NULL does nothing
 *
 * Blocks as the close() of backends does. Source: none. Since: 1.0.
 */
RAFS_API void rafs_image_close(rafs_image *image);

/**
 * Keep all of an image that its cache has, or will have, from being evicted: its blobs,
 * and manifest and bootstrap if it came from a registry by digest. So an image that was
 * read once can be opened offline until it is unpinned.
 *
 * @param image  open image with a cache
 * @param err    out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       the image has no cache
 *         RAFS_E_UNSUPPORTED  the cache is no directory
 *         RAFS_E_BACKEND      err->os_errno; a part may be pinned
 *
 * Pins are on blobs, not counted: what two pinned images share is unpinned with either.
 * Blocks on storage. Any threads. Source: none. Since: 1.0.
 */
RAFS_API int rafs_image_pin(const rafs_image *image, rafs_error *err);

/**
 * Let what rafs_image_pin() pinned be evicted again.
 *
 * @param image  open image with a cache
 * @param err    out, optional
 * @return as rafs_image_pin()
 *
 * Blocks on storage. Any threads. Source: none. Since: 1.0.
 */
RAFS_API int rafs_image_unpin(const rafs_image *image, rafs_error *err);

/**
 * Facts about an image.
 *
 * @param image  open image
 * @param info   out; struct_size set by the caller: fields beyond it are not written
 * @param err    out, optional
 * @return RAFS_OK, RAFS_E_BADARG
 *
 * On failure *info is unchanged. Never blocks. Any thread. Source: super block.
 * Since: 1.0.
 */
RAFS_API int rafs_image_get_info(const rafs_image *image, rafs_image_info *info,
                                 rafs_error *err);

/**
 * The digest of the manifest that an image was found by: in a registry or a layout, after
 * indexes and referrers.
 *
 * In place of the tag, as in "HOST/REPO@sha256:HEX", it opens the same image again
 * wherever the tag leads by then, and without the network if the cache still has
 * manifest and bootstrap.
 *
 * @param image   open image
 * @param digest  out: "sha256:HEX" and a NUL
 * @param room    bytes in digest; 72 are enough
 * @param err     out, optional
 * @return RAFS_OK
 *         RAFS_E_NOENT   it was opened from a file, from memory, or from a backend
 *         RAFS_E_RANGE   too little room
 *         RAFS_E_BADARG  an argument is NULL
 *
 * On failure digest is unchanged. Never blocks. Any thread. Source: OCI image spec.
 * Since: 1.0.
 */
RAFS_API int rafs_image_get_manifest(const rafs_image *image, char *digest, size_t room,
                                     rafs_error *err);

/**
 * Facts about one data blob.
 *
 * @param image  open image
 * @param index  0 to blob_count − 1
 * @param info   out; struct_size set by the caller
 * @param err    out, optional
 * @return RAFS_OK; RAFS_E_BADARG: no such blob
 *
 * On failure *info is unchanged. Never blocks. Any thread. Source: blob table.
 * Since: 1.0.
 */
RAFS_API int rafs_image_get_blob(const rafs_image *image, uint32_t index,
                                 rafs_blob_info *info, rafs_error *err);

/**
 * The image's own list of what to read ahead.
 *
 * @param image  open image
 * @param first  entry to begin with, from 0
 * @param inos   out: inode numbers of files, or of directories for all files below
 * @param capacity  entries that inos has room for
 * @param count  out: entries filled; 0 at the end of the list
 * @param err    out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG   an argument is NULL
 *         RAFS_E_BACKEND  the bootstrap cannot be read
 *         RAFS_E_CORRUPT  it changed since it was opened with an expected digest
 *
 * On failure *count is 0. The numbers are what the image says; use resolves them. Blocks
 * on storage. Any thread. Source: prefetch table. Since: 1.0.
 */
RAFS_API int rafs_image_get_prefetch(const rafs_image *image, uint32_t first,
                                     uint64_t *inos, size_t capacity, size_t *count,
                                     rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
