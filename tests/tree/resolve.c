/* SPDX-License-Identifier: Apache-2.0 */
/* Paths lead where Linux says they lead, and nowhere in bounded time. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree_images.h"

#define IMAGES_MAX 64

static struct tree_image images[IMAGES_MAX];
static int image_count;
static const char *const variants[] = {"v5-zstd", "v6-zstd"};

/* On the project's tree: /data/one and others are files, /deep/a a directory,
 * /links/short -> ../data/one, /links/loop -> loop. */
static const struct {
    const char *path;
    uint32_t flags;
    const char *same_as; /* a plain path to what is found; NULL: an error */
    int code;
    int os_errno;
    uint64_t offset; /* of the component that fails */
} rows[] = {
    {"", 0, "/", 0, 0, 0},
    {"/", 0, "/", 0, 0, 0},
    {"///", 0, "/", 0, 0, 0},
    {".", 0, "/", 0, 0, 0},
    {"..", 0, "/", 0, 0, 0},
    {"/../../data", 0, "/data", 0, 0, 0},
    {"data", 0, "/data", 0, 0, 0},
    {"//data//one", 0, "/data/one", 0, 0, 0},
    {"/data/", 0, "/data", 0, 0, 0},
    {"/data/.", 0, "/data", 0, 0, 0},
    {"/data/..", 0, "/", 0, 0, 0},
    {"/deep/a/../../data/one", 0, "/data/one", 0, 0, 0},
    {"/links/short", 0, "/data/one", 0, 0, 0},
    {"/links/long", 0, "/data/one", 0, 0, 0},
    {"/links/short", RAFS_RESOLVE_NOFOLLOW, NULL, 0, 0, 0},
    {"/links/loop", RAFS_RESOLVE_NOFOLLOW, NULL, 0, 0, 0},
    {"/links/loop", 0, NULL, RAFS_E_LOOP, ELOOP, 7},
    {"/links/loop/x", 0, NULL, RAFS_E_LOOP, ELOOP, 7},
    {"/links/loop/", RAFS_RESOLVE_NOFOLLOW, NULL, RAFS_E_LOOP, ELOOP, 7},
    {"/links/short/", 0, NULL, RAFS_E_NOTDIR, ENOTDIR, 7},
    {"/links/short/", RAFS_RESOLVE_NOFOLLOW, NULL, RAFS_E_NOTDIR, ENOTDIR, 7},
    {"/links/short/.", 0, NULL, RAFS_E_NOTDIR, ENOTDIR, 7},
    {"/links/short/..", 0, NULL, RAFS_E_NOTDIR, ENOTDIR, 7},
    {"/data/one/", 0, NULL, RAFS_E_NOTDIR, ENOTDIR, 6},
    {"/data/one/.", 0, NULL, RAFS_E_NOTDIR, ENOTDIR, 6},
    {"/data/one/..", 0, NULL, RAFS_E_NOTDIR, ENOTDIR, 6},
    {"/data/one/x", 0, NULL, RAFS_E_NOTDIR, ENOTDIR, 6},
    {"/nowhere", 0, NULL, RAFS_E_NOENT, ENOENT, 1},
    {"/nowhere/x", 0, NULL, RAFS_E_NOENT, ENOENT, 1},
    {"/data/nowhere", 0, NULL, RAFS_E_NOENT, ENOENT, 6},
    {"/data/on", 0, NULL, RAFS_E_NOENT, ENOENT, 6},
    {"/data/onee", 0, NULL, RAFS_E_NOENT, ENOENT, 6},
    {"/data/\x01", 0, NULL, RAFS_E_NOENT, ENOENT, 6},
    {"/data/\xff\xff", 0, NULL, RAFS_E_NOENT, ENOENT, 6},
    {"/data", 2, NULL, RAFS_E_BADARG, EINVAL, 0},
};

static void open_named(struct opened_tree *opened, const char *name)
{
    const struct tree_image *image = tree_images_named(images, image_count, name);

    ck_assert_ptr_nonnull(image);
    ck_assert_int_eq(opened_tree_file(opened, image->boot, 4 << 20, NULL), RAFS_OK);
}

