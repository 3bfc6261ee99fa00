/* SPDX-License-Identifier: Apache-2.0 */
/* The cache on disk: what it keeps, what it forgets, and whom it refuses. */
#include "cache/disk.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/disk_impl.h"
#include "cache/disk_record.h"
#include "golden.h"
#include "rafs/digest.h"
#include "scratch.h"
#include "watch.h"

enum { SIZE = 5000 };

static char dir[64];
static struct rafsi_env env;
static struct rafsi_hashes *hashes;
static struct rafsi_pool *pool;
static rafs_cache *cache;
static struct rafsi_disk_blob *blob;

static uint64_t clock_ns;
static int warnings;

static uint64_t now_ns(void *user)
{
    (void)user;
    return clock_ns;
}

static void count_log(void *user, uint32_t level, const char *text)
{
    (void)user;
    (void)text;
    warnings += level == RAFS_LOG_WARNING;
}

static void open_cache(void)
{
    NEED(rafs_cache_open(dir, NULL, &cache, NULL) == RAFS_OK);
    NEED(rafsi_disk_open(cache, "blob", &blob, NULL) == RAFS_OK);
}

static void close_cache(void)
{
    rafsi_disk_close(blob);
    rafs_cache_close(cache);
    blob = NULL;
    cache = NULL;
}

static void set_up(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(dir, sizeof(dir), "%s/rafs-cache-XXXXXX", base && *base ? base : "/tmp");
    NEED(mkdtemp(dir) != NULL);
    NEED(rafsi_env_take(NULL, &env, NULL) == RAFS_OK);
    NEED(rafsi_hashes_new(&env, &hashes, NULL) == RAFS_OK);
    NEED(rafsi_pool_new(&env, 2, &pool, NULL) == RAFS_OK);
    open_cache();
}

static void tear_down(void)
{
    close_cache();
    rafsi_pool_free(pool);
    rafsi_hashes_free(hashes);
    scratch_remove(dir);
}

static const char *in_dir(const char *name)
{
    static char path[160];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void fill(uint8_t *bytes, uint64_t number)
{
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251 + number * 31 + 1);
}

/* Chunk `number` of a blob whose chunks lie 8 KiB apart. */
static struct rafsi_disk_chunk chunk_of(uint64_t number)
{
    struct rafsi_disk_chunk chunk = {
        .offset = number * 8192, .size = SIZE, .algorithm = RAFSI_BLAKE3};
    uint8_t bytes[SIZE];

    fill(bytes, number);
    NEED(rafs_digest_bytes(RAFSI_BLAKE3, bytes, SIZE, chunk.digest) == RAFS_OK);
    return chunk;
}

static struct verified *good_of(uint64_t number)
{
    struct rafsi_disk_chunk chunk = chunk_of(number);
    struct rafsi_buffer *raw;
    struct verified *good;

    NEED(rafsi_pool_take(pool, SIZE, &raw, NULL) == RAFS_OK);
    fill(raw->at, number);
    NEED(rafsi_verify(raw, hashes, RAFSI_BLAKE3, chunk.digest, &good, NULL) == RAFS_OK);
    return good;
}

static void put_in(struct rafsi_disk_blob *into, uint64_t number)
{
    struct rafsi_disk_chunk chunk = chunk_of(number);
    struct verified *good = good_of(number);

    rafsi_disk_put(into, &chunk, NULL, good);
    rafsi_verified_drop(good);
}

static void put(uint64_t number)
{
    put_in(blob, number);
}

/* Kept, and with the right bytes? */
static bool kept(uint64_t number)
{
    struct rafsi_disk_chunk chunk = chunk_of(number);
    uint8_t want[SIZE], have[SIZE];

    fill(want, number);
    return rafsi_disk_get(blob, &chunk, have) && memcmp(want, have, SIZE) == 0;
}

static uint64_t size_of(const char *name)
{
    struct stat st;

    NEED(stat(in_dir(name), &st) == 0);
    return (uint64_t)st.st_size;
}

/* Change the boot in every record, as if the machine had been started anew. */
static void reboot(void)
{
    uint64_t size = size_of("blob.ready");
    int fd = open(in_dir("blob.ready"), O_RDWR);

    NEED(fd >= 0);
    for (uint64_t at = 0; at < size; at += DISK_RECORD_BYTES) {
        uint8_t bytes[DISK_RECORD_BYTES];
        struct disk_record record;

        NEED(pread(fd, bytes, sizeof(bytes), (off_t)at) == (ssize_t)sizeof(bytes));
        NEED(rafsi_disk_record_decode(bytes, &record));
        record.boot[0] ^= 1;
        rafsi_disk_record_encode(&record, bytes);
        NEED(pwrite(fd, bytes, sizeof(bytes), (off_t)at) == (ssize_t)sizeof(bytes));
    }
    close(fd);
}

START_TEST(a_chunk_comes_back_also_after_a_restart)
{
    struct rafsi_disk_chunk other = chunk_of(0);

    ck_assert(!kept(0));
    put(0);
    put(7);
    ck_assert(kept(0) && kept(7) && !kept(1));
    close_cache();
    open_cache();
    ck_assert(kept(0) && kept(7) && !kept(1));
    other.digest[0] ^= 1;
    ck_assert(!rafsi_disk_has(blob, &other));
    other = chunk_of(0);
    other.size--;
    ck_assert(!rafsi_disk_has(blob, &other));
}
END_TEST

