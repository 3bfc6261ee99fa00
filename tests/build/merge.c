/* SPDX-License-Identifier: Apache-2.0 */
/* Merging and laying out after a trace, with memory and sources that fail: an error and
 * nothing left, or the image. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "rafs/rafs.h"
#include "reading.h"

/* A sink in memory that keeps the bootstrap and the blobs' last one. */
struct kept {
    struct bytes boot, blob;
    char blob_id[80];
    unsigned begun, ended, committed;
};

struct object {
    struct kept *kept;
    uint32_t kind;
    struct bytes bytes;
};

static int begin(void *user, uint32_t kind, void **object, const rafs_call *call,
                 rafs_error *err)
{
    struct object *made = calloc(1, sizeof(*made));

    (void)call;
    (void)err;
    NEED(made);
    made->kept = user;
    made->kind = kind;
    made->kept->begun++;
    *object = made;
    return RAFS_OK;
}

static int append(void *user, void *object, const void *data, size_t len,
                  const rafs_call *call, rafs_error *err)
{
    struct object *to = object;

    (void)user;
    (void)call;
    (void)err;
    to->bytes.at = realloc(to->bytes.at, to->bytes.len + len);
    NEED(to->bytes.at);
    memcpy(to->bytes.at + to->bytes.len, data, len);
    to->bytes.len += len;
    return RAFS_OK;
}

static int commit(void *user, void *object, const rafs_sink_object *what,
                  const rafs_call *call, rafs_error *err)
{
    struct object *done = object;
    struct kept *kept = user;

    (void)call;
    (void)err;
    ck_assert_uint_eq(what->size, done->bytes.len);
    kept->ended++;
    kept->committed += what->kind == RAFS_OBJECT_BOOTSTRAP;
    if (what->kind == RAFS_OBJECT_BLOB) {
        free(kept->blob.at);
        kept->blob = done->bytes;
        digest_text("", RAFS_DIGEST_SHA256, done->bytes, kept->blob_id);
    } else {
        free(kept->boot.at);
        kept->boot = done->bytes;
    }
    free(done);
    return RAFS_OK;
}

static void give_up(void *user, void *object)
{
    struct object *done = object;
    struct kept *kept = user;

    kept->ended++;
    free(done->bytes.at);
    free(done);
}

static void kept_drop(struct kept *kept)
{
    free(kept->boot.at);
    free(kept->blob.at);
    memset(kept, 0, sizeof(*kept));
}

struct source {
    struct golden golden;
    struct rig rig;
    struct watch clock;
    rafs_trace *trace; /* of all files */
};

static void read_all(const rafs_image *image)
{
    const rafs_walk_entry *entry = NULL;
    static char buf[1 << 20];
    rafs_walk *walk = NULL;

    NEED(rafs_walk_open(image, "/", 0, &walk, NULL) == RAFS_OK);
    while (rafs_walk_next(walk, &entry, NULL) == RAFS_OK && entry) {
        size_t nread = 1;

        for (uint64_t at = 0; S_ISREG(entry->attr.mode) && nread > 0; at += nread)
            NEED(rafs_image_read(image, entry->ino, at, sizeof(buf), buf, &nread, NULL,
                                 NULL) == RAFS_OK);
    }
    rafs_walk_close(walk);
}

static void source_open(struct source *source, const char *variant)
{
    watch_init(&source->clock);
    golden_load(golden_folder(), variant, &source->golden);
    rig_init(&source->rig, &source->golden, &source->clock);
    NEED(rig_open(&source->rig, &source->golden, NULL, 0, NULL) == RAFS_OK);
    source->trace = NULL;
}

static void source_close(struct source *source)
{
    rafs_trace_free(source->trace);
    rig_close(&source->rig);
    rig_drop(&source->rig);
    golden_drop(&source->golden);
}

static void record(struct source *source)
{
    NEED(rafs_trace_start(source->rig.image, NULL) == RAFS_OK);
    read_all(source->rig.image);
    NEED(rafs_trace_take(source->rig.image, &source->trace, NULL, NULL) == RAFS_OK);
}

