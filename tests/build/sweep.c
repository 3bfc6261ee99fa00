/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault sweep of a build through the public API: the n-th allocation fails, the sink
 * refuses its n-th call, the n-th byte of content is not to be had, the cancel token is
 * fired at the n-th step, n = 0, 1, 2 … until nothing fails. Each run ends in the right
 * code, with all objects ended, no bootstrap kept and nothing left allocated; or in the
 * image that is made when nothing fails.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "made.h"
#include "scratch.h"
#include "watch.h"

enum { RUNS_MAX = 20000, FILES = 12 };

static const struct {
    const char *name;
    uint32_t version, compressor, flags, batch, threads;
    int directory; /* taken in beside the entries */
} builds[] = {
    {"v6, batches, inlined", 6, RAFS_STORE_ZSTD,
     RAFS_BUILD_TOC | RAFS_BUILD_INLINE_BOOTSTRAP, 65536, 1, 0},
    {"v6, lz4, a directory, three threads", 6, RAFS_STORE_LZ4, 0, 0, 3, 1},
    {"v5, layers", 5, RAFS_STORE_ZSTD, RAFS_BUILD_BLOB_PER_LAYER, 0, 2, 0},
    {"v5, none, a directory", 5, RAFS_STORE_NONE, 0, 0, 1, 1},
};
enum { BUILDS = sizeof(builds) / sizeof(builds[0]) };

static char folder[64];

static void make_folder(void)
{
    char path[128];
    FILE *file;

    snprintf(folder, sizeof(folder), "/tmp/rafs-sweep-XXXXXX");
    NEED(mkdtemp(folder));
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof(path), "%s/file%d", folder, i);
        file = fopen(path, "wb");
        NEED(file);
        for (int k = 0; k < 3000 * i; k++)
            fputc(k * i, file);
        NEED(fclose(file) == 0);
    }
    snprintf(path, sizeof(path), "%s/link", folder);
    NEED(symlink("file1", path) == 0);
}

struct faults {
    rafs_cancel *cancel;
    uint64_t cancel_at;  /* of steps */
    uint64_t content_at; /* of bytes of a file; UINT64_MAX: never */
    uint64_t steps;
};

static void step(struct faults *faults)
{
    if (faults->steps++ == faults->cancel_at)
        rafs_cancel_fire(faults->cancel);
}

static int add_file(rafs_builder *builder, int i, struct faults *faults,
                    const rafs_call *call, rafs_error *err)
{
    rafs_build_xattr xattr = {.name = "user.name", .value = "v", .size = 1};
    struct tagged tagged = {.tag = 7 + 13 * (uint64_t)i, .fail_at = faults->content_at};
    char path[32], target[32];
    rafs_build_entry entry = {.struct_size = sizeof(entry),
                              .mode = S_IFREG | 0644,
                              .path = path,
                              .xattrs = &xattr,
                              .xattr_count = i % 2 ? 1 : 0,
                              .mtime_sec = (int64_t)tagged.tag,
                              .size = tagged_size(tagged.tag),
                              .read = tagged_read,
                              .user = &tagged};

    snprintf(path, sizeof(path), "d%d/f%d", i % 3, i);
    snprintf(target, sizeof(target), "d%d/f%d", (i - 3) % 3, i - 3);
    if (i % 5 == 4)
        entry.hardlink = target;
    if (i % 5 == 3) {
        entry.mode = S_IFLNK | 0777;
        entry.target = target;
        entry.size = 0;
    }
    step(faults);
    return rafs_builder_add_entry(builder, &entry, call, err);
}

static int fill(rafs_builder *builder, size_t which, struct faults *faults,
                const rafs_call *call, rafs_error *err)
{
    int rc = RAFS_OK;

    if (builds[which].directory)
        rc = rafs_builder_add_directory(builder, folder, call, err);
    for (int i = 0; rc == RAFS_OK && i < FILES; i++) {
        rc = add_file(builder, i, faults, call, err);
        if (rc == RAFS_OK && i == FILES / 2 &&
            builds[which].flags & RAFS_BUILD_BLOB_PER_LAYER)
            rc = rafs_builder_next_layer(builder, call, err);
    }
    return rc;
}

static int build(size_t which, struct made *made, const rafs_env *env,
                 struct faults *faults, rafs_error *err)
{
    rafs_build_result result = {.struct_size = sizeof(result)}, before = result;
    rafs_build_options options;
    rafs_call call = RAFS_CALL_INIT;
    rafs_builder *builder = NULL;
    int rc;

    call.cancel = faults->cancel;
    faults->steps = 0;
    rafs_build_options_init(&options);
    options.version = builds[which].version;
    options.compressor = builds[which].compressor;
    options.flags = builds[which].flags;
    options.batch_size = builds[which].batch;
    options.threads = builds[which].threads;
    options.chunk_size = 65536;
    rc = rafs_builder_new(&options, made->sink, env, &builder, err);
    if (rc != RAFS_OK) {
        ck_assert_ptr_null(builder);
        return rc;
    }
    rc = fill(builder, which, faults, &call, err);
    step(faults);
    if (rc == RAFS_OK)
        rc = rafs_builder_finish(builder, &result, &call, err);
    if (rc != RAFS_OK)
        ck_assert_mem_eq(&result, &before, sizeof(result));
    rafs_builder_free(builder);
    return rc;
}

