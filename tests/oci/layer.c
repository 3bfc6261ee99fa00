/* SPDX-License-Identifier: Apache-2.0 */
/* Bootstrap layers that are small and become very large. */
#include "oci/layer.h"

#include <zlib.h>

#include "oci/tar.h"
#include "suite.h"

enum { PIECE = 1 << 20, LIMIT = 4 << 20, ROOM = 8 << 20 };

static struct rafsi_env env;
static uint8_t layer[ROOM];
static size_t layer_len;
static z_stream z;

static void begin(void)
{
    memset(&z, 0, sizeof(z));
    ck_assert_int_eq(rafsi_env_take(NULL, &env, NULL), RAFS_OK);
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, 0), Z_OK);
    z.next_out = layer;
    z.avail_out = sizeof(layer);
}

static void add(const void *bytes, size_t len, int flush)
{
    z.next_in = (z_const Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)len;
    ck_assert_int_ge(deflate(&z, flush), Z_OK);
    ck_assert_uint_eq(z.avail_in, 0);
}

static void add_zeros(uint64_t len)
{
    static const uint8_t zeros[PIECE];

    for (uint64_t step; len > 0; len -= step) {
        step = rafsi_min(len, sizeof(zeros));
        add(zeros, (size_t)step, Z_NO_FLUSH);
    }
}

static void add_entry(const char *name, uint64_t size)
{
    char block[TAR_BLOCK + 1] = "";
    unsigned sum = 0;

    snprintf(block, 100, "%s", name);
    snprintf(block + 124, 13, "%012llo", (unsigned long long)size);
    memset(block + 148, ' ', 8);
    block[156] = '0';
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += (uint8_t)block[i];
    snprintf(block + 148, 8, "%06o", sum);
    add(block, TAR_BLOCK, Z_NO_FLUSH);
    add_zeros((size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK);
}

static int end(const rafs_call *call)
{
    uint8_t *boot = NULL;
    size_t len = 0;
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    add("", 0, Z_FINISH);
    layer_len = sizeof(layer) - z.avail_out;
    deflateEnd(&z);
    rc = rafsi_layer_bootstrap(&env, layer, layer_len, LIMIT, call, &boot, &len, &err);
    ck_assert_int_eq(rc == RAFS_OK, boot != NULL);
    ck_assert_int_eq(rc, rc == RAFS_OK ? RAFS_OK : err.code);
    rafsi_free(&env, boot);
    return rc;
}

START_TEST(what_lies_before_the_bootstrap_is_skipped)
{
    begin();
    add_entry("some.blob.meta", 50 << 20);
    add_entry("image/image.boot", 4096);
    ck_assert_int_eq(end(NULL), RAFS_OK);
}
END_TEST

START_TEST(a_layer_that_becomes_very_large_is_refused)
{
    begin();
    for (int i = 0; i < 5; i++)
        add_entry("decoy", 60 << 20);
    add_entry("image/image.boot", 4096);
    ck_assert_uint_lt(sizeof(layer) - z.avail_out, 1 << 20);
    ck_assert_int_eq(end(NULL), RAFS_E_LIMIT);
}
END_TEST

START_TEST(one_that_says_it_is_is_not_even_read)
{
    begin();
    add_entry("decoy", 100);
    add_entry("image/image.boot", 100 << 20);
    ck_assert_int_eq(end(NULL), RAFS_E_LIMIT);
}
END_TEST

START_TEST(inflating_stops_at_a_deadline)
{
    rafs_call call = RAFS_CALL_INIT;
    rafs_cancel *token;

    ck_assert_int_eq(rafs_cancel_new(&token, NULL), RAFS_OK);
    rafs_cancel_fire(token);
    call.cancel = token;
    begin();
    add_entry("decoy", 60 << 20);
    add_entry("image/image.boot", 4096);
    ck_assert_int_eq(end(&call), RAFS_E_CANCELLED);
    rafs_cancel_free(token);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, what_lies_before_the_bootstrap_is_skipped);
    tcase_add_test(tcase, a_layer_that_becomes_very_large_is_refused);
    tcase_add_test(tcase, one_that_says_it_is_is_not_even_read);
    tcase_add_test(tcase, inflating_stops_at_a_deadline);
}

int main(void)
{
    return run_suite("oci", add_tests);
}