START_TEST(chunks_lie_uncompressed_at_their_offsets_in_private_files)
{
    uint8_t want[SIZE], have[SIZE];
    struct stat st;
    int fd;

    put(3);
    fill(want, 3);
    fd = open(in_dir("blob.blob.data"), O_RDONLY);
    NEED(fd >= 0 && fstat(fd, &st) == 0);
    NEED(pread(fd, have, SIZE, 3 * 8192) == SIZE);
    close(fd);
    ck_assert_mem_eq(want, have, SIZE);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    NEED(stat(dir, &st) == 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    ck_assert_int_eq(access(in_dir("CACHEDIR.TAG"), F_OK), 0);
}
END_TEST

START_TEST(after_a_power_cut_only_what_was_synced_counts)
{
    off_t copy;

    put(0);
    close_cache(); /* syncs */
    open_cache();
    put(1);
    copy = (off_t)size_of("blob.ready");
    close_cache(); /* syncs it too, which the power cut forestalled */
    NEED(truncate(in_dir("blob.ready"), copy) == 0);
    reboot();
    open_cache();
    ck_assert(kept(0));
    ck_assert(!kept(1));
    put(1);
    ck_assert(kept(1));
}
END_TEST

START_TEST(a_torn_journal_loses_only_the_torn_record)
{
    uint64_t cut = (uint64_t)_i;
    struct stat st;

    put(0);
    put(1);
    NEED(stat(in_dir("blob.ready"), &st) == 0);
    NEED(truncate(in_dir("blob.ready"), st.st_size - (off_t)cut) == 0);
    close_cache();
    open_cache();
    ck_assert(kept(0));
    ck_assert(!kept(1));
    put(1);
    put(2);
    close_cache();
    open_cache();
    ck_assert(kept(0) && kept(1) && kept(2));
}
END_TEST

START_TEST(a_flipped_bit_of_the_journal_never_makes_another_chunk_ready)
{
    uint64_t size;
    int fd;

    put(0);
    close_cache();
    size = size_of("blob.ready");
    fd = open(in_dir("blob.ready"), O_RDWR);
    NEED(fd >= 0);
    for (uint64_t at = DISK_RECORD_BYTES; at < size; at++) {
        struct rafsi_disk_chunk chunk = chunk_of(0);
        uint8_t byte, flipped;

        NEED(pread(fd, &byte, 1, (off_t)at) == 1);
        flipped = (uint8_t)(byte ^ 1 << at % 8);
        NEED(pwrite(fd, &flipped, 1, (off_t)at) == 1);
        open_cache();
        /* The first record is the chunk's, the second one only makes it durable. */
        ck_assert_int_eq(rafsi_disk_has(blob, &chunk), at >= 2 * DISK_RECORD_BYTES);
        close_cache();
        NEED(pwrite(fd, &byte, 1, (off_t)at) == 1);
    }
    close(fd);
    open_cache();
    ck_assert(kept(0));
}
END_TEST

START_TEST(bad_bytes_are_forgotten_alone_and_can_be_put_again)
{
    struct rafsi_disk_chunk chunk = chunk_of(1);
    int fd = open(in_dir("blob.blob.data"), O_RDWR);

    NEED(fd >= 0);
    put(0);
    put(1);
    NEED(pwrite(fd, "x", 1, 8192 + 77) == 1);
    close(fd);
    ck_assert(rafsi_disk_has(blob, &chunk) && !kept(1)); /* the caller's to see */
    rafsi_disk_bad(blob, &chunk);
    ck_assert(!rafsi_disk_has(blob, &chunk) && kept(0));
    close_cache();
    open_cache();
    ck_assert(!rafsi_disk_has(blob, &chunk) && kept(0));
    put(1);
    ck_assert(kept(1));
}
END_TEST

START_TEST(a_data_file_that_vanished_takes_its_records_along)
{
    struct rafsi_disk_chunk chunk = chunk_of(0);

    put(0);
    close_cache();
    NEED(unlink(in_dir("blob.blob.data")) == 0);
    open_cache();
    ck_assert(!rafsi_disk_has(blob, &chunk));
    put(0);
    ck_assert(kept(0));
}
END_TEST

START_TEST(another_chunk_at_an_overlapping_place_is_not_kept)
{
    struct rafsi_disk_chunk chunk = chunk_of(1);
    struct verified *good = good_of(1);

    put(0);
    for (uint64_t at = 0; at < SIZE; at += 1234) {
        chunk.offset = at;
        rafsi_disk_put(blob, &chunk, NULL, good);
        ck_assert(!rafsi_disk_has(blob, &chunk));
    }
    ck_assert(kept(0));
    chunk.offset = SIZE;
    rafsi_disk_put(blob, &chunk, NULL, good);
    ck_assert(rafsi_disk_has(blob, &chunk) && kept(0));
    rafsi_verified_drop(good);
}
END_TEST

START_TEST(a_second_handle_sees_what_the_first_one_puts_and_forgets)
{
    struct rafsi_disk_chunk chunk = chunk_of(4);
    struct rafsi_disk_blob *same;
    rafs_cache *second;

    NEED(rafs_cache_open(dir, NULL, &second, NULL) == RAFS_OK);
    NEED(rafsi_disk_open(second, "blob", &same, NULL) == RAFS_OK);
    put_in(same, 4);
    ck_assert(kept(4));
    rafsi_disk_bad(blob, &chunk);
    put(4);
    ck_assert(rafsi_disk_has(same, &chunk));
    rafsi_disk_close(same);
    rafs_cache_close(second);
}
END_TEST

static const struct {
    const char *id;
    bool good;
} ids[] = {
    {"", false},
    {".", false},
    {"..", false},
    {"a/b", false},
    {"a\nb", false},
    {"a\x7f"
     "b",
     false},
    {"0123456789012345678901234567890123456789012345678901234567890123", true},
    {"01234567890123456789012345678901234567890123456789012345678901234", false},
    {"with space and \xff", true},
    {".hidden", true},
    {"-rf", true},
    {"h-0", true},
};

START_TEST(blob_ids_are_names_that_stay_in_the_directory)
{
    struct rafsi_disk_blob *made = NULL;
    int rc = rafsi_disk_open(cache, ids[_i].id, &made, NULL);

    ck_assert_int_eq(rc, ids[_i].good ? RAFS_OK : RAFS_E_BADARG);
    if (!ids[_i].good) {
        ck_assert_ptr_null(made);
        return;
    }
    put_in(made, 2);
    rafsi_disk_close(made);
    NEED(rafsi_disk_open(cache, ids[_i].id, &made, NULL) == RAFS_OK);
    struct rafsi_disk_chunk chunk = chunk_of(2);
    ck_assert(rafsi_disk_has(made, &chunk));
    rafsi_disk_close(made);
}
END_TEST

static void refused(int code, int os_errno)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_cache *other = NULL;

    ck_assert_int_eq(rafs_cache_open(in_dir("x"), NULL, &other, &err), code);
    ck_assert_int_eq(err.os_errno, os_errno);
    ck_assert_ptr_null(other);
}

