/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BLAKE3 gives the official digests, whichever implementation the processor gets and
 * however the input is cut.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blake3_impl.h"

/* input_len and the first 32 bytes of `hash` in the test vectors that the BLAKE3 authors
 * publish (CC0). The input is the bytes i % 251. */
static const struct {
    size_t len;
    const char *hex;
} vectors[] = {
    {0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
    {1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"},
    {2, "7b7015bb92cf0b318037702a6cdd81dee41224f734684c2c122cd6359cb1ee63"},
    {3, "e1be4d7a8ab5560aa4199eea339849ba8e293d55ca0a81006726d184519e647f"},
    {4, "f30f5ab28fe047904037f77b6da4fea1e27241c5d132638d8bedce9d40494f32"},
    {5, "b40b44dfd97e7a84a996a91af8b85188c66c126940ba7aad2e7ae6b385402aa2"},
    {6, "06c4e8ffb6872fad96f9aaca5eee1553eb62aed0ad7198cef42e87f6a616c844"},
    {7, "3f8770f387faad08faa9d8414e9f449ac68e6ff0417f673f602a646a891419fe"},
    {8, "2351207d04fc16ade43ccab08600939c7c1fa70a5c0aaca76063d04c3228eaeb"},
    {63, "e9bc37a594daad83be9470df7f7b3798297c3d834ce80ba85d6e207627b7db7b"},
    {64, "4eed7141ea4a5cd4b788606bd23f46e212af9cacebacdc7d1f4c6dc7f2511b98"},
    {65, "de1e5fa0be70df6d2be8fffd0e99ceaa8eb6e8c93a63f2d8d1c30ecb6b263dee"},
    {127, "d81293fda863f008c09e92fc382a81f5a0b4a1251cba1634016a0f86a6bd640d"},
    {128, "f17e570564b26578c33bb7f44643f539624b05df1a76c81f30acd548c44b45ef"},
    {129, "683aaae9f3c5ba37eaaf072aed0f9e30bac0865137bae68b1fde4ca2aebdcb12"},
    {1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"},
    {1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"},
    {1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"},
    {2048, "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a"},
    {2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"},
    {3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2"},
    {3073, "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3"},
    {4096, "015094013f57a5277b59d8475c0501042c0b642e531b0a1c8f58d2163229e969"},
    {4097, "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995"},
    {5120, "9cadc15fed8b5d854562b26a9536d9707cadeda9b143978f319ab34230535833"},
    {5121, "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff"},
    {6144, "3e2e5b74e048f3add6d21faab3f83aa44d3b2278afb83b80b3c35164ebeca205"},
    {6145, "f1323a8631446cc50536a9f705ee5cb619424d46887f3c376c695b70e0f0507f"},
    {7168, "61da957ec2499a95d6b8023e2b0e604ec7f6b50e80a9678b89d2628e99ada77a"},
    {7169, "a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817"},
    {8192, "aae792484c8efe4f19e2ca7d371d8c467ffb10748d8a5a1ae579948f718a2a63"},
    {8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b"},
    {16384, "f875d6646de28985646f34ee13be9a576fd515f76b5b0a26bb324735041ddde4"},
    {31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47"},
    {102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"},
};

enum { VECTORS = sizeof vectors / sizeof vectors[0], LONGEST = 200 * 1024 };

static const char *const level_names[RAFSI_BLAKE3_LEVELS] = {
    [RAFSI_BLAKE3_PORTABLE] = "portable", [RAFSI_BLAKE3_SSE41] = "sse4.1",
    [RAFSI_BLAKE3_AVX2] = "avx2",         [RAFSI_BLAKE3_AVX512] = "avx512",
    [RAFSI_BLAKE3_NEON] = "neon",
};

/* Exactly sized, so that the address checker sees one byte too many. */
static uint8_t *pattern(size_t len)
{
    uint8_t *bytes = malloc(len > 0 ? len : 1);

    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i % 251);
    return bytes;
}

/* A generator with a fixed seed: each run tests the same. */
static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void assert_hex(const uint8_t digest[32], const char *hex, const char *why,
                       size_t len)
{
    char got[65];

    for (size_t i = 0; i < 32; i++)
        snprintf(got + 2 * i, 3, "%02x", digest[i]);
    ck_assert_msg(strcmp(got, hex) == 0, "%s, %zu bytes: %s, not %s", why, len, got, hex);
}

/* False after saying that this machine lacks the level. */
static bool have(enum rafsi_blake3_level level)
{
    struct rafsi_blake3 state;
    bool there = rafsi_blake3_init_with(level, &state);

    if (!there)
        fprintf(stderr, "skipped: no %s here\n", level_names[level]);
    return there;
}

START_TEST(each_level_gives_the_official_digests)
{
    enum rafsi_blake3_level level = (enum rafsi_blake3_level)_i;

    if (!have(level))
        return;
    for (size_t i = 0; i < VECTORS; i++) {
        uint8_t *bytes = pattern(vectors[i].len);
        uint8_t digest[32] = {0};

        ck_assert(rafsi_blake3_with(level, bytes, vectors[i].len, digest));
        assert_hex(digest, vectors[i].hex, level_names[level], vectors[i].len);
        free(bytes);
    }
}
END_TEST

START_TEST(the_chosen_level_gives_the_official_digests)
{
    for (size_t i = 0; i < VECTORS; i++) {
        uint8_t *bytes = pattern(vectors[i].len);
        uint8_t digest[32] = {0};
        struct rafsi_blake3 state;

        rafsi_blake3(bytes, vectors[i].len, digest);
        assert_hex(digest, vectors[i].hex, "one shot", vectors[i].len);
        rafsi_blake3_init(&state);
        rafsi_blake3_update(&state, bytes, vectors[i].len);
        rafsi_blake3_final(&state, digest);
        assert_hex(digest, vectors[i].hex, "in steps", vectors[i].len);
        free(bytes);
    }
}
END_TEST

/* Lengths around every size at which another width or subtree begins. The vectors reach
 * few of them, so the portable code, which they prove, is the reference here. */
START_TEST(each_level_agrees_with_the_portable_one_at_every_chunk_count)
{
    enum rafsi_blake3_level level = (enum rafsi_blake3_level)_i;
    static const size_t around[] = {0, 1, 64, 1023};

    if (!have(level))
        return;
    for (size_t chunks = 0; chunks <= 70; chunks++) {
        for (size_t i = 0; i < sizeof around / sizeof around[0]; i++) {
            size_t len = chunks * 1024 + around[i];
            uint8_t *bytes = pattern(len);
            uint8_t want[32] = {1}, got[32] = {2};

            ck_assert(rafsi_blake3_with(RAFSI_BLAKE3_PORTABLE, bytes, len, want));
            ck_assert(rafsi_blake3_with(level, bytes, len, got));
            ck_assert_msg(memcmp(want, got, 32) == 0, "%s, %zu bytes", level_names[level],
                          len);
            free(bytes);
        }
    }
}
END_TEST

/* Feed bytes in pieces of 1 to most bytes. */
static void hash_in_pieces(enum rafsi_blake3_level level, const uint8_t *bytes,
                           size_t len, uint32_t most, uint32_t *seed, uint8_t digest[32])
{
    struct rafsi_blake3 state;
    size_t done = 0;

    ck_assert(rafsi_blake3_init_with(level, &state));
    while (done < len) {
        size_t piece = 1 + next_random(seed) % most;

        if (piece > len - done)
            piece = len - done;
        rafsi_blake3_update(&state, bytes + done, piece);
        done += piece;
    }
    rafsi_blake3_final(&state, digest);
}

START_TEST(any_cut_of_the_input_gives_the_same_digest)
{
    enum rafsi_blake3_level level = (enum rafsi_blake3_level)_i;
    static const uint32_t most[] = {7, 65, 1025, 5000, 70000, LONGEST};
    uint8_t *bytes = pattern(LONGEST);
    uint32_t seed = 1;

    for (int round = 0; round < 4 && have(level); round++) {
        size_t len = 1 + next_random(&seed) % LONGEST;
        uint8_t want[32] = {1};

        ck_assert(rafsi_blake3_with(RAFSI_BLAKE3_PORTABLE, bytes, len, want));
        for (size_t i = 0; i < sizeof most / sizeof most[0]; i++) {
            uint8_t got[32] = {2};

            hash_in_pieces(level, bytes, len, most[i], &seed, got);
            ck_assert_msg(memcmp(want, got, 32) == 0, "%s, %zu bytes in up to %u",
                          level_names[level], len, (unsigned)most[i]);
        }
    }
    free(bytes);
}
END_TEST

/* At whole chunks, where a merge waits for what comes next, and elsewhere. */
START_TEST(final_changes_nothing_and_hashing_goes_on)
{
    enum rafsi_blake3_level level = (enum rafsi_blake3_level)_i;
    uint8_t *bytes = pattern(40 * 1024);
    struct rafsi_blake3 state;

    if (rafsi_blake3_init_with(level, &state)) {
        for (size_t len = 0; len < 40 * 1024; len += 512) {
            uint8_t want[32] = {1}, got[32] = {2}, again[32] = {3};
            struct rafsi_blake3 before = state;

            rafsi_blake3_final(&state, got);
            ck_assert_mem_eq(&before, &state, sizeof state);
            rafsi_blake3_final(&state, again);
            ck_assert(rafsi_blake3_with(RAFSI_BLAKE3_PORTABLE, bytes, len, want));
            ck_assert_msg(memcmp(want, got, 32) == 0, "%s, %zu bytes", level_names[level],
                          len);
            ck_assert_mem_eq(got, again, 32);
            rafsi_blake3_update(&state, bytes + len, 512);
        }
    }
    free(bytes);
}
END_TEST

START_TEST(input_and_digest_may_lie_at_any_address)
{
    enum rafsi_blake3_level level = (enum rafsi_blake3_level)_i;

    if (!have(level))
        return;
    for (size_t shift = 0; shift < 64; shift++) {
        const size_t len = 31744; /* of a vector */
        uint8_t *bytes = pattern(len), *room = malloc(shift + len + 32);
        uint8_t got[32], want[32];

        ck_assert_ptr_nonnull(room);
        memcpy(room + shift, bytes, len);
        ck_assert(rafsi_blake3_with(level, room + shift, len, room + shift + len));
        memcpy(got, room + shift + len, 32);
        ck_assert(rafsi_blake3_with(RAFSI_BLAKE3_PORTABLE, bytes, len, want));
        ck_assert_mem_eq(got, want, 32);
        ck_assert_mem_eq(room + shift, bytes, len);
        free(room);
        free(bytes);
    }
}
END_TEST

START_TEST(nothing_may_come_from_nowhere)
{
    uint8_t digest[32] = {0};
    struct rafsi_blake3 state;

    rafsi_blake3(NULL, 0, digest);
    assert_hex(digest, vectors[0].hex, "one shot", 0);
    rafsi_blake3_init(&state);
    rafsi_blake3_update(&state, NULL, 0);
    rafsi_blake3_final(&state, digest);
    assert_hex(digest, vectors[0].hex, "in steps", 0);
}
END_TEST

/* A processor cannot show the lack of it, but a level that cannot be is refused. */
START_TEST(an_absent_level_is_refused_and_writes_nothing)
{
    uint8_t digest[32] = {7}, before[32] = {7};

    ck_assert(!rafsi_blake3_with(RAFSI_BLAKE3_LEVELS, "", 0, digest));
    ck_assert_mem_eq(digest, before, sizeof digest);
}
END_TEST

/* The counter is 64 bits wide and each lane has its own; no test can hash 4 TiB, but a
 * state may claim to have done so. */
START_TEST(each_level_counts_chunks_past_32_bits)
{
    enum rafsi_blake3_level level = (enum rafsi_blake3_level)_i;
    uint8_t *bytes = pattern(16 * 1024);
    const struct rafsi_blake3_job job = {.in = bytes,
                                         .inputs = 16,
                                         .stride = 1024,
                                         .blocks = 16,
                                         .step = 1,
                                         .counter = (UINT64_C(1) << 32) - 5};
    uint8_t want[16 * 32] = {0}, got[16 * 32] = {0};
    struct rafsi_blake3 state;

    if (rafsi_blake3_init_with(level, &state)) {
        rafsi_blake3_portable.hash_many(&job, want);
        state.ops->hash_many(&job, got);
        ck_assert_mem_eq(want, got, sizeof want);
        for (size_t i = 0; i < 16; i++) {
            uint32_t cv[8] = {BLAKE3_IV};

            for (uint32_t b = 0; b < 16; b++)
                state.ops->compress(cv, bytes + 1024 * i + 64 * b, 64, job.counter + i,
                                    rafsi_blake3_flags(&job, b));
            rafsi_blake3_store(got + 32 * i, cv);
        }
        ck_assert_mem_eq(want, got, sizeof want);
    }
    free(bytes);
}
END_TEST

START_TEST(a_state_fits_on_any_stack)
{
    ck_assert_uint_lt(sizeof(struct rafsi_blake3), 2048);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blake3");
    TCase *tests = tcase_create("blake3");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tests, 120); /* under emulators */
    tcase_add_loop_test(tests, each_level_gives_the_official_digests, 0,
                        RAFSI_BLAKE3_LEVELS);
    tcase_add_test(tests, the_chosen_level_gives_the_official_digests);
    tcase_add_loop_test(tests,
                        each_level_agrees_with_the_portable_one_at_every_chunk_count, 0,
                        RAFSI_BLAKE3_LEVELS);
    tcase_add_loop_test(tests, any_cut_of_the_input_gives_the_same_digest, 0,
                        RAFSI_BLAKE3_LEVELS);
    tcase_add_loop_test(tests, final_changes_nothing_and_hashing_goes_on, 0,
                        RAFSI_BLAKE3_LEVELS);
    tcase_add_loop_test(tests, input_and_digest_may_lie_at_any_address, 0,
                        RAFSI_BLAKE3_LEVELS);
    tcase_add_loop_test(tests, each_level_counts_chunks_past_32_bits, 0,
                        RAFSI_BLAKE3_LEVELS);
    tcase_add_test(tests, nothing_may_come_from_nowhere);
    tcase_add_test(tests, an_absent_level_is_refused_and_writes_nothing);
    tcase_add_test(tests, a_state_fits_on_any_stack);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
