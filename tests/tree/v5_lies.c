/* SPDX-License-Identifier: Apache-2.0 */
/* v5 bootstraps in which one field lies: refused where it is used, found by a check. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree_images.h"

static struct tree_image images[64];
static int image_count;

struct altered {
    struct tree_bytes bytes;
    struct opened_tree opened;
    bool open;
};

static void put(uint8_t *at, size_t size, uint64_t value)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void load(struct altered *altered, const char *name)
{
    const struct tree_image *image = tree_images_named(images, image_count, name);

    ck_assert_ptr_nonnull(image);
    altered->bytes = tree_bytes_load(image->boot);
    ck_assert_ptr_nonnull(altered->bytes.at);
    ck_assert_int_eq(
        opened_tree_bytes(&altered->opened, altered->bytes.at, altered->bytes.len, NULL),
        RAFS_OK);
    altered->open = true;
}

static void drop(struct altered *altered)
{
    if (altered->open)
        opened_tree_close(&altered->opened);
    free(altered->bytes.at);
}

static struct rafsi_node node_at(const struct altered *altered, const char *path)
{
    struct rafsi_node node;
    uint64_t ino;

    ck_assert_int_eq(
        rafsi_tree_resolve(altered->opened.tree, path, RAFS_RESOLVE_NOFOLLOW, &ino, NULL),
        RAFS_OK);
    ck_assert_int_eq(rafsi_tree_node(altered->opened.tree, ino, &node, NULL), RAFS_OK);
    return node;
}

/* The tables are read when a tree is opened, the rest is not: open again. */
static int reopen(struct altered *altered, rafs_error *err)
{
    int rc;

    opened_tree_close(&altered->opened);
    rc = opened_tree_bytes(&altered->opened, altered->bytes.at, altered->bytes.len, err);
    altered->open = rc == RAFS_OK;
    return rc;
}

struct seen {
    uint64_t findings;
    rafs_error first;
    const char *wanted; /* text that one of them has to hold */
    const char *object; /* and at which object */
    bool found;
};

static void on_finding(void *user, const rafs_error *finding)
{
    struct seen *seen = user;

    if (seen->findings++ == 0)
        seen->first = *finding;
    if (seen->wanted && strstr(finding->text, seen->wanted) &&
        (!seen->object || strstr(finding->object, seen->object)))
        seen->found = true;
}

static int run_check(const struct opened_tree *opened, struct seen *seen)
{
    struct rafsi_tree_visitor visitor = {.user = seen, .finding = on_finding};
    struct rafsi_hashes *hashes = NULL;
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    ck_assert_int_eq(rafsi_hashes_new(&opened->env, &hashes, &err), RAFS_OK);
    rc = rafsi_tree_check(opened->tree, hashes, &visitor, &err);
    rafsi_hashes_free(hashes);
    return rc;
}

/* Walk to the end whatever comes; the first error. */
static int run_walk(const struct rafsi_tree *tree, rafs_error *err, uint64_t *names)
{
    struct rafsi_walk *walk = NULL;
    const rafs_walk_entry *entry;
    int first = rafsi_walk_new(tree, "/", &walk, err);
    uint64_t steps = 0;

    *names = 0;
    while (walk) {
        rafs_error here = RAFS_ERROR_INIT;
        int rc = rafsi_walk_step(walk, &entry, &here);

        ck_assert_uint_le(++steps, 2 * tree->entries_max + 2);
        if (rc < 0) {
            ck_assert_int_eq(here.code, rc);
            ck_assert_str_ne(here.object, "");
            if (first == RAFS_OK)
                *err = here;
            first = first == RAFS_OK ? rc : first;
            continue;
        }
        if (!entry)
            break;
        ++*names;
    }
    rafsi_walk_free(walk);
    return first;
}

enum where { RECORD, NAME, TARGET, XATTRS, CHUNK0, CHUNK1, TABLE_ENTRY };

