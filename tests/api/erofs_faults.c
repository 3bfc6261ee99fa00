/* SPDX-License-Identifier: Apache-2.0 */
/* Writing an image as EROFS where memory, the taker, a source or the image itself fails:
 * an error and nothing left, or the image. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reading.h"

enum { RUNS_MAX = 100000 };

static const char *const variants[] = {"v5-lz4", "v5-chunk4k", "v5-merge", "v6-zstd"};
enum { VARIANTS = sizeof(variants) / sizeof(variants[0]) };

/* What is written, in memory; a write that fails. */
struct taker {
    struct bytes bytes;
    size_t room;
    size_t writes;
    size_t fail_at; /* which write; SIZE_MAX: none */
    rafs_cancel *cancel;
};

static int take(void *user, const void *data, size_t len, const rafs_call *call,
                rafs_error *err)
{
    struct taker *taker = user;

    (void)call;
    if (taker->cancel)
        rafs_cancel_fire(taker->cancel);
    if (taker->writes++ == taker->fail_at)
        return rafs_error_set(err, RAFS_E_BACKEND, 28, "there", "no space");
    if (len > taker->room - taker->bytes.len) {
        taker->room = 2 * (taker->room + len);
        taker->bytes.at = realloc(taker->bytes.at, taker->room);
        NEED(taker->bytes.at);
    }
    memcpy(taker->bytes.at + taker->bytes.len, data, len);
    taker->bytes.len += len;
    return RAFS_OK;
}

static void empty(struct taker *taker)
{
    taker->bytes.len = taker->writes = 0;
    taker->fail_at = SIZE_MAX;
    taker->cancel = NULL;
}

static void drop(struct taker *taker)
{
    free(taker->bytes.at);
    *taker = (struct taker){.fail_at = SIZE_MAX};
}

static int write_as(const rafs_image *image, uint32_t flags, struct taker *taker,
                    rafs_erofs_result *result, const rafs_call *call, rafs_error *err)
{
    rafs_erofs_options options = RAFS_EROFS_OPTIONS_INIT;

    options.flags = flags;
    return rafs_image_write_erofs(image, &options, take, taker, result, call, err);
}

static int fd_of(const struct bytes *bytes)
{
    int fd = memfd_create("erofs", 0);

    NEED(fd >= 0 && write(fd, bytes->at, bytes->len) == (ssize_t)bytes->len);
    return fd;
}

START_TEST(memory_that_runs_out_is_said_and_nothing_leaks)
{
    uint32_t flags = _i / VARIANTS ? RAFS_EROFS_WHOLE : 0;
    struct taker good = {.fail_at = SIZE_MAX}, taker = good;
    rafs_erofs_result result = RAFS_EROFS_RESULT_INIT;
    struct watch watch;
    struct golden golden;
    struct rig rig;
    size_t runs = 0, failed = 0;

    golden_load(golden_folder(), variants[_i % VARIANTS], &golden);
    watch_init(&watch);
    rig_init(&rig, &golden, &watch);
    /* A small cache of chunks, so that each run asks for all of them. */
    ck_assert_int_eq(rig_open(&rig, &golden, NULL, 1, NULL), RAFS_OK);
    for (int i = 0; i < 2; i++) { /* what is made once is there after it */
        empty(&good);
        ck_assert_int_eq(write_as(rig.image, flags, &good, &result, NULL, NULL), RAFS_OK);
    }
    for (bool again = true; again && runs < RUNS_MAX; runs++) {
        size_t before = watch.live;
        int rc;

        empty(&taker);
        result.size = 99;
        watch_fail_at(&watch, runs);
        rc = write_as(rig.image, flags, &taker, &result, NULL, NULL);
        again = watch.failed;
        watch_fail_at(&watch, WATCH_NEVER);
        if (rc == RAFS_OK) {
            ck_assert_uint_eq(taker.bytes.len, good.bytes.len);
            ck_assert_mem_eq(taker.bytes.at, good.bytes.at, good.bytes.len);
        } else {
            ck_assert_int_eq(rc, RAFS_E_NOMEM);
            ck_assert_uint_eq(result.size, 99);
            ck_assert_uint_le(watch.live, before + 8); /* buffers kept for the next run */
            failed++;
        }
    }
    ck_assert_uint_gt(failed, 5 * (golden.name[1] == '5' || flags));
    drop(&taker);
    drop(&good);
    rig_drop(&rig);
    ck_assert_uint_eq(watch.live, 0);
    golden_drop(&golden);
}
END_TEST

