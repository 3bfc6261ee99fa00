/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single mutations of good images: a bit, a byte, two blocks swapped, the end cut off, a
 * piece of another image put in. Each ends in the right bytes or in an error, soon.
 *
 * The sample is fixed by a seed. RAFS_TEST_FULL=1 takes the whole of it; the usual run a
 * fiftieth. RAFS_TEST_SEED moves it, for those who look for more.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reading.h"

enum {
    VARIANTS_MAX = 96,
    ALL_FULL = 20000,     /* mutations over all variants */
    SMALL_FULL = 1000000, /* over the smallest of the project's own */
    QUICK_PART = 50,
    SMALL_QUICK_PART = 500,
    SECONDS_MAX = 2
};

struct variant {
    const char *folder;
    char name[64];
    bool small;
};

static struct variant variants[VARIANTS_MAX];
static size_t variant_count;
static size_t small_count;

/* xorshift64*: the same numbers on each machine. */
struct dice {
    uint64_t state;
};

static uint64_t roll(struct dice *dice, uint64_t sides)
{
    dice->state ^= dice->state >> 12;
    dice->state ^= dice->state << 25;
    dice->state ^= dice->state >> 27;
    return (dice->state * 0x2545f4914f6cdd1du >> 16) % sides;
}

static const char *const kinds[] = {"bit",       "byte",     "swap 512",
                                    "swap 4096", "truncate", "splice"};
enum { BIT, BYTE, SWAP_512, SWAP_4096, TRUNCATE, SPLICE, KINDS };

/* What was done, so that it can be said and undone. */
struct mutation {
    unsigned kind;
    size_t at, other, len; /* bytes changed: [at, at + len), of a swap also at other */
    size_t old_len;
};

static void swap(struct bytes *bytes, size_t a, size_t b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = bytes->at[a + i];

        bytes->at[a + i] = bytes->at[b + i];
        bytes->at[b + i] = byte;
    }
}

/* Change bytes, which have not changed yet; says what changed. Most of a bootstrap is
 * padding, so half of the bits and bytes go to places that are not zero. */
static struct mutation mutate(struct bytes *bytes, struct bytes donor, struct dice *dice)
{
    struct mutation done = {.kind = (unsigned)roll(dice, KINDS), .old_len = bytes->len};
    size_t block = done.kind == SWAP_4096 ? 4096 : 512;
    size_t blocks = bytes->len / block;
    size_t room;

    done.at = roll(dice, bytes->len);
    for (int i = 0; i < 20 && bytes->at[done.at] == 0 && done.kind <= BYTE; i++)
        done.at = roll(dice, 2) ? done.at : roll(dice, bytes->len);
    done.len = 1;
    switch (done.kind) {
    case BIT:
        bytes->at[done.at] ^= (uint8_t)(1u << roll(dice, 8));
        break;
    case BYTE:
        bytes->at[done.at] = (uint8_t)(bytes->at[done.at] + 1 + roll(dice, 255));
        break;
    case TRUNCATE:
        bytes->len = done.at;
        done.len = done.old_len - done.at;
        break;
    case SPLICE:
        room = bytes->len - done.at;
        done.len = 1 + roll(dice, 4096);
        done.len = done.len < room ? done.len : room;
        done.len = done.len < donor.len ? done.len : donor.len;
        memcpy(bytes->at + done.at, donor.at + roll(dice, donor.len - done.len + 1),
               done.len);
        break;
    default:
        if (blocks < 2)
            break;
        done.len = block;
        done.at = block * roll(dice, blocks);
        done.other = block * roll(dice, blocks);
        swap(bytes, done.at, done.other, block);
    }
    return done;
}

static void restore(struct bytes *bytes, struct bytes good, const struct mutation *done)
{
    bytes->len = done->old_len;
    memcpy(bytes->at + done->at, good.at + done->at, done->len);
    if (done->kind == SWAP_512 || done->kind == SWAP_4096)
        memcpy(bytes->at + done->other, good.at + done->other, done->len);
}

