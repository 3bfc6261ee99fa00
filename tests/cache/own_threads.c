/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cache of the program's own: it spares fetches, and whatever it does wrong (bytes,
 * lengths, errors, silence) ends in right bytes from the source or in the call's own end.
 */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/store.h"
#include "reading.h"

enum { SLOTS = 8192, THREADS = 8 };
#define SECOND_NS ((uint64_t)1000000000)

enum fault {
    GOOD,
    FLIPS,     /* one bit of what it gives */
    SHORT,     /* all but one byte, and says so */
    CLAIMS,    /* says that it gave more */
    NOTHING,   /* says that it gave all, and wrote nothing */
    CONFUSES,  /* gives another chunk of the same size, or zeros */
    FAILS,     /* lookup */
    NO_STORE,  /* store fails */
    NO_LEASE,  /* lease fails */
    NO_BEGIN,  /* begin fails */
    NO_MEMORY, /* lookup and store fail for lack of memory */
    NONSENSE,  /* a code that there is none of */
    FORGETS,   /* lookup never finds */
    SAYS_HAS,  /* has() says yes to all, lookup finds nothing */
    BUSY,      /* begin will not wait */
    PASSED_BY, /* begin says that another process brought it, which is not so */
    FAULTS
};

struct slot {
    uint8_t digest[RAFS_DIGEST_BYTES];
    uint32_t size;
    uint8_t *bytes;
};

struct memory {
    pthread_mutex_t lock;
    struct slot slots[SLOTS];
    size_t used;
    enum fault fault;
    struct watch *watch;
    bool waits; /* lookup waits for its token */
    pthread_cond_t changed;
    bool inside;
    uint64_t takes_ns; /* of the watch's time, for a lookup */
    atomic_size_t leases, unleases, lookups, hits, stores, wrongs, begins, ends, releases,
        warnings;
    char document[96];
    struct bytes kept;
    size_t claimed; /* length that find() tells; 0: the true one */
};

static int lease(void *user, const char *blob_id, void **out, const rafs_call *call,
                 rafs_error *err)
{
    struct memory *memory = user;

    (void)err;
    NEED(call && blob_id[0] != '\0');
    if (memory->fault == NO_LEASE)
        return RAFS_E_BACKEND;
    memory->leases++;
    *out = memory->slots;
    return RAFS_OK;
}

static void unlease(void *user, void *given)
{
    struct memory *memory = user;

    NEED(given == memory->slots);
    memory->unleases++;
}

static struct slot *find_slot(struct memory *memory, const rafs_cache_chunk *chunk)
{
    for (size_t i = 0; i < memory->used; i++)
        if (memory->slots[i].size == chunk->size &&
            memcmp(memory->slots[i].digest, chunk->digest, RAFS_DIGEST_BYTES) == 0)
            return &memory->slots[i];
    return NULL;
}

static int has(void *user, void *given, const rafs_cache_chunk *chunk)
{
    struct memory *memory = user;
    bool there;

    NEED(given == memory->slots);
    if (memory->fault == SAYS_HAS)
        return 1;
    pthread_mutex_lock(&memory->lock);
    there = find_slot(memory, chunk) != NULL;
    pthread_mutex_unlock(&memory->lock);
    return there;
}

static void wait_for_token(struct memory *memory, const rafs_call *call)
{
    struct pollfd fd = {rafs_cancel_fd(call->cancel), POLLIN, 0};

    pthread_mutex_lock(&memory->lock);
    memory->inside = true;
    pthread_cond_broadcast(&memory->changed);
    pthread_mutex_unlock(&memory->lock);
    while (poll(&fd, 1, -1) < 1)
        ;
}

