/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The crew of an image: who goes first, what holds it back, and that it always ends.
 * Every step waits at a gate, so that no claim rests on how fast anything is.
 */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "golden.h"
#include "read/crew.h"
#include "watch.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

struct work {
    struct rafsi_task task;
    unsigned begun, inside, most, may_end;
    bool stuck; /* until the token fires */
    bool fired;
};

static void step(void *user, const rafs_call *call)
{
    struct work *work = user;
    struct pollfd fd = {rafs_cancel_fd(call->cancel), POLLIN, 0};

    pthread_mutex_lock(&lock);
    work->begun++;
    work->inside++;
    if (work->inside > work->most)
        work->most = work->inside;
    pthread_cond_broadcast(&changed);
    while (!work->stuck && work->may_end == 0)
        pthread_cond_wait(&changed, &lock);
    work->may_end -= !work->stuck;
    pthread_mutex_unlock(&lock);
    if (work->stuck)
        while (poll(&fd, 1, -1) < 1)
            ;
    pthread_mutex_lock(&lock);
    work->fired |= rafs_cancel_fired(call->cancel);
    work->inside--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_for(const unsigned *what, unsigned value)
{
    pthread_mutex_lock(&lock);
    while (*what != value)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void release(struct work *work, unsigned steps)
{
    pthread_mutex_lock(&lock);
    work->may_end += steps;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static unsigned look(const unsigned *what)
{
    unsigned value;

    pthread_mutex_lock(&lock);
    value = *what;
    pthread_mutex_unlock(&lock);
    return value;
}

static void work_init(struct work *work, unsigned priority, unsigned width)
{
    memset(work, 0, sizeof(*work));
    work->task = (struct rafsi_task){.step = step,
                                     .user = work,
                                     .step_ns = UINT64_C(1) << 62,
                                     .priority = priority,
                                     .width = width};
}

static struct rafsi_crew *crew_of(const rafs_env *set)
{
    struct rafsi_crew *crew = NULL;
    struct rafsi_env env;

    NEED(rafsi_env_take(set, &env, NULL) == RAFS_OK);
    NEED(rafsi_crew_new(&env, &crew, NULL) == RAFS_OK);
    return crew;
}

START_TEST(prefetch_makes_do_with_one_thread_while_somebody_waits)
{
    struct rafsi_crew *crew = crew_of(NULL);
    struct work prefetch, other;

    work_init(&prefetch, CREW_PREFETCH, 4);
    work_init(&other, CREW_AHEAD, 4);
    rafsi_crew_urgent(crew);
    ck_assert_int_eq(rafsi_crew_post(crew, &prefetch.task, 8), RAFS_OK);
    wait_for(&prefetch.begun, 1);
    /* Others find a thread all the same. */
    ck_assert_int_eq(rafsi_crew_post(crew, &other.task, 3), RAFS_OK);
    wait_for(&other.inside, 3);
    ck_assert_uint_eq(look(&prefetch.most), 1);
    rafsi_crew_calm(crew);
    release(&prefetch, 1);
    wait_for(&prefetch.begun, 2); /* read-ahead is under way: still one at a time */
    ck_assert_uint_eq(look(&prefetch.most), 1);
    release(&other, 3);
    wait_for(&other.inside, 0);
    wait_for(&prefetch.inside, 4);
    release(&prefetch, 7);
    wait_for(&prefetch.begun, 8);
    wait_for(&prefetch.inside, 0);
    ck_assert_uint_eq(look(&prefetch.most), 4);
    rafsi_crew_free(crew);
}
END_TEST

START_TEST(a_delay_is_measured_on_the_clock_of_the_caller)
{
    struct watch watch;
    struct work late, other;
    struct rafsi_crew *crew;

    watch_init(&watch);
    crew = crew_of(&watch.env);
    work_init(&late, CREW_PREFETCH, 2);
    work_init(&other, CREW_AHEAD, 1);
    rafsi_crew_delay(crew, &late.task, atomic_load(&watch.now_ns) + 1000000000);
    ck_assert_int_eq(rafsi_crew_post(crew, &late.task, 2), RAFS_OK);
    for (unsigned i = 1; i <= 3; i++) {
        ck_assert_int_eq(rafsi_crew_post(crew, &other.task, 1), RAFS_OK);
        release(&other, 1);
        wait_for(&other.begun, i);
    }
    ck_assert_uint_eq(look(&late.begun), 0);
    atomic_fetch_add(&watch.now_ns, 1000000000);
    wait_for(&late.inside, 2);
    release(&late, 2);
    rafsi_crew_drop(crew, &late.task);
    ck_assert_uint_eq(late.inside, 0);
    rafsi_crew_free(crew);
}
END_TEST

START_TEST(what_is_cleared_does_not_begin)
{
    struct rafsi_crew *crew = crew_of(NULL);
    struct work work;

    work_init(&work, CREW_PREFETCH, 1);
    ck_assert_int_eq(rafsi_crew_post(crew, &work.task, 5), RAFS_OK);
    wait_for(&work.begun, 1);
    rafsi_crew_clear(crew, &work.task);
    release(&work, 5);
    rafsi_crew_drop(crew, &work.task);
    ck_assert_uint_eq(work.begun, 1);
    rafsi_crew_free(crew);
}
END_TEST

START_TEST(a_crew_that_ends_calls_its_steps_back)
{
    struct rafsi_crew *crew = crew_of(NULL);
    struct work ahead, prefetch;
    rafs_cancel *cancel = NULL;

    NEED(rafs_cancel_new(&cancel, NULL) == RAFS_OK);
    work_init(&ahead, CREW_AHEAD, 4);
    work_init(&prefetch, CREW_PREFETCH, CREW_WIDTH_MAX);
    ahead.stuck = prefetch.stuck = true;
    prefetch.task.cancel = cancel;
    ck_assert_int_eq(rafsi_crew_post(crew, &prefetch.task, 2 * CREW_WIDTH_MAX), RAFS_OK);
    wait_for(&prefetch.inside, CREW_WIDTH_MAX);
    ck_assert_int_eq(rafsi_crew_post(crew, &ahead.task, 4), RAFS_OK);
    wait_for(&ahead.inside, 4);
    rafsi_crew_free(crew); /* hangs if a token does not fire */
    ck_assert(ahead.fired && prefetch.fired);
    ck_assert_uint_eq(ahead.inside + prefetch.inside, 0);
    ck_assert_uint_eq(prefetch.begun, CREW_WIDTH_MAX);
    rafs_cancel_free(cancel);
}
END_TEST

START_TEST(a_crew_without_work_has_no_thread_to_join)
{
    rafsi_crew_free(crew_of(NULL));
    rafsi_crew_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crew");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, prefetch_makes_do_with_one_thread_while_somebody_waits, 0,
                        20);
    tcase_add_loop_test(tcase, a_delay_is_measured_on_the_clock_of_the_caller, 0, 10);
    tcase_add_test(tcase, what_is_cleared_does_not_begin);
    tcase_add_loop_test(tcase, a_crew_that_ends_calls_its_steps_back, 0, 20);
    tcase_add_test(tcase, a_crew_without_work_has_no_thread_to_join);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
