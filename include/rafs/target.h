/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_TARGET_H
#define RAFS_TARGET_H

#include <stddef.h>
#include <stdint.h>

#include "digest.h"
#include "registry.h"

/**
 * @file
 * Repositories that can be written: in a registry, an OCI layout, an archive of one.
 *
 * Blobs come first, then the manifests that name them, then rafs_target_finish(). What is
 * not finished was never there, as far as names go: a tag moves, and a file gets its
 * name, when all is in place.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** A repository to write to. Any number of threads may use one at once. */
typedef struct rafs_target rafs_target;

/** One blob on its way. One thread at a time. */
typedef struct rafs_upload rafs_upload;

/** Bits of rafs_target_options.flags. */
enum {
    RAFS_TARGET_REPLACE = 1 /**< the file of an oci-archive: may exist, and is replaced by
                                 rafs_target_finish() */
};

/** How a target is written; zero in a field means the default. */
typedef struct rafs_target_options {
    uint32_t struct_size; /**< sizeof(rafs_target_options) */
    uint32_t flags;       /**< RAFS_TARGET_ */
    const rafs_env *env;  /**< copied; NULL: the default environment. A registry's is that
                               of its client */
    /** For docker://; borrowed until the target is closed. NULL: there are none. */
    rafs_http *http;
    /** Credentials and flags, as for reading. No mirrors. NULL: the defaults. */
    const rafs_registry_options *registry;
    /** Bytes of a blob that are kept in memory and sent in one request; 65536 to 64 MiB,
     *  0: 4 MiB. A registry that asks for more at least gets more. */
    uint32_t part_bytes;
    uint32_t reserved; /**< 0 */
} rafs_target_options;

#define RAFS_TARGET_OPTIONS_INIT                               \
    {                                                          \
        sizeof(rafs_target_options), 0, NULL, NULL, NULL, 0, 0 \
    }

/** Set options to the defaults, for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_target_options_init(rafs_target_options *options);

/**
 * Open a repository for writing.
 *
 * A layout's folder is made if there is none, with those above it; a folder that holds
 * something else is refused. An archive is written as a layout beside the file first, so
 * that needs room for it.
 *
 * @param where    "docker://HOST/REPO[:TAG][@sha256:HEX]" as docker reads it,
 *                 "oci:DIR[:TAG][@sha256:HEX]" or "oci-archive:FILE[:TAG][@sha256:HEX]".
 *                 A digest is what rafs_target_put_manifest() with the target's own tag
 *                 must come to. Copied
 * @param options  NULL: the defaults
 * @param out      out: the target, to be closed with rafs_target_close()
 * @param call     deadline and cancel token, borrowed for the call; NULL: neither
 * @param err      out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       no such text, an option is wrong, the folder is no layout,
 *                             or the file exists (EEXIST)
 *         RAFS_E_UNSUPPORTED  a layout of another version; options is newer than the
 *                             library and asks for more
 *         RAFS_E_BACKEND      a folder cannot be made or read; err->os_errno
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_NOMEM
 *
 * On failure *out is unchanged, and release() of the credentials is not called. Blocks on
 * storage: a registry is asked when something is written. Any thread. Source: OCI
 * distribution spec 1.1, OCI image layout 1.1; the names of containers-transports(5).
 * Since: 1.0.
 */
RAFS_API int rafs_target_open(const char *where, const rafs_target_options *options,
                              rafs_target **out, const rafs_call *call, rafs_error *err);

/**
 * Close a target. Nothing may be using it any more, its uploads were freed.
 *
 * An archive that was not finished is forgotten; blobs and manifests in a registry or a
 * layout stay.
 *
 * @param target  NULL does nothing
 *
 * Blocks on storage. Source: none. Since: 1.0.
 */
RAFS_API void rafs_target_close(rafs_target *target);