/* The chunk, or what the fault makes of it. */
static size_t give(struct memory *memory, const struct slot *slot, uint8_t *buf)
{
    switch (memory->fault) {
    case NOTHING:
        return slot->size;
    case CONFUSES:
        memset(buf, 0, slot->size);
        for (size_t i = 0; i < memory->used; i++)
            if (&memory->slots[i] != slot && memory->slots[i].size == slot->size)
                memcpy(buf, memory->slots[i].bytes, slot->size);
        return slot->size;
    case SHORT:
        memcpy(buf, slot->bytes, slot->size - 1);
        return slot->size - 1;
    default:
        memcpy(buf, slot->bytes, slot->size);
        buf[slot->size / 2] ^= memory->fault == FLIPS ? 16 : 0;
        return slot->size + (memory->fault == CLAIMS);
    }
}

static int lookup(void *user, void *given, const rafs_cache_chunk *chunk, void *buf,
                  size_t *nread, const rafs_call *call, rafs_error *err)
{
    struct memory *memory = user;
    const struct slot *slot;

    NEED(given == memory->slots && call && chunk->size > 0 && *nread == 0);
    memory->lookups++;
    if (memory->takes_ns)
        watch_advance(memory->watch, memory->takes_ns);
    if (memory->waits) {
        wait_for_token(memory, call);
        return RAFS_E_CANCELLED;
    }
    if (memory->fault == FAILS)
        return rafs_error_set(err, RAFS_E_BACKEND, 5, "memory", "is tired");
    if (memory->fault == NO_MEMORY)
        return RAFS_E_NOMEM;
    if (memory->fault == NONSENSE)
        return -12345;
    if (memory->fault == FORGETS || memory->fault == SAYS_HAS)
        return RAFS_E_NOENT;
    pthread_mutex_lock(&memory->lock);
    slot = find_slot(memory, chunk);
    if (slot)
        *nread = give(memory, slot, buf);
    pthread_mutex_unlock(&memory->lock);
    memory->hits += slot != NULL;
    return slot ? RAFS_OK : RAFS_E_NOENT;
}

static int store(void *user, void *given, const rafs_cache_chunk *chunk, const void *data,
                 const rafs_call *call, rafs_error *err)
{
    struct memory *memory = user;
    uint8_t digest[RAFS_DIGEST_BYTES];
    struct slot *slot;

    (void)err;
    /* Only right bytes are given to be kept. */
    NEED(given == memory->slots && call &&
         rafs_digest_bytes(chunk->digest_algorithm, data, chunk->size, digest) ==
             RAFS_OK &&
         memcmp(digest, chunk->digest, sizeof(digest)) == 0);
    memory->stores++;
    if (memory->fault == NO_STORE)
        return RAFS_E_BACKEND;
    if (memory->fault == NO_MEMORY)
        return RAFS_E_NOMEM;
    pthread_mutex_lock(&memory->lock);
    if (!find_slot(memory, chunk)) {
        NEED(memory->used < SLOTS);
        slot = &memory->slots[memory->used++];
        slot->size = chunk->size;
        memcpy(slot->digest, chunk->digest, sizeof(slot->digest));
        slot->bytes = malloc(chunk->size);
        NEED(slot->bytes);
        memcpy(slot->bytes, data, chunk->size);
    }
    pthread_mutex_unlock(&memory->lock);
    return RAFS_OK;
}

static void wrong(void *user, void *given, const rafs_cache_chunk *chunk)
{
    struct memory *memory = user;

    NEED(given == memory->slots && chunk->size > 0);
    memory->wrongs++;
}

static int begin(void *user, void *given, const rafs_cache_chunk *chunk, uint32_t flags,
                 void **flight, const rafs_call *call, rafs_error *err)
{
    struct memory *memory = user;

    (void)err;
    NEED(given == memory->slots && call && chunk->size > 0 && !*flight);
    if (memory->fault == NO_BEGIN)
        return RAFS_E_TIMEOUT; /* its own, not the call's */
    if (memory->fault == PASSED_BY)
        return RAFS_OK;
    if (memory->fault == BUSY) {
        NEED(flags == 0 || flags == RAFS_CACHE_BEGIN_NO_WAIT);
        if (flags)
            return RAFS_E_NOENT;
    }
    memory->begins++;
    *flight = memory;
    return RAFS_OK;
}

