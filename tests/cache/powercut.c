/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A power cut at every moment of the life of a cache. This program takes the place of the
 * system calls that change files, notes what they do, and then writes down what a disk
 * may keep of it (cuts.h), opens that in another boot, and looks at what it claims: every
 * chunk that counts as ready is right, and whatever was durable is there.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/disk_impl.h"
#include "cuts.h"
#include "golden.h"
#include "rafs/digest.h"

enum { SIZE = 3000, CLONED = 5000, FDS_MAX = 1024, KEYS_MAX = 64, MARKS_MAX = 32 };

/* --- in place of the system calls ------------------------------------------------------
 */

static bool recording; /* otherwise syncs do nothing, which is quick */
static struct cuts cuts;
static unsigned file_of_fd[FDS_MAX]; /* one more than the file's number; 0: not ours */
static bool dir_fd[FDS_MAX];
static unsigned boot_number = 1;
static unsigned syncs_of_data; /* so far */
static unsigned failing_sync;  /* the n-th of data fails; 0: none */
static unsigned writes, torn_write;
/* Once, at the next write of data, and when a sync has failed. */
static void (*before_write)(void), (*after_failure)(void);
static bool clones_work;
static unsigned clones;
static void (*after_open)(void); /* once, of a journal to be evicted */

static int boot_file(void)
{
    char text[64];
    int fd = memfd_create("boot", MFD_CLOEXEC);
    int len = snprintf(text, sizeof(text), "%08x-1111-2222-3333-444444444444\n",
                       boot_number * 0x01010101);

    NEED(fd >= 0 && write(fd, text, (size_t)len) == len && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static bool ours(int fd)
{
    return recording && fd >= 0 && fd < FDS_MAX && file_of_fd[fd] > 0;
}

static int open_at(int dir, const char *name, int flags, unsigned mode)
{
    bool there = recording && faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    int fd = (int)syscall(SYS_openat, dir, name, flags, mode);
    void (*act)(void) = after_open;

    if (act && strcmp(name, "two.ready") == 0 && !(flags & O_APPEND)) {
        after_open = NULL;
        act();
    }
    if (!recording || fd < 0 || strchr(name, '/'))
        return fd;
    NEED(fd < FDS_MAX);
    dir_fd[fd] = strcmp(name, ".") == 0;
    if (!dir_fd[fd])
        file_of_fd[fd] = cuts_open(&cuts, name, (flags & O_CREAT) && !there) + 1;
    if (!dir_fd[fd] && (flags & O_TRUNC) && there)
        cuts_length(&cuts, file_of_fd[fd] - 1, 0);
    return fd;
}

int openat64(int dir, const char *name, int flags, ...);
int openat64(int dir, const char *name, int flags, ...)
{
    unsigned mode = 0;
    va_list args;

    va_start(args, flags);
    if (flags & (O_CREAT | O_TMPFILE))
        mode = va_arg(args, unsigned);
    va_end(args);
    return open_at(dir, name, flags, mode);
}

int open64(const char *name, int flags, ...);
int open64(const char *name, int flags, ...)
{
    unsigned mode = 0;
    va_list args;
    int fd;

    va_start(args, flags);
    if (flags & (O_CREAT | O_TMPFILE))
        mode = va_arg(args, unsigned);
    va_end(args);
    if (strcmp(name, "/proc/sys/kernel/random/boot_id") == 0)
        return boot_file();
    fd = (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
    if (recording && fd >= 0 && fd < FDS_MAX)
        dir_fd[fd] = (flags & O_DIRECTORY) != 0;
    return fd;
}

int close(int fd)
{
    if (fd >= 0 && fd < FDS_MAX) {
        file_of_fd[fd] = 0;
        dir_fd[fd] = false;
    }
    return (int)syscall(SYS_close, fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at);
ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    void (*act)(void) = before_write;
    ssize_t n;

    if (ours(fd) && act) {
        before_write = NULL;
        act();
    }
    n = syscall(SYS_pwrite64, fd, bytes, len, at);
    if (ours(fd) && n >= 0)
        cuts_write(&cuts, file_of_fd[fd] - 1, (uint64_t)at, bytes, (size_t)n);
    return n;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    off_t at = 0;
    ssize_t n;

    if (ours(fd)) {
        at = lseek(fd, 0, SEEK_END); /* all of ours append */
        if (++writes == torn_write)
            len /= 2;
    }
    n = syscall(SYS_write, fd, bytes, len);
    if (ours(fd) && n >= 0)
        cuts_write(&cuts, file_of_fd[fd] - 1, (uint64_t)at, bytes, (size_t)n);
    return n;
}

static bool is_data(int fd)
{
    char link[64], path[256] = "";

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return readlink(link, path, sizeof(path) - 1) > 0 &&
           strstr(path, ".blob.data") != NULL;
}

int fdatasync(int fd)
{
    bool good = true;

    if (ours(fd)) {
        if (is_data(fd))
            good = ++syncs_of_data != failing_sync;
        cuts_sync(&cuts, file_of_fd[fd] - 1, good);
    }
    if (good)
        return 0;
    if (after_failure)
        after_failure();
    errno = EIO;
    return -1;
}

int fsync(int fd)
{
    if (recording && fd >= 0 && fd < FDS_MAX && dir_fd[fd])
        cuts_sync_dir(&cuts);
    return ours(fd) ? fdatasync(fd) : 0;
}

int ftruncate64(int fd, off_t len);
int ftruncate64(int fd, off_t len)
{
    int rc = (int)syscall(SYS_ftruncate, fd, len);

    if (ours(fd) && rc == 0)
        cuts_length(&cuts, file_of_fd[fd] - 1, (uint64_t)len);
    return rc;
}

int fallocate64(int fd, int mode, off_t at, off_t len);
int fallocate64(int fd, int mode, off_t at, off_t len)
{
    int rc = (int)syscall(SYS_fallocate, fd, mode, at, len);

    if (ours(fd) && rc == 0) {
        uint8_t *zeros = calloc(1, (size_t)len);

        NEED(mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) && zeros);
        cuts_write(&cuts, file_of_fd[fd] - 1, (uint64_t)at, zeros, (size_t)len);
        free(zeros);
    }
    return rc;
}

int ioctl(int fd, unsigned long request, ...)
{
    struct file_clone_range *range;
    va_list args;

    va_start(args, request);
    range = va_arg(args, struct file_clone_range *);
    va_end(args);
    /* A clone, done by hand, so that it is there on every file system. */
    if (request == FICLONERANGE && clones_work) {
        clones++;
        uint8_t *bytes = malloc(range->src_length);
        ssize_t got =
            pread((int)range->src_fd, bytes, range->src_length, (off_t)range->src_offset);

        NEED(bytes && got == (ssize_t)range->src_length);
        NEED(pwrite(fd, bytes, (size_t)got, (off_t)range->dest_offset) == got);
        free(bytes);
        return 0;
    }
    return (int)syscall(SYS_ioctl, fd, request, range);
}

int unlinkat(int dir, const char *name, int flags)
{
    int rc = (int)syscall(SYS_unlinkat, dir, name, flags);

    if (recording && rc == 0 && !strchr(name, '/'))
        cuts_unlink(&cuts, name);
    return rc;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    int rc = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);

    if (recording && rc == 0)
        cuts_rename(&cuts, from, to);
    return rc;
}

/* --- what is kept, and what must be ----------------------------------------------------
 */

/* A chunk of some blob that this program ever put. */
struct key {
    const char *blob;
    unsigned number, variant;
};

static struct key keys[KEYS_MAX];
static size_t key_count;
static bool marks[MARKS_MAX][KEYS_MAX]; /* which of them are durable from a mark on */
static size_t mark_count;
static bool durable[KEYS_MAX];

static char dir[64], left[64];
static size_t states; /* that were looked at */
static struct rafsi_env env;
static struct rafsi_hashes *hashes;
static struct rafsi_pool *pool;
static rafs_cache *a, *b;

/* Those from 100 on are large enough to be cloned, and lie where they can be. */
static uint32_t size_of(const struct key *key)
{
    return key->number < 100 ? SIZE : CLONED;
}

static void fill(uint8_t *bytes, const struct key *key)
{
    for (size_t i = 0; i < size_of(key); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251 + key->number * 31 + key->variant * 101 + 1);
}

/* They lie side by side, so that sectors and pages are shared. */
static struct rafsi_disk_chunk chunk_of(const struct key *key)
{
    struct rafsi_disk_chunk chunk = {.offset = key->number * (uint64_t)SIZE,
                                     .size = size_of(key),
                                     .algorithm = RAFSI_BLAKE3};
    uint8_t bytes[CLONED];

    if (key->number >= 100)
        chunk.offset = key->number * (uint64_t)8192;
    fill(bytes, key);
    NEED(rafs_digest_bytes(RAFSI_BLAKE3, bytes, chunk.size, chunk.digest) == RAFS_OK);
    return chunk;
}

static size_t key_of(const char *blob, unsigned number, unsigned variant)
{
    size_t i = 0;

    while (i < key_count && (strcmp(keys[i].blob, blob) != 0 ||
                             keys[i].number != number || keys[i].variant != variant))
        i++;
    NEED(i < KEYS_MAX);
    if (i == key_count)
        keys[key_count++] = (struct key){blob, number, variant};
    return i;
}

static void put(struct rafsi_disk_blob *blob, const char *name, unsigned number,
                unsigned variant)
{
    const struct key *key = &keys[key_of(name, number, variant)];
    struct rafsi_disk_chunk chunk = chunk_of(key);
    struct rafsi_buffer *raw;
    struct verified *good;

    NEED(rafsi_pool_take(pool, chunk.size, &raw, NULL) == RAFS_OK);
    fill(raw->at, key);
    NEED(rafsi_verify(raw, hashes, RAFSI_BLAKE3, chunk.digest, &good, NULL) == RAFS_OK);
    rafsi_disk_put(blob, &chunk, NULL, good);
    rafsi_verified_drop(good);
}

static void forget(const char *name, unsigned number, unsigned variant)
{
    durable[key_of(name, number, variant)] = false;
}

/* From here on the chunks of `durable` must survive. */
static void mark(void)
{
    NEED(mark_count < MARKS_MAX);
    memcpy(marks[mark_count], durable, sizeof(durable));
    cuts_mark(&cuts, mark_count++);
}

static void settled(struct rafsi_disk_blob *blob, const char *name, unsigned from,
                    unsigned to)
{
    rafsi_disk_sync(blob);
    for (unsigned i = from; i < to; i++)
        durable[key_of(name, i, 0)] = true;
    mark();
}

static struct rafsi_disk_blob *open_blob(rafs_cache *cache, const char *name)
{
    struct rafsi_disk_blob *blob;

    NEED(rafsi_disk_open(cache, name, &blob, NULL) == RAFS_OK);
    return blob;
}

static struct rafsi_disk_blob *other_one; /* blob "one" in the second handle */

static void sync_other(void)
{
    put(other_one, "one", 9, 0);
    rafsi_disk_sync(other_one);
}

/* Two handles, as two processes have, put into one blob and sync each for all. */
static void two_writers(void)
{
    struct rafsi_disk_blob *one = open_blob(a, "one");

    for (unsigned i = 0; i < 3; i++)
        put(one, "one", i, 0);
    settled(one, "one", 0, 3);
    other_one = open_blob(b, "one");
    put(one, "one", 3, 0);
    put(other_one, "one", 4, 0);
    settled(other_one, "one", 3, 5);
    before_write = sync_other; /* while the chunk's bytes are under way */
    put(one, "one", 5, 0);
    settled(one, "one", 5, 6);
    torn_write = writes + 1;
    put(one, "one", 6, 0);
    a->paused_until = 0;
    put(one, "one", 7, 0);
    rafsi_disk_close(other_one);
    put(one, "one", 8, 0);
    settled(one, "one", 7, 10);
    rafsi_disk_close(one);
}

/* A chunk is found to be bad, and another one takes its place, and again. */
static void replaced(void)
{
    struct rafsi_disk_blob *one = open_blob(a, "one");
    struct rafsi_disk_chunk chunk = chunk_of(&keys[key_of("one", 1, 0)]);

    for (unsigned i = 0; i < 4; i++)
        put(one, "one", i, 0);
    settled(one, "one", 0, 4);
    forget("one", 1, 0);
    mark();
    rafsi_disk_bad(one, &chunk);
    put(one, "one", 1, 1);
    durable[key_of("one", 1, 1)] = true;
    settled(one, "one", 2, 4);
    forget("one", 1, 1);
    mark();
    chunk = chunk_of(&keys[key_of("one", 1, 1)]);
    rafsi_disk_bad(one, &chunk);
    put(one, "one", 1, 0);
    put(one, "one", 10, 0);
    settled(one, "one", 10, 11);
    rafsi_disk_close(one);
}

static void evict_all(rafs_cache *cache)
{
    rafs_cache_gc_options all = RAFS_CACHE_GC_OPTIONS_INIT;

    all.quota_bytes = 1;
    NEED(rafs_cache_gc(cache, &all, NULL, NULL) == RAFS_OK);
}

/* A blob is evicted and comes back with other chunks at the same places. */
static void evicted(void)
{
    struct rafsi_disk_blob *one = open_blob(a, "one"), *two = open_blob(a, "two");

    for (unsigned i = 0; i < 3; i++)
        put(two, "two", i, 0);
    settled(two, "two", 0, 3);
    rafsi_disk_close(two);
    for (unsigned i = 0; i < 3; i++)
        forget("two", i, 0);
    mark();
    evict_all(b);
    two = open_blob(a, "two");
    for (unsigned i = 0; i < 3; i++)
        put(two, "two", i, 1);
    put(two, "two", 3, 0);
    settled(two, "two", 3, 4);
    rafsi_disk_close(two);
    rafsi_disk_close(one);
}

/* Somebody deletes a data file, and other chunks take the places. */
static void vanished(void)
{
    struct rafsi_disk_blob *three = open_blob(b, "three");

    put(three, "three", 0, 0);
    put(three, "three", 1, 0);
    settled(three, "three", 0, 2);
    rafsi_disk_close(three);
    forget("three", 0, 0);
    forget("three", 1, 0);
    mark();
    NEED(unlinkat(b->dir, "three.blob.data", 0) == 0);
    NEED(syscall(SYS_fsync, b->dir) == 0);
    three = open_blob(b, "three");
    put(three, "three", 0, 1);
    put(three, "three", 2, 0);
    settled(three, "three", 2, 3);
    rafsi_disk_close(three);
}

static void sync_same(void)
{
    rafsi_disk_sync(other_one);
}

/* A sync of data fails; what it may have lost is not taken for durable by anybody. */
static void failed_sync(void)
{
    struct rafsi_disk_blob *four = open_blob(a, "four"), *same = open_blob(b, "four");

    put(four, "four", 0, 0);
    settled(four, "four", 0, 1);
    put(four, "four", 1, 0);
    put(same, "four", 2, 0);
    failing_sync = syncs_of_data + 1;
    other_one = same;
    after_failure = sync_same; /* who is told nothing of it */
    rafsi_disk_sync(four);
    NEED(failing_sync + 1 == syncs_of_data);
    mark();
    a->paused_until = 0;
    put(same, "four", 3, 0);
    settled(same, "four", 3, 4);
    put(four, "four", 1, 0);
    settled(four, "four", 1, 2);
    rafsi_disk_close(same);
    rafsi_disk_close(four);
}

/* The same chunks in another blob share their blocks. */
static void cloned(void)
{
    struct rafsi_disk_blob *five = open_blob(a, "five"), *six = open_blob(a, "six");

    clones_work = true;
    put(five, "five", 100, 0);
    put(five, "five", 101, 0);
    put(six, "six", 100, 0);
    put(six, "six", 101, 0);
    NEED(clones == 2);
    settled(six, "six", 100, 102);
    settled(five, "five", 100, 102);
    rafsi_disk_close(six);
    rafsi_disk_close(five);
}

static const uint8_t doc_digest[RAFSI_DIGEST_BYTES] = {7};

static void documents(void)
{
    rafsi_disk_doc_put(a, "manifest", doc_digest, "the first, and longer one", 25);
    rafsi_disk_doc_put(b, "manifest", doc_digest, "the second", 10);
    mark();
    rafsi_disk_doc_drop(a, "manifest", doc_digest);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    return ftw->level > 0 ? remove(path) : 0;
}

static void empty(const char *path)
{
    NEED(nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static void set_up(void)
{
    const char *base = getenv("TMPDIR");

    base = base && *base ? base : "/tmp";
    snprintf(dir, sizeof(dir), "%s/rafs-cut-XXXXXX", base);
    snprintf(left, sizeof(left), "%s/rafs-left-XXXXXX", base);
    NEED(mkdtemp(dir) && mkdtemp(left));
    NEED(rafsi_env_take(NULL, &env, NULL) == RAFS_OK);
    NEED(rafsi_hashes_new(&env, &hashes, NULL) == RAFS_OK);
    NEED(rafsi_pool_new(&env, 2, &pool, NULL) == RAFS_OK);
    recording = true;
    NEED(rafs_cache_open(dir, NULL, &a, NULL) == RAFS_OK);
    NEED(rafs_cache_open(dir, NULL, &b, NULL) == RAFS_OK);
}

static void tear_down(void)
{
    cuts_drop(&cuts);
    rafsi_pool_free(pool);
    rafsi_hashes_free(hashes);
    empty(dir);
    empty(left);
    rmdir(dir);
    rmdir(left);
}

/* Is it ready in this blob, and are the bytes of it right? 0: no; 1: yes; -1: a lie. */
static int claimed(struct rafsi_disk_blob *blob, const struct key *key)
{
    struct rafsi_disk_chunk chunk = chunk_of(key);
    uint8_t want[CLONED], have[CLONED];

    if (!rafsi_disk_has(blob, &chunk))
        return 0;
    fill(want, key);
    return rafsi_disk_get(blob, &chunk, have) && memcmp(want, have, chunk.size) == 0 ? 1
                                                                                     : -1;
}

static void check_document(rafs_cache *cache, size_t ops)
{
    struct rafsi_buffer *buffer = NULL;

    if (rafsi_disk_doc_get(cache, "manifest", doc_digest, 100, pool, &buffer, NULL) < 0)
        return;
    ck_assert_msg((buffer->len == 10 && memcmp(buffer->at, "the second", 10) == 0) ||
                      (buffer->len == 25 && memcmp(buffer->at, "the first", 9) == 0),
                  "a document is torn after %zu operations", ops);
    rafsi_buffer_free(buffer);
}

/* What the directory claims, and whether what has to be there is there. */
static void check_left(size_t ops, enum cut_luck luck, uint64_t seed, const bool *must)
{
    rafs_cache *cache;

    NEED(rafs_cache_open(left, NULL, &cache, NULL) == RAFS_OK);
    for (size_t i = 0; i < key_count; i++) {
        struct rafsi_disk_blob *blob = open_blob(cache, keys[i].blob);
        int claim = claimed(blob, &keys[i]);

        ck_assert_msg(
            claim >= 0,
            "cut after %zu operations, luck %d, seed %llu, boot %u: chunk %u.%u "
            "of blob %s is said to be ready and is wrong",
            ops, luck, (unsigned long long)seed, boot_number, keys[i].number,
            keys[i].variant, keys[i].blob);
        ck_assert_msg(
            claim == 1 || !must || !must[i],
            "cut after %zu operations, luck %d, seed %llu, boot %u: chunk %u.%u "
            "of blob %s was durable and is lost",
            ops, luck, (unsigned long long)seed, boot_number, keys[i].number,
            keys[i].variant, keys[i].blob);
        rafsi_disk_close(blob);
    }
    check_document(cache, ops);
    rafs_cache_close(cache);
}

static void cut(size_t ops, enum cut_luck luck, uint64_t seed, const bool *must)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, left, O_RDONLY | O_DIRECTORY);

    NEED(fd >= 0);
    empty(left);
    NEED(chmod(left, 0700) == 0);
    cuts_replay(&cuts, ops, luck, seed, fd);
    close(fd);
    states++;
    check_left(ops, luck, seed, must);
}

/* All of a life, cut after every operation. */
static void cut_everywhere(void)
{
    unsigned orders = getenv("RAFS_TEST_FULL") ? 300 : 10;
    const bool *must = NULL;
    bool untold = false;

    states = 0;
    rafs_cache_close(a);
    rafs_cache_close(b);
    recording = false;
    for (size_t ops = 0; ops <= cuts.count; ops++) {
        const struct cut_op *last = ops > 0 ? &cuts.ops[ops - 1] : NULL;

        if (last && last->kind == CUT_MARK)
            must = marks[last->at];
        if (last && (last->kind == CUT_MARK || last->kind == CUT_SYNC_LOST))
            untold = last->kind == CUT_SYNC_LOST;
        boot_number = 1;
        cut(ops, CUT_EVERYTHING, 0, must);
        /* The kernel tells of a lost write once, to those who had the file open then.
         * Until the record of it is on disk, others cannot know. */
        if (untold)
            continue;
        cut(ops, CUT_DROPPED, 0, must);
        boot_number = 2;
        cut(ops, CUT_NOTHING, 0, must);
        cut(ops, CUT_EVERYTHING, 0, must);
        for (uint64_t seed = 1; seed <= orders; seed++)
            cut(ops, CUT_SOME, ops * 1000 + seed, must);
    }
    printf("%zu operations, %zu states of the disk\n", cuts.count, states);
}

static void (*const lives[])(void) = {two_writers, replaced,  evicted, vanished,
                                      failed_sync, documents, cloned};

START_TEST(what_a_power_cut_leaves_never_claims_what_is_not_there)
{
    lives[_i]();
    cut_everywhere();
}
END_TEST

START_TEST(one_life_after_the_other)
{
    for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++)
        lives[i]();
    cut_everywhere();
}
END_TEST