static uint64_t position(const struct altered *altered, const struct rafsi_node *node,
                         enum where where)
{
    switch (where) {
    case NAME:
        return rafsi_v5_name_at(node->at);
    case TARGET:
        return node->v5.target_at;
    case XATTRS:
        return node->v5.xattr_at;
    case CHUNK0:
        return node->v5.chunks_at;
    case CHUNK1:
        return node->v5.chunks_at + CHUNK_RECORD_BYTES;
    case TABLE_ENTRY: {
        uint64_t table = 0;

        for (int i = 0; i < 8; i++)
            table |= (uint64_t)altered->bytes.at[32 + i] << 8 * i;
        return table + (node->attr.ino - 1) * 4;
    }
    default:
        return node->at;
    }
}

/* What is wrong in one name's record shows when the walk comes to it. */
static const struct {
    const char *why, *path;
    enum where where;
    uint8_t at, size;
    uint64_t value;
    int code;
} names[] = {
    {"number of another", "/data/one", RECORD, 40, 8, 2, RAFS_E_CORRUPT},
    {"no type", "/data/one", RECORD, 60, 4, 0644, RAFS_E_CORRUPT},
    {"lies in another directory", "/data/one", RECORD, 32, 8, 1, RAFS_E_CORRUPT},
    {"directory in another", "/deep/a", RECORD, 32, 8, 1, RAFS_E_CORRUPT},
    {"unknown flag", "/data/one", RECORD, 80, 8, 0x100, RAFS_E_UNSUPPORTED},
    {"slash in a name", "/data/one", NAME, 1, 1, '/', RAFS_E_CORRUPT},
    {"NUL in a name", "/data/one", NAME, 1, 1, 0, RAFS_E_CORRUPT},
    {"name is a dot", "/deep/a", NAME, 0, 1, '.', RAFS_E_CORRUPT},
    {"names not in order", "/data/above", NAME, 0, 1, 'z', RAFS_E_CORRUPT},
    {"attributes longer than the file", "/attr/cap", RECORD, 128 + 8, 8, 1 << 30,
     RAFS_E_CORRUPT},
    {"attributes wrap", "/attr/cap", RECORD, 128 + 8, 8, UINT64_MAX, RAFS_E_CORRUPT},
    {"chunks past the end", "/data/one", RECORD, 64, 8, 1ull << 40, RAFS_E_CORRUPT},
    {"record in the super block", "/data/one", TABLE_ENTRY, 0, 4, 1, RAFS_E_CORRUPT},
    {"record past the end", "/data/one", TABLE_ENTRY, 0, 4, 1 << 28, RAFS_E_CORRUPT},
    {"record of another", "/data/one", TABLE_ENTRY, 0, 4, 0, RAFS_E_CORRUPT},
    {"children of another", "/empty-dir", RECORD, 96, 4, 1, RAFS_E_CORRUPT},
};

START_TEST(name_that_lies_is_refused_and_located)
{
    struct altered altered;
    struct rafsi_node node;
    rafs_error err = RAFS_ERROR_INIT;
    struct seen seen = {0};
    uint64_t before, after;
    int rc;

    load(&altered, "v5-zstd");
    ck_assert_int_eq(run_walk(altered.opened.tree, &err, &before), RAFS_OK);
    node = node_at(&altered, names[_i].path);
    put(altered.bytes.at + position(&altered, &node, names[_i].where) + names[_i].at,
        names[_i].size, names[_i].value);
    ck_assert_int_eq(reopen(&altered, &err), RAFS_OK);
    rc = run_walk(altered.opened.tree, &err, &after);
    ck_assert_msg(rc == names[_i].code, "%s: %d %s", names[_i].why, rc, err.text);
    ck_assert_str_eq(err.object, "bootstrap");
    ck_assert_uint_eq(err.has_offset, 1);
    ck_assert_uint_lt(err.offset, altered.bytes.len);
    /* The rest is still there: nothing but what lies below the liar is lost. */
    ck_assert_uint_ge(after + 2, before);
    ck_assert_int_eq(run_check(&altered.opened, &seen), RAFS_OK);
    ck_assert_uint_gt(seen.findings, 0);
    ck_assert_ptr_nonnull(strchr(seen.first.object, '/'));
    drop(&altered);
}
END_TEST