static void end(void *user, void *given, void *flight)
{
    struct memory *memory = user;

    NEED(given == memory->slots && flight == memory);
    memory->ends++;
}

static int find(void *user, const char *name, void *buf, size_t capacity, size_t *len,
                const rafs_call *call, rafs_error *err)
{
    struct memory *memory = user;

    (void)err;
    NEED(call);
    if (strcmp(name, memory->document) != 0)
        return RAFS_E_NOENT;
    *len = memory->claimed ? memory->claimed : memory->kept.len;
    if (*len <= capacity)
        memcpy(buf, memory->kept.at, memory->kept.len);
    return RAFS_OK;
}

static int keep(void *user, const char *name, const void *data, size_t len,
                const rafs_call *call, rafs_error *err)
{
    struct memory *memory = user;

    (void)err;
    NEED(call && strlen(name) < sizeof(memory->document));
    snprintf(memory->document, sizeof(memory->document), "%s", name);
    free(memory->kept.at);
    memory->kept = (struct bytes){malloc(len + 1), len};
    NEED(memory->kept.at);
    memcpy(memory->kept.at, data, len);
    return RAFS_OK;
}

static void release(void *user)
{
    struct memory *memory = user;

    memory->releases++;
}

static const rafs_cache_ops all_ops = {
    sizeof(all_ops), 0,     lease, unlease, has,  lookup,  store,
    wrong,           begin, end,   find,    keep, release,
};

static struct memory memory;
static struct watch watch;
static struct golden golden;
static struct reading reading;
static struct rig rig;
static rafs_cache *cache;

static void count_log(void *user, uint32_t level, const char *text)
{
    (void)user;
    (void)text;
    memory.warnings += level == RAFS_LOG_WARNING;
}

static void set_up(void)
{
    struct rig plain;

    memset(&memory, 0, sizeof(memory));
    NEED(pthread_mutex_init(&memory.lock, NULL) == 0);
    NEED(pthread_cond_init(&memory.changed, NULL) == 0);
    golden_load(golden_folder(), "v6-merge", &golden);
    rig_init(&plain, &golden, NULL);
    NEED(rig_open(&plain, &golden, NULL, 0, NULL) == RAFS_OK);
    reading_take(plain.image, &reading);
    rig_drop(&plain);
    watch_init(&watch);
    watch.env.log = count_log;
    memory.watch = &watch;
    rig_init(&rig, &golden, &watch);
    NEED(rafs_cache_new(&all_ops, &memory, &watch.env, &cache, NULL) == RAFS_OK);
}

static void tear_down(void)
{
    rafs_image_close(rig.image);
    rig.image = NULL;
    ck_assert_uint_eq(memory.leases, memory.unleases);
    ck_assert_uint_eq(memory.begins, memory.ends);
    ck_assert_uint_eq(memory.releases, 0);
    rafs_cache_close(cache);
    ck_assert_uint_eq(memory.releases, 1);
    rig_drop(&rig);
    ck_assert_uint_eq(watch.live, 0);
    reading_drop(&reading);
    golden_drop(&golden);
    for (size_t i = 0; i < memory.used; i++)
        free(memory.slots[i].bytes);
    free(memory.kept.at);
}

/* An image with nothing in memory yet. */
static int open_image(rafs_error *err)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;

    rafs_image_close(rig.image);
    rig.image = NULL;
    options.env = &watch.env;
    options.backends = &rig.backend;
    options.backend_count = 1;
    options.cache = cache;
    return rafs_image_open_memory(rig.boot.at, rig.boot.len, &options, &rig.image, NULL,
                                  err);
}

