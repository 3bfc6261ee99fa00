/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images made to cost much end in an error within two seconds and with at most 64 MiB of
 * memory more than before, whatever is asked of them. The counting allocator says what
 * the library took; without sanitizers the kernel's limit counts the decoders too.
 */
#include "bombs.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "rafs/rafs.h"
#include "reading.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIMIT_DATA 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LIMIT_DATA 0
#endif
#endif
#ifndef LIMIT_DATA
#define LIMIT_DATA 1
#endif

enum { MORE_BYTES_MAX = 64 << 20, SECONDS_MAX = 2, ASKED_CLOSELY = 50 };

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* No more data than now and the allowance; the test runs in a process of its own. */
static void limit_memory(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    unsigned long long data_kib = 0;
    struct rlimit limit;
    char line[256];

    if (!LIMIT_DATA || !file)
        return;
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "VmData: %llu kB", &data_kib) == 1)
            break;
    fclose(file);
    NEED(data_kib > 0);
    limit.rlim_cur = limit.rlim_max = (rlim_t)(data_kib * 1024 + MORE_BYTES_MAX);
    NEED(setrlimit(RLIMIT_DATA, &limit) == 0);
}

struct siege {
    rafs_image *image;
    unsigned errors;
    const char *slowest;
    double slowest_s;
};

static void note(struct siege *siege, int rc, const char *what, double began)
{
    double took = seconds() - began;

    siege->errors += rc < 0;
    ck_assert_int_ne(rc, RAFS_E_BUG);
    ck_assert_int_ne(rc, RAFS_E_NOMEM);
    if (took > siege->slowest_s) {
        siege->slowest_s = took;
        siege->slowest = what;
    }
    ck_assert_msg(took < SECONDS_MAX, "%s took %.1f s", what, took);
}

static void ask_inode(struct siege *siege, uint64_t ino)
{
    static char buf[70000];
    rafs_extent extents[8];
    size_t len;
    double began = seconds();

    note(siege,
         rafs_image_get_path(siege->image, ino, buf, sizeof(buf), &len, NULL, NULL),
         "path of an inode", began);
    began = seconds();
    note(siege, rafs_image_list_xattr(siege->image, ino, buf, sizeof(buf), &len, NULL),
         "attribute names", began);
    began = seconds();
    (void)rafs_image_get_xattr(siege->image, ino, "user.nobody", buf, sizeof(buf), &len,
                               NULL);
    note(siege, 0, "one attribute", began);
    began = seconds();
    (void)rafs_image_get_extents(siege->image, ino, 0, extents, 8, &len, NULL, NULL);
    (void)rafs_image_read(siege->image, ino, 1, sizeof(buf), buf, &len, NULL, NULL);
    note(siege, 0, "content", began);
}

static void ask_walk(struct siege *siege)
{
    const rafs_walk_entry *entry = NULL;
    rafs_walk *walk = NULL;
    double began = seconds();
    unsigned asked = 0;
    int rc = rafs_walk_open(siege->image, "/", 0, &walk, NULL);

    while (walk) {
        rc = rafs_walk_next(walk, &entry, NULL);
        siege->errors += rc < 0;
        if (rc == RAFS_OK && !entry)
            break;
        if (seconds() - began > SECONDS_MAX)
            break;
    }
    note(siege, rc, "walk", began);
    rafs_walk_close(walk);
    walk = NULL;
    /* And once more, asking of the first what there is to ask. */
    NEED(rafs_walk_open(siege->image, "/", 0, &walk, NULL) == RAFS_OK);
    while (asked++ < ASKED_CLOSELY && rafs_walk_next(walk, &entry, NULL) == RAFS_OK &&
           entry)
        ask_inode(siege, entry->ino);
    rafs_walk_close(walk);
}

static void ask_check(struct siege *siege)
{
    rafs_check_options options = RAFS_CHECK_OPTIONS_INIT;
    rafs_check_result result = {.struct_size = sizeof(result)};
    double began = seconds();
    int rc = rafs_image_check(siege->image, &options, &result, NULL, NULL);

    siege->errors += result.corrupt + result.unsupported + result.other > 0;
    note(siege, rc, "check", began);
}

static void besiege(const struct bomb *bomb, struct bytes bytes, struct watch *watch)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    static const uint8_t zeros[1 << 20];
    struct siege siege = {0};
    rafs_backend *backend = NULL;
    rafs_error err = RAFS_ERROR_INIT;
    double began = seconds();
    uint64_t ino;
    int rc;

    /* Every blob is there, and holds nothing of use. */
    NEED(rafs_backend_new_memory(NULL, zeros, sizeof(zeros), &watch->env, &backend,
                                 NULL) == RAFS_OK);
    options.env = &watch->env;
    options.backends = &backend;
    options.backend_count = 1;
    rc = rafs_image_open_memory(bytes.at, bytes.len, &options, &siege.image, NULL, &err);
    note(&siege, rc, "open", began);
    ck_assert_msg(rc == bomb->open_code, "%s: opening: %s: %s", bomb->name,
                  rafs_error_name(rc), err.text);
    if (rc == RAFS_OK && bomb->path) {
        began = seconds();
        rc = rafs_image_resolve(siege.image, bomb->path, 0, &ino, NULL);
        note(&siege, 0, "resolve", began);
        ck_assert_int_eq(rc, bomb->path_code);
    }
    if (siege.image) {
        ask_walk(&siege);
        ask_check(&siege);
        rafs_image_close(siege.image);
    }
    rafs_backend_free(backend);
    printf("%-42s %u errors, %5.1f MiB, slowest %s %.3f s\n", bomb->name, siege.errors,
           (double)watch->peak_bytes / (1 << 20), siege.slowest, siege.slowest_s);
    fflush(stdout);
    ck_assert_msg(bomb->clean || siege.errors > 0, "%s: taken for good", bomb->name);
}

START_TEST(a_bomb_ends_in_an_error_soon_and_in_little_memory)
{
    struct bytes bytes = bombs[_i].make();
    struct watch watch;

    watch_init(&watch);
    limit_memory();
    besiege(&bombs[_i], bytes, &watch);
    ck_assert_uint_le(watch.peak_bytes, MORE_BYTES_MAX);
    ck_assert_uint_eq(watch.live, 0);
    free(bytes.at);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bombs");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_bomb_ends_in_an_error_soon_and_in_little_memory, 0,
                        (int)bomb_count);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
