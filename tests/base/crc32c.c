/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C: RFC 3720's vectors, and the processor's instruction against the table. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

START_TEST(vectors_of_the_rfc)
{
    uint8_t bytes[32];

    memset(bytes, 0, sizeof(bytes));
    ck_assert_uint_eq(rafsi_crc32c(bytes, sizeof(bytes)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    ck_assert_uint_eq(rafsi_crc32c(bytes, sizeof(bytes)), 0x62a8ab43);
    for (uint8_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = i;
    ck_assert_uint_eq(rafsi_crc32c(bytes, sizeof(bytes)), 0x46dd794e);
    ck_assert_uint_eq(rafsi_crc32c("123456789", 9), 0xe3069283);
    ck_assert_uint_eq(rafsi_crc32c("", 0), 0);
}
END_TEST

START_TEST(both_forms_agree_at_every_length_and_place)
{
    uint8_t bytes[300];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * i + i / 3);
    for (size_t at = 0; at < 9; at++)
        for (size_t len = 0; at + len <= sizeof(bytes); len++)
            ck_assert_uint_eq(rafsi_crc32c(bytes + at, len),
                              rafsi_crc32c_portable(bytes + at, len));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crc32c");
    TCase *tcase = tcase_create("crc32c");
    SRunner *runner;
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, vectors_of_the_rfc);
    tcase_add_test(tcase, both_forms_agree_at_every_length_and_place);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
