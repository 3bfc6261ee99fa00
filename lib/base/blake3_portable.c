/* SPDX-License-Identifier: Apache-2.0 */
/* BLAKE3 for any processor: right by construction whatever its byte order. */

#include "base/blake3_impl.h"

static inline uint32_t rotr(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static inline void mix(uint32_t v[16], unsigned a, unsigned b, unsigned c, unsigned d,
                       uint32_t mx, uint32_t my)
{
    v[a] = v[a] + v[b] + mx;
    v[d] = rotr(v[d] ^ v[a], 16);
    v[c] = v[c] + v[d];
    v[b] = rotr(v[b] ^ v[c], 12);
    v[a] = v[a] + v[b] + my;
    v[d] = rotr(v[d] ^ v[a], 8);
    v[c] = v[c] + v[d];
    v[b] = rotr(v[b] ^ v[c], 7);
}

#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15) \
    mix(v, 0, 4, 8, 12, m[s0], m[s1]);                                              \
    mix(v, 1, 5, 9, 13, m[s2], m[s3]);                                              \
    mix(v, 2, 6, 10, 14, m[s4], m[s5]);                                             \
    mix(v, 3, 7, 11, 15, m[s6], m[s7]);                                             \
    mix(v, 0, 5, 10, 15, m[s8], m[s9]);                                             \
    mix(v, 1, 6, 11, 12, m[s10], m[s11]);                                           \
    mix(v, 2, 7, 8, 13, m[s12], m[s13]);                                            \
    mix(v, 3, 4, 9, 14, m[s14], m[s15]);

static void compress(uint32_t cv[8], const uint8_t block[BLAKE3_BLOCK],
                     uint32_t block_len, uint64_t counter, uint32_t flags)
{
    uint32_t v[16] = {cv[0], cv[1], cv[2], cv[3], cv[4], cv[5], cv[6], cv[7], BLAKE3_IV};
    uint32_t m[16];

    v[12] = (uint32_t)counter;
    v[13] = (uint32_t)(counter >> 32);
    v[14] = block_len;
    v[15] = flags;
    for (size_t i = 0; i < 16; i++)
        m[i] = rafsi_blake3_load(block + 4 * i);
    BLAKE3_EACH_ROUND(ROUND)
    for (size_t i = 0; i < 8; i++)
        cv[i] = v[i] ^ v[i + 8];
}

static void hash_many(const struct rafsi_blake3_job *job, uint8_t *out)
{
    for (size_t i = 0; i < job->inputs; i++) {
        const uint8_t *in = job->in + i * job->stride;
        uint32_t cv[8] = {BLAKE3_IV};

        for (uint32_t b = 0; b < job->blocks; b++)
            compress(cv, in + (size_t)b * BLAKE3_BLOCK, BLAKE3_BLOCK,
                     job->counter + (job->step ? i : 0), rafsi_blake3_flags(job, b));
        rafsi_blake3_store(out + i * RAFSI_BLAKE3_BYTES, cv);
    }
}

const struct rafsi_blake3_ops rafsi_blake3_portable = {compress, hash_many};
