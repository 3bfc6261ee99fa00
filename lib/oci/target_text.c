/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written of documents: descriptors, and the lists that they are put into
 * (index.json of a layout, the index of what hangs on a manifest).
 *
 * Entries that are there stay as they are, with whatever they hold. Source: OCI image
 * index and layout 1.1; OCI distribution spec 1.1, "Referrers Tag Schema".
 */
#include <stdio.h>
#include <stdlib.h>

#include "oci/json.h"
#include "oci/layout.h"
#include "oci/target.h"

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define REF_NAME "org.opencontainers.image.ref.name"
#define FULL_NAME "io.containerd.image.name"

static const struct json_place put_place = {"manifest", RAFS_E_BADARG,
                                            RAFS_STAGE_ARGUMENT, OCI_JSON_MAX};
static const struct json_place list_place = {"list of manifests", RAFS_E_CORRUPT,
                                             RAFS_STAGE_OPEN, OCI_JSON_MAX};

/* What kind it is by what it says, or by its shape. */
static int type_of(const json_t *root, const char *given, char *out, rafs_error *err)
{
    const char *said = json_string_value(json_object_get(root, "mediaType"));
    const char *type = given;

    if (!type || type[0] == '\0')
        type = said;
    if (!type || type[0] == '\0')
        type = json_object_get(root, "manifests") ? INDEX_TYPE : MANIFEST_TYPE;
    if (said && said[0] && strcmp(said, type) != 0)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "manifest",
                          "says that it is of another media type");
    if (strlen(type) >= OCI_MEDIA_MAX || strpbrk(type, "\r\n\t \"\\"))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "manifest",
                          "has a media type that is none");
    if (!json_is_array(json_object_get(root, "manifests")) &&
        !json_is_array(json_object_get(root, "layers")))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "manifest",
                          "is neither a manifest nor an index");
    snprintf(out, OCI_MEDIA_MAX, "%s", type);
    return RAFS_OK;
}

static int take_subject(const json_t *root, struct oci_facts *out, rafs_error *err)
{
    const json_t *subject = json_object_get(root, "subject");
    const char *digest = json_string_value(json_object_get(subject, "digest"));

    if (!subject || json_is_null(subject))
        return RAFS_OK;
    if (!digest || rafsi_oci_digest_parse(digest, out->subject, NULL) < 0)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "manifest",
                          "its subject has no digest that is a SHA-256");
    out->has_subject = true;
    return RAFS_OK;
}

/* As a list of referrers shows it. */
static json_t *describe(const json_t *root, size_t len, const char *media_type,
                        const uint8_t *digest, bool *bad)
{
    const json_t *artifact = json_object_get(root, "artifactType");
    json_t *notes = json_object_get(root, "annotations");
    char text[OCI_DIGEST_TEXT];
    json_t *made = json_object();

    rafsi_oci_digest_text(digest, text);
    rafsi_json_put(made, "mediaType", json_string(media_type), bad);
    rafsi_json_put(made, "digest", json_string(text), bad);
    rafsi_json_put(made, "size", json_integer((json_int_t)len), bad);
    if (!json_object_get(root, "subject"))
        return made;
    if (!json_is_string(artifact) || json_string_length(artifact) == 0)
        artifact = json_object_get(json_object_get(root, "config"), "mediaType");
    if (json_is_string(artifact))
        rafsi_json_put(made, "artifactType", json_string(json_string_value(artifact)),
                       bad);
    if (json_is_object(notes) && json_object_size(notes) > 0)
        rafsi_json_put(made, "annotations", json_incref(notes), bad);
    return made;
}

int rafsi_oci_facts(const void *data, size_t len, const char *media_type,
                    const uint8_t *digest, struct oci_facts *out, rafs_error *err)
{
    struct oci_facts facts = {.has_subject = false};
    json_t *root = NULL;
    json_t *made = NULL;
    bool bad = false;
    int rc = rafsi_json_load(&put_place, data, len, &root, err);

    if (rc == RAFS_OK)
        rc = type_of(root, media_type, facts.media_type, err);
    if (rc == RAFS_OK)
        rc = take_subject(root, &facts, err);
    if (rc == RAFS_OK) {
        made = describe(root, len, facts.media_type, digest, &bad);
        facts.descriptor = bad ? NULL : json_dumps(made, JSON_COMPACT);
        if (!facts.descriptor)
            rc = rafsi_fail_nomem(err, len);
    }
    if (rc == RAFS_OK)
        *out = facts;
    json_decref(made);
    json_decref(root);
    return rc;
}

