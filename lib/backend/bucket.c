/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to an object store: with a key, signed, and its complaints understood. */
#include "backend/bucket.h"

#include <stdio.h>
#include <time.h>

enum {
    ASK_TRIES = 2,     /* as we are, and with another key or date */
    STALE_SECONDS = 60 /* a signature that old may have been too old when it arrived */
};

/* Dates in requests are of the wall clock, which rafs_env has none of. */
static int64_t wall_clock(void)
{
    return (int64_t)time(NULL);
}

void rafs_bucket_key_init(rafs_bucket_key *key)
{
    memset(key, 0, sizeof(*key));
    key->struct_size = sizeof(*key);
}

void rafs_bucket_keys_init(rafs_bucket_keys *keys)
{
    memset(keys, 0, sizeof(*keys));
    keys->struct_size = sizeof(*keys);
}

void rafs_bucket_options_init(rafs_bucket_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

static void drop_lines(const struct bucket *bucket, struct bucket_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        explicit_bzero(lines->line[i], strlen(lines->line[i]));
        rafsi_free(&bucket->env, lines->line[i]);
    }
    lines->count = 0;
}

int rafsi_bucket_line(const struct bucket *bucket, struct bucket_lines *lines,
                      const char *name, const char *value, rafs_error *err)
{
    size_t room = strlen(name) + strlen(value) + 3;
    char *line = rafsi_alloc(&bucket->env, room);

    if (!line)
        return rafsi_fail_nomem(err, room);
    snprintf(line, room, "%s: %s", name, value);
    lines->line[lines->count++] = line;
    return RAFS_OK;
}

/* Ask the program; a key that another thread got meanwhile is as good. */
static int ask_key(struct bucket *bucket, uint64_t seen, uint32_t attempt,
                   const rafs_call *call, rafs_error *err)
{
    rafs_call none = RAFS_CALL_INIT;
    rafs_bucket_key *key = rafsi_alloc(&bucket->env, sizeof(*key));
    int rc = RAFS_OK;

    if (!key)
        return rafsi_fail_nomem(err, sizeof(*key));
    rafs_bucket_key_init(key);
    if (bucket->source.get)
        rc = bucket->source.get(bucket->source.user, bucket->name, attempt, key,
                                call ? call : &none, err);
    if (rc == RAFS_OK)
        rc = rafsi_bucket_check_key(key, err);
    if (rc == RAFS_OK) {
        pthread_mutex_lock(&bucket->lock);
        if (bucket->generation == seen) {
            bucket->key = *key;
            bucket->known = true;
            bucket->generation++;
        }
        pthread_mutex_unlock(&bucket->lock);
    }
    explicit_bzero(key, sizeof(*key));
    rafsi_free(&bucket->env, key);
    return rc;
}

/* A copy of the key in use. refused: not that of generation *seen. */
static int take_key(struct bucket *bucket, bool refused, uint64_t *seen,
                    const rafs_call *call, rafs_bucket_key *out, rafs_error *err)
{
    uint64_t generation;
    bool fresh;

    pthread_mutex_lock(&bucket->lock);
    generation = bucket->generation;
    fresh = bucket->known && !(refused && generation == *seen);
    pthread_mutex_unlock(&bucket->lock);
    if (!fresh) {
        int rc = ask_key(bucket, generation, refused, call, err);

        if (rc < 0)
            return rc;
    }
    pthread_mutex_lock(&bucket->lock);
    *seen = bucket->generation;
    *out = bucket->key;
    pthread_mutex_unlock(&bucket->lock);
    return RAFS_OK;
}

/* Signed, unless there is no key or a server chose the URL. */
static int send_signed(struct bucket *bucket, const rafs_bucket_key *key, int64_t now,
                       struct http_request *request, const rafs_call *call,
                       struct http_answer *answer, rafs_error *err)
{
    const char *path = strchr(strstr(request->url, "://") + 3, '/');
    struct bucket_lines lines = {.count = 0};
    size_t before = request->header_count;
    int rc = RAFS_OK;

    if (key->id[0] && path && !strchr(path, '?'))
        rc = bucket->kind->sign(bucket, key, path, now, &lines, err);
    for (size_t i = 0; rc == RAFS_OK && i < lines.count; i++)
        request->headers[request->header_count++] = lines.line[i];
    if (rc == RAFS_OK)
        rc = rafsi_http_do(bucket->http, request, call, answer, err);
    request->header_count = before;
    drop_lines(bucket, &lines);
    return rc;
}

/* Answers that who asked knows what to do with. */
static bool is_plain(const struct http_answer *answer, const struct bucket_error *error)
{
    return answer->status / 100 == 2 || answer->status == 416 ||
           (answer->status / 100 == 3 && answer->location && !error->code[0]);
}

static int ask_with(struct bucket *bucket, rafs_bucket_key *key, char *body,
                    struct http_request *request, const rafs_call *call,
                    struct http_answer *answer, rafs_error *err)
{
    uint64_t seen = 0;
    bool refused = false;

