/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/arith.h"
#include "base/fail.h"

/*
 * SHA-256 is looked up when first wanted: images with BLAKE3 never pay for it. The
 * library context is our own, so that no openssl.cnf of the host's is read into it.
 */
struct rafsi_hashes {
    struct rafsi_env env;
    pthread_mutex_t lock; /* held while sha256 is looked up */
    OSSL_LIB_CTX *context;
    _Atomic(EVP_MD *) sha256;
    /* An idle one: making one costs as much as hashing 1 KiB. */
    _Atomic(EVP_MD_CTX *) spare;
};

int rafsi_hashes_new(const struct rafsi_env *env, struct rafsi_hashes **out,
                     rafs_error *err)
{
    struct rafsi_hashes *hashes = rafsi_alloc_zero(env, sizeof(*hashes));

    if (!hashes)
        return rafsi_fail_nomem(err, sizeof(*hashes));
    hashes->env = *env;
    if (pthread_mutex_init(&hashes->lock, NULL) != 0) {
        rafsi_free(env, hashes);
        return rafsi_fail_nomem(err, sizeof(hashes->lock));
    }
    *out = hashes;
    return RAFS_OK;
}

void rafsi_hashes_free(struct rafsi_hashes *hashes)
{
    if (!hashes)
        return;
    EVP_MD_CTX_free(atomic_load(&hashes->spare));
    EVP_MD_free(atomic_load(&hashes->sha256));
    OSSL_LIB_CTX_free(hashes->context);
    pthread_mutex_destroy(&hashes->lock);
    rafsi_free(&hashes->env, hashes);
}

static int fail_crypto(rafs_error *err)
{
    return rafsi_fail(err, RAFS_E_NOMEM, RAFS_STAGE_NONE, NULL,
                      "libcrypto could not provide SHA-256");
}

/* Under the lock. */
static OSSL_LIB_CTX *context(struct rafsi_hashes *hashes)
{
    if (!hashes->context)
        hashes->context = OSSL_LIB_CTX_new();
    return hashes->context;
}

static EVP_MD *fetch(struct rafsi_hashes *hashes)
{
    EVP_MD *sha256 = atomic_load_explicit(&hashes->sha256, memory_order_acquire);

    if (sha256)
        return sha256;
    pthread_mutex_lock(&hashes->lock);
    sha256 = atomic_load(&hashes->sha256);
    if (!sha256) {
        if (context(hashes))
            sha256 = EVP_MD_fetch(hashes->context, "SHA256", NULL);
        if (sha256)
            atomic_store_explicit(&hashes->sha256, sha256, memory_order_release);
    }
    pthread_mutex_unlock(&hashes->lock);
    return sha256;
}

int rafsi_hash_begin(struct rafsi_hashes *hashes, uint32_t algorithm,
                     struct rafsi_hash *hash, rafs_error *err)
{
    EVP_MD *md;

    hash->hashes = hashes;
    hash->algorithm = algorithm;
    hash->sha256 = NULL;
    if (algorithm == RAFSI_BLAKE3) {
        rafsi_blake3_init(&hash->blake3);
        return RAFS_OK;
    }
    if (algorithm != RAFSI_SHA256)
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_NONE, NULL,
                          "no digest algorithm %u", algorithm);
    md = fetch(hashes);
    if (!md)
        return fail_crypto(err);
    hash->sha256 = atomic_exchange(&hashes->spare, NULL);
    if (!hash->sha256)
        hash->sha256 = EVP_MD_CTX_new();
    if (!hash->sha256)
        return fail_crypto(err);
    if (EVP_DigestInit_ex2(hash->sha256, md, NULL) != 1) {
        rafsi_hash_drop(hash);
        return fail_crypto(err);
    }
    return RAFS_OK;
}

int rafsi_hash_add(struct rafsi_hash *hash, const void *data, size_t len, rafs_error *err)
{
    if (len == 0)
        return RAFS_OK;
    if (hash->algorithm == RAFSI_BLAKE3)
        rafsi_blake3_update(&hash->blake3, data, len);
    else if (EVP_DigestUpdate(hash->sha256, data, len) != 1)
        return fail_crypto(err);
    return RAFS_OK;
}

int rafsi_hash_peek(const struct rafsi_hash *hash, uint8_t out[RAFSI_DIGEST_BYTES],
                    rafs_error *err)
{
    struct rafsi_blake3 blake3;
    EVP_MD_CTX *copy;
    bool good;

    if (hash->algorithm == RAFSI_BLAKE3) {
        blake3 = hash->blake3;
        rafsi_blake3_final(&blake3, out);
        return RAFS_OK;
    }
    copy = EVP_MD_CTX_new();
    good = copy && EVP_MD_CTX_copy_ex(copy, hash->sha256) == 1 &&
           EVP_DigestFinal_ex(copy, out, NULL) == 1;
    EVP_MD_CTX_free(copy);
    return good ? RAFS_OK : fail_crypto(err);
}

