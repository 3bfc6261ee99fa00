/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault sweep: every exported function with the n-th allocation failing, n = 0, 1, 2 …
 * until none does, and every one that asks backends with the n-th answer wrong in each
 * way that answers can be. Each run ends in the right code with nothing left allocated
 * and no output written, or in the right result. No third outcome.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reading.h"

enum { SECOND_NS = 1000000000, RUNS_MAX = 100000 };

static const char *const variants[] = {"v6-zstd",    "v5-lz4", "v6-none",
                                       "v5-chunk4k", "v6-toc", "v6-merge"};
enum { VARIANTS = sizeof(variants) / sizeof(variants[0]) };

/* What the operations work with. */
struct stage {
    struct golden golden;
    struct reading reading;
    struct watch watch;
    struct rig rig;
    const struct item *file; /* the largest */
    const struct item *link;
    const struct item *named; /* has an extended attribute */
    char xattr[256];
};

static const struct item *largest(const struct reading *reading, uint32_t type)
{
    const struct item *best = NULL;

    for (size_t i = 0; i < reading->count; i++) {
        const struct item *item = &reading->items[i];

        if ((item->attr.mode & S_IFMT) == type &&
            (!best || item->attr.size > best->attr.size))
            best = item;
    }
    NEED(best);
    return best;
}

static void find_xattr(struct stage *stage, const rafs_image *image)
{
    char names[4096];
    size_t len = 0;

    for (size_t i = 0; i < stage->reading.count && len == 0; i++) {
        stage->named = &stage->reading.items[i];
        NEED(rafs_image_list_xattr(image, stage->named->attr.ino, names, sizeof(names),
                                   &len, NULL) == RAFS_OK);
    }
    if (len > 0)
        snprintf(stage->xattr, sizeof(stage->xattr), "%.255s", names);
}

static void stage_set(struct stage *stage, const char *variant)
{
    struct rig rig;

    memset(stage, 0, sizeof(*stage));
    golden_load(golden_folder(), variant, &stage->golden);
    rig_init(&rig, &stage->golden, NULL);
    NEED(rig_open(&rig, &stage->golden, NULL, 0, NULL) == RAFS_OK);
    reading_take(rig.image, &stage->reading);
    stage->file = largest(&stage->reading, S_IFREG);
    stage->link = largest(&stage->reading, S_IFLNK);
    find_xattr(stage, rig.image);
    rig_drop(&rig);
    watch_init(&stage->watch);
    rig_init(&stage->rig, &stage->golden, &stage->watch);
}

static void stage_clear(struct stage *stage)
{
    rig_drop(&stage->rig);
    ck_assert_uint_eq(stage->rig.script.releases, 1);
    ck_assert_uint_eq(stage->watch.live, 0);
    reading_drop(&stage->reading);
    golden_drop(&stage->golden);
}

/* Each operation calls one function (or one handle's life), says how it ended, and checks
 * what it wrote. call may be used by those that take one. */
typedef int (*operation)(struct stage *stage, const rafs_call *call, rafs_error *err);

/* Outputs are filled with this before. */
static const uint64_t untouched = 0x5a5a5a5a5a5a5a5au;

static int op_resolve(struct stage *s, const rafs_call *call, rafs_error *err)
{
    uint64_t ino = untouched;
    int rc = rafs_image_resolve(s->rig.image, s->file->path, 0, &ino, err);

    (void)call;
    ck_assert_uint_eq(ino, rc == RAFS_OK ? s->file->attr.ino : untouched);
    return rc;
}

/* A link in a path makes its target a text of its own. */
static int op_resolve_link(struct stage *s, const rafs_call *call, rafs_error *err)
{
    uint64_t ino = untouched;
    int rc = rafs_image_resolve(s->rig.image, s->link->path, 0, &ino, err);

    (void)call;
    if (rc < 0)
        ck_assert_uint_eq(ino, untouched);
    return rc == RAFS_E_NOENT ? RAFS_OK : rc; /* where it leads is not our matter */
}

