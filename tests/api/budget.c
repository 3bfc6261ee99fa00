/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What opening a large image costs: memory by the counting allocator, reads of the file
 * by the kernel's count of read calls. 10^6 inodes; 10^7 with RAFS_TEST_FULL=1.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "golden.h"
#include "rafs/rafs.h"
#include "v6_maker.h"
#include "watch.h"

enum {
    DIRS = 1000,
    MEMORY_MAX = 8 << 20, /* bytes of metadata memory */
    OPEN_READS_MAX = 8,
    LOOKUP_READS_MAX = 12 /* of one path of two names, nothing cached */
};

static struct {
    FILE *file;
    int fd;
    uint32_t files;
    uint64_t inodes;
    char digest[80];
} large;

static struct watch watch;

static double milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Read calls of this process so far; 0 where the kernel does not count. */
static uint64_t reads(void)
{
    FILE *file = fopen("/proc/self/io", "r");
    unsigned long long count = 0;
    char line[128];

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "syscr: %llu", &count) == 1)
            break;
    if (file)
        fclose(file);
    return count;
}

/* The digest of the file, by pieces: it may be larger than one would map. */
static void digest_file(int fd, char out[80])
{
    static uint8_t buf[1 << 20];
    uint8_t digest[RAFS_DIGEST_BYTES];
    rafs_hash *hash = NULL;
    off_t at = 0;
    ssize_t got;
    size_t pos;

    NEED(rafs_hash_new(RAFS_DIGEST_BLAKE3, NULL, &hash, NULL) == RAFS_OK);
    while ((got = pread(fd, buf, sizeof(buf), at)) > 0) {
        NEED(rafs_hash_update(hash, buf, (size_t)got) == RAFS_OK);
        at += got;
    }
    NEED(got == 0 && rafs_hash_final(hash, digest) == RAFS_OK);
    rafs_hash_free(hash);
    pos = (size_t)snprintf(out, 80, "blake3:");
    for (size_t i = 0; i < sizeof(digest); i++)
        pos += (size_t)snprintf(out + pos, 80 - pos, "%02x", digest[i]);
}

static void make_large(void)
{
    const char *full = getenv("RAFS_TEST_FULL");

    large.files = full && strcmp(full, "1") == 0 ? 10000 : 1000;
    large.file = tmpfile();
    NEED(large.file);
    large.fd = fileno(large.file);
    large.inodes = maker_large(large.fd, DIRS, large.files);
    digest_file(large.fd, large.digest);
}

static rafs_image *open_large(const char *expect, uint64_t cache_bytes)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits),
                          .metadata_cache_bytes = cache_bytes};
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;

    watch_init(&watch);
    options.env = &watch.env;
    options.limits = &limits;
    options.expect_digest = expect;
    ck_assert_msg(rafs_image_open_fd(large.fd, 0, 0, &options, &image, NULL, &err) ==
                      RAFS_OK,
                  "%s: %s", err.object, err.text);
    return image;
}

static void look_up(const rafs_image *image, uint32_t dir, uint32_t file)
{
    uint64_t expected = MAKER_ROOT + 1 + DIRS + (uint64_t)dir * large.files + file;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_attr attr;
    uint64_t ino = 0;
    char path[64];

    snprintf(path, sizeof(path), "/d%07u/f%07u", dir, file);
    ck_assert_msg(rafs_image_resolve(image, path, 0, &ino, &err) == RAFS_OK, "%s: %s",
                  path, err.text);
    ck_assert_uint_eq(ino, expected);
    ck_assert_int_eq(rafs_image_get_attr(image, ino, &attr, NULL), RAFS_OK);
    ck_assert_uint_eq(attr.mode, S_IFREG | 0644);
}

START_TEST(opening_reads_what_it_must_and_no_more)
{
    uint64_t before = reads();
    double began = milliseconds();
    rafs_image *image = open_large(NULL, 0);
    double took = milliseconds() - began;
    uint64_t after = reads();
    rafs_image_info info = {.struct_size = sizeof(info)};

    ck_assert_int_eq(rafs_image_get_info(image, &info, NULL), RAFS_OK);
    ck_assert_uint_eq(info.inodes, large.inodes);
    printf("%llu inodes: opened in %.2f ms, %llu reads, %zu bytes\n",
           (unsigned long long)large.inodes, took, (unsigned long long)(after - before),
           (size_t)watch.peak_bytes);
    ck_assert_uint_le(after - before, OPEN_READS_MAX);
    ck_assert_uint_le(watch.peak_bytes, MEMORY_MAX);
    rafs_image_close(image);
    ck_assert_uint_eq(watch.live, 0);
}
END_TEST

/* With room for one block at most nothing is kept, so each step of the search shows. */
START_TEST(a_path_is_found_by_binary_search)
{
    rafs_image *image = open_large(NULL, 1);
    const uint32_t wanted[][2] = {{0, 0}, {499, 500}, {DIRS - 1, large.files - 1}};

    for (size_t i = 0; i < 3; i++) {
        uint64_t before = reads();

        look_up(image, wanted[i][0], wanted[i][1]);
        ck_assert_uint_le(reads() - before, LOOKUP_READS_MAX * 2);
    }
    rafs_image_close(image);
}
END_TEST

START_TEST(a_pinned_image_stays_in_its_memory)
{
    double began = milliseconds();
    rafs_image *image = open_large(large.digest, 0);
    double took = milliseconds() - began;
    uint32_t dice = 1;
    uint64_t ino = 0;

    for (int i = 0; i < 2000; i++) {
        dice = dice * 1664525 + 1013904223;
        look_up(image, dice % DIRS, (dice >> 8) % large.files);
    }
    ck_assert_int_eq(rafs_image_resolve(image, "/d0000000/nobody", 0, &ino, NULL),
                     RAFS_E_NOENT);
    printf("%llu inodes, pinned: opened in %.0f ms; %zu bytes after 2000 lookups\n",
           (unsigned long long)large.inodes, took, (size_t)watch.peak_bytes);
    ck_assert_uint_le(watch.peak_bytes, MEMORY_MAX);
    rafs_image_close(image);
    ck_assert_uint_eq(watch.live, 0);
}
END_TEST

START_TEST(a_large_directory_lists_in_bounded_memory)
{
    rafs_image *image = open_large(NULL, 0);
    const rafs_walk_entry *entry = NULL;
    rafs_walk *walk = NULL;
    uint64_t count = 0;

    ck_assert_int_eq(rafs_walk_open(image, "/d0000007", 0, &walk, NULL), RAFS_OK);
    while (rafs_walk_next(walk, &entry, NULL) == RAFS_OK && entry)
        count++;
    ck_assert_ptr_null(entry);
    ck_assert_uint_eq(count, (uint64_t)large.files + 1);
    rafs_walk_close(walk);
    ck_assert_uint_le(watch.peak_bytes, MEMORY_MAX);
    rafs_image_close(image);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("budget");
    TCase *tcase = tcase_create("large");
    SRunner *runner;
    int failed;

    make_large();
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, opening_reads_what_it_must_and_no_more);
    tcase_add_test(tcase, a_path_is_found_by_binary_search);
    tcase_add_test(tcase, a_pinned_image_stays_in_its_memory);
    tcase_add_test(tcase, a_large_directory_lists_in_bounded_memory);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    fclose(large.file);
    return failed == 0 ? 0 : 1;
}
