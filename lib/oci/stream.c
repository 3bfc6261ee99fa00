/* SPDX-License-Identifier: Apache-2.0 */
/* A blob from its beginning to its end, from the first source that gives it, or from
 * where that failed on from the next. */
#include "backend/backend.h"
#include "oci/origin.h"

enum { WINDOW = 4 << 20 };

struct oci_stream {
    struct oci_sources from;
    struct rafsi_hash hash;
    char id[65];
    uint8_t digest[OCI_DIGEST_BYTES];
    uint64_t size, at;
    bool done;     /* compared */
    int ended;     /* RAFS_E_: nothing more can come */
    size_t source; /* that is asked */
    struct rafsi_blob_handle handle;
    /* What came in one request, where requests cost something. */
    uint8_t *window;
    size_t have, used;
};

static void leave_source(struct oci_stream *stream)
{
    if (stream->handle.backend)
        rafsi_backend_close(&stream->handle);
    stream->handle.backend = NULL;
}

static int enter_source(struct oci_stream *stream, const rafs_call *call, rafs_error *err)
{
    struct rafsi_blob_handle handle;
    int rc;

    if (stream->handle.backend)
        return RAFS_OK;
    rc = rafsi_backend_open(stream->from.at[stream->source], stream->id, call, &handle,
                            err);
    if (rc == RAFS_OK)
        stream->handle = handle;
    return rc;
}

/* After a failure: is there another source to go on with? */
static bool next_source(struct oci_stream *stream, int rc)
{
    if (rafsi_ends_search(rc) || stream->source + 1 >= stream->from.count)
        return false;
    leave_source(stream);
    stream->source++;
    return true;
}

static int find_size(struct oci_stream *stream, const rafs_call *call, rafs_error *err)
{
    int rc;

    do {
        rc = enter_source(stream, call, err);
        if (rc == RAFS_OK)
            rc =
                rafsi_backend_size(&stream->handle, stream->id, call, &stream->size, err);
    } while (rc < 0 && next_source(stream, rc));
    return rc;
}

int rafsi_stream_open(const struct oci_sources *sources,
                      const uint8_t digest[OCI_DIGEST_BYTES], uint64_t size,
                      struct oci_stream **out, const rafs_call *call, rafs_error *err)
{
    struct oci_stream *stream;
    char hex[65];
    int rc;

    rafsi_digest_hex(digest, hex);
    if (sources->count == 0)
        return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, hex,
                          "there is nowhere to take this blob from");
    stream = rafsi_alloc_zero(sources->env, sizeof(*stream));
    if (!stream)
        return rafsi_fail_nomem(err, sizeof(*stream));
    stream->from = *sources;
    stream->size = size;
    memcpy(stream->id, hex, sizeof(hex));
    memcpy(stream->digest, digest, sizeof(stream->digest));
    rc = rafsi_hash_begin(sources->hashes, RAFSI_SHA256, &stream->hash, err);
    if (rc == RAFS_OK && size == UINT64_MAX)
        rc = find_size(stream, call, err);
    if (rc < 0) {
        rafsi_fail_object(err, rc, "blob %s", stream->id);
        rafsi_stream_close(stream);
        return rc;
    }
    *out = stream;
    return RAFS_OK;
}

uint64_t rafsi_stream_size(const struct oci_stream *stream)
{
    return stream->size;
}

/* From whichever source goes on. */
static int fetch(struct oci_stream *stream, void *buf, size_t len, const rafs_call *call,
                 rafs_error *err)
{
    uint64_t requests = 0;
    int rc;

    do {
        rc = enter_source(stream, call, err);
        if (rc == RAFS_OK)
            rc = rafsi_backend_read(&stream->handle, stream->id, stream->at, buf, len,
                                    call, &requests, err);
    } while (rc < 0 && next_source(stream, rc));
    return rc;
}

static int fill_window(struct oci_stream *stream, const rafs_call *call, rafs_error *err)
{
    size_t len = (size_t)rafsi_min(WINDOW, stream->size - stream->at);
    int rc;

    if (!stream->window)
        stream->window =
            rafsi_alloc(stream->from.env, (size_t)rafsi_min(WINDOW, stream->size));
    if (!stream->window)
        return rafsi_fail_nomem(err, WINDOW);
    rc = fetch(stream, stream->window, len, call, err);
    if (rc < 0)
        return rc;
    stream->have = len;
    stream->used = 0;
    return RAFS_OK;
}

/* The next bytes, through the window where a request costs more than they do. */
static int take(struct oci_stream *stream, void *buf, size_t len, const rafs_call *call,
                rafs_error *err)
{
    bool remote = rafsi_backend_remote(stream->from.at[stream->source]);
    int rc = RAFS_OK;

    if (stream->used == stream->have && (!remote || len >= WINDOW))
        return fetch(stream, buf, len, call, err);
    if (stream->used == stream->have)
        rc = fill_window(stream, call, err);
    if (rc < 0)
        return rc;
    memcpy(buf, stream->window + stream->used, len);
    stream->used += len;
    return RAFS_OK;
}

static int compare(struct oci_stream *stream, rafs_error *err)
{
    uint8_t digest[OCI_DIGEST_BYTES];
    char have[65];
    int rc = rafsi_hash_end(&stream->hash, digest, err);

    if (rc < 0)
        return rc;
    if (!rafsi_digest_equal(digest, stream->digest)) {
        rafsi_digest_hex(digest, have);
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_VERIFY, NULL,
                          "digest mismatch: its %llu bytes are %s",
                          (unsigned long long)stream->size, have);
    }
    stream->done = true;
    return RAFS_OK;
}

int rafsi_stream_read(struct oci_stream *stream, void *buf, size_t len, size_t *nread,
                      const rafs_call *call, rafs_error *err)
{
    uint64_t left = stream->size - stream->at;
    size_t use = (size_t)rafsi_min(len, left);
    int rc = stream->ended;

    *nread = 0;
    if (rc < 0)
        return rafsi_fail(err, rc, RAFS_STAGE_FETCH, stream->id, "failed before");
    if (stream->used < stream->have)
        use = (size_t)rafsi_min(use, stream->have - stream->used);
    if (use > 0)
        rc = take(stream, buf, use, call, err);
    if (rc == RAFS_OK && use > 0)
        rc = rafsi_hash_add(&stream->hash, buf, use, err);
    if (rc == RAFS_OK) {
        stream->at += use;
        if (stream->at == stream->size && !stream->done)
            rc = compare(stream, err);
    }
    stream->ended = rc;
    if (rc < 0)
        return rafsi_fail_object(err, rc, "blob %s", stream->id);
    *nread = use;
    return RAFS_OK;
}

void rafsi_stream_close(struct oci_stream *stream)
{
    struct rafsi_env env;

    if (!stream)
        return;
    env = *stream->from.env;
    leave_source(stream);
    rafsi_hash_drop(&stream->hash);
    rafsi_free(&env, stream->window);
    rafsi_free(&env, stream);
}