START_TEST(directories_that_others_had_a_hand_in_are_refused)
{
    NEED(mkdir(in_dir("real"), 0700) == 0);
    NEED(symlink("real", in_dir("x")) == 0);
    refused(RAFS_E_BADARG, ENOTDIR); /* a symbolic link */
    NEED(unlink(in_dir("x")) == 0 && mkdir(in_dir("x"), 0700) == 0);
    NEED(chmod(in_dir("x"), 0770) == 0);
    refused(RAFS_E_BADARG, EPERM); /* writable by others */
    NEED(chmod(in_dir("x"), 0700) == 0);
    NEED(close(creat(in_dir("x/holiday.jpg"), 0600)) == 0);
    refused(RAFS_E_BADARG, ENOTEMPTY);
    ck_assert_int_eq(access(in_dir("x/holiday.jpg"), F_OK), 0);
    ck_assert_int_ne(access(in_dir("x/lock"), F_OK), 0);
    if (geteuid() != 0)
        return;
    NEED(unlink(in_dir("x/holiday.jpg")) == 0 && chown(in_dir("x"), 12345, 0) == 0);
    refused(RAFS_E_BADARG, EPERM);
}
END_TEST

/* Whoever names a folder of his own must not lose what lies in it. */
START_TEST(a_folder_with_names_that_look_like_ours_is_left_alone)
{
    static const char *const names[] = {"x/letter.doc", "x/tmp-holiday", "x/a-b.doc",
                                        "x/version"};

    NEED(mkdir(in_dir("x"), 0700) == 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int fd = open(in_dir(names[i]), O_WRONLY | O_CREAT, 0600);

        NEED(fd >= 0 && write(fd, "1.2\n", 4) == 4 && close(fd) == 0);
        refused(RAFS_E_BADARG, ENOTEMPTY);
        ck_assert_int_eq(access(in_dir(names[i]), F_OK), 0);
        NEED(unlink(in_dir(names[i])) == 0);
    }
}
END_TEST

START_TEST(files_that_are_links_or_foreign_are_not_used)
{
    struct rafsi_disk_blob *made = NULL;
    struct stat st;

    NEED(close(creat(in_dir("victim"), 0600)) == 0);
    NEED(symlink("victim", in_dir("evil.blob.data")) == 0);
    NEED(rafsi_disk_open(cache, "evil", &made, NULL) == RAFS_OK);
    put_in(made, 0);
    rafsi_disk_close(made);
    NEED(stat(in_dir("victim"), &st) == 0);
    ck_assert_int_eq(st.st_size, 0);
}
END_TEST

START_TEST(a_chunk_of_any_blob_is_found_by_its_digest_and_not_trusted)
{
    struct rafsi_disk_chunk chunk = chunk_of(1);
    struct rafsi_disk_blob *other;
    uint8_t have[SIZE], want[SIZE];
    int fd;

    put(1);
    put(2);
    if (_i == 1) { /* found by reading the journals */
        close_cache();
        open_cache();
    }
    fill(want, 1);
    NEED(rafsi_disk_open(cache, "other", &other, NULL) == RAFS_OK);
    chunk.offset = 999;
    ck_assert(!rafsi_disk_has(other, &chunk));
    ck_assert_int_eq(rafsi_disk_get(other, &chunk, have), RAFSI_DISK_OTHER);
    ck_assert_mem_eq(want, have, SIZE);
    chunk.algorithm = RAFSI_SHA256;
    ck_assert(!rafsi_disk_get(other, &chunk, have));
    fd = open(in_dir("blob.blob.data"), O_RDWR);
    NEED(fd >= 0 && pwrite(fd, "x", 1, 2 * 8192 + SIZE - 1) == 1);
    close(fd);
    chunk = chunk_of(2);
    ck_assert(!rafsi_disk_get(other, &chunk, have));
    ck_assert(!rafsi_disk_has(blob, &chunk)); /* forgotten where it is wrong */
    rafsi_disk_close(other);
}
END_TEST

static void write_version(const char *text)
{
    FILE *file = fopen(in_dir("version"), "w");

    NEED(file != NULL);
    NEED(fputs(text, file) >= 0 && fclose(file) == 0);
}

START_TEST(a_cache_of_another_version_is_emptied_unless_it_is_in_use)
{
    struct rafsi_disk_chunk chunk = chunk_of(0);
    rafs_error err = RAFS_ERROR_INIT;
    rafs_cache *second = NULL;

    put(0);
    write_version("librafs cache 99\n");
    ck_assert_int_eq(rafs_cache_open(dir, NULL, &second, &err), RAFS_E_BACKEND);
    ck_assert_int_eq(err.os_errno, EBUSY);
    ck_assert(kept(0));
    close_cache();
    open_cache();
    ck_assert(!rafsi_disk_has(blob, &chunk));
    put(0);
    close_cache();
    write_version("");
    open_cache();
    ck_assert(!rafsi_disk_has(blob, &chunk));
}
END_TEST