/* Merge or, with a trace, optimize. */
static int build(const struct source *source, const rafs_env *env, struct kept *kept,
                 rafs_error *err)
{
    rafs_image_info info = {.struct_size = sizeof(info)};
    rafs_sink_ops ops = RAFS_SINK_OPS_INIT;
    rafs_build_options options;
    rafs_builder *builder = NULL;
    rafs_sink *sink = NULL;
    int rc;

    ops.begin = begin;
    ops.write = append;
    ops.commit = commit;
    ops.abort = give_up;
    NEED(rafs_image_get_info(source->rig.image, &info, NULL) == RAFS_OK);
    rafs_build_options_init(&options);
    options.version = info.version;
    options.chunk_size = info.chunk_size;
    options.threads = 1;
    if (!(info.flags & RAFS_FLAG_EXPLICIT_UID_GID))
        options.flags |= RAFS_BUILD_NO_OWNERS;
    rc = rafs_sink_new(&ops, kept, env, &sink, err);
    if (rc == RAFS_OK)
        rc = rafs_builder_new(&options, sink, env, &builder, err);
    if (rc == RAFS_OK && !source->trace)
        rc = rafs_builder_add_image(builder, source->rig.image, NULL, NULL, err);
    else if (rc == RAFS_OK)
        rc = rafs_builder_add_optimized(builder, source->rig.image, source->trace, NULL,
                                        err);
    if (rc == RAFS_OK)
        rc = rafs_builder_finish(builder, NULL, NULL, err);
    else if (builder)
        ck_assert_int_eq(rafs_builder_finish(builder, NULL, NULL, NULL), RAFS_E_BADARG);
    rafs_builder_free(builder);
    rafs_sink_free(sink);
    ck_assert_uint_eq(kept->begun, kept->ended);
    ck_assert_uint_eq(kept->committed, rc == RAFS_OK);
    return rc;
}

static const char *const variants[] = {"v5-zstd", "v6-zstd"};
enum { VARIANTS = sizeof(variants) / sizeof(*variants), WAYS = 2 };

START_TEST(without_memory_it_says_so)
{
    struct source source;
    struct watch watch;
    struct kept kept = {0};
    size_t n = 0;
    int rc;

    source_open(&source, variants[_i / WAYS]);
    if (_i % WAYS)
        record(&source);
    watch_init(&watch);
    do {
        rafs_error err = RAFS_ERROR_INIT;

        watch_fail_at(&watch, n++);
        rc = build(&source, &watch.env, &kept, &err);
        ck_assert_msg(rc == RAFS_OK || rc == RAFS_E_NOMEM, "%zu: %d %s", n, rc, err.text);
        ck_assert_uint_eq(watch.live, 0);
        ck_assert_int_eq(rc == RAFS_OK, !atomic_load(&watch.failed));
        if (rc < 0)
            kept_drop(&kept);
    } while (rc < 0);
    ck_assert_uint_gt(n, 20);
    kept_drop(&kept);
    source_close(&source);
}
END_TEST

/* All but inode numbers, what a directory takes on disk, and extended attributes, whose
 * order is another one: run_merge.py compares those. */
static void same_item(const struct item *a, const struct item *b)
{
    ck_assert_str_eq(a->path, b->path);
    ck_assert_uint_eq(a->attr.mode, b->attr.mode);
    ck_assert_uint_eq(a->attr.uid, b->attr.uid);
    ck_assert_uint_eq(a->attr.gid, b->attr.gid);
    ck_assert_uint_eq(a->attr.nlink, b->attr.nlink);
    ck_assert_int_eq(a->attr.mtime_sec, b->attr.mtime_sec);
    ck_assert_uint_eq(a->attr.mtime_nsec, b->attr.mtime_nsec);
    ck_assert_uint_eq(a->attr.rdev_major, b->attr.rdev_major);
    ck_assert_uint_eq(a->attr.rdev_minor, b->attr.rdev_minor);
    ck_assert(S_ISDIR(a->attr.mode) || a->attr.size == b->attr.size);
    ck_assert_uint_eq(a->content.len, b->content.len);
    if (a->content.len > 0)
        ck_assert_mem_eq(a->content.at, b->content.at, a->content.len);
}

/* What comes out reads as what went in: the bootstrap over the old blobs and the new. */
START_TEST(what_comes_out_reads_as_what_went_in)
{
    const char *variant = variants[_i / WAYS];
    struct reading before, after;
    struct golden made;
    struct source source;
    struct kept kept = {0};
    struct rig rig;
    rafs_error err = RAFS_ERROR_INIT;

    source_open(&source, variant);
    reading_take(source.rig.image, &before);
    if (_i % WAYS)
        record(&source);
    ck_assert_msg(build(&source, NULL, &kept, &err) == RAFS_OK, "%s: %s", err.object,
                  err.text);
    made = source.golden;
    made.boot = kept.boot;
    if (_i % WAYS) {
        ck_assert_uint_gt(kept.blob.len, 0);
        made.blob[made.blob_count] = kept.blob;
        memcpy(made.blob_id[made.blob_count++], kept.blob_id, sizeof(kept.blob_id));
    } else {
        ck_assert_uint_eq(kept.blob.len, 0);
    }
    rig_init(&rig, &made, &source.clock);
    ck_assert_int_eq(rig_open(&rig, &made, NULL, 0, &err), RAFS_OK);
    reading_take(rig.image, &after);
    ck_assert_uint_eq(after.count, before.count);
    for (size_t i = 0; i < before.count; i++)
        same_item(&before.items[i], &after.items[i]);
    rig_close(&rig);
    rig_drop(&rig);
    reading_drop(&before);
    reading_drop(&after);
    kept_drop(&kept);
    source_close(&source);
}
END_TEST

