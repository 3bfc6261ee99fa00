/* SPDX-License-Identifier: Apache-2.0 */
#include "lie.h"
#include "rafs/image.h"

#define ORIGIN 2000000
#define CHUNKS 3
#define CI_AT 100000

static struct blob_record v1_blob(void)
{
    return (struct blob_record){.features = 0x40000001,
                                .compressor = RAFS_COMPRESSOR_ZSTD,
                                .chunk_size = 0x1000000,
                                .chunk_count = CHUNKS,
                                .compressed_size = CI_AT + 5000,
                                .uncompressed_size = 0x2000000,
                                .ci_compressor = RAFS_COMPRESSOR_ZSTD,
                                .ci_offset = CI_AT,
                                .ci_compressed_size = 40,
                                .ci_uncompressed_size = CHUNKS * CI_V1_BYTES};
}

static struct blob_record v2_blob(void)
{
    struct blob_record blob = v1_blob();

    blob.features |= RAFS_BLOB_CHUNK_INFO_V2 | RAFS_BLOB_BATCH;
    blob.ci_uncompressed_size = CHUNKS * CI_V2_BYTES + 2 * CI_BATCH_BYTES;
    return blob;
}

static void make_header(uint8_t bytes[CI_HEADER_BYTES], const struct blob_record *blob)
{
    memset(bytes, 0, CI_HEADER_BYTES);
    put(bytes, 0, 4, 0xb10bb10b);
    put(bytes, 4, 4, blob->features);
    put(bytes, 8, 4, blob->ci_compressor);
    put(bytes, 12, 4, blob->chunk_count);
    put(bytes, 16, 8, blob->ci_offset);
    put(bytes, 24, 8, blob->ci_compressed_size);
    put(bytes, 32, 8, blob->ci_uncompressed_size);
    put(bytes, 4092, 4, 0xb10bb10b);
    if (!(blob->features & RAFS_BLOB_BATCH))
        return;
    put(bytes, 40, 8, CHUNKS * CI_V2_BYTES);
    put(bytes, 48, 8, 2 * CI_BATCH_BYTES);
    put(bytes, 56, 4, 2);
}

static const struct lie header_lies[] = {
    {"cut short", 4095, 0, 0, RAFS_E_CORRUPT, 0},
    {"first magic", 0, 4, 0, RAFS_E_CORRUPT, 0},
    {"last magic", 4092, 4, 0, RAFS_E_CORRUPT, 4092},
    {"another compressor", 8, 4, 0, RAFS_E_CORRUPT, 8},
    {"too few entries", 12, 4, 2, RAFS_E_CORRUPT, 12},
    {"elsewhere", 16, 8, CI_AT + 1, RAFS_E_CORRUPT, 16},
    {"another stored size", 24, 8, 41, RAFS_E_CORRUPT, 24},
    {"another size", 32, 8, 1, RAFS_E_CORRUPT, 24},
    {"contexts over the entries", 40, 8, 71, RAFS_E_CORRUPT, 40},
    {"contexts beyond the array", 48, 8, 81, RAFS_E_CORRUPT, 40},
    {"contexts without end", 48, 8, ~0ull, RAFS_E_CORRUPT, 40},
    {"more contexts than fit", 56, 4, 3, RAFS_E_CORRUPT, 56},
    {"more contexts than chunks", 56, 4, 4, RAFS_E_CORRUPT, 56},
};

START_TEST(header_that_lies_is_refused_and_located)
{
    const struct blob_record blob = v2_blob();
    struct ci_header before, out;
    rafs_error err = RAFS_ERROR_INIT;
    uint8_t good[CI_HEADER_BYTES];
    struct span span;

    memset(&before, 7, sizeof(before));
    out = before;
    make_header(good, &blob);
    span = tell(good, sizeof(good), &header_lies[_i], ORIGIN);
    check_refused(&header_lies[_i], rafsi_ci_header(span, &blob, &out, &err), &err,
                  ORIGIN);
    ck_assert_mem_eq(&out, &before, sizeof(out));
    forget(span);
}
END_TEST

