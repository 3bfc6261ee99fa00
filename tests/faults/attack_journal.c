/* SPDX-License-Identifier: Apache-2.0 */
/* Journals of a cache that somebody made to keep us busy or to eat our memory. */
#include "cache/disk.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache/disk_impl.h"
#include "golden.h"
#include "scratch.h"

enum { CHUNK = 4096, SECONDS = 20 };

static char dir[64];
static rafs_cache *cache;

static void set_up(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(dir, sizeof(dir), "%s/rafs-attack-XXXXXX", base && *base ? base : "/tmp");
    NEED(mkdtemp(dir) != NULL);
    NEED(rafs_cache_open(dir, NULL, &cache, NULL) == RAFS_OK);
}

static void tear_down(void)
{
    rafs_cache_close(cache);
    scratch_remove(dir);
}

static FILE *journal(const char *stem)
{
    char path[160];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s.ready", dir, stem);
    file = fopen(path, "w");
    NEED(file != NULL && fchmod(fileno(file), 0600) == 0);
    snprintf(path, sizeof(path), "%s/%s.blob.data", dir, stem);
    NEED(close(open(path, O_WRONLY | O_CREAT, 0600)) == 0);
    return file;
}

static void write_record(FILE *file, struct disk_record *record)
{
    uint8_t bytes[DISK_RECORD_BYTES];

    rafsi_disk_record_encode(record, bytes);
    NEED(fwrite(bytes, 1, sizeof(bytes), file) == sizeof(bytes));
}

/* A chunk that was written in a boot of that number; 0: in this one. */
static void write_ready(FILE *file, uint64_t number, uint32_t boot)
{
    struct disk_record record = {.kind = DISK_READY,
                                 .algorithm = RAFSI_BLAKE3,
                                 .size = CHUNK,
                                 .offset = number * CHUNK};

    memcpy(record.digest, &number, sizeof(number));
    record.digest[31] = 1;
    memcpy(record.boot, cache->boot, sizeof(record.boot));
    if (boot)
        memcpy(record.boot, &boot, sizeof(boot));
    write_record(file, &record);
}

static struct rafsi_disk_chunk chunk_of(uint64_t number)
{
    struct rafsi_disk_chunk chunk = {
        .offset = number * CHUNK, .size = CHUNK, .algorithm = RAFSI_BLAKE3};

    memcpy(chunk.digest, &number, sizeof(number));
    chunk.digest[31] = 1;
    return chunk;
}

/* Opening it ends soon: the time of the process, so that others do not count. */
static struct rafsi_disk_blob *open_soon(const char *stem)
{
    struct rafsi_disk_blob *blob = NULL;
    clock_t began = clock();

    NEED(rafsi_disk_open(cache, stem, &blob, NULL) == RAFS_OK);
    ck_assert_int_lt((clock() - began) / CLOCKS_PER_SEC, SECONDS);
    return blob;
}

/* What records ask for is not to grow by the square of their number. */
enum { MANY = 60000 };

static const struct {
    const char *what;
    uint8_t kind, flags;
    bool grows; /* the length that it names */
    uint32_t boots;
} bombs[] = {
    {"syncs of another boot", DISK_SYNC, 0, true, 1},
    {"syncs of nothing", DISK_SYNC, 0, false, 1},
    {"syncs of as many boots", DISK_SYNC, 0, true, MANY},
    {"resets of nothing", DISK_RESET, 0, false, 0},
    {"resets of nothing that is durable", DISK_RESET, DISK_RESET_PENDING, true, 0},
    {"resets one by one", DISK_RESET, 0, true, 0},
};

START_TEST(records_that_look_at_every_chunk_do_not_keep_us_busy)
{
    struct rafsi_disk_blob *blob;
    FILE *file = journal("bomb");

    for (uint32_t i = 0; i < MANY; i++)
        write_ready(file, i, bombs[_i].boots ? 1 + i % bombs[_i].boots : 0);
    for (uint32_t i = 0; i < MANY; i++) {
        struct disk_record record = {.kind = bombs[_i].kind, .flags = bombs[_i].flags};

        record.offset = bombs[_i].grows ? i : 0;
        record.boot[0] = bombs[_i].boots > 1 ? (uint8_t)i : 77;
        write_record(file, &record);
    }
    NEED(fclose(file) == 0);
    blob = open_soon("bomb");
    rafsi_disk_close(blob);
}
END_TEST

