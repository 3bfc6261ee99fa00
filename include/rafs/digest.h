/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_DIGEST_H
#define RAFS_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "env.h"

/**
 * @file
 * The two hash functions of the format, for programs that plan, list or compare.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Digest algorithms, numbered as on disk. */
enum { RAFS_DIGEST_BLAKE3 = 0, RAFS_DIGEST_SHA256 = 1 };

#define RAFS_DIGEST_BYTES 32 /**< bytes of either digest */

/** A hash being computed. One thread at a time. */
typedef struct rafs_hash rafs_hash;

/**
 * Hash bytes in one go.
 *
 * @param algorithm  RAFS_DIGEST_
 * @param data       len bytes; may be NULL only if len is 0
 * @param len        any length
 * @param out        out: 32 bytes
 * @return RAFS_OK
 *         RAFS_E_BADARG  algorithm unknown, or a pointer is NULL
 *         RAFS_E_NOMEM   SHA-256 only: libcrypto had no memory or no such algorithm
 *
 * On failure *out is unchanged. Never blocks. Any thread. Source: BLAKE3 (unkeyed),
 * FIPS 180-4. Since: 1.0.
 */
RAFS_API int rafs_digest_bytes(uint32_t algorithm, const void *data, size_t len,
                               uint8_t out[RAFS_DIGEST_BYTES]);

/**
 * Name of an algorithm, as in `sha256:…`.
 *
 * @param algorithm  any value
 * @return "blake3", "sha256", or "?"; borrowed, valid for ever
 *
 * Never blocks. Any thread. Source: none. Since: 1.0.
 */
RAFS_API const char *rafs_digest_name(uint32_t algorithm);

/**
 * Start hashing.
 *
 * @param algorithm  RAFS_DIGEST_
 * @param env        copied; NULL: the default environment
 * @param out        out: the hash, to be freed with rafs_hash_free()
 * @param err        out, optional
 * @return RAFS_OK, RAFS_E_BADARG, RAFS_E_NOMEM
 *
 * On failure *out is unchanged. Never blocks. Any thread. Source: as rafs_digest_bytes().
 * Since: 1.0.
 */
RAFS_API int rafs_hash_new(uint32_t algorithm, const rafs_env *env, rafs_hash **out,
                           rafs_error *err);

/**
 * Hash more bytes.
 *
 * @param hash  from rafs_hash_new()
 * @param data  len bytes; may be NULL only if len is 0
 * @param len   any length
 * @return RAFS_OK, RAFS_E_BADARG, RAFS_E_NOMEM (libcrypto failed; the hash is of no use)
 *
 * Never blocks. One thread at a time. Source: as rafs_digest_bytes(). Since: 1.0.
 */
RAFS_API int rafs_hash_update(rafs_hash *hash, const void *data, size_t len);

/**
 * Take the digest of all bytes so far and start anew.
 *
 * @param hash  from rafs_hash_new()
 * @param out   out: 32 bytes
 * @return RAFS_OK, RAFS_E_BADARG, RAFS_E_NOMEM (as rafs_hash_update(); *out unchanged)
 *
 * Never blocks. One thread at a time. Source: as rafs_digest_bytes(). Since: 1.0.
 */
RAFS_API int rafs_hash_final(rafs_hash *hash, uint8_t out[RAFS_DIGEST_BYTES]);

/**
 * Free a hash.
 *
 * @param hash  NULL does nothing
 *
 * Never blocks. Source: none. Since: 1.0.
 */
RAFS_API void rafs_hash_free(rafs_hash *hash);

#ifdef __cplusplus
}
#endif
#endif
