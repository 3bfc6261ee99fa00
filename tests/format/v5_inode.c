/* SPDX-License-Identifier: Apache-2.0 */
/* v5 inodes, their records and attributes: lies are refused and located. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/format.h"

#define ORIGIN 16384

static const struct v5_super super = {.chunk_size = 4096, .inode_table_entries = 100};

static void put(uint8_t *at, size_t size, uint64_t value)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

enum kind { ROOT, DIR, FILE_, LINK, FIFO };

static void good_inode(uint8_t *bytes, enum kind kind)
{
    static const uint32_t modes[] = {S_IFDIR | 0755, S_IFDIR | 0700, S_IFREG | 0644,
                                     S_IFLNK | 0777, S_IFIFO | 0600};

    memset(bytes, 0, V5_INODE_BYTES);
    memset(bytes, 0xcd, 32);
    put(bytes + 32, 8, kind == ROOT ? 0 : 1);
    put(bytes + 40, 8, kind == ROOT ? 1 : 7);
    put(bytes + 48, 4, 1000);
    put(bytes + 52, 4, 70000);
    put(bytes + 60, 4, modes[kind]);
    put(bytes + 64, 8, kind == FILE_ ? 10000 : kind == LINK ? 5 : 0);
    put(bytes + 72, 8, 24);
    put(bytes + 88, 4, kind == ROOT || kind == DIR ? 2 : 1);
    put(bytes + 92, 4, kind == ROOT || kind == DIR ? 10 : 0);
    put(bytes + 96, 4, kind == FILE_ ? 3 : kind == DIR ? 91 : 0);
    put(bytes + 100, 2, kind == ROOT ? 1 : 9);
    put(bytes + 102, 2, kind == LINK ? 5 : 0);
    put(bytes + 104, 4, 0xffffffff);
    put(bytes + 108, 4, 999999999);
    put(bytes + 112, 8, (uint64_t)-5);
}

static const struct {
    const char *why;
    enum kind kind;
    int code;
    uint8_t at, size;
    uint64_t value;
} lies[] = {
    {"number 0", FILE_, RAFS_E_CORRUPT, 40, 8, 0},
    {"number past the table", FILE_, RAFS_E_CORRUPT, 40, 8, 101},
    {"number of 64 bits", FILE_, RAFS_E_CORRUPT, 40, 8, 1ull << 32 | 7},
    {"root with a parent", ROOT, RAFS_E_CORRUPT, 32, 8, 1},
    {"no parent", FILE_, RAFS_E_CORRUPT, 32, 8, 0},
    {"own parent", DIR, RAFS_E_CORRUPT, 32, 8, 7},
    {"parent after it", DIR, RAFS_E_CORRUPT, 32, 8, 8},
    {"parent after it, one link", FILE_, RAFS_E_CORRUPT, 32, 8, 8},
    {"no type", FILE_, RAFS_E_CORRUPT, 60, 4, 0644},
    {"unknown type", FILE_, RAFS_E_CORRUPT, 60, 4, 0170644},
    {"mode above 16 bits", FILE_, RAFS_E_CORRUPT, 60, 4, 0x10000 | S_IFREG},
    {"unknown flag", FILE_, RAFS_E_UNSUPPORTED, 80, 8, 0x10},
    {"unknown high flag", FILE_, RAFS_E_UNSUPPORTED, 80, 8, 1ull << 63},
    {"no links", FILE_, RAFS_E_CORRUPT, 88, 4, 0},
    {"no name", FILE_, RAFS_E_CORRUPT, 100, 2, 0},
    {"name of 256", FILE_, RAFS_E_CORRUPT, 100, 2, 256},
    {"second of nanoseconds", FILE_, RAFS_E_CORRUPT, 108, 4, 1000000000},
    {"target of a file", FILE_, RAFS_E_CORRUPT, 102, 2, 1},
    {"target of a directory", DIR, RAFS_E_CORRUPT, 102, 2, 1},
    {"link without target", LINK, RAFS_E_CORRUPT, 102, 2, 0},
    {"too many chunks", FILE_, RAFS_E_CORRUPT, 96, 4, 4},
    {"too few chunks", FILE_, RAFS_E_CORRUPT, 96, 4, 2},
    {"no chunks", FILE_, RAFS_E_CORRUPT, 96, 4, 0},
    {"size whose chunks have 32 zero bits", FILE_, RAFS_E_CORRUPT, 64, 8,
     (1ull << 44) + 10000},
    {"size above what off_t holds", FILE_, RAFS_E_CORRUPT, 64, 8, 1ull << 63},
    {"children of a fifo", FIFO, RAFS_E_CORRUPT, 96, 4, 1},
    {"children of a link", LINK, RAFS_E_CORRUPT, 96, 4, 1},
    {"child before it", DIR, RAFS_E_CORRUPT, 92, 4, 6},
    {"own child", DIR, RAFS_E_CORRUPT, 92, 4, 7},
    {"first child past the table", DIR, RAFS_E_CORRUPT, 92, 4, 101},
    {"last child past the table", DIR, RAFS_E_CORRUPT, 96, 4, 92},
    {"children wrap", DIR, RAFS_E_CORRUPT, 96, 4, 0xfffffff8},
};

START_TEST(inode_is_decoded)
{
    uint8_t bytes[V5_INODE_BYTES];
    struct v5_inode out;

    for (int kind = ROOT; kind <= FIFO; kind++) {
        good_inode(bytes, (enum kind)kind);
        ck_assert_int_eq(
            rafsi_v5_inode((struct span){bytes, sizeof(bytes), 0}, &super, &out, NULL),
            RAFS_OK);
        ck_assert_uint_eq(out.ino, kind == ROOT ? 1 : 7);
        ck_assert_uint_eq(out.uid, 1000);
        ck_assert_uint_eq(out.gid, 70000);
        ck_assert_uint_eq(out.mtime, (uint64_t)-5);
        ck_assert_uint_eq(out.mtime_nsec, 999999999);
        ck_assert_uint_eq(out.digest[0], 0xcd);
    }
    /* A link of a file may lie in a directory that was numbered after it. */
    good_inode(bytes, FILE_);
    put(bytes + 32, 8, 8);
    put(bytes + 88, 4, 2);
    ck_assert_int_eq(
        rafsi_v5_inode((struct span){bytes, sizeof(bytes), 0}, &super, &out, NULL),
        RAFS_OK);
}
END_TEST

