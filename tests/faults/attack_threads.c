/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything hostile at once: sources that lie, break off, hang and scribble; a process
 * that changes, cuts, swaps and forges the files of the cache; eviction and scrubs; reads
 * that are cancelled and late. Every byte that comes is right, memory that came back is
 * not written to any more, and when it is over all can be read.
 */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache/disk_record.h"
#include "rafs/cache.h"
#include "rafs/prefetch.h"
#include "rafs/queue.h"
#include "reading.h"
#include "scratch.h"

enum { READERS = 4, SOURCES = 3, LEN_MAX = 300000, LATE = 6, CANARY = 0xa5 };

static const char *const variants[] = {"v6-chunk64k", "v5-zstd", "v6-toc", "v5-lz4"};

/* Shared by the processes. */
static struct world {
    atomic_bool over, honest;
    atomic_uint right, refused, wrong, scribbled, tampered, late;
} * world;

static struct golden golden;
static struct reading reading;
static char dir[64], cache_dir[80], victim[80];

static uint64_t next(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t below(uint64_t *seed, uint64_t limit)
{
    return next(seed) % limit;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- sources ---------------------------------------------------------------------------
 */

static struct source {
    unsigned malice; /* of a hundred answers */
    atomic_uint_least64_t seed;
} sources[SOURCES] = {{.malice = 70}, {.malice = 30}, {.malice = 5}};

static int source_open(void *user, const char *id, void **blob, const rafs_call *call,
                       rafs_error *err)
{
    (void)user;
    (void)call;
    (void)err;
    for (size_t i = 0; i < golden.blob_count; i++)
        if (strcmp(golden.blob_id[i], id) == 0) {
            *blob = &golden.blob[i];
            return RAFS_OK;
        }
    return RAFS_E_NOENT;
}

static void scribble(uint8_t *to, size_t len, uint64_t *seed)
{
    for (size_t i = 0; i < len; i += 1 + below(seed, 64))
        to[i] = (uint8_t)next(seed);
}

/* Slow, and stops when it is told to. */
static int hang(uint8_t *buf, size_t len, uint64_t *seed, const rafs_call *call)
{
    struct pollfd wake = {.fd = call && call->cancel ? rafs_cancel_fd(call->cancel) : -1,
                          .events = POLLIN};

    for (uint64_t left = below(seed, 12); left > 0; left--) {
        scribble(buf, len, seed);
        if (poll(&wake, 1, 2) == 1)
            return RAFS_E_CANCELLED;
    }
    return RAFS_E_TIMEOUT;
}

static int source_read(void *user, void *handle, uint64_t offset, void *buf, size_t len,
                       size_t *nread, const rafs_call *call, rafs_error *err)
{
    struct source *source = user;
    const struct bytes *blob = handle;
    uint64_t seed = atomic_fetch_add(&source->seed, 1) * 77 + source->malice;
    size_t have = offset < blob->len ? blob->len - (size_t)offset : 0;
    uint8_t *to = buf;

    (void)err;
    *nread = have < len ? have : len;
    memcpy(buf, blob->at + offset, *nread);
    if (atomic_load(&world->honest) || below(&seed, 100) >= source->malice)
        return RAFS_OK;
    switch (below(&seed, 8)) {
    case 0: /* one bit */
        to[below(&seed, *nread)] ^= (uint8_t)(1u << below(&seed, 8));
        return RAFS_OK;
    case 1: /* another place of the blob */
        offset = below(&seed, blob->len - *nread + 1);
        memcpy(buf, blob->at + offset, *nread);
        return RAFS_OK;
    case 2:
        *nread -= 1 + below(&seed, *nread);
        return RAFS_OK;
    case 3:
        *nread = len + 1 + below(&seed, 1000);
        return RAFS_OK;
    case 4:
        scribble(to, len, &seed);
        return RAFS_E_BACKEND;
    case 5:
        return hang(to, len, &seed, call);
    case 6:
        memset(to, 0, len);
        return RAFS_OK;
    default:
        *nread = 0;
        return below(&seed, 2) ? RAFS_E_NOENT : -12345;
    }
}

/* --- readers ---------------------------------------------------------------------------
 */

struct opened {
    rafs_backend *backends[SOURCES];
    rafs_cache *cache;
    rafs_image *image;
};

static void open_all(struct opened *out, uint64_t *seed)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_cache_options cache_options = RAFS_CACHE_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits), .hedge_ms = 3};
    rafs_error err = RAFS_ERROR_INIT;

    for (size_t i = 0; i < SOURCES; i++) {
        rafs_backend_ops ops = RAFS_BACKEND_OPS_INIT;

        ops.flags = RAFS_BACKEND_REMOTE;
        ops.open = source_open;
        ops.read = source_read;
        NEED(rafs_backend_new(&ops, &sources[i], NULL, &out->backends[i], NULL) ==
             RAFS_OK);
    }
    if (below(seed, 2))
        limits.chunk_cache_bytes = 1; /* all comes from the disk */
    if (below(seed, 3) == 0)
        cache_options.quota_bytes = 1 << 20;
    out->cache = NULL;
    NEED(rafs_cache_open(cache_dir, &cache_options, &out->cache, &err) == RAFS_OK);
    options.backends = out->backends;
    options.backend_count = SOURCES;
    options.limits = &limits;
    options.cache = out->cache;
    options.name = golden.boot_name;
    NEED(rafs_image_open_memory(golden.boot.at, golden.boot.len, &options, &out->image,
                                NULL, &err) == RAFS_OK);
}

