/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/pull.h"

#include <stdio.h>
#include <string.h>

#include "oci/layer.h"
#include "rafs/digest.h"

enum {
    INDEX_DEPTH_MAX = 3, /* an index may name an index */
    REFERRERS_MAX = 8    /* that are looked at */
};

void rafsi_document_drop(const struct rafsi_env *env, struct oci_document *document)
{
    rafsi_free(env, document->bytes);
    document->bytes = NULL;
}

/* Compare what came with what was named. */
static int compare(const struct oci_pull *pull, const char *what,
                   const struct oci_document *document, const uint8_t *wanted,
                   rafs_error *err)
{
    char want[65], have[65];

    if (!wanted || rafsi_digest_equal(document->digest, wanted))
        return RAFS_OK;
    rafsi_digest_hex(wanted, want);
    rafsi_digest_hex(document->digest, have);
    return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_VERIFY, what,
                      "digest mismatch: %s gave %s for %s", pull->store->name, have,
                      want);
}

static int hash(const struct oci_pull *pull, struct oci_document *document,
                rafs_error *err)
{
    return rafsi_hash_bytes(pull->hashes, RAFS_DIGEST_SHA256,
                            document->bytes ? (const void *)document->bytes : "",
                            document->len, document->digest, err);
}

/* From the shelf. What was spoiled there is as good as missing. */
static bool find(const struct oci_pull *pull, const uint8_t *wanted, uint64_t limit,
                 const char *kind, const struct rafsi_env *env, struct oci_document *out)
{
    const struct oci_shelf *shelf = pull->shelf;

    if (!shelf || !wanted ||
        !shelf->find(shelf->user, kind, wanted, limit, env, &out->bytes, &out->len))
        return false;
    if (hash(pull, out, NULL) == RAFS_OK && rafsi_digest_equal(out->digest, wanted))
        return true;
    rafsi_document_drop(env, out);
    return false;
}

int rafsi_oci_get(const struct oci_pull *pull, const struct oci_wanted *wanted,
                  const char *what, const char *kind, const struct rafsi_env *env,
                  struct oci_document *out, rafs_error *err)
{
    const struct oci_store *store = pull->store;
    /* What hangs on a digest is not bound by it. */
    const uint8_t *digest = wanted->what == OCI_GET_REFERRERS ? NULL : wanted->digest;
    int rc;

    if (find(pull, digest, wanted->limit, kind, env, out))
        return RAFS_OK;
    rc = store->get(store->user, wanted, env, pull->call, &out->bytes, &out->len, err);
    if (rc == RAFS_OK)
        rc = hash(pull, out, err);
    if (rc == RAFS_OK)
        rc = compare(pull, what, out, digest, err);
    if (rc == RAFS_OK && pull->shelf)
        pull->shelf->keep(pull->shelf->user, kind, out->digest, out->bytes, out->len);
    if (rc < 0)
        rafsi_document_drop(env, out);
    return rafsi_fail_object(err, rc, "%s", what);
}

int rafsi_oci_get_manifest(const struct oci_pull *pull, const uint8_t *digest,
                           const char *tag, const struct rafsi_env *env,
                           struct oci_document *out, rafs_error *err)
{
    struct oci_wanted wanted = {OCI_GET_MANIFEST, digest, tag, OCI_JSON_MAX};
    const struct oci_store *store = pull->store;
    uint8_t found[OCI_DIGEST_BYTES];

    if (!digest && store->resolve) {
        int rc = store->resolve(store->user, tag, found, err);

        if (rc < 0)
            return rc;
        wanted.digest = found;
    }
    return rafsi_oci_get(pull, &wanted, "manifest", "manifest", env, out, err);
}

static int get_by_digest(const struct oci_pull *pull, const uint8_t *digest,
                         const struct rafsi_env *env, struct oci_document *out,
                         rafs_error *err)
{
    return rafsi_oci_get_manifest(pull, digest, NULL, env, out, err);
}

int rafsi_oci_get_image(const struct oci_pull *pull, const struct rafsi_env *env,
                        struct oci_document *out, rafs_error *err)
{
    struct oci_platform platform;
    int rc = RAFS_OK;

    if (pull->platform)
        rc = rafsi_oci_platform_parse(pull->platform, &platform, err);
    else
        rafsi_oci_platform_host(&platform);
    if (rc == RAFS_OK)
        rc = rafsi_oci_get_manifest(pull, pull->digest, pull->tag, env, out, err);
    for (unsigned depth = 0; rc == RAFS_OK; depth++) {
        struct oci_descriptor chosen;
        enum oci_kind kind;

        rc = rafsi_oci_kind(out->bytes, out->len, NULL, &kind, err);
        if (rc == RAFS_OK && kind == OCI_MANIFEST)
            return RAFS_OK;
        if (rc == RAFS_OK && depth == INDEX_DEPTH_MAX)
            rc = rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, "index",
                            "an index in an index in an index");
        if (rc == RAFS_OK)
            rc = rafsi_oci_index_pick(out->bytes, out->len, &platform, &chosen, err);
        rafsi_document_drop(env, out);
        if (rc == RAFS_OK)
            rc = get_by_digest(pull, chosen.digest, env, out, err);
    }
    rafsi_document_drop(env, out);
    return rc;
}

