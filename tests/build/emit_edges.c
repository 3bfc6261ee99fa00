/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emitters at their edges: what the formats cannot hold is refused by its path, failures
 * of others end it and leave nothing, and bytes and memory follow from the image.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "draft.h"
#include "rafs/rafs.h"
#include "watch.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

enum { KIB = 1024, CHUNK = 4096 };

static const uint32_t versions[] = {5, 6};

/* Blobs have numbers in the order in which the tree refers to them, directory by
 * directory, and those that nothing refers to have none. */
START_TEST(blobs_are_numbered_by_first_use)
{
    struct draft draft;
    struct emitted emitted = EMITTED_INIT;
    uint32_t a, b, c, unused, used[4];

    draft_init(&draft, versions[_i], NULL);
    a = draft_blob(&draft, 'a');
    unused = draft_blob(&draft, 'u');
    b = draft_blob(&draft, 'b');
    c = draft_blob(&draft, 'c');
    draft_chunk(&draft, unused, 1, CHUNK);
    draft_file(&draft, "a/below", 1, a, 2);
    draft_file(&draft, "z", 1, b, 3);
    draft_file(&draft, "y", 1, c, 4);
    draft_file(&draft, "a/x", 1, c, 5);
    draft_seal(&draft);
    ck_assert_int_eq(draft_emit(&draft, &emitted, used, NULL), RAFS_OK);
    ck_assert_uint_eq(used[c], 0);
    ck_assert_uint_eq(used[b], 1);
    ck_assert_uint_eq(used[a], 2);
    ck_assert_uint_eq(used[unused], UINT32_MAX);
    emitted_drop(&emitted);
    draft_done(&draft);
}
END_TEST

/* Neither the order in which names came shows, nor that the image was written before. */
START_TEST(bytes_follow_from_the_image)
{
    struct emitted first = EMITTED_INIT, again = EMITTED_INIT, other = EMITTED_INIT;
    struct draft draft;
    char path[32];

    draft_init(&draft, versions[_i], NULL);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(path, sizeof(path), "d%u/f%u", i % 7, i);
        draft_add(&draft, path, S_IFREG | 0644);
    }
    draft_seal(&draft);
    ck_assert_int_eq(draft_emit(&draft, &first, NULL, NULL), RAFS_OK);
    ck_assert_int_eq(draft_emit(&draft, &again, NULL, NULL), RAFS_OK);
    draft_done(&draft);
    draft_init(&draft, versions[_i], NULL);
    for (unsigned i = 500; i-- > 0;) {
        snprintf(path, sizeof(path), "d%u/f%u", i % 7, i);
        draft_add(&draft, path, S_IFREG | 0644);
    }
    draft_seal(&draft);
    ck_assert_int_eq(draft_emit(&draft, &other, NULL, NULL), RAFS_OK);
    draft_done(&draft);
    ck_assert_uint_eq(first.len, again.len);
    ck_assert_mem_eq(first.bytes, again.bytes, first.len);
    ck_assert_uint_eq(first.len, other.len);
    ck_assert_mem_eq(first.bytes, other.bytes, first.len);
    emitted_drop(&first);
    emitted_drop(&again);
    emitted_drop(&other);
}
END_TEST

/* What the formats cannot hold. */
static void grow_target(struct draft *draft)
{
    static char target[RAFS_TARGET_MAX + 2];
    struct build_inode *inode = draft_symlink(draft, "a/wrong", "t");

    inode->size = draft->image.version == 6 ? 4096 : RAFS_TARGET_MAX + 1;
    memset(target, 't', (size_t)inode->size);
    inode->target = target;
}

static void grow_value(struct draft *draft)
{
    draft_xattr(draft, "a/wrong", S_IFREG | 0644, 65536);
}

static void grow_area(struct draft *draft)
{
    static char names[5][16];
    static const uint8_t value[65000];
    struct build_xattr xattrs[5];
    struct layers_entry entry = {
        .path = "a/wrong",
        .path_len = 7,
        .inode = {.mode = S_IFIFO | 0644, .xattrs = xattrs, .xattr_count = 5}};

    for (int i = 0; i < 5; i++) {
        snprintf(names[i], sizeof(names[i]), "user.%d", i);
        xattrs[i] = (struct build_xattr){names[i], value, 6, sizeof(value)};
    }
    draft_entry(draft, &entry);
}