static void refuse(const uint8_t *from, size_t len, int code, const char *why)
{
    struct v5_inode before, out;
    rafs_error err = RAFS_ERROR_INIT;
    uint8_t *bytes = malloc(len ? len : 1);
    int rc;

    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, from, len);
    memset(&before, 7, sizeof(before));
    out = before;
    rc = rafsi_v5_inode((struct span){bytes, len, ORIGIN}, &super, &out, &err);
    ck_assert_msg(rc == code, "%s: %d", why, rc);
    ck_assert_int_eq(err.code, rc);
    ck_assert_uint_eq(err.has_offset, 1);
    ck_assert_uint_ge(err.offset, ORIGIN);
    ck_assert_uint_le(err.offset, ORIGIN + V5_INODE_BYTES);
    ck_assert_mem_eq(&out, &before, sizeof(out));
    free(bytes);
}

START_TEST(inode_that_lies_is_refused_and_located)
{
    uint8_t bytes[V5_INODE_BYTES];

    good_inode(bytes, lies[_i].kind);
    put(bytes + lies[_i].at, lies[_i].size, lies[_i].value);
    refuse(bytes, sizeof(bytes), lies[_i].code, lies[_i].why);
}
END_TEST

START_TEST(inode_cut_short_is_refused)
{
    uint8_t bytes[V5_INODE_BYTES];

    good_inode(bytes, FILE_);
    for (size_t len = 0; len < sizeof(bytes); len++)
        refuse(bytes, len, RAFS_E_CORRUPT, "cut short");
}
END_TEST