static void read_all(void)
{
    struct tally tally = {0};

    ck_assert_int_eq(open_image(NULL), RAFS_OK);
    script_arm(&rig.script, SCRIPT_GOOD, WATCH_NEVER);
    reading_compare(rig.image, &reading, &tally);
    ck_assert_uint_eq(tally.wrong, 0);
    ck_assert_uint_eq(tally.refused, 0);
    ck_assert_uint_gt(tally.right, 0);
}

static rafs_stats stats_now(void)
{
    rafs_stats stats = {.struct_size = sizeof(stats)};

    ck_assert_int_eq(rafs_image_get_stats(rig.image, &stats, NULL), RAFS_OK);
    return stats;
}

START_TEST(what_it_keeps_is_not_fetched_again)
{
    read_all();
    ck_assert_uint_gt(stats_now().chunks_fetched, 0);
    ck_assert_uint_eq(stats_now().chunks_fetched, memory.stores);
    ck_assert_uint_eq(memory.begins, memory.stores);
    read_all();
    ck_assert_uint_eq(stats_now().chunks_fetched, 0);
    ck_assert_uint_eq(stats_now().requests, 0);
    ck_assert_uint_gt(memory.hits, 0);
    ck_assert_uint_eq(memory.warnings, 0);
}
END_TEST

START_TEST(a_lie_is_counted_said_once_and_never_served)
{
    static const enum fault lies[] = {FLIPS, SHORT, CLAIMS, NOTHING, CONFUSES};
    bool whole = lies[_i] != SHORT && lies[_i] != CLAIMS;
    rafs_stats stats;

    read_all();
    memory.fault = lies[_i];
    read_all();
    stats = stats_now();
    ck_assert_uint_gt(stats.chunks_fetched, 1);
    /* What has not the chunk's length is not even looked at. */
    ck_assert_uint_eq(stats.cache_refused, whole ? stats.chunks_fetched : 0);
    ck_assert_uint_eq(memory.wrongs, stats.cache_refused);
    ck_assert_uint_eq(memory.warnings, whole);
    memory.fault = GOOD;
    read_all();
    ck_assert_uint_eq(stats_now().chunks_fetched, 0);
}
END_TEST

START_TEST(a_failure_costs_no_read_and_30_seconds_of_peace)
{
    static const enum fault failures[] = {FAILS,    NO_STORE,  NO_LEASE,
                                          NO_BEGIN, NO_MEMORY, NONSENSE};

    memory.fault = failures[_i];
    read_all();
    ck_assert_uint_gt(stats_now().chunks_fetched, 1);
    ck_assert_uint_eq(memory.warnings, 1);
    ck_assert_uint_le(memory.lookups, 1);
    ck_assert_uint_le(memory.stores, 1);
    memory.fault = GOOD;
    read_all(); /* it is not asked yet */
    ck_assert_uint_gt(stats_now().chunks_fetched, 1);
    ck_assert_uint_le(memory.stores, 1);
    watch_advance(&watch, 31 * SECOND_NS);
    read_all();
    ck_assert_uint_gt(memory.stores, 1);
    read_all();
    ck_assert_uint_eq(stats_now().chunks_fetched, 0);
    ck_assert_uint_eq(memory.warnings, 1);
}
END_TEST

START_TEST(a_forgetful_one_is_no_trouble)
{
    static const enum fault faults[] = {FORGETS, SAYS_HAS, PASSED_BY, BUSY};

    memory.fault = faults[_i];
    read_all();
    read_all();
    if (faults[_i] == FORGETS || faults[_i] == SAYS_HAS)
        ck_assert_uint_gt(stats_now().chunks_fetched, 1);
    ck_assert_uint_eq(memory.warnings, 0);
}
END_TEST

static const struct item *file(void)
{
    const struct item *best = NULL;

    for (size_t i = 0; i < reading.count; i++)
        if (S_ISREG(reading.items[i].attr.mode) &&
            (!best || reading.items[i].attr.size > best->attr.size))
            best = &reading.items[i];
    return best;
}

