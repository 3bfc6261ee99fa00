/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that a kernel reads stays where it is and keeps what was filled, whatever
 * other users of the cache do; and what cannot be kept is an error, not a promise.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"
#include "v6_content.h"

#include "rafs/rafs.h"
#include "script.h"

enum { FILES = 8, CHUNKS = 2, CHUNK = 16 << 10, BLOB = FILES * CHUNKS * CHUNK };

static struct content content;
static struct script script;
static struct watch watch;
static rafs_backend *backend;
static rafs_cache *cache;
static rafs_image *image;
static char dir[64], cache_dir[80];
static int32_t device;

/* ---- writes that fail ------------------------------------------------------------ */

static int fail_errno; /* 0: none */

static bool fails(int fd)
{
    char link[64], path[256] = "";

    if (fail_errno == 0)
        return false;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return readlink(link, path, sizeof(path) - 1) > 0 && strstr(path, cache_dir);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at);
ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    if (!fails(fd))
        return syscall(SYS_pwrite64, fd, bytes, len, at);
    if (len > 4096) /* half of it is written */
        return syscall(SYS_pwrite64, fd, bytes, 4096, at);
    errno = fail_errno;
    return -1;
}

/* ---------------------------------------------------------------------------------- */

static int image_open(const struct content *from, rafs_cache *in, rafs_image **out)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;

    options.env = &watch.env;
    options.backends = &backend;
    options.backend_count = 1;
    options.cache = in;
    return rafs_image_open_memory(from->boot.at, from->boot.len, &options, out, NULL,
                                  NULL);
}

