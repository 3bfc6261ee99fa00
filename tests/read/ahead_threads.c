/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead: what a reader who goes from start to end will want is under way before
 * he asks, nothing is fetched twice for it, and an image that closes waits for nobody.
 */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reading.h"
#include "v6_content.h"

enum { MIB = 1 << 20, CHUNK = 64 << 10, STEP = 128 << 10 };

/* Requests that are under way, and a place to hold them. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned reads, inside, most;
    unsigned wanted; /* hold everybody until so many are inside; 0: nobody */
    bool stuck;      /* hold those behind `beyond` until their token fires */
    uint64_t beyond;
};

static int arrive(void *user, uint64_t offset, const rafs_call *call)
{
    struct gate *gate = user;
    bool stuck;

    pthread_mutex_lock(&gate->lock);
    gate->reads++;
    gate->inside++;
    if (gate->inside > gate->most)
        gate->most = gate->inside;
    pthread_cond_broadcast(&gate->changed);
    while (gate->most < gate->wanted)
        pthread_cond_wait(&gate->changed, &gate->lock);
    stuck = gate->stuck && offset >= gate->beyond;
    pthread_mutex_unlock(&gate->lock);
    if (stuck) {
        struct pollfd fd = {rafs_cancel_fd(call->cancel), POLLIN, 0};

        while (poll(&fd, 1, -1) < 1)
            ;
    }
    pthread_mutex_lock(&gate->lock);
    gate->inside--;
    pthread_mutex_unlock(&gate->lock);
    return stuck ? RAFS_E_CANCELLED : RAFS_OK;
}

struct setup {
    struct content content;
    struct script script;
    struct gate gate;
    rafs_backend *backend;
    rafs_image *image;
    uint64_t ino;
};

static void setup_open(struct setup *setup, uint64_t merge, uint64_t ahead)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits)};
    rafs_backend_ops ops = script_ops();

    limits.merge_bytes = merge;
    limits.ahead_bytes = ahead;
    ops.flags = RAFS_BACKEND_REMOTE;
    script_init(&setup->script, &setup->content.blob, NULL, 1, NULL);
    setup->script.before_read = arrive;
    setup->script.before_user = &setup->gate;
    NEED(rafs_backend_new(&ops, &setup->script, NULL, &setup->backend, NULL) == RAFS_OK);
    options.backends = &setup->backend;
    options.backend_count = 1;
    options.limits = &limits;
    NEED(rafs_image_open_memory(setup->content.boot.at, setup->content.boot.len, &options,
                                &setup->image, NULL, NULL) == RAFS_OK);
    NEED(rafs_image_resolve(setup->image, "/f0000000", 0, &setup->ino, NULL) == RAFS_OK);
}

static void setup_make(struct setup *setup, uint32_t chunks)
{
    memset(setup, 0, sizeof(*setup));
    NEED(pthread_mutex_init(&setup->gate.lock, NULL) == 0);
    NEED(pthread_cond_init(&setup->gate.changed, NULL) == 0);
    content_make(&setup->content, 1, chunks, CHUNK);
}

static void setup_close(struct setup *setup)
{
    rafs_image_close(setup->image);
    ck_assert_uint_eq(setup->gate.inside, 0);
    rafs_backend_free(setup->backend);
    ck_assert_uint_eq(setup->script.opens, setup->script.closes);
}

static void setup_drop(struct setup *setup)
{
    setup_close(setup);
    content_drop(&setup->content);
    pthread_mutex_destroy(&setup->gate.lock);
    pthread_cond_destroy(&setup->gate.changed);
}

/* A number of the gate's by now; requests may be under way still. */
static unsigned now(struct gate *gate, const unsigned *number)
{
    unsigned value;

    pthread_mutex_lock(&gate->lock);
    value = *number;
    pthread_mutex_unlock(&gate->lock);
    return value;
}

static rafs_stats stats_of(const struct setup *setup)
{
    rafs_stats stats = {.struct_size = sizeof(stats)};

    NEED(rafs_image_get_stats(setup->image, &stats, NULL) == RAFS_OK);
    return stats;
}

static bool read_part(const struct setup *setup, uint64_t at, size_t len)
{
    uint8_t *buf = malloc(len);
    size_t nread = 0;
    bool right;

    NEED(buf);
    right = rafs_image_read(setup->image, setup->ino, at, len, buf, &nread, NULL, NULL) ==
                RAFS_OK &&
            nread == len && memcmp(buf, setup->content.blob.at + at, len) == 0;
    free(buf);
    return right;
}