static void try_row(const struct rafsi_tree *tree, int i)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct rafsi_node node;
    uint64_t ino = 77;
    uint64_t want = 78;
    int rc = rafsi_tree_resolve(tree, rows[i].path, rows[i].flags, &ino, &err);

    ck_assert_msg(rc == rows[i].code, "%s: %d, %s", rows[i].path, rc, err.text);
    if (rc < 0) {
        ck_assert_uint_eq(ino, 77);
        ck_assert_int_eq(err.code, rc);
        ck_assert_msg(err.os_errno == rows[i].os_errno, "%s: errno %d", rows[i].path,
                      err.os_errno);
        ck_assert_msg(err.offset == rows[i].offset, "%s: offset %llu", rows[i].path,
                      (unsigned long long)err.offset);
        return;
    }
    ck_assert_int_eq(rafsi_tree_node(tree, ino, &node, &err), RAFS_OK);
    if (!rows[i].same_as) {
        ck_assert(S_ISLNK(node.attr.mode));
        return;
    }
    ck_assert_int_eq(rafsi_tree_resolve(tree, rows[i].same_as, 0, &want, &err), RAFS_OK);
    ck_assert_msg(ino == want, "%s is not %s", rows[i].path, rows[i].same_as);
}

START_TEST(path_leads_where_linux_says)
{
    for (size_t v = 0; v < 2; v++) {
        struct opened_tree opened;

        open_named(&opened, variants[v]);
        try_row(opened.tree, _i);
        opened_tree_close(&opened);
    }
}
END_TEST

START_TEST(long_names_and_paths_are_refused_as_such)
{
    char *path = malloc(RAFS_PATH_MAX + 2);
    struct opened_tree opened;
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t ino = 77;

    ck_assert_ptr_nonnull(path);
    open_named(&opened, variants[_i]);
    memset(path, 'a', RAFS_PATH_MAX + 1);
    path[RAFS_PATH_MAX + 1] = '\0';
    ck_assert_int_eq(rafsi_tree_resolve(opened.tree, path, 0, &ino, &err), RAFS_E_BADARG);
    ck_assert_int_eq(err.os_errno, ENAMETOOLONG);
    path[256] = '\0';
    ck_assert_int_eq(rafsi_tree_resolve(opened.tree, path, 0, &ino, &err), RAFS_E_BADARG);
    ck_assert_int_eq(err.os_errno, ENAMETOOLONG);
    path[255] = '\0';
    ck_assert_int_eq(rafsi_tree_resolve(opened.tree, path, 0, &ino, &err), RAFS_E_NOENT);
    memset(path, '/', RAFS_PATH_MAX);
    path[RAFS_PATH_MAX] = '\0';
    ck_assert_uint_eq(ino, 77);
    ck_assert_int_eq(rafsi_tree_resolve(opened.tree, path, 0, &ino, &err), RAFS_OK);
    ck_assert_uint_eq(ino, opened.tree->super.root);
    opened_tree_close(&opened);
    free(path);
}
END_TEST

/* Targets of a v5 link can be altered in place. */
static void with_target(const char *target, const char *path, uint32_t flags, int code,
                        const char *same_as)
{
    const struct tree_image *image = tree_images_named(images, image_count, "v5-zstd");
    struct tree_bytes bytes = {NULL, 0};
    struct opened_tree opened;
    struct rafsi_node node;
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t ino = 0;
    uint64_t want = 0;
    int rc;

    ck_assert_ptr_nonnull(image);
    bytes = tree_bytes_load(image->boot);
    ck_assert_ptr_nonnull(bytes.at);
    ck_assert_int_eq(opened_tree_bytes(&opened, bytes.at, bytes.len, &err), RAFS_OK);
    ck_assert_int_eq(
        rafsi_tree_resolve(opened.tree, "/links/long", RAFS_RESOLVE_NOFOLLOW, &ino, &err),
        RAFS_OK);
    ck_assert_int_eq(rafsi_tree_node(opened.tree, ino, &node, &err), RAFS_OK);
    ck_assert_uint_le(strlen(target), node.v5.target_size);
    /* What is too short gets slashes in front if absolute, else "./" and slashes. */
    memset(bytes.at + node.v5.target_at, '/', node.v5.target_size);
    if (target[0] != '/')
        bytes.at[node.v5.target_at] = '.';
    memcpy(bytes.at + node.v5.target_at + node.v5.target_size - strlen(target), target,
           strlen(target));
    rc = rafsi_tree_resolve(opened.tree, path, flags, &ino, &err);
    ck_assert_msg(rc == code, "%s -> %s: %d %s", path, target, rc, err.text);
    if (same_as) {
        ck_assert_int_eq(
            rafsi_tree_resolve(opened.tree, same_as, RAFS_RESOLVE_NOFOLLOW, &want, &err),
            RAFS_OK);
        ck_assert_uint_eq(ino, want);
    }
    opened_tree_close(&opened);
    free(bytes.at);
}

