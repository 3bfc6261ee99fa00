/* SPDX-License-Identifier: Apache-2.0 */
/* BLAKE3 on arm64: four inputs side by side. A block alone goes the portable way. */

#include "base/blake3_impl.h"

#if RAFSI_BLAKE3_ARM

#include <arm_neon.h>

#define TARGET

/* Half words swap in one step, the other distances take a shift and a shift-insert. */
#define ROTATE(x, n) vsriq_n_u32(vshlq_n_u32(x, 32 - (n)), x, n)

/* Rows to columns of a 4x4 matrix of words. */
#define TRANSPOSE4(a, b, c, d)                                                \
    do {                                                                      \
        uint32x4x2_t ab = vtrnq_u32(a, b);                                    \
        uint32x4x2_t cd = vtrnq_u32(c, d);                                    \
                                                                              \
        a = vcombine_u32(vget_low_u32(ab.val[0]), vget_low_u32(cd.val[0]));   \
        b = vcombine_u32(vget_low_u32(ab.val[1]), vget_low_u32(cd.val[1]));   \
        c = vcombine_u32(vget_high_u32(ab.val[0]), vget_high_u32(cd.val[0])); \
        d = vcombine_u32(vget_high_u32(ab.val[1]), vget_high_u32(cd.val[1])); \
    } while (0)

/* By bytes, for inputs may lie anywhere; little endian as this file is. */
static inline void load4(uint32x4_t m[16], const uint8_t *const in[4], size_t at)
{
    BLAKE3_UNROLL
    for (size_t i = 0; i < 4; i++) {
        uint32x4_t *to = m + 4 * i;

        BLAKE3_UNROLL
        for (size_t lane = 0; lane < 4; lane++)
            to[lane] = vreinterpretq_u32_u8(vld1q_u8(in[lane] + at + 16 * i));
        TRANSPOSE4(to[0], to[1], to[2], to[3]);
    }
}

static inline void store4(uint8_t *out, uint32x4_t h[8])
{
    TRANSPOSE4(h[0], h[1], h[2], h[3]);
    TRANSPOSE4(h[4], h[5], h[6], h[7]);
    BLAKE3_UNROLL
    for (size_t lane = 0; lane < 4; lane++) {
        vst1q_u8(out + 32 * lane, vreinterpretq_u8_u32(h[lane]));
        vst1q_u8(out + 32 * lane + 16, vreinterpretq_u8_u32(h[4 + lane]));
    }
}

#define LANES 4
#define VEC uint32x4_t
#define ADD vaddq_u32
#define XOR veorq_u32
#define SPLAT vdupq_n_u32
#define ROT16(x) vreinterpretq_u32_u16(vrev32q_u16(vreinterpretq_u16_u32(x)))
#define ROT12(x) ROTATE(x, 12)
#define ROT8(x) ROTATE(x, 8)
#define ROT7(x) ROTATE(x, 7)
#define LOAD_WORDS vld1q_u32
#define LOAD_BLOCKS load4
#define STORE_CVS store4
#define HASH_LANES hash4
#include "base/blake3_lanes.h"

static void compress(uint32_t cv[8], const uint8_t block[BLAKE3_BLOCK],
                     uint32_t block_len, uint64_t counter, uint32_t flags)
{
    rafsi_blake3_portable.compress(cv, block, block_len, counter, flags);
}

static void hash_many(const struct rafsi_blake3_job *job, uint8_t *out)
{
    size_t n = job->inputs;

    for (size_t first = 0; first < n; first += 4)
        hash4(job, first, n - first < 4 ? n - first : 4, out);
}

const struct rafsi_blake3_ops rafsi_blake3_neon = {compress, hash_many};

#endif

/* ISO C asks for something in each file. */
typedef int rafsi_blake3_neon_file;
