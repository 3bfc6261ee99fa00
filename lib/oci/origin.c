/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/origin.h"

#include "oci/layout.h"
#include "oci/mirrors.h"

enum { SOURCES_MAX = RAFS_MIRRORS_MAX + 1, WINDOW = 4 << 20 };

struct rafs_origin {
    struct rafsi_env env;
    struct rafsi_hashes *hashes;
    struct oci_where where;
    struct oci_registry *registry; /* NULL: a layout */
    struct oci_mirrors *mirrors;
    struct oci_layout *layout; /* of its documents */
    struct oci_store store;
    rafs_backend *sources[SOURCES_MAX]; /* of its blobs */
    size_t count;
};

struct oci_stream {
    rafs_origin *origin;
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

static int open_registry(rafs_origin *origin, const rafs_origin_options *options,
                         rafs_error *err)
{
    rafs_registry_options how;
    int rc = rafsi_take_struct(options->registry, &how, sizeof(how),
                               "rafs_registry_options", err);

    if (rc == RAFS_OK && !options->http)
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_origin_options",
                        "http is NULL, and docker:// needs one");
    if (rc == RAFS_OK)
        rc = rafsi_registry_new(options->http, &origin->where.reference, &how,
                                &origin->registry, err);
    if (rc == RAFS_OK)
        rc = rafsi_mirrors_new(origin->registry, &origin->where.reference, &how,
                               origin->hashes, &origin->mirrors, err);
    if (rc == RAFS_OK)
        rc = rafsi_mirrors_backends(origin->mirrors, SOURCES_MAX, origin->sources,
                                    &origin->count, err);
    if (rc == RAFS_OK)
        origin->store = rafsi_mirrors_store(origin->mirrors);
    if (rc < 0 && origin->registry)
        rafsi_registry_disown(origin->registry);
    return rc;
}

/* Twice: once for documents, once for blobs, whose backend takes it. */
static int open_layout(rafs_origin *origin, const rafs_call *call, rafs_error *err)
{
    const char *path = origin->where.path;
    struct oci_layout *blobs = NULL;
    int rc = rafsi_layout_open(&origin->env, path, call, &origin->layout, err);

    if (rc == RAFS_OK)
        rc = rafsi_layout_open(&origin->env, path, call, &blobs, err);
    if (rc == RAFS_OK)
        rc = rafsi_layout_backend(blobs, &origin->sources[0], err);
    if (rc == RAFS_OK) {
        origin->count = 1;
        origin->store = rafsi_layout_store(origin->layout);
    } else {
        rafsi_layout_close(blobs);
    }
    return rafsi_fail_object(err, rc, "%s", path);
}

int rafsi_origin_open(const char *where, const rafs_origin_options *options,
                      rafs_origin **out, const rafs_call *call, rafs_error *err)
{
    rafs_origin_options wanted;
    struct rafsi_env env;
    rafs_origin *origin;
    int rc =
        rafsi_take_struct(options, &wanted, sizeof(wanted), "rafs_origin_options", err);

    if (rc == RAFS_OK && wanted.flags)
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                        "rafs_origin_options", "flags 0x%x are not known", wanted.flags);
    if (rc == RAFS_OK)
        rc = rafsi_env_take(wanted.env, &env, err);
    if (rc < 0)
        return rc;
    origin = rafsi_alloc_zero(&env, sizeof(*origin));
    if (!origin)
        return rafsi_fail_nomem(err, sizeof(*origin));
    origin->env = env;
    rc = rafsi_hashes_new(&env, &origin->hashes, err);
    if (rc == RAFS_OK)
        rc = rafsi_oci_where_parse(&env, where, &origin->where, err);
    if (rc == RAFS_OK)
        rc = origin->where.kind == OCI_IN_REGISTRY ? open_registry(origin, &wanted, err)
                                                   : open_layout(origin, call, err);
    if (rc < 0)
        rafsi_origin_close(origin);
    else
        *out = origin;
    return rc;
}

void rafsi_origin_close(rafs_origin *origin)
{
    struct rafsi_env env;

    if (!origin)
        return;
    env = origin->env;
    while (origin->count > 0)
        rafs_backend_free(origin->sources[--origin->count]);
    rafsi_mirrors_free(origin->mirrors);
    rafsi_registry_drop(origin->registry);
    rafsi_layout_close(origin->layout);
    rafsi_oci_where_drop(&env, &origin->where);
    rafsi_hashes_free(origin->hashes);
    rafsi_free(&env, origin);
}

