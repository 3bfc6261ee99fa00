/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many processes on one cache directory, through the public API. Every byte is compared;
 * the source counts what it is asked for, so that "fetched once" is a number and not a
 * hope; some are killed where it hurts. RAFS_TEST_FULL: 2,000 of them.
 */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "throng.h"

/* Syncs take time, and powercut.c is about them. */
int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

int fsync(int fd)
{
    (void)fd;
    return 0;
}

static char dir[64];
static struct throng throng;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    return ftw->level > 0 ? remove(path) : 0;
}

static void empty(void)
{
    NEED(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static void set_up(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(dir, sizeof(dir), "%s/rafs-throng-XXXXXX", base && *base ? base : "/tmp");
    NEED(mkdtemp(dir) != NULL);
}

static void tear_down(void)
{
    throng_drop(&throng);
    empty();
    rmdir(dir);
}

static rafs_cache_gc_result evict_all(rafs_cache *cache)
{
    rafs_cache_gc_options all = RAFS_CACHE_GC_OPTIONS_INIT;
    rafs_cache_gc_result result = RAFS_CACHE_GC_RESULT_INIT;

    all.quota_bytes = 1;
    NEED(rafs_cache_gc(cache, &all, &result, NULL) == RAFS_OK);
    return result;
}

static struct throng_plan plan_of(int slot)
{
    return (struct throng_plan){
        .cache_dir = dir, .slot = slot, .merge_bytes = 1, .seed = slot, .passes = 1};
}

/* Nothing was wrong, refused, or fetched by two at once. */
static void check_counts(const char *when, unsigned number)
{
    const struct throng_counts *counts = throng.counts;

    ck_assert_msg(counts->wrong == 0 && counts->refused == 0 && counts->together == 0,
                  "%s %u: %u wrong, %u refused, %u fetched by two at once", when, number,
                  counts->wrong, counts->refused, counts->together);
}

/* Everything is in the cache: a source that gives nothing is not missed. */
static void check_all_kept(const char *when, unsigned number)
{
    struct throng_plan plan = plan_of(THRONG_SLOTS - 1);
    unsigned reads = throng.counts->reads;

    throng.counts->gone = true;
    throng_join(throng_start(&throng, &plan));
    throng.counts->gone = false;
    check_counts(when, number);
    ck_assert_msg(throng.counts->reads == reads, "%s %u: %u requests for what is kept",
                  when, number, throng.counts->reads - reads);
}

static const struct {
    const char *variant;
    uint32_t flags;
    uint64_t merge_bytes;
    unsigned processes;
} together[] = {
    {"v6-chunk4k", 0, 1, 2},
    {"v6-chunk4k", 0, 1, 8},
    {"v5-chunk64k", 0, 1, 8},
    {"v6-merge", 0, 0, 8},
    {"v6-none", RAFS_BACKEND_REMOTE, 1, 8}, /* chunks of a read travel together */
};

START_TEST(processes_that_read_at_once_fetch_each_chunk_once)
{
    unsigned processes = together[_i].processes;
    pid_t pids[THRONG_SLOTS];

    throng_init(&throng, together[_i].variant);
    for (unsigned i = 1; i <= processes; i++) {
        struct throng_plan plan = plan_of((int)i);

        plan.flags = together[_i].flags;
        plan.merge_bytes = together[_i].merge_bytes;
        plan.passes = 2;
        pids[i] = throng_start(&throng, &plan);
    }
    for (unsigned i = 1; i <= processes; i++)
        throng_join(pids[i]);
    check_counts(together[_i].variant, processes);
    /* What two blobs of an image share may come from either. */
    ck_assert_uint_ge(throng_least(&throng), throng.golden.blob_count == 1);
    ck_assert_uint_eq(throng_most(&throng), 1);
    check_all_kept(together[_i].variant, processes);
}
END_TEST

/* Neighbours that nobody asked for are taken along, and by one process alone. */
START_TEST(what_is_taken_along_is_not_fetched_by_others_meanwhile)
{
    pid_t pids[THRONG_SLOTS];

    throng_init(&throng, "v6-chunk4k");
    for (int i = 1; i <= 6; i++) {
        struct throng_plan plan = plan_of(i);

        plan.flags = RAFS_BACKEND_REMOTE;
        plan.merge_bytes = 0;
        pids[i] = throng_start(&throng, &plan);
    }
    for (int i = 1; i <= 6; i++)
        throng_join(pids[i]);
    ck_assert_uint_eq(throng.counts->wrong + throng.counts->refused, 0);
    ck_assert_uint_lt(throng.counts->reads, throng.counts->chunks);
    check_all_kept("taken along", 6);
}
END_TEST

/* Flip a bit of the data files now and then. */
static void damage(off_t first, off_t step, unsigned bit)
{
    DIR *names = opendir(dir);
    struct dirent *entry;

    while (names && (entry = readdir(names))) {
        char path[400];
        uint8_t byte;
        int fd;

        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (!strstr(path, ".blob.data"))
            continue;
        fd = open(path, O_RDWR);
        NEED(fd >= 0);
        for (off_t at = first; pread(fd, &byte, 1, at) == 1; at += step) {
            byte ^= (uint8_t)(1 << bit);
            NEED(pwrite(fd, &byte, 1, at) == 1);
        }
        close(fd);
    }
    closedir(names);
}

/* How the cache lies there when a round begins. */
static void prepare(unsigned round)
{
    rafs_cache *cache;

    switch (round % 4) {
    case 0:
    case 1:
        empty();
        break;
    case 2:
        damage(round % 4000, 9001, round % 8);
        break;
    default:
        NEED(rafs_cache_open(dir, NULL, &cache, NULL) == RAFS_OK);
        evict_all(cache);
        rafs_cache_close(cache);
    }
}

/* Let so many requests pass, and a little more. */
static void wait_for_requests(unsigned count, pid_t pid, uint64_t spin)
{
    siginfo_t ended = {.si_pid = 0};

    while (throng.counts->reads < count && ended.si_pid == 0) {
        (void)poll(NULL, 0, 0);
        NEED(waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0);
    }
    for (volatile uint64_t i = 0; i < spin; i++)
        ;
}

START_TEST(whoever_dies_leaves_nothing_wrong_and_nobody_waiting)
{
    unsigned rounds = getenv("RAFS_TEST_FULL") ? 2000 : 44, most;
    uint64_t seed = 1;

    throng_init(&throng, "v6-chunk4k");
    for (unsigned round = 0; round < rounds; round++) {
        pid_t pids[4];
        bool clean;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        prepare(round);
        clean = round % 4 != 2;
        throng_begin(&throng);
        for (int i = 1; i <= 3; i++) {
            struct throng_plan plan = plan_of(i);

            plan.seed = round * 7 + (unsigned)i;
            plan.flags = round % 3 == 1 ? RAFS_BACKEND_REMOTE : 0;
            pids[i] = throng_start(&throng, &plan);
        }
        wait_for_requests((unsigned)(seed >> 33) % (unsigned)throng.counts->chunks,
                          pids[1], (seed >> 20) % 300000);
        throng_kill(&throng, pids[1], 1);
        throng_join(pids[2]);
        throng_join(pids[3]);
        most = throng_most(&throng);
        check_counts("kill", round);
        /* Once more for whoever had it and died before it was kept. */
        ck_assert_msg(most <= 2, "round %u: a chunk was fetched %u times", round, most);
        ck_assert(!clean || throng_least(&throng) >= 1);
        check_all_kept("after kill", round);
    }
}
END_TEST

/* What is open stays, however hard others evict. */
START_TEST(no_lease_is_broken_by_those_who_evict)
{
    struct throng_plan reader = plan_of(1), other = plan_of(2);
    rafs_cache_gc_result result;
    struct throng second;
    struct throng_open open;
    char name[200];
    struct stat before, after;
    unsigned reads, rounds = getenv("RAFS_TEST_FULL") ? 500 : 10;
    pid_t pids[3];

    throng_init(&throng, "v6-chunk64k");
    throng_init(&second, "v6-none");
    throng_open(&throng, &reader, &open);
    throng_compare(&open, 1);
    snprintf(name, sizeof(name), "%s/%s.blob.data", dir, throng.golden.blob_id[0]);
    NEED(stat(name, &before) == 0);
    reads = throng.counts->reads;
    throng.counts->gone = true;
    other.quota_bytes = 1; /* evicts whenever it wants to keep something */
    other.passes = rounds;
    for (int i = 0; i < 2; i++) {
        other.slot = 2 + i;
        pids[i] = throng_start(&second, &other);
    }
    other.quota_bytes = 0; /* brings back what they evict */
    other.slot = 4;
    pids[2] = throng_start(&second, &other);
    for (unsigned i = 0; i < rounds; i++) {
        result = evict_all(open.cache);
        ck_assert_uint_ge(result.kept, 1);
        throng_compare(&open, i);
    }
    for (int i = 0; i < 3; i++)
        throng_join(pids[i]);
    ck_assert_uint_eq(throng.counts->reads, reads);
    ck_assert_uint_eq(throng.counts->wrong + throng.counts->refused, 0);
    ck_assert_uint_eq(second.counts->wrong + second.counts->refused, 0);
    NEED(stat(name, &after) == 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    throng_close(&open);
    throng_drop(&second);
}
END_TEST

/* Those who evict, and those who begin anew what was evicted, at the same names. */
START_TEST(blobs_that_come_and_go_are_never_mixed_up)
{
    unsigned passes = getenv("RAFS_TEST_FULL") ? 400 : 12;
    struct throng_plan plan;
    pid_t pids[8];

    throng_init(&throng, "v6-merge");
    for (int i = 1; i <= 6; i++) {
        plan = plan_of(i);
        plan.passes = passes;
        plan.quota_bytes = i % 2 ? 30000 : 0;
        pids[i] = throng_start(&throng, &plan);
    }
    for (unsigned i = 0; i < 10 * passes; i++) {
        rafs_cache *cache;

        NEED(rafs_cache_open(dir, NULL, &cache, NULL) == RAFS_OK);
        evict_all(cache);
        rafs_cache_close(cache);
    }
    for (int i = 1; i <= 6; i++)
        throng_join(pids[i]);
    ck_assert_uint_eq(throng.counts->wrong + throng.counts->refused, 0);
}
END_TEST

static bool brought(const struct throng_chunk *chunk)
{
    for (size_t i = 0; i < throng.counts->chunks; i++)
        if (memcmp(throng.counts->chunk[i].digest, chunk->digest, RAFS_DIGEST_BYTES) == 0)
            return true;
    return false;
}

/* How many chunks of an image another one has, and that the others alone were fetched. */
static unsigned check_shared(const struct throng *second)
{
    unsigned shared = 0;

    for (size_t i = 0; i < second->counts->chunks; i++) {
        const struct throng_chunk *chunk = &second->counts->chunk[i];

        shared += brought(chunk);
        ck_assert_uint_eq(chunk->fetched, !brought(chunk));
    }
    return shared;
}

static const char *const sharing[][2] = {
    {"v6-zstd", "v6-chunkdict"}, {"v6-zstd", "v6-targz"}, {"v6-chunk64k", "v5-chunk64k"}};

/* In another process, and in another blob with other compression. */
START_TEST(what_another_image_brought_is_not_fetched_again)
{
    rafs_cache_gc_result result;
    struct throng_plan plan = plan_of(1);
    struct throng_open open;
    struct throng second;
    unsigned reads;

    throng_init(&throng, sharing[_i][0]);
    throng_init(&second, sharing[_i][1]);
    throng_join(throng_start(&throng, &plan));
    throng_open(&second, &plan, &open);
    throng_compare(&open, 1);
    ck_assert_uint_eq(second.counts->wrong + second.counts->refused, 0);
    ck_assert_uint_ge(check_shared(&second), 15);
    reads = second.counts->reads;
    /* It is in its own blob now: the other one may go. */
    result = evict_all(open.cache);
    ck_assert_uint_eq(result.evicted,
                      _i != 0); /* which is the same one with -chunkdict */
    throng_compare(&open, 2);
    throng_close(&open);
    ck_assert_uint_eq(second.counts->wrong + second.counts->refused, 0);
    ck_assert_uint_eq(second.counts->reads, reads);
    throng_drop(&second);
}
END_TEST

/* What is evicted or damaged there does not count as known. */
START_TEST(what_another_image_lost_is_fetched)
{
    struct throng_plan plan = plan_of(1);
    struct throng second;
    rafs_cache *cache;

    throng_init(&throng, "v6-zstd");
    throng_init(&second, "v6-targz");
    throng_join(throng_start(&throng, &plan));
    if (_i == 0) {
        NEED(rafs_cache_open(dir, NULL, &cache, NULL) == RAFS_OK);
        evict_all(cache);
        rafs_cache_close(cache);
    } else {
        damage(0, 4096, 3); /* where chunks begin */
    }
    throng_join(throng_start(&second, &plan));
    ck_assert_uint_eq(second.counts->wrong + second.counts->refused, 0);
    ck_assert_uint_eq(throng_least(&second), 1);
    ck_assert_uint_eq(throng_most(&second), 1);
    throng_drop(&second);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache");
    TCase *tcase = tcase_create("throng");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, getenv("RAFS_TEST_FULL") ? 7200 : 100);
    tcase_add_loop_test(tcase, processes_that_read_at_once_fetch_each_chunk_once, 0,
                        sizeof(together) / sizeof(together[0]));
    tcase_add_test(tcase, what_is_taken_along_is_not_fetched_by_others_meanwhile);
    tcase_add_test(tcase, whoever_dies_leaves_nothing_wrong_and_nobody_waiting);
    tcase_add_test(tcase, no_lease_is_broken_by_those_who_evict);
    tcase_add_test(tcase, blobs_that_come_and_go_are_never_mixed_up);
    tcase_add_loop_test(tcase, what_another_image_brought_is_not_fetched_again, 0,
                        sizeof(sharing) / sizeof(sharing[0]));
    tcase_add_loop_test(tcase, what_another_image_lost_is_fetched, 0, 2);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
