/* SPDX-License-Identifier: Apache-2.0 */
/* The v5 super block and its blob tables: lies are refused and located. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "format/format.h"
#include "rafs/image.h"

#define FILE_BYTES 65536

static void put(uint8_t *at, size_t size, uint64_t value)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* Inode table at 8192 (10 entries, 40 bytes), prefetch table at 8232 (2), blob table at
 * 8240 (72 bytes), extended at 8312 (2 of 64), inodes from 8440. */
static void good_super(uint8_t *bytes)
{
    memset(bytes, 0, V5_SUPER_USED);
    put(bytes, 4, 0x52414653);
    put(bytes + 4, 4, 0x500);
    put(bytes + 8, 4, 8192);
    put(bytes + 12, 4, 0x100000);
    put(bytes + 16, 8, 0x94);
    put(bytes + 24, 8, 9);
    put(bytes + 32, 8, 8192);
    put(bytes + 40, 8, 8232);
    put(bytes + 48, 8, 8240);
    put(bytes + 56, 4, 10);
    put(bytes + 60, 4, 2);
    put(bytes + 64, 4, 72);
    put(bytes + 68, 4, 2);
    put(bytes + 72, 8, 8312);
}

static const struct {
    const char *why;
    int code;
    uint8_t at, size;
    uint64_t value;
} lies[] = {
    {"magic", RAFS_E_CORRUPT, 0, 4, 0x52414652},
    {"version 4", RAFS_E_UNSUPPORTED, 4, 4, 0x400},
    {"size of the super block", RAFS_E_CORRUPT, 8, 4, 4096},
    {"chunk size 0", RAFS_E_CORRUPT, 12, 4, 0},
    {"chunk size no power of two", RAFS_E_CORRUPT, 12, 4, 0x100001},
    {"chunk size too small", RAFS_E_CORRUPT, 12, 4, 0x800},
    {"chunk size too large", RAFS_E_CORRUPT, 12, 4, 0x2000000},
    {"unknown flag", RAFS_E_UNSUPPORTED, 16, 8, 0x494},
    {"tarfs", RAFS_E_UNSUPPORTED, 16, 8, 0x294},
    {"encryption", RAFS_E_UNSUPPORTED, 16, 8, 0x2000094},
    {"two compressors", RAFS_E_CORRUPT, 16, 8, 0x96},
    {"two digests", RAFS_E_CORRUPT, 16, 8, 0x9c},
    {"more inodes than entries", RAFS_E_CORRUPT, 24, 8, 11},
    {"2^64 inodes", RAFS_E_CORRUPT, 24, 8, UINT64_MAX},
    {"no inodes", RAFS_E_CORRUPT, 56, 4, 0},
    {"2^32 inodes in a small file", RAFS_E_CORRUPT, 56, 4, UINT32_MAX},
    {"inode table in the super block", RAFS_E_CORRUPT, 32, 8, 8184},
    {"inode table not aligned", RAFS_E_CORRUPT, 32, 8, 8196},
    {"inode table past the end", RAFS_E_CORRUPT, 32, 8, FILE_BYTES - 32},
    {"inode table wraps", RAFS_E_CORRUPT, 32, 8, UINT64_MAX - 7},
    {"inode table over the prefetch table", RAFS_E_CORRUPT, 56, 4, 11},
    {"prefetch table over the blob table", RAFS_E_CORRUPT, 60, 4, 3},
    {"blob table over the extended one", RAFS_E_CORRUPT, 64, 4, 80},
    {"extended table over the inode table", RAFS_E_CORRUPT, 72, 8, 8192},
    {"extended table past the end", RAFS_E_CORRUPT, 68, 4, 0x10000000},
    {"blob table of 4 GiB", RAFS_E_UNSUPPORTED, 64, 4, UINT32_MAX},
};

START_TEST(super_block_is_decoded)
{
    uint8_t bytes[V5_SUPER_USED];
    struct v5_super out;

    good_super(bytes);
    ck_assert_int_eq(
        rafsi_v5_super((struct span){bytes, sizeof(bytes), 0}, FILE_BYTES, &out, NULL),
        RAFS_OK);
    ck_assert_uint_eq(out.chunk_size, 0x100000);
    ck_assert_uint_eq(out.compressor, RAFS_COMPRESSOR_ZSTD);
    ck_assert_uint_eq(out.inodes, 9);
    ck_assert_uint_eq(out.inode_table_entries, 10);
    ck_assert_uint_eq(out.blob_table_bytes, 72);
    ck_assert_uint_eq(out.extended_table, 8312);
    /* Positions of empty tables mean nothing. */
    put(bytes + 40, 8, 1);
    put(bytes + 60, 4, 0);
    put(bytes + 68, 4, 0);
    put(bytes + 72, 8, UINT64_MAX);
    ck_assert_int_eq(
        rafsi_v5_super((struct span){bytes, sizeof(bytes), 0}, FILE_BYTES, &out, NULL),
        RAFS_OK);
}
END_TEST