START_TEST(links_are_followed_inside_the_image)
{
    with_target("/data/one", "/links/long", 0, RAFS_OK, "/data/one");
    with_target("/", "/links/long", 0, RAFS_OK, "/");
    with_target("/deep", "/links/long/a/leaf", 0, RAFS_OK, "/deep/a/leaf");
    with_target("../../../../deep", "/links/long/a", 0, RAFS_OK, "/deep/a");
    with_target("/deep", "/links/long/..", 0, RAFS_OK, "/");
    with_target("/deep/a", "/links/long/..", 0, RAFS_OK, "/deep");
    with_target("/deep/a/", "/links/long", 0, RAFS_OK, "/deep/a");
    with_target("/deep/a", "/links/long/", RAFS_RESOLVE_NOFOLLOW, RAFS_OK, "/deep/a");
    with_target("/deep/a", "/links/long", RAFS_RESOLVE_NOFOLLOW, RAFS_OK, "/links/long");
    with_target("/links/short", "/links/long", 0, RAFS_OK, "/data/one");
    with_target("/data/one/", "/links/long", 0, RAFS_E_NOTDIR, NULL);
    with_target("/data/one", "/links/long/", 0, RAFS_E_NOTDIR, NULL);
    with_target("/links/short/", "/links/long", 0, RAFS_E_NOTDIR, NULL);
    with_target("/nowhere", "/links/long", 0, RAFS_E_NOENT, NULL);
    with_target("/links/long", "/links/long", 0, RAFS_E_LOOP, NULL);
    with_target("/links/long/x", "/links/long", 0, RAFS_E_LOOP, NULL);
    with_target(".", "/links/long/short", 0, RAFS_OK, "/data/one");
}
END_TEST

/* A path through many links needs as many as it names, not as many as it could loop. */
START_TEST(forty_links_are_followed_and_no_more)
{
    char path[2000] = "";

    for (int i = 0; i < RAFS_LINKS_MAX; i++)
        strcat(path, "/links/long/..");
    with_target("/deep", path, 0, RAFS_OK, "/");
    strcat(path, "/links/long");
    with_target("/deep", path, 0, RAFS_E_LOOP, NULL);
    with_target("/deep", path, RAFS_RESOLVE_NOFOLLOW, RAFS_OK, "/links/long");
}
END_TEST

START_TEST(lookup_takes_one_component)
{
    struct opened_tree opened;
    struct rafsi_node root, file;
    rafs_error err;
    uint64_t ino = 77;

    open_named(&opened, variants[_i]);
    ck_assert_int_eq(rafsi_tree_node(opened.tree, opened.tree->super.root, &root, &err),
                     RAFS_OK);
    ck_assert_int_eq(rafsi_tree_lookup(opened.tree, &root, "", 0, &ino, &err),
                     RAFS_E_BADARG);
    ck_assert_int_eq(rafsi_tree_lookup(opened.tree, &root, "data/one", 8, &ino, &err),
                     RAFS_E_BADARG);
    ck_assert_int_eq(rafsi_tree_lookup(opened.tree, &root, "nope", 4, &ino, &err),
                     RAFS_E_NOENT);
    ck_assert_str_eq(err.object, "name nope");
    ck_assert_uint_eq(ino, 77);
    ck_assert_int_eq(rafsi_tree_lookup(opened.tree, &root, "..", 2, &ino, &err), RAFS_OK);
    ck_assert_uint_eq(ino, opened.tree->super.root);
    ck_assert_int_eq(rafsi_tree_resolve(opened.tree, "data/one", 0, &ino, &err), RAFS_OK);
    ck_assert_int_eq(rafsi_tree_node(opened.tree, ino, &file, &err), RAFS_OK);
    ck_assert_int_eq(rafsi_tree_lookup(opened.tree, &file, ".", 1, &ino, &err),
                     RAFS_E_NOTDIR);
    ck_assert_int_eq(rafsi_tree_dir(opened.tree, file.attr.ino, &root, &err),
                     RAFS_E_NOTDIR);
    ck_assert_int_eq(rafsi_tree_file(opened.tree, opened.tree->super.root, &file, &err),
                     RAFS_E_ISDIR);
    ck_assert_int_eq(rafsi_tree_node(opened.tree, UINT64_MAX, &file, &err),
                     RAFS_E_BADARG);
    ck_assert_str_eq(err.object, "inode 18446744073709551615");
    opened_tree_close(&opened);
}
END_TEST