START_TEST(a_stream_has_several_requests_under_way)
{
    struct setup setup;
    uint64_t size = 24 * MIB;

    setup_make(&setup, (uint32_t)(size / CHUNK));
    setup.gate.wanted = 2; /* would hang without a second thread */
    setup_open(&setup, 0, 0);
    for (uint64_t at = 0; at < size; at += STEP)
        ck_assert(read_part(&setup, at, STEP));
    ck_assert_uint_ge(now(&setup.gate, &setup.gate.most), 2);
    ck_assert_uint_le(now(&setup.gate, &setup.gate.most), 5);
    ck_assert_uint_eq(stats_of(&setup).bytes_fetched, size);
    ck_assert_uint_le(now(&setup.gate, &setup.gate.reads), size / MIB + 16);
    setup_drop(&setup);
}
END_TEST

/* Someone who goes through all files in the order of the blob, as tar does; or two of
 * them, whose reads come in turns: neither ends the other's stream. */
START_TEST(many_small_files_are_one_stream)
{
    enum { FILES = 160, PER_FILE = 4, FILE_BYTES = PER_FILE * CHUNK };
    struct setup setup;
    uint8_t buf[FILE_BYTES];
    uint64_t size = (uint64_t)FILES * FILE_BYTES;

    memset(&setup, 0, sizeof(setup));
    NEED(pthread_mutex_init(&setup.gate.lock, NULL) == 0);
    NEED(pthread_cond_init(&setup.gate.changed, NULL) == 0);
    content_make(&setup.content, FILES, PER_FILE, CHUNK);
    setup_open(&setup, 0, 0);
    for (unsigned i = 0; i < FILES; i++) {
        char path[16];
        size_t nread = 0;

        unsigned file = _i % 2 == 0 ? i : i / 2 + i % 2 * FILES / 2;

        if (i == 16) { /* by now he is known to go on: never alone again */
            pthread_mutex_lock(&setup.gate.lock);
            setup.gate.most = 0;
            setup.gate.wanted = 2;
            pthread_mutex_unlock(&setup.gate.lock);
        }
        snprintf(path, sizeof(path), "/f%07u", file);
        NEED(rafs_image_resolve(setup.image, path, 0, &setup.ino, NULL) == RAFS_OK);
        ck_assert_int_eq(rafs_image_read(setup.image, setup.ino, 0, FILE_BYTES, buf,
                                         &nread, NULL, NULL),
                         RAFS_OK);
        ck_assert_uint_eq(nread, FILE_BYTES);
        ck_assert_mem_eq(buf, setup.content.blob.at + (size_t)file * FILE_BYTES,
                         FILE_BYTES);
    }
    /* The first of two goes on in front of where the second began, for all we know. */
    ck_assert_uint_ge(stats_of(&setup).bytes_fetched, size);
    ck_assert_uint_le(stats_of(&setup).bytes_fetched, size + _i % 2 * 8 * MIB);
    /* Far fewer than there are files, however the reads meet. */
    ck_assert_uint_le(now(&setup.gate, &setup.gate.reads), size / MIB + 24 + _i % 2 * 40);
    setup_drop(&setup);
}
END_TEST

START_TEST(one_large_read_has_several_requests_under_way)
{
    struct setup setup;
    uint64_t size = 16 * MIB;

    setup_make(&setup, (uint32_t)(size / CHUNK));
    setup.gate.wanted = 2;
    setup_open(&setup, _i == 0 ? 0 : 1, 0); /* on demand too: it was asked for */
    ck_assert(read_part(&setup, 0, (size_t)size));
    ck_assert_uint_eq(stats_of(&setup).bytes_fetched, size);
    setup_drop(&setup);
}
END_TEST

START_TEST(strictly_on_demand_reads_nothing_ahead)
{
    struct setup setup;

    setup_make(&setup, 4 * MIB / CHUNK);
    setup_open(&setup, 1, 0);
    for (uint64_t at = 0; at < 2 * MIB; at += STEP)
        ck_assert(read_part(&setup, at, STEP));
    ck_assert_uint_eq(stats_of(&setup).bytes_fetched, 2 * MIB);
    setup_drop(&setup);
}
END_TEST