static void *cancel_when_inside(void *user)
{
    pthread_mutex_lock(&memory.lock);
    while (!memory.inside)
        pthread_cond_wait(&memory.changed, &memory.lock);
    pthread_mutex_unlock(&memory.lock);
    rafs_cancel_fire(user);
    return NULL;
}

START_TEST(a_silent_one_holds_nobody_past_his_token)
{
    rafs_call call = RAFS_CALL_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_cancel *token = NULL;
    pthread_t thread;
    uint8_t buf[100];
    size_t nread = 9;

    NEED(rafs_cancel_new(&token, NULL) == RAFS_OK);
    call.cancel = token;
    ck_assert_int_eq(open_image(NULL), RAFS_OK);
    memory.waits = true;
    NEED(pthread_create(&thread, NULL, cancel_when_inside, token) == 0);
    ck_assert_int_eq(rafs_image_read(rig.image, file()->attr.ino, 0, sizeof(buf), buf,
                                     &nread, &call, &err),
                     RAFS_E_CANCELLED);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(nread, 0);
    ck_assert_uint_eq(rig.script.reads, 0);
    ck_assert_uint_eq(memory.warnings, 0); /* it did as it was told */
    rafs_cancel_free(token);
    memory.waits = false;
    read_all();
}
END_TEST

START_TEST(a_late_one_ends_with_the_deadline)
{
    rafs_call call = watch_call(&watch, SECOND_NS);
    uint8_t buf[100];
    size_t nread = 9;

    ck_assert_int_eq(open_image(NULL), RAFS_OK);
    memory.takes_ns = 2 * SECOND_NS;
    ck_assert_int_eq(rafs_image_read(rig.image, file()->attr.ino, 0, sizeof(buf), buf,
                                     &nread, &call, NULL),
                     RAFS_E_TIMEOUT);
    ck_assert_uint_eq(nread, 0);
    ck_assert_uint_eq(memory.stores, 0);
    ck_assert_uint_eq(memory.warnings, 0);
}
END_TEST

/* What is good in the cache may be found in spite of a lack of memory, or not. */
START_TEST(the_nth_allocation_fails)
{
    bool warm = _i;

    if (warm)
        read_all();
    for (size_t n = 0;; n++) {
        rafs_error err = RAFS_ERROR_INIT;
        struct item one = *file();
        struct tally tally = {0};
        int rc;

        watch_fail_at(&watch, n);
        script_arm(&rig.script, SCRIPT_GOOD, WATCH_NEVER);
        rc = open_image(&err);
        if (rc == RAFS_OK)
            reading_compare_item(rig.image, &one, &tally);
        ck_assert(rc == RAFS_OK || rc == RAFS_E_NOMEM);
        ck_assert_uint_eq(tally.wrong, 0);
        if (!watch.failed) {
            ck_assert_int_eq(rc, RAFS_OK);
            ck_assert_uint_eq(tally.refused, 0);
            break;
        }
    }
    for (size_t n = 0;; n++) {
        rafs_cache *other = NULL;
        size_t live = watch.live;
        int rc;

        watch_fail_at(&watch, n);
        rc = rafs_cache_new(&all_ops, &memory, &watch.env, &other, NULL);
        ck_assert_int_eq(rc == RAFS_OK, other != NULL);
        rafs_cache_close(other);
        ck_assert_uint_eq(memory.releases, rc == RAFS_OK);
        ck_assert_uint_eq(watch.live, live);
        if (!watch.failed)
            break;
        ck_assert_int_eq(rc, RAFS_E_NOMEM);
    }
    memory.releases = 0;
}
END_TEST

static void *compare_all(void *user)
{
    struct tally *tally = user;

    reading_compare(rig.image, &reading, tally);
    return NULL;
}