    for (unsigned i = 1;; i++) {
        struct bucket_error error;
        int64_t now = wall_clock();
        int rc = take_key(bucket, refused, &seen, call, key, err);

        if (rc == RAFS_OK)
            rc = send_signed(bucket, key, now, request, call, answer, err);
        if (rc < 0)
            return rc;
        rafsi_bucket_error_parse(body, key, &error);
        if (is_plain(answer, &error))
            return RAFS_OK;
        refused = bucket->source.get && rafsi_bucket_error_key(&error);
        if (i < ASK_TRIES && (refused || (rafsi_bucket_error_clock(&error) &&
                                          wall_clock() - now > STALE_SECONDS))) {
            rafsi_http_drop(bucket->http, answer);
            continue;
        }
        rc = rafsi_bucket_judge(bucket, answer, &error, key->id[0], request->url, err);
        rafsi_http_drop(bucket->http, answer);
        return rc;
    }
}

static int bucket_ask(void *user, struct http_request *request, const rafs_call *call,
                      struct http_answer *answer, rafs_error *err)
{
    struct bucket *bucket = user;
    size_t room = sizeof(rafs_bucket_key) + BUCKET_ERROR_ROOM;
    rafs_bucket_key *key = rafsi_alloc_zero(&bucket->env, room);
    int rc;

    if (!key)
        return rafsi_fail_nomem(err, room);
    request->error_body = (char *)(key + 1);
    request->error_room = BUCKET_ERROR_ROOM;
    rc = ask_with(bucket, key, request->error_body, request, call, answer, err);
    request->error_body = NULL;
    request->error_room = 0;
    explicit_bzero(key, room);
    rafsi_free(&bucket->env, key);
    return rc;
}

static int bucket_url(void *user, const char *blob_id, char *out, size_t room,
                      rafs_error *err)
{
    const struct bucket *bucket = user;

    return rafsi_url_of_blob(bucket->base, "", blob_id, out, room, err);
}

static void destroy(struct bucket *bucket)
{
    struct rafsi_env env = bucket->env;

    rafsi_hashes_free(bucket->hashes);
    rafsi_free(&env, bucket->base);
    if (bucket->lock_ready)
        pthread_mutex_destroy(&bucket->lock);
    explicit_bzero(bucket, sizeof(*bucket));
    rafsi_free(&env, bucket);
}

static void bucket_release(void *user)
{
    struct bucket *bucket = user;

    if (bucket->source.release)
        bucket->source.release(bucket->source.user);
    destroy(bucket);
}

static int take_keys(struct bucket *bucket, const rafs_bucket_options *options,
                     rafs_error *err)
{
    int rc = RAFS_OK;

    if (options->key) {
        rc = rafsi_take_struct(options->key, &bucket->key, sizeof(bucket->key),
                               "rafs_bucket_key", err);
        if (rc == RAFS_OK)
            rc = rafsi_bucket_check_key(&bucket->key, err);
        bucket->known = true;
    }
    if (rc == RAFS_OK && options->keys)
        rc = rafsi_take_struct(options->keys, &bucket->source, sizeof(bucket->source),
                               "rafs_bucket_keys", err);
    return rc;
}

static int fill(struct bucket *bucket, const rafs_bucket_options *options,
                rafs_error *err)
{
    rafs_bucket_options wanted;
    int rc =
        rafsi_take_struct(options, &wanted, sizeof(wanted), "rafs_bucket_options", err);

    bucket->lock_ready = pthread_mutex_init(&bucket->lock, NULL) == 0;
    if (!bucket->lock_ready)
        return rafsi_fail_nomem(err, sizeof(*bucket));
    if (rc == RAFS_OK)
        rc = rafsi_hashes_new(&bucket->env, &bucket->hashes, err);
    if (rc == RAFS_OK)
        rc = rafsi_bucket_place(bucket, &wanted, err);
    return rc < 0 ? rc : take_keys(bucket, &wanted, err);
}

int rafsi_bucket_backend(rafs_http *http, const rafs_bucket_options *options,
                         const struct bucket_kind *kind, rafs_backend **out,
                         rafs_error *err)
{
    struct http_site site = {
        .http = http, .url = bucket_url, .ask = bucket_ask, .release = bucket_release};
    struct bucket *bucket;
    int rc;

    if (!http || !options || !out)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT,
                          !http     ? "http"
                          : options ? "out"
                                    : "options",
                          "is NULL");
    bucket = rafsi_alloc_zero(rafsi_http_env(http), sizeof(*bucket));
    if (!bucket)
        return rafsi_fail_nomem(err, sizeof(*bucket));
    bucket->env = *rafsi_http_env(http);
    bucket->http = http;
    bucket->kind = kind;
    rc = fill(bucket, options, err);
    site.user = bucket;
    site.name = bucket->host;
    if (rc == RAFS_OK)
        rc = rafsi_backend_new_site(&site, out, err);
    if (rc < 0)
        destroy(bucket);
    return rc;
}
