/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests. Of an image in the Nydus form:
 *
 *     layers[0 .. n-2]  blobs, one for each layer of the source and more for dictionaries
 *     layers[n-1]       a tar with image/image.boot, annotated as the bootstrap
 *
 * Source: OCI image specification 1.1, nydusify's constants.
 */
#include "oci/json.h"

#define SNAPSHOT "containerd.io/snapshot/"

static const struct json_place manifest_place = {"manifest", RAFS_E_CORRUPT,
                                                 RAFS_STAGE_OPEN, OCI_JSON_MAX};

enum oci_kind rafsi_oci_media_kind(const char *media_type)
{
    static const struct {
        const char *name;
        enum oci_kind kind;
    } known[] = {
        {"application/vnd.oci.image.manifest.v1+json", OCI_MANIFEST},
        {"application/vnd.docker.distribution.manifest.v2+json", OCI_MANIFEST},
        {"application/vnd.oci.image.index.v1+json", OCI_INDEX},
        {"application/vnd.docker.distribution.manifest.list.v2+json", OCI_INDEX},
    };
    /* A Content-Type may have parameters. */
    size_t len = strcspn(media_type, "; \t");

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i].name) == len && strncmp(media_type, known[i].name, len) == 0)
            return known[i].kind;
    return (enum oci_kind)0;
}

int rafsi_oci_descriptor(const struct json_place *place, const json_t *object,
                         struct oci_descriptor *out, rafs_error *err)
{
    json_t *size = json_object_get(object, "size");
    const char *digest;
    int rc;

    if (!json_is_object(object))
        return rafsi_fail(err, place->code, place->stage, place->what,
                          "a descriptor is not an object");
    rc = rafsi_json_text(place, object, "digest", &digest, err);
    if (rc == RAFS_OK)
        rc = rafsi_json_copy(place, object, "mediaType", out->media_type,
                             sizeof(out->media_type), err);
    if (rc < 0)
        return rc;
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return rafsi_fail(err, place->code, place->stage, place->what,
                          "a descriptor has no size, or a negative one");
    if (!digest)
        return rafsi_fail(err, place->code, place->stage, place->what,
                          "a descriptor has no digest");
    out->size = (uint64_t)json_integer_value(size);
    rc = rafsi_oci_digest_parse(digest, out->digest, err);
    return rc < 0 ? rafsi_fail_object(err, rc, "%s", place->what) : RAFS_OK;
}

/* What the document itself says it is. */
static int kind_of(const struct json_place *place, const json_t *root, enum oci_kind *out,
                   rafs_error *err)
{
    json_t *version = json_object_get(root, "schemaVersion");
    bool layers = json_object_get(root, "layers") || json_object_get(root, "config") ||
                  json_object_get(root, "fsLayers");
    bool manifests = json_object_get(root, "manifests") != NULL;
    enum oci_kind shape = manifests ? OCI_INDEX : OCI_MANIFEST;
    enum oci_kind said = shape;
    const char *media_type;
    int rc = rafsi_json_text(place, root, "mediaType", &media_type, err);

    if (rc < 0)
        return rc;
    if (layers && manifests)
        return rafsi_fail(err, place->code, place->stage, place->what,
                          "has layers and manifests, so it could be read in two ways");
    if (json_integer_value(version) == 1)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, place->stage, place->what,
                          "has schema version 1, which no longer is supported");
    if (json_integer_value(version) != 2)
        return rafsi_fail(err, place->code, place->stage, place->what,
                          "has no schemaVersion 2, so it is no image manifest");
    if (!layers && !manifests)
        return rafsi_fail(err, place->code, place->stage, place->what,
                          "has neither layers nor manifests");
    if (media_type && media_type[0] != '\0')
        said = rafsi_oci_media_kind(media_type);
    if (said == 0)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, place->stage, place->what,
                          "its mediaType is not that of an image or index");
    if (said != shape)
        return rafsi_fail(err, place->code, place->stage, place->what,
                          "its mediaType and its content contradict each other");
    *out = shape;
    return RAFS_OK;
}

int rafsi_oci_kind(const void *json, size_t len, const char *content_type,
                   enum oci_kind *out, rafs_error *err)
{
    enum oci_kind said = content_type ? rafsi_oci_media_kind(content_type) : 0;
    enum oci_kind kind = 0;
    json_t *root = NULL;
    int rc = rafsi_json_load(&manifest_place, json, len, &root, err);