START_TEST(file_with_holes_may_have_fewer_chunks_but_not_more)
{
    uint8_t bytes[V5_INODE_BYTES];
    struct v5_inode out;

    good_inode(bytes, FILE_);
    put(bytes + 80, 8, V5_INODE_HAS_HOLE);
    for (uint32_t chunks = 0; chunks <= 3; chunks++) {
        put(bytes + 96, 4, chunks);
        ck_assert_int_eq(
            rafsi_v5_inode((struct span){bytes, sizeof(bytes), 0}, &super, &out, NULL),
            RAFS_OK);
    }
    put(bytes + 96, 4, 4);
    refuse(bytes, sizeof(bytes), RAFS_E_CORRUPT, "more chunks than fit");
}
END_TEST

START_TEST(record_ends_where_its_parts_say_and_within_the_file)
{
    struct v5_inode inode = {
        .mode = S_IFREG, .name_size = 9, .child_count = 3, .flags = V5_INODE_XATTR};
    const uint64_t at = 8192;
    const uint64_t end = at + 128 + 16 + 8 + 24 + 240;
    rafs_error err = RAFS_ERROR_INIT;

    ck_assert_uint_eq(rafsi_v5_inode_tail(&inode, at), at + 144);
    ck_assert_int_eq(rafsi_v5_inode_layout(&inode, at, 17, end, &err), RAFS_OK);
    ck_assert_uint_eq(inode.target_at, at + 144);
    ck_assert_uint_eq(inode.xattr_at, at + 152);
    ck_assert_uint_eq(inode.xattr_bytes, 17);
    ck_assert_uint_eq(inode.chunks_at, at + 176);
    ck_assert_uint_eq(inode.end, end);
    ck_assert_int_eq(rafsi_v5_inode_layout(&inode, at, 17, end - 8, &err),
                     RAFS_E_CORRUPT);
    ck_assert_int_eq(rafsi_v5_inode_layout(&inode, at, 25, end, &err), RAFS_E_CORRUPT);
    ck_assert_int_eq(rafsi_v5_inode_layout(&inode, at, UINT64_MAX, end, &err),
                     RAFS_E_CORRUPT);
    ck_assert_int_eq(rafsi_v5_inode_layout(&inode, at, UINT64_MAX - 7, end, &err),
                     RAFS_E_CORRUPT);
    inode.child_count = UINT32_MAX;
    ck_assert_int_eq(rafsi_v5_inode_layout(&inode, at, 17, V5_FILE_MAX, &err),
                     RAFS_E_CORRUPT);
    inode.mode = S_IFDIR; /* whose children are elsewhere */
    ck_assert_int_eq(rafsi_v5_inode_layout(&inode, at, 17, end, &err), RAFS_OK);
}
END_TEST

#define PAIR(text) (const uint8_t *)text, sizeof(text) - 1

static const struct {
    const uint8_t *bytes;
    size_t len;
    int code;
    uint32_t name_len, value_len;
} pairs[] = {
    {PAIR("\x08\0\0\0user.a\0v"), RAFS_OK, 6, 1},
    {PAIR("\x07\0\0\0user.a\0"), RAFS_OK, 6, 0},
    {PAIR("\x09\0\0\0user.a\0\0v"), RAFS_OK, 6, 2},
    {PAIR("\x07\0\0\0user.a\0more"), RAFS_OK, 6, 0},
    {PAIR("\x0a\0\0\0trusted.a\0"), RAFS_OK, 9, 0},
    {PAIR("\x18\0\0\0system.posix_acl_access\0"), RAFS_OK, 23, 0},
    {PAIR("\x19\0\0\0system.posix_acl_default\0"), RAFS_OK, 24, 0},
    {PAIR("\x19\0\0\0system.posix_acl_accessx\0"), RAFS_E_CORRUPT, 0, 0},
    {PAIR("\x06\0\0\0user.a"), RAFS_E_CORRUPT, 0, 0},    /* no NUL */
    {PAIR("\x06\0\0\0user.a\0"), RAFS_E_CORRUPT, 0, 0},  /* NUL after the pair */
    {PAIR("\x06\0\0\0user.\0"), RAFS_E_CORRUPT, 0, 0},   /* namespace alone */
    {PAIR("\x02\0\0\0x\0"), RAFS_E_CORRUPT, 0, 0},       /* no namespace */
    {PAIR("\x01\0\0\0\0"), RAFS_E_CORRUPT, 0, 0},        /* no name */
    {PAIR("\0\0\0\0"), RAFS_E_CORRUPT, 0, 0},            /* nothing */
    {PAIR("\x09\0\0\0user.a\0v"), RAFS_E_CORRUPT, 0, 0}, /* longer than the rest */
    {PAIR("\xff\xff\xff\xffuser.a\0v"), RAFS_E_CORRUPT, 0, 0},
    {PAIR("\x08\0\0"), RAFS_E_CORRUPT, 0, 0},
    {PAIR(""), RAFS_E_CORRUPT, 0, 0},
};

