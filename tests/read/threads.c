/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads on one image: nothing is fetched twice, everybody gets the right bytes,
 * and nobody waits longer than his own deadline or cancel token lets him. The backend
 * and the clock are scripted, so that threads meet where they are meant to.
 */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reading.h"

enum { THREADS = 8, OFFSETS_MAX = 4096, SECOND_NS = 1000000000 };

/* A place where one reader of the backend can be held. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned arrived; /* threads that announced themselves */
    unsigned wanted;  /* the first read goes on when so many did */
    bool inside;      /* the first read has come */
    bool open;        /* it may go on */
    unsigned reads;   /* reads that came at all */
    uint64_t offset[OFFSETS_MAX];
    unsigned times[OFFSETS_MAX];
    size_t offsets;
    bool poll_cancel; /* wait for the cancel token in place of the gate */
};

static void gate_init(struct gate *gate)
{
    memset(gate, 0, sizeof(*gate));
    NEED(pthread_mutex_init(&gate->lock, NULL) == 0);
    NEED(pthread_cond_init(&gate->changed, NULL) == 0);
}

static void gate_set(struct gate *gate, bool *what)
{
    pthread_mutex_lock(&gate->lock);
    *what = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void gate_wait(struct gate *gate, const bool *what)
{
    pthread_mutex_lock(&gate->lock);
    while (!*what)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static void gate_arrive(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->arrived++;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void note_offset(struct gate *gate, uint64_t offset)
{
    size_t i = 0;

    while (i < gate->offsets && gate->offset[i] != offset)
        i++;
    NEED(i < OFFSETS_MAX);
    if (i == gate->offsets)
        gate->offset[gate->offsets++] = offset;
    gate->times[i]++;
}

/* Counts, and holds nobody but the first until all threads are at work. */
static int count_reads(void *user, uint64_t offset, const rafs_call *call)
{
    struct gate *gate = user;

    (void)call;
    pthread_mutex_lock(&gate->lock);
    note_offset(gate, offset);
    gate->reads++;
    while (gate->arrived < gate->wanted)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    return RAFS_OK;
}

/* Holds the first read until the gate opens, or its token fires. */
static int hold_first(void *user, uint64_t offset, const rafs_call *call)
{
    struct gate *gate = user;
    bool first;

    (void)offset;
    pthread_mutex_lock(&gate->lock);
    first = gate->reads++ == 0;
    pthread_mutex_unlock(&gate->lock);
    if (!first)
        return RAFS_OK;
    gate_set(gate, &gate->inside);
    if (gate->poll_cancel) {
        struct pollfd fd = {rafs_cancel_fd(call->cancel), POLLIN, 0};

        while (poll(&fd, 1, -1) < 1)
            ;
        return RAFS_E_CANCELLED;
    }
    gate_wait(gate, &gate->open);
    return rafs_cancel_fired(call->cancel) ? RAFS_E_CANCELLED : RAFS_OK;
}

static struct golden golden;
static struct reading reading;
static const struct item *file;

static void load(const char *variant)
{
    struct rig rig;

    golden_load(golden_folder(), variant, &golden);
    rig_init(&rig, &golden, NULL);
    NEED(rig_open(&rig, &golden, NULL, 0, NULL) == RAFS_OK);
    reading_take(rig.image, &reading);
    rig_drop(&rig);
    file = NULL;
    for (size_t i = 0; i < reading.count; i++)
        if (S_ISREG(reading.items[i].attr.mode) &&
            (!file || reading.items[i].attr.size > file->attr.size))
            file = &reading.items[i];
    NEED(file);
}

static void unload(void)
{
    reading_drop(&reading);
    golden_drop(&golden);
}

struct worker {
    pthread_t thread;
    const rafs_image *image;
    struct gate *gate;
    rafs_call call;
    struct tally tally;
    int rc;
    bool right;
};

static void *compare_all(void *user)
{
    struct worker *worker = user;

    gate_arrive(worker->gate);
    reading_compare(worker->image, &reading, &worker->tally);
    return NULL;
}

static void *read_file(void *user)
{
    struct worker *worker = user;
    size_t len = 100;
    uint8_t buf[100];
    size_t nread = 0;

    worker->rc = rafs_image_read(worker->image, file->attr.ino, 0, len, buf, &nread,
                                 &worker->call, NULL);
    worker->right = nread == len && memcmp(buf, file->content.at, len) == 0;
    return NULL;
}

static void start(struct worker *worker, const rafs_image *image, struct gate *gate,
                  void *(*work)(void *))
{
    worker->image = image;
    worker->gate = gate;
    if (worker->call.struct_size == 0)
        worker->call.struct_size = sizeof(worker->call);
    NEED(pthread_create(&worker->thread, NULL, work, worker) == 0);
}

static void join(struct worker *worker)
{
    NEED(pthread_join(worker->thread, NULL) == 0);
}

static const char *const variants[] = {"v6-chunk4k", "v5-chunk64k", "v6-merge",
                                       "v6-none"};

START_TEST(each_chunk_is_fetched_once_for_all_threads)
{
    struct worker workers[THREADS];
    rafs_stats stats = {.struct_size = sizeof(stats)};
    struct watch watch;
    struct gate gate;
    struct rig rig;

    load(variants[_i]);
    gate_init(&gate);
    gate.wanted = THREADS;
    watch_init(&watch);
    rig_init(&rig, &golden, &watch);
    rig.script.before_read = count_reads;
    rig.script.before_user = &gate;
    ck_assert_int_eq(rig_open(&rig, &golden, NULL, 0, NULL), RAFS_OK);
    memset(workers, 0, sizeof(workers));
    for (int i = 0; i < THREADS; i++)
        start(&workers[i], rig.image, &gate, compare_all);
    for (int i = 0; i < THREADS; i++) {
        join(&workers[i]);
        ck_assert_uint_eq(workers[i].tally.wrong, 0);
        ck_assert_uint_eq(workers[i].tally.refused, 0);
        ck_assert_uint_gt(workers[i].tally.right, 0);
    }
    ck_assert_int_eq(rafs_image_get_stats(rig.image, &stats, NULL), RAFS_OK);
    ck_assert_uint_eq(stats.requests, gate.reads);
    ck_assert_uint_eq(stats.chunks_fetched, gate.reads);
    if (golden.blob_count == 1)
        for (size_t i = 0; i < gate.offsets; i++)
            ck_assert_msg(gate.times[i] == 1, "byte %llu was asked for %u times",
                          (unsigned long long)gate.offset[i], gate.times[i]);
    rig_drop(&rig);
    ck_assert_uint_eq(watch.live, 0);
    unload();
}
END_TEST

/* Metadata in a file, with room for all blocks or for none. */
START_TEST(threads_share_the_pages_of_a_bootstrap_file)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits),
                          .metadata_cache_bytes = _i == 0 ? 0 : 1};
    struct worker workers[THREADS];
    rafs_image *image = NULL;
    struct gate gate;
    struct rig rig;
    char path[4096];

    load("v6-zstd");
    gate_init(&gate);
    rig_init(&rig, &golden, NULL);
    options.limits = &limits;
    options.expect_digest = _i == 2 ? golden.digest : NULL;
    options.backends = &rig.backend;
    options.backend_count = 1;
    snprintf(path, sizeof(path), "%s/v6-zstd/image.boot", golden_folder());
    ck_assert_int_eq(rafs_image_open_path(path, &options, &image, NULL, NULL), RAFS_OK);
    memset(workers, 0, sizeof(workers));
    for (int i = 0; i < THREADS; i++)
        start(&workers[i], image, &gate, compare_all);
    for (int i = 0; i < THREADS; i++) {
        join(&workers[i]);
        ck_assert_uint_eq(workers[i].tally.wrong + workers[i].tally.refused, 0);
    }
    rafs_image_close(image);
    rig_drop(&rig);
    unload();
}
END_TEST

