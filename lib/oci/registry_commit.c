/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a blob's way to a registry: it appears under its digest, or is given up. */
#include <stdio.h>
#include <string.h>

#include "oci/registry_target.h"

enum {
    COMMIT_PATIENCE_MS = 300000, /* it may have gigabytes to hash, or to move */
    FORGET_MS = 2000
};

/* Where it ends: the upload's URL with the digest. */
static int end_url(const rafs_upload *upload, const uint8_t *digest, char *out,
                   size_t room, rafs_error *err)
{
    const struct registry_upload *own = upload->own;
    char hex[65];

    rafsi_digest_hex(digest, hex);
    if ((size_t)snprintf(out, room, "%s%cdigest=sha256%%3A%s", own->url,
                         strchr(own->url, '?') ? '&' : '?', hex) < room)
        return RAFS_OK;
    return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                      "the registry's URL for the upload is too long");
}

/* What the registry says that it keeps is what it was sent, where it says so. */
static int check_named(const char *named, const uint8_t *digest, rafs_error *err)
{
    static const char kind[] = "sha256:";
    char hex[65];

    rafsi_digest_hex(digest, hex);
    if (!named || strncmp(named, kind, sizeof(kind) - 1) != 0 ||
        strcmp(named + sizeof(kind) - 1, hex) == 0)
        return RAFS_OK;
    return rafsi_fail(
        err, RAFS_E_CORRUPT, RAFS_STAGE_FETCH, NULL,
        "sha256:%.12s… was sent, and the registry says that it keeps %.20s…", hex, named);
}

/* The last request, once: with what is in the buffer, all of the blob or nothing. */
static int put(rafs_upload *upload, const uint8_t *digest, enum http_verdict *verdict,
               uint64_t *retry_ms, const rafs_call *call, rafs_error *err)
{
    struct oci_registry *registry = rafsi_upload_registry(upload);
    struct http_progress progress = {0};
    struct registry_request request;
    struct http_answer answer;
    rafs_call patient = rafsi_http_bound(registry->http, call);
    char url[HTTP_URL_MAX + 100];
    bool away;
    int rc = end_url(upload, digest, url, sizeof(url), err);

    *verdict = HTTP_FINAL;
    if (rc < 0)
        return rc;
    /* Without a deadline: as long as the registry may be silent, and no less than others.
     */
    if (!call || call->deadline_ns == 0)
        patient.deadline_ns +=
            (uint64_t)COMMIT_PATIENCE_MS * 1000000 + upload->fill * 2000ull;
    rafsi_target_request(&request, "PUT", url);
    request.http.headers[request.http.header_count++] =
        "Content-Type: application/octet-stream";
    request.http.body = upload->buffer;
    request.http.body_len = upload->fill;
    request.http.patience_ms = COMMIT_PATIENCE_MS;
    request.http.once = true;
    request.http.progress = &progress;
    rc = rafsi_upload_ask(upload, &request, &away, &patient, &answer, err);
    *retry_ms = progress.retry_ms;
    if (rc == RAFS_E_TIMEOUT && (!call || call->deadline_ns == 0))
        rc = RAFS_E_BACKEND; /* the deadline was ours */
    if (rc < 0) {
        *verdict = progress.verdict;
        return rc;
    }
    if (answer.status / 100 != 2) {
        rc = rafsi_target_refused(registry, &answer, request.said, "blob", err);
        if (strstr(request.said, "\"DIGEST_INVALID\"") && err)
            err->code = rc = RAFS_E_CORRUPT;
        if (answer.status == 404)
            *verdict = HTTP_SOON; /* it may be there: an answer was lost */
    } else {
        rc = check_named(answer.digest, digest, err);
    }
    rafsi_http_drop(registry->http, &answer);
    return rc;
}

static bool is_there(rafs_upload *upload, const uint8_t *digest, const rafs_call *call)
{
    uint64_t size = UINT64_MAX;

    return rafsi_registry_has(upload->target, digest, &size, call, NULL) == RAFS_OK &&
           (size == UINT64_MAX || size == upload->size);
}

/* The blob, or its end, until the registry has it. */
static int end_upload(rafs_upload *upload, const uint8_t *digest, const rafs_call *call,
                      rafs_error *err)
{
    struct registry_upload *own = upload->own;
    bool whole = own->sent == 0;
    rafs_error local = RAFS_ERROR_INIT;
    struct tries tries;
    int rc;

    rafsi_upload_tries(upload, call, &tries);
    for (;;) {
        enum http_verdict verdict = HTTP_FINAL;
        uint64_t retry_ms = 0;

        rc = whole && !own->url ? rafsi_upload_session(upload, call, &local) : RAFS_OK;
        if (rc < 0)
            break;
        rc = put(upload, digest, &verdict, &retry_ms, call, &local);
        if (rc == RAFS_OK || verdict == HTTP_FINAL)
            break;
        rc = rafsi_upload_wait(upload, &tries, rc, verdict, retry_ms, call, &local);
        if (rc < 0)
            break;
        if (is_there(upload, digest, call))
            break;
        if (whole) { /* what became of the session does not matter */
            rafsi_free(&upload->target->env, own->url);
            own->url = NULL;
        }
    }
    if (rc < 0 && err)
        *err = local;
    return rc;
}

int rafsi_registry_commit(rafs_upload *upload, const uint8_t *digest,
                          const rafs_call *call, rafs_error *err)
{
    struct registry_upload *own = upload->own;
    int rc = RAFS_OK;

    if (!own->url && is_there(upload, digest, call))
        return RAFS_OK;
    if (own->sent > 0)
        rc = rafsi_upload_send(upload, call, err);
    if (rc == RAFS_OK)
        rc = end_upload(upload, digest, call, err);
    if (rc == RAFS_OK) { /* nothing to be told to forget */
        rafsi_free(&upload->target->env, own->url);
        own->url = NULL;
    }
    return rc;
}

void rafsi_registry_forget(struct oci_registry *registry, const char *url, bool away)
{
    struct http_site site = rafsi_registry_site(registry);
    rafs_call call = RAFS_CALL_INIT;
    struct registry_request request;
    struct http_answer answer;
    char home[300], origin[300];

    if (rafsi_url_origin(registry->base, home, sizeof(home), NULL) < 0 ||
        rafsi_site_may_send(registry->base, url, origin, sizeof(origin), NULL) < 0)
        return;
    away = away || strcmp(home, origin) != 0;
    call.deadline_ns = rafsi_now_ns(&registry->env) + (uint64_t)FORGET_MS * 1000000;
    rafsi_target_request(&request, "DELETE", url);
    request.http.once = true;
    if (rafsi_site_send(&site, &request.http, &away, &call, &answer, NULL) == RAFS_OK)
        rafsi_http_drop(registry->http, &answer);
}

void rafsi_registry_abandon(rafs_upload *upload)
{
    struct registry_upload *own = upload->own;

    if (own->url)
        rafsi_registry_forget(rafsi_upload_registry(upload), own->url, own->away);
    rafsi_free(&upload->target->env, own->url);
    rafsi_free(&upload->target->env, own);
}
