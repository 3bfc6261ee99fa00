/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of BLAKE3: chunks, parents and the root. How a block is compressed is chosen
 * from the other blake3_*.c. */

#include "base/blake3.h"

#include "base/blake3_impl.h"

/* Chunks hashed per pass: enough to fill the lanes of each level of the tree above them,
 * few enough that their chaining values (8 KiB) may lie on any stack. */
#define BATCH 256

static const uint32_t initial[8] = {BLAKE3_IV};

/* The compression functions of a level, or NULL. The widest needs byte permutes of no
 * kind: F for 16 lanes, VL for 4 and 8 lanes with rotates. */
static const struct rafsi_blake3_ops *ops_of(enum rafsi_blake3_level level)
{
    switch (level) {
    case RAFSI_BLAKE3_PORTABLE:
        return &rafsi_blake3_portable;
#if RAFSI_BLAKE3_X86
    case RAFSI_BLAKE3_SSE41:
        return __builtin_cpu_supports("sse4.1") ? &rafsi_blake3_sse41 : NULL;
    case RAFSI_BLAKE3_AVX2:
        return __builtin_cpu_supports("avx2") ? &rafsi_blake3_avx2 : NULL;
    case RAFSI_BLAKE3_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
                   ? &rafsi_blake3_avx512
                   : NULL;
#endif
#if RAFSI_BLAKE3_ARM
    case RAFSI_BLAKE3_NEON:
        return &rafsi_blake3_neon; /* part of the base architecture */
#endif
    default:
        return NULL;
    }
}

/* A few tests of a word that the compiler's start-up code filled; no state of ours. */
static const struct rafsi_blake3_ops *widest_ops(void)
{
    const struct rafsi_blake3_ops *ops = NULL;

    for (int level = RAFSI_BLAKE3_LEVELS - 1; ops == NULL; level--)
        ops = ops_of((enum rafsi_blake3_level)level);
    return ops;
}

static void start_chunk(struct rafsi_blake3 *state)
{
    memcpy(state->cv, initial, sizeof state->cv);
    state->blocks = 0;
    state->block_len = 0;
}

static void start(struct rafsi_blake3 *state, const struct rafsi_blake3_ops *ops)
{
    state->ops = ops;
    state->chunks = 0;
    state->stack_len = 0;
    state->unused = 0;
    start_chunk(state);
}

/* How many subtrees `chunks` complete chunks make: one per power of two in their number.
 */
static uint32_t subtrees(uint64_t chunks)
{
    return (uint32_t)__builtin_popcountll(chunks);
}

/* Merge what is complete. Only when more input is known to follow: the last merge of all
 * is the root, and carries its flag. */
static void merge(struct rafsi_blake3 *state)
{
    while (state->stack_len > subtrees(state->chunks)) {
        uint8_t *pair = state->stack[state->stack_len - 2];
        uint32_t cv[8] = {BLAKE3_IV};

        state->ops->compress(cv, pair, BLAKE3_BLOCK, 0, BLAKE3_PARENT);
        rafsi_blake3_store(pair, cv);
        state->stack_len--;
    }
}

/* Add a subtree of `chunks` chunks, a power of two that divides the number before it. */
static void push(struct rafsi_blake3 *state, const uint8_t cv[32], uint64_t chunks)
{
    merge(state);
    memcpy(state->stack[state->stack_len], cv, RAFSI_BLAKE3_BYTES);
    state->stack_len++;
    state->chunks += chunks;
}

/* The flag of the block under way, if it is not the last. */
static uint32_t start_flag(const struct rafsi_blake3 *state)
{
    return state->blocks == 0 ? BLAKE3_CHUNK_START : 0;
}

/* End the chunk under way, which is full, knowing that more input follows. */
static void end_chunk(struct rafsi_blake3 *state)
{
    uint8_t cv[RAFSI_BLAKE3_BYTES];

    state->ops->compress(state->cv, state->block, state->block_len, state->chunks,
                         start_flag(state) | BLAKE3_CHUNK_END);
    rafsi_blake3_store(cv, state->cv);
    push(state, cv, 1);
    start_chunk(state);
}

static void add_block(struct rafsi_blake3 *state, const uint8_t *block)
{
    state->ops->compress(state->cv, block, BLAKE3_BLOCK, state->chunks,
                         start_flag(state));
    state->blocks++;
    state->block_len = 0;
}

/* Add to the chunk under way, which has room for len > 0 bytes more. */
static void add_to_chunk(struct rafsi_blake3 *state, const uint8_t *in, size_t len)
{
    if (state->block_len > 0) {
        size_t room = BLAKE3_BLOCK - state->block_len;
        size_t take = len < room ? len : room;

        memcpy(state->block + state->block_len, in, take);
        state->block_len += (uint32_t)take;
        in += take;
        len -= take;
        if (len == 0)
            return;
        add_block(state, state->block);
    }
    for (; len > BLAKE3_BLOCK; in += BLAKE3_BLOCK, len -= BLAKE3_BLOCK)
        add_block(state, in);
    memcpy(state->block, in, len);
    state->block_len = (uint32_t)len;
}

/*
 * Reduce the n chaining values in cvs, of a subtree whose size n is a power of two, to
 * the two below its top, in place. The top is left to merge(), for it may be the root.
 */
