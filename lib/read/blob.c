/* SPDX-License-Identifier: Apache-2.0 */
#include "read/reader.h"

/* Who let a deadline pass that was shorter than this may have had no chance. */
static const uint64_t slow_ns = 1000000000;

/* The state of a blob; of two threads that make it at once, the first wins. */
static int blob_state(struct rafsi_reader *reader, uint32_t blob, struct blob_state **out,
                      rafs_error *err)
{
    struct blob_state *present = atomic_load(&reader->blobs[blob]);
    struct blob_state *state;

    if (!present) {
        state = rafsi_alloc_zero(&reader->env, sizeof(*state));
        if (!state)
            return rafsi_fail_nomem(err, sizeof(*state));
        if (atomic_compare_exchange_strong(&reader->blobs[blob], &present, state))
            present = state;
        else
            rafsi_free(&reader->env, state);
    }
    *out = present;
    return RAFS_OK;
}

/* A source failed: with the name of what it failed at. */
static void failed(struct rafsi_reader *reader, uint32_t blob, size_t source,
                   uint32_t cause, uint32_t tries, const rafs_error *error)
{
    rafs_error named = *error;

    rafsi_fail_object(&named, named.code, "blob %s", reader->tree->blobs[blob].id);
    rafsi_stats_failed(&reader->stats, source, cause, tries, &named);
}

/* Opening may cost requests too, of which only the events are counted. */
static int ask_open(struct rafsi_reader *reader, size_t source, const char *id,
                    const rafs_call *call, struct rafsi_blob_handle *out, rafs_error *err)
{
    rafs_call none = RAFS_CALL_INIT;
    rafs_call counted = call ? *call : none;
    struct rafs_tally tally = {0};
    int rc;

    counted.tally = &tally;
    rc = rafsi_backend_open(reader->sources[source], id, &counted, out, err);
    rafsi_stats_events(&reader->stats, source, &tally);
    return rc;
}

/* A request to a source behind a network that began at `begun` failed. */
static void note_failure(struct rafsi_reader *reader, uint32_t blob, size_t source,
                         uint64_t begun, int rc)
{
    bool slow = rc == RAFS_E_TIMEOUT && rafsi_now_ns(&reader->env) - begun >= slow_ns;

    if (rc == RAFS_E_BACKEND || rc == RAFS_E_NOENT || slow)
        rafsi_health_fail(reader, blob, source, rc);
}

int rafsi_blob_open_at(struct rafsi_reader *reader, uint32_t blob, size_t source,
                       const rafs_call *call, struct blob_source **out, rafs_error *err)
{
    const char *id = reader->tree->blobs[blob].id;
    struct blob_source *present;
    struct blob_source *made;
    uint64_t begun;
    bool remote;
    struct blob_state *state;
    rafs_error local = RAFS_ERROR_INIT;
    int rc = blob_state(reader, blob, &state, err);

    if (rc < 0)
        return rc;
    present = atomic_load_explicit(&state->at[source], memory_order_acquire);
    if (present) {
        *out = present;
        return RAFS_OK;
    }
    made = rafsi_alloc_zero(&reader->env, sizeof(*made));
    if (!made)
        return rafsi_fail_nomem(err, sizeof(*made));
    made->source = source;
    remote = rafsi_backend_remote(reader->sources[source]);
    begun = remote ? rafsi_now_ns(&reader->env) : 0;
    rc = ask_open(reader, source, id, call, &made->handle, &local);
    if (rc < 0) {
        failed(reader, blob, source, RAFS_CAUSE_METADATA, 1, &local);
        if (remote)
            note_failure(reader, blob, source, begun, rc);
        if (err)
            *err = local;
        rafsi_free(&reader->env, made);
        return rc;
    }
    if (atomic_compare_exchange_strong(&state->at[source], &present, made)) {
        present = made;
    } else {
        rafsi_backend_close(&made->handle);
        rafsi_free(&reader->env, made);
    }
    *out = present;
    return RAFS_OK;
}

