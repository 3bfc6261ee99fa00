/* SPDX-License-Identifier: Apache-2.0 */
#include "lie.h"
#include "rafs/image.h"

#define CHUNK_SIZE 0x100000
#define CHUNKS 290
#define INDEX 3

static void make_blob(uint8_t bytes[V6_BLOB_BYTES])
{
    memset(bytes, 0, V6_BLOB_BYTES);
    memset(bytes, 'a', 64); /* a full id has no terminator */
    put(bytes, 64, 4, INDEX);
    put(bytes, 68, 4, CHUNK_SIZE);
    put(bytes, 72, 4, CHUNKS);
    put(bytes, 76, 4, RAFS_COMPRESSOR_ZSTD);
    put(bytes, 84, 4, 0x40000001);
    put(bytes, 88, 8, 2011908);
    put(bytes, 96, 8, 9183232);
    put(bytes, 108, 4, RAFS_COMPRESSOR_ZSTD);
    put(bytes, 112, 8, 2005700);
    put(bytes, 120, 8, 2112);
    put(bytes, 128, 8, 16 * CHUNKS);
}

static const struct lie lies[] = {
    {"cut short", 255, 0, 0, RAFS_E_CORRUPT, 0},
    {"cut within the id", 63, 0, 0, RAFS_E_CORRUPT, 0},
    {"no id", 0, 8, 0, RAFS_E_CORRUPT, 0},
    {"id begins with a dot", 0, 1, '.', RAFS_E_CORRUPT, 0},
    {"id with a slash", 5, 1, '/', RAFS_E_CORRUPT, 5},
    {"id with a control character", 63, 1, '\n', RAFS_E_CORRUPT, 63},
    {"id beyond ASCII", 9, 1, 0xc3, RAFS_E_CORRUPT, 9},
    {"id with a NUL inside", 9, 1, 0, RAFS_E_CORRUPT, 0},
    {"another place", 64, 4, 2, RAFS_E_CORRUPT, 64},
    {"another chunk size", 68, 4, 0x1000, RAFS_E_CORRUPT, 68},
    {"too many chunks", 72, 4, 0x1000001, RAFS_E_CORRUPT, 72},
    {"unknown compressor", 76, 4, 4, RAFS_E_UNSUPPORTED, 76},
    {"unknown digest", 80, 4, 2, RAFS_E_UNSUPPORTED, 80},
    {"unknown feature", 84, 4, 0x40001001, RAFS_E_UNSUPPORTED, 84},
    {"feature of memory only", 84, 4, 0xc0000001, RAFS_E_UNSUPPORTED, 84},
    {"not aligned", 84, 4, 0x40000000, RAFS_E_CORRUPT, 84},
    {"tar in an image that is not tarfs", 84, 4, 0x40000041, RAFS_E_CORRUPT, 84},
    {"batch without v2", 84, 4, 0x40000081, RAFS_E_CORRUPT, 84},
    {"zran without v2", 84, 4, 0x40000009, RAFS_E_CORRUPT, 84},
    {"encrypted without v2", 84, 4, 0x40000101, RAFS_E_CORRUPT, 84},
    {"batch and zran", 84, 4, 0x4000008d, RAFS_E_CORRUPT, 84},
    {"array too small for v2", 84, 4, 0x40000005, RAFS_E_CORRUPT, 128},
    {"array too small for batches", 84, 4, 0x40000085, RAFS_E_CORRUPT, 128},
    {"compressed beyond 2^40", 88, 8, (1ull << 40) + 1, RAFS_E_CORRUPT, 88},
    {"uncompressed beyond 2^44", 96, 8, (1ull << 44) + 1, RAFS_E_CORRUPT, 96},
    {"unknown array compressor", 108, 4, 9, RAFS_E_UNSUPPORTED, 108},
    {"array wraps", 112, 8, ~0ull, RAFS_E_CORRUPT, 112},
    {"array grew", 120, 8, 16 * CHUNKS + 1, RAFS_E_CORRUPT, 120},
    {"array too long", 128, 8, 16 * CHUNKS + 16, RAFS_E_CORRUPT, 128},
    {"no array", 120, 16, 0, RAFS_E_CORRUPT, 128},
    {"unknown cipher", 216, 4, 2, RAFS_E_UNSUPPORTED, 216},
};