int rafsi_oci_get_referrers(const struct oci_pull *pull, const uint8_t *subject,
                            const struct rafsi_env *env, struct oci_document *out,
                            rafs_error *err)
{
    struct oci_wanted wanted = {OCI_GET_REFERRERS, subject, NULL, OCI_JSON_MAX};
    char tag[OCI_DIGEST_TEXT];
    int rc =
        rafsi_oci_get(pull, &wanted, "list of referrers", "referrers", env, out, err);

    if (rc != RAFS_E_NOENT)
        return rc;
    rafsi_oci_digest_text(subject, tag);
    tag[6] = '-'; /* sha256-HEX is the tag */
    return rafsi_oci_get_manifest(pull, NULL, tag, env, out, err);
}

/* A RAFS form that hangs on the image: the first whose own manifest says so. */
static int find_referrer(const struct oci_pull *pull, const uint8_t *subject,
                         const struct rafsi_env *env, struct oci_manifest *out,
                         uint8_t *digest, rafs_error *err)
{
    struct oci_document list = {0};
    int rc = rafsi_oci_get_referrers(pull, subject, env, &list, err);

    for (size_t i = 0; rc == RAFS_OK && i < REFERRERS_MAX; i++) {
        struct oci_descriptor entry;
        struct oci_document one = {0};
        int bad;

        rc = rafsi_oci_referrer_pick(list.bytes, list.len, i, &entry, err);
        if (rc < 0)
            break;
        bad = get_by_digest(pull, entry.digest, env, &one, err);
        if (bad == RAFS_OK)
            bad = rafsi_oci_manifest_parse(env, one.bytes, one.len, out, err);
        rafsi_document_drop(env, &one);
        if (bad == RAFS_E_CANCELLED || bad == RAFS_E_TIMEOUT || bad == RAFS_E_NOMEM)
            rc = bad;
        if (bad < 0)
            continue;
        if (out->has_subject && rafsi_digest_equal(out->subject.digest, subject) &&
            rafsi_oci_manifest_is_rafs(out, NULL) == RAFS_OK) {
            rafsi_document_drop(env, &list);
            memcpy(digest, one.digest, OCI_DIGEST_BYTES);
            return RAFS_OK;
        }
        rafsi_oci_manifest_drop(env, out);
    }
    rafsi_document_drop(env, &list);
    return rc == RAFS_OK ? RAFS_E_NOENT : rc;
}

static int choose(const struct oci_pull *pull, const struct rafsi_env *env,
                  struct oci_manifest *out, struct oci_pulled *pulled, rafs_error *err)
{
    struct oci_document image = {0};
    rafs_error why = RAFS_ERROR_INIT;
    int rc = rafsi_oci_get_image(pull, env, &image, err);

    pulled->bound = pull->digest != NULL;
    memcpy(pulled->manifest, image.digest, sizeof(pulled->manifest));
    if (rc == RAFS_OK)
        rc = rafsi_oci_manifest_parse(env, image.bytes, image.len, out, err);
    rafsi_document_drop(env, &image);
    if (rc < 0)
        return rc;
    rc = rafsi_oci_manifest_is_rafs(out, &why);
    if (rc == RAFS_OK)
        return rc;
    rafsi_oci_manifest_drop(env, out);
    if (pull->referrers) {
        pulled->bound = false;
        rc = find_referrer(pull, image.digest, env, out, pulled->manifest, err);
        if (rc != RAFS_E_NOENT)
            return rc;
    }
    if (err)
        *err = why;
    return why.code;
}

/* Nothing here needs it, but who has an image offline wants to run it. */
static int get_config(const struct oci_pull *pull, const struct oci_manifest *manifest,
                      const struct rafsi_env *env, rafs_error *err)
{
    struct oci_wanted wanted = {OCI_GET_LAYER, manifest->config.digest, NULL,
                                OCI_JSON_MAX};
    struct oci_document config = {0};
    int rc = rafsi_oci_get(pull, &wanted, "config", "config", env, &config, err);

    rafsi_document_drop(env, &config);
    return rc;
}

int rafsi_oci_pull(const struct oci_pull *pull, const struct rafsi_env *env,
                   uint8_t **bootstrap, size_t *len, struct oci_pulled *pulled,
                   rafs_error *err)
{
    struct oci_manifest manifest;
    struct oci_document layer = {0};
    int rc = choose(pull, env, &manifest, pulled, err);

    if (rc < 0)
        return rc;
    if (manifest.bootstrap.size > pull->bootstrap_limit)
        rc = rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_OPEN, "bootstrap layer",
                        "has %llu bytes; inlined_bootstrap_bytes in rafs_limits allows "
                        "%llu",
                        (unsigned long long)manifest.bootstrap.size,
                        (unsigned long long)pull->bootstrap_limit);
    else if (manifest.bootstrap_compression == OCI_TAR_ZSTD)
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, "bootstrap layer",
                        "is a tar compressed by zstd; gzip and plain ones are read");
    if (rc == RAFS_OK) {
        struct oci_wanted wanted = {OCI_GET_LAYER, manifest.bootstrap.digest, NULL,
                                    manifest.bootstrap.size};

        rc = rafsi_oci_get(pull, &wanted, "bootstrap layer", "boot", env, &layer, err);
    }
    if (rc == RAFS_OK && pull->config && pull->shelf)
        rc = get_config(pull, &manifest, env, err);
    rafsi_oci_manifest_drop(env, &manifest);
    if (rc == RAFS_OK)
        rc = rafsi_layer_bootstrap(env, layer.bytes, layer.len, pull->bootstrap_limit,
                                   pull->call, bootstrap, len, err);
    rafsi_document_drop(env, &layer);
    return rc;
}
