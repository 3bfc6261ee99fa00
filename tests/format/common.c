/* SPDX-License-Identifier: Apache-2.0 */
/* What both versions share: lies are refused and located. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "format/format.h"
#include "rafs/digest.h"
#include "rafs/image.h"

#define ORIGIN 4096
#define CHUNK_SIZE 0x100000

/* A good chunk record, with one field replaced. */
static const struct {
    const char *why;
    int code;
    uint8_t at, size;
    uint64_t value;
} chunk_lies[] = {
    {"unknown flag", RAFS_E_UNSUPPORTED, 36, 4, 0x21},
    {"unknown high flag", RAFS_E_UNSUPPORTED, 36, 4, 0x80000001},
    {"no bytes", RAFS_E_CORRUPT, 44, 4, 0},
    {"more than a chunk", RAFS_E_CORRUPT, 44, 4, CHUNK_SIZE + 1},
    {"4 GiB", RAFS_E_CORRUPT, 44, 4, 0xffffffff},
    {"stored much larger", RAFS_E_CORRUPT, 40, 4, CHUNK_SIZE * 2},
    {"stored end wraps", RAFS_E_CORRUPT, 48, 8, UINT64_MAX},
    {"plain end wraps", RAFS_E_CORRUPT, 56, 8, UINT64_MAX - 10},
    {"file end wraps", RAFS_E_CORRUPT, 64, 8, UINT64_MAX - 10},
    {"number too large", RAFS_E_CORRUPT, 72, 4, 0x1000000},
};

static void put(uint8_t *at, size_t size, uint64_t value)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void good_chunk(uint8_t *bytes)
{
    memset(bytes, 0, CHUNK_RECORD_BYTES);
    memset(bytes, 0xab, 32);
    put(bytes + 32, 4, 3);
    put(bytes + 36, 4, CHUNK_COMPRESSED | CHUNK_HAS_CRC32);
    put(bytes + 40, 4, 700);
    put(bytes + 44, 4, 900);
    put(bytes + 48, 8, 0x123456789a);
    put(bytes + 56, 8, 0x23456789ab);
    put(bytes + 64, 8, 0x3456789abc);
    put(bytes + 72, 4, 0xffffff);
    put(bytes + 76, 4, 0xdeadbeef);
}

