/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests into a registry, and the list of what hangs on a manifest.
 *
 * A registry that keeps such lists says so by OCI-Subject. Where it does not, the list is
 * an index with the tag sha256-HEX that clients write. Two of them may do so at once and
 * know nothing of each other: so the list is read again after it was written, and who
 * misses his entry adds it again. Source: OCI distribution spec 1.1, "Pushing manifests
 * with subject".
 */
#include <stdio.h>
#include <stdlib.h>

#include "oci/registry_target.h"

enum { LIST_TRIES = 8 };

/* PUT a document under a tag or a digest. *listed: the registry keeps lists of referrers.
 */
static int put_document(struct oci_registry *registry, const struct oci_put *put,
                        const char *name, bool *listed, const rafs_call *call,
                        rafs_error *err)
{
    struct http_site site = rafsi_registry_site(registry);
    struct registry_request request;
    struct http_answer answer;
    char url[HTTP_URL_MAX];
    char type[OCI_MEDIA_MAX + 32];
    char digest[OCI_DIGEST_TEXT];
    bool away = false;
    int rc = rafsi_target_url(registry, url, sizeof(url), err, "manifests/%s", name);

    if (rc < 0)
        return rc;
    snprintf(type, sizeof(type), "Content-Type: %s", put->media_type);
    rafsi_target_request(&request, "PUT", url);
    request.http.headers[request.http.header_count++] = type;
    request.http.body = put->data;
    request.http.body_len = put->len;
    rc = rafsi_site_send(&site, &request.http, &away, call, &answer, err);
    if (rc < 0)
        return rc;
    rafsi_oci_digest_text(put->digest, digest);
    if (answer.status / 100 != 2)
        rc = rafsi_target_refused(registry, &answer, request.said, "manifest", err);
    else if (answer.digest && strncmp(answer.digest, "sha256:", 7) == 0 &&
             strcmp(answer.digest, digest) != 0)
        rc = rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_VERIFY, NULL,
                        "the registry stored another manifest than %s", digest);
    if (listed)
        *listed = answer.subject != NULL;
    rafsi_http_drop(registry->http, &answer);
    return rc;
}

/* The list as it is; *list NULL: there is none. Given to rafsi_free(). */
static int get_list(rafs_target *target, const char *tag, uint8_t **list, size_t *len,
                    const rafs_call *call, rafs_error *err)
{
    struct registry_target *own = target->own;
    struct oci_store store = rafsi_registry_store(own->registry);
    struct oci_wanted wanted = {OCI_GET_MANIFEST, NULL, tag, OCI_JSON_MAX};
    int rc = store.get(store.user, &wanted, &target->env, call, list, len, err);

    if (rc == RAFS_E_NOENT) {
        *list = NULL;
        *len = 0;
        rc = RAFS_OK;
    }
    return rc;
}

static int put_list(rafs_target *target, const char *tag, const char *text, size_t len,
                    const rafs_call *call, rafs_error *err)
{
    struct registry_target *own = target->own;
    struct oci_put put = {.data = text,
                          .len = len,
                          .media_type = "application/vnd.oci.image.index.v1+json"};
    int rc =
        len > OCI_JSON_MAX
            ? rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_FETCH, tag,
                         "the list of what hangs on the image is full")
            : rafsi_hash_bytes(target->hashes, RAFSI_SHA256, text, len, put.digest, err);

    return rc < 0 ? rc : put_document(own->registry, &put, tag, NULL, call, err);
}

/* One look at the list, and if the entry is not in it one that has it. */
static int add_once(rafs_target *target, const struct oci_put *put, const char *tag,
                    bool *there, const rafs_call *call, rafs_error *err)
{
    uint8_t *list = NULL;
    char *text = NULL;
    size_t list_len = 0, len = 0;
    int rc = get_list(target, tag, &list, &list_len, call, err);

    if (rc == RAFS_OK)
        rc = rafsi_oci_list_add(list, list_len, put->descriptor, NULL, &text, &len, there,
                                err);
    if (rc == RAFS_OK && !*there)
        rc = put_list(target, tag, text, len, call, err);
    free(text);
    rafsi_free(&target->env, list);
    return rc;
}

static int add_referrer(rafs_target *target, const struct oci_put *put,
                        const rafs_call *call, rafs_error *err)
{
    struct registry_target *own = target->own;
    rafs_call bounded = rafsi_http_bound(own->registry->http, call);
    char tag[OCI_DIGEST_TEXT];

    rafsi_oci_digest_text(put->subject, tag);
    tag[6] = '-'; /* sha256-HEX */
    for (unsigned i = 0; i < LIST_TRIES; i++) {
        bool there = false;
        int rc = add_once(target, put, tag, &there, call, err);

        if (rc < 0 || there)
            return rafsi_fail_object(err, rc, "%s:%s", target->name, tag);
        /* Others may be at it: not in step with them. */
        if (i > 0)
            rc = rafsi_http_pause(own->registry->http, i, 0, &bounded, err);
        if (rc < 0)
            return rc;
    }
    return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, tag,
                      "others write the list of what hangs on the image all the time, or "
                      "the registry does not keep it");
}

int rafsi_registry_put(rafs_target *target, const struct oci_put *put,
                       const rafs_call *call, rafs_error *err)
{
    struct registry_target *own = target->own;
    char digest[OCI_DIGEST_TEXT];
    bool listed = false;
    int rc;

    rafsi_oci_digest_text(put->digest, digest);
    rc = put_document(own->registry, put, put->tag && put->tag[0] ? put->tag : digest,
                      &listed, call, err);
    if (rc == RAFS_OK && put->has_subject && !listed)
        rc = add_referrer(target, put, call, err);
    return rc;
}
