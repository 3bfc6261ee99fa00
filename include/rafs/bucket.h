/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_BUCKET_H
#define RAFS_BUCKET_H

#include <stdint.h>

#include "backend.h"
#include "http.h"

/**
 * @file
 * Blobs in buckets of object stores: S3 (also MinIO, Ceph and whoever speaks it) and
 * Alibaba Cloud's OSS.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes in the parts of a key, the NUL included. */
#define RAFS_KEY_ID_MAX 256
#define RAFS_KEY_SECRET_MAX 256
#define RAFS_SESSION_TOKEN_MAX 8192

/** An access key. All texts empty: go on as anonymous. */
typedef struct rafs_bucket_key {
    uint32_t struct_size;                       /**< sizeof(rafs_bucket_key) */
    uint32_t reserved;                          /**< 0 */
    char id[RAFS_KEY_ID_MAX];                   /**< access key ID; no secret */
    char secret[RAFS_KEY_SECRET_MAX];           /**< secret access key; never sent */
    char session_token[RAFS_SESSION_TOKEN_MAX]; /**< of a key for a time; "": none */
} rafs_bucket_key;

#define RAFS_BUCKET_KEY_INIT                   \
    {                                          \
        sizeof(rafs_bucket_key), 0, "", "", "" \
    }

/** Set a key to "none", for callers without the macro. @param key  out; not NULL. Never
 *  blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_bucket_key_init(rafs_bucket_key *key);

/**
 * Where keys come from: a callback of the program.
 *
 * get() is called from any thread that reads, at once, never under a lock of librafs,
 * before the first request; and again, with attempt 1, when the store says that the key
 * is unknown, wrong or over. out is set to "none" before the call. What it returns other
 * than RAFS_OK ends the request with that code; no secret should be in err.
 */
typedef struct rafs_bucket_keys {
    uint32_t struct_size; /**< sizeof(rafs_bucket_keys) */
    uint32_t reserved;    /**< 0 */
    /** Fill out. call is never NULL; deadline_ns 0 means none. */
    int (*get)(void *user, const char *bucket, uint32_t attempt, rafs_bucket_key *out,
               const rafs_call *call, rafs_error *err);
    void *user;                  /**< first argument of the callbacks; borrowed */
    void (*release)(void *user); /**< called exactly once at the end; may be NULL */
} rafs_bucket_keys;

#define RAFS_BUCKET_KEYS_INIT                         \
    {                                                 \
        sizeof(rafs_bucket_keys), 0, NULL, NULL, NULL \
    }

/** Set a source to "none", for callers without the macro. @param keys  out; not NULL.
 *  Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_bucket_keys_init(rafs_bucket_keys *keys);

/** Bits of rafs_bucket_options.flags; with neither the way is chosen, see there. */
enum {
    RAFS_BUCKET_PATH_STYLE = 1,  /**< ENDPOINT/BUCKET/… */
    RAFS_BUCKET_VIRTUAL_HOST = 2 /**< BUCKET.ENDPOINT/… */
};

/** Which bucket, and how it is asked; zero in a field means the default. Texts are
 * copied; copies of secrets are overwritten before they are freed. */
typedef struct rafs_bucket_options {
    uint32_t struct_size; /**< sizeof(rafs_bucket_options) */
    uint32_t flags;     /**< RAFS_BUCKET_; default: S3 at Amazon and OSS by virtual host,
                             S3 elsewhere, addresses instead of names, and at Amazon
                             buckets with a '.' by path */
    const char *bucket; /**< must be given */
    /** Put before a blob's id as it is, mostly a folder with its '/'. NULL: nothing. */
    const char *prefix;
    /** "https://HOST:PORT", "http://HOST" or "HOST" (then https). S3: NULL is Amazon's of
     *  the region. OSS: must be given, such as "oss-cn-hangzhou.aliyuncs.com". */
    const char *endpoint;
    const char *region; /**< S3: NULL: "us-east-1". OSS: not used */
    /** The first key. NULL: `keys` is asked. */
    const rafs_bucket_key *key;
    /** Asked for a key if there is none, or it is refused; copied, its user borrowed as
     *  long as the backend lives. NULL, and no key: requests are not signed. */
    const rafs_bucket_keys *keys;
} rafs_bucket_options;

#define RAFS_BUCKET_OPTIONS_INIT                                           \
    {                                                                      \
        sizeof(rafs_bucket_options), 0, NULL, NULL, NULL, NULL, NULL, NULL \
    }

/** Set options to "nothing", for callers without the macro. @param options  out; not
 *  NULL. Never blocks. Any thread. Source: none. Since: 1.0. */
RAFS_API void rafs_bucket_options_init(rafs_bucket_options *options);

/**
 * The blobs of a bucket of S3: blob ID is the object PREFIX+ID.
 *
 * Requests are signed by Signature Version 4, with a date from this machine's clock. The
 * range is not part of what is signed, since a broken answer is gone on with by another.
 * What the store says in an error is told in one line.
 *
 * @param http     borrowed until the backend is freed
 * @param options  not NULL
 * @param out      out: the backend, to be freed with rafs_backend_free()
 * @param err      out, optional
 * @return RAFS_OK
 *         RAFS_E_BADARG       no bucket, or a text that cannot be one of its kind
 *         RAFS_E_UNSUPPORTED  options is newer than the library, or has unknown flags
 *         RAFS_E_NOMEM        no memory
 *
 * On failure *out is unchanged, and release() is not called. Never blocks: the first
 * request is made when a blob is read. Any thread. Source: Amazon S3 API, Signature
 * Version 4; object names as nydusify chooses them. Since: 1.0.
 */
RAFS_API int rafs_backend_new_s3(rafs_http *http, const rafs_bucket_options *options,
                                 rafs_backend **out, rafs_error *err);

/**
 * The same for a bucket of Alibaba Cloud's OSS, with its signature of version 1.
 *
 * @param http, options, out, err  as rafs_backend_new_s3()
 * @return as rafs_backend_new_s3(); RAFS_E_BADARG also without an endpoint
 *
 * On failure *out is unchanged, and release() is not called. Never blocks. Any thread.
 * Source: OSS API, "signature in the header". Since: 1.0.
 */
RAFS_API int rafs_backend_new_oss(rafs_http *http, const rafs_bucket_options *options,
                                  rafs_backend **out, rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
