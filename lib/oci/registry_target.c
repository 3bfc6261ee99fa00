/* SPDX-License-Identifier: Apache-2.0 */
/* A repository of a registry that is written to: what is there, and what can be taken
 * from beside it. Source: OCI distribution spec 1.1. */
#include "oci/registry_target.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { DROPPED_MAX = 1 << 20 /* bytes of an answer that nobody wants */ };

/* Registries say a word or two where nothing was asked for. */
static int drop_piece(void *user, const uint8_t *at, size_t len, rafs_error *err)
{
    (void)user;
    (void)at;
    (void)len;
    (void)err;
    return RAFS_OK;
}

void rafsi_target_request(struct registry_request *out, const char *method,
                          const char *url)
{
    memset(&out->http, 0, sizeof(out->http));
    out->said[0] = '\0';
    out->http.method = method;
    out->http.url = url;
    out->http.piece = drop_piece;
    out->http.piece_max = DROPPED_MAX;
    out->http.error_body = out->said;
    out->http.error_room = sizeof(out->said);
}

/* Source: "Error Codes" of the specification, and those of docker's registry. */
static const char *code_of(const char *said)
{
    static const char *const codes[] = {
        "BLOB_UNKNOWN",     "BLOB_UPLOAD_INVALID",   "BLOB_UPLOAD_UNKNOWN",
        "DIGEST_INVALID",   "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID",
        "MANIFEST_UNKNOWN", "NAME_INVALID",          "NAME_UNKNOWN",
        "SIZE_INVALID",     "UNAUTHORIZED",          "DENIED",
        "UNSUPPORTED",      "TOOMANYREQUESTS",       "TAG_INVALID",
        "RANGE_INVALID",    "MANIFEST_UNVERIFIED"};
    char quoted[40];

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        snprintf(quoted, sizeof(quoted), "\"%s\"", codes[i]);
        if (strstr(said, quoted))
            return codes[i];
    }
    return NULL;
}

int rafsi_target_refused(const struct oci_registry *registry,
                         const struct http_answer *answer, const char *said,
                         const char *what, rafs_error *err)
{
    bool denied = answer->status == 401 || answer->status == 403;
    const char *code = code_of(said);
    const char *why = denied                  ? "; these credentials may not write here"
                      : answer->status == 405 ? "; it does not take any"
                      : answer->status == 413 ? "; send it in smaller parts"
                      : answer->status / 100 == 3
                          ? "; a redirect like this would lose what is sent"
                          : "";

    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, denied ? EACCES : EIO,
                         NULL, "%s refuses the %s (%d%s%s)%s", registry->name, what,
                         answer->status, code ? ", " : "", code ? code : "", why);
}

int rafsi_target_url(const struct oci_registry *registry, char *out, size_t room,
                     rafs_error *err, const char *format, ...)
{
    int used = snprintf(out, room, "%s/%s/", registry->base, registry->repo);
    va_list args;

    if (used >= 0 && (size_t)used < room) {
        va_start(args, format);
        used += vsnprintf(out + used, room - (size_t)used, format, args);
        va_end(args);
    }
    return used >= 0 && (size_t)used < room
               ? RAFS_OK
               : rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_FETCH, NULL,
                            "the URL is too long");
}

/* As a reader does it, along whatever redirects there are. */
static int look(const struct registry_target *own, const char *hex, uint64_t *size,
                const rafs_call *call, rafs_error *err)
{
    struct rafsi_blob_handle handle;
    int rc = rafsi_backend_open(own->blobs, hex, call, &handle, err);

    if (rc < 0)
        return rc;
    rc = rafsi_backend_size(&handle, hex, call, size, err);
    rafsi_backend_close(&handle);
    return rc;
}

int rafsi_registry_has(rafs_target *target, const uint8_t *digest, uint64_t *size,
                       const rafs_call *call, rafs_error *err)
{
    struct registry_target *own = target->own;
    struct http_site site = rafsi_registry_site(own->registry);
    struct registry_request request;
    struct http_answer answer;
    char url[HTTP_URL_MAX];
    char hex[65];
    int rc;

    rafsi_digest_hex(digest, hex);
    rc = rafsi_target_url(own->registry, url, sizeof(url), err, "blobs/sha256:%s", hex);
    if (rc < 0)
        return rc;
    rafsi_target_request(&request, "HEAD", url);
    rc = site.ask(site.user, &request.http, call, &answer, err);
    if (rc < 0)
        return rc;
    if (answer.status == 200)
        *size = answer.total;
    else if (answer.status == 404)
        rc = rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, NULL,
                        "the registry has no such blob");
    else if (answer.status / 100 == 3 || answer.status == 405)
        rc = look(own, hex, size, call, err);
    else
        rc = rafsi_target_refused(own->registry, &answer, "", "question for a blob", err);
    rafsi_http_drop(own->registry->http, &answer);
    return rc;
}