struct stage {
    struct watch watch;
    struct made made;
    struct faults faults;
    char good[80]; /* digest of the bootstrap when nothing fails */
    size_t live;
};

static void stage_set(struct stage *stage, size_t which)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;

    memset(stage, 0, sizeof(*stage));
    watch_init(&stage->watch);
    NEED(rafs_cancel_new(&stage->faults.cancel, NULL) == RAFS_OK);
    stage->faults.cancel_at = stage->faults.content_at = UINT64_MAX;
    made_init(&stage->made, &stage->watch.env);
    stage->live = stage->watch.live;
    ck_assert_msg(build(which, &stage->made, &stage->watch.env, &stage->faults, &err) ==
                      RAFS_OK,
                  "%s: %s: %s", builds[which].name, err.object, err.text);
    ck_assert_uint_eq(stage->watch.live, stage->live);
    snprintf(stage->good, sizeof(stage->good), "%s", made_bootstrap(&stage->made)->name);
    ck_assert_int_eq(made_open(&stage->made, NULL, &image, &err), RAFS_OK);
    ck_assert_int_eq(made_check(image, &err), RAFS_OK);
    ck_assert_uint_gt(tagged_verify(image), 3);
    rafs_image_close(image);
}

static void stage_clear(struct stage *stage)
{
    made_drop(&stage->made);
    rafs_cancel_free(stage->faults.cancel);
    ck_assert_uint_eq(stage->watch.live, 0);
}

/* One run with something armed. Whether it failed. */
static bool attempt(struct stage *stage, size_t which, int code, size_t n)
{
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    made_clear(&stage->made);
    rafs_cancel_reset(stage->faults.cancel);
    rc = build(which, &stage->made, &stage->watch.env, &stage->faults, &err);
    ck_assert_msg(stage->watch.live == stage->live, "%s, %zu: %zu blocks are left",
                  builds[which].name, n, (size_t)stage->watch.live - stage->live);
    if (rc == RAFS_OK) {
        ck_assert_str_eq(made_bootstrap(&stage->made)->name, stage->good);
        return false;
    }
    ck_assert_msg(rc == code, "%s, %zu: %s: %s: %s", builds[which].name, n,
                  rafs_error_name(rc), err.object, err.text);
    ck_assert_int_eq(err.code, rc);
    ck_assert_ptr_null(made_bootstrap(&stage->made));
    return true;
}

START_TEST(every_allocation_may_fail)
{
    size_t which = (size_t)_i, n = 0, failures = 0;
    struct stage stage;

    stage_set(&stage, which);
    for (; n < RUNS_MAX; n++) {
        watch_fail_at(&stage.watch, n);
        failures += attempt(&stage, which, RAFS_E_NOMEM, n);
        if (!stage.watch.failed)
            break;
    }
    watch_fail_at(&stage.watch, WATCH_NEVER);
    ck_assert_uint_lt(n, RUNS_MAX);
    ck_assert_uint_gt(failures, 10);
    stage_clear(&stage);
}
END_TEST

START_TEST(the_sink_may_refuse_every_call)
{
    size_t which = (size_t)_i, n = 0, failures = 0;
    struct stage stage;

    stage_set(&stage, which);
    for (; n < RUNS_MAX; n++) {
        stage.made.fail_at = n;
        failures += attempt(&stage, which, RAFS_E_BACKEND, n);
        if (!stage.made.failed)
            break;
        ck_assert_uint_eq(failures, n + 1);
    }
    ck_assert_uint_lt(n, RUNS_MAX);
    ck_assert_uint_gt(failures, 3);
    stage_clear(&stage);
}
END_TEST

START_TEST(content_may_end_anywhere)
{
    static const uint64_t places[] = {0, 1, 3000, 4095, 4096, 4097, 9000, 20000};
    size_t which = (size_t)_i, failures = 0;
    struct stage stage;

    stage_set(&stage, which);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        stage.faults.content_at = places[i];
        failures += attempt(&stage, which, RAFS_E_BACKEND, i);
    }
    ck_assert_uint_gt(failures, 4);
    stage_clear(&stage);
}
END_TEST

START_TEST(it_can_be_stopped_at_every_step)
{
    size_t which = (size_t)_i;
    struct stage stage;

    stage_set(&stage, which);
    for (uint64_t n = 0; n <= FILES; n++) {
        stage.faults.cancel_at = n;
        ck_assert_msg(attempt(&stage, which, RAFS_E_CANCELLED, n), "%s: step %u went on",
                      builds[which].name, (unsigned)n);
    }
    stage_clear(&stage);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sweep of builds");
    TCase *tcase = tcase_create("sweep");
    SRunner *runner;
    int failed;

    make_folder();
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, every_allocation_may_fail, 0, BUILDS);
    tcase_add_loop_test(tcase, the_sink_may_refuse_every_call, 0, BUILDS);
    tcase_add_loop_test(tcase, content_may_end_anywhere, 0, BUILDS);
    tcase_add_loop_test(tcase, it_can_be_stopped_at_every_step, 0, BUILDS);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    scratch_remove(folder);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