START_TEST(scattered_reads_take_little_more_than_they_need)
{
    enum { FILE_MIB = 64, READS = 300 };
    struct setup setup;
    uint32_t seed = 7;
    uint64_t needed = 0;
    bool seen[FILE_MIB * MIB / CHUNK] = {false};

    setup_make(&setup, FILE_MIB * MIB / CHUNK);
    setup_open(&setup, 0, 0);
    for (unsigned i = 0; i < READS; i++) {
        uint64_t chunk;

        seed = seed * 1664525 + 1013904223;
        chunk = (seed >> 8) % (FILE_MIB * MIB / CHUNK);
        needed += seen[chunk] ? 0 : CHUNK;
        seen[chunk] = true;
        ck_assert(read_part(&setup, chunk * CHUNK, 4096));
    }
    ck_assert_msg(stats_of(&setup).bytes_fetched <= needed * 16 / 10 + MIB,
                  "%llu bytes, %llu needed",
                  (unsigned long long)stats_of(&setup).bytes_fetched,
                  (unsigned long long)needed);
    setup_drop(&setup);
}
END_TEST

/* However long, one read is no sign that the next one begins where it ended. */
START_TEST(a_read_somewhere_is_one_request)
{
    struct setup setup;

    setup_make(&setup, 32 * MIB / CHUNK);
    setup_open(&setup, 0, 0);
    for (unsigned i = 1; i <= 4; i++) {
        ck_assert(read_part(&setup, (uint64_t)i * 7 * MIB - 77, MIB));
        ck_assert_uint_eq(now(&setup.gate, &setup.gate.reads), i);
        ck_assert_uint_eq(stats_of(&setup).bytes_fetched, (uint64_t)i * (MIB + CHUNK));
    }
    setup_close(&setup);
    ck_assert_uint_eq(setup.gate.reads, 4);
    content_drop(&setup.content);
    pthread_mutex_destroy(&setup.gate.lock);
    pthread_cond_destroy(&setup.gate.changed);
}
END_TEST

START_TEST(an_image_that_closes_calls_its_threads_back)
{
    struct setup setup;

    setup_make(&setup, 16 * MIB / CHUNK);
    setup.gate.stuck = true;
    setup.gate.beyond = MIB + CHUNK;
    setup_open(&setup, 0, 0);
    for (uint64_t at = 0; at < MIB; at += STEP)
        ck_assert(read_part(&setup, at, STEP));
    pthread_mutex_lock(&setup.gate.lock);
    while (setup.gate.inside == 0)
        pthread_cond_wait(&setup.gate.changed, &setup.gate.lock);
    pthread_mutex_unlock(&setup.gate.lock);
    setup_drop(&setup); /* hangs if the token does not fire */
}
END_TEST

enum { READERS = 8 };

struct reader {
    pthread_t thread;
    struct setup *setup;
    unsigned number;
    bool right;
};

static void *go(void *user)
{
    struct reader *reader = user;
    uint64_t size = reader->setup->content.blob.len;

    reader->right = true;
    for (uint64_t done = 0; done < size; done += STEP) {
        /* Half of them start somewhere else. */
        uint64_t at = (done + (reader->number % 2 ? reader->number * STEP : 0)) % size;

        reader->right &= read_part(reader->setup, at, STEP);
    }
    return NULL;
}

START_TEST(many_streams_fetch_each_chunk_once)
{
    struct reader readers[READERS];
    struct setup setup;

    setup_make(&setup, 12 * MIB / CHUNK);
    setup_open(&setup, 0, 0);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.setup = &setup, .number = i};
        NEED(pthread_create(&readers[i].thread, NULL, go, &readers[i]) == 0);
    }
    for (unsigned i = 0; i < READERS; i++) {
        NEED(pthread_join(readers[i].thread, NULL) == 0);
        ck_assert(readers[i].right);
    }
    ck_assert_uint_eq(stats_of(&setup).chunks_fetched, 12 * MIB / CHUNK);
    setup_drop(&setup);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ahead");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_stream_has_several_requests_under_way);
    tcase_add_loop_test(tcase, many_small_files_are_one_stream, 0, 4);
    tcase_add_loop_test(tcase, one_large_read_has_several_requests_under_way, 0, 2);
    tcase_add_test(tcase, strictly_on_demand_reads_nothing_ahead);
    tcase_add_test(tcase, scattered_reads_take_little_more_than_they_need);
    tcase_add_test(tcase, a_read_somewhere_is_one_request);
    tcase_add_test(tcase, an_image_that_closes_calls_its_threads_back);
    tcase_add_loop_test(tcase, many_streams_fetch_each_chunk_once, 0, 4);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