static void close_all(struct opened *opened)
{
    rafs_image_close(opened->image);
    for (size_t i = 0; i < SOURCES; i++)
        rafs_backend_free(opened->backends[i]);
    rafs_cache_close(opened->cache);
}

static const struct item *some_file(uint64_t *seed)
{
    const struct item *item;

    do
        item = &reading.items[below(seed, reading.count)];
    while (!S_ISREG(item->attr.mode) || item->content.len == 0);
    return item;
}

/* A read whose memory is kept for a while, to see whether anybody still writes there. */
struct one {
    const struct item *item;
    uint64_t offset;
    size_t len;
    uint8_t *buf, *copy;
};

static void begin_one(struct one *one, uint64_t *seed)
{
    one->item = some_file(seed);
    one->offset = below(seed, one->item->content.len);
    one->len = (size_t)below(seed, below(seed, 4) ? 20000 : LEN_MAX);
    one->buf = malloc(one->len + 1);
    one->copy = malloc(one->len + 1);
    NEED(one->buf && one->copy);
    memset(one->buf, CANARY, one->len + 1);
}

/* What there is: the file's bytes or, after a failure, what was there before. */
static void judge(struct one *one, int rc, size_t nread)
{
    size_t most = one->item->content.len - (size_t)one->offset;
    size_t want = one->len < most ? one->len : most;
    const uint8_t *truth = one->item->content.at + one->offset;
    bool good = rc == RAFS_OK ? nread == want : nread == 0;

    if (rc == RAFS_OK) {
        good = good && memcmp(one->buf, truth, want) == 0;
    } else {
        for (size_t i = 0; i < want && good; i++)
            good = one->buf[i] == truth[i] || one->buf[i] == CANARY;
        want = one->len - want ? want : one->len;
    }
    for (size_t i = want; i < one->len + 1 && good; i++)
        good = one->buf[i] == CANARY;
    atomic_fetch_add(!good           ? &world->wrong
                     : rc == RAFS_OK ? &world->right
                                     : &world->refused,
                     1);
    memcpy(one->copy, one->buf, one->len + 1);
}

static void end_one(struct one *one)
{
    if (!one->buf)
        return;
    if (memcmp(one->copy, one->buf, one->len + 1) != 0)
        atomic_fetch_add(&world->scribbled, 1);
    free(one->buf);
    free(one->copy);
    one->buf = NULL;
}

struct reader {
    pthread_t thread;
    rafs_image *image;
    uint64_t seed;
    unsigned reads;
    rafs_cancel *cancel;
    atomic_bool done;
};