static int op_lookup(struct stage *s, const rafs_call *call, rafs_error *err)
{
    const char *slash = strrchr(s->file->path, '/');
    char *parent = strndup(s->file->path, (size_t)(slash - s->file->path));
    uint64_t ino = untouched;
    uint64_t dir = 0;
    int rc;

    (void)call;
    NEED(parent);
    rc = rafs_image_resolve(s->rig.image, parent, 0, &dir, err);
    if (rc == RAFS_OK)
        rc = rafs_image_lookup(s->rig.image, dir, slash + 1, &ino, err);
    ck_assert_uint_eq(ino, rc == RAFS_OK ? s->file->attr.ino : untouched);
    free(parent);
    return rc;
}

static int op_attr(struct stage *s, const rafs_call *call, rafs_error *err)
{
    rafs_attr attr, before;
    int rc;

    (void)call;
    memset(&before, 0x5a, sizeof(before));
    attr = before;
    rc = rafs_image_get_attr(s->rig.image, s->file->attr.ino, &attr, err);
    ck_assert_mem_eq(&attr, rc == RAFS_OK ? &s->file->attr : &before, sizeof(attr));
    return rc;
}

static int op_readlink(struct stage *s, const rafs_call *call, rafs_error *err)
{
    char buf[4200];
    size_t len = 99;
    int rc =
        rafs_image_readlink(s->rig.image, s->link->attr.ino, buf, sizeof(buf), &len, err);

    (void)call;
    ck_assert_uint_eq(len, rc == RAFS_OK ? s->link->content.len : 0);
    return rc;
}

static int op_xattrs(struct stage *s, const rafs_call *call, rafs_error *err)
{
    char buf[4200];
    size_t len = 99;
    int rc = rafs_image_list_xattr(s->rig.image, s->named->attr.ino, buf, sizeof(buf),
                                   &len, err);

    (void)call;
    if (rc < 0)
        ck_assert_uint_eq(len, 0);
    if (rc == RAFS_OK && s->xattr[0]) {
        rc = rafs_image_get_xattr(s->rig.image, s->named->attr.ino, s->xattr, buf,
                                  sizeof(buf), &len, err);
        if (rc < 0)
            ck_assert_uint_eq(len, 0);
    }
    return rc;
}

static int op_path(struct stage *s, const rafs_call *call, rafs_error *err)
{
    uint64_t again = 0;
    char buf[4200];
    size_t len = 99;
    int rc = rafs_image_get_path(s->rig.image, s->file->attr.ino, buf, sizeof(buf), &len,
                                 call, err);

    if (rc < 0) {
        ck_assert_uint_eq(len, 0);
        return rc;
    }
    ck_assert_uint_eq(len, strlen(buf));
    rc = rafs_image_resolve(s->rig.image, buf, 0, &again, err);
    if (rc == RAFS_OK)
        ck_assert_uint_eq(again, s->file->attr.ino);
    return rc;
}

static int op_readdir(struct stage *s, const rafs_call *call, rafs_error *err)
{
    rafs_image_info info = {.struct_size = sizeof(info)};
    rafs_dirent entries[8];
    char names[2048];
    size_t count = 99;
    int rc;

    (void)call;
    ck_assert_int_eq(rafs_image_get_info(s->rig.image, &info, NULL), RAFS_OK);
    rc = rafs_image_readdir(s->rig.image, info.root, 0, RAFS_DIR_ATTR, entries, 8, names,
                            sizeof(names), &count, err);
    if (rc < 0)
        ck_assert_uint_eq(count, 0);
    else
        ck_assert_uint_gt(count, 0);
    return rc;
}

