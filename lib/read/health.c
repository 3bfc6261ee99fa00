/* SPDX-License-Identifier: Apache-2.0 */
#include "read/reader.h"

enum {
    SMALL_MAX = 128 << 10, /* bytes of an answer whose time is that of a round trip */
    COOL_FIRST_MS = 500,
    COOL_MOST_MS = 30000,
    PROBE_MS = 2000,   /* while one request tries it, the others do not */
    ABSENT_MS = 30000, /* a mirror may get a blob later */
    WEIGHT = 8         /* of the past in the average */
};

static uint64_t ms_from_now(const struct rafsi_reader *reader, uint64_t ms)
{
    return rafsi_now_ns(&reader->env) + ms * 1000000;
}

static bool is_liar(const struct source_health *health)
{
    /* Places are filled in order, so the last tells of all. */
    return atomic_load_explicit(&health->lies[HEALTH_LIES - 1], memory_order_relaxed);
}

enum health_rank rafsi_health_rank(struct rafsi_reader *reader, uint32_t blob,
                                   size_t source)
{
    struct source_health *health = &reader->health[source];
    struct blob_state *state = atomic_load(&reader->blobs[blob]);
    uint64_t absent = 0;
    bool failed;

    if (is_liar(health) || (state && atomic_load(&state->strikes[source])))
        return HEALTH_LIAR;
    if (state)
        absent =
            atomic_load_explicit(&state->absent_until_ns[source], memory_order_relaxed);
    failed = atomic_load_explicit(&health->failures, memory_order_relaxed);
    if (absent == 0 && !failed)
        return HEALTH_GOOD; /* without a look at the clock */
    if (absent > rafsi_now_ns(&reader->env))
        return HEALTH_ABSENT;
    return failed && atomic_load_explicit(&health->until_ns, memory_order_relaxed) >
                         rafsi_now_ns(&reader->env)
               ? HEALTH_COOLING
               : HEALTH_GOOD;
}

void rafsi_health_ask(struct rafsi_reader *reader, size_t source)
{
    struct source_health *health = &reader->health[source];
    uint64_t until;

    if (!atomic_load_explicit(&health->failures, memory_order_relaxed))
        return;
    until = atomic_load_explicit(&health->until_ns, memory_order_relaxed);
    if (until <= rafsi_now_ns(&reader->env))
        atomic_compare_exchange_strong(&health->until_ns, &until,
                                       ms_from_now(reader, PROBE_MS));
}

void rafsi_health_answer(struct rafsi_reader *reader, size_t source, size_t len,
                         uint64_t ns)
{
    struct source_health *health = &reader->health[source];
    atomic_uint_least64_t *average = &health->average_ns[len > SMALL_MAX];
    uint64_t before = atomic_load_explicit(average, memory_order_relaxed);

    if (ns == 0)
        ns = 1;
    /* Of two answers at once one may be lost, which an average can bear. */
    if (before == 0)
        atomic_store_explicit(average, ns, memory_order_relaxed);
    else
        atomic_store_explicit(average, before - before / WEIGHT + ns / WEIGHT,
                              memory_order_relaxed);
    if (atomic_load_explicit(&health->failures, memory_order_relaxed))
        atomic_store_explicit(&health->failures, 0, memory_order_relaxed);
}

void rafsi_health_fail(struct rafsi_reader *reader, uint32_t blob, size_t source, int rc)
{
    struct source_health *health = &reader->health[source];
    struct blob_state *state = atomic_load(&reader->blobs[blob]);
    unsigned failures;

    if (!rafsi_backend_remote(reader->sources[source]))
        return;
    if (rc == RAFS_E_NOENT) {
        if (state)
            atomic_store_explicit(&state->absent_until_ns[source],
                                  ms_from_now(reader, ABSENT_MS), memory_order_relaxed);
        return;
    }
    failures = atomic_fetch_add_explicit(&health->failures, 1, memory_order_relaxed);
    atomic_store_explicit(
        &health->until_ns,
        ms_from_now(reader, rafsi_min((uint64_t)COOL_FIRST_MS << rafsi_min(failures, 16),
                                      COOL_MOST_MS)),
        memory_order_relaxed);
}

void rafsi_health_lie(struct rafsi_reader *reader, size_t source, uint64_t chunk)
{
    struct source_health *health = &reader->health[source];

    for (size_t i = 0; i < HEALTH_LIES; i++) {
        uint64_t present = 0;

        if (atomic_compare_exchange_strong(&health->lies[i], &present, chunk) ||
            present == chunk)
            return;
    }
}

uint64_t rafsi_health_usual_ns(const struct rafsi_reader *reader, size_t source,
                               size_t len)
{
    const struct source_health *health = &reader->health[source];
    uint64_t usual =
        atomic_load_explicit(&health->average_ns[len > SMALL_MAX], memory_order_relaxed);

    if (usual == 0)
        usual = atomic_load_explicit(&health->average_ns[len <= SMALL_MAX],
                                     memory_order_relaxed);
    return usual;
}
