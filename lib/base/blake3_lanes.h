/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BLAKE3 of several inputs side by side: lane i of every vector belongs to input i.
 *
 * A template, included once per vector width (so without an include guard). Before it,
 * define:
 *
 *   TARGET                  attribute that allows the instructions
 *   LANES, VEC              lanes in a vector, its type
 *   ADD, XOR, SPLAT         of vectors; a vector of equal words
 *   ROT16 ROT12 ROT8 ROT7   each word rotated right
 *   LOAD_WORDS(p)           a vector of LANES words in host order
 *   LOAD_BLOCKS(m, in, at)  m[w] = word w of the block at in[lane] + at
 *   STORE_CVS(out, h)       chaining value of each lane, one after the other
 *   HASH_LANES              the name of the function made here
 *
 * It undefines all but TARGET, so that the next width can follow.
 */

/*
 * The steps of mixing, for two independent columns in turn, or for four where registers
 * suffice: neighbouring instructions do not wait for each other then. Measured with gcc
 * 12: four at a time gain 3 % at 16 lanes and lose 10 % at 4. The message is added first,
 * for it alone is ready early.
 */
#define ADD_WORD(a, b, word) v[a] = ADD(ADD(v[a], m[word]), v[b])
#define ADD_TO(c, d) v[c] = ADD(v[c], v[d])
#define TURN(d, a, rotate) v[d] = rotate(XOR(v[d], v[a]))

#if LANES > 8
#define MIX(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, x0, y0, x1, \
            y1, x2, y2, x3, y3)                                                         \
    ADD_WORD(a0, b0, x0);                                                               \
    ADD_WORD(a1, b1, x1);                                                               \
    ADD_WORD(a2, b2, x2);                                                               \
    ADD_WORD(a3, b3, x3);                                                               \
    TURN(d0, a0, ROT16);                                                                \
    TURN(d1, a1, ROT16);                                                                \
    TURN(d2, a2, ROT16);                                                                \
    TURN(d3, a3, ROT16);                                                                \
    ADD_TO(c0, d0);                                                                     \
    ADD_TO(c1, d1);                                                                     \
    ADD_TO(c2, d2);                                                                     \
    ADD_TO(c3, d3);                                                                     \
    TURN(b0, c0, ROT12);                                                                \
    TURN(b1, c1, ROT12);                                                                \
    TURN(b2, c2, ROT12);                                                                \
    TURN(b3, c3, ROT12);                                                                \
    ADD_WORD(a0, b0, y0);                                                               \
    ADD_WORD(a1, b1, y1);                                                               \
    ADD_WORD(a2, b2, y2);                                                               \
    ADD_WORD(a3, b3, y3);                                                               \
    TURN(d0, a0, ROT8);                                                                 \
    TURN(d1, a1, ROT8);                                                                 \
    TURN(d2, a2, ROT8);                                                                 \
    TURN(d3, a3, ROT8);                                                                 \
    ADD_TO(c0, d0);                                                                     \
    ADD_TO(c1, d1);                                                                     \
    ADD_TO(c2, d2);                                                                     \
    ADD_TO(c3, d3);                                                                     \
    TURN(b0, c0, ROT7);                                                                 \
    TURN(b1, c1, ROT7);                                                                 \
    TURN(b2, c2, ROT7);                                                                 \
    TURN(b3, c3, ROT7);
#else
#define MIX(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, x0, y0, x1, \
            y1, x2, y2, x3, y3)                                                         \
    MIX_TWO(a0, a1, b0, b1, c0, c1, d0, d1, x0, y0, x1, y1);                            \
    MIX_TWO(a2, a3, b2, b3, c2, c3, d2, d3, x2, y2, x3, y3);
