/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_EROFS_H
#define RAFS_EROFS_H

#include <stddef.h>
#include <stdint.h>

#include "env.h"
#include "error.h"
#include "image.h"

/**
 * @file
 * An image as an EROFS file system, which Linux mounts by itself.
 *
 * The metadata of a mount is a file, and each blob is a device beside it: a file with the
 * blob's uncompressed address space, in which chunk c lies at the byte that the metadata
 * names for it. mount(2) gets the devices in the order of the blobs:
 *
 *     mount("image.erofs", dir, "erofs", MS_RDONLY, "device=BLOB0,device=BLOB1")
 *
 * A bootstrap of version 6 is such a metadata file. One of version 5 is not: a new one is
 * laid out, with the same tree, the same blobs and the same digests, and with each chunk
 * at a place that begins at a multiple of 4096 bytes. What is laid out follows from the
 * image alone, so that two mounts of it find the same bytes in a cache.
 *
 * Or all of it in one file, content too: RAFS_EROFS_WHOLE.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Takes the next bytes of a file; valid during the call only. len is not 0. Returns
 *  RAFS_OK or a RAFS_E_ code, which ends the writing, and may fill err. */
typedef int (*rafs_write_fn)(void *user, const void *data, size_t len,
                             const rafs_call *call, rafs_error *err);

/** Bits of rafs_erofs_options.flags. */
enum {
    /** One file that holds the content as well, and needs no devices and no librafs: each
     *  distinct chunk once, zeros as holes. All content is fetched and verified; nothing
     *  of RAFS is in it, no digests either. */
    RAFS_EROFS_WHOLE = 1
};

/** How far the writing is. */
typedef struct rafs_erofs_progress {
    uint32_t struct_size; /**< sizeof(rafs_erofs_progress) */
    uint32_t reserved;    /**< 0 */
    uint64_t written;     /**< bytes given to the function that takes them */
    uint64_t total;       /**< bytes of the file; 0: not known yet */
} rafs_erofs_progress;

/** Called now and then, from the thread that called rafs_image_write_erofs(). */
typedef void (*rafs_erofs_progress_fn)(void *user, const rafs_erofs_progress *progress);

/** What is written; zero in a field means the default. */
typedef struct rafs_erofs_options {
    uint32_t struct_size;            /**< sizeof(rafs_erofs_options) */
    uint32_t flags;                  /**< RAFS_EROFS_ */
    rafs_erofs_progress_fn progress; /**< may be NULL */
    void *progress_user;             /**< its first argument; borrowed for the call */
} rafs_erofs_options;

#define RAFS_EROFS_OPTIONS_INIT                   \
    {                                             \
        sizeof(rafs_erofs_options), 0, NULL, NULL \
    }

/** Set options to the defaults, also for later versions. @param options  out; not NULL.
 *  Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_erofs_options_init(rafs_erofs_options *options);

/** Bits of rafs_erofs_result.flags. */
enum {
    /** The bytes are the image's own bootstrap (version 6). */
    RAFS_EROFS_OWN = 1,
    /** Chunks lie where the image says they lie in the uncompressed blob, so that what a
     *  cache keeps of the image's blobs are the devices. Not set: they were moved, and
     *  are kept apart. */
    RAFS_EROFS_SAME_PLACES = 2
};

/** What was written. Set struct_size before the call. */
typedef struct rafs_erofs_result {
    uint32_t struct_size; /**< sizeof(rafs_erofs_result) */
    uint32_t flags;       /**< RAFS_EROFS_OWN, RAFS_EROFS_SAME_PLACES */
    uint64_t size;        /**< bytes; a multiple of 4096 */
    uint8_t sha256[32];   /**< of all of them */
    uint32_t devices;     /**< blobs that mount(2) is to be given, at most 255; with
                               RAFS_EROFS_WHOLE 0 */
    uint32_t reserved;    /**< 0 */
    uint64_t data_bytes;  /**< RAFS_EROFS_WHOLE: of them, content; else 0 */
} rafs_erofs_result;

