/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "lie.h"
#include "rafs/image.h"

#define HEADER_AT 100000
#define BLOB_BYTES 200000

static void sign(uint8_t header[TAR_HEADER_BYTES])
{
    char text[9];
    unsigned sum = 0;

    memset(header + 148, ' ', 8);
    for (size_t i = 0; i < TAR_HEADER_BYTES; i++)
        sum += header[i];
    snprintf(text, sizeof(text), "%06o", sum & 0777777);
    memcpy(header + 148, text, 7);
}

static void make_header(uint8_t header[TAR_HEADER_BYTES], const char *name, unsigned size)
{
    char text[12];

    memset(header, 0, TAR_HEADER_BYTES);
    memcpy(header, name, strlen(name));
    snprintf(text, sizeof(text), "%011o", size);
    memcpy(header + 124, text, 12);
    header[156] = '0';
    memcpy(header + 257, "ustar  ", 8);
    sign(header);
}

/* Which lies are told before the checksum is made, so that it fits. */
static const struct {
    struct lie lie;
    bool checksum_fits;
} header_lies[] = {
    {{"cut short", 511, 0, 0, RAFS_E_CORRUPT, 0}, false},
    {{"one byte differs", 1, 1, 'x', RAFS_E_CORRUPT, 148}, false},
    {{"no magic", 257, 1, 'U', RAFS_E_CORRUPT, 257}, true},
    {{"checksum is no number", 148, 1, 'x', RAFS_E_CORRUPT, 148}, false},
    {{"a directory", 156, 1, '5', RAFS_E_CORRUPT, 156}, true},
    {{"size is no number", 124, 1, '-', RAFS_E_CORRUPT, 124}, true},
    {{"size with a digit 8", 134, 1, '8', RAFS_E_CORRUPT, 124}, true},
    {{"size in base 256", 124, 1, 0x80, RAFS_E_CORRUPT, 124}, true},
    {{"digits after the end", 126, 1, 0, RAFS_E_CORRUPT, 124}, true},
    {{"larger than what precedes", 128, 1, '1', RAFS_E_CORRUPT, 124}, true},
};

START_TEST(tar_header_that_lies_is_refused_and_located)
{
    const struct lie *lie = &header_lies[_i].lie;
    rafs_error err = RAFS_ERROR_INIT;
    uint8_t header[TAR_HEADER_BYTES];
    struct tar_section out;
    struct span span;

    make_header(header, SECTION_BOOT, 5000);
    if (header_lies[_i].checksum_fits) {
        put(header, lie->at, lie->width, lie->value);
        sign(header);
    }
    span = tell(header, sizeof(header), lie, HEADER_AT);
    check_refused(lie, rafsi_tar_section(span, &out, &err), &err, HEADER_AT);
    forget(span);
}
END_TEST