/* A source that is wrong at any of its answers: no image of it. */
START_TEST(nothing_is_stored_that_does_not_verify)
{
    struct source source;
    size_t answers;

    source_open(&source, variants[_i]);
    record(&source);
    for (enum script_fault fault = SCRIPT_FAILS; fault <= SCRIPT_ALTERED; fault++) {
        struct kept kept = {0};
        rafs_error err = RAFS_ERROR_INIT;
        int rc;

        /* A new image: the other has everything in its cache. */
        rig_close(&source.rig);
        NEED(rig_open(&source.rig, &source.golden, NULL, 0, NULL) == RAFS_OK);
        script_arm(&source.rig.script, fault, 1);
        source.rig.script.fault_stays = true;
        rc = build(&source, NULL, &kept, &err);
        answers = atomic_load(&source.rig.script.answers);
        ck_assert_msg(rc == RAFS_E_CORRUPT || rc == RAFS_E_BACKEND, "%s: %d %s (%zu)",
                      script_fault_names[fault], rc, err.text, answers);
        kept_drop(&kept);
    }
    script_arm(&source.rig.script, SCRIPT_GOOD, WATCH_NEVER);
    source_close(&source);
}
END_TEST

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Bits of a bootstrap are wrong: an error that says so, or an image that opens. */
START_TEST(a_damaged_bootstrap_is_an_error_or_an_image)
{
    unsigned rounds = getenv("RAFS_TEST_FULL") ? 5000 : 150;
    struct source source;
    struct watch watch;
    uint64_t state = (uint64_t)_i + 1;
    unsigned refused = 0, merged = 0;

    source_open(&source, variants[_i / WAYS]);
    if (_i % WAYS)
        record(&source);
    watch_init(&watch);
    rig_close(&source.rig);
    for (unsigned round = 0; round < rounds; round++) {
        struct bytes *boot = &source.rig.boot;
        rafs_error err = RAFS_ERROR_INIT;
        struct kept kept = {0};

        memcpy(boot->at, source.golden.boot.at, boot->len);
        for (uint64_t flips = 1 + next(&state) % 8; flips > 0; flips--)
            boot->at[next(&state) % boot->len] ^= (uint8_t)(1u << next(&state) % 8);
        if (rig_open(&source.rig, &source.golden, NULL, 0, &err) < 0) {
            rig_close(&source.rig);
            continue;
        }
        if (build(&source, &watch.env, &kept, &err) == RAFS_OK) {
            rafs_image *image = NULL;

            ck_assert_msg(rafs_image_open_memory(kept.boot.at, kept.boot.len, NULL,
                                                 &image, NULL, &err) == RAFS_OK,
                          "round %u: %s", round, err.text);
            rafs_image_close(image);
            merged++;
        } else {
            ck_assert_str_ne(err.text, "");
            refused++;
        }
        ck_assert_uint_eq(watch.live, 0);
        kept_drop(&kept);
        rig_close(&source.rig);
    }
    ck_assert_uint_gt(refused, 0);
    ck_assert_uint_gt(merged, 0);
    memcpy(source.rig.boot.at, source.golden.boot.at, source.rig.boot.len);
    source_close(&source);
}
END_TEST

START_TEST(arguments_are_looked_at)
{
    rafs_builder *none = NULL;
    struct source source;
    rafs_error err = RAFS_ERROR_INIT;

    source_open(&source, "v6-zstd");
    record(&source);
    ck_assert_int_eq(rafs_builder_add_image(none, source.rig.image, NULL, NULL, &err),
                     RAFS_E_BADARG);
    ck_assert_int_eq(
        rafs_builder_add_optimized(none, source.rig.image, source.trace, NULL, &err),
        RAFS_E_BADARG);
    ck_assert_int_eq(rafs_builder_add_optimized(none, NULL, source.trace, NULL, &err),
                     RAFS_E_BADARG);
    ck_assert_str_eq(err.text, "image is NULL");
    ck_assert_int_eq(rafs_builder_add_optimized(none, source.rig.image, NULL, NULL, &err),
                     RAFS_E_BADARG);
    ck_assert_str_eq(err.text, "trace is NULL");
    source_close(&source);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("merge");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, what_comes_out_reads_as_what_went_in, 0, VARIANTS * WAYS);
    tcase_add_loop_test(tcase, without_memory_it_says_so, 0, VARIANTS * WAYS);
    tcase_add_loop_test(tcase, nothing_is_stored_that_does_not_verify, 0, VARIANTS);
    tcase_add_loop_test(tcase, a_damaged_bootstrap_is_an_error_or_an_image, 0,
                        VARIANTS * WAYS);
    tcase_add_test(tcase, arguments_are_looked_at);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