static void grow_blobs(struct draft *draft)
{
    char path[32];

    for (unsigned i = 0; i < 255; i++) {
        snprintf(path, sizeof(path), "a/%s%u", i == 254 ? "wrong" : "f", i);
        draft_file(draft, path, 1, draft_blob(draft, 'a'), i);
    }
    /* The last name is the one that has no blob left for it. */
    draft_link(draft, "a/wrong", "a/wrong254");
}

static void grow_name(struct draft *draft)
{
    static const struct build_xattr unknown = {"system.nfs4_acl", NULL, 15, 0};

    draft_xattr(draft, "a/wrong", S_IFREG | 0644, 1);
    rafsi_layers_find(draft->layers, "a/wrong", 7)->inode->xattrs = &unknown;
}

static const struct {
    void (*grow)(struct draft *draft);
    uint32_t version;
    int code;
} limits[] = {
    {grow_target, 5, RAFS_E_LIMIT}, {grow_target, 6, RAFS_E_LIMIT},
    {grow_value, 6, RAFS_E_LIMIT},  {grow_area, 6, RAFS_E_LIMIT},
    {grow_blobs, 6, RAFS_E_LIMIT},
};

START_TEST(what_the_format_cannot_hold_is_refused_by_its_path)
{
    struct emitted emitted = EMITTED_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    struct draft draft;

    draft_init(&draft, limits[_i].version, NULL);
    limits[_i].grow(&draft);
    draft_seal(&draft);
    ck_assert_int_eq(draft_emit(&draft, &emitted, NULL, &err), limits[_i].code);
    ck_assert_int_eq(err.code, limits[_i].code);
    ck_assert_str_eq(err.object, "path /a/wrong");
    ck_assert_uint_eq(emitted.writes, 0);
    emitted_drop(&emitted);
    draft_done(&draft);
}
END_TEST

static void grow_compressed(struct draft *draft)
{
    draft_file(draft, "f", 1, draft_blob(draft, 'a'), 1);
    draft->image.blobs.at[0].record.compressor = RAFS_COMPRESSOR_ZSTD;
}

static void grow_batch(struct draft *draft)
{
    draft_file(draft, "f", 1, draft_blob(draft, 'a'), 1);
    draft->image.blobs.at[0].record.features |= RAFS_BLOB_BATCH;
}

START_TEST(v5_refuses_blobs_that_it_cannot_describe)
{
    void (*const grow[])(struct draft * draft) = {grow_compressed, grow_batch};
    struct emitted emitted = EMITTED_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    struct draft draft;

    draft_init(&draft, 5, NULL);
    grow[_i](&draft);
    draft_seal(&draft);
    ck_assert_int_eq(draft_emit(&draft, &emitted, NULL, &err), RAFS_E_UNSUPPORTED);
    ck_assert_str_eq(err.object, draft.image.blobs.at[0].record.id);
    emitted_drop(&emitted);
    draft_done(&draft);
}
END_TEST

START_TEST(unknown_name_space_is_refused)
{
    struct emitted emitted = EMITTED_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    struct draft draft;

    draft_init(&draft, versions[_i], NULL);
    grow_name(&draft);
    draft_seal(&draft);
    ck_assert_int_eq(draft_emit(&draft, &emitted, NULL, &err), RAFS_E_UNSUPPORTED);
    ck_assert_str_eq(err.object, "path /a/wrong");
    emitted_drop(&emitted);
    draft_done(&draft);
}
END_TEST