START_TEST(opening_what_was_written_leaks_nothing)
{
    struct taker good = {.fail_at = SIZE_MAX};
    rafs_error err = RAFS_ERROR_INIT;
    struct watch watch;
    struct golden golden;
    struct rig rig;
    size_t runs = 0;
    int fd;

    golden_load(golden_folder(), variants[_i], &golden);
    watch_init(&watch);
    rig_init(&rig, &golden, &watch);
    ck_assert_int_eq(rig_open(&rig, &golden, NULL, 1, NULL), RAFS_OK);
    ck_assert_int_eq(write_as(rig.image, 0, &good, NULL, NULL, NULL), RAFS_OK);
    fd = fd_of(&good.bytes);
    for (bool again = true; again && runs < RUNS_MAX; runs++) {
        rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
        size_t before = watch.live;
        rafs_image *image = NULL;
        int rc;

        options.env = &watch.env;
        watch_fail_at(&watch, runs);
        rc = rafs_image_open_erofs(rig.image, fd, 0, &options, &image, NULL, &err);
        again = watch.failed;
        watch_fail_at(&watch, WATCH_NEVER);
        ck_assert(rc == (again ? RAFS_E_NOMEM : RAFS_OK));
        rafs_image_close(image);
        ck_assert_uint_eq(watch.live, before);
    }
    ck_assert_uint_gt(runs, 5);
    close(fd);
    drop(&good);
    rig_drop(&rig);
    ck_assert_uint_eq(watch.live, 0);
    golden_drop(&golden);
}
END_TEST

START_TEST(a_write_that_fails_ends_it)
{
    uint32_t flags = _i / VARIANTS ? RAFS_EROFS_WHOLE : 0;
    struct taker taker = {.fail_at = SIZE_MAX};
    struct golden golden;
    struct rig rig;
    size_t writes;

    golden_load(golden_folder(), variants[_i % VARIANTS], &golden);
    rig_init(&rig, &golden, NULL);
    ck_assert_int_eq(rig_open(&rig, &golden, NULL, 0, NULL), RAFS_OK);
    ck_assert_int_eq(write_as(rig.image, flags, &taker, NULL, NULL, NULL), RAFS_OK);
    writes = taker.writes;
    for (size_t i = 0; i < writes; i++) {
        rafs_error err = RAFS_ERROR_INIT;

        empty(&taker);
        taker.fail_at = i;
        ck_assert_int_eq(write_as(rig.image, flags, &taker, NULL, NULL, &err),
                         RAFS_E_BACKEND);
        ck_assert_int_eq(err.os_errno, 28);
        ck_assert_str_eq(err.object, "there");
        ck_assert_uint_eq(taker.writes, i + 1);
    }
    drop(&taker);
    rig_drop(&rig);
    golden_drop(&golden);
}
END_TEST

START_TEST(a_token_that_is_fired_ends_it)
{
    uint32_t flags = _i ? RAFS_EROFS_WHOLE : 0;
    struct taker taker = {.fail_at = SIZE_MAX};
    rafs_cancel *cancel = NULL;
    struct golden golden;
    struct rig rig;
    rafs_call call;

    golden_load(golden_folder(), "v5-chunk4k", &golden);
    rig_init(&rig, &golden, NULL);
    ck_assert_int_eq(rig_open(&rig, &golden, NULL, 0, NULL), RAFS_OK);
    NEED(rafs_cancel_new(&cancel, NULL) == RAFS_OK);
    rafs_call_init(&call, NULL, 0, cancel);
    taker.cancel = cancel;
    /* The first bytes are all but the last where there is no content. */
    if (flags)
        ck_assert_int_eq(write_as(rig.image, flags, &taker, NULL, &call, NULL),
                         RAFS_E_CANCELLED);
    rafs_cancel_fire(cancel);
    empty(&taker);
    ck_assert_int_eq(write_as(rig.image, flags, &taker, NULL, &call, NULL),
                     RAFS_E_CANCELLED);
    ck_assert_uint_eq(taker.writes, 0);
    rafs_cancel_free(cancel);
    drop(&taker);
    rig_drop(&rig);
    golden_drop(&golden);
}
END_TEST

