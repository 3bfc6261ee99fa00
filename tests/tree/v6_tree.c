/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "tree/v6_tree.h"
#include "v6_image.h"

struct opened {
    uint8_t *bytes; /* exactly sized: a byte too many is seen by the address checker */
    struct rafsi_env env;
    struct rafsi_source *source;
    struct rafsi_tree *tree;
};

static int open_bytes(struct opened *image, const rafs_env *set, uint64_t index_bytes,
                      rafs_error *err)
{
    rafs_limits limits = {.struct_size = sizeof(limits),
                          .chunk_index_bytes = index_bytes};

    image->tree = NULL;
    ck_assert_int_eq(rafsi_env_take(set, &image->env, NULL), RAFS_OK);
    ck_assert_int_eq(
        rafsi_source_memory(&image->env, image->bytes, IMAGE_BYTES, &image->source, NULL),
        RAFS_OK);
    return rafsi_v6_open(&image->env, image->source, &limits, &image->tree, err);
}

static void make(struct opened *image)
{
    image->bytes = malloc(IMAGE_BYTES);
    ck_assert_ptr_nonnull(image->bytes);
    make_image(image->bytes);
}

static void close_tree(struct opened *image)
{
    if (image->tree)
        image->tree->ops->close(image->tree);
    rafsi_source_free(image->source);
}

static void make_and_open(struct opened *image)
{
    make(image);
    ck_assert_int_eq(open_bytes(image, NULL, 1 << 20, NULL), RAFS_OK);
}

static void drop(struct opened *image)
{
    close_tree(image);
    free(image->bytes);
}

static struct rafsi_node node_of(const struct opened *image, uint64_t ino)
{
    struct rafsi_node node;

    ck_assert_int_eq(image->tree->ops->node(image->tree, ino, &node, NULL), RAFS_OK);
    return node;
}

START_TEST(attributes_are_those_of_the_inode)
{
    struct opened image;
    struct rafsi_node node;

    make_and_open(&image);
    node = node_of(&image, NODE_N);
    ck_assert_uint_eq(node.attr.mode, S_IFCHR | 0600);
    ck_assert_uint_eq(node.attr.rdev_major, 0x123);
    ck_assert_uint_eq(node.attr.rdev_minor, 0x12345);
    ck_assert_uint_eq(node.attr.uid, 1000);
    ck_assert_uint_eq(node.attr.gid, 2000);
    ck_assert_int_eq(node.attr.mtime_sec, -5);
    ck_assert_uint_eq(node.attr.mtime_nsec, 7);
    ck_assert_uint_eq(node.attr.xattr_hint, 1);
    node = node_of(&image, FILE_A);
    ck_assert_uint_eq(node.attr.size, A_SIZE);
    ck_assert_uint_eq(node.attr.blocks, 17);
    ck_assert_uint_eq(node.attr.rdev_major, 0);
    ck_assert_uint_eq(node.attr.xattr_hint, 0);
    node = node_of(&image, FILE_Z);
    ck_assert_int_eq(node.attr.mtime_sec, BUILD_SEC);
    drop(&image);
}
END_TEST

START_TEST(owners_are_root_where_the_image_has_none)
{
    struct opened image;
    struct rafsi_node node;

    make(&image);
    put(image.bytes, 1152, 8, 0x1000025);
    ck_assert_int_eq(open_bytes(&image, NULL, 1 << 20, NULL), RAFS_OK);
    node = node_of(&image, FILE_A);
    ck_assert_uint_eq(node.attr.uid, 0);
    ck_assert_uint_eq(node.attr.gid, 0);
    drop(&image);
}
END_TEST

START_TEST(number_that_is_no_inode_is_a_bad_argument)
{
    static const uint64_t numbers[] = {0, (IMAGE_BYTES - META) / 32, UINT32_MAX,
                                       1ull << 32, UINT64_MAX};
    struct opened image;
    struct rafsi_node node;

    make_and_open(&image);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        ck_assert_int_eq(image.tree->ops->node(image.tree, numbers[i], &node, NULL),
                         RAFS_E_BADARG);
    drop(&image);
}
END_TEST

