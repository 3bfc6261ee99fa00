/* SPDX-License-Identifier: Apache-2.0 */
/* The trace that is kept with the cache, under the digest of the bootstrap. */
#include "read/trace.h"

enum { PIECE = 256 << 10 };
static const char kind[] = "trace";
/* Keeping a trace is a favour: it never holds up who closes an image. */
static const uint64_t keep_ns = 5 * UINT64_C(1000000000);

static int hash_all(struct rafsi_reader *reader, struct rafsi_hash *hash, uint8_t *piece,
                    const rafs_call *call, rafs_error *err)
{
    const struct rafsi_source *source = reader->tree->source;
    uint64_t size = rafsi_source_size(source);
    int rc = RAFS_OK;

    for (uint64_t at = 0; rc == RAFS_OK && at < size; at += PIECE) {
        size_t len = (size_t)rafsi_min(PIECE, size - at);

        rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_METADATA, err);
        if (rc == RAFS_OK)
            rc = rafsi_source_stream(source, at, len, piece, err);
        if (rc == RAFS_OK)
            rc = rafsi_hash_add(hash, piece, len, err);
    }
    return rc;
}

static int hash_bootstrap(struct rafsi_reader *reader, const rafs_call *call,
                          uint8_t out[RAFSI_DIGEST_BYTES], rafs_error *err)
{
    struct rafsi_hash hash = {0};
    uint8_t *piece = rafsi_alloc(&reader->env, PIECE);
    int rc;

    if (!piece)
        return rafsi_fail_nomem(err, PIECE);
    rc = rafsi_hash_begin(reader->hashes, RAFSI_SHA256, &hash, err);
    if (rc == RAFS_OK) {
        rc = hash_all(reader, &hash, piece, call, err);
        if (rc == RAFS_OK)
            rc = rafsi_hash_end(&hash, out, err);
        else
            rafsi_hash_drop(&hash);
    }
    rafsi_free(&reader->env, piece);
    return rafsi_fail_object(err, rc, "bootstrap");
}

/* Once an image; of two threads that do it at the same time, the first wins. */
int rafsi_trace_digest(struct rafsi_reader *reader, const rafs_call *call,
                       uint8_t out[RAFSI_DIGEST_BYTES], rafs_error *err)
{
    uint8_t *present = atomic_load(&reader->boot_digest);
    uint8_t *made = NULL;
    int rc = RAFS_OK;

    if (!present) {
        made = rafsi_alloc(&reader->env, RAFSI_DIGEST_BYTES);
        rc = made ? hash_bootstrap(reader, call, made, err)
                  : rafsi_fail_nomem(err, RAFSI_DIGEST_BYTES);
    }
    if (rc == RAFS_OK && made &&
        atomic_compare_exchange_strong(&reader->boot_digest, &present, made)) {
        present = made;
        made = NULL;
    }
    if (rc == RAFS_OK)
        memcpy(out, present, RAFSI_DIGEST_BYTES);
    rafsi_free(&reader->env, made);
    return rc;
}

static int find(struct rafsi_reader *reader, const uint8_t digest[RAFSI_DIGEST_BYTES],
                const rafs_call *call, rafs_trace **out, rafs_error *err)
{
    struct trace_header most = {.blobs = reader->tree->super.blob_count,
                                .events = TRACE_EVENTS_MAX};
    struct rafsi_buffer *found = NULL;
    int rc;

    if (!reader->store || !reader->store->doc_get)
        return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_OPEN, "trace",
                          "the image has no cache that could keep one");
    rc = reader->store->doc_get(reader->shelf, kind, digest, rafsi_trace_bytes(&most),
                                reader->pool, call, &found, err);
    if (rc < 0)
        return rc;
    rc = rafsi_trace_new(&reader->env, found->at, found->len, out, err);
    rafsi_buffer_free(found);
    if (rc == RAFS_OK && memcmp((*out)->header.bootstrap, digest, RAFSI_DIGEST_BYTES)) {
        rafs_trace_free(*out);
        rc = rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, "trace",
                        "the kept trace is that of another image");
    }
    return rc;
}

int rafsi_trace_find(struct rafsi_reader *reader, const rafs_call *call, rafs_trace **out,
                     rafs_error *err)
{
    uint8_t digest[RAFSI_DIGEST_BYTES];
    int rc = rafsi_trace_digest(reader, call, digest, err);

    return rc < 0 ? rc : find(reader, digest, call, out, err);
}

/* What cannot be replayed is recorded anew; only what ends every call is an error. */
static int replay(struct rafsi_reader *reader, const rafs_trace *trace,
                  const rafs_call *call, rafs_error *err)
{
    rafs_prefetch_options options = RAFS_PREFETCH_OPTIONS_INIT;

    options.what = RAFS_PREFETCH_TRACE;
    options.trace = trace;
    return rafsi_prefetch_start(reader, &options, &reader->replay, call, err);
}

int rafsi_trace_auto(struct rafsi_reader *reader, const rafs_call *call, rafs_error *err)
{
    rafs_trace *trace = NULL;
    int rc = rafsi_tracer_start(reader, err);

    if (rc < 0)
        return rc;
    reader->trace_kept = true;
    rc = rafsi_trace_find(reader, call, &trace, err);
    if (rc == RAFS_OK) {
        rafsi_tracer_resume(reader, trace);
        rc = replay(reader, trace, call, err);
        rafs_trace_free(trace);
    }
    atomic_store(&reader->trace_before, rafsi_tracer_count(reader));
    return rc == RAFS_E_CANCELLED || rc == RAFS_E_TIMEOUT || rc == RAFS_E_NOMEM ? rc
                                                                                : RAFS_OK;
}

int rafsi_trace_keep(struct rafsi_reader *reader, const rafs_call *call, rafs_error *err)
{
    rafs_trace *trace = NULL;
    bool kept;
    int rc;

    if (!reader->store || !reader->store->doc_put)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "image",
                          "was opened without a cache that could keep a trace");
    rc = rafsi_tracer_take(reader, call, &trace, err);
    if (rc < 0)
        return rc;
    kept = reader->store->doc_put(reader->shelf, kind, trace->header.bootstrap,
                                  trace->bytes, trace->len, call);
    if (kept)
        atomic_store(&reader->trace_before, trace->header.events);
    rafs_trace_free(trace);
    return kept ? RAFS_OK
                : rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_NONE, "cache",
                             "the trace cannot be kept");
}

void rafsi_trace_close(struct rafsi_reader *reader)
{
    rafs_call call = RAFS_CALL_INIT;

    if (!reader->trace_kept || !reader->store || !reader->store->doc_put ||
        rafsi_tracer_count(reader) == atomic_load(&reader->trace_before))
        return;
    call.deadline_ns = rafsi_now_ns(&reader->env) + keep_ns;
    (void)rafsi_trace_keep(reader, &call, NULL);
}
