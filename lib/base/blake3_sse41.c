/* SPDX-License-Identifier: Apache-2.0 */
/* BLAKE3 on x86 with SSE4.1: four inputs side by side. */

#include "base/blake3_impl.h"

#if RAFSI_BLAKE3_X86

#define TARGET __attribute__((target("sse4.1")))

/* Whole bytes move by one shuffle, other distances take two shifts. */
#define ROTATE(x, n) _mm_or_si128(_mm_srli_epi32(x, n), _mm_slli_epi32(x, 32 - (n)))
#define BYTES(i, j, k, l)                                                             \
    _mm_setr_epi8(i, j, k, l, i + 4, j + 4, k + 4, l + 4, i + 8, j + 8, k + 8, l + 8, \
                  i + 12, j + 12, k + 12, l + 12)
#define ROT16_4(x) _mm_shuffle_epi8(x, BYTES(2, 3, 0, 1))
#define ROT12_4(x) ROTATE(x, 12)
#define ROT8_4(x) _mm_shuffle_epi8(x, BYTES(1, 2, 3, 0))
#define ROT7_4(x) ROTATE(x, 7)
#include "base/blake3_x86.h"

static void hash_many(const struct rafsi_blake3_job *job, uint8_t *out)
{
    size_t n = job->inputs;

    for (size_t first = 0; first < n; first += 4)
        hash4(job, first, n - first < 4 ? n - first : 4, out);
}

const struct rafsi_blake3_ops rafsi_blake3_sse41 = {compress, hash_many};

#endif

/* ISO C asks for something in each file. */
typedef int rafsi_blake3_sse41_file;
