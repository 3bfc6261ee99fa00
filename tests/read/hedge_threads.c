/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second source is asked when the first is slow: the first answer wins, the other one
 * is cancelled and writes nowhere that matters, and nobody waits past his own deadline or
 * token, whatever the sources do. Where it is to be known who does what first, the clock
 * is the test's and sources wait at gates.
 */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crowd.h"

enum { HEDGE_MS = 100, THREADS = 32, READS_EACH = 32 };

static const uint64_t second_ns = 1000000000;

static struct watch watch;
static struct crowd crowd;

/* What a source does before it answers. */
enum manner {
    AT_ONCE,
    HELD,                 /* until the gate opens, deaf to its token */
    UNTIL_CANCELLED,      /* the first time */
    CANCELLED_BUT_ANSWERS /* waits for its token, and then writes all the same */
};

struct source {
    enum manner manner;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open, inside, left, cancelled;
};

static struct source source[2];

static void source_init(struct source *it, enum manner manner)
{
    memset(it, 0, sizeof(*it));
    it->manner = manner;
    NEED(pthread_mutex_init(&it->lock, NULL) == 0);
    NEED(pthread_cond_init(&it->changed, NULL) == 0);
}

static void set(struct source *it, bool *what)
{
    pthread_mutex_lock(&it->lock);
    *what = true;
    pthread_cond_broadcast(&it->changed);
    pthread_mutex_unlock(&it->lock);
}

static void wait_for(struct source *it, const bool *what)
{
    pthread_mutex_lock(&it->lock);
    while (!*what)
        pthread_cond_wait(&it->changed, &it->lock);
    pthread_mutex_unlock(&it->lock);
}

static int behave(void *user, uint64_t offset, const rafs_call *call)
{
    struct source *it = user;
    int rc = RAFS_OK;

    (void)offset;
    set(it, &it->inside);
    if (it->manner == HELD)
        wait_for(it, &it->open);
    if (!it->cancelled &&
        (it->manner == UNTIL_CANCELLED || it->manner == CANCELLED_BUT_ANSWERS)) {
        struct pollfd fd = {rafs_cancel_fd(call->cancel), POLLIN, 0};

        while (poll(&fd, 1, -1) < 1)
            ;
        rc = it->manner == UNTIL_CANCELLED ? RAFS_E_CANCELLED : RAFS_OK;
        set(it, &it->cancelled);
    }
    set(it, &it->left);
    return rc;
}

static void load(enum manner first, enum manner second)
{
    watch_init(&watch);
    crowd_load(&crowd, "v6-zstd", 2, &watch);
    source_init(&source[0], first);
    source_init(&source[1], second);
    for (size_t i = 0; i < 2; i++) {
        crowd.script[i].before_read = behave;
        crowd.script[i].before_user = &source[i];
    }
    crowd_open(&crowd, HEDGE_MS);
}

static void drop(void)
{
    crowd_drop(&crowd);
    ck_assert_uint_eq(atomic_load(&watch.live), 0);
}

/* A reader of its own thread, so that the test can act meanwhile. */
struct reader {
    pthread_t thread;
    rafs_call call;
    int rc;
    bool right;
};

static void *read_once(void *user)
{
    struct reader *reader = user;

    reader->rc = crowd_read(&crowd, 0, 100, &reader->call, &reader->right);
    return NULL;
}

static void reader_start(struct reader *reader, const rafs_cancel *cancel)
{
    reader->call = watch_call(&watch, 60 * second_ns);
    reader->call.cancel = cancel;
    NEED(pthread_create(&reader->thread, NULL, read_once, reader) == 0);
}

static void reader_join(struct reader *reader)
{
    NEED(pthread_join(reader->thread, NULL) == 0);
}

/* The first is at work and has used its time up. */
static void first_is_slow(void)
{
    wait_for(&source[0], &source[0].inside);
    watch_advance(&watch, HEDGE_MS * UINT64_C(1000000));
}

START_TEST(who_answers_in_time_is_alone)
{
    bool right;

    load(AT_ONCE, AT_ONCE);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(crowd_read(&crowd, 0, 100, NULL, &right), RAFS_OK);
        ck_assert(right);
    }
    ck_assert_uint_eq(crowd_stats(&crowd).hedges, 0);
    ck_assert_uint_eq(atomic_load(&crowd.script[1].answers), 0);
    drop();
}
END_TEST

