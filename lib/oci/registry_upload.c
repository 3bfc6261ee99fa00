/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blob on its way to a registry.
 *
 *     POST  blobs/uploads/          begins; Location says where parts go
 *     PATCH LOCATION                a part, Content-Range: FIRST-LAST
 *     PUT   LOCATION?digest=…       ends; with the whole blob where it fits into one part
 *
 * A part stays in memory until the registry has all of it, so that what broke off goes
 * on: GET LOCATION says in Range how far it came. What registries do otherwise: a Range
 * of "0-0" may mean that nothing came (docker's); after a part it may be that of an
 * earlier one (Amazon's), so only one that ends within the part counts as an answer to
 * it; more than 4 MiB in a part are refused (GitHub's). Source: OCI distribution
 * spec 1.1, "Pushing a blob in chunks".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "oci/registry_target.h"

enum {
    SOON_MAX = 3 /* tries of what is hardly going to get better */
};

int rafsi_registry_begin(rafs_upload *upload, const rafs_call *call, rafs_error *err)
{
    (void)call;
    upload->own = rafsi_alloc_zero(&upload->target->env, sizeof(struct registry_upload));
    return upload->own ? RAFS_OK : rafsi_fail_nomem(err, sizeof(struct registry_upload));
}

struct oci_registry *rafsi_upload_registry(const rafs_upload *upload)
{
    const struct registry_target *own = upload->target->own;

    return own->registry;
}

/* Where the next request goes, if the answer says so. */
static int move(rafs_upload *upload, struct http_answer *answer, bool answered_away,
                rafs_error *err)
{
    struct registry_upload *own = upload->own;
    const struct oci_registry *registry = rafsi_upload_registry(upload);
    char home[300], origin[300];
    int rc;

    if (!answer->location)
        return RAFS_OK;
    rc = rafsi_url_origin(registry->base, home, sizeof(home), err);
    if (rc == RAFS_OK)
        rc = rafsi_site_may_send(own->url ? own->url : registry->base, answer->location,
                                 origin, sizeof(origin), err);
    if (rc < 0)
        return rc;
    /* Who once was sent away is never trusted with credentials again. */
    own->away = own->away || answered_away || strcmp(home, origin) != 0;
    rafsi_free(&upload->target->env, own->url);
    own->url = answer->location;
    answer->location = NULL;
    return RAFS_OK;
}

int rafsi_upload_ask(rafs_upload *upload, struct registry_request *request, bool *away,
                     const rafs_call *call, struct http_answer *answer, rafs_error *err)
{
    struct registry_upload *own = upload->own;
    struct http_site site = rafsi_registry_site(rafsi_upload_registry(upload));

    *away = own->away;
    return rafsi_site_send(&site, &request->http, away, call, answer, err);
}

/* A registry that wants larger parts gets them. */
static int grow(rafs_upload *upload, const struct http_answer *answer, rafs_error *err)
{
    const struct rafsi_env *env = &upload->target->env;
    unsigned long long least =
        answer->chunk_min ? strtoull(answer->chunk_min, NULL, 10) : 0;
    uint8_t *more;

    if (least <= upload->room)
        return RAFS_OK;
    if (least > TARGET_PART_MAX)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_FETCH, NULL,
                          "the registry wants parts of %llu bytes at least; at most %d "
                          "are sent",
                          least, TARGET_PART_MAX);
    more = rafsi_alloc(env, (size_t)least);
    if (!more)
        return rafsi_fail_nomem(err, (size_t)least);
    memcpy(more, upload->buffer, upload->fill);
    rafsi_free(env, upload->buffer);
    upload->buffer = more;
    upload->room = (size_t)least;
    return RAFS_OK;
}

int rafsi_upload_session(rafs_upload *upload, const rafs_call *call, rafs_error *err)
{
    struct registry_upload *own = upload->own;
    struct oci_registry *registry = rafsi_upload_registry(upload);
    struct registry_request request;
    struct http_answer answer;
    char url[HTTP_URL_MAX];
    bool away;
    int rc = rafsi_target_url(registry, url, sizeof(url), err, "blobs/uploads/");

    if (rc < 0)
        return rc;
    rafsi_free(&upload->target->env, own->url);
    own->url = NULL;
    own->away = false;
    own->at = 0;
    rafsi_target_request(&request, "POST", url);
    request.http.body = "";
    rc = rafsi_upload_ask(upload, &request, &away, call, &answer, err);
    if (rc < 0)
        return rc;
    if (answer.status / 100 != 2)
        rc = rafsi_target_refused(registry, &answer, request.said, "upload", err);
    else if (!answer.location)
        rc = rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, EPROTO, NULL,
                           "the registry begins an upload and does not say where "
                           "(no usable Location)");
    else
        rc = move(upload, &answer, away, err);
    if (rc == RAFS_OK)
        rc = grow(upload, &answer, err);
    rafsi_http_drop(registry->http, &answer);
    return rc;
}

/* "0-LAST", or "bytes=0-LAST" as some have it: how many bytes that are. */
static bool range_end(const char *text, uint64_t *out)
{
    char *end = NULL;

    if (!text)
        return false;
    if (strncmp(text, "bytes=", 6) == 0 || strncmp(text, "bytes ", 6) == 0)
        text += 6;
    if (strncmp(text, "0-", 2) != 0 || text[2] < '0' || text[2] > '9')
        return false;
    errno = 0;
    *out = strtoull(text + 2, &end, 10);
    if (errno != 0 || *end != '\0' || *out == UINT64_MAX)
        return false;
    *out += *out > 0; /* "0-0": nothing came */
    return true;
}

/* So much of the blob is there; believed if it is possible. */
static int acknowledge(rafs_upload *upload, uint64_t have, rafs_error *err)
{
    struct registry_upload *own = upload->own;

    if (have < own->sent)
        return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, EPROTO, NULL,
                             "the registry lost what it had of the upload: %llu of %llu "
                             "bytes are left; begin anew",
                             (unsigned long long)have, (unsigned long long)own->sent);
    if (have > own->sent + upload->fill)
        return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, EPROTO, NULL,
                             "the registry has %llu bytes of the upload, where %llu "
                             "were sent",
                             (unsigned long long)have,
                             (unsigned long long)(own->sent + upload->fill));
    own->at = (size_t)(have - own->sent);
    return RAFS_OK;
}

