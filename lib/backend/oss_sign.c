/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OSS, signature of version 1 in the header.
 *
 *     text      = METHOD \n MD5 \n TYPE \n DATE \n (x-oss-name:value \n)* /BUCKET/NAME
 *     signature = HMAC-SHA1(secret, text), in base 64
 *
 * Source: OSS documentation, "Include a V1 signature in the Authorization header".
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <time.h>

#include "backend/sign.h"

void rafsi_http_date(int64_t time_s, char out[HTTP_DATE_BYTES])
{
    /* Not strftime(), which asks the locale. */
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)time_s;
    struct tm tm = {0};

    gmtime_r(&seconds, &tm);
    snprintf(out, HTTP_DATE_BYTES, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
             days + 3 * (tm.tm_wday % 7), (unsigned)tm.tm_mday % 100,
             months + 3 * (tm.tm_mon % 12), (unsigned)(tm.tm_year + 1900) % 10000,
             (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
             (unsigned)tm.tm_sec % 100);
}

static size_t text_length(const struct oss_request *request)
{
    size_t len = strlen(request->method) + strlen(request->md5) + strlen(request->type) +
                 strlen(request->date) + strlen(request->resource) + 4;

    for (size_t i = 0; i < request->header_count; i++)
        len += strlen(request->headers[i].name) + strlen(request->headers[i].value) + 2;
    return len;
}

static void put_text(const struct oss_request *request, char *out, size_t room)
{
    size_t used = (size_t)snprintf(out, room, "%s\n%s\n%s\n%s\n", request->method,
                                   request->md5, request->type, request->date);

    for (size_t i = 0; i < request->header_count; i++)
        used += (size_t)snprintf(out + used, room - used, "%s:%s\n",
                                 request->headers[i].name, request->headers[i].value);
    snprintf(out + used, room - used, "%s", request->resource);
}

int rafsi_oss_sign(struct rafsi_hashes *hashes, const struct rafsi_env *env,
                   const struct oss_request *request, const struct sign_key *key,
                   char *out, size_t room, rafs_error *err)
{
    uint8_t mac[RAFSI_HMAC_SHA1_BYTES];
    unsigned char signature[(RAFSI_HMAC_SHA1_BYTES + 2) / 3 * 4 + 1];
    size_t len = text_length(request);
    char *text = rafsi_alloc(env, len + 1);
    int rc;

    if (!text)
        return rafsi_fail_nomem(err, len + 1);
    put_text(request, text, len + 1);
    rc = rafsi_hmac_sha1(hashes, key->secret, strlen(key->secret), text, len, mac, err);
    explicit_bzero(text, len); /* a session token is in it */
    rafsi_free(env, text);
    if (rc < 0)
        return rc;
    EVP_EncodeBlock(signature, mac, sizeof(mac));
    if ((size_t)snprintf(out, room, "OSS %s:%s", key->id, (char *)signature) < room)
        return RAFS_OK;
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                      "the key id is too long");
}
