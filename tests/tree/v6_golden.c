/* SPDX-License-Identifier: Apache-2.0 */
/* Images of the reference builder, walked with the operations of the v6 tree. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree/tree.h"

#define IMAGES_MAX 64
#define DIRS_MAX 4096

struct image {
    char folder[512]; /* of the variant */
    char listing[600];
};

static struct image images[IMAGES_MAX];
static int image_count;
static int tarfs_count;

static void add_images(const char *root)
{
    struct dirent *entry;
    DIR *dir = opendir(root);

    if (!dir)
        return;
    while ((entry = readdir(dir)) && image_count < IMAGES_MAX) {
        struct image *image = &images[image_count];
        char folder[512], path[600];

        snprintf(folder, sizeof(folder), "%s/%s", root, entry->d_name);
        snprintf(path, sizeof(path), "%s/image.boot", folder);
        if (strncmp(entry->d_name, "v6-", 3) != 0 || access(path, R_OK) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/expected.jsonl", folder);
        if (access(path, R_OK) != 0)
            snprintf(path, sizeof(path), "%s/expected.jsonl", root);
        memcpy(image->folder, folder, sizeof(folder));
        memcpy(image->listing, path, sizeof(path));
        image_count++;
    }
    closedir(dir);
}

static void find_images(void)
{
    const char *outside = getenv("RAFS_TESTDATA");
    char root[512];

    add_images(RAFS_SOURCE_DIR "/tests/golden");
    if (!outside)
        outside = RAFS_SOURCE_DIR "/../shared/testdata";
    snprintf(root, sizeof(root), "%.480s/golden", outside);
    if (access(root, R_OK) != 0)
        fprintf(stderr, "no %s: only the images of the project are walked\n", root);
    add_images(root);
}

/* What the listing says: paths, and the sum of the sizes of files and links. */
static void read_listing(const char *path, uint64_t *paths, uint64_t *bytes)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;

    *paths = *bytes = 0;
    ck_assert_msg(file != NULL, "cannot read %s", path);
    while (getline(&line, &room, file) > 0) {
        const char *size = strstr(line, "\"size\": ");

        (*paths)++;
        if (size)
            *bytes += strtoull(size + 8, NULL, 10);
    }
    free(line);
    fclose(file);
}

struct opened {
    struct rafsi_env env;
    struct rafsi_source *source;
    struct rafsi_tree *tree;
};

static int open_image(const char *folder, uint64_t cache_bytes, struct opened *out,
                      rafs_error *err)
{
    rafs_limits limits = {.struct_size = sizeof(limits), .chunk_index_bytes = 1 << 20};
    char path[600];
    int fd, rc;

    memset(out, 0, sizeof(*out));
    snprintf(path, sizeof(path), "%.560s/image.boot", folder);
    ck_assert_int_eq(rafsi_env_take(NULL, &out->env, NULL), RAFS_OK);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    rc = rafsi_source_fd(&out->env, fd, 0, 0, cache_bytes, &out->source, NULL);
    close(fd);
    ck_assert_int_eq(rc, RAFS_OK);
    return rafsi_v6_open(&out->env, out->source, &limits, &out->tree, err);
}

static void close_image(struct opened *image)
{
    if (image->tree)
        image->tree->ops->close(image->tree);
    rafsi_source_free(image->source);
}

static void check_chunks(const struct opened *image, const struct rafsi_node *file)
{
    const struct rafsi_tree *tree = image->tree;
    uint64_t pos = 0;
    rafs_error err;

    while (pos < file->attr.size) {
        struct rafsi_chunk chunk;
        /* The last byte of a chunk leads to the chunk too. */
        int rc = tree->ops->chunk(tree, file, pos, &chunk, &err);

        ck_assert_msg(rc == RAFS_OK, "%s at %llu", err.text,
                      (unsigned long long)err.offset);
        ck_assert_uint_eq(chunk.file_offset, pos);
        ck_assert_uint_gt(chunk.length, 0);
        ck_assert(!chunk.hole);
        ck_assert(!chunk.no_record);
        ck_assert_uint_eq(chunk.record.uncompressed_size, chunk.length);
        pos += chunk.length;
        rc = tree->ops->chunk(tree, file, pos - 1, &chunk, &err);
        ck_assert_int_eq(rc, RAFS_OK);
        ck_assert_uint_eq(chunk.file_offset + chunk.length, pos);
    }
    ck_assert_uint_eq(pos, file->attr.size);
}

