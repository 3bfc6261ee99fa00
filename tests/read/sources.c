/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several sources behind a network, one after the other: a dead one costs a part of the
 * time, is asked last for a while and is probed again; a liar's bytes never come out; and
 * a deadline is kept whatever they do. The clock is the test's.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "crowd.h"

enum { HEDGE_OFF = 1 };

static const uint64_t second_ns = 1000000000;

static struct watch watch;
static struct crowd crowd;

static void load(const char *variant, size_t count)
{
    watch_init(&watch);
    crowd_load(&crowd, variant, count, &watch);
    crowd_open(&crowd, HEDGE_OFF);
}

static void drop(void)
{
    crowd_drop(&crowd);
    ck_assert_uint_eq(atomic_load(&watch.live), 0);
}

static uint64_t now(void)
{
    return atomic_load(&watch.now_ns);
}

static void stay(size_t source, enum script_fault fault)
{
    crowd.script[source].fault_stays = true;
    script_arm(&crowd.script[source], fault, 0);
}

static size_t reads(size_t source)
{
    return atomic_load(&crowd.script[source].reads);
}

START_TEST(a_dead_first_source_costs_a_part_of_the_time)
{
    rafs_call call;
    uint64_t begun;
    bool right;

    load("v6-zstd", 2);
    stay(0, SCRIPT_HANGS);
    call = watch_call(&watch, 60 * second_ns);
    begun = now();
    ck_assert_int_eq(crowd_read(&crowd, 0, 100, &call, &right), RAFS_OK);
    ck_assert(right);
    ck_assert_uint_le(now() - begun, 6 * second_ns);
    /* It goes last from now on. */
    begun = atomic_load(&crowd.script[0].answers);
    ck_assert_int_eq(crowd_read(&crowd, 0, 100, &call, &right), RAFS_OK);
    ck_assert(right);
    ck_assert_uint_eq(atomic_load(&crowd.script[0].answers), begun);
    drop();
}
END_TEST

START_TEST(a_short_deadline_is_shared)
{
    rafs_call call;
    bool right;

    load("v6-zstd", 3);
    stay(0, SCRIPT_HANGS);
    stay(1, SCRIPT_HANGS);
    call = watch_call(&watch, second_ns);
    ck_assert_int_eq(crowd_read(&crowd, 0, 100, &call, &right), RAFS_OK);
    ck_assert(right);
    ck_assert_uint_lt(now(), call.deadline_ns);
    drop();
}
END_TEST

START_TEST(the_deadline_is_kept_when_all_are_dead)
{
    rafs_call call;
    bool right;

    load("v6-zstd", 2);
    stay(0, SCRIPT_HANGS);
    stay(1, SCRIPT_HANGS);
    call = watch_call(&watch, 60 * second_ns);
    ck_assert_int_eq(crowd_read(&crowd, 0, 100, &call, &right), RAFS_E_TIMEOUT);
    ck_assert_uint_le(now(), call.deadline_ns + 1);
    /* A source that is back is found, though it was the last to fail. */
    stay(1, SCRIPT_GOOD);
    call = watch_call(&watch, 60 * second_ns);
    ck_assert_int_eq(crowd_read(&crowd, 0, 100, &call, &right), RAFS_OK);
    ck_assert(right);
    drop();
}
END_TEST

/* Fails as often as it is told to. */
static int flap(void *user, uint64_t offset, const rafs_call *call)
{
    atomic_int *left = user;

    (void)offset;
    ck_assert_uint_ne(call->flags & RAFS_CALL_ONCE, 0);
    return atomic_fetch_sub(left, 1) > 0 ? RAFS_E_BACKEND : RAFS_OK;
}

START_TEST(all_are_asked_again_until_one_is_back)
{
    atomic_int left = 7;
    bool right;

    load("v6-zstd", 2);
    for (size_t i = 0; i < 2; i++) {
        crowd.script[i].before_read = flap;
        crowd.script[i].before_user = &left;
    }
    /* Without a deadline too. */
    ck_assert_int_eq(crowd_read(&crowd, 0, 100, NULL, &right), RAFS_OK);
    ck_assert(right);
    ck_assert_uint_ge(reads(0), 3);
    ck_assert_uint_ge(reads(1), 3);
    drop();
}
END_TEST

START_TEST(who_failed_is_probed_after_a_while)
{
    size_t before;
    bool right;

    load("v6-zstd", 2);
    stay(0, SCRIPT_FAILS);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(crowd_read(&crowd, 0, 100, NULL, &right), RAFS_OK);
    before = atomic_load(&crowd.script[0].answers);
    ck_assert_uint_eq(before, 1);
    stay(0, SCRIPT_GOOD);
    watch_advance(&watch, second_ns);
    before = reads(1);
    ck_assert_int_eq(crowd_read(&crowd, 0, 100, NULL, &right), RAFS_OK);
    ck_assert_int_eq(crowd_read(&crowd, 0, 100, NULL, &right), RAFS_OK);
    ck_assert(right);
    ck_assert_uint_eq(reads(1), before); /* the first serves again */
    drop();
}
END_TEST

