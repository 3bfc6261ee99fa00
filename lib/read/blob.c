/* SPDX-License-Identifier: Apache-2.0 */
#include "read/reader.h"

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

int rafsi_blob_open_at(struct rafsi_reader *reader, uint32_t blob, size_t source,
                       const rafs_call *call, struct blob_source **out, rafs_error *err)
{
    const char *id = reader->tree->blobs[blob].id;
    struct blob_source *present;
    struct blob_source *made;
    struct blob_state *state;
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
    rc = rafsi_backend_open(reader->sources[source], id, call, &made->handle, err);
    if (rc < 0) {
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
    uint64_t requests = 0;
    int rc = rafsi_backend_read(&at->handle, reader->tree->blobs[blob].id, offset, buf,
                                len, call, &requests, err);

    atomic_fetch_add_explicit(&reader->requests[cause], requests, memory_order_relaxed);
    if (rc == RAFS_OK)
        atomic_fetch_add_explicit(&reader->bytes[cause], len, memory_order_relaxed);
    return rc;
}

void rafsi_blob_strike(struct rafsi_reader *reader, uint32_t blob, size_t source)
{
    struct blob_state *state = atomic_load(&reader->blobs[blob]);

    atomic_fetch_add_explicit(&reader->refused, 1, memory_order_relaxed);
    if (state)
        atomic_fetch_add(&state->strikes[source], 1);
}

size_t rafsi_blob_order(struct rafsi_reader *reader, uint32_t blob,
                        size_t order[RAFS_SOURCES_MAX + 1])
{
    struct blob_state *state = atomic_load(&reader->blobs[blob]);
    /* The carrier has just the blob that the bootstrap came out of. */
    bool carried = reader->tree->blobs[blob].features & RAFS_BLOB_INLINED_FS_META;
    size_t count = 0;

    for (int lied = 0; lied < 2; lied++)
        for (size_t i = 0; i < reader->source_count; i++) {
            unsigned strikes = state ? atomic_load(&state->strikes[i]) : 0;

            if (!reader->sources[i] || (i == 0 && !carried) || (strikes != 0) != lied)
                continue;
            order[count++] = i;
        }
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
        if (state)
            rafsi_free(&reader->env, atomic_load(&state->digests));
        rafsi_free(&reader->env, state);
    }
    rafsi_free(&reader->env, reader->blobs);
}
