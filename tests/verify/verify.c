/* SPDX-License-Identifier: Apache-2.0 */
/* The trust line: what passes, and what never does. */
#include "verify/verify.h"

#include <check.h>
#include <stdlib.h>

#include "golden.h"
#include "rafs/digest.h"

enum { LEN = 5000 };

static struct rafsi_env env;
static struct rafsi_hashes *hashes;
static struct rafsi_pool *pool;
static struct rafsi_buffer *raw;
static uint8_t digest[RAFSI_DIGEST_BYTES];

static void set_up(void)
{
    NEED(rafsi_env_take(NULL, &env, NULL) == RAFS_OK);
    NEED(rafsi_hashes_new(&env, &hashes, NULL) == RAFS_OK);
    NEED(rafsi_pool_new(&env, 2, &pool, NULL) == RAFS_OK);
    NEED(rafsi_pool_take(pool, LEN, &raw, NULL) == RAFS_OK);
    for (size_t i = 0; i < LEN; i++)
        raw->at[i] = (uint8_t)(i * 7 + i / 251);
}

static void tear_down(void)
{
    rafsi_buffer_free(raw);
    rafsi_pool_free(pool);
    rafsi_hashes_free(hashes);
}

START_TEST(bytes_with_the_digest_pass_unchanged)
{
    uint32_t algorithm = (uint32_t)_i;
    struct verified *good = NULL;
    uint8_t first = raw->at[0];

    NEED(rafs_digest_bytes(algorithm, raw->at, LEN, digest) == RAFS_OK);
    ck_assert_int_eq(rafsi_verify(raw, hashes, algorithm, digest, &good, NULL), RAFS_OK);
    raw = NULL; /* taken */
    ck_assert_uint_eq(rafsi_verified_size(good), LEN);
    ck_assert_uint_eq(rafsi_verified_bytes(good)[0], first);
    rafsi_verified_drop(rafsi_verified_hold(good));
    rafsi_verified_drop(good);
}
END_TEST

START_TEST(one_bit_of_any_byte_is_enough_to_be_refused)
{
    uint32_t algorithm = (uint32_t)_i;

    NEED(rafs_digest_bytes(algorithm, raw->at, LEN, digest) == RAFS_OK);
    for (size_t i = 0; i < LEN; i += 13) {
        struct verified *good = NULL;
        rafs_error err = RAFS_ERROR_INIT;

        raw->at[i] ^= (uint8_t)(1 << (i & 7));
        ck_assert_int_eq(rafsi_verify(raw, hashes, algorithm, digest, &good, &err),
                         RAFS_E_CORRUPT);
        ck_assert_ptr_null(good);
        ck_assert_uint_eq(err.stage, RAFS_STAGE_VERIFY);
        raw->at[i] ^= (uint8_t)(1 << (i & 7));
    }
    for (size_t i = 0; i < RAFSI_DIGEST_BYTES; i++) {
        struct verified *good = NULL;

        digest[i] ^= 1;
        ck_assert_int_eq(rafsi_verify(raw, hashes, algorithm, digest, &good, NULL),
                         RAFS_E_CORRUPT);
        digest[i] ^= 1;
    }
    raw->len--;
    ck_assert_int_eq(
        rafsi_verify(raw, hashes, algorithm, digest, &(struct verified *){0}, NULL),
        RAFS_E_CORRUPT);
}
END_TEST

START_TEST(the_digest_of_another_algorithm_is_refused)
{
    struct verified *good = NULL;

    NEED(rafs_digest_bytes((uint32_t)!_i, raw->at, LEN, digest) == RAFS_OK);
    ck_assert_int_eq(rafsi_verify(raw, hashes, (uint32_t)_i, digest, &good, NULL),
                     RAFS_E_CORRUPT);
}
END_TEST

START_TEST(no_digest_never_counts_as_a_match)
{
    struct verified *good = NULL;
    uint8_t none[RAFSI_DIGEST_BYTES] = {0};

    ck_assert_int_eq(rafsi_verify(raw, hashes, (uint32_t)_i, none, &good, NULL),
                     RAFS_E_CORRUPT);
    ck_assert_int_eq(rafsi_digest_equal(none, none), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verify");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, bytes_with_the_digest_pass_unchanged, 0, 2);
    tcase_add_loop_test(tcase, one_bit_of_any_byte_is_enough_to_be_refused, 0, 2);
    tcase_add_loop_test(tcase, the_digest_of_another_algorithm_is_refused, 0, 2);
    tcase_add_loop_test(tcase, no_digest_never_counts_as_a_match, 0, 2);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