START_TEST(section_ends_where_its_header_begins)
{
    uint8_t header[TAR_HEADER_BYTES];
    struct tar_section out;
    struct span span;

    make_header(header, SECTION_BOOT, 5000);
    span = tell(header, sizeof(header), NULL, HEADER_AT);
    ck_assert_int_eq(rafsi_tar_section(span, &out, NULL), RAFS_OK);
    ck_assert_str_eq(out.name, SECTION_BOOT);
    ck_assert_uint_eq(out.size, 5000);
    ck_assert_uint_eq(out.at, HEADER_AT - 5000);
    forget(span);
    make_header(header, SECTION_BOOT, HEADER_AT); /* all that there is */
    span = tell(header, sizeof(header), NULL, HEADER_AT);
    ck_assert_int_eq(rafsi_tar_section(span, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.at, 0);
    forget(span);
}
END_TEST

START_TEST(toc_has_whole_entries_and_at_most_64_kib)
{
    static const struct {
        const char *name;
        uint64_t size;
        int code;
    } sections[] = {
        {SECTION_TOC, 128, RAFS_OK},          {SECTION_TOC, 0xfe00, RAFS_OK},
        {SECTION_TOC, 0, RAFS_E_CORRUPT},     {SECTION_TOC, 129, RAFS_E_CORRUPT},
        {SECTION_TOC, 65536, RAFS_E_CORRUPT}, {SECTION_BOOT, 128, RAFS_E_CORRUPT},
    };

    for (int i = 0; i < COUNT(sections); i++) {
        struct tar_section section = {.at = 1, .size = sections[i].size};

        memcpy(section.name, sections[i].name, strlen(sections[i].name));
        ck_assert_int_eq(rafsi_toc_section(&section, NULL), sections[i].code);
    }
}
END_TEST

static void make_entry(uint8_t entry[TOC_ENTRY_BYTES], const char *name)
{
    memset(entry, 0, TOC_ENTRY_BYTES);
    put(entry, 0, 4, 2);
    memcpy(entry + 8, name, strlen(name));
    memset(entry + 24, 0xab, 32);
    put(entry, 56, 8, 1000);
    put(entry, 64, 8, 500);
    put(entry, 72, 8, 4096);
    memset(entry + 80, 0xee, 48); /* garbage of old writers */
}

static const struct lie entry_lies[] = {
    {"cut short", 127, 0, 0, RAFS_E_CORRUPT, 0},
    {"no compressor", 0, 4, 0, RAFS_E_UNSUPPORTED, 0},
    {"two compressors", 0, 4, 3, RAFS_E_UNSUPPORTED, 0},
    {"unknown compressor", 0, 4, 8, RAFS_E_UNSUPPORTED, 0},
    {"plain in fewer bytes", 0, 4, 1, RAFS_E_CORRUPT, 64},
    {"beyond the blob", 56, 8, BLOB_BYTES - 499, RAFS_E_CORRUPT, 56},
    {"at the end of all", 56, 8, ~0ull, RAFS_E_CORRUPT, 56},
    {"larger than the blob", 64, 8, ~0ull, RAFS_E_CORRUPT, 56},
};

START_TEST(toc_entry_that_lies_is_refused_and_located)
{
    uint8_t good[TOC_ENTRY_BYTES];
    rafs_error err = RAFS_ERROR_INIT;
    struct toc_entry out;
    struct span span;

    make_entry(good, SECTION_BOOT);
    span = tell(good, sizeof(good), &entry_lies[_i], HEADER_AT);
    check_refused(&entry_lies[_i], rafsi_toc_entry(span, 0, BLOB_BYTES, &out, &err), &err,
                  HEADER_AT);
    forget(span);
}
END_TEST

START_TEST(toc_entry_is_found_by_name)
{
    uint8_t toc[3 * TOC_ENTRY_BYTES];
    rafs_error err = RAFS_ERROR_INIT;
    struct toc_entry out;
    bool found = false;
    struct span span;

    make_entry(toc, SECTION_META_HEADER); /* fills the field without a terminator */
    make_entry(toc + TOC_ENTRY_BYTES, SECTION_META);
    make_entry(toc + 2 * TOC_ENTRY_BYTES, SECTION_BOOT);
    put(toc, 0, 4, 0); /* a broken entry that nobody asks for */
    span = tell(toc, sizeof(toc), NULL, HEADER_AT);
    ck_assert_int_eq(rafsi_toc_find(span, BLOB_BYTES, SECTION_BOOT, &out, &found, NULL),
                     RAFS_OK);
    ck_assert(found);
    ck_assert_uint_eq(out.at, 1000);
    ck_assert_uint_eq(out.stored_size, 500);
    ck_assert_uint_eq(out.uncompressed_size, 4096);
    ck_assert_uint_eq(out.compressor, RAFS_COMPRESSOR_ZSTD);
    ck_assert_uint_eq(out.digest[31], 0xab);
    ck_assert_int_eq(rafsi_toc_find(span, BLOB_BYTES, SECTION_DIGEST, &out, &found, NULL),
                     RAFS_OK);
    ck_assert(!found);
    ck_assert_int_eq(
        rafsi_toc_find(span, BLOB_BYTES, SECTION_META_HEADER, &out, &found, &err),
        RAFS_E_UNSUPPORTED);
    forget(span);
}
END_TEST

START_TEST(toc_with_two_sections_of_one_name_is_refused)
{
    uint8_t toc[2 * TOC_ENTRY_BYTES];
    rafs_error err = RAFS_ERROR_INIT;
    struct toc_entry out;
    bool found = false;
    struct span span;

    make_entry(toc, SECTION_BOOT);
    make_entry(toc + TOC_ENTRY_BYTES, SECTION_BOOT);
    span = tell(toc, sizeof(toc), NULL, HEADER_AT);
    ck_assert_int_eq(rafsi_toc_find(span, BLOB_BYTES, SECTION_BOOT, &out, &found, &err),
                     RAFS_E_CORRUPT);
    ck_assert_uint_eq(err.offset, HEADER_AT + TOC_ENTRY_BYTES);
    ck_assert(!found);
    forget(span);
}
END_TEST

START_TEST(data_begins_at_zero_whatever_the_entry_says)
{
    uint8_t toc[TOC_ENTRY_BYTES];
    struct toc_entry out;
    struct span span;

    make_entry(toc, SECTION_BLOB);
    put(toc, 0, 4, 1);
    put(toc, 56, 8, BLOB_BYTES);
    span = tell(toc, sizeof(toc), NULL, HEADER_AT);
    ck_assert_int_eq(rafsi_toc_entry(span, 0, BLOB_BYTES, &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.at, 0);
    ck_assert_uint_eq(out.stored_size, 500);
    forget(span);
}
END_TEST

START_TEST(section_header_is_read_as_it_was_written)
{
    static const uint64_t sizes[] = {0,         1, 511, 077777777777ull, 0100000000000ull,
                                     1ull << 44};
    uint8_t header[TAR_HEADER_BYTES];
    struct tar_section out;

    for (size_t i = 0; i < COUNT(sizes); i++) {
        const uint64_t at = sizes[i] + 7;

        rafsi_tar_section_put(SECTION_META, sizes[i], header);
        ck_assert_int_eq(
            rafsi_tar_section((struct span){header, sizeof(header), at}, &out, NULL),
            RAFS_OK);
        ck_assert_str_eq(out.name, SECTION_META);
        ck_assert_uint_eq(out.size, sizes[i]);
        ck_assert_uint_eq(out.at, 7);
        ck_assert_mem_eq(header + 257, "ustar  ", 8);
    }
}
END_TEST

START_TEST(size_that_no_number_holds_is_refused)
{
    uint8_t header[TAR_HEADER_BYTES];
    rafs_error err = RAFS_ERROR_INIT;
    struct tar_section out;
    unsigned sum = 0;
    char digits[8];

    rafsi_tar_section_put(SECTION_META, 1ull << 44, header);
    header[124 + 3] = 1; /* 2^64 and more */
    memset(header + 148, ' ', 8);
    for (size_t i = 0; i < sizeof(header); i++)
        sum += header[i];
    snprintf(digits, sizeof(digits), "%06o", sum);
    memcpy(header + 148, digits, 7);
    ck_assert_int_eq(
        rafsi_tar_section((struct span){header, sizeof(header), 1 << 30}, &out, &err),
        RAFS_E_CORRUPT);
    ck_assert_uint_eq(err.offset, (1 << 30) + 124);
}
END_TEST

START_TEST(toc_entry_is_read_as_it_was_written)
{
    static const uint32_t compressors[] = {RAFS_COMPRESSOR_NONE, RAFS_COMPRESSOR_ZSTD,
                                           RAFS_COMPRESSOR_LZ4_BLOCK};

    for (size_t i = 0; i < COUNT(compressors); i++) {
        struct toc_entry in = {.compressor = compressors[i],
                               .name = SECTION_META_HEADER, /* all of 16 bytes */
                               .digest = {1, 2, 3},
                               .at = 0x123,
                               .stored_size = 77,
                               .uncompressed_size = 77};
        uint8_t bytes[TOC_ENTRY_BYTES];
        struct toc_entry out = {0};

        rafsi_toc_entry_put(&in, bytes);
        ck_assert_int_eq(
            rafsi_toc_entry((struct span){bytes, sizeof(bytes), 0}, 0, 1000, &out, NULL),
            RAFS_OK);
        /* One by one: there is padding between them. */
        ck_assert_uint_eq(out.compressor, in.compressor);
        ck_assert_str_eq(out.name, in.name);
        ck_assert_mem_eq(out.digest, in.digest, sizeof(out.digest));
        ck_assert_uint_eq(out.at, in.at);
        ck_assert_uint_eq(out.stored_size, in.stored_size);
        ck_assert_uint_eq(out.uncompressed_size, in.uncompressed_size);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, section_header_is_read_as_it_was_written);
    tcase_add_test(tcase, size_that_no_number_holds_is_refused);
    tcase_add_test(tcase, toc_entry_is_read_as_it_was_written);
    tcase_add_loop_test(tcase, tar_header_that_lies_is_refused_and_located, 0,
                        COUNT(header_lies));
    tcase_add_test(tcase, section_ends_where_its_header_begins);
    tcase_add_test(tcase, toc_has_whole_entries_and_at_most_64_kib);
    tcase_add_loop_test(tcase, toc_entry_that_lies_is_refused_and_located, 0,
                        COUNT(entry_lies));
    tcase_add_test(tcase, toc_entry_is_found_by_name);
    tcase_add_test(tcase, toc_with_two_sections_of_one_name_is_refused);
    tcase_add_test(tcase, data_begins_at_zero_whatever_the_entry_says);
}

int main(void)
{
    return run_suite("toc", add);
}