START_TEST(attributes_are_listed_with_their_values)
{
    struct opened image;
    struct rafsi_node node;
    struct rafsi_xattr xattr;
    uint64_t pos = 0;
    bool end = true;
    int rc;

    make_and_open(&image);
    node = node_of(&image, NODE_N);
    rc = image.tree->ops->xattr(image.tree, &node, &pos, &xattr, &end, NULL);
    ck_assert_int_eq(rc, RAFS_OK);
    ck_assert(!end);
    ck_assert_str_eq(xattr.name, "user.k");
    ck_assert_uint_eq(xattr.value_len, 1);
    ck_assert_uint_eq(image.bytes[xattr.value_at], 'v');
    rc = image.tree->ops->xattr(image.tree, &node, &pos, &xattr, &end, NULL);
    ck_assert_int_eq(rc, RAFS_OK);
    ck_assert_str_eq(xattr.name, "security.xy");
    ck_assert_uint_eq(xattr.value_len, 0);
    rc = image.tree->ops->xattr(image.tree, &node, &pos, &xattr, &end, NULL);
    ck_assert_int_eq(rc, RAFS_OK);
    ck_assert(end);
    drop(&image);
}
END_TEST

START_TEST(directory_is_listed_across_blocks_without_dots)
{
    static const char *const names[] = {"a", "d", "l", "n", "z"};
    struct opened image;
    struct rafsi_node root;
    struct rafsi_name name = {.next = 0};
    bool end = false;

    make_and_open(&image);
    root = node_of(&image, ROOT);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_eq(
            image.tree->ops->entry(image.tree, &root, name.next, &name, &end, NULL),
            RAFS_OK);
        ck_assert(!end);
        ck_assert_str_eq(name.name, names[i]);
    }
    ck_assert_int_eq(
        image.tree->ops->entry(image.tree, &root, name.next, &name, &end, NULL), RAFS_OK);
    ck_assert(end);
    drop(&image);
}
END_TEST

START_TEST(offset_that_no_entry_has_is_a_bad_argument)
{
    static const uint64_t offsets[] = {4, 4095, 4096 + 3, 8193, UINT64_MAX};
    struct opened image;
    struct rafsi_node root;
    struct rafsi_name name;
    bool end = false;

    make_and_open(&image);
    root = node_of(&image, ROOT);
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
        ck_assert_int_eq(
            image.tree->ops->entry(image.tree, &root, offsets[i], &name, &end, NULL),
            RAFS_E_BADARG);
    drop(&image);
}
END_TEST

START_TEST(name_that_is_missing_is_not_found_wherever_it_would_be)
{
    static const char *const names[] = {"!", "A",  "aa", "c",   "e",
                                        "k", "ll", "zz", "\xff"};
    struct opened image;
    struct rafsi_node root;
    uint64_t ino = 7;

    make_and_open(&image);
    root = node_of(&image, ROOT);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_int_eq(image.tree->ops->lookup(image.tree, &root, names[i],
                                                 strlen(names[i]), &ino, NULL),
                         RAFS_E_NOENT);
    ck_assert_uint_eq(ino, 7);
    drop(&image);
}
END_TEST

START_TEST(hole_reads_as_a_chunk_without_a_blob)
{
    struct opened image;
    struct rafsi_node file;
    struct rafsi_chunk chunk;

    make(&image);
    put(image.bytes, AT(FILE_A) + 72, 8, 0xffffffff00000000);
    ck_assert_int_eq(open_bytes(&image, NULL, 1 << 20, NULL), RAFS_OK);
    file = node_of(&image, FILE_A);
    ck_assert_int_eq(image.tree->ops->chunk(image.tree, &file, 5000, &chunk, NULL),
                     RAFS_OK);
    ck_assert(chunk.hole);
    ck_assert_uint_eq(chunk.file_offset, 4096);
    ck_assert_uint_eq(chunk.length, 4096);
    drop(&image);
}
END_TEST

/* The kernel reads the first entry of a file whose format says that its chunks lie one
 * after the other, and no reader may see anything else. */
START_TEST(chunks_that_are_said_to_follow_each_other_do)
{
    struct opened image;
    struct rafsi_node file;
    struct rafsi_chunk chunk;
    rafs_error err;

    for (int wrong = 0; wrong < 3; wrong++) {
        make(&image);
        put(image.bytes, AT(FILE_A) + 16, 4, 0x22); /* one chunk of four blocks */
        if (wrong == 1)
            put(image.bytes, AT(FILE_A) + 72, 8, 0xffffffff00000000);
        if (wrong == 2)
            put(image.bytes, AT(FILE_A) + 76, 4, 7);
        ck_assert_int_eq(open_bytes(&image, NULL, 1 << 20, NULL), RAFS_OK);
        file = node_of(&image, FILE_A);
        ck_assert_int_eq(image.tree->ops->chunk(image.tree, &file, 0, &chunk, NULL),
                         RAFS_OK);
        ck_assert_int_eq(image.tree->ops->chunk(image.tree, &file, 5000, &chunk, &err),
                         wrong ? RAFS_E_CORRUPT : RAFS_OK);
        if (wrong)
            ck_assert_uint_eq(err.offset, AT(FILE_A) + 72);
        drop(&image);
    }
}
END_TEST