START_TEST(the_second_wins)
{
    struct reader reader;
    bool right;

    load(_i ? CANCELLED_BUT_ANSWERS : UNTIL_CANCELLED, AT_ONCE);
    reader_start(&reader, NULL);
    first_is_slow();
    reader_join(&reader);
    ck_assert_int_eq(reader.rc, RAFS_OK);
    ck_assert(reader.right);
    ck_assert_uint_eq(crowd_stats(&crowd).hedges, 1);
    ck_assert_uint_eq(crowd_stats(&crowd).hedges_won, 1);
    wait_for(&source[0], &source[0].cancelled);
    /* Beaten, it is asked last for a while. */
    ck_assert_int_eq(crowd_read(&crowd, 0, 100, NULL, &right), RAFS_OK);
    ck_assert(right);
    ck_assert_uint_eq(atomic_load(&crowd.script[0].reads), 1);
    drop();
}
END_TEST

/* Where all are slow, few are asked twice. */
START_TEST(a_slow_link_is_not_burdened)
{
    enum { READS = 100 };

    load(HELD, AT_ONCE);
    crowd.script[1].fault_stays = true; /* it comes to nothing, by no fault of its own */
    script_arm(&crowd.script[1], SCRIPT_NOMEM, 0);
    for (uint64_t i = 0; i < READS; i++) {
        struct reader reader;

        reader_start(&reader, NULL);
        first_is_slow();
        while (i < 16 && crowd_stats(&crowd).hedges <= i)
            sched_yield();
        set(&source[0], &source[0].open);
        reader_join(&reader);
        ck_assert_int_eq(reader.rc, RAFS_OK);
        ck_assert(reader.right);
        source[0].open = source[0].inside = false;
    }
    ck_assert_uint_ge(crowd_stats(&crowd).hedges, 16);
    ck_assert_uint_le(crowd_stats(&crowd).hedges, 16 + READS / 10);
    drop();
}
END_TEST

START_TEST(the_first_wins_after_all)
{
    struct reader reader;

    load(HELD, UNTIL_CANCELLED);
    reader_start(&reader, NULL);
    first_is_slow();
    wait_for(&source[1], &source[1].inside);
    set(&source[0], &source[0].open);
    reader_join(&reader);
    ck_assert_int_eq(reader.rc, RAFS_OK);
    ck_assert(reader.right);
    wait_for(&source[1], &source[1].cancelled);
    ck_assert_uint_eq(crowd_stats(&crowd).hedges, 1);
    ck_assert_uint_eq(crowd_stats(&crowd).hedges_won, 0);
    drop();
}
END_TEST

START_TEST(a_second_that_fails_harms_nobody)
{
    struct reader reader;

    load(HELD, AT_ONCE);
    crowd.script[1].fault_stays = true;
    script_arm(&crowd.script[1], _i ? SCRIPT_NOENT : SCRIPT_FAILS, 0);
    reader_start(&reader, NULL);
    first_is_slow();
    while (atomic_load(&crowd.script[1].answers) == 0)
        sched_yield();
    set(&source[0], &source[0].open);
    reader_join(&reader);
    ck_assert_int_eq(reader.rc, RAFS_OK);
    ck_assert(reader.right);
    drop();
}
END_TEST

START_TEST(wrong_bytes_that_come_first_do_not_win)
{
    struct reader reader;

    load(UNTIL_CANCELLED, AT_ONCE);
    crowd.script[1].fault_stays = true;
    script_arm(&crowd.script[1], SCRIPT_ALTERED, 0);
    reader_start(&reader, NULL);
    first_is_slow();
    reader_join(&reader);
    ck_assert_int_eq(reader.rc, RAFS_OK);
    ck_assert(reader.right);
    ck_assert_uint_eq(atomic_load(&crowd.script[0].reads), 2);
    ck_assert_uint_eq(crowd_stats(&crowd).chunks_refused, 1);
    drop();
}
END_TEST

START_TEST(a_token_ends_both)
{
    struct reader reader;
    rafs_cancel *cancel;

    NEED(rafs_cancel_new(&cancel, NULL) == RAFS_OK);
    load(UNTIL_CANCELLED, UNTIL_CANCELLED);
    reader_start(&reader, cancel);
    first_is_slow();
    wait_for(&source[1], &source[1].inside);
    rafs_cancel_fire(cancel);
    reader_join(&reader);
    ck_assert_int_eq(reader.rc, RAFS_E_CANCELLED);
    wait_for(&source[0], &source[0].cancelled);
    wait_for(&source[1], &source[1].cancelled);
    drop();
    rafs_cancel_free(cancel);
}
END_TEST

