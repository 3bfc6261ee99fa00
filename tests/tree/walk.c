/* SPDX-License-Identifier: Apache-2.0 */
/* Images of the reference builder show what was put in: names, attributes, targets. */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree_images.h"

#define IMAGES_MAX 64

static struct tree_image images[IMAGES_MAX];
static int image_count;

struct text {
    char *at;
    size_t len, room;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text,
                                                      const char *format, ...)
{
    va_list args;
    int len;

    /* A check that passes still writes to a file, which is too slow for each letter. */
    if (text->room - text->len < 512) {
        text->room = text->room * 2 + 1024;
        text->at = realloc(text->at, text->room);
        if (!text->at)
            ck_abort_msg("out of memory");
    }
    va_start(args, format);
    len = vsnprintf(text->at + text->len, text->room - text->len, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= text->room - text->len)
        ck_abort_msg("no room for %d bytes", len);
    text->len += (size_t)len;
}

/* As Python's json.dumps() of a string of Latin-1 characters. */
static void add_json(struct text *text, const char *bytes, size_t len)
{
    static const char escapes[] = "\"\\\n\r\t\b\f";
    static const char letters[] = "\"\\nrtbf";

    add(text, "\"");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        const char *escape = c ? strchr(escapes, c) : NULL;

        if (escape)
            add(text, "\\%c", letters[escape - escapes]);
        else if (c < 0x20 || c > 0x7f)
            add(text, "\\u%04x", c);
        else
            add(text, "%c", c);
    }
    add(text, "\"");
}

static const char *type_name(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "reg";
    case S_IFDIR:
        return "dir";
    case S_IFLNK:
        return "lnk";
    case S_IFIFO:
        return "fifo";
    case S_IFCHR:
        return "chr";
    case S_IFBLK:
        return "blk";
    default:
        return "sock";
    }
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_xattrs(struct text *text, const struct rafsi_tree *tree,
                       const struct rafsi_node *node)
{
    char names[4096];
    char *sorted[64];
    uint8_t value[RAFS_XATTR_VALUE_MAX];
    size_t len, value_len;
    size_t count = 0;
    rafs_error err;

    ck_assert_int_eq(rafsi_tree_list_xattr(tree, node, names, sizeof(names), &len, &err),
                     RAFS_OK);
    for (char *name = names; name < names + len; name += strlen(name) + 1) {
        ck_assert_uint_lt(count, 64);
        sorted[count++] = name;
    }
    qsort(sorted, count, sizeof(sorted[0]), compare_strings);
    if (count != 0)
        ck_assert_uint_eq(node->attr.xattr_hint, 1);
    for (size_t i = 0; i < count; i++) {
        add(text, i == 0 ? ", \"xattrs\": {" : ", ");
        add_json(text, sorted[i], strlen(sorted[i]));
        ck_assert_int_eq(rafsi_tree_get_xattr(tree, node, sorted[i], value, sizeof(value),
                                              &value_len, &err),
                         RAFS_OK);
        add(text, ": \"");
        for (size_t k = 0; k < value_len; k++)
            add(text, "%02x", value[k]);
        add(text, "\"");
    }
    if (count != 0)
        add(text, "}");
}

/* One name, its line of the listing coming later, when it is known which others there are
 * of its inode. */
struct name {
    char *path;
    uint64_t ino;
};

static int compare_paths(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->path, ((const struct name *)b)->path);
}