const struct rafsi_env *rafsi_origin_env(const rafs_origin *origin)
{
    return &origin->env;
}

const struct oci_where *rafsi_origin_where(const rafs_origin *origin)
{
    return &origin->where;
}

static struct oci_pull pull_of(const rafs_origin *origin, const rafs_call *call)
{
    return (struct oci_pull){
        .store = &origin->store, .hashes = origin->hashes, .call = call};
}

/* For errors: which place it is about. */
static int named(const rafs_origin *origin, int rc, rafs_error *err)
{
    return rafsi_fail_object(err, rc, "%s",
                             origin->registry ? rafsi_registry_name(origin->registry)
                                              : origin->where.path);
}

int rafsi_origin_root(rafs_origin *origin, struct oci_document *out,
                      const rafs_call *call, rafs_error *err)
{
    const struct oci_reference *reference = &origin->where.reference;

    return rafsi_origin_manifest(origin, reference->has_digest ? reference->digest : NULL,
                                 reference->tag[0] ? reference->tag : NULL, out, call,
                                 err);
}

int rafsi_origin_manifest(rafs_origin *origin, const uint8_t *digest, const char *tag,
                          struct oci_document *out, const rafs_call *call,
                          rafs_error *err)
{
    struct oci_pull pull = pull_of(origin, call);
    struct oci_document found = {0};
    int rc = rafsi_oci_get_manifest(&pull, digest, tag, &origin->env, &found, err);

    if (rc == RAFS_OK)
        *out = found;
    return named(origin, rc, err);
}

int rafsi_origin_blob(rafs_origin *origin, const uint8_t *digest, uint64_t limit,
                      struct oci_document *out, const rafs_call *call, rafs_error *err)
{
    struct oci_pull pull = pull_of(origin, call);
    struct oci_wanted wanted = {OCI_GET_LAYER, digest, NULL, limit};
    struct oci_document found = {0};
    int rc = rafsi_oci_get(&pull, &wanted, "blob", "blob", &origin->env, &found, err);

    if (rc == RAFS_OK)
        *out = found;
    return named(origin, rc, err);
}

int rafsi_origin_referrers(rafs_origin *origin, const uint8_t *subject,
                           struct oci_document *out, const rafs_call *call,
                           rafs_error *err)
{
    struct oci_pull pull = pull_of(origin, call);
    struct oci_document found = {0};
    int rc = rafsi_oci_get_referrers(&pull, subject, &origin->env, &found, err);

    if (rc == RAFS_OK)
        *out = found;
    return named(origin, rc, err);
}

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
    rc = rafsi_backend_open(stream->origin->sources[stream->source], stream->id, call,
                            &handle, err);
    if (rc == RAFS_OK)
        stream->handle = handle;
    return rc;
}

/* After a failure: is there another source to go on with? */
static bool next_source(struct oci_stream *stream, int rc)
{
    if (rafsi_ends_search(rc) || stream->source + 1 >= stream->origin->count)
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

int rafsi_stream_open(rafs_origin *origin, const uint8_t digest[OCI_DIGEST_BYTES],
                      uint64_t size, struct oci_stream **out, const rafs_call *call,
                      rafs_error *err)
{
    struct oci_stream *stream = rafsi_alloc_zero(&origin->env, sizeof(*stream));
    int rc;

    if (!stream)
        return rafsi_fail_nomem(err, sizeof(*stream));
    stream->origin = origin;
    stream->size = size;
    rafsi_digest_hex(digest, stream->id);
    memcpy(stream->digest, digest, sizeof(stream->digest));
    rc = rafsi_hash_begin(origin->hashes, RAFSI_SHA256, &stream->hash, err);
    if (rc == RAFS_OK && size == UINT64_MAX)
        rc = find_size(stream, call, err);
    if (rc < 0) {
        rafsi_stream_close(stream);
        return rafsi_fail_object(err, rc, "blob %s", stream->id);
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
            rafsi_alloc(&stream->origin->env, (size_t)rafsi_min(WINDOW, stream->size));
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
    bool remote = rafsi_backend_remote(stream->origin->sources[stream->source]);
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
    env = stream->origin->env;
    leave_source(stream);
    rafsi_hash_drop(&stream->hash);
    rafsi_free(&env, stream->window);
    rafsi_free(&env, stream);
}
