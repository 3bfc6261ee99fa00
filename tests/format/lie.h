/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_FORMAT_LIE_H
#define TEST_FORMAT_LIE_H

/* Good structures with one lie in each. */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "format/format.h"

struct lie {
    const char *why;
    size_t at;    /* field that is overwritten */
    size_t width; /* bytes of it; 0: the structure is cut off here instead */
    uint64_t value;
    int code;
    uint64_t where; /* position that the error has to name, from the structure's start */
};

/* Little endian; what is wider than 8 bytes is filled with zeros. */
static inline void put(uint8_t *bytes, size_t at, size_t width, uint64_t value)
{
    for (size_t i = 0; i < width; i++) {
        bytes[at + i] = (uint8_t)value;
        value >>= 8;
    }
}

/* An exactly-sized heap copy: one byte too many is seen by the address checker. */
static inline struct span tell(const uint8_t *good, size_t len, const struct lie *lie,
                               uint64_t origin)
{
    size_t kept = lie && lie->width == 0 ? lie->at : len;
    uint8_t *bytes = malloc(kept + (kept == 0));

    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, good, kept);
    if (lie && lie->width != 0)
        put(bytes, lie->at, lie->width, lie->value);
    return (struct span){bytes, kept, origin};
}

static inline void forget(struct span span)
{
    void *bytes;

    memcpy(&bytes, &span.at, sizeof(bytes));
    free(bytes);
}

static inline void check_refused(const struct lie *lie, int rc, const rafs_error *err,
                                 uint64_t origin)
{
    ck_assert_msg(rc == lie->code, "%s: %d, not %d", lie->why, rc, lie->code);
    ck_assert_msg(err->code == rc, "%s: error not filled", lie->why);
    ck_assert_msg(err->has_offset && err->offset == origin + lie->where,
                  "%s: located at %llu, not %llu", lie->why,
                  (unsigned long long)(err->offset - origin),
                  (unsigned long long)lie->where);
}

static inline int run_suite(const char *name, void (*add)(TCase *))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    add(tcase);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

#endif
