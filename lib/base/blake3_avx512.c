/* SPDX-License-Identifier: Apache-2.0 */
/* BLAKE3 on x86 with AVX-512: sixteen inputs side by side, or eight, or four. */

#include "base/blake3_impl.h"

#if RAFSI_BLAKE3_X86

#define TARGET __attribute__((target("avx512f,avx512vl")))

#define ROT16_4(x) _mm_ror_epi32(x, 16)
#define ROT12_4(x) _mm_ror_epi32(x, 12)
#define ROT8_4(x) _mm_ror_epi32(x, 8)
#define ROT7_4(x) _mm_ror_epi32(x, 7)
#include "base/blake3_x86.h"

#define ROT16_8(x) _mm256_ror_epi32(x, 16)
#define ROT12_8(x) _mm256_ror_epi32(x, 12)
#define ROT8_8(x) _mm256_ror_epi32(x, 8)
#define ROT7_8(x) _mm256_ror_epi32(x, 7)
#include "base/blake3_x86_wide.h"

/* In each 128-bit part: rows to columns of a 4x4 matrix of words. */
#define TRANSPOSE16(a, b, c, d)                        \
    do {                                               \
        __m512i ab_low = _mm512_unpacklo_epi32(a, b);  \
        __m512i ab_high = _mm512_unpackhi_epi32(a, b); \
        __m512i cd_low = _mm512_unpacklo_epi32(c, d);  \
        __m512i cd_high = _mm512_unpackhi_epi32(c, d); \
                                                       \
        a = _mm512_unpacklo_epi64(ab_low, cd_low);     \
        b = _mm512_unpackhi_epi64(ab_low, cd_low);     \
        c = _mm512_unpacklo_epi64(ab_high, cd_high);   \
        d = _mm512_unpackhi_epi64(ab_high, cd_high);   \
    } while (0)

TARGET static inline __m512i load512(const void *p)
{
    return _mm512_loadu_si512(p);
}

/* Inputs four apart share a vector, so that no word has to cross its 128-bit parts. */
TARGET static inline void load16(__m512i m[16], const uint8_t *const in[16], size_t at)
{
    BLAKE3_UNROLL
    for (size_t i = 0; i < 4; i++) {
        __m512i *to = m + 4 * i;

        BLAKE3_UNROLL
        for (size_t lane = 0; lane < 4; lane++) {
            const uint8_t *const *from = in + lane;
            __m256i low = _mm256_castsi128_si256(load128(from[0] + at + 16 * i));
            __m256i high = _mm256_castsi128_si256(load128(from[8] + at + 16 * i));

            low = _mm256_inserti32x4(low, load128(from[4] + at + 16 * i), 1);
            high = _mm256_inserti32x4(high, load128(from[12] + at + 16 * i), 1);
            to[lane] = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
        }
        TRANSPOSE16(to[0], to[1], to[2], to[3]);
    }
}

TARGET static inline void store16(uint8_t *out, __m512i h[8])
{
    TRANSPOSE16(h[0], h[1], h[2], h[3]);
    TRANSPOSE16(h[4], h[5], h[6], h[7]);
    BLAKE3_UNROLL
    for (size_t lane = 0; lane < 4; lane++) {
        uint8_t *to = out + 32 * lane;

        store128(to, _mm512_castsi512_si128(h[lane]));
        store128(to + 16, _mm512_castsi512_si128(h[4 + lane]));
        store128(to + 128, _mm512_extracti32x4_epi32(h[lane], 1));
        store128(to + 144, _mm512_extracti32x4_epi32(h[4 + lane], 1));
        store128(to + 256, _mm512_extracti32x4_epi32(h[lane], 2));
        store128(to + 272, _mm512_extracti32x4_epi32(h[4 + lane], 2));
        store128(to + 384, _mm512_extracti32x4_epi32(h[lane], 3));
        store128(to + 400, _mm512_extracti32x4_epi32(h[4 + lane], 3));
    }
}

#define LANES 16
#define VEC __m512i
#define ADD _mm512_add_epi32
#define XOR _mm512_xor_si512
#define SPLAT(word) _mm512_set1_epi32((int32_t)(word))
#define ROT16(x) _mm512_ror_epi32(x, 16)
#define ROT12(x) _mm512_ror_epi32(x, 12)
#define ROT8(x) _mm512_ror_epi32(x, 8)
#define ROT7(x) _mm512_ror_epi32(x, 7)
#define LOAD_WORDS load512
#define LOAD_BLOCKS load16
#define STORE_CVS store16
#define HASH_LANES hash16
#include "base/blake3_lanes.h"

static void hash_many(const struct rafsi_blake3_job *job, uint8_t *out)
{
    size_t n = job->inputs, first = 0;

    for (; n - first > 8; first += n - first < 16 ? n - first : 16)
        hash16(job, first, n - first < 16 ? n - first : 16, out);
    if (n - first > 4)
        hash8(job, first, n - first, out);
    else if (first < n)
        hash4(job, first, n - first, out);
}

const struct rafsi_blake3_ops rafsi_blake3_avx512 = {compress, hash_many};

#endif

/* ISO C asks for something in each file. */
typedef int rafsi_blake3_avx512_file;