/* A line as in expected.jsonl, but for the digest of the content. */
static void add_line(struct text *text, const struct rafsi_tree *tree,
                     const struct name *name, const char *first)
{
    char target[RAFS_TARGET_MAX + 1];
    struct rafsi_node node;
    size_t len;

    ck_assert_int_eq(rafsi_tree_node(tree, name->ino, &node, NULL), RAFS_OK);
    add(text, "{\"gid\": %u", node.attr.gid);
    if (first) {
        add(text, ", \"hardlink_of\": ");
        add_json(text, first, strlen(first));
    }
    add(text, ", \"mode\": %u", node.attr.mode & 07777);
    if (strcmp(name->path, "/") != 0)
        add(text, ", \"mtime\": %lld", (long long)node.attr.mtime_sec);
    add(text, ", \"nlink\": %u, \"path\": ", node.attr.nlink);
    add_json(text, name->path, strlen(name->path));
    if (S_ISCHR(node.attr.mode) || S_ISBLK(node.attr.mode))
        add(text, ", \"rdev\": [%u, %u]", node.attr.rdev_major, node.attr.rdev_minor);
    if (S_ISREG(node.attr.mode) || S_ISLNK(node.attr.mode))
        add(text, ", \"size\": %llu", (unsigned long long)node.attr.size);
    if (S_ISLNK(node.attr.mode)) {
        ck_assert_int_eq(
            rafsi_tree_readlink(tree, &node, target, sizeof(target), &len, NULL),
            RAFS_OK);
        add(text, ", \"target\": ");
        add_json(text, target, len);
    }
    add(text, ", \"type\": \"%s\", \"uid\": %u", type_name(node.attr.mode),
        node.attr.uid);
    add_xattrs(text, tree, &node);
    add(text, "}\n");
}

static size_t walk_all(const struct rafsi_tree *tree, struct name **out)
{
    struct rafsi_walk *walk = NULL;
    const rafs_walk_entry *entry;
    struct name *names = NULL;
    size_t count = 0;
    rafs_error err = RAFS_ERROR_INIT;

    ck_assert_int_eq(rafsi_walk_new(tree, "/", &walk, &err), RAFS_OK);
    for (;;) {
        int rc = rafsi_walk_step(walk, &entry, &err);

        ck_assert_msg(rc == RAFS_OK, "%s at %llu", err.text,
                      (unsigned long long)err.offset);
        if (!entry)
            break;
        if (count % 1024 == 0)
            names = realloc(names, (count + 1024) * sizeof(*names));
        ck_assert_ptr_nonnull(names);
        names[count].path = strdup(entry->path);
        ck_assert_ptr_nonnull(names[count].path);
        ck_assert_uint_eq(strlen(entry->path), entry->path_len);
        names[count++].ino = entry->ino;
    }
    rafsi_walk_free(walk);
    qsort(names, count, sizeof(*names), compare_paths);
    *out = names;
    return count;
}

/* The expected listing, without what a tree cannot know. */
static char *expected_listing(const char *path)
{
    struct tree_bytes bytes = tree_bytes_load(path);
    static const char key[] = "\"sha256\": \"";
    const size_t key_len = sizeof(key) - 1 + 64 + 3; /* with the digest and `", ` */
    char *text = malloc(bytes.len + 1);
    size_t len = 0;

    ck_assert_msg(bytes.at != NULL, "cannot read %s", path);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < bytes.len;) {
        if (bytes.len - i >= key_len && memcmp(bytes.at + i, key, sizeof(key) - 1) == 0)
            i += key_len;
        else
            text[len++] = (char)bytes.at[i++];
    }
    text[len] = '\0';
    free(bytes.at);
    return text;
}

static void compare_lines(const char *image, const char *got, const char *want)
{
    while (*got || *want) {
        size_t got_len = strcspn(got, "\n");
        size_t want_len = strcspn(want, "\n");

        ck_assert_msg(got_len == want_len && memcmp(got, want, got_len) == 0,
                      "%s:\ngot  %.*s\nwant %.*s", image, (int)got_len, got,
                      (int)want_len, want);
        got += got_len + (got[got_len] == '\n');
        want += want_len + (want[want_len] == '\n');
    }
}

static const char *first_of(const struct rafsi_tree *tree, const struct name *names,
                            size_t count, uint64_t ino)
{
    struct rafsi_node node;

    ck_assert_int_eq(rafsi_tree_node(tree, ino, &node, NULL), RAFS_OK);
    if (S_ISDIR(node.attr.mode) || node.attr.nlink < 2)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (names[i].ino == ino)
            return names[i].path;
    return NULL;
}

