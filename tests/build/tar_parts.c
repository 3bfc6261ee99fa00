/* SPDX-License-Identifier: Apache-2.0 */
/* What headers and records of tar files are made of. */
#include "build/source_tar.h"
#include "grow.h"

static const struct {
    const char *field;
    size_t len;
    bool good;
    int64_t value;
} numbers[] = {
    {"0000644\0", 8, true, 0644},
    {"   644 \0", 8, true, 0644},
    {"00000644", 8, true, 0644},
    {"\0\0\0\0\0\0\0\0", 8, true, 0},
    {"        ", 8, true, 0},
    {"777777777777", 12, true, 0777777777777},
    {"0000648\0", 8, false, 0},
    {"0000x44\0", 8, false, 0},
    {"644\0garb", 8, false, 0},
    {"-1\0\0\0\0\0\0", 8, false, 0},
    {"\x80\0\0\0\0\0\x01\x02", 8, true, 258},
    {"\x80\0\0\0\0\0\0\x02\0\0\0\0", 12, true, 0x200000000},
    {"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12, true, INT64_MAX},
    {"\x80\0\0\0\x80\0\0\0\0\0\0\0", 12, false, 0},
    {"\x80\0\0\x01\0\0\0\0\0\0\0\0", 12, false, 0},
    {"\xff\xff\xff\xff\xff\xff\xff\xff", 8, true, -1},
    {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfb", 12, true, -5},
    {"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", 12, true, INT64_MIN},
    {"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 12, false, 0},
    {"\xff\xff\xff\xfe\x80\0\0\0\0\0\0\0", 12, false, 0},
};

START_TEST(number_is_octal_or_base_256)
{
    uint8_t *at = malloc(numbers[_i].len);
    int64_t value = 4711;
    bool good;

    ck_assert_ptr_nonnull(at);
    memcpy(at, numbers[_i].field, numbers[_i].len);
    good = rafsi_tar_number(at, numbers[_i].len, &value);
    ck_assert_int_eq(good, numbers[_i].good);
    if (good)
        ck_assert_int_eq(value, numbers[_i].value);
    free(at);
}
END_TEST

static const struct {
    const char *text;
    bool good;
    int64_t sec;
    uint32_t nsec;
} times[] = {
    {"0", true, 0, 0},
    {"1700000000", true, 1700000000, 0},
    {"1.5", true, 1, 500000000},
    {"1.000000001", true, 1, 1},
    {"1.1234567891234", true, 1, 123456789},
    {"1.", true, 1, 0},
    {"-1", true, -1, 0},
    {"-1.0", true, -1, 0},
    {"-1.5", true, -2, 500000000},
    {"-0.5", true, -1, 500000000},
    {"-0.000000001", true, -1, 999999999},
    {"-0.0000000001", true, -1, 999999999},
    {"-0.0000000000", true, 0, 0},
    {"-1.9999999999", true, -2, 0},
    {"-62135596800", true, -62135596800, 0},
    {"922337203685477580", true, 922337203685477580, 0},
    {"99999999999999999999", false, 0, 0},
    {"", false, 0, 0},
    {"-", false, 0, 0},
    {".5", false, 0, 0},
    {"1.5x", false, 0, 0},
    {"1e3", false, 0, 0},
    {"+1", false, 0, 0},
    {" 1", false, 0, 0},
    {"00000000000000000000000000000000000000000001", false, 0, 0},
};

START_TEST(time_is_rounded_down_below_zero_too)
{
    uint32_t nsec = 0;
    int64_t sec = 0;
    bool good = rafsi_tar_time(times[_i].text, strlen(times[_i].text), &sec, &nsec);

    ck_assert_msg(good == times[_i].good, "%s", times[_i].text);
    if (!good)
        return;
    ck_assert_msg(sec == times[_i].sec && nsec == times[_i].nsec, "%s: %lld.%09u",
                  times[_i].text, (long long)sec, nsec);
}
END_TEST

/* Entries as tag.permissions.id, for reading. */
static const struct {
    const char *text;
    const char *entries; /* NULL: refused */
    bool minimal;
} acls[] = {
    {"user::rw-,group::r--,other::---", "1.6 4.4 32.0", true},
    {"user::rwx\ngroup::r-x\nother::r-x\n", "1.7 4.5 32.5", true},
    {"u::rw-,g::r--,o::r--", "1.6 4.4 32.4", true},
    {"user::rw-,group::r--,mask::r--,other::r--", "1.6 4.4 16.4 32.4", false},
    {"user::rw-,user:joe:r--:1001,group::r--,mask::r--,other::r--",
     "1.6 2.4.1001 4.4 16.4 32.4", false},
    {"other::r--,mask::rwx,group:5:rw-,group:staff:-wx:4,user:1001:r--,group::r--,"
     "user:7:---,user::rw-",
     "1.6 2.0.7 2.4.1001 4.4 8.3.4 8.6.5 16.7 32.4", false},
    {"user::rw-,group::r--,other:r--", "1.6 4.4 32.4", true},
    {"user::rw-,user:joe:r--,group::r--,mask::r--,other::r--", NULL, false},
    {"user::rw-,user:1:r--,group::r--,other::r--", NULL, false}, /* no mask */
    {"user::rw-,group::r--", NULL, false},
    {"user::rw-,user::r--,group::r--,other::r--", NULL, false},
    {"user::rwz,group::r--,other::r--", NULL, false},
    {"user::,group::r--,other::r--", NULL, false},
    {"daemon::rw-,group::r--,other::r--", NULL, false},
    {"user:4294967295:rw-,user::rw-,group::r--,mask::r--,other::r--", NULL, false},
    {"user:99999999999:rw-,user::rw-,group::r--,mask::r--,other::r--", NULL, false},
    {"mask:5:r--,user::rw-,group::r--,other::r--", NULL, false},
    {"user", NULL, false},
    {":::", NULL, false},
    {"", NULL, false},
};

START_TEST(acl_becomes_what_linux_keeps)
{
    uint8_t out[256];
    char shown[256] = "";
    bool minimal = false;
    size_t used = 0;
    const char *text = acls[_i].text;
    const char *wrong =
        rafsi_tar_acl(text, strlen(text), out, sizeof(out), &used, &minimal);

    if (!acls[_i].entries) {
        ck_assert_msg(wrong != NULL, "accepted: %s", text);
        return;
    }
    ck_assert_msg(wrong == NULL, "%s: %s", text, wrong);
    ck_assert_mem_eq(out, "\2\0\0\0", 4);
    for (const uint8_t *at = out + 4; at < out + used; at += 8) {
        uint32_t id;

        memcpy(&id, at + 4, sizeof(id)); /* tests run on little endian */
        snprintf(shown + strlen(shown), sizeof(shown) - strlen(shown), "%s%u.%u",
                 shown[0] ? " " : "", at[0], at[2]);
        if (id != UINT32_MAX)
            snprintf(shown + strlen(shown), sizeof(shown) - strlen(shown), ".%u", id);
    }
    ck_assert_str_eq(shown, acls[_i].entries);
    ck_assert_int_eq(minimal, acls[_i].minimal);
    ck_assert_ptr_nonnull(
        rafsi_tar_acl(text, strlen(text), out, used - 1, &used, &minimal));
}
END_TEST

static const struct {
    const char *why;
    struct tar_extent extents[3];
    size_t count;
    uint64_t stored, size;
    bool good;
} maps[] = {
    {"one hole", {{0, 0}}, 0, 0, 100, true},
    {"hole between", {{0, 10}, {50, 10}}, 2, 20, 100, true},
    {"end mark", {{0, 10}, {100, 0}}, 2, 10, 100, true},
    {"full", {{0, 10}, {10, 90}}, 2, 100, 100, true},
    {"overlap", {{0, 10}, {9, 10}}, 2, 20, 100, false},
    {"backwards", {{50, 10}, {0, 10}}, 2, 20, 100, false},
    {"past the end", {{95, 6}}, 1, 6, 100, false},
    {"wraps", {{UINT64_MAX - 1, 10}}, 1, 10, 100, false},
    {"sum wraps", {{0, UINT64_MAX}, {0, 2}}, 2, 1, 100, false},
    {"more stored", {{0, 10}}, 1, 11, 100, false},
    {"less stored", {{0, 10}}, 1, 9, 100, false},
};

START_TEST(sparse_map_that_lies_is_refused)
{
    struct tar_map map = {.extents = malloc(maps[_i].count * sizeof(struct tar_extent)),
                          .count = maps[_i].count};
    const char *wrong;

    if (map.count != 0)
        memcpy(map.extents, maps[_i].extents, map.count * sizeof(*map.extents));
    wrong = rafsi_tar_map_check(&map, maps[_i].stored, maps[_i].size);
    ck_assert_msg((wrong == NULL) == maps[_i].good, "%s: %s", maps[_i].why, wrong);
    free(map.extents);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, number_is_octal_or_base_256, 0, COUNT(numbers));
    tcase_add_loop_test(tcase, time_is_rounded_down_below_zero_too, 0, COUNT(times));
    tcase_add_loop_test(tcase, acl_becomes_what_linux_keeps, 0, COUNT(acls));
    tcase_add_loop_test(tcase, sparse_map_that_lies_is_refused, 0, COUNT(maps));
}

int main(void)
{
    return grow_suite(add_tests);
}
