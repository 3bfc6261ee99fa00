/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BASE_BLAKE3_IMPL_H
#define RAFSI_BASE_BLAKE3_IMPL_H

/*
 * What the tree part of BLAKE3 (blake3.c) and its compression functions share. Tests may
 * include it to force one implementation; nobody else does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/blake3.h"

#if defined(__x86_64__)
#define RAFSI_BLAKE3_X86 1
#else
#define RAFSI_BLAKE3_X86 0
#endif

#if defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define RAFSI_BLAKE3_ARM 1
#else
#define RAFSI_BLAKE3_ARM 0
#endif

/* Loops of constant length over vectors: gcc keeps the vectors in registers only if the
 * loop is gone, and at -O2 it leaves it; 5.0 instead of 6.0 GB/s at 16 lanes. */
#if defined(__clang__)
#define BLAKE3_UNROLL
#else
#define BLAKE3_UNROLL _Pragma("GCC unroll 16")
#endif

#define BLAKE3_BLOCK 64
#define BLAKE3_CHUNK 1024

enum {
    BLAKE3_CHUNK_START = 1,
    BLAKE3_CHUNK_END = 2,
    BLAKE3_PARENT = 4,
    BLAKE3_ROOT = 8,
};

/* The initial value, that of SHA-256, as a list to fill arrays with. */
#define BLAKE3_IV                                                                       \
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, \
        0x5be0cd19

/* R(which message word goes where) for each of the seven rounds: the paper's permutation
 * 2 6 3 10 7 0 4 13 1 11 12 5 9 14 15 8, applied once more per line. */
#define BLAKE3_EACH_ROUND(R)                                \
    R(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) \
    R(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8) \
    R(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1) \
    R(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6) \
    R(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4) \
    R(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7) \
    R(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13)

/* Inputs of one length, `stride` bytes apart and hashed side by side: chunks or parents.
 */
struct rafsi_blake3_job {
    const uint8_t *in;
    size_t inputs; /* more than 0 */
    size_t stride;
    uint32_t blocks;  /* of 64 bytes, in each input */
    uint32_t step;    /* 1: inputs are chunks and numbered from `counter`; 0: parents */
    uint64_t counter; /* of the first input */
    uint32_t flags;   /* of every block; chunks add start and end */
};

/* Chaining values in `stack` and in `out` are bytes, little endian, as parents eat them.
 */
struct rafsi_blake3_ops {
    /* One block into cv. */
    void (*compress)(uint32_t cv[8], const uint8_t block[BLAKE3_BLOCK],
                     uint32_t block_len, uint64_t counter, uint32_t flags);
    /* Inputs to as many chaining values. `out` may be job->in: an input is read before
     * the value is written that lies on it. */
    void (*hash_many)(const struct rafsi_blake3_job *job, uint8_t *out);
};

enum rafsi_blake3_level {
    RAFSI_BLAKE3_PORTABLE,
    RAFSI_BLAKE3_SSE41,
    RAFSI_BLAKE3_AVX2,
    RAFSI_BLAKE3_AVX512,
    RAFSI_BLAKE3_NEON,
    RAFSI_BLAKE3_LEVELS
};

extern const struct rafsi_blake3_ops rafsi_blake3_portable;
#if RAFSI_BLAKE3_X86
extern const struct rafsi_blake3_ops rafsi_blake3_sse41;
extern const struct rafsi_blake3_ops rafsi_blake3_avx2;
extern const struct rafsi_blake3_ops rafsi_blake3_avx512;
#endif
#if RAFSI_BLAKE3_ARM
extern const struct rafsi_blake3_ops rafsi_blake3_neon;
#endif

/* For tests: false, and nothing done, if level is not compiled in or the processor does
 * not have it. */
bool rafsi_blake3_init_with(enum rafsi_blake3_level level, struct rafsi_blake3 *state);
bool rafsi_blake3_with(enum rafsi_blake3_level level, const void *data, size_t len,
                       uint8_t out[32]);

/* The flags of one block of an input. */
static inline uint32_t rafsi_blake3_flags(const struct rafsi_blake3_job *job,
                                          uint32_t block)
{
    uint32_t start = block == 0 ? BLAKE3_CHUNK_START : 0;
    uint32_t end = block + 1 == job->blocks ? BLAKE3_CHUNK_END : 0;

    return job->flags | (job->step ? start | end : 0);
}

/* How far past the start of an input lies the block worth fetching from memory while
 * block `block` is mixed: four on, in this input or in the one that its lane gets next.
 * Processors follow fewer streams than there are lanes on their own: without this, 16
 * lanes read 16 MiB a quarter slower. */
static inline size_t rafsi_blake3_ahead(const struct rafsi_blake3_job *job, size_t lanes,
                                        uint32_t block)
{
    size_t to = (size_t)block + 4;

    if (to >= job->blocks)
        return lanes * job->stride + (to - job->blocks) * BLAKE3_BLOCK;
    return to * BLAKE3_BLOCK;
}

static inline uint32_t rafsi_blake3_load(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static inline void rafsi_blake3_store(uint8_t out[32], const uint32_t cv[8])
{
    for (size_t i = 0; i < 8; i++) {
        out[4 * i] = (uint8_t)cv[i];
        out[4 * i + 1] = (uint8_t)(cv[i] >> 8);
        out[4 * i + 2] = (uint8_t)(cv[i] >> 16);
        out[4 * i + 3] = (uint8_t)(cv[i] >> 24);
    }
}

#endif