/* Room for very many records, of which hardly any is there: files may be sparse. */
START_TEST(a_journal_of_a_tebibyte_is_not_read_to_its_end)
{
    struct rafsi_disk_chunk first = chunk_of(0), none = chunk_of(7);
    struct rafsi_disk_blob *blob;
    FILE *file = journal("sparse");
    uint8_t room[CHUNK];

    write_ready(file, 0, 0);
    NEED(fflush(file) == 0);
    if (ftruncate(fileno(file), (off_t)1 << 40) != 0 &&
        ftruncate(fileno(file), (off_t)1 << 36) != 0)
        NEED(ftruncate(fileno(file), (off_t)1 << 33) == 0);
    NEED(fclose(file) == 0);
    blob = open_soon("sparse");
    ck_assert(rafsi_disk_has(blob, &first));
    ck_assert(!rafsi_disk_has(blob, &none));
    rafsi_disk_close(blob);
    /* Another blob asks what this one has. */
    blob = open_soon("other");
    ck_assert_int_eq(rafsi_disk_get(blob, &none, room), RAFSI_DISK_NOT);
    rafsi_disk_close(blob);
}
END_TEST

static size_t live, peak;

static void *counted_alloc(void *user, size_t size)
{
    size_t *at = malloc(size + 16);

    (void)user;
    if (!at)
        return NULL;
    at[0] = size;
    live += size;
    peak = live > peak ? live : peak;
    return at + 2;
}

static void counted_free(void *user, void *at)
{
    size_t *from = at;

    (void)user;
    if (!at)
        return;
    live -= from[-2];
    free(from - 2);
}

START_TEST(records_without_end_do_not_eat_the_memory)
{
    uint64_t many = getenv("RAFS_TEST_FULL") ? 10000000 : 2000000;
    rafs_cache_options options;
    struct rafsi_disk_blob *blob = NULL;
    struct rafsi_disk_chunk chunk;
    rafs_env counted = RAFS_ENV_INIT;
    FILE *file = journal("long");

    for (uint64_t i = 0; i < many; i++)
        write_ready(file, i, 0);
    NEED(fclose(file) == 0);
    rafs_cache_close(cache);
    counted.alloc = counted_alloc;
    counted.free = counted_free;
    rafs_cache_options_init(&options);
    options.env = &counted;
    live = peak = 0;
    NEED(rafs_cache_open(dir, &options, &cache, NULL) == RAFS_OK);
    NEED(rafsi_disk_open(cache, "long", &blob, NULL) == RAFS_OK);
    ck_assert_uint_lt(peak, 256u << 20);
    chunk = chunk_of(0);
    ck_assert(rafsi_disk_has(blob, &chunk));
    chunk = chunk_of(many - 1);
    ck_assert(!rafsi_disk_has(blob, &chunk));
    rafsi_disk_close(blob);
    rafs_cache_close(cache);
    ck_assert_uint_eq(live, 0);
    NEED(rafs_cache_open(dir, NULL, &cache, NULL) == RAFS_OK);
}
END_TEST

/* Another blob's chunks are looked for in all journals; who waits for that is a reader.
 */
START_TEST(a_folder_full_of_journals_is_looked_through_soon)
{
    struct rafsi_disk_chunk chunk = chunk_of(3);
    struct rafsi_disk_blob *blob = open_soon("mine");
    uint8_t room[CHUNK];
    clock_t began;

    for (int i = 0; i < 40000; i++) {
        char path[160];

        snprintf(path, sizeof(path), "%s/%d-other.ready", dir, i);
        NEED(close(open(path, O_WRONLY | O_CREAT, 0600)) == 0);
    }
    began = clock();
    ck_assert_int_eq(rafsi_disk_get(blob, &chunk, room), RAFSI_DISK_NOT);
    ck_assert_int_lt((clock() - began) / CLOCKS_PER_SEC, 4);
    rafsi_disk_close(blob);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("faults");
    TCase *tcase = tcase_create("attack_journal");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, records_that_look_at_every_chunk_do_not_keep_us_busy, 0,
                        sizeof(bombs) / sizeof(bombs[0]));
    tcase_add_test(tcase, a_journal_of_a_tebibyte_is_not_read_to_its_end);
    tcase_add_test(tcase, a_folder_full_of_journals_is_looked_through_soon);
    tcase_add_test(tcase, records_without_end_do_not_eat_the_memory);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