START_TEST(chunk_record_is_decoded)
{
    uint8_t *bytes = malloc(CHUNK_RECORD_BYTES);
    struct chunk_record out;

    ck_assert_ptr_nonnull(bytes);
    good_chunk(bytes);
    ck_assert_int_eq(rafsi_chunk_record((struct span){bytes, CHUNK_RECORD_BYTES, ORIGIN},
                                        CHUNK_SIZE, &out, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(out.digest[31], 0xab);
    ck_assert_uint_eq(out.blob, 3);
    ck_assert_uint_eq(out.flags, CHUNK_COMPRESSED | CHUNK_HAS_CRC32);
    ck_assert_uint_eq(out.compressed_size, 700);
    ck_assert_uint_eq(out.uncompressed_size, 900);
    ck_assert_uint_eq(out.compressed_offset, 0x123456789a);
    ck_assert_uint_eq(out.uncompressed_offset, 0x23456789ab);
    ck_assert_uint_eq(out.file_offset, 0x3456789abc);
    ck_assert_uint_eq(out.index, 0xffffff);
    ck_assert_uint_eq(out.crc32, 0xdeadbeef);
    free(bytes);
}
END_TEST

static void refuse_chunk(size_t len, const uint8_t *from, int code, const char *why)
{
    struct chunk_record before, out;
    rafs_error err = RAFS_ERROR_INIT;
    uint8_t *bytes = malloc(len ? len : 1);
    int rc;

    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, from, len);
    memset(&before, 7, sizeof(before));
    out = before;
    rc = rafsi_chunk_record((struct span){bytes, len, ORIGIN}, CHUNK_SIZE, &out, &err);
    ck_assert_msg(rc == code, "%s: %d", why, rc);
    ck_assert_int_eq(err.code, rc);
    ck_assert_uint_eq(err.has_offset, 1);
    ck_assert_uint_ge(err.offset, ORIGIN);
    ck_assert_uint_le(err.offset, ORIGIN + CHUNK_RECORD_BYTES);
    ck_assert_mem_eq(&out, &before, sizeof(out));
    free(bytes);
}

START_TEST(chunk_record_that_lies_is_refused_and_located)
{
    uint8_t bytes[CHUNK_RECORD_BYTES];

    good_chunk(bytes);
    put(bytes + chunk_lies[_i].at, chunk_lies[_i].size, chunk_lies[_i].value);
    refuse_chunk(sizeof(bytes), bytes, chunk_lies[_i].code, chunk_lies[_i].why);
}
END_TEST

START_TEST(chunk_record_cut_short_is_refused)
{
    uint8_t bytes[CHUNK_RECORD_BYTES];

    good_chunk(bytes);
    for (size_t len = 0; len < sizeof(bytes); len++)
        refuse_chunk(len, bytes, RAFS_E_CORRUPT, "cut short");
}
END_TEST

static const struct {
    uint64_t flags;
    bool strict;
    int code;
    uint32_t compressor, digest;
} flag_rows[] = {
    {0x1 | 0x4, true, RAFS_OK, RAFS_COMPRESSOR_NONE, RAFS_DIGEST_BLAKE3},
    {0x2 | 0x8, true, RAFS_OK, RAFS_COMPRESSOR_LZ4_BLOCK, RAFS_DIGEST_SHA256},
    {0x40 | 0x8, true, RAFS_OK, RAFS_COMPRESSOR_GZIP, RAFS_DIGEST_SHA256},
    {0x80 | 0x4, true, RAFS_OK, RAFS_COMPRESSOR_ZSTD, RAFS_DIGEST_BLAKE3},
    {0xfc000000u | 0x80 | 0x4, true, RAFS_OK, RAFS_COMPRESSOR_ZSTD, RAFS_DIGEST_BLAKE3},
    {0, false, RAFS_OK, RAFS_COMPRESSOR_LZ4_BLOCK, RAFS_DIGEST_BLAKE3},
    {0x8, false, RAFS_OK, RAFS_COMPRESSOR_LZ4_BLOCK, RAFS_DIGEST_SHA256},
    {0x80, false, RAFS_OK, RAFS_COMPRESSOR_ZSTD, RAFS_DIGEST_BLAKE3},
    {0x4, true, RAFS_E_CORRUPT, 0, 0},
    {0x80, true, RAFS_E_CORRUPT, 0, 0},
    {0x3 | 0x4, true, RAFS_E_CORRUPT, 0, 0},
    {0x3 | 0x4, false, RAFS_E_CORRUPT, 0, 0},
    {0x1 | 0xc, false, RAFS_E_CORRUPT, 0, 0},
    {0x400 | 0x84, true, RAFS_E_UNSUPPORTED, 0, 0},
    {1ull << 32 | 0x84, true, RAFS_E_UNSUPPORTED, 0, 0},
    {1ull << 63, false, RAFS_E_UNSUPPORTED, 0, 0},
};

START_TEST(super_flags_name_one_compressor_and_one_digest)
{
    uint32_t compressor = 99;
    uint32_t digest = 98;
    rafs_error err = RAFS_ERROR_INIT;
    int rc = rafsi_super_flags(flag_rows[_i].flags, flag_rows[_i].strict, 16, &compressor,
                               &digest, &err);

    ck_assert_msg(rc == flag_rows[_i].code, "flags 0x%llx: %d",
                  (unsigned long long)flag_rows[_i].flags, rc);
    ck_assert_uint_eq(compressor, rc < 0 ? 99 : flag_rows[_i].compressor);
    ck_assert_uint_eq(digest, rc < 0 ? 98 : flag_rows[_i].digest);
    if (rc < 0)
        ck_assert_uint_eq(err.offset, 16);
}
END_TEST

START_TEST(file_name_is_one_component)
{
    char longest[256];

    memset(longest, 'n', sizeof(longest));
#define CHECK(name, len) rafsi_check_name((const uint8_t *)(name), len, 9, NULL)
    ck_assert_int_eq(CHECK("a", 1), RAFS_OK);
    ck_assert_int_eq(CHECK("...", 3), RAFS_OK);
    ck_assert_int_eq(CHECK(".a", 2), RAFS_OK);
    ck_assert_int_eq(CHECK("..a", 3), RAFS_OK);
    ck_assert_int_eq(CHECK("\xff\n", 2), RAFS_OK);
    ck_assert_int_eq(CHECK(longest, 255), RAFS_OK);
    ck_assert_int_eq(CHECK(longest, 256), RAFS_E_CORRUPT);
    ck_assert_int_eq(CHECK("", 0), RAFS_E_CORRUPT);
    ck_assert_int_eq(CHECK(".", 1), RAFS_E_CORRUPT);
    ck_assert_int_eq(CHECK("..", 2), RAFS_E_CORRUPT);
    ck_assert_int_eq(CHECK("/", 1), RAFS_E_CORRUPT);
    ck_assert_int_eq(CHECK("a/b", 3), RAFS_E_CORRUPT);
    ck_assert_int_eq(CHECK("a\0b", 3), RAFS_E_CORRUPT);
#undef CHECK
}
END_TEST

START_TEST(blob_id_is_safe_in_a_path_and_a_url)
{
    char longest[65];

    memset(longest, 'f', sizeof(longest));
#define CHECK(id, len) rafsi_check_blob_id((const uint8_t *)(id), len, 9, NULL)
    ck_assert_int_eq(CHECK("a", 1), RAFS_OK);
    ck_assert_int_eq(CHECK("l1.boot~", 8), RAFS_OK);
    ck_assert_int_eq(CHECK(longest, 64), RAFS_OK);
    ck_assert_int_eq(CHECK(longest, 65), RAFS_E_CORRUPT);
    ck_assert_int_eq(CHECK("", 0), RAFS_E_CORRUPT);
    ck_assert_int_eq(CHECK(".a", 2), RAFS_E_CORRUPT);
    ck_assert_int_eq(CHECK("a/b", 3), RAFS_E_CORRUPT);
    ck_assert_int_eq(CHECK("a\0b", 3), RAFS_E_CORRUPT);
    ck_assert_int_eq(CHECK("a\nb", 3), RAFS_E_CORRUPT);
    ck_assert_int_eq(CHECK("a\x7f", 2), RAFS_E_CORRUPT);
    ck_assert_int_eq(CHECK("a\x80", 2), RAFS_E_CORRUPT);
#undef CHECK
}
END_TEST

START_TEST(version_is_told_from_the_first_bytes)
{
    uint8_t *head = calloc(1, 1152);
    bool plain = true;

    ck_assert_ptr_nonnull(head);
    ck_assert_int_eq(rafsi_sniff((struct span){head, 1152, 0}, &plain), 0);
    ck_assert(!plain);
    put(head + 1024, 4, 0xe0f5e1e2);
    ck_assert_int_eq(rafsi_sniff((struct span){head, 1152, 0}, &plain), 0);
    ck_assert(plain);
    put(head + 1032, 4, 0x40000000);
    ck_assert_int_eq(rafsi_sniff((struct span){head, 1152, 0}, &plain), 6);
    ck_assert(!plain);
    ck_assert_int_eq(rafsi_sniff((struct span){head, 1027, 0}, &plain), 0);
    put(head, 8, 0x50052414653);
    ck_assert_int_eq(rafsi_sniff((struct span){head, 8, 0}, &plain), 5);
    ck_assert_int_eq(rafsi_sniff((struct span){head, 7, 0}, &plain), 0);
    put(head + 4, 4, 0x400);
    ck_assert_int_eq(rafsi_sniff((struct span){head, 8, 0}, &plain), 0);
    ck_assert_int_eq(rafsi_sniff((struct span){NULL, 0, 0}, &plain), 0);
    free(head);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("format common");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, chunk_record_is_decoded);
    tcase_add_loop_test(tcase, chunk_record_that_lies_is_refused_and_located, 0,
                        sizeof(chunk_lies) / sizeof(chunk_lies[0]));
    tcase_add_test(tcase, chunk_record_cut_short_is_refused);
    tcase_add_loop_test(tcase, super_flags_name_one_compressor_and_one_digest, 0,
                        sizeof(flag_rows) / sizeof(flag_rows[0]));
    tcase_add_test(tcase, file_name_is_one_component);
    tcase_add_test(tcase, blob_id_is_safe_in_a_path_and_a_url);
    tcase_add_test(tcase, version_is_told_from_the_first_bytes);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
