/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api.h"

struct rafs_hash {
    struct rafsi_env env;
    struct rafsi_hashes *hashes;
    uint32_t algorithm;
    bool begun;
    struct rafsi_hash state;
};

const char *rafs_digest_name(uint32_t algorithm)
{
    switch (algorithm) {
    case RAFS_DIGEST_BLAKE3:
        return "blake3";
    case RAFS_DIGEST_SHA256:
        return "sha256";
    default:
        return "?";
    }
}

int rafs_digest_bytes(uint32_t algorithm, const void *data, size_t len,
                      uint8_t out[RAFS_DIGEST_BYTES])
{
    struct rafsi_hashes *hashes;
    struct rafsi_env env;
    int rc;

    if (!out || (!data && len > 0) || algorithm > RAFS_DIGEST_SHA256)
        return RAFS_E_BADARG;
    if (algorithm == RAFS_DIGEST_BLAKE3) {
        rafsi_blake3(data, len, out);
        return RAFS_OK;
    }
    rafsi_env_take(NULL, &env, NULL);
    rc = rafsi_hashes_new(&env, &hashes, NULL);
    if (rc < 0)
        return rc;
    rc = rafsi_hash_bytes(hashes, algorithm, data, len, out, NULL);
    rafsi_hashes_free(hashes);
    return rc;
}

int rafs_hash_new(uint32_t algorithm, const rafs_env *env, rafs_hash **out,
                  rafs_error *err)
{
    struct rafsi_env taken;
    rafs_hash *hash;
    int rc;

    if (!out)
        return rafsi_fail_null(err, "out");
    if (algorithm > RAFS_DIGEST_SHA256)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "algorithm",
                          "%u is not known", algorithm);
    rc = rafsi_env_take(env, &taken, err);
    if (rc < 0)
        return rc;
    hash = rafsi_alloc_zero(&taken, sizeof(*hash));
    if (!hash)
        return rafsi_fail_nomem(err, sizeof(*hash));
    hash->env = taken;
    hash->algorithm = algorithm;
    rc = rafsi_hashes_new(&hash->env, &hash->hashes, err);
    if (rc == RAFS_OK)
        rc = rafsi_hash_begin(hash->hashes, algorithm, &hash->state, err);
    if (rc < 0) {
        rafs_hash_free(hash);
        return rc;
    }
    hash->begun = true;
    *out = hash;
    return RAFS_OK;
}

/* After a final the next update starts anew; a failure there is reported by it. */
static int ready(rafs_hash *hash)
{
    int rc = RAFS_OK;

    if (!hash->begun)
        rc = rafsi_hash_begin(hash->hashes, hash->algorithm, &hash->state, NULL);
    hash->begun = rc == RAFS_OK;
    return rc;
}

int rafs_hash_update(rafs_hash *hash, const void *data, size_t len)
{
    int rc;

    if (!hash || (!data && len > 0))
        return RAFS_E_BADARG;
    rc = ready(hash);
    return rc < 0 ? rc : rafsi_hash_add(&hash->state, data, len, NULL);
}

int rafs_hash_final(rafs_hash *hash, uint8_t out[RAFS_DIGEST_BYTES])
{
    uint8_t digest[RAFS_DIGEST_BYTES];
    int rc;

    if (!hash || !out)
        return RAFS_E_BADARG;
    rc = ready(hash);
    if (rc < 0)
        return rc;
    hash->begun = false;
    rc = rafsi_hash_end(&hash->state, digest, NULL);
    if (rc == RAFS_OK)
        memcpy(out, digest, sizeof(digest));
    return rc;
}

void rafs_hash_free(rafs_hash *hash)
{
    if (!hash)
        return;
    if (hash->begun)
        rafsi_hash_drop(&hash->state);
    rafsi_hashes_free(hash->hashes);
    rafsi_free(&hash->env, hash);
}