START_TEST(chunk_without_a_record_is_said_to_have_none)
{
    struct opened image;
    struct rafsi_node file;
    struct rafsi_chunk chunk;

    make(&image);
    put(image.bytes, 1184, 8, 2 * 80); /* the record of chunk 0 comes last */
    ck_assert_int_eq(open_bytes(&image, NULL, 1 << 20, NULL), RAFS_OK);
    file = node_of(&image, FILE_A);
    ck_assert_int_eq(image.tree->ops->chunk(image.tree, &file, 0, &chunk, NULL), RAFS_OK);
    ck_assert(chunk.no_record);
    ck_assert_uint_eq(chunk.record.index, 0);
    ck_assert_int_eq(image.tree->ops->chunk(image.tree, &file, 4096, &chunk, NULL),
                     RAFS_OK);
    ck_assert(!chunk.no_record);
    ck_assert_uint_eq(chunk.record.digest[0], 0x8f);
    drop(&image);
}
END_TEST

START_TEST(image_without_a_chunk_table_has_no_records)
{
    struct opened image;
    struct rafsi_node file;
    struct rafsi_chunk chunk;

    make(&image);
    put(image.bytes, 1184, 8, 0);
    ck_assert_int_eq(open_bytes(&image, NULL, 1 << 20, NULL), RAFS_OK);
    ck_assert_uint_eq(rafsi_v6_chunk_count(image.tree), 0);
    file = node_of(&image, FILE_A);
    ck_assert_int_eq(image.tree->ops->chunk(image.tree, &file, 0, &chunk, NULL), RAFS_OK);
    ck_assert(chunk.no_record);
    drop(&image);
}
END_TEST

/* What one does to see a lie. */
enum what { OPEN, NODE, LIST, FIND, PARENT, TARGET, XATTR, CHUNK };