START_TEST(who_keeps_failing_is_probed_less_and_less)
{
    bool right;

    load("v6-zstd", 2);
    stay(0, SCRIPT_FAILS);
    for (int i = 0; i < 120; i++) {
        ck_assert_int_eq(crowd_read(&crowd, 0, 100, NULL, &right), RAFS_OK);
        ck_assert(right);
        watch_advance(&watch, second_ns);
    }
    ck_assert_uint_ge(atomic_load(&crowd.script[0].answers), 5);
    ck_assert_uint_le(atomic_load(&crowd.script[0].answers), 12);
    drop();
}
END_TEST

START_TEST(who_lacks_a_blob_is_not_asked_for_it_again_and_again)
{
    bool right;

    load("v6-zstd", 2);
    stay(0, SCRIPT_NOENT);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(crowd_read(&crowd, 0, 100, NULL, &right), RAFS_OK);
    ck_assert_uint_eq(atomic_load(&crowd.script[0].answers), 1);
    watch_advance(&watch, 31 * second_ns);
    stay(0, SCRIPT_GOOD);
    ck_assert_int_eq(crowd_read(&crowd, 0, 100, NULL, &right), RAFS_OK);
    ck_assert(right);
    ck_assert_uint_eq(reads(0), 1);
    drop();
}
END_TEST

START_TEST(nobody_has_it_ends_at_once)
{
    rafs_error err = RAFS_ERROR_INIT;
    uint8_t byte;
    size_t nread;

    load("v6-zstd", 2);
    stay(0, SCRIPT_NOENT);
    stay(1, SCRIPT_NOENT);
    ck_assert_int_eq(rafs_image_read(crowd.image, crowd.file->attr.ino, 0, 1, &byte,
                                     &nread, NULL, &err),
                     RAFS_E_BACKEND);
    ck_assert_str_eq(err.text, "none of the sources has it");
    ck_assert_uint_eq(atomic_load(&crowd.script[0].answers), 1);
    drop();
}
END_TEST

/* A mirror that alters every answer: no byte of it comes out, and after a few lies it is
 * hardly asked. */
START_TEST(a_liar_is_asked_last)
{
    struct tally tally = {0, 0, 0};
    size_t asked;

    load(_i ? "v6-none" : "v6-merge", 2);
    stay(0, SCRIPT_ALTERED);
    reading_compare(crowd.image, &crowd.reading, &tally);
    ck_assert_uint_eq(tally.wrong, 0);
    ck_assert_uint_eq(tally.refused, 0);
    asked = reads(0);
    ck_assert_uint_ge(asked, 1);
    ck_assert_uint_le(asked, 3 + crowd.golden.blob_count);
    ck_assert_uint_eq(crowd_stats(&crowd).chunks_refused, asked);
    reading_compare(crowd.image, &crowd.reading, &tally);
    ck_assert_uint_eq(tally.wrong, 0);
    ck_assert_uint_eq(reads(0), asked);
    /* It is still asked when nobody else is there. */
    stay(0, SCRIPT_GOOD);
    stay(1, SCRIPT_NOENT);
    tally = (struct tally){0, 0, 0};
    reading_compare(crowd.image, &crowd.reading, &tally);
    ck_assert_uint_eq(tally.refused, 0);
    drop();
}
END_TEST

static int note_call(void *user, uint64_t offset, const rafs_call *call)
{
    (void)offset;
    *(rafs_call *)user = *call;
    return RAFS_OK;
}

START_TEST(a_single_source_has_all_the_time)
{
    rafs_call call, seen = RAFS_CALL_INIT;
    bool right;

    load("v6-zstd", 1);
    call = watch_call(&watch, 7 * second_ns);
    crowd.script[0].before_read = note_call;
    crowd.script[0].before_user = &seen;
    ck_assert_int_eq(crowd_read(&crowd, 0, 100, &call, &right), RAFS_OK);
    ck_assert_uint_eq(seen.deadline_ns, call.deadline_ns);
    ck_assert_uint_eq(seen.flags, 0);
    /* And is asked once. */
    stay(0, SCRIPT_FAILS);
    ck_assert_int_eq(crowd_read(&crowd, 0, 100, &call, &right), RAFS_E_BACKEND);
    ck_assert_uint_eq(atomic_load(&crowd.script[0].answers), 1);
    drop();
}
END_TEST

START_TEST(unknown_call_flags_are_refused)
{
    rafs_call call = RAFS_CALL_INIT;
    bool right;

    load("v6-zstd", 1);
    call.flags = 0x80;
    ck_assert_int_eq(crowd_read(&crowd, 0, 100, &call, &right), RAFS_E_UNSUPPORTED);
    drop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sources");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_dead_first_source_costs_a_part_of_the_time);
    tcase_add_test(tcase, a_short_deadline_is_shared);
    tcase_add_test(tcase, the_deadline_is_kept_when_all_are_dead);
    tcase_add_test(tcase, all_are_asked_again_until_one_is_back);
    tcase_add_test(tcase, who_failed_is_probed_after_a_while);
    tcase_add_test(tcase, who_keeps_failing_is_probed_less_and_less);
    tcase_add_test(tcase, who_lacks_a_blob_is_not_asked_for_it_again_and_again);
    tcase_add_test(tcase, nobody_has_it_ends_at_once);
    tcase_add_loop_test(tcase, a_liar_is_asked_last, 0, 2);
    tcase_add_test(tcase, a_single_source_has_all_the_time);
    tcase_add_test(tcase, unknown_call_flags_are_refused);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
