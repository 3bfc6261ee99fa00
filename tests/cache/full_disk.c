/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cache that cannot be written: real file systems that are full, and every write that
 * fails or falls short with every error. Reading goes on with the right bytes, there is
 * one warning, and the cache is used again when it can be. RAFS_TEST_FULL: 10^5 reads.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"
#include "throng.h"

static char dir[64], cache_dir[80];
static struct throng throng;
static uint64_t clock_ns;
static int warnings;
static rafs_env env;

/* --- writes that fail ------------------------------------------------------------------
 */

static int fail_errno;     /* 0: none; -1: half of it is written */
static unsigned fail_from; /* the n-th write of the cache, and all after it */
static unsigned writes;

/* Only the files of a cache. */
static bool fails(int fd)
{
    char link[64], path[256] = "";

    if (fail_errno == 0)
        return false;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof(path) - 1) < 0 || !strstr(path, cache_dir))
        return false;
    return ++writes >= fail_from;
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at);
ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    if (fails(fd)) {
        if (fail_errno < 0 && len > 1)
            return syscall(SYS_pwrite64, fd, bytes, len / 2, at);
        errno = fail_errno < 0 ? ENOSPC : fail_errno;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    if (fails(fd)) {
        if (fail_errno < 0 && len > 1)
            return syscall(SYS_write, fd, bytes, len / 2);
        errno = fail_errno < 0 ? ENOSPC : fail_errno;
        return -1;
    }
    return syscall(SYS_write, fd, bytes, len);
}

