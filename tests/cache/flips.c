/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bits that turn over in a cache: each is found before a byte of its chunk is served, and
 * that chunk alone is fetched anew. A sample of the bits of a large chunk and of a
 * journal; all of them with RAFS_TEST_FULL, which takes hours.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scratch.h"
#include "throng.h"

/* Syncs take time, and powercut.c is about them. */
int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

int fsync(int fd)
{
    (void)fd;
    return 0;
}

static char dir[64];
static struct throng throng;

static void set_up(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(dir, sizeof(dir), "%s/rafs-flips-XXXXXX", base && *base ? base : "/tmp");
    NEED(mkdtemp(dir) != NULL);
    throng_init(&throng, "v6-zstd");
}

static void tear_down(void)
{
    throng_drop(&throng);
    scratch_remove(dir);
}

static struct throng_plan plan(void)
{
    return (struct throng_plan){
        .cache_dir = dir, .slot = 1, .merge_bytes = 1, .passes = 1};
}

static int file_of_cache(const char *suffix)
{
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "%s/%s%s", dir, throng.golden.blob_id[0], suffix);
    fd = open(path, O_RDWR);
    NEED(fd >= 0);
    return fd;
}

static void flip(int fd, uint64_t bit)
{
    uint8_t byte;

    NEED(pread(fd, &byte, 1, (off_t)(bit / 8)) == 1);
    byte ^= (uint8_t)(1 << bit % 8);
    NEED(pwrite(fd, &byte, 1, (off_t)(bit / 8)) == 1);
}

/* The largest chunk of the image, the file that it is of, and its number in the source.
 */
static const struct item *largest(const rafs_image *image, rafs_extent *largest_extent)
{
    const struct item *found = NULL;
    rafs_extent extent;
    size_t count;

    for (size_t i = 0; i < throng.reading.count; i++) {
        const struct item *item = &throng.reading.items[i];

        for (uint64_t at = 0; S_ISREG(item->attr.mode) && at < item->attr.size;
             at = extent.file_offset + extent.length) {
            NEED(rafs_image_get_extents(image, item->attr.ino, at, &extent, 1, &count,
                                        NULL, NULL) == RAFS_OK);
            if ((extent.flags & RAFS_EXTENT_HOLE) ||
                (found && extent.length <= largest_extent->length))
                continue;
            found = item;
            *largest_extent = extent;
        }
    }
    NEED(found != NULL);
    return found;
}

static void read_item(struct throng_open *open, const struct item *item)
{
    struct tally tally = {0};

    reading_compare_item(open->image, item, &tally);
    ck_assert_uint_eq(tally.wrong + tally.refused, 0);
}

static unsigned fetched(void)
{
    unsigned all = 0;

    for (size_t i = 0; i < throng.counts->chunks; i++)
        all += throng.counts->chunk[i].fetched;
    return all;
}

static const struct throng_chunk *chunk_at(uint64_t at)
{
    const struct throng_chunk *chunk = throng.counts->chunk;

    while (chunk->at != at)
        chunk++;
    return chunk;
}

/* By turns through an image that is open, and one that is opened anew. */
START_TEST(each_bit_of_a_chunk_is_found_and_the_chunk_alone_fetched_anew)
{
    struct throng_plan how = plan();
    struct throng_open open;
    rafs_extent extent = {0};
    const struct throng_chunk *chunk;
    const struct item *item;
    uint64_t step, bits;
    int fd;

    throng_open(&throng, &how, &open);
    throng_compare(&open, 1);
    item = largest(open.image, &extent);
    NEED(extent.length == 1 << 20);
    chunk = chunk_at(extent.compressed_offset);
    fd = file_of_cache(".blob.data");
    bits = extent.length * 8;
    step = getenv("RAFS_TEST_FULL") ? 1 : bits / 150 + 1;
    throng_begin(&throng);
    for (uint64_t bit = 0, n = 1; bit < bits; bit += step, n++) {
        flip(fd, extent.uncompressed_offset * 8 + bit);
        if (n % 16 == 0) {
            throng_close(&open);
            throng_open(&throng, &how, &open);
        }
        read_item(&open, item);
        ck_assert_msg(chunk->fetched == n && fetched() == n,
                      "bit %llu: %u chunks were fetched after %llu flips",
                      (unsigned long long)bit, fetched(), (unsigned long long)n);
    }
    close(fd);
    /* Repaired on disk too. */
    throng.counts->gone = true;
    throng_close(&open);
    throng_open(&throng, &how, &open);
    throng_compare(&open, 1);
    throng_close(&open);
    ck_assert_uint_eq(throng.counts->wrong + throng.counts->refused, 0);
}
END_TEST

