/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "lie.h"

#define ORIGIN 8192
#define ENTRIES 4

/* "!x", ".", "..", "name": 4 entries and 9 bytes of names. */
static size_t make_block(uint8_t bytes[ENTRIES * 12 + 9])
{
    static const struct {
        const char *name;
        uint8_t type;
    } entries[ENTRIES] = {{"!x", 1}, {".", 2}, {"..", 2}, {"name", 7}};
    size_t pos = ENTRIES * 12;

    memset(bytes, 0, ENTRIES * 12 + 9);
    for (size_t i = 0; i < ENTRIES; i++) {
        size_t len = strlen(entries[i].name);

        put(bytes, 12 * i, 8, 200 + i);
        put(bytes, 12 * i + 8, 2, pos);
        bytes[12 * i + 10] = entries[i].type;
        memcpy(bytes + pos, entries[i].name, len);
        pos += len;
    }
    return pos;
}

static int decode_all(struct span block, struct v6_dirent out[ENTRIES], rafs_error *err)
{
    uint32_t count = 0;
    int rc = rafsi_v6_dirent_count(block, &count, err);

    for (uint32_t i = 0; rc == RAFS_OK && i < count; i++) {
        ck_assert_uint_lt(i, ENTRIES);
        rc = rafsi_v6_dirent(block, count, i, &out[i], err);
    }
    return rc;
}

static const struct lie lies[] = {
    {"empty", 0, 0, 0, RAFS_E_CORRUPT, 0},
    {"cut within the first entry", 9, 0, 0, RAFS_E_CORRUPT, 0},
    {"cut within the entries", 40, 0, 0, RAFS_E_CORRUPT, 8},
    {"cut before the names", 48, 0, 0, RAFS_E_CORRUPT, 8},
    {"cut after the first name", 50, 0, 0, RAFS_E_CORRUPT, 8},
    {"no entries", 8, 2, 0, RAFS_E_CORRUPT, 8},
    {"part of an entry", 8, 2, 47, RAFS_E_CORRUPT, 8},
    {"more entries than the block has room for", 8, 2, 60, RAFS_E_CORRUPT, 8},
    {"entries without end", 8, 2, 65532, RAFS_E_CORRUPT, 8},
    {"first name is empty", 20, 2, 48, RAFS_E_CORRUPT, 8},
    {"second name is empty", 32, 2, 50, RAFS_E_CORRUPT, 20},
    {"names go backwards", 32, 2, 49, RAFS_E_CORRUPT, 20},
    {"name lies in the entries", 20, 2, 12, RAFS_E_CORRUPT, 8},
    {"name beyond the block", 44, 2, 57, RAFS_E_CORRUPT, 32},
    {"last name is empty", 53, 1, 0, RAFS_E_CORRUPT, 53},
    {"name with a slash", 54, 1, '/', RAFS_E_CORRUPT, 53},
    {"name with a NUL inside", 49, 1, 0, RAFS_E_CORRUPT, 48},
    {"type 0", 10, 1, 0, RAFS_E_CORRUPT, 10},
    {"type 8", 22, 1, 8, RAFS_E_CORRUPT, 22},
};

START_TEST(directory_block_that_lies_is_refused_and_located)
{
    uint8_t good[ENTRIES * 12 + 9];
    struct v6_dirent out[ENTRIES];
    rafs_error err = RAFS_ERROR_INIT;
    struct span span;

    make_block(good);
    span = tell(good, sizeof(good), &lies[_i], ORIGIN);
    check_refused(&lies[_i], decode_all(span, out, &err), &err, ORIGIN);
    forget(span);
}
END_TEST

START_TEST(directory_block_is_decoded)
{
    uint8_t good[ENTRIES * 12 + 9];
    struct v6_dirent out[ENTRIES];
    struct span span;

    ck_assert_uint_eq(make_block(good), sizeof(good));
    span = tell(good, sizeof(good), NULL, ORIGIN);
    ck_assert_int_eq(decode_all(span, out, NULL), RAFS_OK);
    ck_assert(!out[0].dots && out[1].dots && out[2].dots && !out[3].dots);
    ck_assert_uint_eq(out[3].nid, 203);
    ck_assert_uint_eq(out[3].type, S_IFLNK);
    ck_assert_uint_eq(out[3].name_len, 4);
    ck_assert_mem_eq(out[3].name, "name", 4);
    ck_assert_uint_eq(out[0].name_len, 2);
    forget(span);
}
END_TEST

START_TEST(last_name_ends_at_the_first_nul)
{
    uint8_t padded[256] = {0};
    struct v6_dirent out[ENTRIES];
    struct span span;

    make_block(padded);
    span = tell(padded, sizeof(padded), NULL, ORIGIN);
    ck_assert_int_eq(decode_all(span, out, NULL), RAFS_OK);
    ck_assert_uint_eq(out[3].name_len, 4);
    forget(span);
}
END_TEST

START_TEST(name_longer_than_255_bytes_is_refused)
{
    uint8_t bytes[12 + 256];
    rafs_error err = RAFS_ERROR_INIT;
    struct v6_dirent out;
    struct span span;

    memset(bytes, 'n', sizeof(bytes));
    put(bytes, 0, 12, 200);
    put(bytes, 8, 2, 12);
    bytes[10] = 1;
    span = tell(bytes, sizeof(bytes), NULL, ORIGIN);
    ck_assert_int_eq(rafsi_v6_dirent(span, 1, 0, &out, &err), RAFS_E_CORRUPT);
    ck_assert_uint_eq(err.offset, ORIGIN + 12);
    forget(span);
    span = tell(bytes, sizeof(bytes) - 1, NULL, ORIGIN);
    ck_assert_int_eq(rafsi_v6_dirent(span, 1, 0, &out, &err), RAFS_OK);
    ck_assert_uint_eq(out.name_len, 255);
    forget(span);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, directory_block_that_lies_is_refused_and_located, 0,
                        COUNT(lies));
    tcase_add_test(tcase, directory_block_is_decoded);
    tcase_add_test(tcase, last_name_ends_at_the_first_nul);
    tcase_add_test(tcase, name_longer_than_255_bytes_is_refused);
}

int main(void)
{
    return run_suite("v6_dirent", add);
}
