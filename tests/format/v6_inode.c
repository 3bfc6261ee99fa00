/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "lie.h"

#define ORIGIN 12288
#define CHUNK_SIZE 0x100000

/* A file of three chunks and a bit, extended. */
static void make_file(uint8_t bytes[V6_INODE_EXTENDED_BYTES])
{
    memset(bytes, 0, V6_INODE_EXTENDED_BYTES);
    put(bytes, 0, 2, 1 | V6_LAYOUT_CHUNKS << 1);
    put(bytes, 2, 2, 3);
    put(bytes, 4, 2, S_IFREG | 0644);
    put(bytes, 8, 8, 3 * CHUNK_SIZE + 5);
    put(bytes, 16, 4, 0x20 | 8); /* 4096 << 8 is the chunk size */
    put(bytes, 24, 4, 1000);
    put(bytes, 28, 4, 100000);
    put(bytes, 32, 8, (uint64_t)-86399);
    put(bytes, 40, 4, 999999999);
    put(bytes, 44, 4, 2);
}

static const struct lie lies[] = {
    {"cut short", 63, 0, 0, RAFS_E_CORRUPT, 0},
    {"empty", 0, 0, 0, RAFS_E_CORRUPT, 0},
    {"layout 1", 0, 2, 1 | 1 << 1, RAFS_E_CORRUPT, 0},
    {"layout 3", 0, 2, 1 | 3 << 1, RAFS_E_CORRUPT, 0},
    {"layout 7", 0, 2, 1 | 7 << 1, RAFS_E_CORRUPT, 0},
    {"unknown format bits", 0, 2, 0x19, RAFS_E_CORRUPT, 0},
    {"flat file", 0, 2, 1, RAFS_E_CORRUPT, 0},
    {"inline file", 0, 2, 1 | V6_LAYOUT_INLINE << 1, RAFS_E_CORRUPT, 0},
    {"no type", 4, 2, 0644, RAFS_E_CORRUPT, 0},
    {"directory of chunks", 4, 2, S_IFDIR | 0755, RAFS_E_CORRUPT, 0},
    {"link of chunks", 4, 2, S_IFLNK | 0777, RAFS_E_CORRUPT, 0},
    {"chunk format without indexes", 16, 4, 8, RAFS_E_CORRUPT, 16},
    {"unknown chunk format bit", 16, 4, 0x68, RAFS_E_CORRUPT, 16},
    {"chunk format in the upper half", 16, 4, 0x10028, RAFS_E_CORRUPT, 16},
    {"chunks too small", 16, 4, 0x27, RAFS_E_CORRUPT, 16},
    {"chunks smaller than the file", 16, 4, 0x29, RAFS_E_CORRUPT, 16},
    {"chunks much larger than the file", 16, 4, 0x2b, RAFS_E_CORRUPT, 16},
    {"long second", 40, 4, 1000000000, RAFS_E_CORRUPT, 40},
    {"no links", 44, 4, 0, RAFS_E_CORRUPT, 44},
};

START_TEST(inode_that_lies_is_refused_and_located)
{
    const struct lie *lie = &lies[_i];
    struct v6_inode before, out;
    rafs_error err = RAFS_ERROR_INIT;
    uint8_t good[V6_INODE_EXTENDED_BYTES];
    struct span span;

    memset(&before, 7, sizeof(before));
    out = before;
    make_file(good);
    span = tell(good, sizeof(good), lie, ORIGIN);
    check_refused(lie, rafsi_v6_inode(span, CHUNK_SIZE, &out, &err), &err, ORIGIN);
    ck_assert_mem_eq(&out, &before, sizeof(out));
    forget(span);
}
END_TEST