static int op_dir(struct stage *s, const rafs_call *call, rafs_error *err)
{
    rafs_image_info info = {.struct_size = sizeof(info)};
    const rafs_dirent *entry = NULL;
    rafs_dir *dir = NULL;
    int rc;

    (void)call;
    ck_assert_int_eq(rafs_image_get_info(s->rig.image, &info, NULL), RAFS_OK);
    rc = rafs_dir_open(s->rig.image, info.root, 0, &dir, err);
    ck_assert_int_eq(rc == RAFS_OK, dir != NULL);
    do {
        if (rc == RAFS_OK)
            rc = rafs_dir_next(dir, &entry, err);
        ck_assert(rc == RAFS_OK || !entry);
    } while (entry && rc == RAFS_OK);
    rafs_dir_close(dir);
    return rc;
}

static int op_walk(struct stage *s, const rafs_call *call, rafs_error *err)
{
    const rafs_walk_entry *entry = NULL;
    rafs_walk *walk = NULL;
    size_t count = 0;
    int rc = rafs_walk_open(s->rig.image, "/", 0, &walk, err);

    (void)call;
    ck_assert_int_eq(rc == RAFS_OK, walk != NULL);
    while (rc == RAFS_OK) {
        rc = rafs_walk_next(walk, &entry, err);
        ck_assert(rc == RAFS_OK || !entry);
        if (!entry)
            break;
        count++;
    }
    if (rc == RAFS_OK)
        ck_assert_uint_eq(count, s->reading.count);
    rafs_walk_close(walk);
    return rc;
}

static int op_read(struct stage *s, const rafs_call *call, rafs_error *err)
{
    size_t len = s->file->content.len;
    uint8_t *buf = malloc(len + 1);
    size_t nread = 99;
    int rc;

    NEED(buf);
    rc = rafs_image_read(s->rig.image, s->file->attr.ino, 0, len + 1, buf, &nread, call,
                         err);
    ck_assert_uint_eq(nread, rc == RAFS_OK ? len : 0);
    if (rc == RAFS_OK)
        ck_assert_mem_eq(buf, s->file->content.at, len);
    free(buf);
    return rc;
}

static int op_readv(struct stage *s, const rafs_call *call, rafs_error *err)
{
    uint8_t a[100], b[1];
    rafs_iovec iov[3] = {{a, sizeof(a)}, {NULL, 0}, {b, sizeof(b)}};
    size_t nread = 99;
    int rc =
        rafs_image_readv(s->rig.image, s->file->attr.ino, 7, iov, 3, &nread, call, err);

    ck_assert_uint_eq(nread, rc == RAFS_OK ? 101 : 0);
    if (rc == RAFS_OK) {
        ck_assert_mem_eq(a, s->file->content.at + 7, 100);
        ck_assert_mem_eq(b, s->file->content.at + 107, 1);
    }
    return rc;
}

static int op_extents(struct stage *s, const rafs_call *call, rafs_error *err)
{
    rafs_extent extents[4];
    size_t count = 99;
    int rc = rafs_image_get_extents(s->rig.image, s->file->attr.ino, 0, extents, 4,
                                    &count, call, err);

    if (rc < 0)
        ck_assert_uint_eq(count, 0);
    else
        ck_assert_uint_gt(count, 0);
    return rc;
}

static int op_prefetch(struct stage *s, const rafs_call *call, rafs_error *err)
{
    uint64_t inos[4];
    size_t count = 99;
    int rc = rafs_image_get_prefetch(s->rig.image, 0, inos, 4, &count, err);

    (void)call;
    if (rc < 0)
        ck_assert_uint_eq(count, 0);
    return rc;
}

/* A check turns a source's faults into findings, so the first of them is its code. */
struct findings {
    int first;
    unsigned count;
};

static void finding(void *user, const rafs_error *found)
{
    struct findings *findings = user;

    if (findings->count++ == 0)
        findings->first = found->code;
    ck_assert_msg(found->object[0] != '\0' && found->text[0] != '\0', "says nothing");
}