/* What only a look at the whole shows. */
static const struct {
    const char *path;
    enum where where;
    uint8_t at, size;
    uint64_t value;
    const char *text, *object;
} wholes[] = {
    {"/deep", RECORD, 88, 4, 4, "has 4 links", "/deep"},
    {"/data/one", RECORD, 0, 1, 0, "digest is not that", "/data/one"},
    {"/links/short", TARGET, 0, 1, 'x', "digest is not that", "/links/short"},
    {"/data/one", CHUNK0, 0, 1, 0x5a, "digest is not that", "/data/one"},
    {"/links/first", RECORD, 48, 4, 77, "differs from it", ""},
    {"/links/first", RECORD, 88, 4, 2, "differs from it", ""},
    {"/special/fifo", RECORD, 88, 4, 2, "has 1 names, but says 2", "inode"},
};

START_TEST(check_finds_what_contradicts_the_whole)
{
    struct altered altered;
    struct rafsi_node node;
    struct seen seen = {.wanted = wholes[_i].text, .object = wholes[_i].object};

    load(&altered, "v5-zstd");
    node = node_at(&altered, wholes[_i].path);
    put(altered.bytes.at + position(&altered, &node, wholes[_i].where) + wholes[_i].at,
        wholes[_i].size, wholes[_i].value);
    ck_assert_int_eq(reopen(&altered, NULL), RAFS_OK);
    ck_assert_int_eq(run_check(&altered.opened, &seen), RAFS_OK);
    ck_assert_msg(seen.found, "%s: %s", wholes[_i].text, seen.first.text);
    drop(&altered);
}
END_TEST

START_TEST(check_finds_an_attribute_that_comes_twice)
{
    struct altered altered;
    struct rafsi_node node;
    struct seen seen = {.wanted = "user.lines comes twice"};
    uint8_t *at;

    load(&altered, "v5-zstd");
    node = node_at(&altered, "/attr/binary");
    at = memmem(altered.bytes.at + node.v5.xattr_at, node.v5.xattr_bytes, "user.empty",
                10);
    ck_assert_ptr_nonnull(at);
    memcpy(at, "user.lines", 10);
    ck_assert_int_eq(run_check(&altered.opened, &seen), RAFS_OK);
    ck_assert(seen.found);
    memcpy(at, "usex.lines", 10);
    seen = (struct seen){.wanted = "unknown namespace"};
    ck_assert_int_eq(run_check(&altered.opened, &seen), RAFS_OK);
    ck_assert(seen.found);
    drop(&altered);
}
END_TEST