int rafsi_blob_fetch(struct rafsi_reader *reader, uint32_t blob,
                     const struct blob_source *at, uint32_t cause, uint64_t offset,
                     void *buf, size_t len, const rafs_call *call, rafs_error *err)
{
    bool remote = rafsi_backend_remote(reader->sources[at->source]);
    struct stats_request request;
    rafs_error local = RAFS_ERROR_INIT;
    uint64_t requests = 0;
    uint64_t begun, sent;
    int rc;

    if (remote)
        rafsi_health_ask(reader, at->source);
    rafsi_stats_ask(&reader->stats, &request, call);
    begun = request.timer.began_ns;
    if (cause == RAFS_CAUSE_AHEAD || cause == RAFS_CAUSE_PREFETCH)
        request.call.flags |= RAFS_CALL_AHEAD;
    rc = rafsi_backend_read(&at->handle, reader->tree->blobs[blob].id, offset, buf, len,
                            &request.call, &requests, &local);
    rafsi_stats_answered(&reader->stats, &request, at->source, cause, requests,
                         rc == RAFS_OK ? len : 0);
    /* Who was cancelled while it was at work says nothing of its health. */
    if (remote && rc == RAFS_OK && !rafs_cancel_fired(request.call.cancel))
        rafsi_health_answer(reader, at->source, len, rafsi_now_ns(&reader->env) - begun);
    else if (remote && rc < 0)
        note_failure(reader, blob, at->source, begun, rc);
    if (rc == RAFS_OK)
        return rc;
    sent = rafsi_tally_of(&request.tally, RAFS_EVENT_SENT);
    failed(reader, blob, at->source, cause,
           (uint32_t)rafsi_min(sent ? sent : requests, UINT32_MAX), &local);
    if (err)
        *err = local;
    return rc;
}

void rafsi_blob_strike(struct rafsi_reader *reader, uint32_t blob, size_t source,
                       uint32_t chunk, uint32_t cause, const rafs_error *error)
{
    struct blob_state *state = atomic_load(&reader->blobs[blob]);

    failed(reader, blob, source, cause, 1, error);
    rafsi_health_lie(reader, source, (uint64_t)blob << 32 | ((uint64_t)chunk + 1));
    if (state)
        atomic_fetch_add(&state->strikes[source], 1);
}

size_t rafsi_blob_order(struct rafsi_reader *reader, uint32_t blob,
                        size_t order[RAFS_SOURCES_MAX + 1])
{
    /* The carrier has just the blob that the bootstrap came out of. */
    bool carried = reader->tree->blobs[blob].features & RAFS_BLOB_INLINED_FS_META;
    enum health_rank ranks[RAFS_SOURCES_MAX + 1];
    size_t count = 0;

    for (size_t i = 0; i < reader->source_count; i++)
        ranks[i] = rafsi_health_rank(reader, blob, i);
    for (unsigned rank = HEALTH_GOOD; rank <= HEALTH_LIAR; rank++)
        for (size_t i = 0; i < reader->source_count; i++)
            if (reader->sources[i] && (i != 0 || carried) && ranks[i] == rank)
                order[count++] = i;
    return count;
}

void rafsi_blob_states_free(struct rafsi_reader *reader)
{
    for (uint32_t blob = 0; reader->blobs && blob < reader->tree->super.blob_count;
         blob++) {
        struct blob_state *state = atomic_load(&reader->blobs[blob]);

        for (size_t i = 0; state && i <= RAFS_SOURCES_MAX; i++) {
            struct blob_source *at = atomic_load(&state->at[i]);

            if (!at)
                continue;
            rafsi_meta_free(reader, atomic_load(&at->meta));
            rafsi_backend_close(&at->handle);
            rafsi_free(&reader->env, at);
        }
        rafsi_unused_free(reader, blob);
        if (state)
            rafsi_free(&reader->env, atomic_load(&state->digests));
        rafsi_free(&reader->env, state);
    }
    rafsi_free(&reader->env, reader->blobs);
}