static void check_xattrs(const struct opened *image, const struct rafsi_node *node)
{
    const struct rafsi_tree *tree = image->tree;
    uint64_t pos = 0;
    uint32_t count = 0;

    for (;;) {
        struct rafsi_xattr xattr;
        bool end = false;
        int rc = tree->ops->xattr(tree, node, &pos, &xattr, &end, NULL);

        ck_assert_int_eq(rc, RAFS_OK);
        if (end)
            break;
        ck_assert_uint_eq(strlen(xattr.name), xattr.name_len);
        ck_assert(rafsi_within(xattr.value_at, xattr.value_len,
                               rafsi_source_size(image->source)));
        count++;
    }
    ck_assert_uint_eq(node->attr.xattr_hint, count != 0);
}

static void check_node(const struct opened *image, const struct rafsi_node *node)
{
    char target[V6_TARGET_MAX];

    check_xattrs(image, node);
    if (S_ISREG(node->attr.mode))
        check_chunks(image, node);
    if (S_ISLNK(node->attr.mode))
        ck_assert_int_eq(
            image->tree->ops->target(image->tree, node, 0, node->attr.size, target, NULL),
            RAFS_OK);
}

struct totals {
    uint64_t paths;
    uint64_t bytes;
    uint64_t dirs[DIRS_MAX];
    size_t dir_count;
};

/* All names of a directory; listing and lookup agree. */
static void walk_dir(const struct opened *image, uint64_t ino, struct totals *totals)
{
    const struct rafsi_tree_ops *ops = image->tree->ops;
    struct rafsi_node dir, child;
    struct rafsi_name name;
    uint64_t offset = 0;
    rafs_error err;

    ck_assert_int_eq(ops->node(image->tree, ino, &dir, NULL), RAFS_OK);
    for (;;) {
        uint64_t found, parent;
        bool end = false;
        int rc = ops->entry(image->tree, &dir, offset, &name, &end, &err);

        ck_assert_msg(rc == RAFS_OK, "%s", err.text);
        if (end)
            break;
        offset = name.next;
        totals->paths++;
        rc = ops->lookup(image->tree, &dir, name.name, name.len, &found, &err);
        ck_assert_int_eq(rc, RAFS_OK);
        ck_assert_uint_eq(found, name.ino);
        rc = ops->node(image->tree, name.ino, &child, &err);
        ck_assert_msg(rc == RAFS_OK, "%s: %s", name.name, err.text);
        ck_assert_uint_eq(child.attr.mode & S_IFMT, name.type);
        check_node(image, &child);
        if (!S_ISDIR(child.attr.mode)) {
            if (!S_ISREG(child.attr.mode) && !S_ISLNK(child.attr.mode))
                continue;
            totals->bytes += child.attr.size;
            continue;
        }
        rc = ops->parent(image->tree, &child, &parent, &err);
        ck_assert_int_eq(rc, RAFS_OK);
        ck_assert_uint_eq(parent, ino);
        ck_assert_uint_lt(totals->dir_count, DIRS_MAX);
        totals->dirs[totals->dir_count++] = name.ino;
    }
    ck_assert_int_eq(ops->lookup(image->tree, &dir, "no such name", 12, &offset, NULL),
                     RAFS_E_NOENT);
}

