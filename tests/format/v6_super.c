/* SPDX-License-Identifier: Apache-2.0 */
#include "lie.h"

#define FILE_BYTES (64u * 4096)
#define DEVICES 2

static void make_super(uint8_t bytes[V6_SUPER_BYTES])
{
    memset(bytes, 0, V6_SUPER_BYTES);
    put(bytes, 0, 4, 0xe0f5e1e2);
    put(bytes, 8, 4, 0x40000000);
    bytes[12] = 12;
    put(bytes, 14, 2, 128);
    put(bytes, 16, 8, 945);
    put(bytes, 24, 8, 1700000000);
    put(bytes, 32, 4, 999999999);
    put(bytes, 36, 4, 77);
    put(bytes, 40, 4, 2);
    put(bytes, 80, 4, 0xc);
    put(bytes, 86, 2, DEVICES);
    put(bytes, 88, 2, 11);
}

static const struct lie super_lies[] = {
    {"cut short", 127, 0, 0, RAFS_E_CORRUPT, 0},
    {"no magic", 0, 4, 1, RAFS_E_CORRUPT, 0},
    {"checksum", 4, 4, 1, RAFS_E_UNSUPPORTED, 4},
    {"plain EROFS", 8, 4, 1, RAFS_E_UNSUPPORTED, 8},
    {"tarfs", 12, 1, 9, RAFS_E_UNSUPPORTED, 12},
    {"blocks of 64 KiB", 12, 1, 16, RAFS_E_CORRUPT, 12},
    {"block bits beyond a shift", 12, 1, 255, RAFS_E_CORRUPT, 12},
    {"extension slots", 13, 1, 1, RAFS_E_UNSUPPORTED, 13},
    {"root is 0", 14, 2, 0, RAFS_E_CORRUPT, 14},
    {"no inodes", 16, 8, 0, RAFS_E_CORRUPT, 16},
    {"long second", 32, 4, 1000000000, RAFS_E_CORRUPT, 32},
    {"metadata beyond the file", 40, 4, 65, RAFS_E_CORRUPT, 40},
    {"metadata at the last block there can be", 40, 4, 0xffffffff, RAFS_E_CORRUPT, 40},
    {"shared xattrs", 44, 4, 1, RAFS_E_UNSUPPORTED, 44},
    {"no device table", 80, 4, 4, RAFS_E_UNSUPPORTED, 80},
    {"compression", 80, 4, 0xd, RAFS_E_UNSUPPORTED, 80},
    {"algorithms", 84, 2, 1, RAFS_E_UNSUPPORTED, 84},
    {"256 devices", 86, 2, 256, RAFS_E_CORRUPT, 86},
    {"65535 devices", 86, 2, 65535, RAFS_E_CORRUPT, 86},
    {"no devices but blocks", 86, 2, 0, RAFS_E_CORRUPT, 36},
    {"devices elsewhere", 88, 2, 12, RAFS_E_CORRUPT, 88},
    {"larger directory blocks", 90, 1, 1, RAFS_E_UNSUPPORTED, 90},
    {"field of a newer EROFS", 127, 1, 1, RAFS_E_UNSUPPORTED, 90},
};

START_TEST(super_block_that_lies_is_refused_and_located)
{
    const struct lie *lie = &super_lies[_i];
    struct v6_super before, out;
    rafs_error err = RAFS_ERROR_INIT;
    uint8_t good[V6_SUPER_BYTES];
    struct span span;

    memset(&before, 7, sizeof(before));
    out = before;
    make_super(good);
    span = tell(good, sizeof(good), lie, V6_SUPER_AT);
    check_refused(lie, rafsi_v6_super(span, FILE_BYTES, &out, &err), &err, V6_SUPER_AT);
    ck_assert_mem_eq(&out, &before, sizeof(out));
    forget(span);
}
END_TEST