static int op_check(struct stage *s, const rafs_call *call, rafs_error *err)
{
    rafs_check_options options = RAFS_CHECK_OPTIONS_INIT;
    rafs_check_result result = {.struct_size = sizeof(result)};
    struct findings findings = {0};
    int rc;

    options.user = &findings;
    options.finding = finding;
    rc = rafs_image_check(s->rig.image, &options, &result, call, err);
    ck_assert_int_eq(result.complete, rc == RAFS_OK);
    ck_assert_uint_eq(findings.count, result.corrupt + result.unreadable +
                                          result.unsupported + result.other);
    if (rc == RAFS_OK && findings.count > 0 && err) {
        err->code = findings.first;
        rc = findings.first;
    }
    return rc;
}

static int op_hash(struct stage *s, const rafs_call *call, rafs_error *err)
{
    rafs_hash *hash = NULL;
    int rc = rafs_hash_new(RAFS_DIGEST_SHA256, &s->watch.env, &hash, err);

    (void)call;
    ck_assert_int_eq(rc == RAFS_OK, hash != NULL);
    rafs_hash_free(hash);
    return rc;
}

static int op_backend_directory(struct stage *s, const rafs_call *call, rafs_error *err)
{
    rafs_backend *backend = NULL;
    int rc = rafs_backend_new_directory(golden_folder(), &s->watch.env, &backend, err);

    (void)call;
    ck_assert_int_eq(rc == RAFS_OK, backend != NULL);
    rafs_backend_free(backend);
    return rc;
}

static int op_backend_fd(struct stage *s, const rafs_call *call, rafs_error *err)
{
    int fd = open(RAFS_SOURCE_DIR "/tests/golden/README.md", O_RDONLY | O_CLOEXEC);
    rafs_backend *backend = NULL;
    int rc;

    (void)call;
    NEED(fd >= 0);
    rc = rafs_backend_new_fd("abc", fd, 1, 0, &s->watch.env, &backend, err);
    ck_assert_int_eq(rc == RAFS_OK, backend != NULL);
    rafs_backend_free(backend);
    close(fd);
    return rc;
}

static int op_backend_memory(struct stage *s, const rafs_call *call, rafs_error *err)
{
    rafs_backend *backend = NULL;
    int rc = rafs_backend_new_memory("abc", "abc", 3, &s->watch.env, &backend, err);

    (void)call;
    ck_assert_int_eq(rc == RAFS_OK, backend != NULL);
    rafs_backend_free(backend);
    return rc;
}

/* release() is the backend's own and must not come for one that was not made. */
static int op_backend_new(struct stage *s, const rafs_call *call, rafs_error *err)
{
    rafs_backend_ops ops = script_ops();
    struct script script;
    rafs_backend *backend = NULL;
    int rc;

    (void)call;
    script_init(&script, NULL, NULL, 0, NULL);
    rc = rafs_backend_new(&ops, &script, &s->watch.env, &backend, err);
    ck_assert_int_eq(rc == RAFS_OK, backend != NULL);
    rafs_backend_free(backend);
    ck_assert_uint_eq(script.releases, rc == RAFS_OK);
    return rc;
}

static int op_open_memory(struct stage *s, const rafs_call *call, rafs_error *err)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_image *image = NULL;
    int rc;

    options.env = &s->watch.env;
    options.expect_digest = s->golden.digest;
    options.name = s->golden.boot_name;
    rc = rafs_image_open_memory(s->rig.boot.at, s->rig.boot.len, &options, &image, call,
                                err);
    ck_assert_int_eq(rc == RAFS_OK, image != NULL);
    rafs_image_close(image);
    return rc;
}

static int op_open_path(struct stage *s, const rafs_call *call, rafs_error *err)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_image *image = NULL;
    char path[4096];
    int rc;

    snprintf(path, sizeof(path), "%s/%s/%s%s", golden_folder(), s->golden.name,
             s->golden.inlined ? "blobs/" : "", s->golden.boot_name);
    options.env = &s->watch.env;
    rc = rafs_image_open_path(path, &options, &image, call, err);
    ck_assert_int_eq(rc == RAFS_OK, image != NULL);
    rafs_image_close(image);
    return rc;
}

