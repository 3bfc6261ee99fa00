/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/contents.h"

#include "oci/json.h"

#define NYDUS_REF "containerd.io/snapshot/nydus-ref"

static const struct json_place place = {"manifest", RAFS_E_CORRUPT, RAFS_STAGE_OPEN,
                                        OCI_JSON_MAX};

/* Each once: a layer may come twice. */
static void add(struct oci_contents *to, const uint8_t *digest, uint64_t size)
{
    for (size_t i = 0; i < to->count; i++)
        if (memcmp(to->at[i].digest, digest, OCI_DIGEST_BYTES) == 0) {
            if (to->at[i].size == UINT64_MAX)
                to->at[i].size = size;
            return;
        }
    memcpy(to->at[to->count].digest, digest, OCI_DIGEST_BYTES);
    to->at[to->count++].size = size;
}

/* Such layers must not be given away, or so it was once. Source: OCI image specification
 * 1.0, "Non-Distributable Layers". */
static bool is_foreign(const struct oci_descriptor *one, const json_t *item)
{
    return json_array_size(json_object_get(item, "urls")) > 0 &&
           (strstr(one->media_type, ".foreign.") ||
            strstr(one->media_type, ".nondistributable."));
}

static int take(const json_t *item, struct oci_contents *out, rafs_error *err)
{
    struct oci_descriptor one;
    uint8_t ref[OCI_DIGEST_BYTES];
    json_t *notes = NULL;
    const char *text = NULL;
    int rc = rafsi_oci_descriptor(&place, item, &one, err);

    if (rc == RAFS_OK)
        rc = rafsi_json_child(&place, item, "annotations", JSON_OBJECT, &notes, err);
    if (rc == RAFS_OK && notes)
        rc = rafsi_json_text(&place, notes, NYDUS_REF, &text, err);
    if (rc == RAFS_OK && text)
        rc = rafsi_oci_digest_parse(text, ref, err);
    if (rc < 0)
        return rafsi_fail_object(err, rc, "manifest");
    if (!is_foreign(&one, item))
        add(out, one.digest, one.size);
    if (text)
        add(out, ref, UINT64_MAX);
    return RAFS_OK;
}

static int take_subject(const json_t *root, struct oci_contents *out, rafs_error *err)
{
    struct oci_descriptor one;
    json_t *subject = NULL;
    int rc = rafsi_json_child(&place, root, "subject", JSON_OBJECT, &subject, err);

    if (rc == RAFS_OK && subject)
        rc = rafsi_oci_descriptor(&place, subject, &one, err);
    if (rc < 0 || !subject)
        return rc;
    out->has_subject = true;
    memcpy(out->subject, one.digest, OCI_DIGEST_BYTES);
    return RAFS_OK;
}

static int take_all(const struct rafsi_env *env, const json_t *items,
                    const json_t *config, struct oci_contents *out, rafs_error *err)
{
    size_t most = 2 * (json_array_size(items) + 1);
    int rc = RAFS_OK;

    out->at = rafsi_alloc_zero(env, most * sizeof(*out->at));
    if (!out->at)
        return rafsi_fail_nomem(err, most * sizeof(*out->at));
    if (config)
        rc = take(config, out, err);
    for (size_t i = 0; i < json_array_size(items) && rc == RAFS_OK; i++)
        rc = take(json_array_get(items, i), out, err);
    return rc;
}

int rafsi_oci_contents(const struct rafsi_env *env, const void *json, size_t len,
                       struct oci_contents *out, rafs_error *err)
{
    struct oci_contents made = {.at = NULL};
    json_t *root = NULL, *items = NULL, *config = NULL;
    int rc = rafsi_oci_kind(json, len, NULL, &made.kind, err);

    if (rc == RAFS_OK)
        rc = rafsi_oci_load(&place, json, len,
                            made.kind == OCI_INDEX ? "manifests" : "layers", &root,
                            &items, err);
    if (rc == RAFS_OK && made.kind == OCI_MANIFEST)
        rc = rafsi_json_child(&place, root, "config", JSON_OBJECT, &config, err);
    if (rc == RAFS_OK)
        rc = take_subject(root, &made, err);
    if (rc == RAFS_OK)
        rc = take_all(env, items, config, &made, err);
    json_decref(root);
    if (rc < 0)
        rafsi_oci_contents_drop(env, &made);
    else
        *out = made;
    return rc;
}

void rafsi_oci_contents_drop(const struct rafsi_env *env, struct oci_contents *contents)
{
    rafsi_free(env, contents->at);
    *contents = (struct oci_contents){.at = NULL};
}