/**
 * The tag that the target's text names.
 *
 * @param target  an open one
 * @return the tag; "" if it names none or a digest alone ("latest" for a registry without
 *         either, as docker reads it). Borrowed until the target is closed
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API const char *rafs_target_tag(const rafs_target *target);

/**
 * Is a blob there already?
 *
 * @param target  an open one
 * @param digest  SHA-256 of the blob
 * @param size    out, optional: its length; UINT64_MAX where the registry does not say
 * @param call    deadline and cancel token, borrowed for the call; NULL: neither
 * @param err     out, optional
 * @return RAFS_OK         it is
 *         RAFS_E_NOENT    it is not
 *         RAFS_E_BACKEND  the registry cannot be reached, or refuses the credentials
 *                         (EACCES); the folder cannot be read
 *         RAFS_E_BADARG, RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_NOMEM
 *
 * On failure *size is unchanged. Blocks on the network or on storage. Any thread. Source:
 * OCI distribution spec 1.1. Since: 1.0.
 */
RAFS_API int rafs_target_has_blob(rafs_target *target,
                                  const uint8_t digest[RAFS_DIGEST_BYTES], uint64_t *size,
                                  const rafs_call *call, rafs_error *err);

/**
 * Let a registry take a blob from another repository of its own, without sending it.
 *
 * @param target      an open one
 * @param digest      SHA-256 of the blob
 * @param repository  "HOST/REPO" as docker reads it, with or without "docker://"; a tag
 *                    or digest after it is ignored
 * @param call        deadline and cancel token, borrowed for the call; NULL: neither
 * @param err         out, optional
 * @return RAFS_OK         it is there now
 *         RAFS_E_NOENT    it is not, so it has to be sent: the repository is of another
 *                         host, has no such blob, must not be read, or the registry does
 *                         not do such things. A target that is no registry never does
 *         RAFS_E_BACKEND  the registry cannot be reached, or refuses the credentials
 *                         (EACCES)
 *         RAFS_E_BADARG, RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_NOMEM
 *
 * On failure nothing changed. Blocks on the network. Any thread. Source: OCI distribution
 * spec 1.1. Since: 1.0.
 */
RAFS_API int rafs_target_mount_blob(rafs_target *target,
                                    const uint8_t digest[RAFS_DIGEST_BYTES],
                                    const char *repository, const rafs_call *call,
                                    rafs_error *err);

/**
 * Begin a blob whose digest need not be known yet.
 *
 * @param target  an open one, borrowed until the upload is freed
 * @param out     out: the upload, to be freed with rafs_upload_free()
 * @param call    deadline and cancel token, borrowed for the call; NULL: neither
 * @param err     out, optional
 * @return RAFS_OK; RAFS_E_BADARG; RAFS_E_BACKEND: no file can be made; RAFS_E_TIMEOUT;
 *         RAFS_E_CANCELLED; RAFS_E_NOMEM
 *
 * On failure *out is unchanged. Blocks on storage: a registry hears of it when a part is
 * full. Any thread. Source: OCI distribution spec 1.1. Since: 1.0.
 */
RAFS_API int rafs_upload_new(rafs_target *target, rafs_upload **out,
                             const rafs_call *call, rafs_error *err);

/**
 * Add bytes to a blob.
 *
 * Bytes are sent in parts of rafs_target_options.part_bytes. A part that breaks off goes
 * on where the registry says that it ended, with pauses that grow, until the deadline of
 * the call or, without one, for rafs_http_options.retry_ms in which nothing gets on.
 *
 * @param upload  from rafs_upload_new()
 * @param data    len bytes; may be NULL only if len is 0
 * @param len     any length
 * @param call    deadline and cancel token, borrowed for the call; NULL: neither
 * @param err     out, optional
 * @return RAFS_OK
 *         RAFS_E_BACKEND  the registry cannot be reached, breaks its own rules or refuses
 *                         the credentials (EACCES); the disk is full (ENOSPC)
 *         RAFS_E_LIMIT    the registry wants parts of more than 64 MiB
 *         RAFS_E_BADARG   data is NULL, or the blob was committed or failed before
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_NOMEM
 *
 * After a failure the upload is of no use: free it. Blocks on the network or on storage.
 * One thread at a time. Source: OCI distribution spec 1.1. Since: 1.0.
 */