static void list_image(const struct tree_image *image, uint64_t cache_bytes)
{
    struct text text = {NULL, 0, 0};
    char *want = expected_listing(image->listing);
    struct opened_tree opened;
    struct name *names;
    size_t count;
    rafs_error err = RAFS_ERROR_INIT;
    int rc = opened_tree_file(&opened, image->boot, cache_bytes, &err);

    ck_assert_msg(rc == RAFS_OK, "%s: %s at %llu", image->boot, err.text,
                  (unsigned long long)err.offset);
    count = walk_all(opened.tree, &names);
    for (size_t i = 0; i < count; i++)
        add_line(&text, opened.tree, &names[i],
                 first_of(opened.tree, names, count, names[i].ino));
    compare_lines(image->boot, text.at, want);
    for (size_t i = 0; i < count; i++)
        free(names[i].path);
    free(names);
    free(text.at);
    free(want);
    opened_tree_close(&opened);
}

static bool readable(const struct tree_image *image)
{
    return !strstr(image->name, "tarfs");
}

START_TEST(image_shows_what_was_put_in)
{
    if (!readable(&images[_i]))
        return;
    list_image(&images[_i], 4 << 20);
    list_image(&images[_i], 1); /* nothing is kept: every view is a copy */
}
END_TEST

/* Every path leads to its inode, and every inode to a path that leads to it. */
START_TEST(paths_and_inodes_lead_to_each_other)
{
    struct opened_tree opened;
    struct name *names;
    size_t count;

    if (!readable(&images[_i]))
        return;
    ck_assert_int_eq(opened_tree_file(&opened, images[_i].boot, 4 << 20, NULL), RAFS_OK);
    count = walk_all(opened.tree, &names);
    for (size_t i = 0; i < count; i++) {
        char path[RAFS_PATH_MAX];
        uint64_t ino = 0;
        size_t len;

        ck_assert_int_eq(rafsi_tree_resolve(opened.tree, names[i].path,
                                            RAFS_RESOLVE_NOFOLLOW, &ino, NULL),
                         RAFS_OK);
        ck_assert_uint_eq(ino, names[i].ino);
        free(names[i].path);
        if (i % 61 != 0) /* in v6 each takes a search of the image */
            continue;
        ck_assert_int_eq(
            rafsi_tree_path(opened.tree, ino, path, sizeof(path), &len, NULL, NULL),
            RAFS_OK);
        ck_assert_uint_eq(strlen(path), len);
        ino = 0;
        ck_assert_int_eq(
            rafsi_tree_resolve(opened.tree, path, RAFS_RESOLVE_NOFOLLOW, &ino, NULL),
            RAFS_OK);
        ck_assert_uint_eq(ino, names[i].ino);
    }
    free(names);
    opened_tree_close(&opened);
}
END_TEST

START_TEST(walk_does_not_enter_what_is_pruned)
{
    struct rafsi_walk *walk = NULL;
    const rafs_walk_entry *entry;
    struct opened_tree opened;
    uint64_t seen = 0;

    if (!readable(&images[_i]))
        return;
    ck_assert_int_eq(opened_tree_file(&opened, images[_i].boot, 4 << 20, NULL), RAFS_OK);
    ck_assert_int_eq(rafsi_walk_new(opened.tree, "//./", &walk, NULL), RAFS_OK);
    for (;;) {
        ck_assert_int_eq(rafsi_walk_step(walk, &entry, NULL), RAFS_OK);
        if (!entry)
            break;
        ck_assert_uint_le(entry->depth, 1);
        if (seen++ == 0)
            ck_assert_str_eq(entry->path, "/");
        else
            rafsi_walk_prune(walk);
    }
    ck_assert_uint_gt(seen, 1);
    rafsi_walk_free(walk);
    opened_tree_close(&opened);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("walk");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    image_count = tree_images_find("v", images, IMAGES_MAX);
    if (image_count == 0) {
        fprintf(stderr, "skipped: no golden images\n");
        return 77;
    }
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, image_shows_what_was_put_in, 0, image_count);
    tcase_add_loop_test(tcase, paths_and_inodes_lead_to_each_other, 0, image_count);
    tcase_add_loop_test(tcase, walk_does_not_enter_what_is_pruned, 0, image_count);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