    if (rc == RAFS_OK)
        rc = kind_of(&manifest_place, root, &kind, err);
    json_decref(root);
    if (rc < 0)
        return rc;
    if (said != 0 && said != kind)
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, "manifest",
                          "the server's Content-Type contradicts the content");
    *out = kind;
    return RAFS_OK;
}

int rafsi_oci_load(const struct json_place *place, const void *text, size_t len,
                   const char *list, json_t **out, json_t **items, rafs_error *err)
{
    enum oci_kind wanted = strcmp(list, "manifests") == 0 ? OCI_INDEX : OCI_MANIFEST;
    enum oci_kind kind = 0;
    json_t *root = NULL;
    int rc = rafsi_json_load(place, text, len, &root, err);

    if (rc < 0)
        return rc;
    rc = kind_of(place, root, &kind, err);
    if (rc == RAFS_OK && kind != wanted)
        rc =
            rafsi_fail(err, place->code, place->stage, place->what,
                       wanted == OCI_INDEX ? "is the manifest of one image, not an index"
                                           : "is an index, not the manifest of an image");
    if (rc == RAFS_OK)
        rc = rafsi_json_child(place, root, list, JSON_ARRAY, items, err);
    if (rc == RAFS_OK && json_array_size(*items) > OCI_LAYERS_MAX)
        rc = rafsi_fail(err, RAFS_E_LIMIT, place->stage, place->what,
                        "has %zu %s, more than the %d that are allowed",
                        json_array_size(*items), list, OCI_LAYERS_MAX);
    if (rc < 0) {
        json_decref(root);
        return rc;
    }
    *out = root;
    return RAFS_OK;
}

/* The value of an annotation; NULL: none. Those that are no text are refused. */
static int annotation(const json_t *layer, const char *key, const char **out,
                      rafs_error *err)
{
    json_t *all;
    int rc =
        rafsi_json_child(&manifest_place, layer, "annotations", JSON_OBJECT, &all, err);

    *out = NULL;
    return rc < 0 || !all ? rc : rafsi_json_text(&manifest_place, all, key, out, err);
}

static int marked(const json_t *layer, const char *key, bool *out, rafs_error *err)
{
    const char *value;
    int rc = annotation(layer, key, &value, err);

    *out = value && strcmp(value, "true") == 0;
    return rc;
}

static int take_layer(const json_t *item, struct oci_layer *out, rafs_error *err)
{
    struct oci_layer made = {.nydus = false};
    const char *ref = NULL;
    bool bootstrap;
    int rc = rafsi_oci_descriptor(&manifest_place, item, &made.blob, err);

    if (rc == RAFS_OK)
        rc = marked(item, OCI_BOOTSTRAP_ANNOTATION, &bootstrap, err);
    if (rc == RAFS_OK && bootstrap)
        rc = rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, "manifest",
                        "a layer before the last is marked as the bootstrap");
    if (rc == RAFS_OK)
        rc = marked(item, SNAPSHOT "nydus-blob", &made.nydus, err);
    if (rc == RAFS_OK)
        rc = marked(item, SNAPSHOT "nydus-encrypted-blob", &made.encrypted, err);
    if (rc == RAFS_OK)
        rc = annotation(item, SNAPSHOT "nydus-ref", &ref, err);
    if (rc == RAFS_OK && ref)
        rc = rafsi_fail_object(err, rafsi_oci_digest_parse(ref, made.ref, err),
                               "manifest");
    if (rc < 0)
        return rc;
    made.nydus = made.nydus || strcmp(made.blob.media_type, OCI_NYDUS_BLOB) == 0;
    made.has_ref = ref != NULL;
    *out = made;
    return RAFS_OK;
}

static int compression_of(const char *media_type, enum oci_compression *out,
                          rafs_error *err)
{
    static const struct {
        const char *name;
        enum oci_compression compression;
    } known[] = {
        {"application/vnd.oci.image.layer.v1.tar", OCI_TAR},
        {"application/vnd.oci.image.layer.v1.tar+gzip", OCI_TAR_GZIP},
        {"application/vnd.oci.image.layer.v1.tar+zstd", OCI_TAR_ZSTD},
        {"application/vnd.docker.image.rootfs.diff.tar", OCI_TAR},
        {"application/vnd.docker.image.rootfs.diff.tar.gzip", OCI_TAR_GZIP},
        {"application/vnd.docker.image.rootfs.diff.tar.zstd", OCI_TAR_ZSTD},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(media_type, known[i].name) == 0) {
            *out = known[i].compression;
            return RAFS_OK;
        }
    return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, "manifest",
                      "the bootstrap layer is not a plain, gzip or zstd tar");
}

