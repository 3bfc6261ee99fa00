/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store says about a failure: a small XML document,
 *
 *     <Error><Code>NoSuchKey</Code><Message>…</Message>…</Error>
 *
 * of which some texts are told, cut and without what could be a secret: a store may say
 * what it was sent. Nothing hangs on it but words and the decision to ask for another
 * key.
 */
#include <errno.h>
#include <stdio.h>

#include "backend/bucket.h"

/* Do some bytes in a row of the text also stand in the secret? */
static bool is_like(const char *text, const char *secret)
{
    enum { ROW = 12 };
    size_t len = strlen(text);
    size_t secret_len = strlen(secret);

    if (secret_len > 0 && secret_len < ROW)
        return strstr(text, secret) != NULL;
    for (size_t i = 0; i + ROW <= len; i++)
        if (memmem(secret, secret_len, text + i, ROW))
            return true;
    return false;
}

/* The text of the first element of this name, cut to the room. */
static void take(const char *body, const rafs_bucket_key *key, const char *name,
                 char *out, size_t room)
{
    char open[32];
    const char *at;
    size_t len;

    out[0] = '\0';
    snprintf(open, sizeof(open), "<%s>", name);
    at = strstr(body, open);
    if (!at)
        return;
    at += strlen(open);
    len = strcspn(at, "<");
    if (at[len] != '<')
        return;
    len = (size_t)rafsi_min(len, room - 1);
    for (size_t i = 0; i < len; i++)
        out[i] = at[i] >= ' ' && at[i] <= '~' ? at[i] : '?';
    out[len] = '\0';
    if (is_like(out, key->id) || is_like(out, key->secret) ||
        is_like(out, key->session_token))
        out[0] = '\0';
}

void rafsi_bucket_error_parse(const char *body, const rafs_bucket_key *key,
                              struct bucket_error *out)
{
    take(body, key, "Code", out->code, sizeof(out->code));
    take(body, key, "Message", out->message, sizeof(out->message));
    take(body, key, "Region", out->region, sizeof(out->region));
    take(body, key, "Endpoint", out->endpoint, sizeof(out->endpoint));
    take(body, key, "ServerTime", out->server_time, sizeof(out->server_time));
}

static bool is_one_of(const char *code, const char *const *codes)
{
    for (; *codes; codes++)
        if (strcmp(code, *codes) == 0)
            return true;
    return false;
}

bool rafsi_bucket_error_key(const struct bucket_error *error)
{
    static const char *const codes[] = {
        "ExpiredToken",          "InvalidAccessKeyId",   "InvalidToken",
        "SignatureDoesNotMatch", "TokenRefreshRequired", "SecurityTokenExpired",
        "InvalidSecurityToken",  "RequestExpired",       NULL};

    return is_one_of(error->code, codes);
}

bool rafsi_bucket_error_clock(const struct bucket_error *error)
{
    return strcmp(error->code, "RequestTimeTooSkewed") == 0;
}

static int fail_clock(const char *shown, const struct bucket_error *error,
                      rafs_error *err)
{
    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, EACCES, NULL,
                         "%s: this machine's clock is wrong by more than the store "
                         "allows%s%s; set it",
                         shown, error->server_time[0] ? "; there it is " : "",
                         error->server_time);
}

/* Is the bucket somewhere else, and does the store say where? Some name a region in
 * every error. */
static bool is_elsewhere(const struct bucket_error *error)
{
    static const char *const codes[] = {
        "AuthorizationHeaderMalformed",       "PermanentRedirect", "TemporaryRedirect",
        "IllegalLocationConstraintException", "AccessDenied",      NULL};

    if (!is_one_of(error->code, codes))
        return false;
    return error->endpoint[0] ||
           (error->region[0] && strcmp(error->code, "AccessDenied") != 0);
}

static int fail_elsewhere(const char *shown, const struct bucket_error *error,
                          rafs_error *err)
{
    bool region = error->region[0] != '\0';

    return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                      "%s: the bucket is elsewhere (%s): %s %s", shown, error->code,
                      region ? "set the region to" : "it is asked for at",
                      region ? error->region : error->endpoint);
}

int rafsi_bucket_judge(const struct bucket *bucket, const struct http_answer *answer,
                       const struct bucket_error *error, bool with_key, const char *url,
                       rafs_error *err)
{
    const char *name = bucket->kind->name;
    char shown[120], detail[220];

    rafsi_url_show(url, shown, sizeof(shown));
    /* "403 AccessDenied: Access Denied" */
    snprintf(detail, sizeof(detail), "%d%s%s%s%s", answer->status,
             error->code[0] ? " " : "", error->code, error->message[0] ? ": " : "",
             error->message);
    if (answer->status == 404)
        return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, NULL,
                          "%s: there is no such %s (%s)", shown,
                          strcmp(error->code, "NoSuchBucket") == 0 ? "bucket" : "object",
                          detail);
    if (rafsi_bucket_error_clock(error))
        return fail_clock(shown, error, err);
    if (is_elsewhere(error))
        return fail_elsewhere(shown, error, err);
    if (answer->status == 401 || answer->status == 403 || rafsi_bucket_error_key(error))
        return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, EACCES, NULL,
                             "%s: %s denies access%s (%s)", shown, name,
                             with_key ? "" : ", and no key is known", detail);
    return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                      "%s: %s answers with status %s", shown, name, detail);
}