/* Nothing comes after a write that failed. */
START_TEST(failed_write_ends_it)
{
    struct draft draft;
    struct emitted emitted = EMITTED_INIT;
    char path[300];
    size_t writes;

    draft_init(&draft, versions[_i], NULL);
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(path, sizeof(path), "d/%0200u", i);
        draft_file(&draft, path, CHUNK, i == 0 ? draft_blob(&draft, 'a') : 0, i);
    }
    draft_seal(&draft);
    ck_assert_int_eq(draft_emit(&draft, &emitted, NULL, NULL), RAFS_OK);
    writes = emitted.writes;
    ck_assert_uint_gt(writes, 5);
    emitted_drop(&emitted);
    for (size_t i = 0; i < writes; i++) {
        rafs_error err = RAFS_ERROR_INIT;

        emitted.fail_at = i;
        ck_assert_int_eq(draft_emit(&draft, &emitted, NULL, &err), RAFS_E_BACKEND);
        ck_assert_uint_eq(emitted.writes, i + 1);
        ck_assert_str_eq(err.text, "as asked for");
        emitted_drop(&emitted);
    }
    draft_done(&draft);
}
END_TEST

START_TEST(failed_allocation_leaves_nothing)
{
    static struct watch watch;
    struct draft draft;
    size_t live, n;
    char path[64];

    watch_init(&watch);
    draft_init(&draft, versions[_i], &watch.env);
    draft_blob(&draft, 'a');
    for (unsigned i = 0; i < 300; i++) {
        snprintf(path, sizeof(path), "d%u/%u", i / 100, i);
        draft_file(&draft, path, CHUNK, 0, i);
    }
    draft_seal(&draft);
    live = atomic_load(&watch.live);
    for (n = 0;; n++) {
        struct emitted emitted = EMITTED_INIT;
        rafs_error err = RAFS_ERROR_INIT;
        int rc;

        watch_fail_at(&watch, n);
        rc = draft_emit(&draft, &emitted, NULL, &err);
        emitted_drop(&emitted);
        ck_assert_uint_eq(atomic_load(&watch.live), live);
        if (!atomic_load(&watch.failed)) {
            ck_assert_int_eq(rc, RAFS_OK);
            break;
        }
        ck_assert_int_eq(rc, RAFS_E_NOMEM);
        ck_assert_int_eq(err.code, RAFS_E_NOMEM);
    }
    ck_assert_uint_gt(n, 3);
    watch_fail_at(&watch, WATCH_NEVER);
    draft_done(&draft);
    ck_assert_uint_eq(atomic_load(&watch.live), 0);
}
END_TEST

/* Beside the image: 8 bytes a chunk in v6, 4 a name and 40 a directory in v5. */
START_TEST(memory_is_small)
{
    static struct watch watch;
    struct emitted emitted = EMITTED_INIT;
    enum { FILES = 20000 };
    struct draft draft;
    size_t before;
    char path[64];

    watch_init(&watch);
    draft_init(&draft, versions[_i], &watch.env);
    draft_blob(&draft, 'a');
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(path, sizeof(path), "d%u/%u", i / 100, i);
        draft_file(&draft, path, CHUNK, 0, i);
    }
    draft_seal(&draft);
    before = atomic_load(&watch.live_bytes);
    atomic_store(&watch.peak_bytes, before);
    ck_assert_int_eq(draft_emit(&draft, &emitted, NULL, NULL), RAFS_OK);
    ck_assert_uint_lt(atomic_load(&watch.peak_bytes) - before,
                      70 * KIB + FILES * (versions[_i] == 6 ? 9 : 5));
    emitted_drop(&emitted);
    draft_done(&draft);
}
END_TEST

static void add(TCase *tcase)
{
    int all = COUNT(versions);

    tcase_add_loop_test(tcase, blobs_are_numbered_by_first_use, 0, all);
    tcase_add_loop_test(tcase, bytes_follow_from_the_image, 0, all);
    tcase_add_loop_test(tcase, what_the_format_cannot_hold_is_refused_by_its_path, 0,
                        COUNT(limits));
    tcase_add_loop_test(tcase, v5_refuses_blobs_that_it_cannot_describe, 0, 2);
    tcase_add_loop_test(tcase, unknown_name_space_is_refused, 0, all);
    tcase_add_loop_test(tcase, failed_write_ends_it, 0, all);
    tcase_add_loop_test(tcase, failed_allocation_leaves_nothing, 0, all);
    tcase_add_loop_test(tcase, memory_is_small, 0, all);
}

int main(void)
{
    Suite *suite = suite_create("emit_edges");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    add(tcase);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