struct bench {
    const struct variant *variant;
    struct golden golden;
    struct golden donor;
    struct reading reading;
    struct rig rig;
    struct dice dice;
    struct tally tally;
    uint64_t opened, refused_at_open;
};

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void judge(struct bench *bench, const char *what, const struct mutation *done,
                  double began)
{
    double took = seconds() - began;

    ck_assert_msg(bench->tally.wrong == 0 && took < SECONDS_MAX,
                  "%s: %s of the %s at %zu (%zu, %zu bytes): wrong bytes %llu, %.1f s",
                  bench->golden.name, kinds[done->kind], what, done->at, done->other,
                  done->len, (unsigned long long)bench->tally.wrong, took);
}

/* Nobody vouches for the bootstrap: no crash, and content is what the bootstrap names. */
static void mutate_boot(struct bench *bench, const char *expect)
{
    struct mutation done = mutate(&bench->rig.boot, bench->donor.boot, &bench->dice);
    rafs_error err = RAFS_ERROR_INIT;
    double began = seconds();
    int rc = rig_open(&bench->rig, &bench->golden, expect, 0, &err);
    bool same =
        bench->rig.boot.len == bench->golden.boot.len &&
        memcmp(bench->rig.boot.at, bench->golden.boot.at, bench->golden.boot.len) == 0;

    ck_assert_int_eq(rc, err.code);
    if (rc == RAFS_OK && expect && bench->golden.inlined)
        reading_compare(bench->rig.image, &bench->reading, &bench->tally);
    else if (rc == RAFS_OK && expect)
        ck_assert_msg(same, "%s: a changed bootstrap passed", bench->golden.name);
    else if (rc == RAFS_OK)
        explore(bench->rig.image, &bench->tally);
    else
        ck_assert_msg(err.text[0] != '\0' && err.object[0] != '\0', "an error says why");
    bench->opened += rc == RAFS_OK;
    bench->refused_at_open += rc != RAFS_OK;
    judge(bench, expect ? "pinned bootstrap" : "bootstrap", &done, began);
    rig_close(&bench->rig);
    restore(&bench->rig.boot, bench->golden.boot, &done);
}

static bool touches(const struct item *item, const struct mutation *done)
{
    size_t last = done->at > done->other ? done->at : done->other;

    if (done->kind == SWAP_512 || done->kind == SWAP_4096)
        return true;
    return item->first_byte < last + done->len && done->at < item->last_byte;
}

/* The bootstrap is pinned and opened once; nothing is cached; the blob changes below. */
static void mutate_blob(struct bench *bench, size_t which)
{
    struct bytes *blob = &bench->rig.blobs[which];
    struct mutation done = mutate(blob, bench->donor.blob[0], &bench->dice);
    double began = seconds();
    size_t any = roll(&bench->dice, bench->reading.count);

    for (size_t i = 0; i < bench->reading.count; i++)
        if (i == any || touches(&bench->reading.items[i], &done))
            reading_compare_item(bench->rig.image, &bench->reading.items[i],
                                 &bench->tally);
    bench->opened++;
    judge(bench, "blob", &done, began);
    restore(blob, bench->golden.blob[which], &done);
}

static void bench_open(struct bench *bench, size_t index)
{
    const char *seed = getenv("RAFS_TEST_SEED");
    size_t next = (index + 1) % variant_count;

    memset(bench, 0, sizeof(*bench));
    bench->variant = &variants[index];
    bench->dice.state =
        0x9e3779b97f4a7c15u * (index + 1) + (seed ? strtoull(seed, NULL, 0) : 0);
    golden_load(bench->variant->folder, bench->variant->name, &bench->golden);
    /* A donor with a blob of its own. */
    while (bench->donor.blob_count == 0) {
        golden_drop(&bench->donor);
        golden_load(variants[next].folder, variants[next].name, &bench->donor);
        next = (next + 1) % variant_count;
    }
    rig_init(&bench->rig, &bench->golden, NULL);
    ck_assert_int_eq(rig_open(&bench->rig, &bench->golden, bench->golden.digest, 0, NULL),
                     RAFS_OK);
    reading_take(bench->rig.image, &bench->reading);
    rig_close(&bench->rig);
}

