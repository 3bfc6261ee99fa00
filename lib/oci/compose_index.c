/* SPDX-License-Identifier: Apache-2.0 */
/* Source: OCI image specification 1.1; "Image Manifest Version 2, Schema 2" of docker. */
#include "oci/compose_index.h"

#include <stdlib.h>

#include "oci/json.h"

static const struct json_place index_place = {"index", RAFS_E_CORRUPT, RAFS_STAGE_OPEN,
                                              OCI_JSON_MAX};
static const struct json_place manifest_place = {"manifest", RAFS_E_CORRUPT,
                                                 RAFS_STAGE_OPEN, OCI_JSON_MAX};

static void keep(json_t *to, const json_t *from, const char *key, bool *bad)
{
    json_t *value = json_object_get(from, key);

    if (value)
        rafsi_json_put(to, key, json_incref(value), bad);
}

static json_t *entry_of(const struct compose_index *index, const struct compose_entry *as,
                        const json_t *from, bool *bad)
{
    json_t *made = json_object();
    char digest[OCI_DIGEST_TEXT];

    rafsi_oci_digest_text(as->digest, digest);
    rafsi_json_put(
        made, "mediaType",
        json_string(index->docker ? "application/vnd.docker.distribution.manifest.v2+json"
                                  : "application/vnd.oci.image.manifest.v1+json"),
        bad);
    if (index->artifact)
        rafsi_json_put(made, "artifactType", json_string(OCI_NYDUS_ARTIFACT), bad);
    rafsi_json_put(made, "digest", json_string(digest), bad);
    rafsi_json_put(made, "size", json_integer((json_int_t)as->size), bad);
    keep(made, from, "platform", bad);
    keep(made, from, "annotations", bad);
    return made;
}

static json_t *entries_of(const struct compose_index *index, const json_t *items,
                          bool *bad)
{
    json_t *made = json_array();

    for (size_t i = 0; i < index->count && i < json_array_size(items); i++)
        if (index->entries[i].keep)
            rafsi_json_append(
                made, entry_of(index, &index->entries[i], json_array_get(items, i), bad),
                bad);
    return made;
}

int rafsi_compose_index(const struct rafsi_env *env, const struct compose_index *index,
                        char **out, size_t *len, rafs_error *err)
{
    const char *type = index->docker
                           ? "application/vnd.docker.distribution.manifest.list.v2+json"
                           : "application/vnd.oci.image.index.v1+json";
    json_t *from = NULL, *items = NULL, *root;
    char *text = NULL, *copy = NULL;
    bool bad = false;
    int rc = rafsi_oci_load(&index_place, index->from, index->from_len, "manifests",
                            &from, &items, err);

    if (rc < 0)
        return rc;
    root = json_object();
    rafsi_json_put(root, "schemaVersion", json_integer(2), &bad);
    rafsi_json_put(root, "mediaType", json_string(type), &bad);
    rafsi_json_put(root, "manifests", entries_of(index, items, &bad), &bad);
    keep(root, from, "annotations", &bad);
    text = bad ? NULL : json_dumps(root, JSON_COMPACT);
    copy = text ? rafsi_strdup(env, text) : NULL;
    free(text);
    json_decref(root);
    json_decref(from);
    if (!copy)
        return rafsi_fail_nomem(err, 0);
    *out = copy;
    *len = strlen(copy);
    return RAFS_OK;
}

/* One after the other into one piece of memory: pointers first. With room NULL only
 * counted. */
static size_t lay_out(json_t *notes, const char **pointers, char *room, size_t *count)
{
    const char *key;
    json_t *value;
    size_t used = 0;

    *count = 0;
    json_object_foreach(notes, key, value)
    {
        const char *text = json_string_value(value);

        if (!text || key[0] == '\0' || strchr(key, '='))
            continue;
        if (room) {
            size_t key_len = strlen(key), text_len = strlen(text);

            pointers[*count] = room + used;
            memcpy(room + used, key, key_len);
            room[used + key_len] = '=';
            memcpy(room + used + key_len + 1, text, text_len + 1);
        }
        used += strlen(key) + strlen(text) + 2;
        ++*count;
    }
    return used;
}

int rafsi_oci_annotations(const struct rafsi_env *env, const void *json, size_t len,
                          const char *const **out, size_t *count, rafs_error *err)
{
    json_t *root = NULL, *layers = NULL, *notes = NULL;
    const char **pointers = NULL;
    int rc = rafsi_oci_load(&manifest_place, json, len, "layers", &root, &layers, err);

    if (rc == RAFS_OK)
        rc = rafsi_json_child(&manifest_place, root, "annotations", JSON_OBJECT, &notes,
                              err);
    *out = NULL;
    *count = 0;
    if (rc == RAFS_OK && notes) {
        size_t size = lay_out(notes, NULL, NULL, count) + *count * sizeof(*pointers);

        pointers = *count ? rafsi_alloc(env, size) : NULL;
        if (*count && !pointers)
            rc = rafsi_fail_nomem(err, size);
        else if (*count)
            lay_out(notes, pointers, (char *)(pointers + *count), count);
    }
    json_decref(root);
    *out = pointers;
    return rc;
}
