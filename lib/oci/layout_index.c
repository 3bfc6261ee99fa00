/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.json of a layout: an index whose entries are images, named by an annotation.
 *
 * skopeo, buildah and docker put a tag into org.opencontainers.image.ref.name; docker and
 * ctr also write the whole name into io.containerd.image.name, since an archive of theirs
 * may hold two images of one tag. Source: OCI image layout 1.1; containerd.
 */
#include <stdio.h>

#include "oci/json.h"
#include "oci/layout.h"

#define REF_NAME "org.opencontainers.image.ref.name"
#define FULL_NAME "io.containerd.image.name"

static const struct json_place index_place = {"index.json", RAFS_E_CORRUPT,
                                              RAFS_STAGE_OPEN, OCI_JSON_MAX};
static const struct json_place layout_place = {"oci-layout", RAFS_E_CORRUPT,
                                               RAFS_STAGE_OPEN, 4096};

int rafsi_layout_version(const void *json, size_t len, rafs_error *err)
{
    json_t *root = NULL;
    const char *version = NULL;
    int rc = rafsi_json_load(&layout_place, json, len, &root, err);

    if (rc == RAFS_OK)
        rc = rafsi_json_text(&layout_place, root, "imageLayoutVersion", &version, err);
    if (rc == RAFS_OK && !version)
        rc = rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, "oci-layout",
                        "names no imageLayoutVersion");
    if (rc == RAFS_OK && strncmp(version, "1.", 2) != 0)
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, "oci-layout",
                        "is of a version other than 1");
    json_decref(root);
    return rc;
}

static const char *annotation(const json_t *entry, const char *key)
{
    return json_string_value(json_object_get(json_object_get(entry, "annotations"), key));
}

bool rafsi_layout_is_list(const char *name)
{
    return strncmp(name, "sha256-", 7) == 0 && strlen(name) == 7 + 64 &&
           strspn(name + 7, "0123456789abcdef") == 64;
}

/* Signatures, attestations, lists of them and the like are no images. */
static bool may_be_image(const json_t *entry)
{
    const char *type = json_string_value(json_object_get(entry, "mediaType"));
    const char *artifact = json_string_value(json_object_get(entry, "artifactType"));
    const char *name = annotation(entry, REF_NAME);

    if (name && rafsi_layout_is_list(name))
        return false;
    return (!type || type[0] == '\0' || rafsi_oci_media_kind(type) != 0) &&
           (!artifact || artifact[0] == '\0' ||
            strcmp(artifact, OCI_NYDUS_ARTIFACT) == 0);
}

static bool is_named(const json_t *entry, const char *tag)
{
    const char *name = annotation(entry, REF_NAME);
    const char *full = annotation(entry, FULL_NAME);

    return (name && strcmp(name, tag) == 0) || (full && strcmp(full, tag) == 0);
}

/* What to call an entry in an error: its name, else its digest. */
static const char *name_of(const json_t *entry)
{
    const char *name = annotation(entry, FULL_NAME);

    if (!name)
        name = annotation(entry, REF_NAME);
    if (!name)
        name = json_string_value(json_object_get(entry, "digest"));
    return name ? name : "?";
}

/* "v1, v2, sha256:…" of those that fit. */
static void list_names(const json_t *items, char *out, size_t room)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *entry = json_array_get(items, i);
        const char *name = name_of(entry);

        if (!may_be_image(entry))
            continue;
        if (len + 2 + strlen(name) + sizeof(" …") > room) {
            memcpy(out + len, " …", sizeof(" …"));
            return;
        }
        len += (size_t)snprintf(out + len, room - len, "%s%s", len ? ", " : "", name);
    }
}

static int not_one(const json_t *items, size_t found, const char *tag, rafs_error *err)
{
    char there[160];
    const char *why = found == 0 ? tag ? "no image of this name" : "no image at all"
                      : tag      ? "more than one image of this name; choose one by "
                                   "@sha256:HEX"
                                 : "more than one image; choose one by its name or "
                                   "@sha256:HEX";

    list_names(items, there, sizeof(there));
    return rafsi_fail(err, found ? RAFS_E_BADARG : RAFS_E_NOENT, RAFS_STAGE_OPEN,
                      "index.json", "%s%s%s", why, there[0] ? "; there are: " : "",
                      there);
}

int rafsi_layout_pick(const void *json, size_t len, const char *tag,
                      uint8_t out[OCI_DIGEST_BYTES], rafs_error *err)
{
    struct oci_descriptor one, chosen;
    json_t *root = NULL;
    json_t *items = NULL;
    size_t found = 0;
    int rc = rafsi_oci_load(&index_place, json, len, "manifests", &root, &items, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == RAFS_OK && i < json_array_size(items); i++) {
        const json_t *entry = json_array_get(items, i);

        if (tag ? !is_named(entry, tag) : !may_be_image(entry))
            continue;
        rc = rafsi_oci_descriptor(&index_place, entry, &one, err);
        /* The same image twice is one image. */
        if (rc == RAFS_OK &&
            (found == 0 || memcmp(one.digest, chosen.digest, sizeof(one.digest)) != 0)) {
            chosen = one;
            found++;
        }
    }
    if (rc == RAFS_OK && found != 1)
        rc = not_one(items, found, tag, err);
    if (rc == RAFS_OK)
        memcpy(out, chosen.digest, OCI_DIGEST_BYTES);
    json_decref(root);
    return rc;
}
