/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads that are submitted: each that was taken completes once, with right bytes or an
 * error, whatever is full, cancelled, late or freed meanwhile.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reading.h"

enum { SOME = 16, DEPTH_MAX = 65536 };

static struct golden golden;
static struct reading reading;
static const struct item *file; /* the largest */
static struct watch watch;
static struct script script;
static rafs_backend *backend;
static rafs_image *image;
static rafs_queue *queue;

/* A source that answers when it is told to, or when it is cancelled. */
static struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool shut;
    unsigned inside; /* reads that came so far */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static bool gate_is_shut(void)
{
    bool shut;

    pthread_mutex_lock(&gate.lock);
    shut = gate.shut;
    pthread_mutex_unlock(&gate.lock);
    return shut;
}

static int wait_at_gate(void *user, uint64_t offset, const rafs_call *call)
{
    struct pollfd wake = {.fd = rafs_cancel_fd(call->cancel), .events = POLLIN};

    (void)user;
    (void)offset;
    pthread_mutex_lock(&gate.lock);
    gate.inside++;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    while (gate_is_shut()) {
        if (poll(&wake, 1, 5) == 1) { /* its descriptor alone is to tell */
            ck_assert(rafs_cancel_fired(call->cancel));
            return RAFS_E_CANCELLED;
        }
        if (call->deadline_ns && watch.now_ns >= call->deadline_ns)
            return RAFS_E_TIMEOUT;
    }
    return RAFS_OK;
}

static void gate_set(bool shut)
{
    pthread_mutex_lock(&gate.lock);
    gate.shut = shut;
    pthread_mutex_unlock(&gate.lock);
}

/* Until so many reads are or were at the source. */
static void gate_await(unsigned inside)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.inside < inside)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static void begin_image(uint64_t cache_bytes)
{
    rafs_limits limits = {.struct_size = sizeof(limits),
                          .merge_bytes = 1,
                          .ahead_bytes = 1,
                          .chunk_cache_bytes = cache_bytes};
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    struct rig rig;

    golden_load(golden_folder(), "v6-chunk4k", &golden);
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
    watch_init(&watch);
    script_init(&script, golden.blob, golden.blob_id, golden.blob_count, &watch);
    script.before_read = wait_at_gate;
    gate = (struct gate){.lock = PTHREAD_MUTEX_INITIALIZER,
                         .changed = PTHREAD_COND_INITIALIZER};
    backend = script_backend(&script, &watch.env);
    options.env = &watch.env;
    options.backends = &backend;
    options.backend_count = 1;
    options.limits = &limits;
    options.name = golden.boot_name;
    NEED(rafs_image_open_memory(golden.boot.at, golden.boot.len, &options, &image, NULL,
                                NULL) == RAFS_OK);
}

static void begin_queue(uint32_t depth, uint32_t threads)
{
    rafs_queue_options options = RAFS_QUEUE_OPTIONS_INIT;

    options.env = &watch.env;
    options.depth = depth;
    options.threads = threads;
    ck_assert_int_eq(rafs_queue_new(&options, &queue, NULL), RAFS_OK);
}

static void begin(uint32_t depth, uint32_t threads)
{
    begin_image(1); /* nothing is remembered: each read asks the source */
    begin_queue(depth, threads);
}

static void end(void)
{
    rafs_queue_free(queue);
    queue = NULL;
    rafs_image_close(image);
    rafs_backend_free(backend);
    ck_assert_uint_eq(watch.live, 0);
    reading_drop(&reading);
    golden_drop(&golden);
}

static rafs_queue_read read_of(const struct item *item, uint64_t offset, void *buf,
                               size_t len, uint64_t tag)
{
    rafs_queue_read read = RAFS_QUEUE_READ_INIT;

    read.image = image;
    read.ino = item->attr.ino;
    read.offset = offset;
    read.buf = buf;
    read.len = len;
    read.tag = tag;
    return read;
}