static void open_all(const rafs_cache_options *options)
{
    uint64_t size;

    ck_assert_int_eq(rafs_cache_open(cache_dir, options, &cache, NULL), RAFS_OK);
    ck_assert_int_eq(image_open(&content, cache, &image), RAFS_OK);
    ck_assert_int_eq(rafs_image_fill_file(image, 0, &device, &size, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(size, BLOB);
}

static void close_all(void)
{
    rafs_image_close(image);
    rafs_cache_close(cache);
    image = NULL;
    cache = NULL;
    if (device >= 0)
        close(device);
    device = -1;
}

static void set_up(void)
{
    content_make(&content, FILES, CHUNKS, CHUNK);
    watch_init(&watch);
    script_init(&script, &content.blob, NULL, 1, &watch);
    backend = script_backend(&script, &watch.env);
    snprintf(dir, sizeof(dir), "/tmp/rafs-held-XXXXXX");
    NEED(mkdtemp(dir));
    snprintf(cache_dir, sizeof(cache_dir), "%s/cache", dir);
    fail_errno = 0;
    device = -1;
    open_all(NULL);
}

static void tear_down(void)
{
    close_all();
    rafs_backend_free(backend);
    content_drop(&content);
    ck_assert_uint_eq(atomic_load(&watch.live), 0);
    scratch_remove(dir);
}

static int fill(uint64_t offset, uint64_t len, rafs_error *err)
{
    return rafs_image_fill(image, 0, offset, len, NULL, NULL, err);
}

/* Bytes [at, at + len) of the device are the blob's. */
static bool is_right(int fd, uint64_t at, size_t len)
{
    uint8_t *have = malloc(len);
    bool right;

    NEED(have);
    right = pread(fd, have, len, (off_t)at) == (ssize_t)len &&
            memcmp(have, content.blob.at + at, len) == 0;
    free(have);
    return right;
}

static uint64_t inode_of(int fd)
{
    struct stat st;

    NEED(fstat(fd, &st) == 0);
    return st.st_ino;
}

static const char *cached(const char *suffix)
{
    static char path[200];
    rafs_blob_info info = {.struct_size = sizeof(info)};

    NEED(rafs_image_get_blob(image, 0, &info, NULL) == RAFS_OK);
    snprintf(path, sizeof(path), "%s/%.70s%s", cache_dir, info.id, suffix);
    return path;
}

static uint64_t evict_all(void)
{
    rafs_cache_gc_options options = RAFS_CACHE_GC_OPTIONS_INIT;
    rafs_cache_gc_result result = RAFS_CACHE_GC_RESULT_INIT;
    rafs_cache *other;

    options.quota_bytes = 1;
    NEED(rafs_cache_open(cache_dir, NULL, &other, NULL) == RAFS_OK);
    NEED(rafs_cache_gc(other, &options, &result, NULL) == RAFS_OK);
    rafs_cache_close(other);
    return result.evicted;
}

/* A process that has nothing of ours but the descriptor, like one that keeps a mount. */
static pid_t start_holder(void)
{
    pid_t pid = fork();

    NEED(pid >= 0);
    if (pid == 0) {
        for (int fd = 3; fd < 256; fd++)
            if (fd != device)
                close(fd);
        for (;;)
            pause();
    }
    return pid;
}

static void end_holder(pid_t pid)
{
    NEED(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

START_TEST(who_has_the_descriptor_keeps_the_file)
{
    uint64_t inode = inode_of(device);
    struct stat st;
    char path[200];
    pid_t holder;

    ck_assert_int_eq(fill(0, BLOB, NULL), RAFS_OK);
    snprintf(path, sizeof(path), "%s", cached(".blob.data"));
    holder = start_holder();
    close_all();
    ck_assert_uint_eq(evict_all(), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_ino, inode);
    open_all(NULL);
    ck_assert_uint_eq(inode_of(device), inode);
    ck_assert(is_right(device, 0, BLOB));
    close_all();
    end_holder(holder);
    ck_assert_uint_ge(evict_all(), 1);
    ck_assert_int_ne(stat(path, &st), 0);
}
END_TEST

static void write_text(const char *name, const char *text)
{
    char path[200];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", cache_dir, name);
    fd = open(path, O_WRONLY | O_TRUNC);
    NEED(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

START_TEST(a_cache_that_would_be_emptied_is_not_while_a_mount_uses_it)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_cache *other = NULL;
    pid_t holder;

    ck_assert_int_eq(fill(0, BLOB, NULL), RAFS_OK);
    holder = start_holder();
    close_all();
    write_text("version", "librafs cache 99\n");
    ck_assert_int_eq(rafs_cache_open(cache_dir, NULL, &other, &err), RAFS_E_BACKEND);
    ck_assert_int_eq(err.os_errno, EBUSY);
    ck_assert_ptr_nonnull(strstr(err.text, "mount"));
    end_holder(holder);
    ck_assert_int_eq(rafs_cache_open(cache_dir, NULL, &other, NULL), RAFS_OK);
    rafs_cache_close(other);
    open_all(NULL);
    ck_assert_int_eq(fill(0, BLOB, NULL), RAFS_OK);
    ck_assert(is_right(device, 0, BLOB));
}
END_TEST

START_TEST(it_is_said_to_be_in_use)
{
    rafs_cache_gc_options options = RAFS_CACHE_GC_OPTIONS_INIT;
    rafs_cache_gc_result result = RAFS_CACHE_GC_RESULT_INIT;
    pid_t holder;

    ck_assert_int_eq(fill(0, BLOB, NULL), RAFS_OK);
    holder = start_holder();
    close_all();
    options.quota_bytes = 1;
    options.flags = RAFS_CACHE_GC_DRY_RUN;
    NEED(rafs_cache_open(cache_dir, NULL, &cache, NULL) == RAFS_OK);
    ck_assert_int_eq(rafs_cache_gc(cache, &options, &result, NULL), RAFS_OK);
    ck_assert_uint_eq(result.evicted, 0);
    end_holder(holder);
    ck_assert_int_eq(rafs_cache_gc(cache, &options, &result, NULL), RAFS_OK);
    ck_assert_uint_eq(result.evicted, 1);
}
END_TEST

enum { JOURNALS = 3 }; /* empty, garbage, half */

START_TEST(a_damaged_journal_costs_time_and_keeps_the_file)
{
    uint64_t inode = inode_of(device);
    size_t reads;
    int fd;

    ck_assert_int_eq(fill(0, BLOB, NULL), RAFS_OK);
    fd = open(cached(".ready"), O_RDWR);
    NEED(fd >= 0);
    close_all();
    if (_i == 0) {
        NEED(ftruncate(fd, 0) == 0);
    } else if (_i == 1) {
        for (off_t at = 0; at < 4096; at += 8)
            NEED(pwrite(fd, "garbage!", 8, at) == 8);
    } else {
        struct stat st;

        NEED(fstat(fd, &st) == 0 && ftruncate(fd, st.st_size / 2) == 0);
    }
    close(fd);
    open_all(NULL);
    ck_assert_uint_eq(inode_of(device), inode);
    reads = atomic_load(&script.reads);
    ck_assert_int_eq(fill(0, BLOB, NULL), RAFS_OK);
    ck_assert_uint_gt(atomic_load(&script.reads), reads);
    ck_assert(is_right(device, 0, BLOB));
}
END_TEST

START_TEST(a_scrub_changes_nothing_that_is_good)
{
    rafs_cache_scrub_result result = RAFS_CACHE_SCRUB_RESULT_INIT;
    rafs_cache *other;

    ck_assert_int_eq(fill(0, BLOB / 2, NULL), RAFS_OK);
    NEED(rafs_cache_open(cache_dir, NULL, &other, NULL) == RAFS_OK);
    ck_assert_int_eq(rafs_cache_scrub(other, NULL, &result, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(result.bad_chunks, 0);
    ck_assert_uint_eq(result.chunks, FILES * CHUNKS / 2);
    rafs_cache_close(other);
    ck_assert(is_right(device, 0, BLOB / 2));
    ck_assert_int_eq(fill(0, BLOB, NULL), RAFS_OK);
    ck_assert(is_right(device, 0, BLOB));
}
END_TEST

/* The one who filled goes on with the file that the kernel reads; the next one is told.
 */
START_TEST(a_file_that_somebody_deleted_is_noticed)
{
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t size = 0, inode = inode_of(device);
    int32_t fd = -1, kept = device;

    ck_assert_int_eq(fill(0, CHUNK, NULL), RAFS_OK);
    NEED(unlink(cached(".blob.data")) == 0);
    ck_assert_int_eq(rafs_image_fill_file(image, 0, &fd, &size, NULL, &err),
                     RAFS_E_BACKEND);
    ck_assert_int_eq(err.os_errno, ESTALE);
    ck_assert_int_eq(fill(0, BLOB, NULL), RAFS_OK);
    ck_assert(is_right(kept, 0, BLOB));
    device = -1;
    close_all();
    open_all(NULL);
    ck_assert_uint_ne(inode_of(device), inode);
    ck_assert_int_eq(fill(0, BLOB, NULL), RAFS_OK);
    ck_assert(is_right(device, 0, BLOB));
    close(kept);
}
END_TEST

START_TEST(a_full_disk_is_an_error_each_time_until_there_is_room)
{
    static const int codes[] = {ENOSPC, EDQUOT, EROFS, EIO};
    rafs_error err = RAFS_ERROR_INIT;

    fail_errno = codes[_i];
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(fill(0, BLOB, &err), RAFS_E_BACKEND);
        ck_assert_int_eq(err.os_errno, fail_errno);
    }
    fail_errno = 0; /* the clock stands still: others would wait */
    ck_assert_int_eq(fill(0, BLOB, NULL), RAFS_OK);
    ck_assert(is_right(device, 0, BLOB));
}
END_TEST

START_TEST(what_was_good_stays_when_it_cannot_be_written_anew)
{
    uint8_t byte = (uint8_t)~content.blob.at[0];
    int fd = open(cached(".blob.data"), O_RDWR);

    ck_assert_int_eq(fill(0, BLOB, NULL), RAFS_OK);
    NEED(fd >= 0 && pwrite(fd, &byte, 1, 0) == 1);
    close(fd);
    fail_errno = ENOSPC;
    ck_assert_int_eq(fill(0, CHUNK, NULL), RAFS_E_BACKEND);
    /* No hole was made of what the kernel may be reading. */
    ck_assert(is_right(device, 1, BLOB - 1));
    fail_errno = 0;
    ck_assert_int_eq(fill(0, CHUNK, NULL), RAFS_OK);
    ck_assert(is_right(device, 0, BLOB));
}
END_TEST

START_TEST(a_quota_that_a_mount_takes_alone_is_an_error)
{
    rafs_cache_options options = RAFS_CACHE_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;

    close_all();
    options.quota_bytes = BLOB / 2;
    open_all(&options);
    ck_assert_int_eq(fill(0, BLOB, &err), RAFS_E_BACKEND);
    ck_assert_int_eq(err.os_errno, EDQUOT);
    ck_assert_int_eq(fill(0, CHUNK, NULL), RAFS_OK);
    ck_assert(is_right(device, 0, CHUNK));
}
END_TEST

/* An image that calls other content by the same name. */
START_TEST(first_come_first_kept)
{
    uint64_t good = BLOB - CHUNK;
    rafs_error err = RAFS_ERROR_INIT;
    struct content other;
    rafs_image *second;
    struct bytes blob;

    ck_assert_int_eq(fill(0, good, NULL), RAFS_OK);
    content_make(&other, FILES, CHUNKS, 2 * CHUNK);
    NEED(image_open(&other, cache, &second) == RAFS_OK);
    blob = content.blob;
    content.blob = other.blob; /* what the source has now */
    ck_assert_int_eq(rafs_image_fill(second, 0, 0, CHUNK, NULL, NULL, &err),
                     RAFS_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "another chunk"));
    ck_assert_int_eq(rafs_image_fill(second, 0, BLOB, CHUNK, NULL, NULL, NULL), RAFS_OK);
    content.blob = blob;
    ck_assert(is_right(device, 0, (size_t)good));
    rafs_image_close(second);
    content_drop(&other);
}
END_TEST

static Suite *fill_suite(void)
{
    Suite *suite = suite_create("fill_keep");
    TCase *tests = tcase_create("fill_keep");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, who_has_the_descriptor_keeps_the_file);
    tcase_add_test(tests, a_cache_that_would_be_emptied_is_not_while_a_mount_uses_it);
    tcase_add_test(tests, it_is_said_to_be_in_use);
    tcase_add_loop_test(tests, a_damaged_journal_costs_time_and_keeps_the_file, 0,
                        JOURNALS);
    tcase_add_test(tests, a_scrub_changes_nothing_that_is_good);
    tcase_add_test(tests, a_file_that_somebody_deleted_is_noticed);
    tcase_add_loop_test(tests, a_full_disk_is_an_error_each_time_until_there_is_room, 0,
                        4);
    tcase_add_test(tests, what_was_good_stays_when_it_cannot_be_written_anew);
    tcase_add_test(tests, a_quota_that_a_mount_takes_alone_is_an_error);
    tcase_add_test(tests, first_come_first_kept);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(fill_suite());
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