/* One who leads and is held in the backend, one who waits for him. */
struct pair {
    struct watch watch;
    struct gate gate;
    struct rig rig;
    struct worker leader, waiter;
};

static void pair_init(struct pair *pair)
{
    memset(pair, 0, sizeof(*pair));
    load("v6-zstd");
    gate_init(&pair->gate);
    watch_init(&pair->watch);
    rig_init(&pair->rig, &golden, &pair->watch);
    pair->rig.script.before_read = hold_first;
    pair->rig.script.before_user = &pair->gate;
    ck_assert_int_eq(rig_open(&pair->rig, &golden, NULL, 0, NULL), RAFS_OK);
}

static void pair_lead(struct pair *pair)
{
    start(&pair->leader, pair->rig.image, &pair->gate, read_file);
    gate_wait(&pair->gate, &pair->gate.inside);
}

/* The waiter has a deadline, and the leader none: who looks at the clock again and again
 * is the waiter, waiting. */
static void pair_wait(struct pair *pair)
{
    size_t before = atomic_load(&pair->watch.looks);

    pair->waiter.call = watch_call(&pair->watch, 10 * (uint64_t)SECOND_NS);
    start(&pair->waiter, pair->rig.image, &pair->gate, read_file);
    while (atomic_load(&pair->watch.looks) < before + 5)
        sched_yield();
}