static void *read_on(void *user)
{
    struct reader *reader = user;
    struct one kept[LATE] = {{0}};

    for (unsigned i = 0; i < reader->reads; i++) {
        struct one *one = &kept[i % LATE];
        uint64_t *seed = &reader->seed, began = now_ms();
        uint64_t timeout = below(seed, 3) ? 1 + below(seed, 40) : 2000;
        rafs_error err = RAFS_ERROR_INIT;
        size_t nread = 99;
        rafs_call call;
        int rc;

        end_one(one);
        begin_one(one, seed);
        rafs_cancel_reset(reader->cancel);
        rafs_call_init(&call, NULL, timeout, reader->cancel);
        rc = rafs_image_read(reader->image, one->item->attr.ino, one->offset, one->len,
                             one->buf, &nread, &call, &err);
        if (now_ms() - began > timeout + 20000) /* others need the processor too */
            atomic_fetch_add(&world->late, 1);
        judge(one, rc, nread);
    }
    for (size_t i = 0; i < LATE; i++)
        end_one(&kept[i]);
    atomic_store(&reader->done, true);
    return NULL;
}

static void complete(void *user, const rafs_completion *completion)
{
    struct one *one = (struct one *)(uintptr_t)completion->tag;

    (void)user;
    judge(one, completion->code, (size_t)completion->nread);
}

/* Reads that are submitted, some of them cancelled. */
static void submit_some(const rafs_image *image, uint64_t *seed)
{
    enum { SOME = 40 };
    struct one ones[SOME] = {{0}};
    rafs_queue_options options = RAFS_QUEUE_OPTIONS_INIT;
    rafs_queue *queue;

    options.complete = complete;
    options.threads = 3;
    NEED(rafs_queue_new(&options, &queue, NULL) == RAFS_OK);
    for (size_t i = 0; i < SOME; i++) {
        rafs_queue_read read = RAFS_QUEUE_READ_INIT;
        uint64_t id = 0;

        begin_one(&ones[i], seed);
        read.image = image;
        read.ino = ones[i].item->attr.ino;
        read.offset = ones[i].offset;
        read.buf = ones[i].buf;
        read.len = ones[i].len;
        read.tag = (uint64_t)(uintptr_t)&ones[i];
        NEED(rafs_queue_submit(queue, &read, &id, NULL) == RAFS_OK);
        if (below(seed, 3) == 0)
            (void)rafs_queue_cancel(queue, id);
    }
    if (below(seed, 3) > 0)
        (void)rafs_queue_drain(queue, NULL, NULL);
    rafs_queue_free(queue);
    for (size_t i = 0; i < SOME; i++)
        end_one(&ones[i]);
}

/* One image: readers, a prefetch, submitted reads, and one who cancels. */
static void read_round(uint64_t *seed, unsigned reads)
{
    rafs_prefetch_options ahead = RAFS_PREFETCH_OPTIONS_INIT;
    struct reader readers[READERS] = {{0}};
    rafs_prefetch *prefetch = NULL;
    struct opened opened;
    bool done = false;

    open_all(&opened, seed);
    ahead.what = RAFS_PREFETCH_ALL;
    ahead.timeout_ms = 50;
    (void)rafs_prefetch_start(opened.image, &ahead, &prefetch, NULL, NULL);
    for (size_t i = 0; i < READERS; i++) {
        readers[i].image = opened.image;
        readers[i].seed = next(seed);
        readers[i].reads = reads;
        NEED(rafs_cancel_new(&readers[i].cancel, NULL) == RAFS_OK);
        NEED(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]) == 0);
    }
    submit_some(opened.image, seed);
    while (!done) {
        rafs_cancel_fire(readers[below(seed, READERS)].cancel);
        (void)poll(NULL, 0, (int)below(seed, 8));
        done = true;
        for (size_t i = 0; i < READERS; i++)
            done = done && atomic_load(&readers[i].done);
    }
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        rafs_cancel_free(readers[i].cancel);
    }
    rafs_prefetch_free(prefetch);
    close_all(&opened);
}