static void bench_close(struct bench *bench)
{
    rig_drop(&bench->rig);
    reading_drop(&bench->reading);
    golden_drop(&bench->golden);
    golden_drop(&bench->donor);
}

static void run(struct bench *bench, size_t mutations)
{
    size_t of_blob = bench->golden.blob_count ? mutations * 2 / 5 : 0;
    size_t pinned = (mutations - of_blob) / 3;

    for (size_t i = 0; i < mutations - of_blob - pinned; i++)
        mutate_boot(bench, NULL);
    for (size_t i = 0; i < pinned; i++)
        mutate_boot(bench, bench->golden.digest);
    if (of_blob)
        ck_assert_int_eq(
            rig_open(&bench->rig, &bench->golden, bench->golden.digest, 1, NULL),
            RAFS_OK);
    for (size_t i = 0; i < of_blob; i++)
        mutate_blob(bench, i % bench->golden.blob_count);
    rig_close(&bench->rig);
}

static size_t share(size_t full, size_t quick_part, size_t among)
{
    const char *set = getenv("RAFS_TEST_FULL");
    size_t total = set && strcmp(set, "1") == 0 ? full : full / quick_part;

    return (total + among - 1) / among;
}

START_TEST(a_mutated_image_gives_right_bytes_or_an_error)
{
    struct bench bench;
    size_t count = share(ALL_FULL, QUICK_PART, variant_count);
    double began = seconds();

    bench_open(&bench, (size_t)_i);
    if (bench.variant->small)
        count += share(SMALL_FULL, SMALL_QUICK_PART, small_count);
    run(&bench, count);
    printf("%-18s %7zu mutations: %7llu opened, %7llu refused at open; answers: %8llu "
           "right, %8llu refused, wrong=%llu; %.1f s\n",
           bench.golden.name, count, (unsigned long long)bench.opened,
           (unsigned long long)bench.refused_at_open,
           (unsigned long long)bench.tally.right, (unsigned long long)bench.tally.refused,
           (unsigned long long)bench.tally.wrong, seconds() - began);
    fflush(stdout);
    bench_close(&bench);
}
END_TEST

/* Kinds that this version refuses are no matter here, and images that need seconds. */
static bool wanted(const char *name)
{
    static const char *const refused[] = {"encrypted", "zran", "tarref", "tarfs"};

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (strstr(name, refused[i]))
            return false;
    return true;
}

static void find(const char *folder)
{
    static const char *const smallest[] = {"v5-linked-symlink", "v5-chunkdict",
                                           "v6-chunkdict", "v5-chunk64k", "v6-tar"};
    char names[VARIANTS_MAX][64];
    size_t count = folder ? golden_list(folder, names, VARIANTS_MAX) : 0;
    bool own = folder && strcmp(folder, golden_folder()) == 0;

    for (size_t i = 0; i < count && variant_count < VARIANTS_MAX; i++) {
        struct variant *variant = &variants[variant_count];

        if (!wanted(names[i]))
            continue;
        variant->folder = folder;
        memcpy(variant->name, names[i], sizeof(variant->name));
        for (size_t j = 0; own && j < sizeof(smallest) / sizeof(smallest[0]); j++)
            variant->small |= strcmp(names[i], smallest[j]) == 0;
        small_count += variant->small;
        variant_count++;
    }
}

int main(void)
{
    Suite *suite = suite_create("mutation");
    TCase *tcase = tcase_create("images");
    SRunner *runner;
    int failed;

    find(golden_folder());
    find(golden_shared_folder());
    if (!golden_shared_folder())
        printf("the larger golden images are absent: only the project's own are used\n");
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, a_mutated_image_gives_right_bytes_or_an_error, 0,
                        (int)variant_count);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
