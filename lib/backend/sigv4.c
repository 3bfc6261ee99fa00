/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signature Version 4.
 *
 *     canonical request = METHOD \n PATH \n QUERY \n (name:value \n)* \n
 *                         name;name;… \n SHA-256 of the body
 *     text to sign      = AWS4-HMAC-SHA256 \n DATE \n DAY/REGION/SERVICE/aws4_request \n
 *                         SHA-256 of the canonical request
 *     key               = HMAC(HMAC(HMAC(HMAC("AWS4" SECRET, DAY), REGION), SERVICE),
 *                         "aws4_request")
 *     signature         = HMAC(key, text to sign), in hex
 *
 * libcurl can sign so too, but takes the time from its own clock, so that nothing it
 * signs can be compared with a published signature, and not all of its versions sign the
 * headers that S3 wants. Source: AWS documentation, "Signature Calculations for the
 * Authorization Header".
 */
#include <stdio.h>
#include <time.h>

#include "backend/sign.h"

const char rafsi_sigv4_no_payload[] =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

enum { DAY_BYTES = 8, SCOPE_MAX = 160, TEXT_MAX = 320 };

void rafsi_sigv4_date(int64_t time_s, char out[SIGV4_DATE_BYTES])
{
    time_t seconds = (time_t)time_s;
    struct tm tm = {0};

    gmtime_r(&seconds, &tm);
    snprintf(out, SIGV4_DATE_BYTES, "%04u%02u%02uT%02u%02u%02uZ",
             (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
             (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100,
             (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

/* Bytes into a hash; what failed once stays failed. */
static void add(struct rafsi_hash *hash, const char *text, int *rc, rafs_error *err)
{
    if (*rc == RAFS_OK)
        *rc = rafsi_hash_add(hash, text, strlen(text), err);
}

static int hash_request(struct rafsi_hashes *hashes, const struct sigv4_request *request,
                        char hex[65], rafs_error *err)
{
    uint8_t digest[RAFSI_DIGEST_BYTES];
    struct rafsi_hash hash;
    int rc = rafsi_hash_begin(hashes, RAFSI_SHA256, &hash, err);

    if (rc < 0)
        return rc;
    add(&hash, request->method, &rc, err);
    add(&hash, "\n", &rc, err);
    add(&hash, request->path, &rc, err);
    add(&hash, "\n", &rc, err);
    add(&hash, request->query, &rc, err);
    add(&hash, "\n", &rc, err);
    for (size_t i = 0; i < request->header_count; i++) {
        add(&hash, request->headers[i].name, &rc, err);
        add(&hash, ":", &rc, err);
        add(&hash, request->headers[i].value, &rc, err);
        add(&hash, "\n", &rc, err);
    }
    for (size_t i = 0; i < request->header_count; i++) {
        add(&hash, i > 0 ? ";" : "\n", &rc, err);
        add(&hash, request->headers[i].name, &rc, err);
    }
    add(&hash, "\n", &rc, err);
    add(&hash, request->payload, &rc, err);
    if (rc < 0) {
        rafsi_hash_drop(&hash);
        return rc;
    }
    rc = rafsi_hash_end(&hash, digest, err);
    if (rc == RAFS_OK)
        rafsi_digest_hex(digest, hex);
    return rc;
}

static int sign_text(struct rafsi_hashes *hashes, const char *secret, const char *day,
                     const struct sigv4_scope *scope, const char *text, char hex[65],
                     rafs_error *err)
{
    const char *const steps[] = {scope->region, scope->service, "aws4_request", text};
    uint8_t key[RAFSI_DIGEST_BYTES], next[RAFSI_DIGEST_BYTES];
    char first[4 + 1024];
    size_t len = strlen(secret);
    int rc;

    if (len > sizeof(first) - 4)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "the secret key is too long");
    memcpy(first, "AWS4", 4);
    memcpy(first + 4, secret, len);
    rc = rafsi_hmac_sha256(hashes, first, 4 + len, day, DAY_BYTES, key, err);
    explicit_bzero(first, sizeof(first));
    for (size_t i = 0; rc == RAFS_OK && i < sizeof(steps) / sizeof(steps[0]); i++) {
        rc = rafsi_hmac_sha256(hashes, key, sizeof(key), steps[i], strlen(steps[i]), next,
                               err);
        memcpy(key, next, sizeof(key));
    }
    if (rc == RAFS_OK)
        rafsi_digest_hex(key, hex);
    explicit_bzero(key, sizeof(key));
    explicit_bzero(next, sizeof(next));
    return rc;
}

static int too_long(rafs_error *err)
{
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                      "region, key or headers are too long to be signed");
}

static int put(char *out, size_t room, const char *credential, const char *scope,
               const struct sigv4_request *request, const char *signature,
               rafs_error *err)
{
    size_t used = (size_t)snprintf(
        out, room, "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=", credential, scope);

    for (size_t i = 0; i < request->header_count && used < room; i++)
        used += (size_t)snprintf(out + used, room - used, "%s%s", i > 0 ? ";" : "",
                                 request->headers[i].name);
    if (used < room)
        used += (size_t)snprintf(out + used, room - used, ",Signature=%s", signature);
    return used < room ? RAFS_OK : too_long(err);
}

int rafsi_sigv4(struct rafsi_hashes *hashes, const struct sigv4_request *request,
                const struct sign_key *key, const struct sigv4_scope *scope, char *out,
                size_t room, rafs_error *err)
{
    char date[SIGV4_DATE_BYTES];
    char where[SCOPE_MAX], text[TEXT_MAX];
    char digest[65], signature[65];
    int rc;

    rafsi_sigv4_date(scope->time_s, date);
    if ((size_t)snprintf(where, sizeof(where), "%.*s/%s/%s/aws4_request", DAY_BYTES, date,
                         scope->region, scope->service) >= sizeof(where))
        return too_long(err);
    rc = hash_request(hashes, request, digest, err);
    if (rc < 0)
        return rc;
    snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, where, digest);
    rc = sign_text(hashes, key->secret, date, scope, text, signature, err);
    return rc < 0 ? rc : put(out, room, key->id, where, request, signature, err);
}