RAFS_API int rafs_upload_write(rafs_upload *upload, const void *data, size_t len,
                               const rafs_call *call, rafs_error *err);

/**
 * The blob is complete: let it appear under its digest.
 *
 * A blob that is there already is a success. A blob that was not sent yet is looked for
 * first, and sent in one piece.
 *
 * @param upload  from rafs_upload_new()
 * @param expect  SHA-256 that the blob must have; NULL: any
 * @param digest  out, optional: its SHA-256
 * @param size    out, optional: its length
 * @param call    deadline and cancel token, borrowed for the call; NULL: neither
 * @param err     out, optional
 * @return RAFS_OK
 *         RAFS_E_CORRUPT  the bytes are not those that expect names, or the registry got
 *                         others than were sent
 *         as rafs_upload_write()
 *
 * On failure *digest and *size are unchanged, and no blob appeared: but where the answer
 * of a registry was lost it may have. Blocks on the network or on storage. One thread at
 * a time. Source: OCI distribution spec 1.1. Since: 1.0.
 */
RAFS_API int rafs_upload_commit(rafs_upload *upload,
                                const uint8_t expect[RAFS_DIGEST_BYTES],
                                uint8_t digest[RAFS_DIGEST_BYTES], uint64_t *size,
                                const rafs_call *call, rafs_error *err);

/**
 * Free an upload; one that was not committed is abandoned, and the registry told so, once
 * and for two seconds at most.
 *
 * @param upload  NULL does nothing
 *
 * Blocks on the network or on storage. Source: OCI distribution spec 1.1. Since: 1.0.
 */
RAFS_API void rafs_upload_free(rafs_upload *upload);

/**
 * Put a manifest or index, whose blobs and manifests are there.
 *
 * One with a `subject` is listed among the referrers of that: by the registry or, where
 * that does not do so, in the index tagged sha256-HEX, whose other entries stay.
 *
 * @param target      an open one
 * @param data        len bytes of JSON, borrowed for the call
 * @param len         1 to 4 MiB
 * @param media_type  NULL: what the document says of itself, or what its shape is of
 * @param tag         name that it is to have, which another one loses: rafs_target_tag()
 *                    or another. "": in index.json of a layout without a name; in a
 *                    registry as NULL. NULL: it is to be found by its digest alone
 * @param digest      out, optional: its SHA-256
 * @param call        deadline and cancel token, borrowed for the call; NULL: neither
 * @param err         out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG   no manifest or index; the tag is none; the target names another
 *                         digest
 *         RAFS_E_BACKEND  the registry cannot be reached, refuses the manifest (such as
 *                         for a blob that is missing) or the credentials (EACCES); a file
 *                         cannot be written
 *         RAFS_E_CORRUPT  the registry stored it under another digest; an index.json or
 *                         list of referrers that is there is malformed
 *         RAFS_E_LIMIT, RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_NOMEM
 *
 * On failure *digest is unchanged, and the tag is what it was: but where the answer of a
 * registry was lost it may have moved. Blocks on the network or on storage. Any thread.
 * Source: OCI image and distribution specs 1.1. Since: 1.0.
 */
RAFS_API int rafs_target_put_manifest(rafs_target *target, const void *data, size_t len,
                                      const char *media_type, const char *tag,
                                      uint8_t digest[RAFS_DIGEST_BYTES],
                                      const rafs_call *call, rafs_error *err);

/**
 * All was written: an archive gets its name. Nothing is written to the target after that.
 *
 * @param target  an open one
 * @param call    deadline and cancel token, borrowed for the call; NULL: neither
 * @param err     out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG   the file exists meanwhile (EEXIST), or there is no manifest
 *         RAFS_E_BACKEND  it cannot be written, such as on a full disk (ENOSPC)
 *         RAFS_E_TIMEOUT, RAFS_E_CANCELLED, RAFS_E_NOMEM
 *
 * On failure no file has the name, or the old one has. Blocks on storage. Source: POSIX.1
 * pax. Since: 1.0.
 */
RAFS_API int rafs_target_finish(rafs_target *target, const rafs_call *call,
                                rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
