/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content to blobs when something fails: one error, that of what was fed first, nothing
 * left behind, nobody waiting.
 */
#include <check.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "feeding.h"
#include "golden.h"

/* A few of each kind, and every section. */
static void feed_few(struct feed *feed)
{
    feed_init(feed);
    feed->image.chunk_size = 4096;
    feed->options.flags = RAFS_BUILD_TOC | RAFS_BUILD_INLINE_BOOTSTRAP;
    feed->options.batch_size = 4096;
    for (uint32_t i = 1; i < 8; i++)
        feed_add(feed, i * 3000, i % 3 == FEED_ZEROS ? 0 : i, (enum feed_way)(i % 3));
    feed_add(feed, 400000, 9, FEED_READ);
    feed_add(feed, 100, 9, FEED_READ);
}

/* Runs it, with an error of that code or none. */
static int run(struct feed *feed, int code)
{
    struct feed_boot boot = {.feed = feed, .size = 20000};
    const struct rafsi_boot from = {&boot, feed_boot_write};
    int rc = feed_run(feed, &from, NULL);

    ck_assert(rc == RAFS_OK || rc == code);
    ck_assert_int_eq(feed->err.code, rc);
    if (rc == RAFS_OK) {
        feed_check(feed);
        return rc;
    }
    ck_assert_uint_gt(strlen(feed->err.text), 0);
    if (feed->data) /* it stays failed, and says why */
        ck_assert_int_eq(rafsi_data_flush(feed->data, NULL, NULL), code);
    return rc;
}

static void check_unwritten(const struct feed *feed)
{
    for (uint32_t i = 0; i < feed->sink.count; i++)
        ck_assert(!feed->sink.objects[i].committed);
}

START_TEST(any_allocation_may_fail)
{
    static struct feed feed;
    bool failed = true;
    size_t n = 0;

    for (; failed; n++) {
        feed_few(&feed);
        watch_fail_at(&feed.watch, n);
        if (run(&feed, RAFS_E_NOMEM) < 0)
            check_unwritten(&feed);
        failed = atomic_load(&feed.watch.failed);
        feed_drop(&feed);
    }
    ck_assert_uint_gt(n, 25);
}
END_TEST

START_TEST(any_write_may_fail)
{
    static struct feed feed;
    bool failed = true;
    size_t n = 0;

    for (; failed; n++) {
        feed_few(&feed);
        feed.sink.fail_at = n;
        if (run(&feed, RAFS_E_BACKEND) < 0)
            check_unwritten(&feed);
        failed = feed.sink.failed;
        feed_drop(&feed);
    }
    ck_assert_uint_gt(n, 40);
}
END_TEST

START_TEST(any_read_may_fail)
{
    static struct feed feed;
    bool failed = true;
    size_t n = 0;

    for (; failed; n++) {
        feed_few(&feed);
        feed.fail_read = n;
        if (run(&feed, RAFS_E_BACKEND) < 0)
            check_unwritten(&feed);
        failed = atomic_load(&feed.read_failed);
        feed_drop(&feed);
    }
    ck_assert_uint_gt(n, 40);
}
END_TEST

START_TEST(error_is_that_of_what_was_fed_first)
{
    static struct feed feed;

    for (uint32_t round = 0; round < 20; round++) {
        feed_init(&feed);
        feed.options.threads = 4;
        for (uint32_t i = 0; i < 40; i++)
            feed_add(&feed, 100000, i * 4 + 1, FEED_READ);
        feed.files[7].fails = RAFS_E_BACKEND;
        feed.files[8].fails = RAFS_E_NOENT;
        feed.files[9].fails = RAFS_E_CORRUPT;
        ck_assert_int_eq(feed_run(&feed, NULL, NULL), RAFS_E_BACKEND);
        feed_drop(&feed);
    }
}
END_TEST

START_TEST(cancelling_stops_it_in_the_middle)
{
    static struct feed feed;
    rafs_call call = RAFS_CALL_INIT;
    rafs_cancel *cancel;

    NEED(rafs_cancel_new(&cancel, NULL) == RAFS_OK);
    feed_init(&feed);
    feed_usual(&feed);
    call.cancel = feed.sink.cancel = cancel;
    feed.sink.cancel_at = 5;
    ck_assert_int_eq(feed_run(&feed, NULL, &call), RAFS_E_CANCELLED);
    ck_assert_int_eq(feed.err.code, RAFS_E_CANCELLED);
    check_unwritten(&feed);
    feed_drop(&feed);
    rafs_cancel_free(cancel);
}
END_TEST

