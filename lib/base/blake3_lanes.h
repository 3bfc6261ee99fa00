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

#define MIX(a, b, c, d, mx, my)          \
    v[a] = ADD(ADD(v[a], v[b]), m[mx]);  \
    v[d] = ROT16(XOR(v[d], v[a]));       \
    v[c] = ADD(v[c], v[d]);              \
    v[b] = ROT12(XOR(v[b], v[c]));       \
    v[a] = ADD(ADD(v[a], v[b]), m[my]);  \
    v[d] = ROT8(XOR(v[d], v[a]));        \
    v[c] = ADD(v[c], v[d]);              \
    v[b] = ROT7(XOR(v[b], v[c]));

#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15) \
    MIX(0, 4, 8, 12, s0, s1)                                                        \
    MIX(1, 5, 9, 13, s2, s3)                                                        \
    MIX(2, 6, 10, 14, s4, s5)                                                       \
    MIX(3, 7, 11, 15, s6, s7)                                                       \
    MIX(0, 5, 10, 15, s8, s9)                                                       \
    MIX(1, 6, 11, 12, s10, s11)                                                     \
    MIX(2, 7, 8, 13, s12, s13)                                                      \
    MIX(3, 4, 9, 14, s14, s15)

/* Inputs first to first + n of the job, 0 < n <= LANES. Spare lanes repeat the last
 * input, and their result is dropped. All inputs are read before any result is written
 * if each is one block long, which is what hashing in place relies on. */
TARGET static void HASH_LANES(const struct rafsi_blake3_job *job, size_t first, size_t n,
                              uint8_t *out)
{
    static const uint32_t iv[8] = { BLAKE3_IV };
    const uint8_t *in[LANES];
    uint32_t low[LANES], high[LANES];
    VEC h[8], v[16], m[16];

    for (size_t i = 0; i < LANES; i++) {
        size_t input = first + (i < n ? i : n - 1);
        uint64_t counter = job->counter + (job->step ? input : 0);

        in[i] = job->in + input * job->stride;
        low[i] = (uint32_t)counter;
        high[i] = (uint32_t)(counter >> 32);
    }
    for (size_t i = 0; i < 8; i++)
        h[i] = SPLAT(iv[i]);
    for (uint32_t b = 0; b < job->blocks; b++) {
        LOAD_BLOCKS(m, in, (size_t)b * BLAKE3_BLOCK);
        for (size_t i = 0; i < 8; i++)
            v[i] = h[i];
        for (size_t i = 0; i < 4; i++)
            v[8 + i] = SPLAT(iv[i]);
        v[12] = LOAD_WORDS(low);
        v[13] = LOAD_WORDS(high);
        v[14] = SPLAT(BLAKE3_BLOCK);
        v[15] = SPLAT(rafsi_blake3_flags(job, b));
        BLAKE3_EACH_ROUND(ROUND)
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

#undef MIX
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
