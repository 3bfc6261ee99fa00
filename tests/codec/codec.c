/* SPDX-License-Identifier: Apache-2.0 */
/* Exactly as many bytes as are stated, or an error. */
#include "codec/codec.h"

#include <check.h>
#include <lz4.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "golden.h"
#include "rafs/image.h"

enum { LEN = 3000, ROOM = 8192 };

static struct rafsi_env env;
static struct rafsi_decoder *decoder;
static uint8_t plain[LEN];
static uint8_t packed[ROOM];
static size_t packed_len;

static void pack(uint32_t compressor)
{
    z_stream z = {0};

    switch (compressor) {
    case RAFS_COMPRESSOR_NONE:
        memcpy(packed, plain, LEN);
        packed_len = LEN;
        break;
    case RAFS_COMPRESSOR_LZ4_BLOCK:
        packed_len =
            (size_t)LZ4_compress_default((const char *)plain, (char *)packed, LEN, ROOM);
        break;
    case RAFS_COMPRESSOR_GZIP:
        NEED(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
        z.next_in = plain;
        z.avail_in = LEN;
        z.next_out = packed;
        z.avail_out = ROOM;
        NEED(deflate(&z, Z_FINISH) == Z_STREAM_END);
        packed_len = ROOM - z.avail_out;
        deflateEnd(&z);
        break;
    default:
        packed_len = ZSTD_compress(packed, ROOM, plain, LEN, 3);
    }
    NEED(packed_len > 0 && packed_len <= LEN);
}

static void set_up(void)
{
    NEED(rafsi_env_take(NULL, &env, NULL) == RAFS_OK);
    NEED(rafsi_decoder_new(&env, &decoder, NULL) == RAFS_OK);
    for (size_t i = 0; i < LEN; i++)
        plain[i] = (uint8_t)(i % 97 * (i / 500 + 1));
}

static void tear_down(void)
{
    rafsi_decoder_free(decoder);
}

/* Decode from and into memory of exactly these sizes, so that the address checker sees
 * one byte too many. */
static int decode(uint32_t compressor, size_t in_len, size_t out_len, bool *same)
{
    uint8_t *in = malloc(in_len ? in_len : 1);
    uint8_t *out = malloc(out_len ? out_len : 1);
    int rc;

    NEED(in && out);
    memcpy(in, packed, in_len);
    rc = rafsi_decode(decoder, compressor, in, in_len, out, out_len, NULL);
    *same = rc == RAFS_OK && out_len == LEN && memcmp(out, plain, LEN) == 0;
    free(in);
    free(out);
    return rc;
}

START_TEST(what_was_packed_comes_out)
{
    bool same;

    pack((uint32_t)_i);
    ck_assert_int_eq(decode((uint32_t)_i, packed_len, LEN, &same), RAFS_OK);
    ck_assert(same);
}
END_TEST

START_TEST(another_size_than_stated_is_corrupt)
{
    bool same;

    pack((uint32_t)_i);
    ck_assert_int_eq(decode((uint32_t)_i, packed_len, LEN - 1, &same), RAFS_E_CORRUPT);
    ck_assert_int_eq(decode((uint32_t)_i, packed_len, LEN + 1, &same), RAFS_E_CORRUPT);
    ck_assert_int_eq(decode((uint32_t)_i, packed_len, 0, &same), RAFS_E_CORRUPT);
}
END_TEST

START_TEST(input_that_ends_early_is_corrupt_at_every_length)
{
    bool same;

    pack((uint32_t)_i);
    for (size_t len = 0; len < packed_len; len++)
        ck_assert_int_eq(decode((uint32_t)_i, len, LEN, &same), RAFS_E_CORRUPT);
}
END_TEST

START_TEST(a_flipped_bit_never_makes_more_bytes_than_stated)
{
    bool same;

    pack((uint32_t)_i);
    for (size_t i = 0; i < packed_len; i++) {
        int rc;

        packed[i] ^= 0x10;
        rc = decode((uint32_t)_i, packed_len, LEN, &same);
        ck_assert(rc == RAFS_OK || rc == RAFS_E_CORRUPT);
        packed[i] ^= 0x10;
    }
}
END_TEST

START_TEST(an_unknown_compressor_is_unsupported)
{
    bool same;

    pack(RAFS_COMPRESSOR_NONE);
    ck_assert_int_eq(decode(4, LEN, LEN, &same), RAFS_E_UNSUPPORTED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, what_was_packed_comes_out, 0, 4);
    tcase_add_loop_test(tcase, another_size_than_stated_is_corrupt, 0, 4);
    tcase_add_loop_test(tcase, input_that_ends_early_is_corrupt_at_every_length, 0, 4);
    tcase_add_loop_test(tcase, a_flipped_bit_never_makes_more_bytes_than_stated, 0, 4);
    tcase_add_test(tcase, an_unknown_compressor_is_unsupported);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
