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
                        const uint8_t *digest)
{
    const json_t *artifact = json_object_get(root, "artifactType");
    json_t *notes = json_object_get(root, "annotations");
    char text[OCI_DIGEST_TEXT];
    json_t *made = json_object();

    rafsi_oci_digest_text(digest, text);
    json_object_set_new(made, "mediaType", json_string(media_type));
    json_object_set_new(made, "digest", json_string(text));
    json_object_set_new(made, "size", json_integer((json_int_t)len));
    if (!json_object_get(root, "subject"))
        return made;
    if (!json_is_string(artifact) || json_string_length(artifact) == 0)
        artifact = json_object_get(json_object_get(root, "config"), "mediaType");
    if (json_is_string(artifact))
        json_object_set_new(made, "artifactType",
                            json_string(json_string_value(artifact)));
    if (json_is_object(notes) && json_object_size(notes) > 0)
        json_object_set(made, "annotations", notes);
    return made;
}

int rafsi_oci_facts(const void *data, size_t len, const char *media_type,
                    const uint8_t *digest, struct oci_facts *out, rafs_error *err)
{
    struct oci_facts facts = {.has_subject = false};
    json_t *root = NULL;
    json_t *made = NULL;
    int rc = rafsi_json_load(&put_place, data, len, &root, err);

    if (rc == RAFS_OK)
        rc = type_of(root, media_type, facts.media_type, err);
    if (rc == RAFS_OK)
        rc = take_subject(root, &facts, err);
    if (rc == RAFS_OK) {
        made = describe(root, len, facts.media_type, digest);
        facts.descriptor = json_dumps(made, JSON_COMPACT);
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

static void give_notes(json_t *entry, json_t *more)
{
    json_t *notes = json_object_get(entry, "annotations");

    if (json_is_object(notes))
        json_object_update(notes, more);
    else
        json_object_set(entry, "annotations", more);
}

/* Put the entry in, unless one like it is there. */
static bool add_entry(json_t *items, json_t *entry, const char *name)
{
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *one = json_array_get(items, i);

        if (strcmp(digest_of(one), digest_of(entry)) != 0)
            continue;
        if (!name)
            return false;
        /* The same image, which lost this name a moment ago or never had one. */
        if (is_nameless(one)) {
            give_notes(one, json_object_get(entry, "annotations"));
            return true;
        }
    }
    json_array_append(items, entry);
    return true;
}

static json_t *empty_list(void)
{
    json_t *root = json_object();

    json_object_set_new(root, "schemaVersion", json_integer(2));
    json_object_set_new(root, "mediaType", json_string(INDEX_TYPE));
    json_object_set_new(root, "manifests", json_array());
    return root;
}

int rafsi_oci_list_add(const void *old, size_t old_len, const char *descriptor,
                       const char *name, char **out, size_t *len, bool *same,
                       rafs_error *err)
{
    json_t *root = NULL;
    json_t *entry = json_loads(descriptor, 0, NULL);
    json_t *items = NULL;
    char *text = NULL;
    int rc = RAFS_OK;

    if (!old)
        root = empty_list();
    else
        rc = rafsi_oci_load(&list_place, old, old_len, "manifests", &root, &items, err);
    if (rc == RAFS_OK && !items)
        items = json_object_get(root, "manifests");
    if (rc == RAFS_OK && (!items || !entry))
        rc = rafsi_fail_nomem(err, old_len);
    if (rc < 0)
        goto out;
    if (name && name[0]) {
        json_t *notes = json_object_get(entry, "annotations");

        take_name(items, name);
        if (!notes && json_object_set_new(entry, "annotations", json_object()) == 0)
            notes = json_object_get(entry, "annotations");
        json_object_set_new(notes, REF_NAME, json_string(name));
    }
    *same = !add_entry(items, entry, name && name[0] ? name : NULL);
    text = json_dumps(root, JSON_COMPACT);
    if (!text) {
        rc = rafsi_fail_nomem(err, old_len);
        goto out;
    }
    *out = text;
    *len = strlen(text);
out:
    json_decref(entry);
    json_decref(root);
    return rc;
}
