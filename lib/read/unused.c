/* SPDX-License-Identifier: Apache-2.0 */
#include "read/reader.h"

/* A bit for each chunk of a blob. */
struct unused {
    uint64_t words;
    atomic_uint_least64_t at[];
};

static struct unused *make(struct rafsi_reader *reader, uint32_t blob)
{
    uint64_t words = ((uint64_t)reader->tree->blobs[blob].chunk_count + 63) / 64;
    size_t bytes = (size_t)words * sizeof(((struct unused *)0)->at[0]);
    struct unused *unused;

    if (words == 0)
        return NULL;
    unused = rafsi_alloc_zero(&reader->env, sizeof(*unused) + bytes);
    if (unused)
        unused->words = words;
    return unused;
}

static struct unused *of_blob(struct rafsi_reader *reader, uint32_t blob, bool wanted)
{
    struct blob_state *state = atomic_load(&reader->blobs[blob]);
    struct unused *present = NULL;
    struct unused *made;

    if (state)
        present = atomic_load_explicit(&state->unused, memory_order_acquire);
    if (present || !state || !wanted)
        return present;
    made = make(reader, blob);
    if (!made || atomic_compare_exchange_strong(&state->unused, &present, made))
        return made;
    rafsi_free(&reader->env, made);
    return present;
}

bool rafsi_unused_set(struct rafsi_reader *reader, const struct rafsi_chunk *chunk)
{
    struct unused *unused = of_blob(reader, chunk->record.blob, true);
    uint64_t bit = UINT64_C(1) << chunk->record.index % 64;

    if (!unused || chunk->record.index / 64 >= unused->words)
        return false;
    return !(atomic_fetch_or(&unused->at[chunk->record.index / 64], bit) & bit);
}

bool rafsi_unused_clear(struct rafsi_reader *reader, const struct rafsi_chunk *chunk)
{
    struct unused *unused = of_blob(reader, chunk->record.blob, false);
    uint64_t bit = UINT64_C(1) << chunk->record.index % 64;
    atomic_uint_least64_t *word;

    if (!unused || chunk->record.index / 64 >= unused->words)
        return false;
    word = &unused->at[chunk->record.index / 64];
    /* Most are used for the second time: they leave the line to whoever shares it. */
    return (atomic_load_explicit(word, memory_order_relaxed) & bit) &&
           (atomic_fetch_and(word, ~bit) & bit);
}

bool rafsi_unused_has(struct rafsi_reader *reader, const struct rafsi_chunk *chunk)
{
    struct unused *unused = of_blob(reader, chunk->record.blob, false);

    return unused && chunk->record.index / 64 < unused->words &&
           atomic_load_explicit(&unused->at[chunk->record.index / 64],
                                memory_order_relaxed) >>
                   chunk->record.index % 64 &
               1;
}

void rafsi_unused_free(struct rafsi_reader *reader, uint32_t blob)
{
    struct blob_state *state = atomic_load(&reader->blobs[blob]);

    if (state)
        rafsi_free(&reader->env, atomic_load(&state->unused));
}
