/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S3: what is signed are host, date, the hash of the (empty) body, and the session token.
 * The range is left out: a broken answer is gone on with by another range, under the same
 * signature.
 */
#include "backend/bucket.h"

static int s3_sign(const struct bucket *bucket, const rafs_bucket_key *key,
                   const char *path, int64_t time_s, struct bucket_lines *out,
                   rafs_error *err)
{
    enum { ROOM = 1024 };
    char date[SIGV4_DATE_BYTES], authorization[ROOM];
    struct sign_header headers[] = {{"host", bucket->host},
                                    {"x-amz-content-sha256", rafsi_sigv4_no_payload},
                                    {"x-amz-date", date},
                                    {"x-amz-security-token", key->session_token}};
    struct sigv4_request request = {
        .method = "GET",
        .path = path,
        .query = "",
        .headers = headers,
        .header_count = key->session_token[0] ? 4 : 3,
        .payload = rafsi_sigv4_no_payload,
    };
    struct sign_key by = {key->id, key->secret};
    struct sigv4_scope scope = {bucket->region, "s3", time_s};
    int rc;

    rafsi_sigv4_date(time_s, date);
    rc = rafsi_sigv4(bucket->hashes, &request, &by, &scope, authorization, ROOM, err);
    if (rc == RAFS_OK)
        rc = rafsi_bucket_line(bucket, out, "Authorization", authorization, err);
    /* Host is libcurl's to send. */
    for (size_t i = 1; rc == RAFS_OK && i < request.header_count; i++)
        rc = rafsi_bucket_line(bucket, out, headers[i].name, headers[i].value, err);
    return rc;
}

int rafs_backend_new_s3(rafs_http *http, const rafs_bucket_options *options,
                        rafs_backend **out, rafs_error *err)
{
    static const struct bucket_kind kind = {.name = "S3",
                                            .default_region = "us-east-1",
                                            .default_endpoint = "https://s3.",
                                            .path_elsewhere = true,
                                            .sign = s3_sign};

    return rafsi_bucket_backend(http, options, &kind, out, err);
}