START_TEST(header_is_decoded)
{
    struct blob_record blobs[2] = {v1_blob(), v2_blob()};

    for (size_t i = 0; i < 2; i++) {
        uint8_t good[CI_HEADER_BYTES];
        struct ci_header out;
        struct span span;

        make_header(good, &blobs[i]);
        span = tell(good, sizeof(good), NULL, ORIGIN);
        ck_assert_int_eq(rafsi_ci_header(span, &blobs[i], &out, NULL), RAFS_OK);
        ck_assert_uint_eq(out.entries, CHUNKS);
        ck_assert_uint_eq(out.entry_bytes, i == 0 ? CI_V1_BYTES : CI_V2_BYTES);
        ck_assert_uint_eq(out.contexts, i == 0 ? 0 : 2);
        forget(span);
    }
}
END_TEST

/* 0x123456 bytes at 0x7000, stored in 0x12345 at 0x1000. */
static void make_v1(uint8_t bytes[CHUNKS * CI_V1_BYTES])
{
    memset(bytes, 0, CHUNKS * CI_V1_BYTES);
    put(bytes, 16, 8, 0x23455ull << 44 | 0x7000 | 0x1 << 8 | 0xee);
    put(bytes, 24, 8, 0x12344ull << 44 | 0x1000);
}

