/* SPDX-License-Identifier: Apache-2.0 */
/* OSS: what is signed are date, session token, bucket and name of the object. */
#include "backend/bucket.h"

#include <stdio.h>

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* "/BUCKET/NAME" out of the path of a URL that we made: its escapes are in capitals. */
static char *resource_of(const struct bucket *bucket, const char *path)
{
    size_t room = strlen(bucket->name) + strlen(path) + 2;
    char *text = rafsi_alloc(&bucket->env, room);
    size_t used;

    if (!text)
        return NULL;
    used = bucket->by_path ? 0 : (size_t)snprintf(text, room, "/%s", bucket->name);
    for (const char *at = path; *at; at++) {
        bool escaped = at[0] == '%' && at[1] && at[2];

        text[used++] = *at;
        if (escaped)
            text[used - 1] = (char)(digit(at[1]) << 4 | digit(at[2]));
        at += escaped ? 2 : 0;
    }
    text[used] = '\0';
    return text;
}

static int oss_sign(const struct bucket *bucket, const rafs_bucket_key *key,
                    const char *path, int64_t time_s, struct bucket_lines *out,
                    rafs_error *err)
{
    enum { ROOM = 512 };
    char date[HTTP_DATE_BYTES], authorization[ROOM];
    struct sign_header token = {"x-oss-security-token", key->session_token};
    struct oss_request request = {
        .method = "GET",
        .md5 = "",
        .type = "",
        .date = date,
        .headers = &token,
        .header_count = key->session_token[0] ? 1 : 0,
    };
    struct sign_key by = {key->id, key->secret};
    char *resource = resource_of(bucket, path);
    int rc;

    if (!resource)
        return rafsi_fail_nomem(err, strlen(path));
    request.resource = resource;
    rafsi_http_date(time_s, date);
    rc = rafsi_oss_sign(bucket->hashes, &bucket->env, &request, &by, authorization, ROOM,
                        err);
    rafsi_free(&bucket->env, resource);
    if (rc == RAFS_OK)
        rc = rafsi_bucket_line(bucket, out, "Authorization", authorization, err);
    if (rc == RAFS_OK)
        rc = rafsi_bucket_line(bucket, out, "Date", date, err);
    if (rc == RAFS_OK && request.header_count > 0)
        rc = rafsi_bucket_line(bucket, out, token.name, token.value, err);
    return rc;
}

int rafs_backend_new_oss(rafs_http *http, const rafs_bucket_options *options,
                         rafs_backend **out, rafs_error *err)
{
    static const struct bucket_kind kind = {.name = "OSS", .sign = oss_sign};

    return rafsi_bucket_backend(http, options, &kind, out, err);
}