/* --- whoever changes the cache's files -------------------------------------------------
 */

static bool is_prey(const char *name)
{
    return strstr(name, ".blob.data") || strstr(name, ".ready");
}

/* The path of some file; false: there is none. */
static bool some_path(char out[400], uint64_t *seed)
{
    DIR *names = opendir(cache_dir);
    struct dirent *entry;
    uint64_t seen = 0;

    NEED(names != NULL);
    while ((entry = readdir(names)))
        if (is_prey(entry->d_name) && below(seed, ++seen) == 0)
            snprintf(out, 400, "%s/%s", cache_dir, entry->d_name);
    closedir(names);
    return seen > 0;
}

/* A record that is well made and a lie, mostly about something that is there. */
static void forge(int fd, uint64_t *seed)
{
    uint8_t bytes[DISK_RECORD_BYTES];
    struct disk_record record;
    struct stat st;

    if (fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof(bytes))
        return;
    if (pread(fd, bytes, sizeof(bytes),
              (off_t)(below(seed, (uint64_t)st.st_size / sizeof(bytes)) *
                      sizeof(bytes))) != (ssize_t)sizeof(bytes) ||
        !rafsi_disk_record_decode(bytes, &record) || record.kind == DISK_HEAD)
        return;
    switch (below(seed, 5)) {
    case 0:
        record.offset = below(seed, 1 << 22) & ~(uint64_t)4095;
        break;
    case 1:
        record.size = (uint32_t)below(seed, 1 << 20);
        break;
    case 2:
        record.kind = (uint8_t)(DISK_READY + below(seed, 4));
        record.offset = record.kind > DISK_READY ? (uint64_t)st.st_size : record.offset;
        break;
    case 3:
        record.algorithm ^= 1;
        break;
    default:
        record.offset = next(seed);
        break;
    }
    rafsi_disk_record_encode(&record, bytes);
    (void)!pwrite(fd, bytes, sizeof(bytes), st.st_size);
}

static void tamper(uint64_t *seed)
{
    char path[400], other[400];
    uint8_t junk[3000];
    struct stat st;
    int fd;

    if (!some_path(path, seed) || !some_path(other, seed))
        return;
    fd = open(path, O_RDWR | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0) {
        unlink(path);
        return;
    }
    memset(junk, (int)below(seed, 256), sizeof(junk));
    switch (below(seed, 12)) {
    case 0:
        unlink(path);
        break;
    case 1:
        (void)rename(path, other);
        break;
    case 2:
        (void)!ftruncate(fd, (off_t)below(seed, (uint64_t)st.st_size + 1));
        break;
    case 3:
        unlink(path);
        (void)!symlink(victim, path);
        break;
    case 4:
        unlink(path);
        (void)!mkfifo(path, 0600);
        break;
    case 5:
    case 6:
    case 7:
        if (strstr(path, ".ready"))
            forge(fd, seed);
        break;
    default:
        (void)!pwrite(fd, junk, 1 + below(seed, sizeof(junk)),
                      (off_t)below(seed, (uint64_t)st.st_size + 1));
    }
    close(fd);
    atomic_fetch_add(&world->tampered, 1);
}

/* In a process of its own, until it is over. */
static void tamper_on(uint64_t seed)
{
    rafs_cache *cache = NULL;

    NEED(rafs_cache_open(cache_dir, NULL, &cache, NULL) == RAFS_OK);
    while (!atomic_load(&world->over)) {
        rafs_cache_gc_options all = RAFS_CACHE_GC_OPTIONS_INIT;
        rafs_call call;

        for (uint64_t i = below(&seed, 6); i > 0; i--)
            tamper(&seed);
        all.quota_bytes = 1 + below(&seed, 4 << 20);
        if (below(&seed, 40) == 0)
            (void)rafs_cache_gc(cache, &all, NULL, NULL);
        rafs_call_init(&call, NULL, 5, NULL);
        if (below(&seed, 60) == 0)
            (void)rafs_cache_scrub(cache, NULL, NULL, &call, NULL);
        (void)poll(NULL, 0, (int)below(&seed, 3));
    }
    rafs_cache_close(cache);
}

