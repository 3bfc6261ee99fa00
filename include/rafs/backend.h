/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_BACKEND_H
#define RAFS_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "env.h"

/**
 * @file
 * Where the bytes of data blobs come from. Nothing that a backend says is believed: every
 * chunk is checked against its digest afterwards, so a backend may be wrong, but not slow
 * for ever: it is given the deadline and has to keep it.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** A source of blobs. Any number of images and threads may use one at once. */
typedef struct rafs_backend rafs_backend;

/** Bits of rafs_backend_ops.flags. */
enum {
    /** Requests cost more than bytes: the network. Chunks that lie beside each other are
     * then asked for together and read ahead, see rafs_limits.merge_bytes. */
    RAFS_BACKEND_REMOTE = 1,
    /** Answers may have come from somebody in between, and RAFS_CALL_FRESH goes past him:
     * where an answer was wrong, such a source is asked once more. */
    RAFS_BACKEND_RELAYED = 2
};

/**
 * A backend of the program's own. All functions are called from any thread that reads, at
 * once, never under a lock of librafs. They return RAFS_OK or a RAFS_E_ code
 * (RAFS_E_NOENT: this source has no such blob, ask the next one) and may fill err
 * with rafs_error_set().
 *
 * `call` is never NULL in these functions; deadline_ns 0 means none. It is valid until
 * they return. What a request causes may be counted with rafs_call_count().
 */
typedef struct rafs_backend_ops {
    uint32_t struct_size; /**< sizeof(rafs_backend_ops) */
    uint32_t flags;       /**< RAFS_BACKEND_ */
    /** Open a blob. *blob is the backend's own. Called once for each blob and image;
     * again after a failure; twice, and one of them closed, if two threads are first.
     * blob_id is 1 to 64 bytes without '/' and control characters. */
    int (*open)(void *user, const char *blob_id, void **blob, const rafs_call *call,
                rafs_error *err);
    /** Bytes in the blob. May be NULL where nobody knows; then nothing that needs the
     *  length works (blobs that carry their bootstrap, rafs_image_check() of lengths). */
    int (*size)(void *user, void *blob, uint64_t *size, const rafs_call *call,
                rafs_error *err);
    /** Fill buf with len bytes from offset. *nread less than len means that the blob ends
     *  there. More than one thread may read one blob at once. */
    int (*read)(void *user, void *blob, uint64_t offset, void *buf, size_t len,
                size_t *nread, const rafs_call *call, rafs_error *err);
    /** Close what open() made. May be NULL. */
    void (*close)(void *user, void *blob);
    /** Called exactly once, when the backend is freed. May be NULL. */
    void (*release)(void *user);
    /** What statistics and failures call the source: a host or a kind, without secrets;
     * control characters are replaced. Copied, at most 80 bytes; NULL: "program". */
    const char *name;
} rafs_backend_ops;

#define RAFS_BACKEND_OPS_INIT                                           \
    {                                                                   \
        sizeof(rafs_backend_ops), 0, NULL, NULL, NULL, NULL, NULL, NULL \
    }

/** Set the table to "nothing", for callers without the macro. @param ops  out; not NULL.
 *  Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_backend_ops_init(rafs_backend_ops *ops);

/**
 * Make a backend from callbacks.
 *
 * @param ops   open and read are set; copied
 * @param user  first argument of the callbacks; borrowed until release()
 * @param env   copied; NULL: the default environment
 * @param out   out: the backend, to be freed with rafs_backend_free() after every image
 *              that uses it
 * @param err   out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       a function is missing or an argument is NULL
 *         RAFS_E_UNSUPPORTED  ops is newer than the library and asks for more
 *         RAFS_E_NOMEM        no memory
 *
 * On failure *out is unchanged and release() is not called. Never blocks. Any thread.
 * Source: none. Since: 1.0.
 */
RAFS_API int rafs_backend_new(const rafs_backend_ops *ops, void *user,
                              const rafs_env *env, rafs_backend **out, rafs_error *err);

/**
 * A directory of blobs, each a regular file named by its id.
 *
 * @param path  the directory; opened now, so that a later rename does not matter; copied
 * @param env   copied; NULL: the default environment
 * @param out   out: the backend
 * @param err   out, optional
 * @return RAFS_OK
 *         RAFS_E_BACKEND  cannot be opened; err->os_errno
 *         RAFS_E_BADARG   an argument is NULL, or path is not a directory
 *         RAFS_E_NOMEM    no memory
 *
 * Files that are not regular (FIFOs, sockets, directories) are refused, since a read of
 * them could hang. Symbolic links are followed. On failure *out is unchanged. Blocks on
 * storage. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_backend_new_directory(const char *path, const rafs_env *env,
                                        rafs_backend **out, rafs_error *err);

/**
 * One file, or a part of one, that is one blob.
 *
 * @param blob_id  the id that it answers to; NULL: it answers to every id; copied
 * @param fd       descriptor of a regular file or block device, open for reading;
 *                 duplicated, so it may be closed after the call
 * @param offset   where in the file the blob begins
 * @param size     bytes of the blob; 0: all that follow offset
 * @param env      copied; NULL: the default environment
 * @param out      out: the backend
 * @param err      out, optional
 * @return RAFS_OK
 *         RAFS_E_BACKEND  err->os_errno
 *         RAFS_E_BADARG   an argument is wrong, or the file is of another kind
 *         RAFS_E_NOMEM    no memory
 *
 * On failure *out is unchanged. Blocks on storage. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_backend_new_fd(const char *blob_id, int32_t fd, uint64_t offset,
                                 uint64_t size, const rafs_env *env, rafs_backend **out,
                                 rafs_error *err);

/**
 * One blob in memory.
 *
 * @param blob_id  the id that it answers to; NULL: it answers to every id; copied
 * @param data     size bytes; borrowed until the backend is freed
 * @param size     any
 * @param env      copied; NULL: the default environment
 * @param out      out: the backend
 * @param err      out, optional
 * @return RAFS_OK, RAFS_E_BADARG, RAFS_E_NOMEM
 *
 * On failure *out is unchanged. Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API int rafs_backend_new_memory(const char *blob_id, const void *data, size_t size,
                                     const rafs_env *env, rafs_backend **out,
                                     rafs_error *err);

/**
 * Free a backend; its release() is called once. No image may be using it any more.
 *
 * @param backend  NULL does nothing
 *
 * Blocks as release() does. Source: none. Since: 1.0.
 */
RAFS_API void rafs_backend_free(rafs_backend *backend);

#ifdef __cplusplus
}
#endif
#endif