static const struct {
    const char *why;
    size_t at;
    size_t width;
    uint64_t value;
    enum what what;
    uint32_t nid;
    int code;
    uint64_t where;
} lies[] = {
    {"root beyond the file", 1038, 2, 0xffff, OPEN, 0, RAFS_E_CORRUPT, 1038},
    {"root is a file", 1038, 2, FILE_A, OPEN, 0, RAFS_E_CORRUPT, AT(FILE_A) + 4},
    {"device of another blob", 1408, 1, 'c', OPEN, 0, RAFS_E_CORRUPT, 1408},
    {"device of another size", 1472, 4, 4, OPEN, 0, RAFS_E_CORRUPT, 1472},
    {"attributes beyond the file", AT(ROOT) + 2, 2, 0xffff, OPEN, 0, RAFS_E_CORRUPT,
     AT(ROOT) + 2},
    {"directory beyond the file", AT(ROOT) + 16, 4, 6, OPEN, 0, RAFS_E_CORRUPT,
     AT(ROOT) + 16},
    {"directory at the last block", AT(ROOT) + 16, 4, 0xffffffff, OPEN, 0, RAFS_E_CORRUPT,
     AT(ROOT) + 16},
    {"directory without end", AT(ROOT) + 8, 8, ~0ull, OPEN, 0, RAFS_E_CORRUPT,
     AT(ROOT) + 16},
    {"content crosses a block", AT(DIR_D) + 8, 8, 4000, NODE, DIR_D, RAFS_E_CORRUPT,
     AT(DIR_D) + 64},
    {"chunk array beyond the file", AT(FILE_A) + 8, 8, 2100 * 4096, NODE, FILE_A,
     RAFS_E_CORRUPT, AT(FILE_A) + 8},
    {"chunks beyond 2^32", AT(FILE_A) + 8, 8, 1ull << 60, NODE, FILE_A, RAFS_E_CORRUPT,
     AT(FILE_A) + 8},
    {"chunks beyond counting", AT(FILE_A) + 8, 8, ~0ull, NODE, FILE_A, RAFS_E_CORRUPT,
     AT(FILE_A) + 8},
    {"entry is inode 0", ROOT_DIR + 24, 8, 0, LIST, ROOT, RAFS_E_CORRUPT, ROOT_DIR + 24},
    {"entry beyond the file", ROOT_DIR + 24, 8, 1ull << 59, LIST, ROOT, RAFS_E_CORRUPT,
     ROOT_DIR + 24},
    {"a name twice", ROOT_DIR + 52, 1, 'a', LIST, ROOT, RAFS_E_CORRUPT, ROOT_DIR + 36},
    {"unsorted block", ROOT_DIR + 51, 1, 'e', LIST, ROOT, RAFS_E_CORRUPT, ROOT_DIR + 36},
    {"unsorted blocks", ROOT_DIR + 4096 + 36, 1, 'd', LIST, ROOT, RAFS_E_CORRUPT,
     ROOT_DIR + 4096},
    {"name with a slash", ROOT_DIR + 51, 1, '/', LIST, ROOT, RAFS_E_CORRUPT,
     ROOT_DIR + 51},
    {"found entry beyond the file", ROOT_DIR + 24, 8, 1ull << 32, FIND, ROOT,
     RAFS_E_CORRUPT, ROOT_DIR + 24},
    {"no entries in a block", ROOT_DIR + 8, 2, 0, FIND, ROOT, RAFS_E_CORRUPT,
     ROOT_DIR + 8},
    {"broken first entry of a block", ROOT_DIR + 4096 + 10, 1, 9, FIND, ROOT,
     RAFS_E_CORRUPT, ROOT_DIR + 4096 + 10},
    {"no dots", AT(DIR_D) + 64 + 26, 1, 'x', PARENT, DIR_D, RAFS_E_CORRUPT,
     AT(DIR_D) + 64},
    {"dots are a file", AT(DIR_D) + 64 + 22, 1, 1, PARENT, DIR_D, RAFS_E_CORRUPT,
     AT(DIR_D) + 64 + 22},
    {"parent beyond the file", AT(DIR_D) + 64 + 12, 8, 1 << 30, PARENT, DIR_D,
     RAFS_E_CORRUPT, AT(DIR_D) + 64 + 12},
    {"NUL in a target", AT(LINK_L) + 65, 1, 0, TARGET, LINK_L, RAFS_E_CORRUPT,
     AT(LINK_L) + 64},
    {"shared attributes", AT(NODE_N) + 68, 1, 1, XATTR, NODE_N, RAFS_E_UNSUPPORTED,
     AT(NODE_N) + 68},
    {"attribute beyond its area", AT(NODE_N) + 78, 2, 20, XATTR, NODE_N, RAFS_E_CORRUPT,
     AT(NODE_N) + 76},
    {"area goes on after the attributes", AT(NODE_N) + 2, 2, 6, XATTR, NODE_N,
     RAFS_E_CORRUPT, AT(NODE_N) + 93},
    {"device 0", AT(FILE_A) + 66, 1, 0, CHUNK, FILE_A, RAFS_E_CORRUPT, AT(FILE_A) + 66},
    {"device 2 of 1", AT(FILE_A) + 66, 1, 2, CHUNK, FILE_A, RAFS_E_CORRUPT,
     AT(FILE_A) + 66},
    {"chunk 3 of 3", AT(FILE_A) + 64, 1, 3, CHUNK, FILE_A, RAFS_E_CORRUPT,
     AT(FILE_A) + 64},
    {"chunk 2^23", AT(FILE_A) + 67, 1, 0x80, CHUNK, FILE_A, RAFS_E_CORRUPT,
     AT(FILE_A) + 64},
    {"file says another place", AT(FILE_A) + 68, 4, 1, CHUNK, FILE_A, RAFS_E_CORRUPT,
     CHUNKS_AT + 160 + 56},
    {"place beyond the device", AT(FILE_A) + 68, 4, 3, CHUNK, FILE_A, RAFS_E_CORRUPT,
     AT(FILE_A) + 68},
    {"another chunk of the file", AT(FILE_A) + 64, 1, 1, CHUNK, FILE_A, RAFS_E_CORRUPT,
     CHUNKS_AT + 80 + 56},
    {"short last chunk", CHUNKS_AT + 40, 8, 4ull << 32 | 4, CHUNK, FILE_A, RAFS_E_CORRUPT,
     CHUNKS_AT + 44},
    {"long last chunk", AT(FILE_A) + 8, 8, A_SIZE + 1, CHUNK, FILE_A, RAFS_E_CORRUPT,
     CHUNKS_AT + 44},
    {"record of blob 1 of 1", CHUNKS_AT + 32, 4, 1, CHUNK, FILE_A, RAFS_E_CORRUPT,
     CHUNKS_AT + 32},
    {"record number beyond 2^24", CHUNKS_AT + 72, 4, 1 << 24, CHUNK, FILE_A,
     RAFS_E_CORRUPT, CHUNKS_AT + 72},
    {"two records of a chunk", CHUNKS_AT + 72, 4, 0, CHUNK, FILE_A, RAFS_E_CORRUPT,
     CHUNKS_AT},
    {"record of a hole", CHUNKS_AT + 160 + 36, 4, 2, CHUNK, FILE_A, RAFS_E_CORRUPT,
     CHUNKS_AT + 160 + 36},
    {"record of a batch", CHUNKS_AT + 160 + 36, 4, 8, CHUNK, FILE_A, RAFS_E_CORRUPT,
     CHUNKS_AT + 160 + 36},
    {"compressed without a compressor", CHUNKS_AT + 160 + 36, 4, 1, CHUNK, FILE_A,
     RAFS_E_CORRUPT, CHUNKS_AT + 160 + 36},
    {"stored in 0 bytes", CHUNKS_AT + 160 + 40, 4, 0, CHUNK, FILE_A, RAFS_E_CORRUPT,
     CHUNKS_AT + 160 + 40},
    {"plain in fewer bytes", CHUNKS_AT + 160 + 40, 4, 4095, CHUNK, FILE_A, RAFS_E_CORRUPT,
     CHUNKS_AT + 160 + 40},
    {"stored beyond the blob", CHUNKS_AT + 160 + 48, 8, A_SIZE - 4095, CHUNK, FILE_A,
     RAFS_E_CORRUPT, CHUNKS_AT + 160 + 48},
    {"place within a page", CHUNKS_AT + 160 + 56, 8, 512, CHUNK, FILE_A, RAFS_E_CORRUPT,
     CHUNKS_AT + 160 + 56},
};