static void refuse(const uint8_t *from, size_t len, uint64_t file_size, int code,
                   const char *why)
{
    struct v5_super before, out;
    rafs_error err = RAFS_ERROR_INIT;
    uint8_t *bytes = malloc(len ? len : 1);
    int rc;

    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, from, len);
    memset(&before, 7, sizeof(before));
    out = before;
    rc = rafsi_v5_super((struct span){bytes, len, 0}, file_size, &out, &err);
    ck_assert_msg(rc == code, "%s: %d", why, rc);
    ck_assert_int_eq(err.code, rc);
    ck_assert_uint_eq(err.has_offset, 1);
    ck_assert_str_ne(err.text, "");
    ck_assert_mem_eq(&out, &before, sizeof(out));
    free(bytes);
}

START_TEST(super_block_that_lies_is_refused_and_located)
{
    uint8_t bytes[V5_SUPER_USED];

    good_super(bytes);
    put(bytes + lies[_i].at, lies[_i].size, lies[_i].value);
    refuse(bytes, sizeof(bytes), FILE_BYTES, lies[_i].code, lies[_i].why);
}
END_TEST

START_TEST(file_of_impossible_length_is_refused)
{
    uint8_t bytes[V5_SUPER_USED];

    good_super(bytes);
    for (size_t len = 0; len < sizeof(bytes); len++)
        refuse(bytes, len, FILE_BYTES, RAFS_E_CORRUPT, "cut short");
    refuse(bytes, sizeof(bytes), 8192, RAFS_E_CORRUPT, "nothing but a super block");
    refuse(bytes, sizeof(bytes), 8368, RAFS_E_CORRUPT, "tables cut off");
    refuse(bytes, sizeof(bytes), FILE_BYTES + 4, RAFS_E_CORRUPT, "no multiple of 8");
    refuse(bytes, sizeof(bytes), 0x80000008u, RAFS_E_CORRUPT, "above 2 GiB");
}
END_TEST

START_TEST(entries_of_the_extended_table_are_as_large_as_there_is_room)
{
    uint8_t bytes[V5_SUPER_USED];
    struct v5_super out;
    rafs_error err = RAFS_ERROR_INIT;

    good_super(bytes);
    ck_assert_int_eq(
        rafsi_v5_super((struct span){bytes, sizeof(bytes), 0}, FILE_BYTES, &out, NULL),
        RAFS_OK);
    ck_assert_int_eq(rafsi_v5_super_extended(&out, FILE_BYTES, 8440, &err), RAFS_OK);
    ck_assert_uint_eq(out.extended_entry_bytes, 64);
    ck_assert_int_eq(rafsi_v5_super_extended(&out, FILE_BYTES, 8376, &err), RAFS_OK);
    ck_assert_uint_eq(out.extended_entry_bytes, 32);
    ck_assert_int_eq(rafsi_v5_super_extended(&out, FILE_BYTES, 8368, &err),
                     RAFS_E_CORRUPT);
    ck_assert_int_eq(rafsi_v5_super_extended(&out, 8376, 1 << 20, &err), RAFS_OK);
    ck_assert_uint_eq(out.extended_entry_bytes, 32);
    out.blob_table = 8376; /* behind it */
    ck_assert_int_eq(rafsi_v5_super_extended(&out, FILE_BYTES, 8440, &err), RAFS_OK);
    ck_assert_uint_eq(out.extended_entry_bytes, 32);
    out.extended_entries = 0;
    ck_assert_int_eq(rafsi_v5_super_extended(&out, FILE_BYTES, 8440, &err), RAFS_OK);
    ck_assert_uint_eq(out.extended_entry_bytes, 0);
}
END_TEST

