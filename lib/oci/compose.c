/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Source: OCI image specification 1.1; constants and converter of nydusify: a blob's
 * layer has its own digest for a diff id, the bootstrap's that of its uncompressed tar,
 * and the history has one item more.
 */
#include "oci/compose.h"

#include <stdlib.h>

#include "oci/json.h"

#define SNAPSHOT "containerd.io/snapshot/"
#define OCI "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."

static const struct json_place config_place = {"config", RAFS_E_BADARG,
                                               RAFS_STAGE_ARGUMENT, OCI_JSON_MAX};
static const struct json_place subject_place = {"subject", RAFS_E_BADARG,
                                                RAFS_STAGE_ARGUMENT, 65536};

static json_t *digest_json(const uint8_t digest[OCI_DIGEST_BYTES])
{
    char text[OCI_DIGEST_TEXT];

    rafsi_oci_digest_text(digest, text);
    return json_string(text);
}

/* The text of what was made, if there was memory for all of it. */
static int give(const struct rafsi_env *env, const json_t *root, bool bad, char **out,
                size_t *len, rafs_error *err)
{
    char *text = bad ? NULL : json_dumps(root, JSON_COMPACT);
    char *copy = text ? rafsi_strdup(env, text) : NULL;

    if (copy) {
        *out = copy;
        *len = strlen(copy);
    }
    free(text);
    return copy ? RAFS_OK : rafsi_fail_nomem(err, 0);
}

/* A config of nothing but what it has to have. */
static json_t *plain_config(const struct oci_platform *platform, bool *bad)
{
    json_t *root = json_object();

    rafsi_json_put(root, "architecture", json_string(platform->arch), bad);
    if (platform->variant[0])
        rafsi_json_put(root, "variant", json_string(platform->variant), bad);
    rafsi_json_put(root, "os", json_string(platform->os), bad);
    rafsi_json_put(root, "config", json_object(), bad);
    return root;
}

static void add_history(json_t *history, const char *comment, bool *bad)
{
    json_t *item = json_object();

    rafsi_json_put(item, "created_by", json_string("librafs"), bad);
    rafsi_json_put(item, "comment", json_string(comment), bad);
    rafsi_json_append(history, item, bad);
}

/* One item more; without a history one for each layer. */
static int put_history(json_t *root, const struct compose_image *image, bool *bad,
                       rafs_error *err)
{
    json_t *history = NULL;
    int rc = rafsi_json_child(&config_place, root, "history", JSON_ARRAY, &history, err);

    if (rc < 0)
        return rc;
    if (!history) {
        rafsi_json_put(root, "history", json_array(), bad);
        history = json_object_get(root, "history");
        for (size_t i = 0; i < image->blob_count; i++)
            add_history(history, "RAFS Data Blob Layer", bad);
    }
    add_history(history, "Nydus Bootstrap Layer", bad);
    return RAFS_OK;
}

static json_t *rootfs_of(const struct compose_image *image, bool *bad)
{
    json_t *rootfs = json_object();
    json_t *diffs = json_array();

    for (size_t i = 0; i < image->blob_count; i++)
        rafsi_json_append(diffs, digest_json(image->blobs[i].digest), bad);
    rafsi_json_append(diffs, digest_json(image->boot_diff), bad);
    rafsi_json_put(rootfs, "type", json_string("layers"), bad);
    rafsi_json_put(rootfs, "diff_ids", diffs, bad);
    return rootfs;
}

int rafsi_compose_config(const struct rafsi_env *env, const struct compose_image *image,
                         char **out, size_t *len, rafs_error *err)
{
    json_t *root = NULL;
    bool bad = false;
    int rc = RAFS_OK;

    if (image->config)
        rc = rafsi_json_load(&config_place, image->config, image->config_len, &root, err);
    else
        root = plain_config(&image->platform, &bad);
    if (rc == RAFS_OK)
        rc = put_history(root, image, &bad, err);
    if (rc == RAFS_OK) {
        rafsi_json_put(root, "rootfs", rootfs_of(image, &bad), &bad);
        rc = give(env, root, bad, out, len, err);
    }
    json_decref(root);
    return rc;
}

static json_t *descriptor(const char *media_type, const struct compose_blob *blob,
                          bool *bad)
{
    json_t *made = json_object();

    rafsi_json_put(made, "mediaType", json_string(media_type), bad);
    rafsi_json_put(made, "digest", digest_json(blob->digest), bad);
    rafsi_json_put(made, "size", json_integer((json_int_t)blob->size), bad);
    return made;
}