/* Sources that ignore deadline and token hold up the close of the image, but no reader.
 */
START_TEST(a_deadline_is_kept_though_sources_are_deaf)
{
    struct reader reader;

    load(HELD, HELD);
    reader_start(&reader, NULL);
    first_is_slow();
    wait_for(&source[1], &source[1].inside);
    watch_advance(&watch, 61 * second_ns);
    reader_join(&reader);
    ck_assert_int_eq(reader.rc, RAFS_E_TIMEOUT);
    ck_assert(!source[0].left && !source[1].left);
    set(&source[0], &source[0].open);
    set(&source[1], &source[1].open);
    drop();
}
END_TEST

START_TEST(an_image_closes_while_a_loser_is_at_work)
{
    struct reader reader;

    load(CANCELLED_BUT_ANSWERS, AT_ONCE);
    reader_start(&reader, NULL);
    first_is_slow();
    reader_join(&reader);
    ck_assert_int_eq(reader.rc, RAFS_OK);
    drop();
    ck_assert(source[0].left);
}
END_TEST

/* Every allocation of a race fails once. */
START_TEST(the_nth_allocation_fails)
{
    bool failed = true;
    bool right;

    for (size_t n = 0; failed; n++) {
        int rc;

        load(AT_ONCE, AT_ONCE);
        watch_fail_at(&watch, n);
        rc = crowd_read(&crowd, 0, 100, NULL, &right);
        failed = atomic_load(&watch.failed);
        ck_assert(rc == RAFS_E_NOMEM || right);
        watch_fail_at(&watch, WATCH_NEVER);
        drop();
    }
}
END_TEST

/* --- in real time ----------------------------------------------------------------------
 */

static atomic_uint turn;

/* Most answers come at once, some late, so that races end in every way. */
static int dawdle(void *user, uint64_t offset, const rafs_call *call)
{
    unsigned now = atomic_fetch_add(&turn, 1);
    struct timespec nap = {0, (long)(now % 5) * 1500000};

    (void)user;
    (void)offset;
    if (now % 3 == 0)
        nanosleep(&nap, NULL);
    if (now % 17 == 0)
        return RAFS_E_BACKEND;
    return rafs_cancel_fired(call->cancel) && now % 2 ? RAFS_E_CANCELLED : RAFS_OK;
}

static void *read_many(void *user)
{
    uint64_t seed = (uintptr_t)user + 1;
    uint64_t len = crowd.file->content.len;

    for (int i = 0; i < READS_EACH; i++) {
        uint64_t offset;
        bool right;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        offset = (seed >> 33) % (len - 100);
        ck_assert_int_eq(crowd_read(&crowd, offset, 100, NULL, &right), RAFS_OK);
        ck_assert(right);
    }
    return NULL;
}

START_TEST(a_thousand_reads)
{
    pthread_t threads[THREADS];

    crowd_load(&crowd, _i ? "v6-none" : "v6-chunk4k", 3, NULL);
    for (size_t i = 0; i < 3; i++)
        crowd.script[i].before_read = dawdle;
    crowd_open(&crowd, 2);
    for (size_t i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, read_many, (void *)(uintptr_t)i) == 0);
    for (size_t i = 0; i < THREADS; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    ck_assert_uint_gt(crowd_stats(&crowd).hedges, 0);
    crowd_drop(&crowd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hedge_threads");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, who_answers_in_time_is_alone);
    tcase_add_loop_test(tcase, the_second_wins, 0, 2);
    tcase_add_test(tcase, a_slow_link_is_not_burdened);
    tcase_add_test(tcase, the_first_wins_after_all);
    tcase_add_loop_test(tcase, a_second_that_fails_harms_nobody, 0, 2);
    tcase_add_test(tcase, wrong_bytes_that_come_first_do_not_win);
    tcase_add_test(tcase, a_token_ends_both);
    tcase_add_test(tcase, a_deadline_is_kept_though_sources_are_deaf);
    tcase_add_test(tcase, an_image_closes_while_a_loser_is_at_work);
    tcase_add_test(tcase, the_nth_allocation_fails);
    tcase_add_loop_test(tcase, a_thousand_reads, 0, 2);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