START_TEST(blob_entry_ends_at_its_nul_or_the_table)
{
    static const char entry[] = "\x01\0\0\0\x02\0\0\0abc\0\x05";
    uint8_t *bytes = malloc(sizeof(entry) - 1);
    struct blob_record blob;
    size_t used = 0;

    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, entry, sizeof(entry) - 1);
    ck_assert_int_eq(rafsi_v5_blob((struct span){bytes, 13, 0}, &blob, &used, NULL),
                     RAFS_OK);
    ck_assert_str_eq(blob.id, "abc");
    ck_assert_uint_eq(blob.prefetch_size, 3);
    ck_assert_uint_eq(used, 12);
    ck_assert_int_eq(rafsi_v5_blob((struct span){bytes, 10, 0}, &blob, &used, NULL),
                     RAFS_OK);
    ck_assert_str_eq(blob.id, "ab");
    ck_assert_uint_eq(used, 10);
    for (size_t len = 0; len <= 8; len++)
        ck_assert_int_eq(rafsi_v5_blob((struct span){bytes, len, 0}, &blob, &used, NULL),
                         RAFS_E_CORRUPT);
    bytes[8] = '/';
    ck_assert_int_eq(rafsi_v5_blob((struct span){bytes, 12, 0}, &blob, &used, NULL),
                     RAFS_E_CORRUPT);
    ck_assert_str_eq(blob.id, "ab");
    free(bytes);
}
END_TEST

static const struct {
    uint32_t features;
    int code;
} features[] = {
    {0, RAFS_OK},
    {RAFS_BLOB_ALIGNED | RAFS_BLOB_INLINED_FS_META, RAFS_OK},
    {RAFS_BLOB_EXTERNAL | RAFS_BLOB_CAP_TAR_TOC, RAFS_OK},
    {0x04000000, RAFS_OK}, /* of the half that may be ignored */
    {0x1000, RAFS_E_UNSUPPORTED},
    {0x8000, RAFS_E_UNSUPPORTED},
    {RAFS_BLOB_ENCRYPTED, RAFS_E_UNSUPPORTED},
    {RAFS_BLOB_BATCH, RAFS_E_UNSUPPORTED},
    {RAFS_BLOB_ZRAN, RAFS_E_UNSUPPORTED},
    {RAFS_BLOB_TARFS, RAFS_E_UNSUPPORTED},
    {0x80000000, RAFS_E_CORRUPT},
};

START_TEST(blob_features_are_known_or_refused)
{
    uint8_t bytes[V5_EXTENDED_BYTES] = {0};
    struct blob_record blob = {.chunk_count = 99};
    int rc;

    put(bytes, 4, 5);
    put(bytes + 4, 4, features[_i].features);
    put(bytes + 8, 8, 1000);
    put(bytes + 16, 8, 500);
    rc = rafsi_v5_extended_blob((struct span){bytes, sizeof(bytes), 0}, &blob, NULL);
    ck_assert_int_eq(rc, features[_i].code);
    ck_assert_uint_eq(blob.chunk_count, rc == RAFS_OK ? 5 : 99);
    /* The entries of 2021 had neither features nor a stored size. */
    blob.compressed_size = 99;
    rc = rafsi_v5_extended_blob((struct span){bytes, V5_EXTENDED_OLD_BYTES, 0}, &blob,
                                NULL);
    ck_assert_int_eq(rc, RAFS_OK);
    ck_assert_uint_eq(blob.features, 0);
    ck_assert_uint_eq(blob.compressed_size, 0);
    ck_assert_uint_eq(blob.uncompressed_size, 1000);
    put(bytes, 4, RAFS_CHUNKS_PER_BLOB_MAX + 1);
    ck_assert_int_eq(
        rafsi_v5_extended_blob((struct span){bytes, sizeof(bytes), 0}, &blob, NULL),
        RAFS_E_CORRUPT);
    ck_assert_int_eq(rafsi_v5_extended_blob((struct span){bytes, 23, 0}, &blob, NULL),
                     RAFS_E_CORRUPT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("v5 super");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, super_block_is_decoded);
    tcase_add_loop_test(tcase, super_block_that_lies_is_refused_and_located, 0,
                        sizeof(lies) / sizeof(lies[0]));
    tcase_add_test(tcase, file_of_impossible_length_is_refused);
    tcase_add_test(tcase, entries_of_the_extended_table_are_as_large_as_there_is_room);
    tcase_add_test(tcase, blob_entry_ends_at_its_nul_or_the_table);
    tcase_add_loop_test(tcase, blob_features_are_known_or_refused, 0,
                        sizeof(features) / sizeof(features[0]));
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