START_TEST(check_finds_a_prefetch_entry_that_is_no_inode)
{
    struct altered altered;
    struct seen seen = {.wanted = "of the prefetch table"};
    uint64_t inos[8];
    size_t count = 0;
    uint64_t table = 0;

    load(&altered, "v5-prefetch-fs");
    ck_assert_int_eq(rafsi_tree_prefetch(altered.opened.tree, 0, inos, 8, &count, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(count, 3);
    ck_assert_uint_eq(inos[0], node_at(&altered, "/data/text").attr.ino);
    for (int i = 0; i < 8; i++)
        table |= (uint64_t)altered.bytes.at[40 + i] << 8 * i;
    put(altered.bytes.at + table + 4, 4, 1000);
    ck_assert_int_eq(run_check(&altered.opened, &seen), RAFS_OK);
    ck_assert(seen.found);
    put(altered.bytes.at + table + 4, 4, 0); /* which ends the table */
    ck_assert_int_eq(rafsi_tree_prefetch(altered.opened.tree, 0, inos, 8, &count, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(count, 1);
    drop(&altered);
}
END_TEST

/* Fields of the second chunk of a file, of 64 KiB in this image. */
static const struct {
    const char *why;
    uint8_t at, size;
    uint64_t value;
    int code;
} chunks[] = {
    {"no such blob", 32, 4, 1, RAFS_E_CORRUPT},
    {"unknown flag", 36, 4, 0x41, RAFS_E_UNSUPPORTED},
    {"encrypted", 36, 4, 0x5, RAFS_E_UNSUPPORTED},
    {"batch", 36, 4, 0x9, RAFS_E_UNSUPPORTED},
    {"plain, but of two sizes", 36, 4, 0, RAFS_E_CORRUPT},
    {"shorter than a chunk", 44, 4, 0xffff, RAFS_E_CORRUPT},
    {"longer than a chunk", 44, 4, 0x10001, RAFS_E_CORRUPT},
    {"outside the blob", 48, 8, 1 << 30, RAFS_E_CORRUPT},
    {"end wraps", 48, 8, UINT64_MAX, RAFS_E_CORRUPT},
    {"outside the plain blob", 56, 8, 1ull << 40, RAFS_E_CORRUPT},
    {"elsewhere in the file", 64, 8, 0x20000, RAFS_E_CORRUPT},
    {"no such chunk in the blob", 72, 4, 0xffff, RAFS_E_CORRUPT},
};

START_TEST(chunk_that_lies_is_refused_and_located)
{
    struct altered altered;
    struct rafsi_node node;
    struct rafsi_chunk chunk;
    struct seen seen = {0};
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t at;
    int rc;

    load(&altered, "v5-chunk64k");
    node = node_at(&altered, "/data/large");
    at = position(&altered, &node, CHUNK1);
    ck_assert_int_eq(rafsi_tree_chunk(altered.opened.tree, &node, 0x10001, &chunk, &err),
                     RAFS_OK);
    ck_assert_uint_eq(chunk.file_offset, 0x10000);
    ck_assert_uint_eq(chunk.length, 0x10000);
    put(altered.bytes.at + at + chunks[_i].at, chunks[_i].size, chunks[_i].value);
    rc = rafsi_tree_chunk(altered.opened.tree, &node, 0x10001, &chunk, &err);
    ck_assert_msg(rc == chunks[_i].code, "%s: %d", chunks[_i].why, rc);
    ck_assert_str_eq(err.object, "bootstrap");
    ck_assert_uint_ge(err.offset, at);
    ck_assert_uint_lt(err.offset, at + CHUNK_RECORD_BYTES);
    ck_assert_int_eq(rafsi_tree_chunk(altered.opened.tree, &node, 0xffff, &chunk, &err),
                     RAFS_OK);
    ck_assert_int_eq(run_check(&altered.opened, &seen), RAFS_OK);
    ck_assert_uint_eq(seen.findings, 1);
    ck_assert_ptr_nonnull(strstr(seen.first.object, "/data/large"));
    drop(&altered);
}
END_TEST

/* Chunks 0 to 9 stay, 10 to 19 move up by 5 chunks, the others go. */
static struct rafsi_node make_sparse(struct altered *altered)
{
    struct rafsi_node node;
    uint64_t ino;

    load(altered, "v5-chunk4k");
    node = node_at(altered, "/data/large");
    ino = node.attr.ino;
    put(altered->bytes.at + node.at + 80, 8, V5_INODE_HAS_HOLE);
    put(altered->bytes.at + node.at + 96, 4, 20);
    for (uint64_t i = 10; i < 20; i++)
        put(altered->bytes.at + node.v5.chunks_at + i * CHUNK_RECORD_BYTES + 64, 8,
            (i + 5) * 4096);
    ck_assert_int_eq(rafsi_tree_node(altered->opened.tree, ino, &node, NULL), RAFS_OK);
    return node;
}

START_TEST(gaps_between_chunks_are_holes)
{
    struct altered altered;
    struct rafsi_node node = make_sparse(&altered);
    uint64_t last = node.attr.size - 1;

    for (uint64_t offset = 0; offset <= last; offset += 1 + offset % 7 * 500) {
        uint64_t i = offset / 4096;
        bool hole = (i >= 10 && i < 15) || i >= 25;
        struct rafsi_chunk chunk;

        ck_assert_int_eq(
            rafsi_tree_chunk(altered.opened.tree, &node, offset, &chunk, NULL), RAFS_OK);
        ck_assert_int_eq(chunk.hole, hole);
        ck_assert_uint_eq(chunk.file_offset, !hole    ? i * 4096
                                             : i < 15 ? 10 * 4096
                                                      : 25 * 4096);
        ck_assert_uint_eq(chunk.length, !hole    ? 4096
                                        : i < 15 ? 5 * 4096
                                                 : node.attr.size - 25 * 4096);
    }
    drop(&altered);
}
END_TEST

START_TEST(chunks_of_a_sparse_file_must_not_overlap)
{
    struct altered altered;
    struct rafsi_node node = make_sparse(&altered);
    struct rafsi_chunk chunk;
    rafs_error err;

    put(altered.bytes.at + node.v5.chunks_at + 5 * CHUNK_RECORD_BYTES + 64, 8,
        4 * 4096 + 1);
    ck_assert_int_eq(rafsi_tree_chunk(altered.opened.tree, &node, 4 * 4096, &chunk, &err),
                     RAFS_E_CORRUPT);
    put(altered.bytes.at + node.v5.chunks_at + 19 * CHUNK_RECORD_BYTES + 64, 8,
        node.attr.size - 4095);
    ck_assert_int_eq(
        rafsi_tree_chunk(altered.opened.tree, &node, node.attr.size - 1, &chunk, &err),
        RAFS_E_CORRUPT);
    drop(&altered);
}
END_TEST

START_TEST(chunk_that_says_it_is_a_hole_is_one)
{
    struct altered altered;
    struct rafsi_node node;
    struct rafsi_chunk chunk;

    load(&altered, "v5-chunk64k");
    node = node_at(&altered, "/data/large");
    put(altered.bytes.at + node.v5.chunks_at + 36, 4, CHUNK_HOLE);
    ck_assert_int_eq(rafsi_tree_chunk(altered.opened.tree, &node, 5, &chunk, NULL),
                     RAFS_OK);
    ck_assert(chunk.hole);
    ck_assert_uint_eq(chunk.length, 0x10000);
    drop(&altered);
}
END_TEST

START_TEST(image_whose_root_is_none_does_not_open)
{
    struct altered altered;
    struct rafsi_node root;
    rafs_error err = RAFS_ERROR_INIT;

    load(&altered, "v5-zstd");
    root = node_at(&altered, "/");
    put(altered.bytes.at + root.at + 60, 4, S_IFSOCK | 0755);
    put(altered.bytes.at + root.at + 96, 4, 0);
    ck_assert_int_eq(reopen(&altered, &err), RAFS_E_CORRUPT);
    ck_assert_str_eq(err.object, "bootstrap");
    ck_assert_uint_eq(err.offset, root.at + 60);
    drop(&altered);
}
END_TEST

START_TEST(number_of_a_further_link_is_no_inode)
{
    struct altered altered;
    struct rafsi_node node;
    uint64_t first = 0;
    int refused = 0;

    load(&altered, "v5-zstd");
    first = node_at(&altered, "/links/first").attr.ino;
    ck_assert_uint_eq(node_at(&altered, "/links/second").attr.ino, first);
    ck_assert_uint_eq(node_at(&altered, "/names/third").attr.ino, first);
    for (uint64_t ino = 1; ino <= altered.opened.tree->entries_max; ino++)
        refused +=
            rafsi_tree_node(altered.opened.tree, ino, &node, NULL) == RAFS_E_BADARG;
    ck_assert_int_eq(refused, 2);
    ck_assert_int_eq(rafsi_tree_node(altered.opened.tree, 0, &node, NULL), RAFS_E_BADARG);
    drop(&altered);
}
END_TEST

/* Names end, whatever a directory says of its children: here each of the tree's
 * directories is said to hold all that comes after it. */
START_TEST(directories_that_claim_everything_end_in_an_error)
{
    static const char *const dirs[] = {"/deep/a", "/empty-dir", "/names", "/"};
    struct altered altered;
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t count;

    load(&altered, "v5-zstd");
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        struct rafsi_node dir = node_at(&altered, dirs[i]);
        uint64_t entries = altered.opened.tree->entries_max;

        put(altered.bytes.at + dir.at + 92, 4, dir.attr.ino + 1);
        put(altered.bytes.at + dir.at + 96, 4, entries - dir.attr.ino);
    }
    ck_assert_int_eq(run_walk(altered.opened.tree, &err, &count), RAFS_E_CORRUPT);
    drop(&altered);
}
END_TEST

/* Fixed, so that a find stays found. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void use_all(const struct opened_tree *opened)
{
    struct rafsi_walk *walk = NULL;
    const rafs_walk_entry *entry;
    struct seen seen = {0};
    uint64_t steps = 0;
    uint64_t ino;
    char buf[256];
    size_t len;

    (void)rafsi_tree_resolve(opened->tree, "/links/long/../../names/third", 0, &ino,
                             NULL);
    if (rafsi_walk_new(opened->tree, "/", &walk, NULL) < 0)
        return;
    while (rafsi_walk_step(walk, &entry, NULL) < 0 || entry) {
        ck_assert_uint_le(++steps, 2 * opened->tree->entries_max + 2);
        if (entry)
            (void)rafsi_tree_path(opened->tree, entry->ino, buf, sizeof(buf), &len, NULL,
                                  NULL);
    }
    rafsi_walk_free(walk);
    ck_assert_int_eq(run_check(opened, &seen), RAFS_OK);
}

static void mutate(const char *name, uint64_t seed, int rounds)
{
    const struct tree_image *image = tree_images_named(images, image_count, name);
    struct tree_bytes bytes = {NULL, 0};

    ck_assert_ptr_nonnull(image);
    bytes = tree_bytes_load(image->boot);
    ck_assert_ptr_nonnull(bytes.at);
    for (int i = 0; i < rounds; i++) {
        size_t at = (size_t)(next_random(&seed) % bytes.len);
        uint8_t before = bytes.at[at];
        struct opened_tree opened;

        if (before == 0 && i % 4 != 0) /* padding: mostly of no use */
            continue;
        bytes.at[at] = (uint8_t)(i % 2 ? before ^ 1u << (i / 2 % 8) : next_random(&seed));
        if (opened_tree_bytes(&opened, bytes.at, bytes.len, NULL) == RAFS_OK) {
            use_all(&opened);
            opened_tree_close(&opened);
        }
        bytes.at[at] = before;
    }
    free(bytes.at);
}

START_TEST(any_byte_may_be_wrong)
{
    static const char *const variants[] = {"v5-zstd", "v5-chunk4k", "v5-merge",
                                           "v6-zstd", "v6-chunk4k", "v6-merge"};

    mutate(variants[_i], 0x9e3779b97f4a7c15u + (uint64_t)_i, 1000);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

int main(void)
{
    Suite *suite = suite_create("v5 lies");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    image_count = tree_images_find("v", images, 64);
    if (image_count == 0) {
        fprintf(stderr, "skipped: no golden images\n");
        return 77;
    }
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, name_that_lies_is_refused_and_located, 0, ROWS(names));
    tcase_add_loop_test(tcase, check_finds_what_contradicts_the_whole, 0, ROWS(wholes));
    tcase_add_test(tcase, check_finds_an_attribute_that_comes_twice);
    tcase_add_test(tcase, check_finds_a_prefetch_entry_that_is_no_inode);
    tcase_add_loop_test(tcase, chunk_that_lies_is_refused_and_located, 0, ROWS(chunks));
    tcase_add_test(tcase, gaps_between_chunks_are_holes);
    tcase_add_test(tcase, chunks_of_a_sparse_file_must_not_overlap);
    tcase_add_test(tcase, chunk_that_says_it_is_a_hole_is_one);
    tcase_add_test(tcase, image_whose_root_is_none_does_not_open);
    tcase_add_test(tcase, number_of_a_further_link_is_no_inode);
    tcase_add_test(tcase, directories_that_claim_everything_end_in_an_error);
    tcase_add_loop_test(tcase, any_byte_may_be_wrong, 0, 6);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