static int list(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                rafs_error *err)
{
    struct rafsi_name name = {.next = 0};
    bool end = false;
    int rc = RAFS_OK;

    for (int i = 0; rc == RAFS_OK && !end; i++) {
        ck_assert_int_lt(i, IMAGE_BYTES);
        rc = tree->ops->entry(tree, dir, name.next, &name, &end, err);
    }
    return rc;
}

static int list_xattrs(const struct rafsi_tree *tree, const struct rafsi_node *node,
                       rafs_error *err)
{
    struct rafsi_xattr xattr;
    uint64_t pos = 0;
    bool end = false;
    int rc = RAFS_OK;

    for (int i = 0; rc == RAFS_OK && !end; i++) {
        ck_assert_int_lt(i, IMAGE_BYTES);
        rc = tree->ops->xattr(tree, node, &pos, &xattr, &end, err);
        if (rc == RAFS_OK && !end)
            ck_assert(rafsi_within(xattr.value_at, xattr.value_len, IMAGE_BYTES));
    }
    return rc;
}

static int list_chunks(const struct rafsi_tree *tree, const struct rafsi_node *file,
                       rafs_error *err)
{
    struct rafsi_chunk chunk;
    uint64_t pos = 0;
    int rc = RAFS_OK;

    while (rc == RAFS_OK && pos < file->attr.size) {
        rc = tree->ops->chunk(tree, file, pos, &chunk, err);
        if (rc < 0)
            break;
        ck_assert_uint_eq(chunk.file_offset, pos);
        ck_assert_uint_gt(chunk.length, 0);
        pos += chunk.length;
        if (chunk.hole)
            continue;
        ck_assert_uint_lt(chunk.record.blob, tree->super.blob_count);
        if (!chunk.no_record)
            ck_assert_uint_eq(chunk.record.uncompressed_size, chunk.length);
    }
    return rc;
}

static int do_what(const struct opened *image, enum what what, uint32_t nid,
                   rafs_error *err)
{
    const struct rafsi_tree *tree = image->tree;
    char target[V6_TARGET_MAX];
    struct rafsi_node node;
    uint64_t ino;
    int rc = tree->ops->node(tree, nid, &node, err);

    if (rc < 0 || what == OPEN || what == NODE)
        return rc;
    switch (what) {
    case LIST:
        return list(tree, &node, err);
    case FIND:
        return tree->ops->lookup(tree, &node, "a", 1, &ino, err);
    case PARENT:
        return tree->ops->parent(tree, &node, &ino, err);
    case TARGET:
        return tree->ops->target(tree, &node, 0, node.attr.size, target, err);
    case XATTR:
        return list_xattrs(tree, &node, err);
    default:
        return list_chunks(tree, &node, err);
    }
}

