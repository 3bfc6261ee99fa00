/* SPDX-License-Identifier: Apache-2.0 */
#include "verify/verify.h"

#include <stdatomic.h>

struct verified {
    atomic_size_t references;
    struct rafsi_buffer *buffer;
};

int rafsi_verify(struct rafsi_buffer *raw, struct rafsi_hashes *hashes,
                 uint32_t algorithm, const uint8_t digest[RAFSI_DIGEST_BYTES],
                 struct verified **out, rafs_error *err)
{
    const struct rafsi_env *env = rafsi_pool_env(raw->pool);
    uint8_t actual[RAFSI_DIGEST_BYTES];
    char want[65], have[65];
    struct verified *good;
    int rc;

    if (rafsi_all_zero(digest, RAFSI_DIGEST_BYTES))
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_VERIFY, NULL,
                          "the image names no digest for these bytes, so they cannot be "
                          "verified");
    rc = rafsi_hash_bytes(hashes, algorithm, raw->at, raw->len, actual, err);
    if (rc < 0)
        return rc;
    if (!rafsi_digest_equal(actual, digest)) {
        rafsi_digest_hex(digest, want);
        rafsi_digest_hex(actual, have);
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_VERIFY, NULL,
                          "digest mismatch: %s, but the image says %s", have, want);
    }
    good = rafsi_alloc(env, sizeof(*good));
    if (!good)
        return rafsi_fail_nomem(err, sizeof(*good));
    atomic_init(&good->references, 1);
    good->buffer = raw;
    *out = good;
    return RAFS_OK;
}

const uint8_t *rafsi_verified_bytes(const struct verified *good)
{
    return good->buffer->at;
}

size_t rafsi_verified_size(const struct verified *good)
{
    return good->buffer->len;
}

size_t rafsi_verified_cost(const struct verified *good)
{
    return good->buffer->capacity + sizeof(*good->buffer) + sizeof(*good);
}

struct verified *rafsi_verified_hold(struct verified *good)
{
    atomic_fetch_add_explicit(&good->references, 1, memory_order_relaxed);
    return good;
}

void rafsi_verified_drop(struct verified *good)
{
    const struct rafsi_env *env;

    if (!good)
        return;
    if (atomic_fetch_sub_explicit(&good->references, 1, memory_order_acq_rel) != 1)
        return;
    env = rafsi_pool_env(good->buffer->pool);
    rafsi_buffer_free(good->buffer);
    rafsi_free(env, good);
}