static json_t *blob_layer(const struct compose_blob *blob, bool *bad)
{
    json_t *layer = descriptor(OCI_NYDUS_BLOB, blob, bad);
    json_t *notes = json_object();

    rafsi_json_put(notes, SNAPSHOT "nydus-blob", json_string("true"), bad);
    rafsi_json_put(layer, "annotations", notes, bad);
    return layer;
}

static json_t *boot_layer(const struct compose_image *image, bool *bad)
{
    const char *type =
        image->docker ? DOCKER "image.rootfs.diff.tar.gzip" : OCI "layer.v1.tar+gzip";
    json_t *layer = descriptor(type, &image->bootstrap, bad);
    json_t *notes = json_object();

    rafsi_json_put(notes, OCI_BOOTSTRAP_ANNOTATION, json_string("true"), bad);
    rafsi_json_put(notes, SNAPSHOT "nydus-fs-version",
                   json_string(image->fs_version == 5 ? "5" : "6"), bad);
    rafsi_json_put(layer, "annotations", notes, bad);
    return layer;
}

static json_t *layers_of(const struct compose_image *image, bool *bad)
{
    json_t *layers = json_array();

    for (size_t i = 0; i < image->blob_count; i++)
        rafsi_json_append(layers, blob_layer(&image->blobs[i], bad), bad);
    rafsi_json_append(layers, boot_layer(image, bad), bad);
    return layers;
}

/* "KEY=VALUE" */
static int add_annotation(json_t *all, const char *text, bool *bad, rafs_error *err)
{
    const char *at = strchr(text, '=');
    json_t *key = at ? json_stringn(text, (size_t)(at - text)) : NULL;
    json_t *value = at ? json_string(at + 1) : NULL;

    if (!key || !value || at == text) {
        json_decref(key);
        json_decref(value);
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "annotation",
                          "is not KEY=VALUE in UTF-8");
    }
    rafsi_json_put(all, json_string_value(key), value, bad);
    json_decref(key);
    return RAFS_OK;
}

static int add_annotations(json_t *root, const struct compose_image *image, bool *bad,
                           rafs_error *err)
{
    json_t *all = json_object();
    int rc = RAFS_OK;

    for (size_t i = 0; i < image->annotation_count && rc == RAFS_OK; i++)
        rc = add_annotation(all, image->annotations[i], bad, err);
    if (rc == RAFS_OK && image->annotation_count > 0)
        rafsi_json_put(root, "annotations", json_incref(all), bad);
    json_decref(all);
    return rc;
}

static int add_subject(json_t *root, const struct compose_image *image, bool *bad,
                       rafs_error *err)
{
    struct oci_descriptor one;
    json_t *subject = NULL;
    int rc;

    if (!image->subject)
        return RAFS_OK;
    rc = rafsi_json_load(&subject_place, image->subject, image->subject_len, &subject,
                         err);
    if (rc == RAFS_OK)
        rc = rafsi_oci_descriptor(&subject_place, subject, &one, err);
    if (rc == RAFS_OK)
        rafsi_json_put(root, "subject", json_incref(subject), bad);
    json_decref(subject);
    return rc;
}

int rafsi_compose_manifest(const struct rafsi_env *env, const struct compose_image *image,
                           const struct compose_blob *config, char **out, size_t *len,
                           rafs_error *err)
{
    const char *type =
        image->docker ? DOCKER "distribution.manifest.v2+json" : OCI "manifest.v1+json";
    const char *config_type =
        image->docker ? DOCKER "container.image.v1+json" : OCI "config.v1+json";
    json_t *root = json_object();
    bool bad = false;
    int rc;

    rafsi_json_put(root, "schemaVersion", json_integer(2), &bad);
    rafsi_json_put(root, "mediaType", json_string(type), &bad);
    if (image->artifact)
        rafsi_json_put(root, "artifactType", json_string(OCI_NYDUS_ARTIFACT), &bad);
    rafsi_json_put(root, "config", descriptor(config_type, config, &bad), &bad);
    rafsi_json_put(root, "layers", layers_of(image, &bad), &bad);
    rc = add_subject(root, image, &bad, err);
    if (rc == RAFS_OK)
        rc = add_annotations(root, image, &bad, err);
    if (rc == RAFS_OK)
        rc = give(env, root, bad, out, len, err);
    json_decref(root);
    return rc;
}