/* The last layer: the bootstrap's, or one like the others. */
static int take_last(const json_t *item, struct oci_manifest *out, rafs_error *err)
{
    const char *version = NULL;
    int rc = marked(item, OCI_BOOTSTRAP_ANNOTATION, &out->has_bootstrap, err);

    if (rc < 0)
        return rc;
    if (!out->has_bootstrap)
        return take_layer(item, &out->layers[out->layer_count++], err);
    rc = rafsi_oci_descriptor(&manifest_place, item, &out->bootstrap, err);
    if (rc == RAFS_OK)
        rc = compression_of(out->bootstrap.media_type, &out->bootstrap_compression, err);
    if (rc == RAFS_OK)
        rc = annotation(item, SNAPSHOT "nydus-fs-version", &version, err);
    if (rc < 0)
        return rc;
    out->fs_version = !version || strcmp(version, "5") == 0 ? 5 : 6;
    if (out->fs_version == 6 && strcmp(version, "6") != 0)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, "manifest",
                          "the bootstrap is of a RAFS version that is neither 5 nor 6");
    return RAFS_OK;
}

static int take_layers(const struct rafsi_env *env, const json_t *items,
                       struct oci_manifest *out, rafs_error *err)
{
    size_t count = json_array_size(items);
    int rc = RAFS_OK;

    if (count == 0)
        return RAFS_OK;
    out->layers = rafsi_alloc_zero(env, count * sizeof(*out->layers));
    if (!out->layers)
        return rafsi_fail_nomem(err, count * sizeof(*out->layers));
    for (size_t i = 0; rc == RAFS_OK && i + 1 < count; i++) {
        rc = take_layer(json_array_get(items, i), &out->layers[i], err);
        out->layer_count = i + 1;
    }
    return rc < 0 ? rc : take_last(json_array_get(items, count - 1), out, err);
}

int rafsi_oci_manifest_parse(const struct rafsi_env *env, const void *json, size_t len,
                             struct oci_manifest *out, rafs_error *err)
{
    struct oci_manifest made = {.layers = NULL};
    json_t *root = NULL;
    json_t *layers = NULL;
    json_t *config;
    json_t *subject = NULL;
    int rc = rafsi_oci_load(&manifest_place, json, len, "layers", &root, &layers, err);

    if (rc < 0)
        return rc;
    rc = rafsi_json_child(&manifest_place, root, "config", JSON_OBJECT, &config, err);
    if (rc == RAFS_OK && !config)
        rc = rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, "manifest",
                        "names no config");
    if (rc == RAFS_OK)
        rc = rafsi_oci_descriptor(&manifest_place, config, &made.config, err);
    if (rc == RAFS_OK)
        rc = rafsi_json_copy(&manifest_place, root, "artifactType", made.artifact_type,
                             sizeof(made.artifact_type), err);
    if (rc == RAFS_OK)
        rc = rafsi_json_child(&manifest_place, root, "subject", JSON_OBJECT, &subject,
                              err);
    if (rc == RAFS_OK && subject)
        rc = rafsi_oci_descriptor(&manifest_place, subject, &made.subject, err);
    if (rc == RAFS_OK)
        rc = take_layers(env, layers, &made, err);
    json_decref(root);
    if (rc < 0) {
        rafsi_oci_manifest_drop(env, &made);
        return rc;
    }
    made.has_subject = subject != NULL;
    *out = made;
    return RAFS_OK;
}

void rafsi_oci_manifest_drop(const struct rafsi_env *env, struct oci_manifest *manifest)
{
    rafsi_free(env, manifest->layers);
    *manifest = (struct oci_manifest){.layers = NULL};
}

int rafsi_oci_manifest_is_rafs(const struct oci_manifest *manifest, rafs_error *err)
{
    if (manifest->has_bootstrap)
        return RAFS_OK;
    return rafsi_fail(
        err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, "manifest",
        "an ordinary image: its last layer of %zu carries no RAFS bootstrap; "
        "convert it (nydusify convert) or name the converted one",
        manifest->layer_count);
}