/* Ask how far the upload came. One that is not known any more begins anew as long as all
 * of it is in memory. */
static int ask_status(rafs_upload *upload, const rafs_call *call, rafs_error *err)
{
    struct registry_upload *own = upload->own;
    struct oci_registry *registry = rafsi_upload_registry(upload);
    struct registry_request request;
    struct http_answer answer;
    uint64_t have = 0;
    bool away;
    int rc;

    rafsi_target_request(&request, "GET", own->url);
    rc = rafsi_upload_ask(upload, &request, &away, call, &answer, err);
    if (rc < 0)
        return rc;
    if (answer.status == 404 && own->sent == 0) {
        rafsi_http_drop(registry->http, &answer);
        return rafsi_upload_session(upload, call, err);
    }
    if (answer.status / 100 != 2)
        rc = rafsi_target_refused(registry, &answer, request.said,
                                  "question how far the upload came", err);
    else if (range_end(answer.range, &have))
        rc = acknowledge(upload, have, err);
    else /* nothing, where a registry says nothing of a Range */
        rc = acknowledge(upload, own->sent, err);
    if (rc == RAFS_OK)
        rc = move(upload, &answer, away, err);
    rafsi_http_drop(registry->http, &answer);
    return rc;
}

/* The rest of the buffer, once. *verdict: whether another try may help. */
static int patch(rafs_upload *upload, enum http_verdict *verdict, uint64_t *retry_ms,
                 const rafs_call *call, rafs_error *err)
{
    struct registry_upload *own = upload->own;
    struct oci_registry *registry = rafsi_upload_registry(upload);
    struct http_progress progress = {0};
    struct registry_request request;
    struct http_answer answer;
    uint64_t first = own->sent + own->at, have;
    size_t len = upload->fill - own->at;
    char range[80];
    bool away;
    int rc;

    snprintf(range, sizeof(range), "Content-Range: %llu-%llu", (unsigned long long)first,
             (unsigned long long)(first + len - 1));
    rafsi_target_request(&request, "PATCH", own->url);
    request.http.headers[request.http.header_count++] =
        "Content-Type: application/octet-stream";
    request.http.headers[request.http.header_count++] = range;
    request.http.body = upload->buffer + own->at;
    request.http.body_len = len;
    request.http.once = true;
    request.http.progress = &progress;
    rc = rafsi_upload_ask(upload, &request, &away, call, &answer, err);
    *verdict = rc < 0 ? progress.verdict : HTTP_FINAL;
    *retry_ms = progress.retry_ms;
    if (rc < 0)
        return rc;
    if (answer.status / 100 == 2) {
        rc = move(upload, &answer, away, err);
        if (range_end(answer.range, &have) && have > first && have < first + len)
            own->at += (size_t)(have - first);
        else
            own->at = upload->fill;
    } else {
        rc = rafsi_target_refused(registry, &answer, request.said, "part of a blob", err);
        /* It may stand elsewhere than we think, or have forgotten it. */
        if (answer.status == 416 || (answer.status == 404 && own->sent == 0))
            *verdict = HTTP_SOON;
    }
    rafsi_http_drop(registry->http, &answer);
    return rc;
}