/* One byte of the file's chunk number n: reads of other chunks wait for nobody else's. */
static uint64_t submit_byte(uint64_t n, char *byte, uint64_t tag)
{
    rafs_queue_read read = read_of(file, 4096 * n, byte, 1, tag);
    uint64_t id = 0;

    ck_assert_int_eq(rafs_queue_submit(queue, &read, &id, NULL), RAFS_OK);
    ck_assert_uint_ne(id, 0);
    return id;
}

static bool readable(void)
{
    struct pollfd ready = {.fd = rafs_queue_fd(queue), .events = POLLIN};

    return poll(&ready, 1, 0) == 1;
}

/* The next completion, waited for at the descriptor. */
static rafs_completion next_completion(void)
{
    struct pollfd ready = {.fd = rafs_queue_fd(queue), .events = POLLIN};
    rafs_completion end;
    size_t count = 0;

    while (count == 0) {
        ck_assert_int_eq(poll(&ready, 1, 60000), 1);
        ck_assert_int_eq(rafs_queue_reap(queue, &end, 1, &count, NULL), RAFS_OK);
        ck_assert_uint_eq(count, 1); /* readable means that there is one */
    }
    return end;
}

static void expect_right(const rafs_completion *end, const struct item *item,
                         const uint8_t *buf)
{
    ck_assert_int_eq(end->code, RAFS_OK);
    ck_assert_int_eq(end->error.code, 0);
    ck_assert_uint_eq(end->nread, item->content.len);
    ck_assert(memcmp(buf, item->content.at, item->content.len) == 0);
}

START_TEST(all_files_read_right_at_once)
{
    uint8_t **bufs;
    size_t files = 0;

    begin_image(0);
    begin_queue(1024, 4);
    bufs = calloc(reading.count, sizeof(*bufs));
    NEED(bufs && reading.count < 1024);
    for (size_t i = 0; i < reading.count; i++) {
        rafs_queue_read read;

        if (!S_ISREG(reading.items[i].attr.mode))
            continue;
        bufs[i] = malloc(reading.items[i].content.len + 10);
        NEED(bufs[i]);
        read =
            read_of(&reading.items[i], 0, bufs[i], reading.items[i].content.len + 10, i);
        ck_assert_int_eq(rafs_queue_submit(queue, &read, NULL, NULL), RAFS_OK);
        files++;
    }
    for (size_t n = 0; n < files; n++) {
        rafs_completion got = next_completion();

        ck_assert(bufs[got.tag] != NULL);
        expect_right(&got, &reading.items[got.tag], bufs[got.tag]);
        free(bufs[got.tag]);
        bufs[got.tag] = NULL; /* a second completion would be seen */
    }
    ck_assert(!readable());
    free(bufs);
    end();
}
END_TEST

START_TEST(pieces_and_errors)
{
    rafs_queue_read read;
    rafs_iovec iov[3];
    rafs_completion got;
    char buf[64];

    begin(8, 1);
    read = read_of(file, 3, NULL, 0, 7);
    iov[0] = (rafs_iovec){buf, 10};
    iov[1] = (rafs_iovec){NULL, 0};
    iov[2] = (rafs_iovec){buf + 10, 54};
    read.iov = iov;
    read.iov_count = 3;
    ck_assert_int_eq(rafs_queue_submit(queue, &read, NULL, NULL), RAFS_OK);
    got = next_completion();
    ck_assert_int_eq(got.code, RAFS_OK);
    ck_assert_uint_eq(got.tag, 7);
    ck_assert_uint_eq(got.nread, 64);
    ck_assert(memcmp(buf, file->content.at + 3, 64) == 0);
    read = read_of(file, 0, buf, 8, 8);
    read.ino = reading.items[0].attr.ino; /* the root */
    ck_assert_int_eq(rafs_queue_submit(queue, &read, NULL, NULL), RAFS_OK);
    got = next_completion();
    ck_assert_int_eq(got.code, RAFS_E_ISDIR);
    ck_assert_int_eq(got.error.code, RAFS_E_ISDIR);
    ck_assert_uint_eq(got.nread, 0);
    read.ino = file->attr.ino;
    read.offset = file->attr.size;
    ck_assert_int_eq(rafs_queue_submit(queue, &read, NULL, NULL), RAFS_OK);
    got = next_completion();
    ck_assert_int_eq(got.code, RAFS_OK);
    ck_assert_uint_eq(got.nread, 0);
    end();
}
END_TEST