/* --- the test --------------------------------------------------------------------------
 */

static void make_victim(void)
{
    int fd = open(victim, O_WRONLY | O_CREAT, 0600);

    NEED(fd >= 0 && write(fd, "a letter", 8) == 8 && close(fd) == 0);
}

static bool victim_is_well(void)
{
    char text[16];
    int fd = open(victim, O_RDONLY);
    ssize_t got = read(fd, text, sizeof(text));

    close(fd);
    return got == 8 && memcmp(text, "a letter", 8) == 0;
}

static void set_up(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(dir, sizeof(dir), "%s/rafs-attack-XXXXXX", base && *base ? base : "/tmp");
    NEED(mkdtemp(dir) != NULL);
    snprintf(cache_dir, sizeof(cache_dir), "%s/cache", dir);
    snprintf(victim, sizeof(victim), "%s/victim", dir);
    make_victim();
    world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
    NEED(world != MAP_FAILED);
}

static void tear_down(void)
{
    reading_drop(&reading);
    golden_drop(&golden);
    munmap(world, sizeof(*world));
    scratch_remove(dir);
}

static void load(const char *variant)
{
    struct rig rig;

    golden_load(golden_folder(), variant, &golden);
    rig_init(&rig, &golden, NULL);
    NEED(rig_open(&rig, &golden, NULL, 0, NULL) == RAFS_OK);
    reading_take(rig.image, &reading);
    rig_drop(&rig);
}

static pid_t in_a_process(void (*run)(uint64_t seed), uint64_t seed)
{
    pid_t pid = fork();

    NEED(pid >= 0);
    if (pid > 0)
        return pid;
    run(seed);
    _exit(0);
}

static unsigned rounds, reads;

static void read_rounds(uint64_t seed)
{
    for (unsigned i = 0; i < rounds; i++)
        read_round(&seed, reads);
}

static void end(pid_t pid)
{
    int status;

    NEED(waitpid(pid, &status, 0) == pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

START_TEST(nothing_that_anybody_does_gives_a_wrong_byte)
{
    const char *given = getenv("RAFS_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)_i + 1;
    struct opened opened;
    struct tally tally = {0};
    pid_t tamperer, other;

    rounds = getenv("RAFS_TEST_FULL") ? 60 : 3;
    reads = getenv("RAFS_TEST_FULL") ? 300 : 60;
    load(variants[_i]);
    for (size_t i = 0; i < SOURCES; i++)
        atomic_store(&sources[i].seed, seed << 32);
    tamperer = in_a_process(tamper_on, next(&seed));
    other = in_a_process(read_rounds, next(&seed));
    read_rounds(next(&seed));
    end(other);
    atomic_store(&world->over, true);
    end(tamperer);
    ck_assert_uint_eq(world->wrong, 0);
    ck_assert_uint_eq(world->scribbled, 0);
    ck_assert_uint_eq(world->late, 0);
    ck_assert_uint_gt(world->right, 0);
    ck_assert_uint_gt(world->tampered, 0);
    ck_assert(victim_is_well());
    /* What is left behind harms nobody. */
    atomic_store(&world->honest, true);
    open_all(&opened, &seed);
    reading_compare(opened.image, &reading, &tally);
    close_all(&opened);
    ck_assert_uint_eq(tally.wrong, 0);
    ck_assert_uint_eq(tally.refused, 0);
    if (getenv("RAFS_TEST_VERBOSE"))
        printf("%s: %u right, %u refused, %u times tampered\n", variants[_i],
               world->right, world->refused, world->tampered);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("faults");
    TCase *tcase = tcase_create("attack");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, getenv("RAFS_TEST_FULL") ? 1200 : 120);
    tcase_add_loop_test(tcase, nothing_that_anybody_does_gives_a_wrong_byte, 0,
                        sizeof(variants) / sizeof(variants[0]));
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