START_TEST(threads_share_it)
{
    static const enum fault faults[] = {GOOD, FLIPS, FAILS};

    memory.fault = faults[_i];
    for (int round = 0; round < 2; round++) {
        pthread_t threads[THREADS];
        struct tally tallies[THREADS] = {0};

        ck_assert_int_eq(open_image(NULL), RAFS_OK);
        for (int i = 0; i < THREADS; i++)
            NEED(pthread_create(&threads[i], NULL, compare_all, &tallies[i]) == 0);
        for (int i = 0; i < THREADS; i++) {
            NEED(pthread_join(threads[i], NULL) == 0);
            ck_assert_uint_eq(tallies[i].wrong + tallies[i].refused, 0);
        }
        if (round == 1 && memory.fault == GOOD)
            ck_assert_uint_eq(stats_now().chunks_fetched, 0);
    }
    ck_assert_uint_eq(memory.warnings, memory.fault != GOOD);
}
END_TEST

START_TEST(only_lookup_and_store_are_needed)
{
    rafs_cache_ops ops = RAFS_CACHE_OPS_INIT;
    struct memory *user = &memory;

    rafs_cache_close(cache);
    memory.releases = 0;
    ops.lease = lease; /* the two ask for it */
    ops.lookup = lookup;
    ops.store = store;
    ck_assert_int_eq(rafs_cache_new(&ops, user, &watch.env, &cache, NULL), RAFS_OK);
    read_all();
    ck_assert_uint_eq(memory.begins, 0);
    read_all();
    rig_close(&rig);
    rafs_cache_close(cache);
    ck_assert_uint_eq(memory.releases, 0);
    memory.unleases = memory.leases;
    NEED(rafs_cache_new(&all_ops, user, &watch.env, &cache, NULL) == RAFS_OK);
}
END_TEST

START_TEST(documents_are_found_as_they_were_kept)
{
    static uint8_t data[40000];
    const struct rafsi_store *table = rafsi_store_of(cache);
    uint8_t digest[RAFSI_DIGEST_BYTES] = {0xab, 0xcd};
    static const size_t lengths[] = {0, 1, 16384, 16385, sizeof(data)};
    rafs_call call = RAFS_CALL_INIT;
    struct rafsi_buffer *found = NULL;
    struct rafsi_pool *pool;
    struct rafsi_env env;

    NEED(rafsi_env_take(&watch.env, &env, NULL) == RAFS_OK);
    NEED(rafsi_pool_new(&env, 0, &pool, NULL) == RAFS_OK);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        table->doc_put(cache, "boot", digest, data, lengths[i], &call);
        ck_assert_int_eq(table->doc_get(cache, "boot", digest, sizeof(data), pool, &call,
                                        &found, NULL),
                         RAFS_OK);
        ck_assert_uint_eq(found->len, lengths[i]);
        ck_assert(memcmp(found->at, data, found->len) == 0);
        rafsi_buffer_free(found);
    }
    ck_assert_uint_eq(strlen(memory.document), strlen("boot-") + 64);
    ck_assert_int_eq(strncmp(memory.document, "boot-abcd0000", 13), 0);
    found = NULL;
    ck_assert_int_eq(table->doc_get(cache, "boot", digest, sizeof(data) - 1, pool, &call,
                                    &found, NULL),
                     RAFS_E_NOENT);
    memory.claimed = SIZE_MAX;
    ck_assert_int_eq(
        table->doc_get(cache, "boot", digest, sizeof(data), pool, &call, &found, NULL),
        RAFS_E_NOENT);
    ck_assert_int_eq(table->doc_get(cache, "manifest", digest, sizeof(data), pool, &call,
                                    &found, NULL),
                     RAFS_E_NOENT);
    ck_assert_ptr_null(found);
    rafsi_pool_free(pool);
}
END_TEST

static int visit(void *user, const rafs_cache_entry *entry)
{
    (void)user;
    (void)entry;
    return 0;
}