#define MIX_TWO(a0, a1, b0, b1, c0, c1, d0, d1, x0, y0, x1, y1) \
    ADD_WORD(a0, b0, x0);                                       \
    ADD_WORD(a1, b1, x1);                                       \
    TURN(d0, a0, ROT16);                                        \
    TURN(d1, a1, ROT16);                                        \
    ADD_TO(c0, d0);                                             \
    ADD_TO(c1, d1);                                             \
    TURN(b0, c0, ROT12);                                        \
    TURN(b1, c1, ROT12);                                        \
    ADD_WORD(a0, b0, y0);                                       \
    ADD_WORD(a1, b1, y1);                                       \
    TURN(d0, a0, ROT8);                                         \
    TURN(d1, a1, ROT8);                                         \
    ADD_TO(c0, d0);                                             \
    ADD_TO(c1, d1);                                             \
    TURN(b0, c0, ROT7);                                         \
    TURN(b1, c1, ROT7)
#endif

#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15)   \
    MIX(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, s0, s1, s2, s3, s4, s5, \
        s6, s7)                                                                       \
    MIX(0, 1, 2, 3, 5, 6, 7, 4, 10, 11, 8, 9, 15, 12, 13, 14, s8, s9, s10, s11, s12,  \
        s13, s14, s15)

/* Inputs first to first + n of the job, 0 < n <= LANES. Spare lanes repeat the last
 * input, and their result is dropped. All inputs are read before any result is written
 * if each is one block long, which is what hashing in place relies on. */
TARGET static void HASH_LANES(const struct rafsi_blake3_job *job, size_t first, size_t n,
                              uint8_t *out)
{
    static const uint32_t iv[8] = {BLAKE3_IV};
    const uint8_t *in[LANES];
    uint32_t low[LANES], high[LANES];
    bool more = first + 2 * LANES <= job->inputs;
    VEC h[8], v[16], m[16];

    BLAKE3_UNROLL
    for (size_t i = 0; i < LANES; i++) {
        size_t input = first + (i < n ? i : n - 1);
        uint64_t counter = job->counter + (job->step ? input : 0);

        in[i] = job->in + input * job->stride;
        low[i] = (uint32_t)counter;
        high[i] = (uint32_t)(counter >> 32);
    }
    BLAKE3_UNROLL
    for (size_t i = 0; i < 8; i++)
        h[i] = SPLAT(iv[i]);
    for (uint32_t b = 0; b < job->blocks; b++) {
        if (job->step && (b + 4 < job->blocks || more)) {
            size_t ahead = rafsi_blake3_ahead(job, LANES, b);

            BLAKE3_UNROLL
            for (size_t i = 0; i < LANES; i++)
                __builtin_prefetch(in[i] + ahead);
        }
        LOAD_BLOCKS(m, in, (size_t)b * BLAKE3_BLOCK);
        BLAKE3_UNROLL
        for (size_t i = 0; i < 8; i++)
            v[i] = h[i];
        BLAKE3_UNROLL
        for (size_t i = 0; i < 4; i++)
            v[8 + i] = SPLAT(iv[i]);
        v[12] = LOAD_WORDS(low);
        v[13] = LOAD_WORDS(high);
        v[14] = SPLAT(BLAKE3_BLOCK);
        v[15] = SPLAT(rafsi_blake3_flags(job, b));
        BLAKE3_EACH_ROUND(ROUND)
        BLAKE3_UNROLL
        for (size_t i = 0; i < 8; i++)
            h[i] = XOR(v[i], v[i + 8]);
    }
    if (n == LANES) {
        STORE_CVS(out + first * RAFSI_BLAKE3_BYTES, h);
    } else {
        uint8_t all[LANES * RAFSI_BLAKE3_BYTES];

        STORE_CVS(all, h);
        memcpy(out + first * RAFSI_BLAKE3_BYTES, all, n * RAFSI_BLAKE3_BYTES);
    }
}

#undef ADD_WORD
#undef ADD_TO
#undef TURN
#undef MIX
#undef MIX_TWO
#undef ROUND
#undef LANES
#undef VEC
#undef ADD
#undef XOR
#undef SPLAT
#undef ROT16
#undef ROT12
#undef ROT8
#undef ROT7
#undef LOAD_WORDS
#undef LOAD_BLOCKS
#undef STORE_CVS
#undef HASH_LANES