static const struct {
    const char *name;
    operation run;
    bool asks_backends;
} operations[] = {
    {"resolve", op_resolve, false},
    {"resolve a link", op_resolve_link, false},
    {"lookup", op_lookup, false},
    {"get_attr", op_attr, false},
    {"readlink", op_readlink, false},
    {"xattrs", op_xattrs, false},
    {"get_path", op_path, false},
    {"readdir", op_readdir, false},
    {"dir", op_dir, false},
    {"walk", op_walk, false},
    {"read", op_read, true},
    {"readv", op_readv, true},
    {"get_extents", op_extents, true},
    {"get_prefetch", op_prefetch, false},
    {"check", op_check, true},
    {"hash", op_hash, false},
    {"backend_new", op_backend_new, false},
    {"backend_new_directory", op_backend_directory, false},
    {"backend_new_fd", op_backend_fd, false},
    {"backend_new_memory", op_backend_memory, false},
    {"open_memory", op_open_memory, false},
    {"open_path", op_open_path, false},
};
enum { OPERATIONS = sizeof(operations) / sizeof(operations[0]) };

/* One run on a fresh image; nothing may be left of it. */
static int run(struct stage *stage, size_t op, size_t failing_allocation, rafs_error *err)
{
    rafs_call call;
    size_t live = stage->watch.live;
    int rc;

    watch_fail_at(&stage->watch, WATCH_NEVER);
    ck_assert_int_eq(rig_open(&stage->rig, &stage->golden, NULL, 0, NULL), RAFS_OK);
    watch_fail_at(&stage->watch, failing_allocation);
    call = watch_call(&stage->watch, SECOND_NS);
    rc = operations[op].run(stage, &call, err);
    rig_close(&stage->rig);
    ck_assert_msg(stage->watch.live == live, "%s, %s: something stays allocated",
                  stage->golden.name, operations[op].name);
    ck_assert_uint_eq(stage->rig.script.opens, stage->rig.script.closes);
    ck_assert_int_eq(rc, err->code);
    return rc;
}

START_TEST(the_nth_allocation_fails)
{
    struct stage stage;

    stage_set(&stage, variants[_i]);
    for (size_t op = 0; op < OPERATIONS; op++) {
        size_t n = 0;
        int rc;

        do {
            rafs_error err = RAFS_ERROR_INIT;

            rc = run(&stage, op, n, &err);
            ck_assert_msg(rc == RAFS_OK || (rc == RAFS_E_NOMEM && stage.watch.failed),
                          "%s, %s, allocation %zu: %s %s", variants[_i],
                          operations[op].name, n, rafs_error_name(rc), err.text);
            ck_assert_uint_lt(n, RUNS_MAX);
            n++;
        } while (stage.watch.failed);
        ck_assert_int_eq(rc, RAFS_OK);
    }
    stage_clear(&stage);
}
END_TEST

/* The code that a fault of the only source has to end in, if it does not end well. */
static int code_of(enum script_fault fault)
{
    switch (fault) {
    case SCRIPT_ALTERED:
        return RAFS_E_CORRUPT;
    case SCRIPT_LATE:
    case SCRIPT_HANGS:
        return RAFS_E_TIMEOUT;
    case SCRIPT_NOMEM:
        return RAFS_E_NOMEM;
    default:
        return RAFS_E_BACKEND;
    }
}

static void sweep_answers(struct stage *stage, size_t op, enum script_fault fault)
{
    size_t n = 0;

    for (;;) {
        rafs_error err = RAFS_ERROR_INIT;
        bool check = operations[op].run == op_check;
        int rc;

        script_arm(&stage->rig.script, fault, n);
        rc = run(stage, op, WATCH_NEVER, &err);
        if (!stage->rig.script.fired) {
            ck_assert_int_eq(rc, RAFS_OK);
            break;
        }
        /* A blob that is shorter than the image says is corrupt, says a check. */
        ck_assert_msg(rc == RAFS_OK || rc == code_of(fault) ||
                          (check && rc == RAFS_E_CORRUPT &&
                           (fault == SCRIPT_SHORT || fault == SCRIPT_EMPTY)),
                      "%s, %s, answer %zu %s: %s %s", stage->golden.name,
                      operations[op].name, n, script_fault_names[fault],
                      rafs_error_name(rc), err.text);
        /* Wrong bytes of what it needs cannot end well; the first answer is the blob's
         * opening, which has none. */
        if (operations[op].run == op_read && fault != SCRIPT_LATE && n > 0)
            ck_assert_int_ne(rc, RAFS_OK);
        n++;
    }
    ck_assert_msg(n > 0 || !stage->golden.blob_count || operations[op].run == op_extents,
                  "%s asks no backend", operations[op].name);
}