START_TEST(extended_inode_is_decoded)
{
    uint8_t good[V6_INODE_EXTENDED_BYTES];
    struct v6_inode out;
    struct span span;

    make_file(good);
    span = tell(good, sizeof(good), NULL, ORIGIN);
    ck_assert_int_eq(rafsi_v6_inode(span, CHUNK_SIZE, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.bytes, 64);
    ck_assert_uint_eq(out.xattr_bytes, 20);
    ck_assert_uint_eq(out.mode, S_IFREG | 0644);
    ck_assert_uint_eq(out.size, 3 * CHUNK_SIZE + 5);
    ck_assert_uint_eq(out.uid, 1000);
    ck_assert_uint_eq(out.gid, 100000);
    ck_assert_int_eq(out.mtime_sec, -86399);
    ck_assert_uint_eq(out.mtime_nsec, 999999999);
    ck_assert_uint_eq(out.nlink, 2);
    forget(span);
}
END_TEST

START_TEST(compact_inode_is_decoded_from_32_bytes)
{
    uint8_t good[V6_INODE_COMPACT_BYTES] = {0};
    struct v6_inode out;
    struct span span;

    put(good, 0, 2, V6_LAYOUT_PLAIN << 1);
    put(good, 4, 2, S_IFBLK | 0600);
    put(good, 6, 2, 7);
    put(good, 16, 4, 0x12345);
    put(good, 24, 2, 65535);
    put(good, 26, 2, 12);
    span = tell(good, sizeof(good), NULL, ORIGIN);
    ck_assert_int_eq(rafsi_v6_inode(span, CHUNK_SIZE, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.bytes, 32);
    ck_assert_uint_eq(out.nlink, 7);
    ck_assert_uint_eq(out.uid, 65535);
    ck_assert_uint_eq(out.gid, 12);
    ck_assert_uint_eq(out.u, 0x12345);
    ck_assert_uint_eq(out.xattr_bytes, 0);
    forget(span);
}
END_TEST

/* The kernel's chunk of a file whose chunks lie one after the other is a power of two. */
START_TEST(file_in_one_extent_is_decoded)
{
    uint8_t good[V6_INODE_EXTENDED_BYTES];
    struct v6_inode out;
    struct span span;

    make_file(good);
    put(good, 16, 4, 0x2a); /* 4 MiB */
    span = tell(good, sizeof(good), NULL, ORIGIN);
    ck_assert_int_eq(rafsi_v6_inode(span, CHUNK_SIZE, &out, NULL), RAFS_OK);
    forget(span);
}
END_TEST

static const struct {
    const char *why;
    uint32_t mode;
    uint64_t size;
    int code;
} sizes[] = {
    {"empty link", S_IFLNK, 0, RAFS_E_CORRUPT},
    {"longest link", S_IFLNK, 4096, RAFS_OK},
    {"too long a link", S_IFLNK, 4097, RAFS_E_CORRUPT},
    {"directory without dots", S_IFDIR, 26, RAFS_E_CORRUPT},
    {"empty directory", S_IFDIR, 27, RAFS_OK},
};

START_TEST(links_and_directories_have_a_size)
{
    uint8_t good[V6_INODE_EXTENDED_BYTES];
    rafs_error err = RAFS_ERROR_INIT;
    struct v6_inode out;
    struct span span;

    make_file(good);
    put(good, 0, 2, 1 | V6_LAYOUT_INLINE << 1);
    put(good, 4, 2, sizes[_i].mode);
    put(good, 8, 8, sizes[_i].size);
    span = tell(good, sizeof(good), NULL, ORIGIN);
    ck_assert_msg(rafsi_v6_inode(span, CHUNK_SIZE, &out, &err) == sizes[_i].code, "%s",
                  sizes[_i].why);
    if (sizes[_i].code < 0)
        ck_assert_uint_eq(err.offset, ORIGIN + 8);
    forget(span);
}
END_TEST

static const struct lie addr_lies[] = {
    {"cut short", 7, 0, 0, RAFS_E_CORRUPT, 0},
    {"device 0 is the bootstrap", 2, 1, 0, RAFS_E_CORRUPT, 2},
    {"third blob of two", 2, 1, 3, RAFS_E_CORRUPT, 2},
};

START_TEST(chunk_entry_that_lies_is_refused_and_located)
{
    static const uint8_t good[] = {0x34, 0x12, 2, 0x56, 1, 0, 0, 0x80};
    struct v6_chunk_addr out;
    rafs_error err = RAFS_ERROR_INIT;
    struct span span = tell(good, sizeof(good), NULL, ORIGIN);

    ck_assert_int_eq(rafsi_v6_chunk_addr(span, 2, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.blob, 1);
    ck_assert_uint_eq(out.chunk, 0x561234);
    ck_assert_uint_eq(out.uncompressed_offset, 0x80000001ull * 4096);
    ck_assert(!out.hole);
    forget(span);
    span = tell(good, sizeof(good), &addr_lies[_i], ORIGIN);
    check_refused(&addr_lies[_i], rafsi_v6_chunk_addr(span, 2, &out, &err), &err, ORIGIN);
    forget(span);
}
END_TEST

START_TEST(chunk_entry_of_a_hole_names_no_blob)
{
    static const uint8_t hole[] = {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
    struct v6_chunk_addr out;
    struct span span = tell(hole, sizeof(hole), NULL, ORIGIN);

    ck_assert_int_eq(rafsi_v6_chunk_addr(span, 0, &out, NULL), RAFS_OK);
    ck_assert(out.hole);
    forget(span);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, inode_that_lies_is_refused_and_located, 0, COUNT(lies));
    tcase_add_test(tcase, extended_inode_is_decoded);
    tcase_add_test(tcase, compact_inode_is_decoded_from_32_bytes);
    tcase_add_test(tcase, file_in_one_extent_is_decoded);
    tcase_add_loop_test(tcase, links_and_directories_have_a_size, 0, COUNT(sizes));
    tcase_add_loop_test(tcase, chunk_entry_that_lies_is_refused_and_located, 0,
                        COUNT(addr_lies));
    tcase_add_test(tcase, chunk_entry_of_a_hole_names_no_blob);
}

int main(void)
{
    return run_suite("v6_inode", add);
}