START_TEST(the_descriptor_tells_whether_completions_wait)
{
    rafs_completion got[4];
    char bytes[3];
    size_t count = 0;

    begin(4, 2);
    ck_assert(!readable());
    ck_assert_int_eq(rafs_queue_reap(queue, got, 4, &count, NULL), RAFS_OK);
    ck_assert_uint_eq(count, 0);
    for (size_t i = 0; i < 3; i++)
        submit_byte(i, &bytes[i], i);
    ck_assert_int_eq(rafs_queue_drain(queue, NULL, NULL), RAFS_OK);
    ck_assert(readable());
    ck_assert_int_eq(rafs_queue_reap(queue, got, 2, &count, NULL), RAFS_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert(readable());
    ck_assert_int_eq(rafs_queue_reap(queue, got, 0, &count, NULL), RAFS_OK);
    ck_assert(readable());
    ck_assert_int_eq(rafs_queue_reap(queue, got, 4, &count, NULL), RAFS_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert(!readable());
    submit_byte(0, bytes, 0);
    ck_assert_int_eq(rafs_queue_drain(queue, NULL, NULL), RAFS_OK);
    ck_assert(readable());
    end(); /* one was never reaped */
}
END_TEST

START_TEST(a_full_queue_says_so)
{
    rafs_queue_read read;
    rafs_error err = RAFS_ERROR_INIT;
    char bytes[5];
    uint64_t id = 99;

    begin(4, 2);
    gate_set(true);
    for (size_t i = 0; i < 4; i++)
        submit_byte(i, &bytes[i], i);
    read = read_of(file, 0, &bytes[4], 1, 4);
    ck_assert_int_eq(rafs_queue_submit(queue, &read, &id, &err), RAFS_E_AGAIN);
    ck_assert_int_eq(err.code, RAFS_E_AGAIN);
    ck_assert_int_eq(err.os_errno, EAGAIN);
    ck_assert_str_eq(rafs_error_name(err.code), "RAFS_E_AGAIN");
    ck_assert_uint_eq(id, 99);
    gate_set(false);
    ck_assert_int_eq(rafs_queue_drain(queue, NULL, NULL), RAFS_OK);
    /* What was not reaped still has its place. */
    ck_assert_int_eq(rafs_queue_submit(queue, &read, &id, &err), RAFS_E_AGAIN);
    next_completion();
    ck_assert_int_eq(rafs_queue_submit(queue, &read, &id, &err), RAFS_OK);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(next_completion().code, RAFS_OK);
    end();
}
END_TEST

START_TEST(reads_are_cancelled_wherever_they_are)
{
    rafs_completion got;
    uint64_t ids[3];
    char bytes[3];

    begin(8, 1);
    gate_set(true);
    ids[0] = submit_byte(0, &bytes[0], 0);
    gate_await(1); /* it runs; of several, no order would say which does */
    for (size_t i = 1; i < 3; i++)
        ids[i] = submit_byte(i, &bytes[i], i);
    ck_assert_int_eq(rafs_queue_cancel(queue, ids[2]), RAFS_OK);
    got = next_completion(); /* at once, though the worker is stuck */
    ck_assert_int_eq(got.code, RAFS_E_CANCELLED);
    ck_assert_int_eq(got.error.code, RAFS_E_CANCELLED);
    ck_assert_uint_eq(got.tag, 2);
    ck_assert_uint_eq(got.id, ids[2]);
    ck_assert_int_eq(rafs_queue_cancel(queue, ids[2]), RAFS_E_NOENT);
    ck_assert_int_eq(rafs_queue_cancel(queue, 0), RAFS_E_NOENT);
    ck_assert_int_eq(rafs_queue_cancel(queue, UINT64_MAX), RAFS_E_NOENT);
    ck_assert_int_eq(rafs_queue_cancel(NULL, ids[0]), RAFS_E_NOENT);
    ck_assert_int_eq(rafs_queue_cancel(queue, ids[0]), RAFS_OK);
    got = next_completion();
    ck_assert_int_eq(got.code, RAFS_E_CANCELLED);
    ck_assert_uint_eq(got.id, ids[0]);
    gate_await(2); /* the one that waited is not hit by it */
    gate_set(false);
    got = next_completion();
    ck_assert_int_eq(got.code, RAFS_OK);
    ck_assert_uint_eq(got.id, ids[1]);
    ck_assert_uint_eq(rafs_queue_cancel_all(queue), 0);
    gate_set(true);
    for (size_t i = 0; i < 3; i++)
        ids[i] = submit_byte(i, &bytes[i], i);
    gate_await(3);
    ck_assert_uint_eq(rafs_queue_cancel_all(queue), 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(next_completion().code, RAFS_E_CANCELLED);
    end();
}
END_TEST

START_TEST(a_read_that_waits_ends_at_its_deadline)
{
    rafs_queue_read read;
    rafs_completion got;
    char bytes[2];

    begin(8, 1);
    gate_set(true);
    submit_byte(0, &bytes[0], 0);
    gate_await(1);
    read = read_of(file, 4096, &bytes[1], 1, 1);
    read.deadline_ns = watch.now_ns + 1000;
    ck_assert_int_eq(rafs_queue_submit(queue, &read, NULL, NULL), RAFS_OK);
    ck_assert(!readable());
    watch_advance(&watch, 1001);
    got = next_completion(); /* the only worker is stuck all the while */
    ck_assert_uint_eq(got.tag, 1);
    ck_assert_int_eq(got.code, RAFS_E_TIMEOUT);
    gate_set(false);
    ck_assert_int_eq(next_completion().code, RAFS_OK);
    end();
}
END_TEST

START_TEST(a_token_stops_reads_that_run_and_that_wait)
{
    rafs_cancel *token = NULL;
    rafs_queue_read read;
    char bytes[2];

    begin(8, 1);
    NEED(rafs_cancel_new(&token, NULL) == RAFS_OK);
    gate_set(true);
    for (uint64_t i = 0; i < 2; i++) {
        read = read_of(file, 4096 * i, &bytes[i], 1, i);
        read.cancel = token;
        ck_assert_int_eq(rafs_queue_submit(queue, &read, NULL, NULL), RAFS_OK);
    }
    gate_await(1);
    rafs_cancel_fire(token);
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(next_completion().code, RAFS_E_CANCELLED);
    rafs_cancel_free(token); /* not needed any more once they completed */
    gate_set(false);
    submit_byte(0, bytes, 0);
    ck_assert_int_eq(next_completion().code, RAFS_OK);
    end();
}
END_TEST

static uint64_t chunks_from(const char *origin)
{
    rafs_sample samples[64];
    size_t count = 0;
    uint64_t sum = 0;

    NEED(rafs_image_get_samples(image, RAFS_METRIC_CHUNKS, 0, samples, 64, &count,
                                NULL) == RAFS_OK &&
         count < 64);
    for (size_t i = 0; i < count; i++)
        if (strcmp(samples[i].labels[0], origin) == 0)
            sum += samples[i].value;
    return sum;
}

START_TEST(who_shares_a_fetch_is_counted_as_such)
{
    uint64_t waiting = 0;
    char bytes[2];

    begin(8, 2);
    gate_set(true);
    for (size_t i = 0; i < 2; i++)
        submit_byte(0, &bytes[i], i);
    while (waiting < 2) { /* no ck_assert: each leaves a mark in a file */
        sched_yield();
        NEED(rafs_image_get_counter(image, RAFS_METRIC_WAITING, &waiting, NULL) ==
             RAFS_OK);
    }
    gate_await(1);
    gate_set(false);
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(next_completion().code, RAFS_OK);
    ck_assert_uint_eq(chunks_from("fetched") + chunks_from("shared"), 2);
    ck_assert_uint_eq(chunks_from("fetched"), script.reads);
    end();
}
END_TEST

START_TEST(draining_can_be_given_up)
{
    rafs_call call;
    char byte;

    begin(8, 1);
    gate_set(true);
    submit_byte(0, &byte, 0);
    call = watch_call(&watch, 1000);
    watch_advance(&watch, 1001);
    ck_assert_int_eq(rafs_queue_drain(queue, &call, NULL), RAFS_E_TIMEOUT);
    gate_set(false);
    ck_assert_int_eq(rafs_queue_drain(queue, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(next_completion().code, RAFS_OK);
    end();
}
END_TEST

/* What callbacks were told. */
static struct heard {
    pthread_mutex_t lock;
    size_t right, cancelled, others, releases;
    size_t again;     /* times to submit one more */
    char bytes[1024]; /* for those */
} heard = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void hear(void *user, const rafs_completion *completion)
{
    rafs_queue *of = *(rafs_queue **)user;
    size_t again;

    pthread_mutex_lock(&heard.lock);
    heard.right += completion->code == RAFS_OK;
    heard.cancelled += completion->code == RAFS_E_CANCELLED;
    heard.others += completion->code != RAFS_OK && completion->code != RAFS_E_CANCELLED;
    again = heard.again;
    heard.again -= again > 0;
    pthread_mutex_unlock(&heard.lock);
    if (again > 0) {
        rafs_queue_read read =
            read_of(file, 4096 * (again % SOME), &heard.bytes[again % 1024], 1, 0);

        ck_assert_int_eq(rafs_queue_submit(of, &read, NULL, NULL), RAFS_OK);
    }
}

static size_t heard_right(void)
{
    size_t right;

    pthread_mutex_lock(&heard.lock);
    right = heard.right;
    pthread_mutex_unlock(&heard.lock);
    return right;
}

static void released(void *user)
{
    (void)user;
    heard.releases++;
}

static void begin_with_callback(uint32_t depth, uint32_t threads)
{
    rafs_queue_options options = RAFS_QUEUE_OPTIONS_INIT;

    heard = (struct heard){.lock = PTHREAD_MUTEX_INITIALIZER};
    begin_image(1);
    options.env = &watch.env;
    options.depth = depth;
    options.threads = threads;
    options.complete = hear;
    options.release = released;
    options.user = &queue;
    ck_assert_int_eq(rafs_queue_new(&options, &queue, NULL), RAFS_OK);
}

START_TEST(callbacks_may_submit)
{
    rafs_completion got;
    size_t count = 9;
    char bytes[2];

    begin_with_callback(4, 3);
    heard.again = 1000;
    for (size_t i = 0; i < 2; i++)
        submit_byte(i, &bytes[i], i);
    while (heard_right() < 1002) { /* a drain may find a moment without a read */
        sched_yield();
        NEED(rafs_queue_drain(queue, NULL, NULL) == RAFS_OK);
    }
    ck_assert_int_eq(rafs_queue_drain(queue, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(heard.right, 1002);
    ck_assert_int_eq(rafs_queue_fd(queue), -1);
    ck_assert_int_eq(rafs_queue_reap(queue, &got, 1, &count, NULL), RAFS_E_BADARG);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(heard.releases, 0);
    end();
    ck_assert_uint_eq(heard.releases, 1);
}
END_TEST

START_TEST(freeing_ends_all_reads)
{
    char bytes[SOME];
    uint64_t before;

    begin_with_callback(SOME, 2);
    gate_set(true);
    for (size_t i = 0; i < SOME; i++)
        submit_byte(i, &bytes[i], i);
    gate_await(2);
    before = script.reads;
    end();
    ck_assert_uint_eq(heard.cancelled, SOME);
    ck_assert_uint_eq(heard.right + heard.others, 0);
    ck_assert_uint_eq(script.reads, before); /* none began after that */
    ck_assert_uint_eq(heard.releases, 1);
    begin(SOME, 2);
    gate_set(true);
    for (size_t i = 0; i < SOME; i++)
        submit_byte(i, &bytes[i], i);
    gate_await(2);
    end();
}
END_TEST

/*
 * Many threads submit, cancel and reap at random; each read completes once, with its
 * bytes or as cancelled.
 */
enum { SUBMITTERS = 3, REAPERS = 2, SLOTS = 64 };

struct slot {
    atomic_int busy;
    atomic_uint_least64_t id;
    uint8_t buf[4096];
    uint64_t offset;
};

static struct storm {
    struct slot slots[SUBMITTERS][SLOTS];
    size_t each;
    atomic_size_t submitted, right, cancelled, wrong;
    atomic_bool over;
} storm;

static uint32_t roll(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void *submit_many(void *user)
{
    size_t me = (size_t)(uintptr_t)user;
    uint32_t seed = (uint32_t)me + 1;
    size_t chunks = file->attr.size / 4096;

    for (size_t done = 0; done < storm.each;) {
        size_t at = roll(&seed) % SLOTS;
        struct slot *slot = &storm.slots[me][at];
        rafs_queue_read read;
        uint64_t id;
        int free = 0;
        int rc;

        if (roll(&seed) % 3 == 0)
            rafs_queue_cancel(queue, slot->id);
        if (!atomic_compare_exchange_strong(&slot->busy, &free, 1)) {
            sched_yield();
            continue;
        }
        slot->offset = roll(&seed) % chunks * 4096;
        read = read_of(file, slot->offset, slot->buf, sizeof(slot->buf), me * SLOTS + at);
        rc = rafs_queue_submit(queue, &read, &id, NULL);
        if (rc == RAFS_OK) {
            slot->id = id;
            done++;
            storm.submitted++;
        } else {
            storm.wrong += rc != RAFS_E_AGAIN;
            slot->busy = 0;
            sched_yield();
        }
    }
    return NULL;
}

static void *reap_many(void *user)
{
    struct pollfd ready = {.fd = rafs_queue_fd(queue), .events = POLLIN};

    (void)user;
    while (!storm.over) {
        rafs_completion got[8];
        size_t count = 0;

        poll(&ready, 1, 10);
        rafs_queue_reap(queue, got, 8, &count, NULL);
        for (size_t i = 0; i < count; i++) {
            struct slot *slot = &storm.slots[got[i].tag / SLOTS][got[i].tag % SLOTS];
            bool right = got[i].code == RAFS_OK && got[i].nread == sizeof(slot->buf) &&
                         memcmp(slot->buf, file->content.at + slot->offset,
                                sizeof(slot->buf)) == 0;

            storm.right += right;
            storm.cancelled += got[i].code == RAFS_E_CANCELLED;
            storm.wrong += !right && got[i].code != RAFS_E_CANCELLED;
            storm.wrong += !atomic_exchange(&slot->busy, 0); /* completed twice */
        }
    }
    return NULL;
}

START_TEST(a_storm_of_reads_and_cancels)
{
    const char *full = getenv("RAFS_TEST_FULL");
    pthread_t submitters[SUBMITTERS], reapers[REAPERS];

    begin_image(0);
    begin_queue(100, 4);
    storm.each = full && strcmp(full, "1") == 0 ? 100000 : 34000;
    for (size_t i = 0; i < REAPERS; i++)
        NEED(pthread_create(&reapers[i], NULL, reap_many, NULL) == 0);
    for (size_t i = 0; i < SUBMITTERS; i++)
        NEED(pthread_create(&submitters[i], NULL, submit_many, (void *)(uintptr_t)i) ==
             0);
    for (size_t i = 0; i < SUBMITTERS; i++)
        pthread_join(submitters[i], NULL);
    while (storm.right + storm.cancelled + storm.wrong < storm.submitted)
        sched_yield();
    storm.over = true;
    for (size_t i = 0; i < REAPERS; i++)
        pthread_join(reapers[i], NULL);
    ck_assert_uint_eq(storm.wrong, 0);
    ck_assert_uint_eq(storm.right + storm.cancelled, SUBMITTERS * storm.each);
    ck_assert_uint_gt(storm.right, 0);
    ck_assert(!readable());
    end();
}
END_TEST

START_TEST(without_memory_there_is_no_queue)
{
    rafs_queue_options options = RAFS_QUEUE_OPTIONS_INIT;
    rafs_queue *made = NULL;
    char byte = 0;

    begin_image(1);
    options.env = &watch.env;
    watch_fail_at(&watch, 0);
    ck_assert_int_eq(rafs_queue_new(&options, &made, NULL), RAFS_E_NOMEM);
    ck_assert_ptr_null(made);
    watch_fail_at(&watch, WATCH_NEVER);
    begin_queue(4, 1);
    /* Whatever allocation of a read fails, it completes, and submitting needs none. */
    for (size_t at = 0;; at++) {
        rafs_completion got;

        watch_fail_at(&watch, at);
        submit_byte(0, &byte, at);
        got = next_completion();
        if (!watch.failed) {
            ck_assert_int_eq(got.code, RAFS_OK);
            break;
        }
        ck_assert(got.code == RAFS_OK || got.code == RAFS_E_NOMEM);
    }
    watch_fail_at(&watch, WATCH_NEVER);
    end();
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
    rafs_queue_options options = RAFS_QUEUE_OPTIONS_INIT;
    rafs_queue *made = NULL;
    rafs_queue_read read;
    size_t count;
    char byte;

    options.depth = DEPTH_MAX + 1;
    ck_assert_int_eq(rafs_queue_new(&options, &made, NULL), RAFS_E_BADARG);
    options.depth = 1;
    options.threads = 65;
    ck_assert_int_eq(rafs_queue_new(&options, &made, NULL), RAFS_E_BADARG);
    options.threads = 1;
    options.flags = 1;
    ck_assert_int_eq(rafs_queue_new(&options, &made, NULL), RAFS_E_UNSUPPORTED);
    ck_assert_int_eq(rafs_queue_new(NULL, NULL, NULL), RAFS_E_BADARG);
    ck_assert_ptr_null(made);
    begin(1, 1);
    read = read_of(file, 0, NULL, 1, 0);
    ck_assert_int_eq(rafs_queue_submit(queue, &read, NULL, NULL), RAFS_E_BADARG);
    read.buf = &byte;
    read.image = NULL;
    ck_assert_int_eq(rafs_queue_submit(queue, &read, NULL, NULL), RAFS_E_BADARG);
    read.image = image;
    read.iov_count = 1;
    ck_assert_int_eq(rafs_queue_submit(queue, &read, NULL, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_queue_submit(queue, NULL, NULL, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_queue_submit(NULL, &read, NULL, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_queue_reap(queue, NULL, 1, &count, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_queue_drain(NULL, NULL, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_queue_fd(NULL), -1);
    ck_assert_uint_eq(rafs_queue_cancel_all(NULL), 0);
    rafs_queue_free(NULL);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queue");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 240);
    tcase_add_test(tcase, all_files_read_right_at_once);
    tcase_add_test(tcase, pieces_and_errors);
    tcase_add_test(tcase, the_descriptor_tells_whether_completions_wait);
    tcase_add_test(tcase, a_full_queue_says_so);
    tcase_add_test(tcase, reads_are_cancelled_wherever_they_are);
    tcase_add_test(tcase, a_read_that_waits_ends_at_its_deadline);
    tcase_add_test(tcase, a_token_stops_reads_that_run_and_that_wait);
    tcase_add_test(tcase, who_shares_a_fetch_is_counted_as_such);
    tcase_add_test(tcase, draining_can_be_given_up);
    tcase_add_test(tcase, callbacks_may_submit);
    tcase_add_test(tcase, freeing_ends_all_reads);
    tcase_add_test(tcase, a_storm_of_reads_and_cancels);
    tcase_add_test(tcase, without_memory_there_is_no_queue);
    tcase_add_test(tcase, wrong_arguments_are_refused);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