struct told {
    uint64_t calls, written, total;
};

static void tell(void *user, const rafs_erofs_progress *progress)
{
    struct told *told = user;

    ck_assert_uint_eq(progress->struct_size, sizeof(*progress));
    ck_assert_uint_ge(progress->written, told->written);
    ck_assert(progress->total == 0 || progress->written <= progress->total);
    told->calls++;
    told->written = progress->written;
    told->total = progress->total;
}

START_TEST(progress_ends_at_all_of_it)
{
    rafs_erofs_options options = RAFS_EROFS_OPTIONS_INIT;
    rafs_erofs_result result = RAFS_EROFS_RESULT_INIT;
    struct taker taker = {.fail_at = SIZE_MAX};
    struct told told = {0};
    struct golden golden;
    struct rig rig;

    golden_load(golden_folder(), variants[_i], &golden);
    rig_init(&rig, &golden, NULL);
    ck_assert_int_eq(rig_open(&rig, &golden, NULL, 0, NULL), RAFS_OK);
    options.flags = RAFS_EROFS_WHOLE;
    options.progress = tell;
    options.progress_user = &told;
    ck_assert_int_eq(
        rafs_image_write_erofs(rig.image, &options, take, &taker, &result, NULL, NULL),
        RAFS_OK);
    ck_assert_uint_gt(told.calls, 0);
    ck_assert_uint_eq(told.written, result.size);
    ck_assert_uint_eq(told.total, result.size);
    ck_assert_uint_gt(result.data_bytes, 0);
    options.flags = 0x80;
    ck_assert_int_eq(
        rafs_image_write_erofs(rig.image, &options, take, &taker, &result, NULL, NULL),
        RAFS_E_UNSUPPORTED);
    drop(&taker);
    rig_drop(&rig);
    golden_drop(&golden);
}
END_TEST

START_TEST(content_that_is_wrong_or_lost_is_an_error)
{
    static const struct {
        enum script_fault fault;
        int code;
    } faults[] = {{SCRIPT_FAILS, RAFS_E_BACKEND},
                  {SCRIPT_ALTERED, RAFS_E_CORRUPT},
                  {SCRIPT_SHORT, RAFS_E_CORRUPT}};

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct taker taker = {.fail_at = SIZE_MAX};
        struct golden golden;
        struct rig rig;
        int rc;

        golden_load(golden_folder(), variants[_i], &golden);
        rig_init(&rig, &golden, NULL);
        ck_assert_int_eq(rig_open(&rig, &golden, NULL, 0, NULL), RAFS_OK);
        script_arm(&rig.script, faults[i].fault, 5);
        rig.script.fault_stays = true;
        rc = write_as(rig.image, RAFS_EROFS_WHOLE, &taker, NULL, NULL, NULL);
        ck_assert_msg(rc == faults[i].code ||
                          (faults[i].fault == SCRIPT_SHORT && rc == RAFS_E_BACKEND),
                      "%s: %d", script_fault_names[faults[i].fault], rc);
        drop(&taker);
        rig_drop(&rig);
        golden_drop(&golden);
    }
}
END_TEST

/* xorshift64*: the same numbers on each machine. */
static uint64_t roll(uint64_t *state, uint64_t sides)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * 0x2545f4914f6cdd1du >> 16) % sides;
}

/* One file in the image as it is and as it was written: both say the same, or both fail.
 */
static void compare_file(const rafs_image *image, const rafs_image *again,
                         const rafs_walk_entry *entry)
{
    size_t len = (size_t)entry->attr.size, got = 0, got_again = 0;
    uint8_t *a, *b;
    uint64_t ino = 0, first;
    int rc = rafs_image_resolve(image, entry->path, RAFS_RESOLVE_NOFOLLOW, &first, NULL);
    int rc_again =
        rafs_image_resolve(again, entry->path, RAFS_RESOLVE_NOFOLLOW, &ino, NULL);

    /* Version 6 may have names out of order, which lookups do not find. */
    ck_assert_int_eq(rc, rc_again);
    if (rc < 0 || !S_ISREG(entry->attr.mode) || len > 4 << 20)
        return;
    a = malloc(len + 1);
    b = malloc(len + 1);
    NEED(a && b);
    rc = rafs_image_read(image, entry->ino, 0, len, a, &got, NULL, NULL);
    rc_again = rafs_image_read(again, ino, 0, len, b, &got_again, NULL, NULL);
    if (rc == RAFS_OK || rc_again == RAFS_OK)
        ck_assert_msg(rc == rc_again && got == got_again && memcmp(a, b, got) == 0,
                      "%s: %d and then %d", entry->path, rc, rc_again);
    free(a);
    free(b);
}