START_TEST(entry_of_version_1_has_both_sizes_minus_one)
{
    const struct blob_record blob = v1_blob();
    const struct ci_header header = {.entries = CHUNKS, .entry_bytes = CI_V1_BYTES};
    uint8_t good[CHUNKS * CI_V1_BYTES];
    struct ci_entry out;
    struct span span;

    make_v1(good);
    span = tell(good, sizeof(good), NULL, 0);
    ck_assert_int_eq(rafsi_ci_entry(span, &header, &blob, 1, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.uncompressed_offset, 0x7000);
    ck_assert_uint_eq(out.uncompressed_size, 0x123456);
    ck_assert_uint_eq(out.compressed_offset, 0x1000);
    ck_assert_uint_eq(out.compressed_size, 0x12345);
    ck_assert_uint_eq(out.flags, CI_COMPRESSED);
    forget(span);
}
END_TEST

static const struct lie v1_lies[] = {
    {"array ends before the entry", 31, 0, 0, RAFS_E_CORRUPT, 16},
    {"beyond the uncompressed blob", 16, 8, 0xfffffff000ull, RAFS_E_CORRUPT, 16},
    {"ends beyond the uncompressed blob", 16, 8, 0x1ffff000ull, RAFS_E_CORRUPT, 16},
    {"beyond the blob", 24, 8, 0xffffffffffull, RAFS_E_CORRUPT, 24},
    {"ends in the array", 24, 8, 0x12344ull << 44 | (CI_AT - 0x12344), RAFS_E_CORRUPT,
     24},
};

START_TEST(entry_of_version_1_that_lies_is_refused_and_located)
{
    const struct blob_record blob = v1_blob();
    const struct ci_header header = {.entries = CHUNKS, .entry_bytes = CI_V1_BYTES};
    uint8_t good[CHUNKS * CI_V1_BYTES];
    rafs_error err = RAFS_ERROR_INIT;
    struct ci_entry out;
    struct span span;

    make_v1(good);
    span = tell(good, sizeof(good), &v1_lies[_i], ORIGIN);
    check_refused(&v1_lies[_i], rafsi_ci_entry(span, &header, &blob, 1, &out, &err), &err,
                  ORIGIN);
    forget(span);
}
END_TEST

START_TEST(compressed_chunk_needs_a_compressor)
{
    const struct ci_header header = {.entries = CHUNKS, .entry_bytes = CI_V1_BYTES};
    struct blob_record blob = v1_blob();
    uint8_t good[CHUNKS * CI_V1_BYTES];
    struct ci_entry out;
    struct span span;

    blob.compressor = RAFS_COMPRESSOR_NONE;
    make_v1(good);
    span = tell(good, sizeof(good), NULL, 0);
    ck_assert_int_eq(rafsi_ci_entry(span, &header, &blob, 1, &out, NULL), RAFS_E_CORRUPT);
    ck_assert_int_eq(rafsi_ci_entry(span, &header, &blob, 0, &out, NULL), RAFS_OK);
    forget(span);
}
END_TEST

#define V2_BYTES (CHUNKS * CI_V2_BYTES + 2 * CI_BATCH_BYTES)
#define CONTEXTS_AT (CHUNKS * CI_V2_BYTES)

static const struct ci_header v2_header = {.entries = CHUNKS,
                                           .entry_bytes = CI_V2_BYTES,
                                           .contexts_at = CONTEXTS_AT,
                                           .contexts_bytes = 2 * CI_BATCH_BYTES,
                                           .contexts = 2};

/* 0: 0x2000 bytes stored in 0x1000, with CRC. 1: 100 bytes at 50 of batch 1. 2: 100 plain
 * bytes. */
static void make_v2(uint8_t bytes[V2_BYTES])
{
    memset(bytes, 0, V2_BYTES);
    put(bytes, 0, 8, 0x11ull << 56 | 0x1fffull << 32 | 3);
    put(bytes, 8, 8, 0x1000ull << 40 | 16);
    put(bytes, 16, 8, 0xdeadbeef);
    put(bytes, 24, 8, 0x05ull << 56 | 99ull << 32 | 5);
    put(bytes, 32, 8, 5000);
    put(bytes, 40, 8, 1ull << 32 | 50);
    put(bytes, 48, 8, 99ull << 32 | 6);
    put(bytes, 56, 8, 100ull << 40 | 6000);
    put(bytes, CONTEXTS_AT + CI_BATCH_BYTES, 4, 700);
    put(bytes, CONTEXTS_AT + CI_BATCH_BYTES + 4, 4, 1000);
}

START_TEST(entry_of_version_2_has_its_stored_size_as_it_is)
{
    const struct blob_record blob = v2_blob();
    uint8_t good[V2_BYTES];
    struct ci_batch batch;
    struct ci_entry out;
    struct span span;

    make_v2(good);
    span = tell(good, sizeof(good), NULL, 0);
    ck_assert_int_eq(rafsi_ci_entry(span, &v2_header, &blob, 0, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.uncompressed_offset, 3 * 4096);
    ck_assert_uint_eq(out.uncompressed_size, 0x2000);
    ck_assert_uint_eq(out.compressed_offset, 16);
    ck_assert_uint_eq(out.compressed_size, 0x1000);
    ck_assert_uint_eq(out.crc32, 0xdeadbeef);
    ck_assert_int_eq(rafsi_ci_entry(span, &v2_header, &blob, 2, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.compressed_size, 100);
    ck_assert_uint_eq(out.flags, 0);
    ck_assert_int_eq(rafsi_ci_entry(span, &v2_header, &blob, 1, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.flags, CI_COMPRESSED | CI_BATCH);
    ck_assert_uint_eq(out.compressed_size, 0);
    ck_assert_uint_eq(out.batch_index, 1);
    ck_assert_uint_eq(out.batch_offset, 50);
    ck_assert_int_eq(rafsi_ci_batch(span, &v2_header, &blob, &out, &batch, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(batch.compressed_size, 700);
    ck_assert_uint_eq(batch.uncompressed_size, 1000);
    forget(span);
}
END_TEST

/* Each lies in entry 0 or 2, or in the batch of entry 1. */
static const struct lie v2_lies[] = {
    {"array ends within an entry", 23, 0, 0, RAFS_E_CORRUPT, 0},
    {"array ends before its batches", 72, 0, 0, RAFS_E_CORRUPT, CONTEXTS_AT + 40},
    {"unknown flags", 7, 1, 0x31, RAFS_E_UNSUPPORTED, 0},
    {"ZRAN in a blob without", 7, 1, 0x03, RAFS_E_CORRUPT, 0},
    {"encrypted in a blob that is not", 7, 1, 0x09, RAFS_E_CORRUPT, 0},
    {"CRC of 0", 16, 8, 0, RAFS_E_CORRUPT, 16},
    {"beyond the uncompressed blob", 0, 4, 0xffffffff, RAFS_E_CORRUPT, 0},
    {"no stored bytes", 8, 8, 16, RAFS_E_CORRUPT, 8},
    {"beyond the blob", 8, 5, CI_AT, RAFS_E_CORRUPT, 8},
    {"plain in fewer bytes", 56, 8, 99ull << 40, RAFS_E_CORRUPT, 56},
    {"third batch of two", 44, 4, 2, RAFS_E_CORRUPT, CONTEXTS_AT + 80},
    {"batch without end", 44, 4, 0xffffffff, RAFS_E_CORRUPT,
     CONTEXTS_AT + 0xffffffffull * 40},
    {"beyond the batch", 40, 4, 901, RAFS_E_CORRUPT, CONTEXTS_AT + 40},
    {"batch of no bytes", CONTEXTS_AT + 40, 4, 0, RAFS_E_CORRUPT, CONTEXTS_AT + 40},
    {"batch that grew", CONTEXTS_AT + 40, 4, 1001, RAFS_E_CORRUPT, CONTEXTS_AT + 40},
    {"batch beyond 16 MiB", CONTEXTS_AT + 44, 4, 0x1000001, RAFS_E_CORRUPT,
     CONTEXTS_AT + 40},
    {"batch beyond the blob", 32, 8, CI_AT - 699, RAFS_E_CORRUPT, CONTEXTS_AT + 40},
};

START_TEST(entry_of_version_2_that_lies_is_refused_and_located)
{
    const struct blob_record blob = v2_blob();
    uint8_t good[V2_BYTES];
    rafs_error err = RAFS_ERROR_INIT;
    int rc = RAFS_OK;
    struct span span;

    make_v2(good);
    span = tell(good, sizeof(good), &v2_lies[_i], ORIGIN);
    for (uint64_t i = 0; rc == RAFS_OK && i < CHUNKS; i++) {
        struct ci_entry entry;
        struct ci_batch batch;

        rc = rafsi_ci_entry(span, &v2_header, &blob, i, &entry, &err);
        if (rc == RAFS_OK && (entry.flags & CI_BATCH))
            rc = rafsi_ci_batch(span, &v2_header, &blob, &entry, &batch, &err);
    }
    check_refused(&v2_lies[_i], rc, &err, ORIGIN);
    forget(span);
}
END_TEST

START_TEST(data_ends_where_the_bootstrap_says)
{
    struct blob_record blob = v1_blob();

    ck_assert_uint_eq(rafsi_blob_data_bytes(&blob), CI_AT);
    blob.features |= RAFS_BLOB_HAS_TAR_HEADER;
    ck_assert_uint_eq(rafsi_blob_data_bytes(&blob), CI_AT - 512);
    blob.ci_offset = 511; /* no room for the header: nothing is left */
    ck_assert_uint_eq(rafsi_blob_data_bytes(&blob), 0);
    blob.ci_uncompressed_size = 0;
    ck_assert_uint_eq(rafsi_blob_data_bytes(&blob), CI_AT + 5000 - 512);
    blob.features &= ~(uint32_t)RAFS_BLOB_CAP_TAR_TOC;
    ck_assert_uint_eq(rafsi_blob_data_bytes(&blob), CI_AT + 5000);
    blob.features |= RAFS_BLOB_CAP_TAR_TOC | RAFS_BLOB_SEPARATE;
    ck_assert_uint_eq(rafsi_blob_data_bytes(&blob), CI_AT + 5000);
}
END_TEST

START_TEST(entry_is_read_as_it_was_written)
{
    static const struct ci_entry in[] = {
        {.uncompressed_offset = 0x1fff000,
         .compressed_offset = 0x12345,
         .uncompressed_size = 0x1000,
         .compressed_size = 0x1000},
        {.uncompressed_offset = 0,
         .compressed_offset = 0,
         .uncompressed_size = 0x1000000,
         .compressed_size = 0x10001,
         .flags = CI_COMPRESSED},
        {.uncompressed_offset = 0x1000,
         .compressed_offset = 7,
         .uncompressed_size = 1,
         .compressed_size = 1,
         .flags = CI_HAS_CRC32,
         .crc32 = 0x87654321},
        {.uncompressed_offset = 0x3000,
         .compressed_offset = 9,
         .uncompressed_size = 0x456,
         .flags = CI_BATCH | CI_COMPRESSED,
         .batch_index = 1,
         .batch_offset = 0x98765},
    };
    const struct blob_record blobs[2] = {v1_blob(), v2_blob()};

    for (size_t i = 0; i < COUNT(in) + 2; i++) {
        /* The first two in both versions. */
        bool v2 = i >= 2;
        const struct ci_entry *entry = &in[v2 ? i - 2 : i];
        const struct ci_header header = {
            .entries = 1, .entry_bytes = v2 ? CI_V2_BYTES : CI_V1_BYTES, .contexts = 2};
        uint8_t bytes[CI_V2_BYTES];
        struct ci_entry out;

        rafsi_ci_put_entry(entry, header.entry_bytes, bytes);
        ck_assert_int_eq(rafsi_ci_entry((struct span){bytes, header.entry_bytes, 0},
                                        &header, &blobs[v2], 0, &out, NULL),
                         RAFS_OK);
        ck_assert_mem_eq(&out, entry, sizeof(out));
    }
}
END_TEST

START_TEST(header_and_batches_are_read_as_they_were_written)
{
    const struct blob_record blob = v2_blob();
    const struct ci_header in = {CHUNKS, CI_V2_BYTES, CHUNKS * CI_V2_BYTES,
                                 2 * CI_BATCH_BYTES, 2};
    const struct ci_batch batch = {0x1234, 0x5678};
    const struct ci_entry entry = {.uncompressed_size = 1, .batch_index = 1};
    uint8_t bytes[CI_HEADER_BYTES],
        array[CHUNKS * CI_V2_BYTES + 2 * CI_BATCH_BYTES] = {0};
    struct ci_header out;
    struct ci_batch got;

    rafsi_ci_put_header(&in, &blob, bytes);
    ck_assert_int_eq(
        rafsi_ci_header((struct span){bytes, sizeof(bytes), 0}, &blob, &out, NULL),
        RAFS_OK);
    /* One by one: there is padding behind the last. */
    ck_assert_uint_eq(out.entries, in.entries);
    ck_assert_uint_eq(out.entry_bytes, in.entry_bytes);
    ck_assert_uint_eq(out.contexts_at, in.contexts_at);
    ck_assert_uint_eq(out.contexts_bytes, in.contexts_bytes);
    ck_assert_uint_eq(out.contexts, in.contexts);
    rafsi_ci_put_batch(&batch, array + sizeof(array) - CI_BATCH_BYTES);
    ck_assert_int_eq(rafsi_ci_batch((struct span){array, sizeof(array), 0}, &in, &blob,
                                    &entry, &got, NULL),
                     RAFS_OK);
    ck_assert_mem_eq(&got, &batch, sizeof(got));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, entry_is_read_as_it_was_written);
    tcase_add_test(tcase, header_and_batches_are_read_as_they_were_written);
    tcase_add_loop_test(tcase, header_that_lies_is_refused_and_located, 0,
                        COUNT(header_lies));
    tcase_add_test(tcase, header_is_decoded);
    tcase_add_test(tcase, entry_of_version_1_has_both_sizes_minus_one);
    tcase_add_loop_test(tcase, entry_of_version_1_that_lies_is_refused_and_located, 0,
                        COUNT(v1_lies));
    tcase_add_test(tcase, compressed_chunk_needs_a_compressor);
    tcase_add_test(tcase, entry_of_version_2_has_its_stored_size_as_it_is);
    tcase_add_loop_test(tcase, entry_of_version_2_that_lies_is_refused_and_located, 0,
                        COUNT(v2_lies));
    tcase_add_test(tcase, data_ends_where_the_bootstrap_says);
}

int main(void)
{
    return run_suite("blob_meta", add);
}