static void reduce(const struct rafsi_blake3_ops *ops, uint8_t *cvs, size_t n)
{
    struct rafsi_blake3_job job = {
        .in = cvs, .stride = BLAKE3_BLOCK, .blocks = 1, .flags = BLAKE3_PARENT};

    for (; n > 2; n /= 2) {
        job.inputs = n / 2;
        ops->hash_many(&job, cvs);
    }
}

/* The largest subtree that can start after `before` chunks and has at most n. */
static size_t subtree_size(uint64_t before, size_t n)
{
    size_t size = 1;

    while (size * 2 <= n && before % (size * 2) == 0)
        size *= 2;
    return size;
}

/* Add n complete chunks, at most BATCH. All are hashed side by side, whatever the shape
 * of the tree above them. If it is one chunk alone, more input follows. */
static void add_chunks(struct rafsi_blake3 *state, const uint8_t *in, size_t n)
{
    uint8_t cvs[BATCH * RAFSI_BLAKE3_BYTES];
    const struct rafsi_blake3_job job = {.in = in,
                                         .inputs = n,
                                         .stride = BLAKE3_CHUNK,
                                         .blocks = BLAKE3_CHUNK / BLAKE3_BLOCK,
                                         .step = 1,
                                         .counter = state->chunks};

    state->ops->hash_many(&job, cvs);
    for (size_t done = 0; done < n;) {
        uint8_t *subtree = cvs + done * RAFSI_BLAKE3_BYTES;
        size_t size = subtree_size(state->chunks, n - done);

        if (size == 1) {
            push(state, subtree, 1);
        } else {
            reduce(state->ops, subtree, size);
            push(state, subtree, size / 2);
            push(state, subtree + RAFSI_BLAKE3_BYTES, size / 2);
        }
        done += size;
    }
}

void rafsi_blake3_init(struct rafsi_blake3 *state)
{
    start(state, widest_ops());
}

void rafsi_blake3_update(struct rafsi_blake3 *state, const void *data, size_t len)
{
    const uint8_t *in = data;
    size_t held = (size_t)state->blocks * BLAKE3_BLOCK + state->block_len;

    if (len == 0)
        return;
    if (held > 0) {
        size_t take = len < BLAKE3_CHUNK - held ? len : BLAKE3_CHUNK - held;

        if (take > 0)
            add_to_chunk(state, in, take);
        in += take;
        len -= take;
        if (len == 0)
            return;
        end_chunk(state);
    }
    while (len > BLAKE3_CHUNK) {
        size_t n = len / BLAKE3_CHUNK < BATCH ? len / BLAKE3_CHUNK : BATCH;

        add_chunks(state, in, n);
        in += n * BLAKE3_CHUNK;
        len -= n * BLAKE3_CHUNK;
    }
    if (len > 0) {
        merge(state);
        add_to_chunk(state, in, len);
    }
}

void rafsi_blake3_final(const struct rafsi_blake3 *state, uint8_t out[32])
{
    uint32_t left = state->stack_len;
    uint32_t cv[8];
    uint8_t block[BLAKE3_BLOCK] = {0};

    if (state->block_len > 0 || left == 0) {
        uint32_t flags = start_flag(state) | BLAKE3_CHUNK_END;

        memcpy(cv, state->cv, sizeof cv);
        memcpy(block, state->block, state->block_len);
        state->ops->compress(cv, block, state->block_len, state->chunks,
                             flags | (left == 0 ? BLAKE3_ROOT : 0));
        rafsi_blake3_store(block + RAFSI_BLAKE3_BYTES, cv);
    } else {
        left--;
        memcpy(block + RAFSI_BLAKE3_BYTES, state->stack[left], RAFSI_BLAKE3_BYTES);
    }
    while (left > 0) {
        left--;
        memcpy(block, state->stack[left], RAFSI_BLAKE3_BYTES);
        memcpy(cv, initial, sizeof cv);
        state->ops->compress(cv, block, BLAKE3_BLOCK, 0,
                             BLAKE3_PARENT | (left == 0 ? BLAKE3_ROOT : 0));
        rafsi_blake3_store(block + RAFSI_BLAKE3_BYTES, cv);
    }
    memcpy(out, block + RAFSI_BLAKE3_BYTES, RAFSI_BLAKE3_BYTES);
}

static void hash_with(const struct rafsi_blake3_ops *ops, const void *data, size_t len,
                      uint8_t out[32])
{
    struct rafsi_blake3 state;

    start(&state, ops);
    rafsi_blake3_update(&state, data, len);
    rafsi_blake3_final(&state, out);
}

void rafsi_blake3(const void *data, size_t len, uint8_t out[32])
{
    hash_with(widest_ops(), data, len, out);
}

bool rafsi_blake3_init_with(enum rafsi_blake3_level level, struct rafsi_blake3 *state)
{
    const struct rafsi_blake3_ops *ops = ops_of(level);

    if (ops != NULL)
        start(state, ops);
    return ops != NULL;
}

bool rafsi_blake3_with(enum rafsi_blake3_level level, const void *data, size_t len,
                       uint8_t out[32])
{
    const struct rafsi_blake3_ops *ops = ops_of(level);

    if (ops != NULL)
        hash_with(ops, data, len, out);
    return ops != NULL;
}
