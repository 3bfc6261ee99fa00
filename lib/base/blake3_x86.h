/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the x86 levels of BLAKE3 share: 128-bit vectors, for four inputs side by side and
 * for one block alone. Included once per level, after TARGET (an attribute) and
 * ROT16_4, ROT12_4, ROT8_4, ROT7_4 (each word of a 128-bit vector rotated right) are
 * defined; makes compress(), load4(), store4() and hash4().
 */

#include <immintrin.h>

#include "base/blake3_impl.h"

/* Rows to columns of a 4x4 matrix of words. */
#define TRANSPOSE4(a, b, c, d)                      \
    do {                                            \
        __m128i ab_low = _mm_unpacklo_epi32(a, b);  \
        __m128i ab_high = _mm_unpackhi_epi32(a, b); \
        __m128i cd_low = _mm_unpacklo_epi32(c, d);  \
        __m128i cd_high = _mm_unpackhi_epi32(c, d); \
                                                    \
        a = _mm_unpacklo_epi64(ab_low, cd_low);     \
        b = _mm_unpackhi_epi64(ab_low, cd_low);     \
        c = _mm_unpacklo_epi64(ab_high, cd_high);   \
        d = _mm_unpackhi_epi64(ab_high, cd_high);   \
    } while (0)

TARGET static inline __m128i load128(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

TARGET static inline void store128(void *p, __m128i x)
{
    _mm_storeu_si128((__m128i *)p, x);
}

TARGET static inline void load4(__m128i m[16], const uint8_t *const in[4], size_t at)
{
    BLAKE3_UNROLL
    for (size_t i = 0; i < 4; i++) {
        __m128i *to = m + 4 * i;

        BLAKE3_UNROLL
        for (size_t lane = 0; lane < 4; lane++)
            to[lane] = load128(in[lane] + at + 16 * i);
        TRANSPOSE4(to[0], to[1], to[2], to[3]);
    }
}

TARGET static inline void store4(uint8_t *out, __m128i h[8])
{
    TRANSPOSE4(h[0], h[1], h[2], h[3]);
    TRANSPOSE4(h[4], h[5], h[6], h[7]);
    BLAKE3_UNROLL
    for (size_t lane = 0; lane < 4; lane++) {
        store128(out + 32 * lane, h[lane]);
        store128(out + 32 * lane + 16, h[4 + lane]);
    }
}

#define LANES 4
#define VEC __m128i
#define ADD _mm_add_epi32
#define XOR _mm_xor_si128
#define SPLAT(word) _mm_set1_epi32((int32_t)(word))
#define ROT16 ROT16_4
#define ROT12 ROT12_4
#define ROT8 ROT8_4
#define ROT7 ROT7_4
#define LOAD_WORDS load128
#define LOAD_BLOCKS load4
#define STORE_CVS store4
#define HASH_LANES hash4
#include "base/blake3_lanes.h"

/* The four columns of one block at once: a, b, c, d are the rows of the state. */
#define MIX_ROWS(mx, my)                        \
    a = _mm_add_epi32(_mm_add_epi32(a, mx), b); \
    d = ROT16_4(_mm_xor_si128(d, a));           \
    c = _mm_add_epi32(c, d);                    \
    b = ROT12_4(_mm_xor_si128(b, c));           \
    a = _mm_add_epi32(_mm_add_epi32(a, my), b); \
    d = ROT8_4(_mm_xor_si128(d, a));            \
    c = _mm_add_epi32(c, d);                    \
    b = ROT7_4(_mm_xor_si128(b, c));

/* Lanes i of x, j of x, k of y, l of y. */
#define PICK(x, y, i, j, k, l)                                                \
    _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(x), _mm_castsi128_ps(y), \
                                    _MM_SHUFFLE(l, k, j, i)))
#define SHUFFLE(x, i, j, k, l) _mm_shuffle_epi32(x, _MM_SHUFFLE(l, k, j, i))
/* The lanes in mask (1, 2, 4, 8 for lane 0, 1, 2, 3) from y, the others from x. */
#define BLEND(x, y, mask) \
    _mm_castps_si128(_mm_blend_ps(_mm_castsi128_ps(x), _mm_castsi128_ps(y), mask))

/*
 * One block.
 *
 * The message lies in four vectors that fit the mixing steps: x0 = words 0 2 4 6 and
 * y0 = 1 3 5 7 for the columns, x1 = 14 8 10 12 and y1 = 15 9 11 13 for the diagonals.
 * The latter begin with the last diagonal, because row b, the last to be ready, stays
 * where it is and the other rows are turned against it.
 */
TARGET static void compress(uint32_t cv[8], const uint8_t block[BLAKE3_BLOCK],
                            uint32_t block_len, uint64_t counter, uint32_t flags)
{
    static const uint32_t iv[8] = {BLAKE3_IV};
    __m128i a = load128(cv), b = load128(cv + 4), c = load128(iv);
    __m128i d = _mm_set_epi32((int32_t)flags, (int32_t)block_len,
                              (int32_t)(counter >> 32), (int32_t)counter);
    __m128i m0 = load128(block), m1 = load128(block + 16);
    __m128i m2 = load128(block + 32), m3 = load128(block + 48);
    __m128i x0 = PICK(m0, m1, 0, 2, 0, 2), y0 = PICK(m0, m1, 1, 3, 1, 3);
    __m128i x1 = SHUFFLE(PICK(m2, m3, 0, 2, 0, 2), 3, 0, 1, 2);
    __m128i y1 = SHUFFLE(PICK(m2, m3, 1, 3, 1, 3), 3, 0, 1, 2);

    for (int round = 0;; round++) {
        __m128i next_x0, next_y0, next_x1, next_y1;

        MIX_ROWS(x0, y0)
        a = SHUFFLE(a, 3, 0, 1, 2);
        c = SHUFFLE(c, 1, 2, 3, 0);
        d = SHUFFLE(d, 2, 3, 0, 1);
        MIX_ROWS(x1, y1)
        a = SHUFFLE(a, 1, 2, 3, 0);
        c = SHUFFLE(c, 3, 0, 1, 2);
        d = SHUFFLE(d, 2, 3, 0, 1);
        if (round == 6)
            break;

        /* The permutation of the words, in their places above: x0 = 2 3 7 4,
         * y0 = 6 10 0 13, x1 = 15 1 12 9, y1 = 8 11 5 14. */
        next_x0 = SHUFFLE(PICK(x0, y0, 1, 2, 1, 3), 0, 2, 3, 1);
        next_y0 = BLEND(SHUFFLE(x0, 3, 3, 0, 0), SHUFFLE(x1, 2, 2, 2, 2), 2);
        next_y0 = BLEND(next_y0, y1, 8);
        next_x1 = SHUFFLE(_mm_unpacklo_epi32(y1, y0), 0, 1, 2, 2);
        next_x1 = BLEND(next_x1, SHUFFLE(x1, 3, 3, 3, 3), 4);
        next_y1 = BLEND(SHUFFLE(x1, 1, 1, 0, 0), SHUFFLE(y1, 2, 2, 2, 2), 2);
        next_y1 = BLEND(next_y1, y0, 4);
        x0 = next_x0;
        y0 = next_y0;
        x1 = next_x1;
        y1 = next_y1;
    }
    store128(cv, _mm_xor_si128(a, c));
    store128(cv + 4, _mm_xor_si128(b, d));
}
