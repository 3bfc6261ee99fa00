/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_OCI_SUITE_H
#define TESTS_OCI_SUITE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oci/oci.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* A copy in a heap block of exactly its size, NUL included or not, so that the address
 * checker sees one byte too many. */
static inline char *exact(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);

    ck_assert_ptr_nonnull(copy);
    if (len)
        memcpy(copy, text, len);
    return copy;
}

static inline int run_suite(const char *name, void (*add)(TCase *))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    add(tcase);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

#endif
