/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of an ordinary image, and whether it can be converted. */
#include "convert/layers.h"

enum { INDEX_DEPTH_MAX = 3 };

/* From an index down to a manifest; RAFS forms of the image are not looked at. */
static int descend(rafs_origin *from, const char *platform, struct oci_document *document,
                   const rafs_call *call, rafs_error *err)
{
    const struct rafsi_env *env = rafsi_origin_env(from);
    struct oci_platform wanted;
    int rc = RAFS_OK;

    if (platform)
        rc = rafsi_oci_platform_parse(platform, &wanted, err);
    for (unsigned depth = 0; rc == RAFS_OK; depth++) {
        struct oci_descriptor chosen;
        enum oci_kind kind;

        rc = rafsi_oci_kind(document->bytes, document->len, NULL, &kind, err);
        if (rc < 0 || kind == OCI_MANIFEST)
            break;
        if (depth == INDEX_DEPTH_MAX)
            return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, "index",
                              "an index in an index in an index");
        rc = rafsi_oci_index_pick_plain(document->bytes, document->len,
                                        platform ? &wanted : NULL, &chosen, err);
        rafsi_document_drop(env, document);
        if (rc == RAFS_OK)
            rc = rafsi_origin_manifest(from, chosen.digest, NULL, document, call, err);
    }
    return rc;
}

static bool known(const char *type, const char *const *names)
{
    for (size_t i = 0; names[i]; i++)
        if (strcmp(type, names[i]) == 0)
            return true;
    return false;
}

static int check_layer(const struct oci_layer *layer, size_t i, rafs_error *err)
{
    static const char *const tars[] = {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        NULL};

    if (layer->nydus || layer->has_ref)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, "manifest",
                          "layer %zu is a blob of a RAFS image", i + 1);
    if (known(layer->blob.media_type, tars))
        return RAFS_OK;
    return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, "manifest",
                      "layer %zu is no tar stream by its media type '%s'", i + 1,
                      layer->blob.media_type);
}

static int check(const struct oci_manifest *manifest, rafs_error *err)
{
    static const char *const configs[] = {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json", NULL};
    int rc = RAFS_OK;

    if (manifest->has_bootstrap)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, "manifest",
                          "is of a RAFS image already; rafs copy takes it elsewhere");
    if (!known(manifest->config.media_type, configs))
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, "manifest",
                          "is of an artifact, not of an image: its config is '%s'",
                          manifest->config.media_type);
    for (size_t i = 0; i < manifest->layer_count && rc == RAFS_OK; i++)
        rc = check_layer(&manifest->layers[i], i, err);
    return rc;
}

int rafsi_convert_take(const struct rafsi_env *env, struct oci_document *document,
                       struct convert_source *out, rafs_error *err)
{
    struct convert_source made = {.document = *document};
    int rc = rafsi_oci_manifest_parse(env, document->bytes, document->len, &made.manifest,
                                      err);

    *document = (struct oci_document){.bytes = NULL};
    if (rc == RAFS_OK)
        rc = check(&made.manifest, err);
    if (rc < 0)
        rafsi_convert_source_drop(env, &made);
    else
        *out = made;
    return rc;
}

int rafsi_convert_find(rafs_origin *from, const uint8_t *digest, const char *platform,
                       struct convert_source *out, const rafs_call *call, rafs_error *err)
{
    const struct rafsi_env *env = rafsi_origin_env(from);
    struct oci_document document = {0};
    int rc;

    if (digest)
        rc = rafsi_origin_manifest(from, digest, NULL, &document, call, err);
    else
        rc = rafsi_origin_root(from, &document, call, err);
    if (rc == RAFS_OK && !digest)
        rc = descend(from, platform, &document, call, err);
    if (rc == RAFS_OK)
        return rafsi_convert_take(env, &document, out, err);
    rafsi_document_drop(env, &document);
    return rc;
}

void rafsi_convert_source_drop(const struct rafsi_env *env, struct convert_source *source)
{
    rafsi_document_drop(env, &source->document);
    rafsi_oci_manifest_drop(env, &source->manifest);
}