int rafsi_hash_end(struct rafsi_hash *hash, uint8_t out[RAFSI_DIGEST_BYTES],
                   rafs_error *err)
{
    int rc = RAFS_OK;

    if (hash->algorithm == RAFSI_BLAKE3)
        rafsi_blake3_final(&hash->blake3, out);
    else if (EVP_DigestFinal_ex(hash->sha256, out, NULL) != 1)
        rc = fail_crypto(err);
    rafsi_hash_drop(hash);
    return rc;
}

void rafsi_hash_drop(struct rafsi_hash *hash)
{
    if (hash->sha256)
        EVP_MD_CTX_free(atomic_exchange(&hash->hashes->spare, hash->sha256));
    hash->sha256 = NULL;
}

int rafsi_hash_bytes(struct rafsi_hashes *hashes, uint32_t algorithm, const void *data,
                     size_t len, uint8_t out[RAFSI_DIGEST_BYTES], rafs_error *err)
{
    struct rafsi_hash hash;
    uint8_t digest[RAFSI_DIGEST_BYTES];
    int rc;

    if (algorithm == RAFSI_BLAKE3) {
        rafsi_blake3(data, len, out);
        return RAFS_OK;
    }
    rc = rafsi_hash_begin(hashes, algorithm, &hash, err);
    if (rc < 0)
        return rc;
    rc = rafsi_hash_add(&hash, data, len, err);
    if (rc < 0) {
        rafsi_hash_drop(&hash);
        return rc;
    }
    rc = rafsi_hash_end(&hash, digest, err);
    if (rc == RAFS_OK)
        memcpy(out, digest, sizeof(digest));
    return rc;
}

static int hmac(struct rafsi_hashes *hashes, const char *digest, const void *key,
                size_t key_len, const void *data, size_t len, uint8_t *out, size_t room,
                rafs_error *err)
{
    char name[8] = "";
    OSSL_PARAM params[2];
    EVP_MAC_CTX *work = NULL;
    EVP_MAC *mac = NULL;
    size_t made = 0;
    bool good;

    memcpy(name, digest, strlen(digest) + 1);
    params[0] = OSSL_PARAM_construct_utf8_string("digest", name, 0);
    params[1] = OSSL_PARAM_construct_end();
    pthread_mutex_lock(&hashes->lock);
    if (context(hashes))
        mac = EVP_MAC_fetch(hashes->context, "HMAC", NULL);
    pthread_mutex_unlock(&hashes->lock);
    if (mac)
        work = EVP_MAC_CTX_new(mac);
    /* A key of no bytes is one, but NULL would mean "the one before". */
    good = work && EVP_MAC_init(work, key_len ? key : "", key_len, params) == 1 &&
           EVP_MAC_update(work, data, len) == 1 &&
           EVP_MAC_final(work, out, &made, room) == 1 && made == room;
    EVP_MAC_CTX_free(work);
    EVP_MAC_free(mac);
    return good ? RAFS_OK
                : rafsi_fail(err, RAFS_E_NOMEM, RAFS_STAGE_NONE, NULL,
                             "libcrypto could not provide HMAC-%s", digest);
}

int rafsi_hmac_sha256(struct rafsi_hashes *hashes, const void *key, size_t key_len,
                      const void *data, size_t len, uint8_t out[RAFSI_DIGEST_BYTES],
                      rafs_error *err)
{
    return hmac(hashes, "SHA256", key, key_len, data, len, out, RAFSI_DIGEST_BYTES, err);
}

int rafsi_hmac_sha1(struct rafsi_hashes *hashes, const void *key, size_t key_len,
                    const void *data, size_t len, uint8_t out[RAFSI_HMAC_SHA1_BYTES],
                    rafs_error *err)
{
    return hmac(hashes, "SHA1", key, key_len, data, len, out, RAFSI_HMAC_SHA1_BYTES, err);
}

int rafsi_digest_equal(const uint8_t a[RAFSI_DIGEST_BYTES],
                       const uint8_t b[RAFSI_DIGEST_BYTES])
{
    return !rafsi_all_zero(a, RAFSI_DIGEST_BYTES) &&
           memcmp(a, b, RAFSI_DIGEST_BYTES) == 0;
}

void rafsi_digest_hex(const uint8_t digest[RAFSI_DIGEST_BYTES], char out[65])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < RAFSI_DIGEST_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int rafsi_digest_parse(const char *hex, size_t len, uint8_t out[RAFSI_DIGEST_BYTES])
{
    if (len != 2 * RAFSI_DIGEST_BYTES)
        return 0;
    for (size_t i = 0; i < RAFSI_DIGEST_BYTES; i++) {
        int high = hex_value(hex[2 * i]);
        int low = hex_value(hex[2 * i + 1]);

        if (high < 0 || low < 0)
            return 0;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 1;
}