START_TEST(the_nth_answer_of_the_only_source_is_wrong)
{
    struct stage stage;

    stage_set(&stage, variants[_i]);
    for (size_t op = 0; op < OPERATIONS; op++)
        for (int fault = SCRIPT_GOOD + 1;
             operations[op].asks_backends && fault < SCRIPT_FAULTS; fault++)
            sweep_answers(&stage, op, (enum script_fault)fault);
    /* Who is to stop at a deadline has to be told of it. */
    ck_assert(!stage.rig.script.without_deadline);
    stage_clear(&stage);
}
END_TEST

/* Two sources of everything; the first does nothing right. */
static rafs_image *open_two(struct stage *stage, rafs_backend *const backends[2])
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_image *image = NULL;

    options.env = &stage->watch.env;
    options.backends = backends;
    options.backend_count = 2;
    NEED(rafs_image_open_memory(stage->rig.boot.at, stage->rig.boot.len, &options, &image,
                                NULL, NULL) == RAFS_OK);
    return image;
}

START_TEST(the_second_source_is_asked_when_the_first_is_wrong)
{
    static const enum script_fault faults[] = {
        SCRIPT_FAILS,  SCRIPT_SHORT,    SCRIPT_EMPTY,    SCRIPT_ALTERED,
        SCRIPT_CLAIMS, SCRIPT_NONSENSE, SCRIPT_POSITIVE, SCRIPT_NOENT};
    enum script_fault fault = faults[_i];
    rafs_stats stats = {.struct_size = sizeof(stats)};
    rafs_backend *backends[2];
    struct tally tally = {0};
    struct script liar;
    struct stage stage;

    stage_set(&stage, "v6-merge");
    script_init(&liar, stage.rig.blobs, stage.golden.blob_id, stage.golden.blob_count,
                &stage.watch);
    script_arm(&liar, fault, 0);
    liar.fault_stays = true;
    backends[0] = script_backend(&liar, &stage.watch.env);
    backends[1] = stage.rig.backend;
    stage.rig.image = open_two(&stage, backends);

    reading_compare(stage.rig.image, &stage.reading, &tally);

    ck_assert_uint_eq(tally.wrong, 0);
    ck_assert_uint_eq(tally.refused, 0);
    ck_assert_int_eq(rafs_image_get_stats(stage.rig.image, &stats, NULL), RAFS_OK);
    ck_assert_uint_gt(stage.rig.script.reads, 0);
    ck_assert_uint_gt(liar.answers, 0);
    ck_assert_uint_ge(stats.chunks_fetched, 2);
    if (fault == SCRIPT_ALTERED) {
        ck_assert_uint_ge(stats.chunks_refused, 1);
        /* Once a source lied it is asked last: once for each of the two blobs. */
        ck_assert_uint_le(liar.reads, 2);
    }
    rig_close(&stage.rig);
    rafs_backend_free(backends[0]);
    ck_assert_uint_eq(liar.releases, 1);
    ck_assert_uint_eq(liar.opens, liar.closes);
    stage_clear(&stage);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sweep");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, the_nth_allocation_fails, 0, VARIANTS);
    tcase_add_loop_test(tcase, the_nth_answer_of_the_only_source_is_wrong, 0, VARIANTS);
    tcase_add_loop_test(tcase, the_second_source_is_asked_when_the_first_is_wrong, 0, 8);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
