/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BLAKE3 on x86 with 256-bit vectors: eight inputs side by side. Included once per level,
 * after blake3_x86.h and the definitions of ROT16_8, ROT12_8, ROT8_8, ROT7_8 (each word
 * of a 256-bit vector rotated right); makes hash8().
 */

/* In each 128-bit part: rows to columns of a 4x4 matrix of words. */
#define TRANSPOSE8(a, b, c, d)                         \
    do {                                               \
        __m256i ab_low = _mm256_unpacklo_epi32(a, b);  \
        __m256i ab_high = _mm256_unpackhi_epi32(a, b); \
        __m256i cd_low = _mm256_unpacklo_epi32(c, d);  \
        __m256i cd_high = _mm256_unpackhi_epi32(c, d); \
                                                       \
        a = _mm256_unpacklo_epi64(ab_low, cd_low);     \
        b = _mm256_unpackhi_epi64(ab_low, cd_low);     \
        c = _mm256_unpacklo_epi64(ab_high, cd_high);   \
        d = _mm256_unpackhi_epi64(ab_high, cd_high);   \
    } while (0)

TARGET static inline __m256i load256(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* Inputs four apart share a vector, so that no word has to cross its 128-bit parts. */
TARGET static inline void load8(__m256i m[16], const uint8_t *const in[8], size_t at)
{
    BLAKE3_UNROLL
    for (size_t i = 0; i < 4; i++) {
        __m256i *to = m + 4 * i;

        BLAKE3_UNROLL
        for (size_t lane = 0; lane < 4; lane++) {
            to[lane] = _mm256_castsi128_si256(load128(in[lane] + at + 16 * i));
            to[lane] =
                _mm256_inserti128_si256(to[lane], load128(in[lane + 4] + at + 16 * i), 1);
        }
        TRANSPOSE8(to[0], to[1], to[2], to[3]);
    }
}

TARGET static inline void store8(uint8_t *out, __m256i h[8])
{
    TRANSPOSE8(h[0], h[1], h[2], h[3]);
    TRANSPOSE8(h[4], h[5], h[6], h[7]);
    BLAKE3_UNROLL
    for (size_t lane = 0; lane < 4; lane++) {
        uint8_t *low = out + 32 * lane, *high = low + 128;

        store128(low, _mm256_castsi256_si128(h[lane]));
        store128(low + 16, _mm256_castsi256_si128(h[4 + lane]));
        store128(high, _mm256_extracti128_si256(h[lane], 1));
        store128(high + 16, _mm256_extracti128_si256(h[4 + lane], 1));
    }
}

#define LANES 8
#define VEC __m256i
#define ADD _mm256_add_epi32
#define XOR _mm256_xor_si256
#define SPLAT(word) _mm256_set1_epi32((int32_t)(word))
#define ROT16 ROT16_8
#define ROT12 ROT12_8
#define ROT8 ROT8_8
#define ROT7 ROT7_8
#define LOAD_WORDS load256
#define LOAD_BLOCKS load8
#define STORE_CVS store8
#define HASH_LANES hash8
#include "base/blake3_lanes.h"