START_TEST(blob_record_that_lies_is_refused_and_located)
{
    const struct lie *lie = &lies[_i];
    struct blob_record before, out;
    rafs_error err = RAFS_ERROR_INIT;
    uint8_t good[V6_BLOB_BYTES];
    struct span span;

    memset(&before, 7, sizeof(before));
    out = before;
    make_blob(good);
    if (lie->at == 0 && lie->width == 8)
        memset(good, 0, 64);
    span = tell(good, sizeof(good), lie, 4096);
    check_refused(lie, rafsi_v6_blob(span, INDEX, CHUNK_SIZE, &out, &err), &err, 4096);
    ck_assert_mem_eq(&out, &before, sizeof(out));
    forget(span);
}
END_TEST

START_TEST(blob_record_is_decoded)
{
    uint8_t good[V6_BLOB_BYTES];
    struct blob_record out;
    struct span span;

    make_blob(good);
    span = tell(good, sizeof(good), NULL, 4096);
    ck_assert_int_eq(rafsi_v6_blob(span, INDEX, CHUNK_SIZE, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(strlen(out.id), 64);
    ck_assert_uint_eq(out.chunk_count, CHUNKS);
    ck_assert_uint_eq(out.compressor, RAFS_COMPRESSOR_ZSTD);
    ck_assert_uint_eq(out.compressed_size, 2011908);
    ck_assert_uint_eq(out.uncompressed_size, 9183232);
    ck_assert_uint_eq(out.ci_offset, 2005700);
    forget(span);
}
END_TEST

/* Kinds whose content is not read are still listed. */
START_TEST(blob_of_a_kind_that_is_not_read_is_decoded)
{
    static const struct {
        uint32_t features;
        uint64_t ci_bytes;
    } kinds[] = {
        {0x40000105, 24 * CHUNKS},       /* encrypted */
        {0x4000001d, 24 * CHUNKS + 777}, /* zran, separate */
        {0x40000085, 24 * CHUNKS + 40},  /* batch */
        {0x40000800, 0},                 /* external, as the reference writes it */
        {0x40000201, 5},                 /* generated dictionary */
        {0x01, 16 * CHUNKS},             /* before 2.2 */
    };

    for (int i = 0; i < COUNT(kinds); i++) {
        uint8_t good[V6_BLOB_BYTES];
        struct blob_record out;
        struct span span;

        make_blob(good);
        put(good, 84, 4, kinds[i].features);
        put(good, 120, 8, kinds[i].ci_bytes);
        put(good, 128, 8, kinds[i].ci_bytes);
        span = tell(good, sizeof(good), NULL, 4096);
        ck_assert_int_eq(rafsi_v6_blob(span, INDEX, CHUNK_SIZE, &out, NULL), RAFS_OK);
        ck_assert_uint_eq(out.features, kinds[i].features);
        forget(span);
    }
}
END_TEST

static const struct lie device_lies[] = {
    {"cut short", 127, 0, 0, RAFS_E_CORRUPT, 0},
    {"tag with a slash", 1, 1, '/', RAFS_E_CORRUPT, 1},
    {"no blocks", 64, 4, 0, RAFS_E_CORRUPT, 64},
};

START_TEST(device_slot_that_lies_is_refused_and_located)
{
    uint8_t good[V6_DEVICE_BYTES] = "abc";
    rafs_error err = RAFS_ERROR_INIT;
    struct v6_device out;
    struct span span;

    put(good, 64, 4, 5);
    span = tell(good, sizeof(good), NULL, V6_DEVICES_AT);
    ck_assert_int_eq(rafsi_v6_device(span, &out, NULL), RAFS_OK);
    ck_assert_str_eq(out.tag, "abc");
    ck_assert_uint_eq(out.blocks, 5);
    forget(span);
    span = tell(good, sizeof(good), &device_lies[_i], V6_DEVICES_AT);
    check_refused(&device_lies[_i], rafsi_v6_device(span, &out, &err), &err,
                  V6_DEVICES_AT);
    forget(span);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, blob_record_that_lies_is_refused_and_located, 0,
                        COUNT(lies));
    tcase_add_test(tcase, blob_record_is_decoded);
    tcase_add_test(tcase, blob_of_a_kind_that_is_not_read_is_decoded);
    tcase_add_loop_test(tcase, device_slot_that_lies_is_refused_and_located, 0,
                        COUNT(device_lies));
}

int main(void)
{
    return run_suite("v6_blob", add);
}
