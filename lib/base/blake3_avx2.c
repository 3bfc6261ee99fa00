/* SPDX-License-Identifier: Apache-2.0 */
/* BLAKE3 on x86 with AVX2: eight inputs side by side, or four. */

#include "base/blake3_impl.h"

#if RAFSI_BLAKE3_X86

#define TARGET __attribute__((target("avx2")))

/* Whole bytes move by one shuffle, other distances take two shifts. */
#define BYTES(i, j, k, l)                                                             \
    _mm_setr_epi8(i, j, k, l, i + 4, j + 4, k + 4, l + 4, i + 8, j + 8, k + 8, l + 8, \
                  i + 12, j + 12, k + 12, l + 12)
#define ROTATE_4(x, n) _mm_or_si128(_mm_srli_epi32(x, n), _mm_slli_epi32(x, 32 - (n)))
#define ROT16_4(x) _mm_shuffle_epi8(x, BYTES(2, 3, 0, 1))
#define ROT12_4(x) ROTATE_4(x, 12)
#define ROT8_4(x) _mm_shuffle_epi8(x, BYTES(1, 2, 3, 0))
#define ROT7_4(x) ROTATE_4(x, 7)
#include "base/blake3_x86.h"

#define ROTATE_8(x, n) \
    _mm256_or_si256(_mm256_srli_epi32(x, n), _mm256_slli_epi32(x, 32 - (n)))
#define SHUFFLE_8(x, bytes) _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(bytes))
#define ROT16_8(x) SHUFFLE_8(x, BYTES(2, 3, 0, 1))
#define ROT12_8(x) ROTATE_8(x, 12)
#define ROT8_8(x) SHUFFLE_8(x, BYTES(1, 2, 3, 0))
#define ROT7_8(x) ROTATE_8(x, 7)
#include "base/blake3_x86_wide.h"

static void hash_many(const struct rafsi_blake3_job *job, uint8_t *out)
{
    size_t n = job->inputs, first = 0;

    for (; n - first > 4; first += n - first < 8 ? n - first : 8)
        hash8(job, first, n - first < 8 ? n - first : 8, out);
    if (first < n)
        hash4(job, first, n - first, out);
}

const struct rafsi_blake3_ops rafsi_blake3_avx2 = {compress, hash_many};

#endif

/* ISO C asks for something in each file. */
typedef int rafsi_blake3_avx2_file;