void rafsi_oci_facts_drop(struct oci_facts *facts)
{
    free(facts->descriptor);
    facts->descriptor = NULL;
}

static const char *digest_of(const json_t *entry)
{
    const char *digest = json_string_value(json_object_get(entry, "digest"));

    return digest ? digest : "";
}

/* Who had the name loses it; the image itself stays, an older list goes. */
static void take_name(json_t *items, const char *name)
{
    static const char *const keys[] = {REF_NAME, FULL_NAME};

    for (size_t i = json_array_size(items); i-- > 0 && rafsi_layout_is_list(name);) {
        const json_t *notes = json_object_get(json_array_get(items, i), "annotations");
        const char *had = json_string_value(json_object_get(notes, REF_NAME));

        if (had && strcmp(had, name) == 0)
            json_array_remove(items, i);
    }
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *notes = json_object_get(json_array_get(items, i), "annotations");

        for (size_t k = 0; k < 2; k++) {
            const char *had = json_string_value(json_object_get(notes, keys[k]));

            if (had && strcmp(had, name) == 0)
                json_object_del(notes, keys[k]);
        }
        if (json_is_object(notes) && json_object_size(notes) == 0)
            json_object_del(json_array_get(items, i), "annotations");
    }
}

static bool is_nameless(const json_t *entry)
{
    const json_t *notes = json_object_get(entry, "annotations");

    return !json_object_get(notes, REF_NAME) && !json_object_get(notes, FULL_NAME);
}

static void give_notes(json_t *entry, json_t *more, bool *bad)
{
    json_t *notes = json_object_get(entry, "annotations");

    if (!json_is_object(notes))
        rafsi_json_put(entry, "annotations", json_incref(more), bad);
    else if (json_object_update(notes, more) < 0)
        *bad = true;
}

/* Put the entry in, unless one like it is there. */
static bool add_entry(json_t *items, json_t *entry, const char *name, bool *bad)
{
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *one = json_array_get(items, i);

        if (strcmp(digest_of(one), digest_of(entry)) != 0)
            continue;
        if (!name)
            return false;
        /* The same image, which lost this name a moment ago or never had one. */
        if (is_nameless(one)) {
            give_notes(one, json_object_get(entry, "annotations"), bad);
            return true;
        }
    }
    rafsi_json_append(items, json_incref(entry), bad);
    return true;
}

static json_t *empty_list(bool *bad)
{
    json_t *root = json_object();

    rafsi_json_put(root, "schemaVersion", json_integer(2), bad);
    rafsi_json_put(root, "mediaType", json_string(INDEX_TYPE), bad);
    rafsi_json_put(root, "manifests", json_array(), bad);
    return root;
}

/* RAFS_E_BADARG if the name is no UTF-8. */
static int set_name(json_t *entry, const char *name, bool *bad, rafs_error *err)
{
    json_t *text = json_string(name);
    json_t *notes = json_object();

    if (!text) {
        json_decref(notes);
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "tag", "is no UTF-8");
    }
    rafsi_json_put(notes, REF_NAME, text, bad);
    give_notes(entry, notes, bad);
    json_decref(notes);
    return RAFS_OK;
}

int rafsi_oci_list_add(const void *old, size_t old_len, const char *descriptor,
                       const char *name, char **out, size_t *len, bool *same,
                       rafs_error *err)
{
    json_t *root = NULL;
    json_t *entry = json_loads(descriptor, 0, NULL);
    json_t *items = NULL;
    char *text = NULL;
    bool bad = !entry;
    int rc = RAFS_OK;

    if (old)
        rc = rafsi_oci_load(&list_place, old, old_len, "manifests", &root, &items, err);
    else
        root = empty_list(&bad);
    items = json_object_get(root, "manifests");
    if (rc == RAFS_OK && name && name[0]) {
        take_name(items, name);
        rc = set_name(entry, name, &bad, err);
    }
    if (rc == RAFS_OK) {
        *same = !add_entry(items, entry, name && name[0] ? name : NULL, &bad);
        text = bad ? NULL : json_dumps(root, JSON_COMPACT);
        rc = text ? RAFS_OK : rafsi_fail_nomem(err, old_len);
    }
    if (rc == RAFS_OK) {
        *out = text;
        *len = strlen(text);
    }
    json_decref(entry);
    json_decref(root);
    return rc;
}