static int not_mounted(rafs_error *err)
{
    return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, NULL,
                      "the registry does not take it from the other repository");
}

static int registry_mount(rafs_target *target, const uint8_t *digest,
                          const struct oci_reference *from, const rafs_call *call,
                          rafs_error *err)
{
    struct registry_target *own = target->own;
    struct http_site site = rafsi_registry_site(own->registry);
    rafs_error why = RAFS_ERROR_INIT;
    struct registry_request request;
    struct http_answer answer;
    char url[HTTP_URL_MAX], place[OCI_REPO_MAX * 3];
    char hex[65];
    bool away = false;
    int rc;

    rafsi_digest_hex(digest, hex);
    place[0] = '\0';
    rafsi_url_append(place, 0, sizeof(place), from->repo, "/");
    rc = rafsi_target_url(own->registry, url, sizeof(url), err,
                          "blobs/uploads/?mount=sha256:%s&from=%s", hex, place);
    if (rc < 0)
        return rc;
    rafsi_registry_writes(own->registry, from->repo);
    rafsi_target_request(&request, "POST", url);
    request.http.body = "";
    rc = rafsi_site_send(&site, &request.http, &away, call, &answer, &why);
    /* It may be the other one that must not be read. */
    if (rc == RAFS_E_BACKEND && why.os_errno == EACCES)
        return not_mounted(err);
    if (rc < 0) {
        if (err)
            *err = why;
        return rc;
    }
    if (answer.status != 201) {
        if (answer.status == 202 && answer.location)
            rafsi_registry_forget(own->registry, answer.location, away);
        rc = not_mounted(err);
    }
    rafsi_http_drop(own->registry->http, &answer);
    return rc;
}

static void registry_close(rafs_target *target)
{
    struct registry_target *own = target->own;

    rafs_backend_free(own->blobs);
    rafsi_registry_drop(own->registry);
    rafsi_free(&target->env, own);
}

static const struct oci_target_kind registry_kind = {.has = rafsi_registry_has,
                                                     .mount = registry_mount,
                                                     .begin = rafsi_registry_begin,
                                                     .part = rafsi_registry_part,
                                                     .commit = rafsi_registry_commit,
                                                     .abandon = rafsi_registry_abandon,
                                                     .put = rafsi_registry_put,
                                                     .close = registry_close};

static int take_registry_options(const rafs_registry_options *given,
                                 rafs_registry_options *out, rafs_error *err)
{
    uint32_t known =
        RAFS_REGISTRY_PLAIN_HTTP | RAFS_REGISTRY_REFERRERS | RAFS_REGISTRY_CONFIG;
    int rc = rafsi_take_struct(given, out, sizeof(*out), "rafs_registry_options", err);

    if (rc == RAFS_OK && (out->flags & ~known))
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                        "rafs_registry_options", "flags 0x%x are not known", out->flags);
    if (rc == RAFS_OK && out->mirror_count > 0)
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_registry_options",
                        "a target is one place, and has no mirrors");
    return rc;
}

int rafsi_target_registry(rafs_target *target, const rafs_target_options *options,
                          rafs_error *err)
{
    rafs_registry_options how;
    struct registry_target *own;
    int rc = take_registry_options(options->registry, &how, err);

    if (rc == RAFS_OK && !options->http)
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_target_options",
                        "http is NULL, and docker:// needs one");
    if (rc < 0)
        return rc;
    own = rafsi_alloc_zero(&target->env, sizeof(*own));
    if (!own)
        return rafsi_fail_nomem(err, sizeof(*own));
    rc = rafsi_registry_new(options->http, &target->where.reference, &how, &own->registry,
                            err);
    if (rc == RAFS_OK) {
        snprintf(target->name, sizeof(target->name), "%.255s", own->registry->name);
        rafsi_registry_writes(own->registry, NULL);
        rc = rafsi_registry_backend(own->registry, &own->blobs, err);
    }
    if (rc < 0) {
        if (own->registry)
            rafsi_registry_disown(own->registry);
        rafsi_registry_drop(own->registry);
        rafsi_free(&target->env, own);
        return rc;
    }
    target->own = own;
    target->kind = &registry_kind;
    return RAFS_OK;
}