int fdatasync(int fd)
{
    if (fails(fd)) {
        errno = fail_errno < 0 ? ENOSPC : fail_errno;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* ---------------------------------------------------------------------------------------
 */

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

static void set_up(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(dir, sizeof(dir), "%s/rafs-full-XXXXXX", base && *base ? base : "/tmp");
    NEED(mkdtemp(dir) != NULL);
    snprintf(cache_dir, sizeof(cache_dir), "%s/cache", dir);
    throng_init(&throng, "v6-chunk64k");
    rafs_env_init(&env);
    env.now_ns = now_ns;
    env.log = count_log;
    clock_ns = 1;
    warnings = 0;
    fail_errno = 0;
}

static void tear_down(void)
{
    char mounted[80];

    throng_drop(&throng);
    snprintf(mounted, sizeof(mounted), "%s/cache", dir);
    (void)umount2(mounted, MNT_DETACH);
    scratch_remove(dir);
}

static struct throng_plan plan(void)
{
    return (struct throng_plan){
        .cache_dir = cache_dir, .env = &env, .slot = 1, .merge_bytes = 1, .passes = 1};
}

static void check_right(const char *when, unsigned number)
{
    ck_assert_msg(throng.counts->wrong == 0 && throng.counts->refused == 0,
                  "%s %u: %u wrong, %u refused", when, number, throng.counts->wrong,
                  throng.counts->refused);
}

/* All of it, without the source. */
static void check_kept(struct throng_open *open, const char *when, unsigned number)
{
    throng.counts->gone = true;
    throng_compare(open, 1);
    throng.counts->gone = false;
    check_right(when, number);
}

static const struct {
    int os_errno;
    const char *name;
} failures[] = {{ENOSPC, "ENOSPC"}, {EDQUOT, "EDQUOT"}, {EROFS, "EROFS"},
                {EIO, "EIO"},       {-1, "half"},       {EFBIG, "EFBIG"}};

START_TEST(a_write_that_fails_costs_one_warning_and_no_byte)
{
    const char *name = failures[_i].name;
    unsigned step = getenv("RAFS_TEST_FULL") ? 1 : 5, most = 1;

    for (fail_from = 1; fail_from < most + step; fail_from += step) {
        struct throng_plan how = plan();
        struct throng_open open;

        scratch_remove(cache_dir);
        warnings = 0;
        throng_open(&throng, &how, &open);
        writes = 0;
        fail_errno = failures[_i].os_errno;
        throng_compare(&open, fail_from);
        throng_compare(&open, fail_from + 1);
        check_right(name, fail_from);
        ck_assert_msg(warnings == (writes >= fail_from), "%s %u: %d warnings", name,
                      fail_from, warnings);
        if (fail_from == 1)
            most = (unsigned)throng.counts->chunks * 2 + 2;
        fail_errno = 0;
        clock_ns += (uint64_t)31 * 1000000000;
        throng_compare(&open, 1);
        check_kept(&open, name, fail_from);
        ck_assert_int_le(warnings, 1);
        throng_close(&open);
        /* Nor did it leave something that the next one believes. */
        throng_open(&throng, &how, &open);
        check_kept(&open, name, fail_from);
        throng_close(&open);
    }
}
END_TEST

START_TEST(a_sync_that_fails_makes_nothing_durable_and_no_wrong_byte)
{
    struct throng_plan how = plan();
    struct throng_open open;

    throng_open(&throng, &how, &open);
    throng_compare(&open, 1);
    writes = 0;
    fail_from = 1;
    fail_errno = EIO;
    throng_close(&open); /* syncs */
    ck_assert_uint_ge(writes, 1);
    fail_errno = 0;
    throng_open(&throng, &how, &open);
    throng_compare(&open, 1);
    check_kept(&open, "sync", 0);
    throng_close(&open);
}
END_TEST

/* --- real file systems -----------------------------------------------------------------
 */

static bool run(const char *command)
{
    int status = system(command);

    return status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static const struct disk {
    const char *name, *make; /* NULL: tmpfs */
    const char *options;
} disks[] = {
    {"tmpfs", NULL, "size=8m,mode=0700"},
    {"ext4", "truncate -s 8M %s && mkfs.ext4 -q -F %s", "loop"},
    {"btrfs", "truncate -s 120M %s && mkfs.btrfs -q %s >/dev/null", "loop"},
    {"xfs", "truncate -s 310M %s && mkfs.xfs -q -m reflink=1 %s", "loop"},
};

/* In a name space of its own, so that it is gone with the test. */
static bool mount_disk(const struct disk *disk)
{
    char image[100], command[300];

    snprintf(image, sizeof(image), "%s/image", dir);
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        printf("SKIP %s: mounting is not allowed\n", disk->name);
        return false;
    }
    NEED(mkdir(cache_dir, 0700) == 0);
    if (disk->make) {
        snprintf(command, sizeof(command), disk->make, image, image);
        if (!run(command)) {
            printf("SKIP %s: mkfs is not installed or failed\n", disk->name);
            return false;
        }
    }
    snprintf(command, sizeof(command), "mount -t %s -o %s %s %s 2>/dev/null", disk->name,
             disk->options, disk->make ? image : "none", cache_dir);
    if (!run(command) || chmod(cache_dir, 0700) != 0) {
        printf("SKIP %s: it cannot be mounted\n", disk->name);
        return false;
    }
    snprintf(cache_dir + strlen(cache_dir), 8, "/c");
    return true;
}

/* Leave so many bytes, in a file of its own. */
static void leave_free(const char *filler, size_t bytes)
{
    static char zeros[4096];
    int fd = open(filler, O_WRONLY | O_CREAT | O_APPEND, 0600);
    off_t size;

    NEED(fd >= 0);
    for (size_t unit = sizeof(zeros); unit > 0; unit /= 2) {
        while (syscall(SYS_write, fd, zeros, unit) == (ssize_t)unit)
            ;
        (void)fsync(fd);
    }
    size = lseek(fd, 0, SEEK_END);
    NEED(ftruncate(fd, size > (off_t)bytes ? size - (off_t)bytes : 0) == 0);
    (void)fsync(fd);
    close(fd);
}

static void read_many(struct throng_open *open)
{
    unsigned wanted = getenv("RAFS_TEST_FULL") ? 100000 : 2000;

    for (uint64_t seed = 1; throng.counts->right < wanted; seed++)
        throng_compare(open, seed);
}

START_TEST(a_full_disk_is_no_error_and_is_used_again_when_it_has_room)
{
    struct throng_plan how = plan();
    struct throng_open open;
    char filler[100];

    if (!mount_disk(&disks[_i]))
        return;
    snprintf(filler, sizeof(filler), "%.*s/filler", (int)strlen(cache_dir) - 2,
             cache_dir);
    throng_open(&throng, &how, &open);
    leave_free(filler, 200000);
    read_many(&open);
    check_right(disks[_i].name, 0);
    ck_assert_int_eq(warnings, 1);
    clock_ns += (uint64_t)31 * 1000000000; /* still full */
    throng_compare(&open, 1);
    check_right(disks[_i].name, 1);
    ck_assert_int_eq(warnings, 1);
    NEED(unlink(filler) == 0);
    sync();
    clock_ns += (uint64_t)31 * 1000000000;
    throng_compare(&open, 1);
    check_kept(&open, disks[_i].name, 2);
    ck_assert_int_eq(warnings, 1);
    throng_close(&open);
}
END_TEST

START_TEST(a_disk_that_is_full_at_any_point_is_no_error)
{
    struct throng_plan how = plan();
    char filler[100];

    if (!mount_disk(&disks[_i]))
        return;
    snprintf(filler, sizeof(filler), "%.*s/filler", (int)strlen(cache_dir) - 2,
             cache_dir);
    for (size_t bytes = 0; bytes <= 40 * 4096; bytes += 5 * 4096) {
        struct throng_open open;

        warnings = 0;
        throng_open(&throng, &how, &open);
        leave_free(filler, bytes);
        throng_compare(&open, bytes);
        check_right(disks[_i].name, (unsigned)bytes);
        throng_close(&open);
        ck_assert_int_le(warnings, 1);
        NEED(unlink(filler) == 0);
        scratch_remove(cache_dir);
        sync();
    }
}
END_TEST

/* How many extents of a file are shared with others, of how many. */
static unsigned shared_extents(const char *path, unsigned *all)
{
    enum { EXTENTS = 200 };
    size_t size = sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent);
    struct fiemap *map = calloc(1, size);
    int fd = open(path, O_RDONLY);
    unsigned shared = 0;

    NEED(map && fd >= 0);
    map->fm_length = ~0ull;
    map->fm_flags = FIEMAP_FLAG_SYNC;
    map->fm_extent_count = EXTENTS;
    NEED(ioctl(fd, FS_IOC_FIEMAP, map) == 0);
    *all = map->fm_mapped_extents;
    for (unsigned i = 0; i < *all; i++)
        shared += (map->fm_extents[i].fe_flags & FIEMAP_EXTENT_SHARED) != 0;
    close(fd);
    free(map);
    return shared;
}

/* The same chunks in two blobs take the space of one, where the file system can. */
START_TEST(blobs_share_blocks_where_the_file_system_can)
{
    struct throng_plan how = plan();
    struct throng first, second;
    struct throng_open open;
    char path[300];
    unsigned all;

    if (!mount_disk(&disks[2 + _i]))
        return;
    throng_init(&first, "v6-zstd");
    throng_init(&second, "v6-targz");
    throng_open(&first, &how, &open);
    throng_compare(&open, 1);
    throng_close(&open);
    throng_open(&second, &how, &open);
    throng_compare(&open, 1);
    second.counts->gone = true;
    throng_compare(&open, 2);
    throng_close(&open);
    ck_assert_uint_eq(first.counts->wrong + first.counts->refused, 0);
    ck_assert_uint_eq(second.counts->wrong + second.counts->refused, 0);
    snprintf(path, sizeof(path), "%s/%s.blob.data", cache_dir, second.golden.blob_id[0]);
    ck_assert_uint_ge(shared_extents(path, &all), 3);
    throng_drop(&second);
    throng_drop(&first);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache");
    TCase *tcase = tcase_create("full_disk");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, getenv("RAFS_TEST_FULL") ? 7200 : 100);
    tcase_add_loop_test(tcase, a_write_that_fails_costs_one_warning_and_no_byte, 0,
                        sizeof(failures) / sizeof(failures[0]));
    tcase_add_test(tcase, a_sync_that_fails_makes_nothing_durable_and_no_wrong_byte);
    tcase_add_loop_test(tcase, a_full_disk_is_no_error_and_is_used_again_when_it_has_room,
                        0, 4);
    tcase_add_loop_test(tcase, a_disk_that_is_full_at_any_point_is_no_error, 0, 2);
    tcase_add_loop_test(tcase, blobs_share_blocks_where_the_file_system_can, 0, 2);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