START_TEST(super_block_is_decoded)
{
    uint8_t good[V6_SUPER_BYTES];
    struct v6_super out;
    struct span span;

    make_super(good);
    span = tell(good, sizeof(good), NULL, V6_SUPER_AT);
    ck_assert_int_eq(rafsi_v6_super(span, FILE_BYTES, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.inodes, 945);
    ck_assert_int_eq(out.build_sec, 1700000000);
    ck_assert_uint_eq(out.build_nsec, 999999999);
    ck_assert_uint_eq(out.root_nid, 128);
    ck_assert_uint_eq(out.meta_at, 8192);
    ck_assert_uint_eq(out.devices, DEVICES);
    forget(span);
}
END_TEST

START_TEST(file_of_broken_size_is_refused)
{
    static const uint64_t sizes[] = {0, 1408, 4095, 4097, FILE_BYTES - 1};
    uint8_t good[V6_SUPER_BYTES];
    struct v6_super out;
    struct span span;

    make_super(good);
    span = tell(good, sizeof(good), NULL, V6_SUPER_AT);
    for (int i = 0; i < COUNT(sizes); i++)
        ck_assert_int_eq(rafsi_v6_super(span, sizes[i], &out, NULL), RAFS_E_CORRUPT);
    forget(span);
}
END_TEST

START_TEST(device_slots_lie_in_the_file)
{
    uint8_t good[V6_SUPER_BYTES];
    rafs_error err = RAFS_ERROR_INIT;
    struct v6_super out;
    struct span span;

    make_super(good);
    put(good, 40, 4, 0);
    put(good, 86, 2, 22); /* 1408 + 22 * 128 > 4096 */
    span = tell(good, sizeof(good), NULL, V6_SUPER_AT);
    ck_assert_int_eq(rafsi_v6_super(span, 4096, &out, &err), RAFS_E_CORRUPT);
    ck_assert_uint_eq(err.offset, V6_SUPER_AT + 86);
    ck_assert_int_eq(rafsi_v6_super(span, 8192, &out, &err), RAFS_OK);
    forget(span);
}
END_TEST

static void make_ext(uint8_t bytes[V6_EXT_SUPER_BYTES])
{
    memset(bytes, 0, V6_EXT_SUPER_BYTES);
    put(bytes, 0, 8, 0x10000b4);
    put(bytes, 8, 8, 4096);
    put(bytes, 16, 4, DEVICES * V6_BLOB_BYTES);
    put(bytes, 20, 4, 0x100000);
    put(bytes, 24, 8, 10 * 4096);
    put(bytes, 32, 8, 20 * CHUNK_RECORD_BYTES);
    put(bytes, 40, 8, 4096 + DEVICES * V6_BLOB_BYTES);
    put(bytes, 48, 4, 12);
}

static const struct lie ext_lies[] = {
    {"cut short", 255, 0, 0, RAFS_E_CORRUPT, 0},
    {"unknown flag", 0, 8, 0x100b4 | 1ull << 40, RAFS_E_UNSUPPORTED, 0},
    {"no compressor", 0, 8, 0x34, RAFS_E_CORRUPT, 0},
    {"two compressors", 0, 8, 0xb6, RAFS_E_CORRUPT, 0},
    {"no digest", 0, 8, 0xb0, RAFS_E_CORRUPT, 0},
    {"two digests", 0, 8, 0xbc, RAFS_E_CORRUPT, 0},
    {"tarfs", 0, 8, 0x2b4, RAFS_E_UNSUPPORTED, 0},
    {"blob table within a block", 8, 8, 4096 + 8, RAFS_E_CORRUPT, 8},
    {"blob table over the super block", 8, 8, 0, RAFS_E_CORRUPT, 8},
    {"blob table beyond the file", 8, 8, FILE_BYTES, RAFS_E_CORRUPT, 8},
    {"blob table at the end of all", 8, 8, ~4095ull, RAFS_E_CORRUPT, 8},
    {"half a blob", 16, 4, 256 + 128, RAFS_E_CORRUPT, 16},
    {"one blob for two devices", 16, 4, 256, RAFS_E_CORRUPT, 16},
    {"no blobs for two devices", 16, 4, 0, RAFS_E_CORRUPT, 16},
    {"chunk size 0", 20, 4, 0, RAFS_E_CORRUPT, 20},
    {"chunk size 2048", 20, 4, 2048, RAFS_E_CORRUPT, 20},
    {"chunk size no power of two", 20, 4, 0x100001, RAFS_E_CORRUPT, 20},
    {"chunk size 32 MiB", 20, 4, 0x2000000, RAFS_E_CORRUPT, 20},
    {"chunk table within a block", 24, 8, 10 * 4096 + 80, RAFS_E_CORRUPT, 24},
    {"chunk table over the super block", 24, 8, 0, RAFS_E_CORRUPT, 24},
    {"chunk table over the blob table", 24, 8, 4096, RAFS_E_CORRUPT, 24},
    {"chunk table beyond the file", 24, 8, FILE_BYTES, RAFS_E_CORRUPT, 24},
    {"broken chunk table", 32, 8, 79, RAFS_E_CORRUPT, 32},
    {"chunk table without end", 32, 8, ~0ull - ~0ull % 80, RAFS_E_CORRUPT, 24},
    {"prefetch table askew", 40, 8, 4096 + 516, RAFS_E_CORRUPT, 40},
    {"prefetch table over the blob table", 40, 8, 4096 + 504, RAFS_E_CORRUPT, 40},
    {"prefetch table over the chunk table", 40, 8, 10 * 4096 + 8, RAFS_E_CORRUPT, 40},
    {"prefetch table over a device slot", 40, 8, 1408 + 248, RAFS_E_CORRUPT, 40},
    {"prefetch table beyond the file", 40, 8, FILE_BYTES - 8, RAFS_E_CORRUPT, 40},
    {"part of a prefetch entry", 48, 4, 13, RAFS_E_CORRUPT, 48},
};

START_TEST(extended_super_block_that_lies_is_refused_and_located)
{
    const struct lie *lie = &ext_lies[_i];
    struct v6_super super = {.devices = DEVICES};
    struct v6_ext_super before, out;
    rafs_error err = RAFS_ERROR_INIT;
    uint8_t good[V6_EXT_SUPER_BYTES];
    struct span span;
    int rc;

    memset(&before, 7, sizeof(before));
    out = before;
    make_ext(good);
    span = tell(good, sizeof(good), lie, V6_EXT_SUPER_AT);
    rc = rafsi_v6_ext_super(span, &super, FILE_BYTES, &out, &err);
    check_refused(lie, rc, &err, V6_EXT_SUPER_AT);
    ck_assert_mem_eq(&out, &before, sizeof(out));
    forget(span);
}
END_TEST

START_TEST(extended_super_block_is_decoded)
{
    struct v6_super super = {.devices = DEVICES};
    uint8_t good[V6_EXT_SUPER_BYTES];
    struct v6_ext_super out;
    struct span span;

    make_ext(good);
    put(good, 52, 4, 0xffffffff); /* reserved: no concern of ours */
    span = tell(good, sizeof(good), NULL, V6_EXT_SUPER_AT);
    ck_assert_int_eq(rafsi_v6_ext_super(span, &super, FILE_BYTES, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.chunk_size, 0x100000);
    ck_assert_uint_eq(out.chunk_count, 20);
    ck_assert_uint_eq(out.chunks_at, 10 * 4096);
    ck_assert_uint_eq(out.prefetch_count, 3);
    ck_assert_uint_eq(out.blobs_at, 4096);
    forget(span);
}
END_TEST

START_TEST(prefetch_table_at_zero_is_none)
{
    struct v6_super super = {.devices = DEVICES};
    uint8_t good[V6_EXT_SUPER_BYTES];
    struct v6_ext_super out;
    struct span span;

    make_ext(good);
    put(good, 40, 8, 0);
    span = tell(good, sizeof(good), NULL, V6_EXT_SUPER_AT);
    ck_assert_int_eq(rafsi_v6_ext_super(span, &super, FILE_BYTES, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.prefetch_count, 0);
    forget(span);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, super_block_that_lies_is_refused_and_located, 0,
                        COUNT(super_lies));
    tcase_add_test(tcase, super_block_is_decoded);
    tcase_add_test(tcase, file_of_broken_size_is_refused);
    tcase_add_test(tcase, device_slots_lie_in_the_file);
    tcase_add_loop_test(tcase, extended_super_block_that_lies_is_refused_and_located, 0,
                        COUNT(ext_lies));
    tcase_add_test(tcase, extended_super_block_is_decoded);
    tcase_add_test(tcase, prefetch_table_at_zero_is_none);
}

int main(void)
{
    return run_suite("v6_super", add);
}