static void walk_image(const struct image *which, uint64_t cache_bytes)
{
    struct totals *totals = calloc(1, sizeof(*totals));
    uint64_t paths, bytes;
    struct opened image;
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    ck_assert_ptr_nonnull(totals);
    read_listing(which->listing, &paths, &bytes);
    rc = open_image(which->folder, cache_bytes, &image, &err);
    ck_assert_msg(rc == RAFS_OK, "%s: %s at %llu", which->folder, err.text,
                  (unsigned long long)err.offset);
    ck_assert_uint_eq(image.tree->super.inodes, paths);
    ck_assert_uint_eq(image.tree->entries_max, paths);
    totals->dirs[totals->dir_count++] = image.tree->super.root;
    totals->paths = 1;
    for (size_t i = 0; i < totals->dir_count; i++)
        walk_dir(&image, totals->dirs[i], totals);
    ck_assert_msg(totals->paths == paths, "%s: %llu paths, not %llu", which->folder,
                  (unsigned long long)totals->paths, (unsigned long long)paths);
    ck_assert_uint_eq(totals->bytes, bytes);
    for (uint64_t i = 0; i < rafsi_v6_chunk_count(image.tree); i++) {
        struct chunk_record record;

        ck_assert_int_eq(rafsi_v6_chunk_at(image.tree, i, &record, &err), RAFS_OK);
    }
    close_image(&image);
    free(totals);
}

START_TEST(image_has_the_names_and_sizes_that_were_put_in)
{
    if (strstr(images[_i].folder, "v6-tarfs"))
        return;
    walk_image(&images[_i], 1 << 20);
    walk_image(&images[_i], 1); /* nothing is kept: every view is a copy */
}
END_TEST

START_TEST(tarfs_image_is_refused_as_unsupported)
{
    for (int i = 0; i < image_count; i++) {
        rafs_error err = RAFS_ERROR_INIT;
        struct opened image;

        if (!strstr(images[i].folder, "v6-tarfs"))
            continue;
        ck_assert_int_eq(open_image(images[i].folder, 1 << 20, &image, &err),
                         RAFS_E_UNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(err.text, "tarfs"));
        close_image(&image);
    }
}
END_TEST

/* Written by nydus 2.2; its chunk digests lie in the blob, and the table is complete. */
START_TEST(image_of_an_older_builder_opens)
{
    const char *outside = getenv("RAFS_TESTDATA");
    rafs_limits limits = {.struct_size = sizeof(limits), .chunk_index_bytes = 1 << 20};
    rafs_error err = RAFS_ERROR_INIT;
    struct opened image = {0};
    struct totals totals = {.paths = 1};
    char path[512];
    int fd;

    snprintf(path, sizeof(path), "%.400s/nydus-texture/bootstrap/rafs-v6-2.2.boot",
             outside ? outside : RAFS_SOURCE_DIR "/../shared/testdata");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "no %s: skipped\n", path);
        return;
    }
    ck_assert_int_eq(rafsi_env_take(NULL, &image.env, NULL), RAFS_OK);
    ck_assert_int_eq(rafsi_source_fd(&image.env, fd, 0, 0, 1 << 20, &image.source, NULL),
                     RAFS_OK);
    close(fd);
    ck_assert_int_eq(rafsi_v6_open(&image.env, image.source, &limits, &image.tree, &err),
                     RAFS_OK);
    walk_dir(&image, image.tree->super.root, &totals);
    ck_assert_uint_eq(totals.paths, image.tree->super.inodes);
    close_image(&image);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("v6_golden");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    find_images();
    for (int i = 0; i < image_count; i++)
        tarfs_count += strstr(images[i].folder, "v6-tarfs") != NULL;
    if (image_count == 0) {
        fprintf(stderr, "the golden images of the project are missing\n");
        return 1;
    }
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, image_has_the_names_and_sizes_that_were_put_in, 0,
                        image_count);
    if (tarfs_count != 0)
        tcase_add_test(tcase, tarfs_image_is_refused_as_unsupported);
    tcase_add_test(tcase, image_of_an_older_builder_opens);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
