/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs below a plain URL. */
#include <curl/curl.h>

#include "backend/http_blob.h"

struct plain {
    struct rafsi_env env;
    rafs_http *http;
    char *base;          /* without user and password, without a '/' at its end */
    char *authorization; /* NULL: none */
};

static void plain_release(void *user)
{
    struct plain *plain = user;
    struct rafsi_env env = plain->env;

    rafsi_free(&env, plain->base);
    rafsi_free(&env, plain->authorization);
    rafsi_free(&env, plain);
}

size_t rafsi_url_append(char *out, size_t used, size_t room, const char *text,
                        const char *keep)
{
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                               "0123456789-_.~";

    for (const char *at = text; *at && used < room; at++)
        used += (size_t)(strchr(safe, *at) || strchr(keep, *at)
                             ? snprintf(out + used, room - used, "%c", *at)
                             : snprintf(out + used, room - used, "%%%02X",
                                        (unsigned)(unsigned char)*at));
    return used < room ? used : room;
}

int rafsi_url_of_blob(const char *base, const char *joint, const char *blob_id, char *out,
                      size_t room, rafs_error *err)
{
    size_t used = (size_t)snprintf(out, room, "%s%s", base, joint);

    if (strcmp(blob_id, ".") == 0 || strcmp(blob_id, "..") == 0)
        return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, NULL,
                          "a blob of this name cannot be asked for");
    if (used >= room || rafsi_url_append(out, used, room, blob_id, "") == room)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_FETCH, NULL,
                          "the URL is longer than %d bytes", HTTP_URL_MAX);
    return RAFS_OK;
}

static int plain_url(void *user, const char *blob_id, char *out, size_t room,
                     rafs_error *err)
{
    const struct plain *plain = user;

    return rafsi_url_of_blob(plain->base, "/", blob_id, out, room, err);
}

static int plain_ask(void *user, struct http_request *request, const rafs_call *call,
                     struct http_answer *answer, rafs_error *err)
{
    const struct plain *plain = user;
    size_t before = request->header_count;
    int rc;

    if (plain->authorization)
        request->headers[request->header_count++] = plain->authorization;
    rc = rafsi_http_do(plain->http, request, call, answer, err);
    request->header_count = before;
    return rc;
}

static const char *const digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int rafsi_http_basic(const struct rafsi_env *env, const char *user, const char *password,
                     char **out, rafs_error *err)
{
    static const char prefix[] = "Authorization: Basic ";
    size_t user_len = strlen(user);
    size_t len = user_len + 1 + strlen(password);
    size_t room = sizeof(prefix) + (len + 2) / 3 * 4;
    uint8_t *plain = rafsi_alloc(env, len + 3);
    char *text = rafsi_alloc(env, room);
    char *to = text;

    if (!plain || !text) {
        rafsi_free(env, plain);
        rafsi_free(env, text);
        return rafsi_fail_nomem(err, room);
    }
    memset(plain, 0, len + 3);
    memcpy(plain, user, user_len);
    plain[user_len] = ':';
    memcpy(plain + user_len + 1, password, len - user_len - 1);
    memcpy(to, prefix, sizeof(prefix) - 1);
    to += sizeof(prefix) - 1;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits =
            (uint32_t)plain[i] << 16 | (uint32_t)plain[i + 1] << 8 | plain[i + 2];

        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = i + 1 < len ? digits[bits >> 6 & 63] : '=';
        *to++ = i + 2 < len ? digits[bits & 63] : '=';
    }
    *to = '\0';
    rafsi_free(env, plain);
    *out = text;
    return RAFS_OK;
}

static int copy_part(const struct rafsi_env *env, CURLU *url, CURLUPart part,
                     unsigned flags, char **out, rafs_error *err)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(url, part, &text, flags);
    int rc = RAFS_OK;

    if (code == CURLUE_OK) {
        *out = rafsi_strdup(env, text);
        if (!*out)
            rc = rafsi_fail_nomem(err, strlen(text));
    } else if (code != CURLUE_NO_USER && code != CURLUE_NO_PASSWORD) {
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "base",
                        "is not a usable URL");
    }
    curl_free(text);
    return rc;
}

/* Take user and password out of the URL, so that they show up nowhere. */
static int take_base(struct plain *plain, const char *base, rafs_error *err)
{
    CURLU *url = curl_url();
    char *user = NULL;
    char *password = NULL;
    int rc = RAFS_OK;

    if (!url)
        return rafsi_fail_nomem(err, 0);
    if (curl_url_set(url, CURLUPART_URL, base, 0) != CURLUE_OK)
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "base",
                        "is not a usable URL");
    if (rc == RAFS_OK)
        rc = copy_part(&plain->env, url, CURLUPART_USER, CURLU_URLDECODE, &user, err);
    if (rc == RAFS_OK)
        rc = copy_part(&plain->env, url, CURLUPART_PASSWORD, CURLU_URLDECODE, &password,
                       err);
    if (rc == RAFS_OK && user)
        rc = rafsi_http_basic(&plain->env, user, password ? password : "",
                              &plain->authorization, err);
    curl_url_set(url, CURLUPART_USER, NULL, 0);
    curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
    curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
    if (rc == RAFS_OK)
        rc = copy_part(&plain->env, url, CURLUPART_URL, 0, &plain->base, err);
    if (rc == RAFS_OK) {
        size_t len = strlen(plain->base);

        while (len > 0 && plain->base[len - 1] == '/')
            plain->base[--len] = '\0';
    }
    rafsi_free(&plain->env, user);
    rafsi_free(&plain->env, password);
    curl_url_cleanup(url);
    return rc;
}

int rafs_backend_new_http(rafs_http *http, const char *base, rafs_backend **out,
                          rafs_error *err)
{
    struct http_site site = {
        .http = http, .url = plain_url, .ask = plain_ask, .release = plain_release};
    struct plain *plain;
    char origin[300];
    int rc;

    if (!http || !base || !out)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT,
                          !http  ? "http"
                          : base ? "out"
                                 : "base",
                          "is NULL");
    rc = rafsi_url_origin(base, origin, sizeof(origin), err);
    if (rc == RAFS_OK && (strchr(base, '?') || strlen(base) > HTTP_URL_MAX / 2))
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "base",
                        "is too long, or has a query");
    if (rc < 0)
        return rc;
    plain = rafsi_alloc_zero(rafsi_http_env(http), sizeof(*plain));
    if (!plain)
        return rafsi_fail_nomem(err, sizeof(*plain));
    plain->env = *rafsi_http_env(http);
    plain->http = http;
    rc = take_base(plain, base, err);
    site.name = strstr(origin, "://") + 3;
    site.user = plain;
    if (rc == RAFS_OK)
        rc = rafsi_backend_new_site(&site, out, err);
    if (rc < 0)
        plain_release(plain);
    return rc;
}