/* Sizes first, then content: as readlink(2) and the xattr calls do. */
START_TEST(small_buffer_is_told_how_large_it_has_to_be)
{
    struct opened_tree opened;
    struct rafsi_node link, file;
    rafs_error err;
    char buf[64];
    uint64_t ino;
    size_t len = 9;

    open_named(&opened, variants[_i]);
    ck_assert_int_eq(
        rafsi_tree_resolve(opened.tree, "links/short", RAFS_RESOLVE_NOFOLLOW, &ino, &err),
        RAFS_OK);
    ck_assert_int_eq(rafsi_tree_node(opened.tree, ino, &link, &err), RAFS_OK);
    ck_assert_int_eq(rafsi_tree_readlink(opened.tree, &link, NULL, 0, &len, &err),
                     RAFS_E_RANGE);
    ck_assert_uint_eq(len, 11);
    ck_assert_int_eq(rafsi_tree_readlink(opened.tree, &link, buf, 11, &len, &err),
                     RAFS_E_RANGE);
    ck_assert_int_eq(rafsi_tree_readlink(opened.tree, &link, buf, 12, &len, &err),
                     RAFS_OK);
    ck_assert_str_eq(buf, "../data/one");
    ck_assert_int_eq(rafsi_tree_resolve(opened.tree, "attr/cap", 0, &ino, &err), RAFS_OK);
    ck_assert_int_eq(rafsi_tree_node(opened.tree, ino, &file, &err), RAFS_OK);
    ck_assert_int_eq(rafsi_tree_readlink(opened.tree, &file, buf, 12, &len, &err),
                     RAFS_E_BADARG);
    ck_assert_uint_eq(len, 0);
    ck_assert_int_eq(rafsi_tree_list_xattr(opened.tree, &file, NULL, 0, &len, &err),
                     RAFS_E_RANGE);
    ck_assert_uint_eq(len, sizeof("security.capability"));
    ck_assert_int_eq(rafsi_tree_list_xattr(opened.tree, &file, buf, len, &len, &err),
                     RAFS_OK);
    ck_assert_str_eq(buf, "security.capability");
    ck_assert_int_eq(rafsi_tree_get_xattr(opened.tree, &file, buf, NULL, 0, &len, &err),
                     RAFS_E_RANGE);
    ck_assert_uint_ge(len, 20);
    ck_assert_int_eq(
        rafsi_tree_get_xattr(opened.tree, &file, "user.none", buf, 64, &len, &err),
        RAFS_E_NOATTR);
    ck_assert_uint_eq(len, 0);
    ck_assert_int_eq(rafsi_tree_path(opened.tree, ino, buf, 9, &len, NULL, &err),
                     RAFS_E_RANGE);
    ck_assert_uint_eq(len, 9);
    ck_assert_int_eq(rafsi_tree_path(opened.tree, ino, buf, 10, &len, NULL, &err),
                     RAFS_OK);
    ck_assert_str_eq(buf, "/attr/cap");
    opened_tree_close(&opened);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resolve");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    image_count = tree_images_find("v", images, IMAGES_MAX);
    if (image_count == 0) {
        fprintf(stderr, "skipped: no golden images\n");
        return 77;
    }
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, path_leads_where_linux_says, 0,
                        sizeof(rows) / sizeof(rows[0]));
    tcase_add_loop_test(tcase, long_names_and_paths_are_refused_as_such, 0, 2);
    tcase_add_test(tcase, links_are_followed_inside_the_image);
    tcase_add_test(tcase, forty_links_are_followed_and_no_more);
    tcase_add_loop_test(tcase, lookup_takes_one_component, 0, 2);
    tcase_add_loop_test(tcase, small_buffer_is_told_how_large_it_has_to_be, 0, 2);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
