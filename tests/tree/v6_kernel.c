/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel would follow and reading refuses is refused before there is a mount. */
#include <check.h>
#include <stdlib.h>

#include "tree/v6_tree.h"
#include "v6_image.h"

enum { POKES = 3, ENTRY = AT(FILE_A) + 64 };

struct poke {
    uint32_t at, width;
    uint64_t value;
};

/* NODE_N's two attributes take 28 bytes. ROOT's area would reach over FILE_A's entries.
 */
static const struct {
    const char *why;
    int code;
    struct poke pokes[POKES];
} rows[] = {
    {"nothing", RAFS_OK, {{0, 0, 0}}},
    {"times are known to EROFS", RAFS_OK, {{1032, 4, 0x40000002}}},
    {"a device behind the metadata", RAFS_OK, {{1408 + 68, 4, IMAGE_BYTES / 4096}}},
    {"a device over the metadata", RAFS_E_CORRUPT, {{1408 + 68, 4, 3}}},
    {"filters of attributes", RAFS_E_UNSUPPORTED, {{1032, 4, 0x40000004}}},
    {"a checksum", RAFS_E_UNSUPPORTED, {{1032, 4, 0x40000001}}},
    {"an entry that leads past the fence", RAFS_E_CORRUPT, {{ENTRY + 2, 1, 2}}},
    {"a later one", RAFS_E_CORRUPT, {{ENTRY + 16 + 2, 1, 2}}},
    {"an entry that leads to the metadata", RAFS_E_CORRUPT, {{ENTRY + 2, 1, 0}}},
    {"an entry that leads where no chunk is", RAFS_E_CORRUPT, {{ENTRY + 4, 4, 100}}},
    {"an entry that leads to another chunk", RAFS_E_CORRUPT, {{ENTRY + 4, 4, 1}}},
    {"a longer file than its chunks", RAFS_E_CORRUPT, {{AT(FILE_A) + 8, 8, A_SIZE + 1}}},
    {"a high part of a block", RAFS_E_UNSUPPORTED, {{AT(ROOT) + 6, 2, 1}}},
    {"a compact inode with a time", RAFS_E_UNSUPPORTED, {{AT(FILE_Z) + 12, 4, 1}}},
    {"an unknown name space", RAFS_E_CORRUPT, {{AT(NODE_N) + 77, 1, 5}}},
    {"a NUL in a target", RAFS_E_CORRUPT, {{AT(LINK_L) + 64, 1, 0}}},
    {"an entry that is a part of an attribute",
     RAFS_E_CORRUPT,
     {{AT(ROOT) + 2, 2, 38}, {AT(ROOT) + 76, 4, 140 << 16 | 1 << 8 | 1}}},
};

static int check_of(const uint8_t *bytes, const rafs_call *call, rafs_error *err)
{
    rafs_limits limits = {.struct_size = sizeof(limits), .chunk_index_bytes = 1 << 20};
    struct rafsi_source *source;
    struct rafsi_tree *tree;
    struct rafsi_env env;
    int rc;

    ck_assert_int_eq(rafsi_env_take(NULL, &env, NULL), RAFS_OK);
    ck_assert_int_eq(rafsi_source_memory(&env, bytes, IMAGE_BYTES, &source, NULL),
                     RAFS_OK);
    ck_assert_int_eq(rafsi_v6_open(&env, source, &limits, &tree, NULL), RAFS_OK);
    rc = rafsi_v6_kernel_check(tree, call, err);
    tree->ops->close(tree);
    rafsi_source_free(source);
    return rc;
}

START_TEST(what_the_kernel_would_follow_is_refused)
{
    uint8_t *bytes = malloc(IMAGE_BYTES);
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    ck_assert_ptr_nonnull(bytes);
    make_image(bytes);
    for (int i = 0; i < POKES; i++)
        put(bytes, rows[_i].pokes[i].at, rows[_i].pokes[i].width,
            rows[_i].pokes[i].value);
    rc = check_of(bytes, NULL, &err);
    ck_assert_msg(rc == rows[_i].code, "%s: %d: %s", rows[_i].why, rc, err.text);
    ck_assert_int_eq(err.code, rc);
    ck_assert(rc == RAFS_OK || err.has_offset);
    free(bytes);
}
END_TEST

START_TEST(files_do_not_share_their_entries)
{
    /* Of one inode with two names; then of two inodes whose entries are the same bytes,
     * the first with an area of attributes that ends where they begin. */
    uint8_t *bytes = malloc(IMAGE_BYTES);
    rafs_error err = RAFS_ERROR_INIT;

    ck_assert_ptr_nonnull(bytes);
    make_image(bytes);
    memmove(bytes + AT(FILE_A) + 160, bytes + ENTRY, 24);
    put(bytes, AT(FILE_A) + 2, 2, (96 - 12) / 4 + 1);
    memset(bytes + ENTRY, 0, 96);
    put(bytes, ENTRY + 12, 4, 79 << 16 | 1 << 8 | 1);
    bytes[ENTRY + 16] = 'k';
    memcpy(bytes + AT(FILE_A + 3), bytes + AT(FILE_A), 64);
    put(bytes, AT(FILE_A + 3) + 2, 2, 0);
    /* DIR_D, LINK_L and what else lay there moves out of the way: no names but a, z. */
    put(bytes, ROOT_DIR + 12 * 2, 8, FILE_A);
    put(bytes, ROOT_DIR + 12 * 3, 8, FILE_A);
    put(bytes, ROOT_DIR + 12 * 3 + 10, 1, 1);
    put(bytes, ROOT_DIR + 4096, 8, FILE_Z);
    put(bytes, ROOT_DIR + 4096 + 10, 1, 1);
    put(bytes, ROOT_DIR + 4096 + 12, 8, FILE_Z);
    put(bytes, ROOT_DIR + 4096 + 12 + 10, 1, 1);
    ck_assert_msg(check_of(bytes, NULL, &err) == RAFS_OK, "%s: %s", err.object, err.text);
    put(bytes, ROOT_DIR + 12 * 3, 8, FILE_A + 3);
    ck_assert_int_eq(check_of(bytes, NULL, &err), RAFS_E_CORRUPT);
    ck_assert_uint_eq(err.offset, AT(FILE_A) + 160);
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("v6_kernel");
    TCase *tests = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(tests, what_the_kernel_would_follow_is_refused, 0,
                        sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tests, files_do_not_share_their_entries);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
