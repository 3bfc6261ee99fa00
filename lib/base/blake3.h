/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BASE_BLAKE3_H
#define RAFSI_BASE_BLAKE3_H

/*
 * BLAKE3: the unkeyed hash with 32 bytes of output, all that RAFS uses of it.
 *
 * The widest implementation that the processor has is chosen at run time. Nothing here
 * allocates, blocks, fails or keeps state outside the struct. Source: the BLAKE3 paper,
 * sections 2.1 to 2.5 (mode) and 5.1.2 (incremental hashing).
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RAFSI_BLAKE3_BYTES 32

/* An input is shorter than 2^64 bytes, so than 2^54 chunks: no path from the root to a
 * chunk is longer than 54. One slot more, as a subtree is merged only when its right
 * neighbour comes. */
#define RAFSI_BLAKE3_STACK 55

struct rafsi_blake3_ops;

/* A hash in progress; plain memory, copied by assignment, needs no clean-up. */
struct rafsi_blake3 {
    const struct rafsi_blake3_ops *ops;
    uint64_t chunks;    /* complete ones, all in the stack */
    uint32_t cv[8];     /* of the chunk under way, after its first `blocks` blocks */
    uint32_t blocks;    /* of the chunk under way, compressed */
    uint32_t block_len; /* bytes held back in `block`, 0 to 64 */
    uint32_t stack_len; /* subtrees in `stack` */
    uint32_t unused;    /* keeps the size the same everywhere */
    uint8_t block[64];  /* the last block differs by a flag, so one is held back */
    uint8_t stack[RAFSI_BLAKE3_STACK][RAFSI_BLAKE3_BYTES]; /* leftmost first */
};

void rafsi_blake3_init(struct rafsi_blake3 *state);

/* data may be NULL if len is 0. */
void rafsi_blake3_update(struct rafsi_blake3 *state, const void *data, size_t len);

/* The digest of what came so far; the state can go on with more. */
void rafsi_blake3_final(const struct rafsi_blake3 *state, uint8_t out[32]);

/* All at once; data may be NULL if len is 0. */
void rafsi_blake3(const void *data, size_t len, uint8_t out[32]);

#ifdef __cplusplus
}
#endif

#endif
