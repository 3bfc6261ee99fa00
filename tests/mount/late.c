/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits for a second time, for what failed just now, does not wait as long again. */
#include "late.h"

#include <check.h>

#define S 1000000000ull

START_TEST(requests_of_one_reader_share_the_longest_wait)
{
    struct late late = {.next = 0};
    struct late_request first = {7, 1, 0}, next = {7, 1, 4096}, later = {7, 9, 1 << 30};
    uint64_t now = 100 * S, allowed = late_allowed(&late, &first, now, 60 * S);
    uint64_t all = allowed;

    ck_assert_uint_eq(allowed, 60 * S);
    for (int i = 0; i < 5; i++) { /* as many as the kernel made of one read(2) */
        late_failed(&late, &first, now, allowed, now + allowed);
        now += allowed;
        allowed = late_allowed(&late, &next, now, 60 * S);
        ck_assert_uint_eq(allowed, 60 * S / 8);
        all += allowed;
    }
    ck_assert_uint_lt(all, 2 * 60 * S);
    ck_assert_uint_eq(late_allowed(&late, &later, now, 60 * S), 60 * S / 8);
    ck_assert_uint_eq(late_allowed(&late, &next, now + 2 * S, 60 * S), 60 * S);
}
END_TEST

START_TEST(readers_who_wait_for_the_same_share_it_and_others_do_not)
{
    struct late late = {.next = 0};
    struct late_request first = {7, 1, 1 << 20}, same = {8, 1, 1 << 20},
                        other = {8, 2, 1 << 20}, far = {8, 1, 8 << 20}, none = {0, 3, 0},
                        nobody = {0, 4, 0};

    late_failed(&late, &first, 10 * S, 4 * S, 14 * S);
    ck_assert_uint_eq(late_allowed(&late, &same, 14 * S, 4 * S), S / 2);
    ck_assert_uint_eq(late_allowed(&late, &other, 14 * S, 4 * S), 4 * S);
    ck_assert_uint_eq(late_allowed(&late, &far, 14 * S, 4 * S), 4 * S);
    late_failed(&late, &none, 10 * S, 4 * S, 14 * S);
    ck_assert_uint_eq(late_allowed(&late, &nobody, 14 * S, 4 * S), 4 * S);
}
END_TEST

START_TEST(what_fails_at_once_takes_no_time_from_others)
{
    struct late late = {.next = 0};
    struct late_request first = {7, 1, 0};

    late_failed(&late, &first, 10 * S, 4 * S, 11 * S);
    ck_assert_uint_eq(late_allowed(&late, &first, 11 * S, 4 * S), 4 * S);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("late");
    TCase *tests = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tests, requests_of_one_reader_share_the_longest_wait);
    tcase_add_test(tests, readers_who_wait_for_the_same_share_it_and_others_do_not);
    tcase_add_test(tests, what_fails_at_once_takes_no_time_from_others);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