/* A child that begins a flight, says so, and waits to be killed. */
static pid_t child_in_flight(void)
{
    int pipe_ends[2];
    char byte;
    pid_t pid;

    NEED(pipe(pipe_ends) == 0);
    pid = fork();
    NEED(pid >= 0);
    if (pid == 0) {
        struct rafsi_disk_chunk chunk = chunk_of(0);
        struct rafsi_disk_flight *flight = NULL;
        struct rafsi_disk_blob *own;
        rafs_cache *opened;

        if (rafs_cache_open(dir, NULL, &opened, NULL) == RAFS_OK &&
            rafsi_disk_open(opened, "blob", &own, NULL) == RAFS_OK &&
            rafsi_disk_begin(own, &chunk, NULL, &flight, NULL) == RAFS_OK && flight &&
            write(pipe_ends[1], "x", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(pipe_ends[1]);
    NEED(read(pipe_ends[0], &byte, 1) == 1);
    close(pipe_ends[0]);
    return pid;
}

START_TEST(one_process_fetches_and_its_death_passes_the_flight_on)
{
    struct rafsi_disk_chunk chunk = chunk_of(0), other = chunk_of(1);
    struct rafsi_disk_flight *flight = NULL;
    rafs_error err = RAFS_ERROR_INIT;
    pid_t pid = child_in_flight();
    rafs_call call;

    rafs_call_init(&call, NULL, 30, NULL);
    ck_assert_int_eq(rafsi_disk_begin(blob, &chunk, &call, &flight, &err),
                     RAFS_E_TIMEOUT);
    ck_assert_ptr_null(flight);
    ck_assert_ptr_null(rafsi_disk_try(blob, &chunk));
    flight = rafsi_disk_try(blob, &other);
    ck_assert_ptr_nonnull(flight); /* only that chunk is taken */
    rafsi_disk_end(flight);
    put(0); /* the one who fetches is to keep it */
    ck_assert(!rafsi_disk_has(blob, &chunk));
    NEED(kill(pid, SIGKILL) == 0);
    rafs_call_init(&call, NULL, 20000, NULL);
    flight = NULL;
    ck_assert_int_eq(rafsi_disk_begin(blob, &chunk, &call, &flight, &err), RAFS_OK);
    ck_assert_ptr_nonnull(flight);
    struct verified *good = good_of(0);
    rafsi_disk_put(blob, &chunk, flight, good);
    rafsi_verified_drop(good);
    rafsi_disk_end(flight);
    ck_assert(kept(0));
    flight = NULL;
    ck_assert_int_eq(rafsi_disk_begin(blob, &chunk, &call, &flight, &err), RAFS_OK);
    ck_assert_ptr_null(flight); /* it is ready */
    NEED(waitpid(pid, NULL, 0) == pid);
}
END_TEST

/* A second for each look at it. */
static uint64_t hasty_ns(void *user)
{
    (void)user;
    return clock_ns += 1000000000;
}

static void open_hasty(void)
{
    static rafs_env own = RAFS_ENV_INIT;
    rafs_cache_options options = RAFS_CACHE_OPTIONS_INIT;

    close_cache();
    own.now_ns = hasty_ns;
    options.env = &own;
    NEED(rafs_cache_open(dir, &options, &cache, NULL) == RAFS_OK);
    NEED(rafsi_disk_open(cache, "blob", &blob, NULL) == RAFS_OK);
}

START_TEST(a_process_that_was_stopped_does_not_stop_the_others)
{
    struct rafsi_disk_chunk chunk = chunk_of(0);
    struct rafsi_disk_flight *flight = NULL;
    struct verified *good = good_of(0);
    pid_t pid = child_in_flight();

    NEED(kill(pid, SIGSTOP) == 0);
    open_hasty();
    ck_assert_int_eq(rafsi_disk_begin(blob, &chunk, NULL, &flight, NULL), RAFS_OK);
    ck_assert_ptr_nonnull(flight); /* without any deadline */
    rafsi_disk_put(blob, &chunk, flight, good);
    ck_assert(!rafsi_disk_has(blob, &chunk)); /* he may still write there */
    rafsi_disk_end(flight);
    NEED(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
    ck_assert_int_eq(rafsi_disk_begin(blob, &chunk, NULL, &flight, NULL), RAFS_OK);
    ck_assert_ptr_nonnull(flight);
    rafsi_disk_put(blob, &chunk, flight, good);
    rafsi_disk_end(flight);
    rafsi_verified_drop(good);
    ck_assert(kept(0));
}
END_TEST

/* Whoever evicts a blob may be stopped as well, with the blob for himself. */
START_TEST(a_blob_that_is_evicted_without_end_costs_one_wait)
{
    struct rafsi_disk_chunk chunk = chunk_of(1);
    struct timespec began, ended;
    int fd;

    put(0);
    close_cache();
    fd = open(in_dir("blob.ready"), O_RDWR);
    NEED(fd >= 0 && rafsi_disk_locked(fd, F_WRLCK, DISK_LEASE_AT, 1));
    open_cache();
    NEED(clock_gettime(CLOCK_MONOTONIC, &began) == 0);
    for (int i = 0; i < 100; i++)
        ck_assert(!rafsi_disk_has(blob, &chunk));
    NEED(clock_gettime(CLOCK_MONOTONIC, &ended) == 0);
    ck_assert_int_lt(ended.tv_sec - began.tv_sec, 10); /* 20 s, each for itself */
    close(fd);
}
END_TEST

START_TEST(a_waiter_is_stopped_by_its_token)
{
    struct rafsi_disk_chunk chunk = chunk_of(0);
    struct rafsi_disk_flight *first = NULL, *second = NULL;
    rafs_cancel *token;
    rafs_call call;

    NEED(rafs_cancel_new(&token, NULL) == RAFS_OK);
    rafs_call_init(&call, NULL, 0, token);
    ck_assert_int_eq(rafsi_disk_begin(blob, &chunk, &call, &first, NULL), RAFS_OK);
    ck_assert_ptr_nonnull(first);
    rafs_cancel_fire(token);
    ck_assert_int_eq(rafsi_disk_begin(blob, &chunk, &call, &second, NULL),
                     RAFS_E_CANCELLED);
    rafsi_disk_end(first);
    rafs_cancel_free(token);
}
END_TEST

START_TEST(a_full_disk_costs_one_warning_and_is_tried_again_after_30_s)
{
    struct rlimit limit = {20000, RLIM_INFINITY}, no_limit;
    rafs_cache_options options = RAFS_CACHE_OPTIONS_INIT;
    rafs_env own = RAFS_ENV_INIT;
    struct rafsi_disk_chunk chunk = chunk_of(9);

    close_cache();
    own.now_ns = now_ns;
    own.log = count_log;
    options.env = &own;
    clock_ns = 1;
    warnings = 0;
    NEED(rafs_cache_open(dir, &options, &cache, NULL) == RAFS_OK);
    NEED(rafsi_disk_open(cache, "blob", &blob, NULL) == RAFS_OK);
    signal(SIGXFSZ, SIG_IGN);
    NEED(getrlimit(RLIMIT_FSIZE, &no_limit) == 0);
    limit.rlim_max = no_limit.rlim_max;
    put(0);
    NEED(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    put(9);
    put(9);
    ck_assert(!rafsi_disk_has(blob, &chunk));
    ck_assert(kept(0));
    NEED(setrlimit(RLIMIT_FSIZE, &no_limit) == 0);
    put(9);
    ck_assert(!rafsi_disk_has(blob, &chunk)); /* not yet */
    ck_assert_int_eq(warnings, 1);
    clock_ns += (uint64_t)31 * 1000000000;
    put(9);
    ck_assert(kept(9));
    ck_assert_int_eq(warnings, 1);
}
END_TEST

START_TEST(a_blob_that_is_being_evicted_is_waited_for_later_and_without_a_warning)
{
    struct flock lease = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)1 << 62, .l_len = 1};
    rafs_cache_options options = RAFS_CACHE_OPTIONS_INIT;
    rafs_env own = RAFS_ENV_INIT;
    int fd;

    close_cache();
    own.log = count_log;
    options.env = &own;
    warnings = 0;
    fd = open(in_dir("blob.ready"), O_RDWR);
    NEED(fd >= 0 && fcntl(fd, F_OFD_SETLK, &lease) == 0);
    NEED(rafs_cache_open(dir, &options, &cache, NULL) == RAFS_OK);
    NEED(rafsi_disk_open(cache, "blob", &blob, NULL) == RAFS_OK);
    put(0);
    ck_assert(!kept(0));
    close(fd);
    put(0);
    ck_assert(kept(0));
    ck_assert_int_eq(warnings, 0);
}
END_TEST

/* Two who find the same chunk bad: what one put anew, the other does not take back. */
START_TEST(what_was_repaired_is_not_forgotten_by_those_who_saw_it_bad)
{
    struct rafsi_disk_chunk mine = chunk_of(4), others = chunk_of(4);
    uint8_t have[SIZE];
    struct rafsi_disk_blob *same;
    rafs_cache *second;

    put(4);
    NEED(rafs_cache_open(dir, NULL, &second, NULL) == RAFS_OK);
    NEED(rafsi_disk_open(second, "blob", &same, NULL) == RAFS_OK);
    NEED(rafsi_disk_get(same, &others, have) && rafsi_disk_get(blob, &mine, have));
    rafsi_disk_bad(blob, &mine);
    put(4);
    rafsi_disk_bad(same, &others);
    ck_assert(kept(4));
    ck_assert(rafsi_disk_has(same, &others));
    rafsi_disk_close(same);
    rafs_cache_close(second);
}
END_TEST

START_TEST(documents_come_back_whole_or_not_at_all)
{
    uint8_t digest[RAFSI_DIGEST_BYTES] = {1, 2, 3};
    struct rafsi_buffer *buffer = NULL;

    ck_assert_int_eq(
        rafsi_disk_doc_get(cache, "manifest", digest, 100, pool, &buffer, NULL),
        RAFS_E_NOENT);
    rafsi_disk_doc_put(cache, "manifest", digest, "hello", 5);
    ck_assert_int_eq(rafsi_disk_doc_get(cache, "boot", digest, 100, pool, &buffer, NULL),
                     RAFS_E_NOENT);
    ck_assert_int_eq(
        rafsi_disk_doc_get(cache, "manifest", digest, 4, pool, &buffer, NULL),
        RAFS_E_NOENT);
    close_cache();
    open_cache();
    ck_assert_int_eq(
        rafsi_disk_doc_get(cache, "manifest", digest, 5, pool, &buffer, NULL), RAFS_OK);
    ck_assert_uint_eq(buffer->len, 5);
    ck_assert_mem_eq(buffer->at, "hello", 5);
    rafsi_buffer_free(buffer);
    rafsi_disk_doc_drop(cache, "manifest", digest);
    ck_assert_int_eq(
        rafsi_disk_doc_get(cache, "manifest", digest, 5, pool, &buffer, NULL),
        RAFS_E_NOENT);
}
END_TEST

/* Blobs a, b, c, d with a chunk each, used in this order. */
static void four_blobs(void)
{
    for (int i = 0; i < 4; i++) {
        char id[2] = {(char)('a' + i), '\0'}, name[32];
        struct timespec times[2] = {{1000 + i, 0}, {1000 + i, 0}};
        struct rafsi_disk_blob *made;

        NEED(rafsi_disk_open(cache, id, &made, NULL) == RAFS_OK);
        put_in(made, (uint64_t)i);
        rafsi_disk_close(made);
        snprintf(name, sizeof(name), "%s.blob.data", id);
        NEED(utimensat(AT_FDCWD, in_dir(name), times, 0) == 0);
    }
}

static int note(void *user, const rafs_cache_entry *entry)
{
    char *names = user;
    size_t len = strlen(names);

    snprintf(names + len, 400 - len, "%s%s%s%s:%llu ", entry->name,
             entry->flags & RAFS_CACHE_ENTRY_PINNED ? "+pinned" : "",
             entry->flags & RAFS_CACHE_ENTRY_IN_USE ? "+used" : "",
             entry->flags & RAFS_CACHE_ENTRY_DOCUMENT ? "+doc" : "",
             (unsigned long long)entry->chunks);
    return 0;
}

static const char *listed(void)
{
    static char names[400];

    names[0] = '\0';
    NEED(rafs_cache_list(cache, RAFS_CACHE_LIST_COUNT, note, names, NULL) == RAFS_OK);
    return names;
}

START_TEST(a_list_names_blobs_in_the_order_of_their_use)
{
    struct rafsi_disk_blob *odd;

    four_blobs();
    NEED(rafsi_disk_open(cache, "odd name", &odd, NULL) == RAFS_OK);
    NEED(rafs_cache_pin(cache, "b", NULL) == RAFS_OK);
    ck_assert_str_eq(listed(), "a:1 b+pinned:1 c:1 d:1 blob+used:0 odd name+used:0 ");
    NEED(rafs_cache_unpin(cache, "b", NULL) == RAFS_OK);
    NEED(rafs_cache_unpin(cache, "b", NULL) == RAFS_OK);
    ck_assert_ptr_null(strstr(listed(), "pinned"));
    rafsi_disk_close(odd);
}
END_TEST

static int add_name(void *user, const rafs_cache_entry *entry)
{
    char *names = user;

    snprintf(names + strlen(names), 100, "%s ", entry->name);
    return 1; /* does not matter */
}

START_TEST(gc_evicts_the_least_recently_used_but_nothing_in_use_or_pinned)
{
    char named[200] = "", gone[200] = "";
    rafs_cache_gc_options would = RAFS_CACHE_GC_OPTIONS_INIT, all = would;
    rafs_cache_gc_result dry = RAFS_CACHE_GC_RESULT_INIT, result = dry;
    struct rafsi_disk_blob *used;
    rafs_cache *second;

    four_blobs();
    NEED(rafs_cache_pin(cache, "b", NULL) == RAFS_OK);
    NEED(rafs_cache_open(dir, NULL, &second, NULL) == RAFS_OK);
    NEED(rafsi_disk_open(second, "c", &used, NULL) == RAFS_OK);
    would.flags = RAFS_CACHE_GC_DRY_RUN;
    would.quota_bytes = all.quota_bytes = 1;
    would.visit = all.visit = add_name;
    would.user = named;
    all.user = gone;
    NEED(rafs_cache_gc(cache, &would, &dry, NULL) == RAFS_OK);
    ck_assert_str_eq(named, "a d ");
    ck_assert_uint_eq(dry.evicted, 2);
    ck_assert_int_eq(access(in_dir("a.blob.data"), F_OK), 0);
    NEED(rafs_cache_gc(cache, &all, &result, NULL) == RAFS_OK);
    ck_assert_mem_eq(&result, &dry, sizeof(dry));
    ck_assert_str_eq(gone, named);
    all.flags = 2;
    ck_assert_int_eq(rafs_cache_gc(cache, &all, NULL, NULL), RAFS_E_UNSUPPORTED);
    all.flags = 0;
    ck_assert_uint_eq(result.fits, 0);
    rafsi_disk_close(used);
    rafs_cache_close(second);
    ck_assert_str_eq(listed(), "b+pinned:1 blob+used:0 c:1 ");
    ck_assert_int_ne(access(in_dir("a.blob.data"), F_OK), 0);
    NEED(rafs_cache_gc(cache, &all, NULL, NULL) == RAFS_OK);
    ck_assert_str_eq(listed(), "b+pinned:1 blob+used:0 ");
}
END_TEST

START_TEST(the_quota_is_kept_while_the_cache_grows)
{
    rafs_cache_options options = RAFS_CACHE_OPTIONS_INIT;
    rafs_cache_gc_options count = RAFS_CACHE_GC_OPTIONS_INIT;
    rafs_cache_gc_result result = RAFS_CACHE_GC_RESULT_INIT;

    count.flags = RAFS_CACHE_GC_DRY_RUN;
    count.quota_bytes = UINT64_MAX;
    close_cache();
    options.quota_bytes = 200000;
    NEED(rafs_cache_open(dir, &options, &cache, NULL) == RAFS_OK);
    NEED(rafsi_disk_open(cache, "blob", &blob, NULL) == RAFS_OK);
    for (uint64_t i = 0; i < 60; i++) {
        char id[16];
        struct rafsi_disk_blob *made;

        snprintf(id, sizeof(id), "blob%llu", (unsigned long long)i);
        NEED(rafsi_disk_open(cache, id, &made, NULL) == RAFS_OK);
        put_in(made, i);
        rafsi_disk_close(made);
        NEED(rafs_cache_gc(cache, &count, &result, NULL) == RAFS_OK);
        ck_assert_uint_le(result.kept_bytes, options.quota_bytes + 3 * 8192);
    }
    ck_assert_uint_ge(result.kept_bytes, options.quota_bytes / 2);
    for (uint64_t i = 0; i < 60; i++)
        put(i); /* all in one blob, which is in use */
    NEED(rafs_cache_gc(cache, &count, &result, NULL) == RAFS_OK);
    ck_assert_uint_le(result.kept_bytes, options.quota_bytes + 3 * 8192);
    ck_assert(kept(0));
    ck_assert(!kept(59) || !kept(58));
}
END_TEST

START_TEST(a_floor_of_free_space_that_is_not_there_keeps_nothing)
{
    rafs_cache_options options = RAFS_CACHE_OPTIONS_INIT;

    close_cache();
    options.free_floor_bytes = (uint64_t)1 << 60;
    NEED(rafs_cache_open(dir, &options, &cache, NULL) == RAFS_OK);
    NEED(rafsi_disk_open(cache, "blob", &blob, NULL) == RAFS_OK);
    put(0);
    ck_assert(!kept(0));
}
END_TEST

START_TEST(a_floor_makes_gc_evict)
{
    rafs_cache_gc_options options = RAFS_CACHE_GC_OPTIONS_INIT;
    rafs_cache_gc_result result = RAFS_CACHE_GC_RESULT_INIT;

    four_blobs();
    options.flags = RAFS_CACHE_GC_DRY_RUN;
    options.free_floor_bytes = 1;
    NEED(rafs_cache_gc(cache, &options, &result, NULL) == RAFS_OK);
    ck_assert_uint_eq(result.evicted, 0);
    ck_assert_uint_eq(result.fits, 1);
    options.free_floor_bytes = (uint64_t)1 << 60;
    NEED(rafs_cache_gc(cache, &options, &result, NULL) == RAFS_OK);
    ck_assert_uint_eq(result.evicted, 4);
    ck_assert_uint_eq(result.fits, 0);
}
END_TEST

START_TEST(a_pin_is_listed_and_holds_before_there_is_anything)
{
    static const char doc[] = "boot-00000000000000000000000000000000000000000000000000000"
                              "00000000001.doc";
    rafs_cache_gc_options all = RAFS_CACHE_GC_OPTIONS_INIT;
    uint8_t digest[RAFSI_DIGEST_BYTES] = {[31] = 1};
    struct rafsi_disk_blob *made;
    rafs_cache_gc_result result = RAFS_CACHE_GC_RESULT_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    char want[400];

    all.quota_bytes = 1;
    NEED(rafs_cache_pin(cache, "a", NULL) == RAFS_OK);
    NEED(rafs_cache_pin(cache, doc, NULL) == RAFS_OK);
    NEED(rafs_cache_gc(cache, &all, &result, NULL) == RAFS_OK);
    ck_assert_uint_eq(result.kept, 3);
    ck_assert_ptr_nonnull(strstr(listed(), "a+pinned:0 "));
    NEED(rafsi_disk_open(cache, "a", &made, NULL) == RAFS_OK);
    put_in(made, 1);
    rafsi_disk_close(made);
    rafsi_disk_doc_put(cache, "boot", digest, "x", 1);
    NEED(rafs_cache_gc(cache, &all, &result, NULL) == RAFS_OK);
    ck_assert_uint_eq(result.kept, 3);
    snprintf(want, sizeof(want), "%s+pinned", doc);
    ck_assert_ptr_nonnull(strstr(listed(), want));
    NEED(rafs_cache_unpin(cache, "a", NULL) == RAFS_OK);
    NEED(rafs_cache_unpin(cache, doc, NULL) == RAFS_OK);
    NEED(rafs_cache_gc(cache, &all, NULL, NULL) == RAFS_OK);
    ck_assert_str_eq(listed(), "blob+used:0 ");
    ck_assert_int_eq(rafs_cache_pin(cache, "a/b", &err), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_cache_pin(cache, NULL, &err), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_cache_pin(cache,
                                    "../../../../../../../../../../../../../../../"
                                    "../../../../../../../../../boot.doc",
                                    &err),
                     RAFS_E_BADARG);
}
END_TEST

START_TEST(a_path_leads_to_the_data)
{
    char path[4096], want[256];
    size_t len = 7;

    put(3);
    ck_assert_int_eq(rafs_cache_path(cache, NULL, path, sizeof(path), &len, NULL),
                     RAFS_OK);
    ck_assert_str_eq(path, dir);
    ck_assert_uint_eq(len, strlen(dir));
    snprintf(want, sizeof(want), "%s/blob.blob.data", dir);
    ck_assert_int_eq(rafs_cache_path(cache, "blob", path, strlen(want), &len, NULL),
                     RAFS_E_RANGE);
    ck_assert_uint_eq(len, strlen(want));
    ck_assert_int_eq(rafs_cache_path(cache, "blob", path, strlen(want) + 1, &len, NULL),
                     RAFS_OK);
    ck_assert_str_eq(path, want);
    ck_assert_int_eq(rafs_cache_path(cache, "none", path, sizeof(path), &len, NULL),
                     RAFS_E_NOENT);
    ck_assert_uint_eq(len, 0);
    ck_assert_int_eq(rafs_cache_path(cache, "a/b", path, sizeof(path), &len, NULL),
                     RAFS_E_BADARG);
    ck_assert_int_eq(rafs_cache_path(cache, "blob", path, sizeof(path), NULL, NULL),
                     RAFS_E_BADARG);
}
END_TEST

static int op_list(rafs_cache *c)
{
    char names[400] = "";
    int rc = rafs_cache_list(c, RAFS_CACHE_LIST_COUNT, note, names, NULL);

    /* What is not counted for lack of memory is listed all the same. */
    if (rc == RAFS_OK)
        ck_assert_ptr_nonnull(strstr(names, "d:"));
    return rc;
}

static int op_gc(rafs_cache *c)
{
    rafs_cache_gc_options would = RAFS_CACHE_GC_OPTIONS_INIT;
    rafs_cache_gc_result result = RAFS_CACHE_GC_RESULT_INIT;
    int rc;

    would.flags = RAFS_CACHE_GC_DRY_RUN;
    would.quota_bytes = 1;
    rc = rafs_cache_gc(c, &would, &result, NULL);
    ck_assert_uint_eq(result.evicted, rc == RAFS_OK ? 4 : 0);
    return rc;
}

static int op_scrub(rafs_cache *c)
{
    rafs_cache_scrub_result result = RAFS_CACHE_SCRUB_RESULT_INIT;
    int rc = rafs_cache_scrub(c, NULL, &result, NULL, NULL);

    /* A blob that could not be opened was not looked at. */
    ck_assert(!result.complete || (rc == RAFS_OK && result.blobs == 5));
    ck_assert_uint_eq(result.bad_chunks, 0);
    return rc;
}

static int op_pin(rafs_cache *c)
{
    int rc = rafs_cache_pin(c, "a", NULL);

    return rc == RAFS_OK ? rafs_cache_unpin(c, "a", NULL) : rc;
}

static int op_path(rafs_cache *c)
{
    char path[4096];
    size_t len;

    return rafs_cache_path(c, "a", path, sizeof(path), &len, NULL);
}

START_TEST(the_nth_allocation_fails)
{
    static int (*const operations[])(rafs_cache *) = {op_list, op_gc, op_scrub, op_pin,
                                                      op_path};
    rafs_cache_options options = RAFS_CACHE_OPTIONS_INIT;
    struct watch watch;

    four_blobs();
    watch_init(&watch);
    options.env = &watch.env;
    for (size_t n = 0;; n++) {
        rafs_cache *other = NULL;
        int rc;

        watch_fail_at(&watch, n);
        rc = rafs_cache_open(dir, &options, &other, NULL);
        if (rc == RAFS_OK)
            rc = operations[_i](other);
        rafs_cache_close(other);
        ck_assert_uint_eq(watch.live, 0);
        ck_assert(rc == RAFS_OK || (rc == RAFS_E_NOMEM && watch.failed));
        if (!watch.failed)
            break;
    }
    ck_assert_uint_gt(watch.calls, 0);
}
END_TEST

static void expect_document(void *user, const rafs_error *finding)
{
    ck_assert_ptr_nonnull(strstr(finding->object, "boot-00"));
    ck_assert(finding->code == RAFS_E_CORRUPT && !finding->has_offset);
    ++*(unsigned *)user;
}

START_TEST(scrub_deletes_documents_that_are_wrong)
{
    rafs_cache_scrub_options scrub = RAFS_CACHE_SCRUB_OPTIONS_INIT;
    rafs_cache_scrub_result result = RAFS_CACHE_SCRUB_RESULT_INIT;
    uint8_t digest[RAFSI_DIGEST_BYTES], wrong[RAFSI_DIGEST_BYTES] = {0};
    unsigned findings = 0;

    NEED(rafs_digest_bytes(RAFS_DIGEST_SHA256, "hello", 5, digest) == RAFS_OK);
    rafsi_disk_doc_put(cache, "manifest", digest, "hello", 5);
    rafsi_disk_doc_put(cache, "boot", wrong, "hello", 5);
    rafsi_disk_doc_put(cache, "trace", wrong, "hello", 5); /* of another digest's kind */
    scrub.user = &findings;
    scrub.finding = expect_document;
    NEED(rafs_cache_scrub(cache, &scrub, &result, NULL, NULL) == RAFS_OK);
    ck_assert_uint_eq(findings, 1);
    ck_assert_uint_eq(result.documents, 2);
    ck_assert_uint_eq(result.bad_documents, 1);
    ck_assert_uint_eq(result.bad_chunks, 0);
    NEED(rafs_cache_scrub(cache, &scrub, &result, NULL, NULL) == RAFS_OK);
    ck_assert_uint_eq(result.documents, 1);
    ck_assert_uint_eq(result.bad_documents, 0);
    ck_assert_ptr_nonnull(strstr(listed(), "trace-"));
}
END_TEST

static void count_finding(void *user, const rafs_error *finding)
{
    ck_assert_str_eq(finding->object, "blob blob");
    ck_assert(finding->code == RAFS_E_CORRUPT && finding->has_offset);
    ck_assert(finding->offset == 2 * 8192 || finding->offset == 9 * 8192);
    ++*(unsigned *)user;
}

static rafs_cache_scrub_progress last_progress;

static void note_progress(void *user, const rafs_cache_scrub_progress *progress)
{
    (void)user;
    ck_assert_uint_eq(progress->chunks_done, last_progress.chunks_done + 1);
    last_progress = *progress;
}

START_TEST(scrub_finds_and_forgets_every_bad_chunk)
{
    rafs_cache_scrub_options scrub = RAFS_CACHE_SCRUB_OPTIONS_INIT, slow = scrub;
    unsigned findings = 0;
    rafs_cache_scrub_result result = RAFS_CACHE_SCRUB_RESULT_INIT;
    struct rafsi_disk_chunk chunk = chunk_of(2);
    rafs_cancel *token;
    rafs_call call;
    int fd;

    four_blobs();
    for (uint64_t i = 0; i < 10; i++)
        put(i);
    fd = open(in_dir("blob.blob.data"), O_RDWR);
    NEED(fd >= 0 && pwrite(fd, "x", 1, 2 * 8192 + 1) == 1);
    close(fd);
    NEED(truncate(in_dir("blob.blob.data"), 9 * 8192 + 10) == 0);
    scrub.user = &findings;
    scrub.finding = count_finding;
    scrub.progress = note_progress;
    slow.bytes_per_second = 1;
    NEED(rafs_cache_scrub(cache, &scrub, &result, NULL, NULL) == RAFS_OK);
    ck_assert_uint_eq(findings, 2);
    ck_assert_uint_eq(last_progress.chunks_done, 14);
    ck_assert_uint_eq(last_progress.bad_chunks, 2);
    ck_assert_uint_ge(last_progress.bytes_total, last_progress.bytes_done);
    ck_assert_uint_eq(result.complete, 1);
    ck_assert_uint_eq(result.blobs, 5);
    ck_assert_uint_eq(result.chunks, 14);
    ck_assert_uint_eq(result.bad_chunks, 2);
    ck_assert(!rafsi_disk_has(blob, &chunk) && kept(1) && kept(8));
    NEED(rafs_cache_scrub(cache, NULL, &result, NULL, NULL) == RAFS_OK);
    ck_assert_uint_eq(result.chunks, 12);
    ck_assert_uint_eq(result.bad_chunks, 0);

    NEED(rafs_cancel_new(&token, NULL) == RAFS_OK);
    rafs_cancel_fire(token);
    rafs_call_init(&call, NULL, 0, token);
    ck_assert_int_eq(rafs_cache_scrub(cache, &slow, &result, &call, NULL),
                     RAFS_E_CANCELLED);
    ck_assert_uint_eq(result.complete, 0);
    rafs_cancel_free(token);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache");
    TCase *tcase = tcase_create("disk");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_chunk_comes_back_also_after_a_restart);
    tcase_add_test(tcase, chunks_lie_uncompressed_at_their_offsets_in_private_files);
    tcase_add_test(tcase, after_a_power_cut_only_what_was_synced_counts);
    tcase_add_loop_test(tcase, a_torn_journal_loses_only_the_torn_record, 1,
                        DISK_RECORD_BYTES + 1);
    tcase_add_test(tcase, a_flipped_bit_of_the_journal_never_makes_another_chunk_ready);
    tcase_add_test(tcase, bad_bytes_are_forgotten_alone_and_can_be_put_again);
    tcase_add_test(tcase, a_data_file_that_vanished_takes_its_records_along);
    tcase_add_test(tcase, another_chunk_at_an_overlapping_place_is_not_kept);
    tcase_add_test(tcase, a_second_handle_sees_what_the_first_one_puts_and_forgets);
    tcase_add_loop_test(tcase, blob_ids_are_names_that_stay_in_the_directory, 0,
                        sizeof(ids) / sizeof(ids[0]));
    tcase_add_test(tcase, directories_that_others_had_a_hand_in_are_refused);
    tcase_add_test(tcase, a_folder_with_names_that_look_like_ours_is_left_alone);
    tcase_add_test(tcase, files_that_are_links_or_foreign_are_not_used);
    tcase_add_loop_test(tcase, a_chunk_of_any_blob_is_found_by_its_digest_and_not_trusted,
                        0, 2);
    tcase_add_test(tcase, a_cache_of_another_version_is_emptied_unless_it_is_in_use);
    tcase_add_test(tcase, one_process_fetches_and_its_death_passes_the_flight_on);
    tcase_add_test(tcase, a_process_that_was_stopped_does_not_stop_the_others);
    tcase_add_test(tcase, a_blob_that_is_evicted_without_end_costs_one_wait);
    tcase_add_test(tcase, a_waiter_is_stopped_by_its_token);
    tcase_add_test(tcase, a_full_disk_costs_one_warning_and_is_tried_again_after_30_s);
    tcase_add_test(
        tcase, a_blob_that_is_being_evicted_is_waited_for_later_and_without_a_warning);
    tcase_add_test(tcase, what_was_repaired_is_not_forgotten_by_those_who_saw_it_bad);
    tcase_add_test(tcase, documents_come_back_whole_or_not_at_all);
    tcase_add_test(tcase, a_list_names_blobs_in_the_order_of_their_use);
    tcase_add_test(tcase, gc_evicts_the_least_recently_used_but_nothing_in_use_or_pinned);
    tcase_add_test(tcase, the_quota_is_kept_while_the_cache_grows);
    tcase_add_test(tcase, a_floor_of_free_space_that_is_not_there_keeps_nothing);
    tcase_add_test(tcase, a_floor_makes_gc_evict);
    tcase_add_test(tcase, a_pin_is_listed_and_holds_before_there_is_anything);
    tcase_add_test(tcase, a_path_leads_to_the_data);
    tcase_add_loop_test(tcase, the_nth_allocation_fails, 0, 5);
    tcase_add_test(tcase, scrub_deletes_documents_that_are_wrong);
    tcase_add_test(tcase, scrub_finds_and_forgets_every_bad_chunk);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