START_TEST(what_makes_no_sense_is_refused)
{
    rafs_cache *before = (rafs_cache *)&memory, *out = before;
    rafs_cache_ops ops = all_ops;
    size_t len;

    ck_assert_int_eq(rafs_cache_new(NULL, NULL, NULL, &out, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(rafs_cache_new(&ops, NULL, NULL, NULL, NULL), RAFS_E_BADARG);
    ops.lookup = NULL;
    ck_assert_int_eq(rafs_cache_new(&ops, NULL, NULL, &out, NULL), RAFS_E_BADARG);
    ops = all_ops;
    ops.store = NULL;
    ck_assert_int_eq(rafs_cache_new(&ops, NULL, NULL, &out, NULL), RAFS_E_BADARG);
    ops = all_ops;
    ops.end = NULL;
    ck_assert_int_eq(rafs_cache_new(&ops, NULL, NULL, &out, NULL), RAFS_E_BADARG);
    ops = all_ops;
    ops.find = NULL;
    ck_assert_int_eq(rafs_cache_new(&ops, NULL, NULL, &out, NULL), RAFS_E_BADARG);
    ops = all_ops;
    ops.reserved = 1;
    ck_assert_int_eq(rafs_cache_new(&ops, NULL, NULL, &out, NULL), RAFS_E_UNSUPPORTED);
    ck_assert_ptr_eq(out, before);
    ck_assert_uint_eq(memory.releases, 0);
    ck_assert_int_eq(rafs_cache_list(cache, 0, visit, NULL, NULL), RAFS_E_UNSUPPORTED);
    ck_assert_int_eq(rafs_cache_gc(cache, NULL, NULL, NULL), RAFS_E_UNSUPPORTED);
    ck_assert_int_eq(rafs_cache_pin(cache, "a", NULL), RAFS_E_UNSUPPORTED);
    ck_assert_int_eq(rafs_cache_unpin(cache, "a", NULL), RAFS_E_UNSUPPORTED);
    ck_assert_int_eq(rafs_image_pin(NULL, NULL), RAFS_E_BADARG);
    ck_assert_int_eq(open_image(NULL), RAFS_OK);
    ck_assert_int_eq(rafs_image_pin(rig.image, NULL), RAFS_E_UNSUPPORTED);
    ck_assert_int_eq(rafs_image_unpin(rig.image, NULL), RAFS_E_UNSUPPORTED);
    rig_close(&rig);
    ck_assert_int_eq(rig_open(&rig, &golden, NULL, 0, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_image_pin(rig.image, NULL), RAFS_E_BADARG); /* no cache */
    ck_assert_int_eq(rafs_cache_path(cache, NULL, NULL, 0, &len, NULL),
                     RAFS_E_UNSUPPORTED);
    ck_assert_int_eq(rafs_cache_scrub(cache, NULL, NULL, NULL, NULL), RAFS_E_UNSUPPORTED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache/own");
    TCase *tests = tcase_create("own");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, what_it_keeps_is_not_fetched_again);
    tcase_add_loop_test(tests, a_lie_is_counted_said_once_and_never_served, 0, 5);
    tcase_add_loop_test(tests, a_failure_costs_no_read_and_30_seconds_of_peace, 0, 6);
    tcase_add_loop_test(tests, a_forgetful_one_is_no_trouble, 0, 4);
    tcase_add_test(tests, a_silent_one_holds_nobody_past_his_token);
    tcase_add_test(tests, a_late_one_ends_with_the_deadline);
    tcase_add_loop_test(tests, the_nth_allocation_fails, 0, 2);
    tcase_add_loop_test(tests, threads_share_it, 0, 3);
    tcase_add_test(tests, only_lookup_and_store_are_needed);
    tcase_add_test(tests, documents_are_found_as_they_were_kept);
    tcase_add_test(tests, what_makes_no_sense_is_refused);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
