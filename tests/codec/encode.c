/* SPDX-License-Identifier: Apache-2.0 */
/* What is compressed decodes again, is smaller, and depends on nothing else. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "golden.h"
#include "rafs/image.h"

enum { LEN = 200000 };

static struct rafsi_env env;
static struct rafsi_decoder *decoder;
static uint8_t plain[LEN], noise[LEN], packed[LEN], again[LEN];

static void set_up(void)
{
    uint32_t random = 1;

    NEED(rafsi_env_take(NULL, &env, NULL) == RAFS_OK);
    NEED(rafsi_decoder_new(&env, &decoder, NULL) == RAFS_OK);
    for (size_t i = 0; i < LEN; i++) {
        random = random * 1103515245 + 12345;
        plain[i] = (uint8_t)(i % 23 * (i / 400 + 1));
        noise[i] = (uint8_t)(random >> 16);
    }
}

static void tear_down(void)
{
    rafsi_decoder_free(decoder);
}

static const struct {
    uint32_t compressor;
    int32_t level;
} forms[] = {{RAFS_COMPRESSOR_ZSTD, 0},      {RAFS_COMPRESSOR_ZSTD, -7},
             {RAFS_COMPRESSOR_ZSTD, 3},      {RAFS_COMPRESSOR_ZSTD, 22},
             {RAFS_COMPRESSOR_LZ4_BLOCK, 0}, {RAFS_COMPRESSOR_LZ4_BLOCK, 2},
             {RAFS_COMPRESSOR_LZ4_BLOCK, 12}};

START_TEST(what_is_compressed_decodes_and_does_not_depend_on_what_came_before)
{
    struct rafsi_encoder *used, *fresh;
    static const size_t lens[] = {LEN, 100, 5000, 65536, 70000};

    NEED(rafsi_encoder_new(&env, forms[_i].compressor, forms[_i].level, &used, NULL) ==
         RAFS_OK);
    for (size_t i = 0; i < 5; i++) {
        size_t len = 0, same = 0;

        NEED(rafsi_encoder_new(&env, forms[_i].compressor, forms[_i].level, &fresh,
                               NULL) == RAFS_OK);
        ck_assert_int_eq(rafsi_encode(used, plain, lens[i], packed, &len, NULL), RAFS_OK);
        ck_assert_uint_gt(len, 0);
        ck_assert_uint_lt(len, lens[i]);
        ck_assert_int_eq(rafsi_decode(decoder, forms[_i].compressor, packed, len, again,
                                      lens[i], NULL),
                         RAFS_OK);
        ck_assert_mem_eq(again, plain, lens[i]);
        ck_assert_int_eq(rafsi_encode(fresh, plain, lens[i], again, &same, NULL),
                         RAFS_OK);
        ck_assert_uint_eq(same, len);
        ck_assert_mem_eq(again, packed, len);
        rafsi_encoder_free(fresh);
    }
    rafsi_encoder_free(used);
}
END_TEST

START_TEST(what_does_not_get_smaller_is_left_as_it_is)
{
    struct rafsi_encoder *encoder;
    size_t len = 1;

    NEED(rafsi_encoder_new(&env, forms[_i].compressor, forms[_i].level, &encoder, NULL) ==
         RAFS_OK);
    for (size_t n = 1; n < 12; n++) {
        ck_assert_int_eq(rafsi_encode(encoder, noise, n, packed, &len, NULL), RAFS_OK);
        ck_assert_uint_eq(len, 0);
    }
    ck_assert_int_eq(rafsi_encode(encoder, noise, LEN, packed, &len, NULL), RAFS_OK);
    ck_assert_uint_eq(len, 0);
    /* It goes on after that. */
    ck_assert_int_eq(rafsi_encode(encoder, plain, LEN, packed, &len, NULL), RAFS_OK);
    ck_assert_uint_gt(len, 0);
    rafsi_encoder_free(encoder);
}
END_TEST

START_TEST(stream_decodes_whatever_its_pieces_are)
{
    struct rafsi_encoder *encoder;
    struct encode_step step = {.out = packed, .out_left = LEN};
    size_t at = 0;

    NEED(rafsi_encoder_new(&env, RAFS_COMPRESSOR_ZSTD, 0, &encoder, NULL) == RAFS_OK);
    while (!step.done) {
        size_t room = step.out_left < 1000 ? step.out_left : 1000;
        size_t left = step.out_left - room;

        if (step.in_left == 0) {
            step.in = plain + at;
            step.in_left = LEN - at < 7777 ? LEN - at : 7777;
            at += step.in_left;
        }
        step.last = at == LEN;
        step.out_left = room;
        ck_assert_int_eq(rafsi_encode_step(encoder, &step, NULL), RAFS_OK);
        step.out_left += left;
    }
    ck_assert_int_eq(rafsi_decode(decoder, RAFS_COMPRESSOR_ZSTD, packed,
                                  LEN - step.out_left, again, LEN, NULL),
                     RAFS_OK);
    ck_assert_mem_eq(again, plain, LEN);
    rafsi_encoder_free(encoder);
}
END_TEST

START_TEST(nothing_is_stored_as_gzip)
{
    struct rafsi_encoder *encoder = NULL;
    rafs_error err = RAFS_ERROR_INIT;

    ck_assert_int_eq(rafsi_encoder_new(&env, RAFS_COMPRESSOR_GZIP, 0, &encoder, &err),
                     RAFS_E_UNSUPPORTED);
    ck_assert_int_eq(err.code, RAFS_E_UNSUPPORTED);
    ck_assert_ptr_null(encoder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("encode");
    TCase *tcase = tcase_create("encode");
    SRunner *runner;
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(
        tcase, what_is_compressed_decodes_and_does_not_depend_on_what_came_before, 0,
        sizeof(forms) / sizeof(forms[0]));
    tcase_add_loop_test(tcase, what_does_not_get_smaller_is_left_as_it_is, 0,
                        sizeof(forms) / sizeof(forms[0]));
    tcase_add_test(tcase, stream_decodes_whatever_its_pieces_are);
    tcase_add_test(tcase, nothing_is_stored_as_gzip);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
