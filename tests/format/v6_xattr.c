/* SPDX-License-Identifier: Apache-2.0 */
#include "lie.h"

#define ORIGIN 8256

/* user.ab = "xyz": 4 + 2 + 3 bytes, padded to 12. */
static const uint8_t good[12] = {2, 1, 3, 0, 'a', 'b', 'x', 'y', 'z'};

static const struct lie lies[] = {
    {"cut within the head", 3, 0, 0, RAFS_E_CORRUPT, 0},
    {"cut within the name", 5, 0, 0, RAFS_E_CORRUPT, 0},
    {"name beyond the area", 0, 1, 255, RAFS_E_CORRUPT, 0},
    {"no name", 0, 1, 0, RAFS_E_CORRUPT, 0},
    {"name space 0", 1, 1, 0, RAFS_E_CORRUPT, 1},
    {"name space 5", 1, 1, 5, RAFS_E_CORRUPT, 1},
    {"name space 7", 1, 1, 7, RAFS_E_CORRUPT, 1},
    {"name space 255", 1, 1, 255, RAFS_E_CORRUPT, 1},
    {"suffix of an ACL", 1, 1, 2, RAFS_E_CORRUPT, 0},
    {"value beyond the area", 2, 2, 7, RAFS_E_CORRUPT, 0},
    {"longest value", 2, 2, 65535, RAFS_E_CORRUPT, 0},
    {"NUL in the name", 5, 1, 0, RAFS_E_CORRUPT, 4},
};

START_TEST(attribute_that_lies_is_refused_and_located)
{
    const struct lie *lie = &lies[_i];
    struct v6_xattr before, out;
    rafs_error err = RAFS_ERROR_INIT;
    struct span span = tell(good, sizeof(good), lie, ORIGIN);

    memset(&before, 7, sizeof(before));
    out = before;
    check_refused(lie, rafsi_v6_xattr(span, sizeof(good), &out, &err), &err, ORIGIN);
    ck_assert_mem_eq(&out, &before, sizeof(out));
    forget(span);
}
END_TEST

START_TEST(attribute_is_decoded)
{
    struct v6_xattr out;
    struct span span = tell(good, sizeof(good), NULL, ORIGIN);

    ck_assert_int_eq(rafsi_v6_xattr(span, sizeof(good), &out, NULL), RAFS_OK);
    ck_assert_str_eq(out.name, "user.ab");
    ck_assert_uint_eq(out.name_len, 7);
    ck_assert_uint_eq(out.value_at, 6);
    ck_assert_uint_eq(out.value_len, 3);
    ck_assert_uint_eq(out.bytes, 12);
    forget(span);
}
END_TEST

START_TEST(acl_has_no_suffix_and_maybe_no_value)
{
    static const uint8_t acl[4] = {0, 3, 0, 0};
    struct v6_xattr out;
    struct span span = tell(acl, sizeof(acl), NULL, ORIGIN);

    ck_assert_int_eq(rafsi_v6_xattr(span, sizeof(acl), &out, NULL), RAFS_OK);
    ck_assert_str_eq(out.name, "system.posix_acl_default");
    ck_assert_uint_eq(out.value_len, 0);
    ck_assert_uint_eq(out.bytes, 4);
    forget(span);
}
END_TEST

/* 255 bytes with the prefix, and not one more. */
START_TEST(longest_name_is_255_bytes_with_its_prefix)
{
    uint8_t bytes[4 + 252];
    rafs_error err = RAFS_ERROR_INIT;
    struct v6_xattr out;
    struct span span;

    memset(bytes, 'n', sizeof(bytes));
    put(bytes, 0, 4, 250 | 1 << 8);
    span = tell(bytes, sizeof(bytes), NULL, ORIGIN);
    ck_assert_int_eq(rafsi_v6_xattr(span, sizeof(bytes), &out, NULL), RAFS_OK);
    ck_assert_uint_eq(out.name_len, 255);
    forget(span);
    bytes[0] = 251;
    span = tell(bytes, sizeof(bytes), NULL, ORIGIN);
    ck_assert_int_eq(rafsi_v6_xattr(span, sizeof(bytes), &out, &err), RAFS_E_CORRUPT);
    ck_assert_uint_eq(err.offset, ORIGIN);
    forget(span);
}
END_TEST

static const struct lie header_lies[] = {
    {"cut short", 11, 0, 0, RAFS_E_CORRUPT, 0},
    {"shared attributes", 4, 1, 1, RAFS_E_UNSUPPORTED, 4},
};

START_TEST(header_that_lies_is_refused_and_located)
{
    static const uint8_t header[V6_XATTR_HEADER_BYTES] = {0xff, 0xff, 0xff, 0xff};
    rafs_error err = RAFS_ERROR_INIT;
    struct span span = tell(header, sizeof(header), NULL, ORIGIN);

    ck_assert_int_eq(rafsi_v6_xattr_header(span, NULL), RAFS_OK);
    forget(span);
    span = tell(header, sizeof(header), &header_lies[_i], ORIGIN);
    check_refused(&header_lies[_i], rafsi_v6_xattr_header(span, &err), &err, ORIGIN);
    forget(span);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, attribute_that_lies_is_refused_and_located, 0,
                        COUNT(lies));
    tcase_add_test(tcase, attribute_is_decoded);
    tcase_add_test(tcase, acl_has_no_suffix_and_maybe_no_value);
    tcase_add_test(tcase, longest_name_is_255_bytes_with_its_prefix);
    tcase_add_loop_test(tcase, header_that_lies_is_refused_and_located, 0,
                        COUNT(header_lies));
}

int main(void)
{
    return run_suite("v6_xattr", add);
}