START_TEST(xattr_pair_is_decoded_or_refused)
{
    size_t len = pairs[_i].len;
    uint8_t *bytes = malloc(len ? len : 1);
    struct v5_xattr out = {.name_len = 99};
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, pairs[_i].bytes, len);
    rc = rafsi_v5_xattr((struct span){bytes, len, ORIGIN}, len, &out, &err);
    ck_assert_int_eq(rc, pairs[_i].code);
    if (rc == RAFS_OK) {
        ck_assert_uint_eq(out.name_len, pairs[_i].name_len);
        ck_assert_uint_eq(out.value_len, pairs[_i].value_len);
        ck_assert_uint_eq(out.pair_len, 4 + out.value_pos - 4 + out.value_len);
    } else {
        ck_assert_uint_eq(out.name_len, 99);
        ck_assert_uint_ge(err.offset, ORIGIN);
    }
    free(bytes);
}
END_TEST

START_TEST(xattr_name_and_value_have_their_limits)
{
    uint8_t *bytes = calloc(1, V5_XATTR_HEAD_BYTES);
    struct v5_xattr out;

    ck_assert_ptr_nonnull(bytes);
    memset(bytes + 4, 'n', 255);
    memcpy(bytes + 4, "user.", 5);
    put(bytes, 4, 256 + RAFS_XATTR_VALUE_MAX);
    ck_assert_int_eq(rafsi_v5_xattr((struct span){bytes, V5_XATTR_HEAD_BYTES, 0},
                                    260 + RAFS_XATTR_VALUE_MAX, &out, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(out.name_len, 255);
    ck_assert_uint_eq(out.value_len, RAFS_XATTR_VALUE_MAX);
    put(bytes, 4, 257 + RAFS_XATTR_VALUE_MAX);
    ck_assert_int_eq(
        rafsi_v5_xattr((struct span){bytes, V5_XATTR_HEAD_BYTES, 0}, 1 << 20, &out, NULL),
        RAFS_E_CORRUPT);
    bytes[4 + 255] = 'n';
    ck_assert_int_eq(
        rafsi_v5_xattr((struct span){bytes, V5_XATTR_HEAD_BYTES, 0}, 1 << 20, &out, NULL),
        RAFS_E_CORRUPT);
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("v5 inode");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, inode_is_decoded);
    tcase_add_loop_test(tcase, inode_that_lies_is_refused_and_located, 0,
                        sizeof(lies) / sizeof(lies[0]));
    tcase_add_test(tcase, inode_cut_short_is_refused);
    tcase_add_test(tcase, file_with_holes_may_have_fewer_chunks_but_not_more);
    tcase_add_test(tcase, record_ends_where_its_parts_say_and_within_the_file);
    tcase_add_loop_test(tcase, xattr_pair_is_decoded_or_refused, 0,
                        sizeof(pairs) / sizeof(pairs[0]));
    tcase_add_test(tcase, xattr_name_and_value_have_their_limits);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
