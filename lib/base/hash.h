/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_HASH_H
#define RAFSI_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/blake3.h"
#include "base/env.h"

#define RAFSI_DIGEST_BYTES 32

enum { RAFSI_BLAKE3 = 0, RAFSI_SHA256 = 1 }; /* as on disk */

/*
 * The hash algorithms, made ready once per handle: libcrypto looks its SHA-256 up in a
 * library context of our own, so that neither the host's configuration file nor its
 * environment has a say, and not once per chunk.
 */
struct rafsi_hashes;

int rafsi_hashes_new(const struct rafsi_env *env, struct rafsi_hashes **out,
                     rafs_error *err);
void rafsi_hashes_free(struct rafsi_hashes *hashes);

/* Hash bytes in one go. Any threads. RAFS_E_NOMEM if libcrypto fails. */
int rafsi_hash_bytes(struct rafsi_hashes *hashes, uint32_t algorithm, const void *data,
                     size_t len, uint8_t out[RAFSI_DIGEST_BYTES], rafs_error *err);

/* Hash bytes as they come. */
struct rafsi_hash {
    struct rafsi_hashes *hashes; /* borrowed */
    uint32_t algorithm;
    void *sha256; /* EVP_MD_CTX */
    struct rafsi_blake3 blake3;
};

int rafsi_hash_begin(struct rafsi_hashes *hashes, uint32_t algorithm,
                     struct rafsi_hash *hash, rafs_error *err);
int rafsi_hash_add(struct rafsi_hash *hash, const void *data, size_t len,
                   rafs_error *err);
/* The digest of what was added so far; the hash goes on. */
int rafsi_hash_peek(const struct rafsi_hash *hash, uint8_t out[RAFSI_DIGEST_BYTES],
                    rafs_error *err);
/* Ends the hash, whether it succeeds or not. */
int rafsi_hash_end(struct rafsi_hash *hash, uint8_t out[RAFSI_DIGEST_BYTES],
                   rafs_error *err);
/* Ends a hash that nobody wants any more; harmless after rafsi_hash_end(). */
void rafsi_hash_drop(struct rafsi_hash *hash);

enum { RAFSI_HMAC_SHA1_BYTES = 20 };

/* HMAC of data, to sign requests: 32 bytes of HMAC-SHA256 or, for services that ask for
 * nothing better, 20 of HMAC-SHA1. Any threads. RAFS_E_NOMEM if libcrypto fails. */
int rafsi_hmac_sha256(struct rafsi_hashes *hashes, const void *key, size_t key_len,
                      const void *data, size_t len, uint8_t out[RAFSI_DIGEST_BYTES],
                      rafs_error *err);
int rafsi_hmac_sha1(struct rafsi_hashes *hashes, const void *key, size_t key_len,
                    const void *data, size_t len, uint8_t out[RAFSI_HMAC_SHA1_BYTES],
                    rafs_error *err);

/* Compare digests. An all-zero one equals nothing: it stands for "none". */
int rafsi_digest_equal(const uint8_t a[RAFSI_DIGEST_BYTES],
                       const uint8_t b[RAFSI_DIGEST_BYTES]);

/* 64 lower-case digits and a NUL. */
void rafsi_digest_hex(const uint8_t digest[RAFSI_DIGEST_BYTES], char out[65]);
/* 64 hexadecimal digits; 0 if they are not. */
int rafsi_digest_parse(const char *hex, size_t len, uint8_t out[RAFSI_DIGEST_BYTES]);

#endif