START_TEST(image_that_lies_is_refused_and_located)
{
    struct opened image;
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    make_and_open(&image); /* without the lie all is well */
    if (lies[_i].what != OPEN)
        ck_assert_int_eq(do_what(&image, lies[_i].what, lies[_i].nid, NULL), RAFS_OK);
    close_tree(&image);
    put(image.bytes, lies[_i].at, lies[_i].width, lies[_i].value);
    rc = open_bytes(&image, NULL, 1 << 20, &err);
    ck_assert_int_eq(rc, lies[_i].what == OPEN ? lies[_i].code : RAFS_OK);
    if (rc == RAFS_OK)
        rc = do_what(&image, lies[_i].what, lies[_i].nid, &err);
    ck_assert_msg(rc == lies[_i].code, "%s: %d", lies[_i].why, rc);
    ck_assert_msg(err.has_offset && err.offset == lies[_i].where,
                  "%s: located at %llu, not %llu: %s", lies[_i].why,
                  (unsigned long long)err.offset, (unsigned long long)lies[_i].where,
                  err.text);
    drop(&image);
}
END_TEST

START_TEST(blobs_of_one_id_are_refused)
{
    struct opened image;
    rafs_error err = RAFS_ERROR_INIT;

    make(&image);
    put(image.bytes, 1110, 2, 2);
    put(image.bytes, 1168, 4, 512);
    put(image.bytes, 1192, 8, 0);
    memcpy(image.bytes + 1408 + 128, image.bytes + 1408, 128);
    memcpy(image.bytes + BLOB_AT + 256, image.bytes + BLOB_AT, 256);
    put(image.bytes, BLOB_AT + 256 + 64, 4, 1);
    ck_assert_int_eq(open_bytes(&image, NULL, 1 << 20, &err), RAFS_E_CORRUPT);
    ck_assert_uint_eq(err.offset, BLOB_AT + 256);
    drop(&image);
}
END_TEST

static const struct {
    uint32_t nid;
    enum what what;
} deeds[] = {
    {ROOT, LIST},    {ROOT, FIND},     {ROOT, PARENT},  {FILE_A, CHUNK}, {DIR_D, LIST},
    {DIR_D, PARENT}, {LINK_L, TARGET}, {NODE_N, XATTR}, {FILE_Z, CHUNK},
};

/* One of the codes that a broken image may give; the address checker sees the rest. */
static void check_code(int rc)
{
    ck_assert_msg(rc == RAFS_OK || rc == RAFS_E_CORRUPT || rc == RAFS_E_UNSUPPORTED ||
                      rc == RAFS_E_NOENT || rc == RAFS_E_BADARG || rc == RAFS_E_LIMIT,
                  "%d", rc);
}

static void do_all(const struct opened *image)
{
    struct chunk_record record;
    uint64_t count = rafsi_v6_chunk_count(image->tree);

    for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
        struct rafsi_node node;
        uint32_t type;
        int rc = image->tree->ops->node(image->tree, deeds[i].nid, &node, NULL);

        check_code(rc);
        if (rc < 0)
            continue;
        type = node.attr.mode & S_IFMT; /* the callers of the operations look at it */
        if ((deeds[i].what == CHUNK && type != S_IFREG) ||
            (deeds[i].what == TARGET && type != S_IFLNK) ||
            ((deeds[i].what == LIST || deeds[i].what == FIND ||
              deeds[i].what == PARENT) &&
             type != S_IFDIR))
            continue;
        check_code(do_what(image, deeds[i].what, deeds[i].nid, NULL));
    }
    for (uint64_t i = 0; i < count; i++)
        check_code(rafsi_v6_chunk_at(image->tree, i, &record, NULL));
}

START_TEST(one_wrong_byte_anywhere_is_an_error_or_harmless)
{
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    struct opened image;

    make(&image);
    for (size_t at = 0; at < IMAGE_BYTES; at++) {
        if (rafsi_all_zero(image.bytes + (at & ~63ul), 64))
            continue; /* nothing is there: as good as never read */
        for (size_t i = 0; i < sizeof(masks); i++) {
            int rc;

            image.bytes[at] ^= masks[i];
            rc = open_bytes(&image, NULL, 1 << 20, NULL);
            check_code(rc);
            if (rc == RAFS_OK)
                do_all(&image);
            close_tree(&image);
            image.bytes[at] ^= masks[i];
        }
    }
    free(image.bytes);
}
END_TEST

START_TEST(index_larger_than_its_limit_is_refused_by_name)
{
    struct opened image;
    struct rafsi_node file;
    struct rafsi_chunk chunk;
    rafs_error err = RAFS_ERROR_INIT;

    make(&image);
    ck_assert_int_eq(open_bytes(&image, NULL, 3 * 8 - 1, NULL), RAFS_OK);
    file = node_of(&image, FILE_A);
    ck_assert_int_eq(image.tree->ops->chunk(image.tree, &file, 0, &chunk, &err),
                     RAFS_E_LIMIT);
    ck_assert_ptr_nonnull(strstr(err.text, "chunk_index_bytes"));
    close_tree(&image);
    ck_assert_int_eq(open_bytes(&image, NULL, 3 * 8, NULL), RAFS_OK);
    ck_assert_int_eq(image.tree->ops->chunk(image.tree, &file, 0, &chunk, &err), RAFS_OK);
    drop(&image);
}
END_TEST