void rafsi_upload_tries(rafs_upload *upload, const rafs_call *call, struct tries *tries)
{
    *tries = (struct tries){.own_deadline = !call || call->deadline_ns == 0};
    tries->bounded = rafsi_http_bound(rafsi_upload_registry(upload)->http, call);
}

/* After a failure: wait, or say that it is over. err keeps what went wrong. */
int rafsi_upload_wait(rafs_upload *upload, struct tries *tries, int rc,
                      enum http_verdict verdict, uint64_t retry_ms, const rafs_call *call,
                      rafs_error *err)
{
    rafs_http *http = rafsi_upload_registry(upload)->http;
    rafs_error why = RAFS_ERROR_INIT;
    int paused;

    tries->idle++;
    tries->soon += verdict == HTTP_SOON;
    if (rc != RAFS_E_BACKEND || (verdict != HTTP_AGAIN && verdict != HTTP_SOON) ||
        tries->soon == SOON_MAX)
        return rc;
    paused = rafsi_http_pause(http, tries->idle, retry_ms, &tries->bounded, &why);
    if (paused == RAFS_E_TIMEOUT && tries->own_deadline)
        return rc;
    if (paused == RAFS_E_TIMEOUT && err) {
        err->code = RAFS_E_TIMEOUT;
        err->os_errno = ETIMEDOUT;
    } else if (paused < 0 && err) {
        *err = why;
    }
    if (paused == RAFS_OK) {
        rafs_call_count(call, RAFS_EVENT_RETRY, 1);
        rafsi_log(&upload->target->env, RAFS_LOG_INFO, "trying again: %s",
                  err ? err->text : "an upload broke off");
    }
    return paused;
}

/* All of the buffer, however often it takes. */
int rafsi_upload_send(rafs_upload *upload, const rafs_call *call, rafs_error *err)
{
    struct registry_upload *own = upload->own;
    rafs_error local = RAFS_ERROR_INIT;
    struct tries tries;

    rafsi_upload_tries(upload, call, &tries);
    while (own->at < upload->fill) {
        enum http_verdict verdict;
        uint64_t retry_ms = 0;
        size_t before = own->at;
        int rc = patch(upload, &verdict, &retry_ms, call, &local);

        if (rc < 0)
            rc = rafsi_upload_wait(upload, &tries, rc, verdict, retry_ms, call, &local);
        if (rc == RAFS_OK && own->at < upload->fill && own->at == before)
            rc = ask_status(upload, call, &local);
        if (rc < 0) {
            if (err)
                *err = local;
            return rc;
        }
        if (own->at > before)
            rafsi_upload_tries(upload, call, &tries);
    }
    own->sent += upload->fill;
    own->at = 0;
    upload->fill = 0;
    return RAFS_OK;
}

int rafsi_registry_part(rafs_upload *upload, const rafs_call *call, rafs_error *err)
{
    struct registry_upload *own = upload->own;

    if (!own->url) {
        int rc = rafsi_upload_session(upload, call, err);

        if (rc < 0 || upload->fill < upload->room)
            return rc;
    }
    return rafsi_upload_send(upload, call, err);
}
