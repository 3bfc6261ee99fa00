/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUCKET_H
#define RAFSI_BUCKET_H

/* What the files of object stores share; nobody else includes it. */

#include <pthread.h>

#include "backend/http_blob.h"
#include "backend/sign.h"
#include "rafs/bucket.h"

enum {
    BUCKET_LINES_MAX = 4,
    BUCKET_LINE_ROOM = RAFS_SESSION_TOKEN_MAX + 512,
    BUCKET_ERROR_ROOM = 4096 /* of what a store says about a failure */
};

/* Header lines that let a request in. They hold secrets. */
struct bucket_lines {
    char *line[BUCKET_LINES_MAX];
    size_t count;
};

struct bucket;

/* What differs between stores. */
struct bucket_kind {
    const char *name;             /* "S3" */
    const char *default_region;   /* NULL: it has none */
    const char *default_endpoint; /* with "%s" for the region; NULL: must be given */
    bool path_elsewhere; /* endpoints that are given are asked by path, unless told */
    /* Add lines for a GET of `path`, encoded as in the request line, at time_s. */
    int (*sign)(const struct bucket *bucket, const rafs_bucket_key *key, const char *path,
                int64_t time_s, struct bucket_lines *out, rafs_error *err);
};

struct bucket {
    struct rafsi_env env;
    rafs_http *http;
    struct rafsi_hashes *hashes;
    const struct bucket_kind *kind;
    char name[256];
    char region[64];
    char host[560]; /* value of the header Host */
    bool by_path;   /* the bucket is in the path, not in the host */
    char *base;     /* URL that a blob's id follows */
    rafs_bucket_keys source;
    pthread_mutex_t lock;
    bool lock_ready;
    bool known; /* key was given, or asked for */
    uint64_t generation;
    rafs_bucket_key key;
};

int rafsi_bucket_backend(rafs_http *http, const rafs_bucket_options *options,
                         const struct bucket_kind *kind, rafs_backend **out,
                         rafs_error *err);

/* "Name: value" as one more line. */
int rafsi_bucket_line(const struct bucket *bucket, struct bucket_lines *lines,
                      const char *name, const char *value, rafs_error *err);

/* bucket_options.c: name, region, host and base. */
int rafsi_bucket_place(struct bucket *bucket, const rafs_bucket_options *options,
                       rafs_error *err);
/* RAFS_E_BADARG if a part of it cannot be in a header; err tells nothing of it. */
int rafsi_bucket_check_key(const rafs_bucket_key *key, rafs_error *err);

/* bucket_error.c: what a store says about a failure. */
struct bucket_error {
    char code[64];
    char message[120];
    char region[64];
    char endpoint[128];
    char server_time[32];
};

/* What is like a part of the key that was used is left out. */
void rafsi_bucket_error_parse(const char *body, const rafs_bucket_key *key,
                              struct bucket_error *out);
/* Is another key, or the same with a newer date, worth a try? */
bool rafsi_bucket_error_key(const struct bucket_error *error);
bool rafsi_bucket_error_clock(const struct bucket_error *error);
/* The code for an answer that is no success. */
int rafsi_bucket_judge(const struct bucket *bucket, const struct http_answer *answer,
                       const struct bucket_error *error, bool with_key, const char *url,
                       rafs_error *err);

#endif