START_TEST(scrub_finds_each_flip_before_anybody_reads)
{
    struct throng_plan how = plan();
    struct throng_open open;
    rafs_extent extent = {0};
    const struct item *item;
    uint64_t step;
    int fd;

    throng_open(&throng, &how, &open);
    throng_compare(&open, 1);
    item = largest(open.image, &extent);
    fd = file_of_cache(".blob.data");
    step = extent.length * 8 / (getenv("RAFS_TEST_FULL") ? 20000 : 20) + 1;
    throng_begin(&throng);
    for (uint64_t bit = 0, n = 1; bit < extent.length * 8; bit += step, n++) {
        rafs_cache_scrub_result seen = RAFS_CACHE_SCRUB_RESULT_INIT;

        flip(fd, extent.uncompressed_offset * 8 + bit);
        NEED(rafs_cache_scrub(open.cache, NULL, &seen, NULL, NULL) == RAFS_OK);
        ck_assert_uint_eq(seen.bad_chunks, 1);
        ck_assert_uint_eq(seen.chunks, throng.counts->chunks);
        read_item(&open, item);
        ck_assert_uint_eq(fetched(), n);
    }
    close(fd);
    throng_close(&open);
}
END_TEST

/* A record that is damaged says nothing; what it said is fetched again. */
START_TEST(no_bit_of_a_journal_leads_to_a_wrong_byte)
{
    unsigned stride = getenv("RAFS_TEST_FULL") ? 1 : 97;
    struct throng_plan how = plan();
    uint8_t before[65536];
    struct throng_open open;
    ssize_t len;
    int fd;

    throng_open(&throng, &how, &open);
    throng_compare(&open, 1);
    throng_close(&open);
    fd = file_of_cache(".ready");
    len = read(fd, before, sizeof(before));
    NEED(len > 80 && len < (ssize_t)sizeof(before));
    for (uint64_t bit = 0; bit < (uint64_t)len * 8; bit += stride) {
        throng_begin(&throng);
        flip(fd, bit);
        throng_open(&throng, &how, &open);
        throng_compare(&open, bit);
        throng_close(&open);
        ck_assert_msg(
            throng.counts->wrong == 0 && throng.counts->refused == 0 && fetched() <= 1,
            "bit %llu: %u wrong, %u refused, %u fetched", (unsigned long long)bit,
            throng.counts->wrong, throng.counts->refused, fetched());
        NEED(ftruncate(fd, len) == 0 && pwrite(fd, before, (size_t)len, 0) == len);
    }
    close(fd);
}
END_TEST

/* Whatever a journal holds. */
START_TEST(garbage_in_place_of_a_journal_leads_to_no_wrong_byte)
{
    unsigned rounds = getenv("RAFS_TEST_FULL") ? 3000 : 30;
    struct throng_plan how = plan();
    struct throng_open open;
    uint64_t seed = 1;

    throng_open(&throng, &how, &open);
    throng_compare(&open, 1);
    throng_close(&open);
    for (unsigned round = 0; round < rounds; round++) {
        int fd = file_of_cache(".ready");
        struct stat st;

        NEED(fstat(fd, &st) == 0);
        for (int i = 0; i < 40; i++) {
            uint8_t bytes[80];
            off_t to;

            /* Pieces of it at other places, in part and twice. */
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            NEED(pread(fd, bytes, sizeof(bytes), (off_t)((seed >> 33) % 2400)) >= 0);
            to = (off_t)((seed >> 20) % (uint64_t)(st.st_size + 1));
            NEED(pwrite(fd, bytes, 1 + (seed >> 50) % 80, to) > 0);
        }
        close(fd);
        throng_open(&throng, &how, &open);
        throng_compare(&open, round);
        throng_close(&open);
        ck_assert_uint_eq(throng.counts->wrong + throng.counts->refused, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache");
    TCase *tcase = tcase_create("flips");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, getenv("RAFS_TEST_FULL") ? 86400 : 100);
    tcase_add_test(tcase, each_bit_of_a_chunk_is_found_and_the_chunk_alone_fetched_anew);
    tcase_add_test(tcase, scrub_finds_each_flip_before_anybody_reads);
    tcase_add_test(tcase, no_bit_of_a_journal_leads_to_a_wrong_byte);
    tcase_add_test(tcase, garbage_in_place_of_a_journal_leads_to_no_wrong_byte);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