static void compare(const rafs_image *image, const rafs_image *again)
{
    const rafs_walk_entry *entry = NULL;
    rafs_walk *walk = NULL;

    ck_assert_int_eq(rafs_walk_open(image, "/", 0, &walk, NULL), RAFS_OK);
    while (rafs_walk_next(walk, &entry, NULL) == RAFS_OK && entry)
        compare_file(image, again, entry);
    ck_assert_ptr_null(entry);
    rafs_walk_close(walk);
}

/* A mutated bootstrap: refused, or the same image. *good counts those that were written.
 */
static void try_mutated(struct rig *rig, const struct golden *golden, struct taker *taker,
                        size_t *good)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *again = NULL;
    int fd;

    if (rig_open(rig, golden, NULL, 0, NULL) != RAFS_OK)
        return;
    empty(taker);
    if (write_as(rig->image, 0, taker, NULL, NULL, &err) == RAFS_OK) {
        fd = fd_of(&taker->bytes);
        ck_assert_msg(
            rafs_image_open_erofs(rig->image, fd, 0, NULL, &again, NULL, &err) == RAFS_OK,
            "%s: %s", err.object, err.text);
        compare(rig->image, again);
        rafs_image_close(again);
        close(fd);
        ++*good;
    } else {
        ck_assert_str_ne(err.text, "");
        ck_assert_int_ne(err.code, RAFS_E_BUG);
    }
    empty(taker);
    if (write_as(rig->image, RAFS_EROFS_WHOLE, taker, NULL, NULL, &err) < 0)
        ck_assert_int_ne(err.code, RAFS_E_BUG);
    rig_close(rig);
}

START_TEST(an_image_that_lies_is_refused_or_the_same)
{
    const char *full = getenv("RAFS_TEST_FULL");
    size_t count = full && strcmp(full, "1") == 0 ? 20000 : 100;
    uint64_t state = 0x9e3779b97f4a7c15u * ((uint64_t)_i + 1);
    struct taker taker = {.fail_at = SIZE_MAX};
    struct golden golden;
    size_t good = 0;
    struct rig rig;

    golden_load(golden_folder(), variants[_i], &golden);
    rig_init(&rig, &golden, NULL);
    for (size_t i = 0; i < count; i++) {
        size_t at = roll(&state, rig.boot.len);
        uint8_t kept;

        for (int k = 0; k < 20 && rig.boot.at[at] == 0; k++)
            at = roll(&state, rig.boot.len);
        kept = rig.boot.at[at];
        rig.boot.at[at] ^= (uint8_t)(1u << roll(&state, 8));
        try_mutated(&rig, &golden, &taker, &good);
        rig.boot.at[at] = kept;
    }
    ck_assert_uint_gt(good, count / 20);
    ck_assert_uint_lt(good, count);
    drop(&taker);
    rig_drop(&rig);
    golden_drop(&golden);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("erofs_faults");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, memory_that_runs_out_is_said_and_nothing_leaks, 0,
                        2 * VARIANTS);
    tcase_add_loop_test(tcase, opening_what_was_written_leaks_nothing, 0, VARIANTS);
    tcase_add_loop_test(tcase, a_write_that_fails_ends_it, 0, 2 * VARIANTS);
    tcase_add_loop_test(tcase, a_token_that_is_fired_ends_it, 0, 2);
    tcase_add_loop_test(tcase, progress_ends_at_all_of_it, 0, VARIANTS);
    tcase_add_loop_test(tcase, content_that_is_wrong_or_lost_is_an_error, 0, VARIANTS);
    tcase_add_loop_test(tcase, an_image_that_lies_is_refused_or_the_same, 0, VARIANTS);
    tcase_set_timeout(tcase, 0);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