static void evict_and_begin_anew(void)
{
    evict_all(b);
    other_one = open_blob(b, "two");
    put(other_one, "two", 1, 0);
}

START_TEST(who_evicts_too_late_deletes_nothing_of_those_who_began_anew)
{
    struct rafsi_disk_blob *two = open_blob(a, "two");

    recording = false;
    put(two, "two", 0, 0);
    rafsi_disk_close(two);
    after_open = evict_and_begin_anew;
    evict_all(a);
    ck_assert(after_open == NULL);
    two = open_blob(a, "two");
    ck_assert_int_eq(claimed(two, &keys[key_of("two", 1, 0)]), 1);
    ck_assert_int_eq(claimed(two, &keys[key_of("two", 0, 0)]), 0);
    rafsi_disk_close(two);
    rafsi_disk_close(other_one);
    rafs_cache_close(a);
    rafs_cache_close(b);
}
END_TEST

static void pin_it(void)
{
    NEED(rafs_cache_pin(b, "two", NULL) == RAFS_OK);
}

START_TEST(a_pin_holds_from_the_moment_that_it_is_there)
{
    struct rafsi_disk_blob *two = open_blob(a, "two");

    recording = false;
    put(two, "two", 0, 0);
    rafsi_disk_close(two);
    after_open = pin_it;
    evict_all(a);
    ck_assert(after_open == NULL);
    two = open_blob(a, "two");
    ck_assert_int_eq(claimed(two, &keys[key_of("two", 0, 0)]), 1);
    rafsi_disk_close(two);
    rafs_cache_close(a);
    rafs_cache_close(b);
}
END_TEST