/* Memory that fails at the n-th request, once. */
struct memory {
    int fail_at;
    int requests;
    int held;
};

static void *give(void *user, size_t size)
{
    struct memory *memory = user;
    void *ptr = memory->requests++ == memory->fail_at ? NULL : malloc(size);

    memory->held += ptr != NULL;
    return ptr;
}

static void take(void *user, void *ptr)
{
    struct memory *memory = user;

    memory->held--;
    free(ptr);
}

/* Source, tree, slot, blobs; then the index, and room for records while it is made. */
#define OPENING 4
#define INDEXING 2
#define ALLOCATIONS (OPENING + INDEXING)

START_TEST(no_memory_is_reported_and_may_be_tried_again)
{
    struct opened image;

    make(&image);
    for (int fail_at = 0; fail_at <= ALLOCATIONS; fail_at++) {
        struct memory memory = {.fail_at = fail_at};
        rafs_env env = {.struct_size = sizeof(env), .user = &memory, .alloc = give};
        rafs_limits limits = {.struct_size = sizeof(limits), .chunk_index_bytes = 4096};
        struct rafsi_chunk chunk;
        struct rafsi_node file;
        rafs_error err = RAFS_ERROR_INIT;
        int rc;

        env.free = take;
        image.tree = NULL;
        image.source = NULL;
        ck_assert_int_eq(rafsi_env_take(&env, &image.env, NULL), RAFS_OK);
        rc = rafsi_source_memory(&image.env, image.bytes, IMAGE_BYTES, &image.source,
                                 &err);
        if (rc == RAFS_OK)
            rc = rafsi_v6_open(&image.env, image.source, &limits, &image.tree, &err);
        ck_assert_int_eq(rc, fail_at < OPENING ? RAFS_E_NOMEM : RAFS_OK);
        if (rc == RAFS_OK) {
            file = node_of(&image, FILE_A);
            rc = image.tree->ops->chunk(image.tree, &file, 0, &chunk, &err);
            ck_assert_int_eq(rc, fail_at < ALLOCATIONS ? RAFS_E_NOMEM : RAFS_OK);
            rc = image.tree->ops->chunk(image.tree, &file, 0, &chunk, &err);
            ck_assert_int_eq(rc, RAFS_OK);
            /* What came before the failure is asked for again. */
            ck_assert_int_eq(memory.requests,
                             ALLOCATIONS +
                                 (fail_at < ALLOCATIONS ? fail_at - OPENING + 1 : 0));
        }
        close_tree(&image);
        ck_assert_int_eq(memory.held, 0);
    }
    free(image.bytes);
}
END_TEST

#define MANY 20000u

/* An image whose chunk table has MANY records, of chunk i * step of a blob of 2^24. */
static void open_many(struct opened *image, uint32_t step)
{
    rafs_limits limits = {.struct_size = sizeof(limits), .chunk_index_bytes = MANY * 8};
    size_t size = CHUNKS_AT + (MANY * 80 + 4095) / 4096 * 4096;

    image->bytes = calloc(1, size);
    ck_assert_ptr_nonnull(image->bytes);
    make_image(image->bytes);
    put(image->bytes, 1184, 8, MANY * 80);
    put(image->bytes, 1472, 4, 1 << 24);
    put(image->bytes, BLOB_AT + 72, 4, 1 << 24);
    put(image->bytes, BLOB_AT + 96, 8, 1ull << 36);
    put(image->bytes, BLOB_AT + 112, 8, 1ull << 39);
    put(image->bytes, BLOB_AT + 120, 8, 1ull << 28);
    put(image->bytes, BLOB_AT + 128, 8, 1ull << 28);
    put(image->bytes, BLOB_AT + 88, 8, 1ull << 40);
    for (uint32_t i = 0; i < MANY; i++)
        put(image->bytes, CHUNKS_AT + 80 * i + 72, 4, (i * step) & 0xffffff);
    ck_assert_int_eq(rafsi_env_take(NULL, &image->env, NULL), RAFS_OK);
    ck_assert_int_eq(
        rafsi_source_memory(&image->env, image->bytes, size, &image->source, NULL),
        RAFS_OK);
    ck_assert_int_eq(
        rafsi_v6_open(&image->env, image->source, &limits, &image->tree, NULL), RAFS_OK);
}

