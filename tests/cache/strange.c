/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cache directory that holds strange things: links, pipes, directories, files of
 * others, garbage. Reading gives the right bytes, nothing outside is touched, and what is
 * refused is refused before a file is made.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"
#include "throng.h"

static char dir[64], cache_dir[80];
static struct throng throng;

static void set_up(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(dir, sizeof(dir), "%s/rafs-strange-XXXXXX", base && *base ? base : "/tmp");
    NEED(mkdtemp(dir) != NULL);
    snprintf(cache_dir, sizeof(cache_dir), "%s/cache", dir);
    throng_init(&throng, "v6-chunk64k");
}

static void tear_down(void)
{
    throng_drop(&throng);
    scratch_remove(dir);
}

static struct throng_plan plan(void)
{
    return (struct throng_plan){
        .cache_dir = cache_dir, .slot = 1, .merge_bytes = 1, .passes = 1};
}

static const char *in(const char *folder, const char *name)
{
    static char path[400];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static const char *cached(const char *suffix)
{
    static char path[400];

    snprintf(path, sizeof(path), "%s/%s%s", cache_dir,
             suffix[0] == '.' ? throng.golden.blob_id[0] : "", suffix);
    return path;
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    NEED(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static bool untouched(const char *path, const char *text)
{
    char have[64] = "";
    int fd = open(path, O_RDONLY);
    ssize_t got = read(fd, have, sizeof(have) - 1);

    close(fd);
    return got == (ssize_t)strlen(text) && strcmp(have, text) == 0;
}

static const char victim_text[] = "somebody's letter";

static void make_link(const char *path)
{
    NEED(symlink(in(dir, "victim"), path) == 0);
}

static void make_dangling(const char *path)
{
    NEED(symlink(in(dir, "nowhere"), path) == 0);
}

static void make_pipe(const char *path)
{
    NEED(mkfifo(path, 0600) == 0);
}

static void make_folder(const char *path)
{
    NEED(mkdir(path, 0700) == 0);
}

static void make_foreign(const char *path)
{
    write_file(path, "");
    if (geteuid() == 0)
        NEED(chown(path, 12345, 12345) == 0);
    else
        NEED(chmod(path, 0622) == 0);
}

static void make_open_to_all(const char *path)
{
    write_file(path, "");
    NEED(chmod(path, 0666) == 0);
}

static void make_garbage(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    uint64_t seed = 1;

    for (int i = 0; i < 40000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        NEED(write(fd, &seed, sizeof(seed)) == sizeof(seed));
    }
    close(fd);
}

static void make_hole(const char *path)
{
    write_file(path, "");
    NEED(truncate(path, 64 << 20) == 0);
}

enum { KEPT = 1, READ_ONLY_FROM_SOURCE = 0, REFUSED = -1 };

/* What lies at a place before a cache is used, and what becomes of it. */
static const struct {
    const char *at; /* a suffix of the blob's files, or a name */
    void (*make)(const char *path);
    int outcome;
} strange[] = {
    {".blob.data", make_link, READ_ONLY_FROM_SOURCE},
    {".blob.data", make_dangling, READ_ONLY_FROM_SOURCE},
    {".blob.data", make_pipe, READ_ONLY_FROM_SOURCE},
    {".blob.data", make_folder, READ_ONLY_FROM_SOURCE},
    {".blob.data", make_foreign, READ_ONLY_FROM_SOURCE},
    {".blob.data", make_open_to_all, READ_ONLY_FROM_SOURCE},
    {".blob.data", make_garbage, KEPT},
    {".blob.data", make_hole, KEPT},
    {".ready", make_link, READ_ONLY_FROM_SOURCE},
    {".ready", make_dangling, READ_ONLY_FROM_SOURCE},
    {".ready", make_pipe, READ_ONLY_FROM_SOURCE},
    {".ready", make_folder, READ_ONLY_FROM_SOURCE},
    {".ready", make_foreign, READ_ONLY_FROM_SOURCE},
    {".ready", make_open_to_all, READ_ONLY_FROM_SOURCE},
    {".ready", make_garbage, KEPT},
    {".ready", make_hole, KEPT},
    {".pin", make_link, KEPT},
    {"version", make_link, KEPT},
    {"version", make_pipe, KEPT},
    {"version", make_garbage, KEPT},
    {"version", make_folder, REFUSED},
    {"CACHEDIR.TAG", make_link, KEPT},
    {"lock", make_link, REFUSED},
    {"lock", make_pipe, REFUSED},
    {"lock", make_folder, REFUSED},
    {"lock", make_foreign, REFUSED},
    {"tmp-0123456789abcdef", make_folder, KEPT},
    {"other.ready", make_pipe, KEPT},
    {"other.ready", make_garbage, KEPT},
    {"other.blob.data", make_folder, KEPT},
    {"boot-00.doc", make_link, KEPT},
};

/* Look after it, as a program would; nothing here may fail, or wait. */
static void look_after(rafs_cache *cache)
{
    rafs_cache_gc_options all = RAFS_CACHE_GC_OPTIONS_INIT;

    all.quota_bytes = 1;
    NEED(rafs_cache_scrub(cache, NULL, NULL, NULL, NULL) == RAFS_OK);
    NEED(rafs_cache_gc(cache, &all, NULL, NULL) == RAFS_OK);
}

START_TEST(strange_files_are_not_used_and_lead_nowhere)
{
    struct throng_plan how = plan();
    struct throng_open open;
    rafs_cache *cache = NULL;

    write_file(in(dir, "victim"), victim_text);
    /* A cache, so that only this thing is strange; but one without its version. */
    NEED(rafs_cache_open(cache_dir, NULL, &cache, NULL) == RAFS_OK);
    rafs_cache_close(cache);
    cache = NULL;
    if (strcmp(strange[_i].at, "version") == 0 || strcmp(strange[_i].at, "lock") == 0 ||
        strcmp(strange[_i].at, "CACHEDIR.TAG") == 0)
        NEED(unlink(cached(strange[_i].at)) == 0);
    strange[_i].make(cached(strange[_i].at));
    if (strange[_i].outcome == REFUSED) {
        rafs_error err = RAFS_ERROR_INIT;

        ck_assert_int_lt(rafs_cache_open(cache_dir, NULL, &cache, &err), 0);
        ck_assert_ptr_null(cache);
        ck_assert_int_ne(err.os_errno, 0);
        ck_assert(untouched(in(dir, "victim"), victim_text));
        return;
    }
    throng_open(&throng, &how, &open);
    throng_compare(&open, 1);
    throng.counts->gone = strange[_i].outcome == KEPT;
    throng_compare(&open, 2);
    look_after(open.cache);
    throng_close(&open);
    ck_assert_msg(throng.counts->wrong == 0 && throng.counts->refused == 0,
                  "%u wrong, %u refused", throng.counts->wrong, throng.counts->refused);
    ck_assert(strange[_i].outcome == KEPT || throng_least(&throng) >= 2);
    ck_assert(untouched(in(dir, "victim"), victim_text));
    ck_assert_int_ne(access(in(dir, "nowhere"), F_OK), 0);
}
END_TEST

/* Files of somebody in a cache stay where they are, whatever happens to the cache. */
START_TEST(what_is_not_of_the_cache_is_never_deleted)
{
    static const char *const names[] = {"letter",       ".hidden",      "x.doc.txt",
                                        "version.orig", "tmp",          "blob.data",
                                        "a.ready~",     "lost.blob.dat"};
    rafs_error err = RAFS_ERROR_INIT;
    rafs_cache *cache = NULL;

    NEED(rafs_cache_open(cache_dir, NULL, &cache, NULL) == RAFS_OK);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        write_file(in(cache_dir, names[i]), victim_text);
    look_after(cache);
    rafs_cache_close(cache);
    cache = NULL;
    write_file(in(cache_dir, "version"), "librafs cache 0\n");
    ck_assert_int_eq(rafs_cache_open(cache_dir, NULL, &cache, &err), RAFS_E_BADARG);
    ck_assert_int_eq(err.os_errno, ENOTEMPTY);
    ck_assert_ptr_null(cache);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert(untouched(in(cache_dir, names[i]), victim_text));
}
END_TEST

static bool leaks_into_programs(void)
{
    char command[200];
    int status;

    snprintf(command, sizeof(command), "ls -l /proc/self/fd | grep -q %s", cache_dir);
    status = system(command);
    return status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A child that does not use it takes nothing away, and programs inherit nothing. */
START_TEST(a_fork_breaks_no_lease)
{
    rafs_cache_gc_options all = RAFS_CACHE_GC_OPTIONS_INIT;
    rafs_cache_gc_result result = RAFS_CACHE_GC_RESULT_INIT;
    struct throng_plan how = plan();
    struct throng_open open;
    rafs_cache *other;
    pid_t pid;

    throng_open(&throng, &how, &open);
    throng_compare(&open, 1);
    pid = fork();
    NEED(pid >= 0);
    if (pid == 0)
        _exit(0);
    throng_join(pid);
    ck_assert(!leaks_into_programs());
    all.quota_bytes = 1;
    NEED(rafs_cache_open(cache_dir, NULL, &other, NULL) == RAFS_OK);
    NEED(rafs_cache_gc(other, &all, &result, NULL) == RAFS_OK);
    rafs_cache_close(other);
    ck_assert_uint_eq(result.evicted, 0);
    throng.counts->gone = true;
    throng_compare(&open, 2);
    throng_close(&open);
    ck_assert_uint_eq(throng.counts->wrong + throng.counts->refused, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache");
    TCase *tcase = tcase_create("strange");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 100);
    tcase_add_loop_test(tcase, strange_files_are_not_used_and_lead_nowhere, 0,
                        sizeof(strange) / sizeof(strange[0]));
    tcase_add_test(tcase, what_is_not_of_the_cache_is_never_deleted);
    tcase_add_test(tcase, a_fork_breaks_no_lease);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