static void pair_drop(struct pair *pair)
{
    rig_drop(&pair->rig);
    ck_assert_uint_eq(pair->watch.live, 0);
    unload();
}

START_TEST(a_waiter_keeps_his_own_deadline)
{
    struct pair pair;

    pair_init(&pair);
    pair_lead(&pair);
    pair_wait(&pair);
    watch_advance(&pair.watch, 11 * (uint64_t)SECOND_NS);
    join(&pair.waiter);
    ck_assert_int_eq(pair.waiter.rc, RAFS_E_TIMEOUT);
    ck_assert(!pair.waiter.right);

    gate_set(&pair.gate, &pair.gate.open);
    join(&pair.leader);
    ck_assert_int_eq(pair.leader.rc, RAFS_OK);
    ck_assert(pair.leader.right);
    ck_assert_uint_eq(pair.gate.reads, 1);
    pair_drop(&pair);
}
END_TEST

START_TEST(a_waiter_takes_over_from_a_cancelled_leader)
{
    rafs_cancel *cancel = NULL;
    struct pair pair;

    pair_init(&pair);
    ck_assert_int_eq(rafs_cancel_new(&cancel, NULL), RAFS_OK);
    pair.leader.call.cancel = cancel;
    pair_lead(&pair);
    pair_wait(&pair);
    rafs_cancel_fire(cancel);
    gate_set(&pair.gate, &pair.gate.open);
    join(&pair.leader);
    join(&pair.waiter);
    ck_assert_int_eq(pair.leader.rc, RAFS_E_CANCELLED);
    ck_assert_int_eq(pair.waiter.rc, RAFS_OK);
    ck_assert(pair.waiter.right);
    ck_assert_uint_eq(pair.gate.reads, 2);
    pair_drop(&pair);
    rafs_cancel_free(cancel);
}
END_TEST

START_TEST(a_waiter_shares_what_the_leader_got)
{
    struct pair pair;

    pair_init(&pair);
    pair_lead(&pair);
    pair_wait(&pair);
    gate_set(&pair.gate, &pair.gate.open);
    join(&pair.leader);
    join(&pair.waiter);
    ck_assert_int_eq(pair.waiter.rc, RAFS_OK);
    ck_assert(pair.waiter.right && pair.leader.right);
    ck_assert_uint_eq(pair.gate.reads, 1);
    pair_drop(&pair);
}
END_TEST

static rafs_cancel *fired_by_signal;

static void fire(int number)
{
    (void)number;
    rafs_cancel_fire(fired_by_signal);
}

START_TEST(a_token_fired_in_a_signal_handler_stops_everybody)
{
    struct sigaction action = {.sa_handler = fire};
    struct pair pair;

    pair_init(&pair);
    ck_assert_int_eq(rafs_cancel_new(&fired_by_signal, NULL), RAFS_OK);
    NEED(sigaction(SIGUSR1, &action, NULL) == 0);
    pair.gate.poll_cancel = true;
    pair.leader.call.cancel = fired_by_signal;
    pair_lead(&pair);
    pair.waiter.call.cancel = fired_by_signal;
    start(&pair.waiter, pair.rig.image, &pair.gate, read_file);
    NEED(raise(SIGUSR1) == 0);
    join(&pair.leader);
    join(&pair.waiter);
    ck_assert_int_eq(pair.leader.rc, RAFS_E_CANCELLED);
    ck_assert_int_eq(pair.waiter.rc, RAFS_E_CANCELLED);
    ck_assert_int_eq(rafs_cancel_fired(fired_by_signal), 1);

    /* The token can be used again, and the image still reads. */
    rafs_cancel_reset(fired_by_signal);
    ck_assert_int_eq(rafs_cancel_fired(fired_by_signal), 0);
    pair.gate.poll_cancel = false;
    start(&pair.waiter, pair.rig.image, &pair.gate, read_file);
    join(&pair.waiter);
    ck_assert_int_eq(pair.waiter.rc, RAFS_OK);
    ck_assert(pair.waiter.right);
    pair_drop(&pair);
    rafs_cancel_free(fired_by_signal);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, each_chunk_is_fetched_once_for_all_threads, 0, 4);
    tcase_add_loop_test(tcase, threads_share_the_pages_of_a_bootstrap_file, 0, 3);
    tcase_add_test(tcase, a_waiter_keeps_his_own_deadline);
    tcase_add_test(tcase, a_waiter_takes_over_from_a_cancelled_leader);
    tcase_add_test(tcase, a_waiter_shares_what_the_leader_got);
    tcase_add_test(tcase, a_token_fired_in_a_signal_handler_stops_everybody);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