/* Nobody looked at the blocks that are shared; the right bytes were at hand. */
START_TEST(rotten_blocks_are_not_cloned)
{
    struct rafsi_disk_blob *five = open_blob(a, "five"), *six = open_blob(a, "six");

    recording = false;
    clones_work = true;
    put(five, "five", 100, 0);
    NEED(pwrite(five->data, "x", 1, 100 * 8192 + 4095) == 1);
    put(six, "six", 100, 0);
    ck_assert_uint_eq(clones, 1);
    ck_assert_int_eq(claimed(six, &keys[key_of("six", 100, 0)]), 1);
    rafsi_disk_close(six);
    rafsi_disk_close(five);
    rafs_cache_close(a);
    rafs_cache_close(b);
}
END_TEST

/* The proof can fail: where a sync lies, chunks are lost and others are claimed. */
START_TEST(a_disk_that_lies_about_its_syncs_is_found_out)
{
    size_t wrong = 0;

    two_writers();
    rafs_cache_close(a);
    rafs_cache_close(b);
    recording = false;
    for (size_t i = 0; i < cuts.count; i++) {
        struct cut_op *op = &cuts.ops[i];

        if (op->kind == CUT_WRITE && op->len == SIZE)
            memset(op->bytes, 0, SIZE); /* data never arrive */
    }
    boot_number = 2;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, left, O_RDONLY | O_DIRECTORY);
    NEED(fd >= 0);
    cuts_replay(&cuts, cuts.count, CUT_EVERYTHING, 0, fd);
    close(fd);
    NEED(rafs_cache_open(left, NULL, &a, NULL) == RAFS_OK);
    for (size_t i = 0; i < key_count; i++) {
        struct rafsi_disk_blob *blob = open_blob(a, keys[i].blob);

        wrong += claimed(blob, &keys[i]) < 0;
        rafsi_disk_close(blob);
    }
    rafs_cache_close(a);
    ck_assert_uint_ge(wrong, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache");
    TCase *tcase = tcase_create("powercut");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, getenv("RAFS_TEST_FULL") ? 7200 : 100);
    tcase_add_loop_test(tcase, what_a_power_cut_leaves_never_claims_what_is_not_there, 0,
                        sizeof(lives) / sizeof(lives[0]));
    tcase_add_test(tcase, a_disk_that_lies_about_its_syncs_is_found_out);
    tcase_add_test(tcase, rotten_blocks_are_not_cloned);
    tcase_add_test(tcase, a_pin_holds_from_the_moment_that_it_is_there);
    tcase_add_test(tcase, who_evicts_too_late_deletes_nothing_of_those_who_began_anew);
    if (getenv("RAFS_TEST_FULL"))
        tcase_add_test(tcase, one_life_after_the_other);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