START_TEST(chunks_are_found_in_whatever_order_the_table_has_them)
{
    static const uint32_t steps[] = {1, 0xffffff, 0x9e3779b1, 0x10001};

    for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
        struct opened image;
        bool found;
        uint64_t record = 0;

        open_many(&image, steps[k]);
        for (uint32_t i = 0; i < MANY; i++) {
            ck_assert_int_eq(rafsi_v6_find(v6_tree_of(image.tree), 0,
                                           (i * steps[k]) & 0xffffff, &found, &record,
                                           NULL),
                             RAFS_OK);
            ck_assert(found);
            ck_assert_uint_eq(record, i);
        }
        ck_assert_int_eq(rafsi_v6_find(v6_tree_of(image.tree), 0,
                                       (MANY * steps[k]) & 0xffffff, &found, &record,
                                       NULL),
                         RAFS_OK);
        ck_assert(!found);
        drop(&image);
    }
}
END_TEST

START_TEST(table_of_one_chunk_over_and_over_is_refused_where_it_is_used)
{
    struct opened image;
    bool found;
    uint64_t record;

    open_many(&image, 0);
    ck_assert_int_eq(rafsi_v6_find(v6_tree_of(image.tree), 0, 0, &found, &record, NULL),
                     RAFS_E_CORRUPT);
    ck_assert_int_eq(rafsi_v6_find(v6_tree_of(image.tree), 0, 1, &found, &record, NULL),
                     RAFS_OK);
    ck_assert(!found);
    drop(&image);
}
END_TEST

struct all_at_once {
    struct opened image;
    struct rafsi_node file;
    pthread_barrier_t barrier;
};

static void *first_reader(void *user)
{
    struct all_at_once *all = user;
    const struct rafsi_tree *tree = all->image.tree;
    intptr_t wrong = 0;

    pthread_barrier_wait(&all->barrier);
    for (uint64_t pos = 0; pos < A_SIZE; pos += 4096) {
        struct rafsi_chunk chunk;
        int rc = tree->ops->chunk(tree, &all->file, pos, &chunk, NULL);

        if (rc != RAFS_OK || chunk.record.index != pos / 4096)
            wrong++;
    }
    return (void *)wrong;
}

#define THREADS 8

START_TEST(threads_that_come_first_find_the_same_chunks)
{
    struct all_at_once all;
    pthread_t threads[THREADS];

    make_and_open(&all.image);
    all.file = node_of(&all.image, FILE_A);
    ck_assert_int_eq(pthread_barrier_init(&all.barrier, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, first_reader, &all), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;

        ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
        ck_assert_ptr_null(wrong);
    }
    pthread_barrier_destroy(&all.barrier);
    drop(&all.image);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, attributes_are_those_of_the_inode);
    tcase_add_test(tcase, owners_are_root_where_the_image_has_none);
    tcase_add_test(tcase, number_that_is_no_inode_is_a_bad_argument);
    tcase_add_test(tcase, attributes_are_listed_with_their_values);
    tcase_add_test(tcase, directory_is_listed_across_blocks_without_dots);
    tcase_add_test(tcase, offset_that_no_entry_has_is_a_bad_argument);
    tcase_add_test(tcase, name_that_is_missing_is_not_found_wherever_it_would_be);
    tcase_add_test(tcase, hole_reads_as_a_chunk_without_a_blob);
    tcase_add_test(tcase, chunks_that_are_said_to_follow_each_other_do);
    tcase_add_test(tcase, chunk_without_a_record_is_said_to_have_none);
    tcase_add_test(tcase, image_without_a_chunk_table_has_no_records);
    tcase_add_loop_test(tcase, image_that_lies_is_refused_and_located, 0,
                        (int)(sizeof(lies) / sizeof(lies[0])));
    tcase_add_test(tcase, blobs_of_one_id_are_refused);
    tcase_add_test(tcase, one_wrong_byte_anywhere_is_an_error_or_harmless);
    tcase_add_test(tcase, index_larger_than_its_limit_is_refused_by_name);
    tcase_add_test(tcase, no_memory_is_reported_and_may_be_tried_again);
    tcase_add_test(tcase, chunks_are_found_in_whatever_order_the_table_has_them);
    tcase_add_test(tcase, table_of_one_chunk_over_and_over_is_refused_where_it_is_used);
    tcase_add_test(tcase, threads_that_come_first_find_the_same_chunks);
}

int main(void)
{
    Suite *suite = suite_create("v6_tree");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    add(tcase);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
