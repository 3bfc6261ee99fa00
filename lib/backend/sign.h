/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_SIGN_H
#define RAFSI_SIGN_H

/*
 * Signatures of requests to object stores: pure functions of what is signed, by whom and
 * when. Nothing of a secret is in what they return but the signature.
 */

#include "base/base.h"

struct sign_header {
    const char *name;  /* in lower case */
    const char *value; /* without spaces around it */
};

struct sign_key {
    const char *id;
    const char *secret;
};

/* sigv4.c: Amazon's Signature Version 4. */
struct sigv4_request {
    const char *method;
    const char *path;                  /* encoded, as in the request line */
    const char *query;                 /* encoded and sorted; "": none */
    const struct sign_header *headers; /* sorted by name */
    size_t header_count;
    const char *payload; /* SHA-256 of the body in hex */
};

struct sigv4_scope {
    const char *region;
    const char *service; /* "s3" */
    int64_t time_s;      /* of the wall clock */
};

enum { SIGV4_DATE_BYTES = 17 }; /* "20130524T000000Z" */

/* SHA-256 of a body of no bytes. */
extern const char rafsi_sigv4_no_payload[];

void rafsi_sigv4_date(int64_t time_s, char out[SIGV4_DATE_BYTES]);

/* The value of the header Authorization. RAFS_E_BADARG: it does not fit; RAFS_E_NOMEM. */
int rafsi_sigv4(struct rafsi_hashes *hashes, const struct sigv4_request *request,
                const struct sign_key *key, const struct sigv4_scope *scope, char *out,
                size_t room, rafs_error *err);

/* oss_sign.c: OSS, version 1. */
struct oss_request {
    const char *method;
    const char *md5;                   /* of the body; "": none */
    const char *type;                  /* of the body; "": none */
    const char *date;                  /* value of the header Date */
    const struct sign_header *headers; /* x-oss-…, sorted by name */
    size_t header_count;
    const char *resource; /* "/BUCKET/NAME", not encoded */
};

enum { HTTP_DATE_BYTES = 30 }; /* "Thu, 17 Nov 2005 18:49:58 GMT" */

void rafsi_http_date(int64_t time_s, char out[HTTP_DATE_BYTES]);

/* As rafsi_sigv4(). */
int rafsi_oss_sign(struct rafsi_hashes *hashes, const struct rafsi_env *env,
                   const struct oss_request *request, const struct sign_key *key,
                   char *out, size_t room, rafs_error *err);

#endif