static sem_t gate;
static rafs_cancel *token;

/* The file lies on a device that does not answer; meanwhile somebody gives up. */
static void read_hangs(struct feed *feed, struct feed_file *file)
{
    (void)file;
    if (token)
        rafs_cancel_fire(token);
    else
        watch_advance(&feed->watch, 2000000000);
    while (sem_wait(&gate) != 0)
        ;
}

START_TEST(nobody_waits_for_a_read_past_the_end_of_the_call)
{
    static struct feed feed;
    rafs_call call = RAFS_CALL_INIT;
    int code = _i ? RAFS_E_TIMEOUT : RAFS_E_CANCELLED;

    NEED(sem_init(&gate, 0, 0) == 0);
    feed_init(&feed);
    feed_add(&feed, 100, 1, FEED_READ);
    feed.reading = read_hangs;
    token = NULL;
    if (_i)
        call = watch_call(&feed.watch, 1000000000);
    else
        NEED(rafs_cancel_new(&token, NULL) == RAFS_OK);
    call.cancel = token;
    ck_assert_int_eq(feed_all(&feed, &call), code);
    ck_assert_int_eq(sem_post(&gate), 0);
    feed_drop(&feed);
    rafs_cancel_free(token);
    NEED(sem_destroy(&gate) == 0);
}
END_TEST

START_TEST(content_is_as_long_as_its_file)
{
    static struct feed feed;
    struct build_inode inode = {.size = 10};
    uint32_t chunk;
    int rc;

    feed_init(&feed);
    ck_assert_int_eq(feed_all(&feed, NULL), RAFS_OK);
    inode.chunks = &chunk;
    ck_assert_int_eq(rafsi_data_begin(feed.data, &inode, NULL), RAFS_OK);
    rc = rafsi_data_add(feed.data, "0123456789x", _i ? 11 : 9, NULL, &feed.err);
    if (!_i) {
        ck_assert_int_eq(rc, RAFS_OK);
        rc = rafsi_data_end(feed.data, NULL, &feed.err);
    }
    ck_assert_int_eq(rc, RAFS_E_CORRUPT);
    ck_assert_int_eq(feed.err.code, rc);
    feed_drop(&feed);
}
END_TEST

START_TEST(files_that_are_read_are_few_at_once)
{
    static struct feed feed;

    feed_init(&feed);
    for (uint32_t i = 0; i < FEED_FILES_MAX; i++)
        feed_add(&feed, 10, i, FEED_READ);
    for (uint32_t i = 0; i < 4; i++) {
        ck_assert_int_eq(feed_all(&feed, NULL), RAFS_OK);
        ck_assert_uint_le(feed.most, 256 + 1); /* and the one that waits */
    }
    feed_drop(&feed);
}
END_TEST

START_TEST(what_is_not_ended_is_given_up)
{
    static struct feed feed;

    feed_init(&feed);
    feed_usual(&feed);
    ck_assert_int_eq(feed_all(&feed, NULL), RAFS_OK);
    ck_assert_uint_gt(feed.sink.objects[0].len, 0);
    feed_drop(&feed);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, any_allocation_may_fail);
    tcase_add_test(tcase, any_write_may_fail);
    tcase_add_test(tcase, any_read_may_fail);
    tcase_add_test(tcase, error_is_that_of_what_was_fed_first);
    tcase_add_test(tcase, cancelling_stops_it_in_the_middle);
    tcase_add_loop_test(tcase, nobody_waits_for_a_read_past_the_end_of_the_call, 0, 2);
    tcase_add_loop_test(tcase, content_is_as_long_as_its_file, 0, 2);
    tcase_add_test(tcase, files_that_are_read_are_few_at_once);
    tcase_add_test(tcase, what_is_not_ended_is_given_up);
}

int main(void)
{
    Suite *suite = suite_create("data_faults");
    TCase *tcase = tcase_create("data_faults");
    SRunner *runner;
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 300);
    add(tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