#define RAFS_EROFS_RESULT_INIT                        \
    {                                                 \
        sizeof(rafs_erofs_result), 0, 0, {0}, 0, 0, 0 \
    }

/**
 * Write an image as an EROFS file system, from its first byte to its last.
 *
 * Names, links, owners, times, attributes and the prefetch list are the image's. Of
 * version 6 what is written are the bytes of the bootstrap, compared with the digest that
 * the image was opened with, if there was one, and only if all of its metadata is as
 * Linux takes it to be: the kernel would follow an entry to whatever device it names.
 * Where such an image stores no owners (no
 * RAFS_FLAG_EXPLICIT_UID_GID), Linux shows what the fields hold, and librafs 0. Of
 * version 5 only what version 6 can hold
 * can be written, see RAFS_E_LIMIT; blobs that no file uses are left out, and the others
 * may be numbered otherwise: open it with rafs_image_open_erofs() to learn which they
 * are.
 *
 * @param image    open image
 * @param options  copied; NULL: the defaults
 * @param write    called for all bytes in order, from this thread, never under a lock
 * @param user     its first argument; borrowed for the call
 * @param result   out, may be NULL: struct_size set by the caller
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional: what cannot be written, with its path or blob
 * @return RAFS_OK
 *         RAFS_E_BADARG       an argument is NULL
 *         RAFS_E_UNSUPPORTED  Linux cannot mount it so: a blob of a kind that librafs
 *                             does not read, a file whose chunks EROFS cannot map, or
 *                             fields of a newer EROFS
 *         RAFS_E_LIMIT        of version 5: more than 255 blobs, a link of more than 4095
 *                             bytes, and what else version 6 has no room for
 *         RAFS_E_CORRUPT      the metadata is broken or, with RAFS_EROFS_WHOLE, a chunk
 *                             is wrong at every source
 *         RAFS_E_BACKEND      with RAFS_EROFS_WHOLE: no source gave a chunk
 *         RAFS_E_TIMEOUT      the deadline of the call passed
 *         RAFS_E_CANCELLED    its token was fired
 *         RAFS_E_NOMEM        no memory
 *         what `write` returned
 *
 * On failure *result is unchanged, and what was written so far is to be thrown away.
 * Blocks on storage and, with RAFS_EROFS_WHOLE, on the network. Any threads, also on one
 * image at once. Source: erofs_fs.h of Linux; RAFS v6. Since: 1.0.
 */
RAFS_API int rafs_image_write_erofs(const rafs_image *image,
                                    const rafs_erofs_options *options,
                                    rafs_write_fn write, void *user,
                                    rafs_erofs_result *result, const rafs_call *call,
                                    rafs_error *err);

/**
 * Open what rafs_image_write_erofs() wrote of an image, without RAFS_EROFS_WHOLE.
 *
 * The new image is the one that the kernel shows: its inode numbers are those of the
 * mount, its blobs are the devices in their order, and the uncompressed address spaces of
 * its blobs are what is in them. Its blobs come from all sources of `image`, and are kept
 * in the cache of `image`; if their chunks were moved, apart from those of `image`, under
 * an id that follows from these bytes and the blob's id (rafs_image_pin() and the list of
 * the cache name that one). Chunks that the cache has already are copied there and not
 * fetched.
 *
 * @param image    open image; borrowed until *out is closed
 * @param fd       readable and seekable, from its first byte; duplicated
 * @param size     bytes of the file; 0: all of it
 * @param options  copied; backends and cache are to be left out, for they are those of
 *                 `image`; NULL: the defaults
 * @param out      out: the image, to be closed with rafs_image_close() before `image` is
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       backends or a cache were given, or an argument is NULL
 *         and what rafs_image_open_fd() returns
 *
 * On failure *out is unchanged. Blocks on storage. Any thread. Source: RAFS v6. Since:
 * 1.0.
 */
RAFS_API int rafs_image_open_erofs(const rafs_image *image, int32_t fd, uint64_t size,
                                   const rafs_open_options *options, rafs_image **out,
                                   const rafs_call *call, rafs_error *err);

#ifdef __cplusplus
}
#endif

#endif
