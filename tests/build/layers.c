/* SPDX-License-Identifier: Apache-2.0 */
/* Layers to one tree. Each row is layers, parted by "|", and the tree that they become;
 * entries are tagged with their place in the row, from 1. */
#include "grow.h"

enum { WORDS_MAX = 32 };

struct word {
    const char *at;
    size_t len;
    uint32_t tag;
};

struct row {
    const char *layers, *tree;
};

/* Entries of one layer may come in any order. */
static const struct row any_order[] = {
    {"", ""},
    {"a", "a:1"},
    {"a/ a/b a/c/ a/c/d", "a/:1 a/b:2 a/c/:3 a/c/d:4"},
    {"a/b/c", "a/ a/b/ a/b/c:1"},
    {"./ ./a/ ./a/b", "a/:2 a/b:3"},
    {"/ /a/ //a//b", "a/:2 a/b:3"},
    {"a/./b/. a/", "a/:2 a/b:1"},
    {"b a b- b0 B", "B:5 a:2 b:1 b-:3 b0:4"},
    /* Whiteouts of files: of lower layers, wherever they stand in their own. */
    {"a b | .wh.a", "b:2"},
    {"a b | .wh.a a", "a:4 b:2"},
    {"a b | .wh.a c", "b:2 c:4"},
    {"d/ d/a d/b | d/ d/.wh.a d/c", "d/:4 d/b:3 d/c:6"},
    {"d/ d/a | d/.wh.a", "d/:1"},
    {"d/a | d/.wh.a", "d/"},
    {"a | .wh.b", "a:1"},
    {".wh.a a", "a:2"},
    {".wh.a", ""},
    {"| d/.wh.a", "d/"},
    {"a@t | .wh.a", ""},
    {"a! b% | .wh.a .wh.b", ""},
    {"a | .wh.a | b", "b:3"},
    {"a | .wh.a | a", "a:3"},
    {"a | .wh.a | .wh.a", ""},
    {"a | b | .wh.a .wh.b", ""},
    {"a | | .wh.a", ""},
    /* Whiteouts of directories. */
    {"d/ d/a d/e/ d/e/f | .wh.d", ""},
    {"d/ d/a | .wh.d d/", "d/:4"},
    {"d/ d/a | .wh.d d/ d/b", "d/:4 d/b:5"},
    {"d/ d/a | .wh.d d/b", "d/ d/b:4"},
    {"d/ d/a | .wh.d d", "d:4"},
    {"d/ d/a d/e/ d/e/f | .wh.d d/e/g", "d/ d/e/ d/e/g:6"},
    {"d/ d/e/ d/e/f | .wh.d | d/e/", "d/ d/e/:5"},
    /* Opaque directories. */
    {"d/ d/a d/e/ d/e/f | d/.wh..wh..opq", "d/:1"},
    {"d/ d/a d/e/ d/e/f | d/ d/.wh..wh..opq", "d/:5"},
    {"d/ d/a | d/ d/.wh..wh..opq d/b", "d/:3 d/b:5"},
    {"d/ d/a | d/.wh..wh..opq d/a", "d/:1 d/a:4"},
    {"d/ d/e/ d/e/f | d/.wh..wh..opq d/e/", "d/:1 d/e/:5"},
    {"d/ d/e/ d/e/f | d/.wh..wh..opq d/e/g", "d/:1 d/e/ d/e/g:5"},
    {"d/ d/e/ d/e/f | d/.wh..wh..opq d/e/.wh..wh..opq d/e/g", "d/:1 d/e/ d/e/g:6"},
    {"d/e/f/g d/e/h | d/.wh..wh..opq d/e/f/i", "d/ d/e/ d/e/f/ d/e/f/i:4"},
    {"a b/ b/c | .wh..wh..opq d", "d:5"},
    {"d/a | d/.wh..wh..opq | d/b", "d/ d/b:3"},
    {"d/a | d/b | d/.wh..wh..opq d/c", "d/ d/c:4"},
    {"d/a | d/.wh..wh..opq d/b | d/.wh..wh..opq d/c", "d/ d/c:5"},
    {"d/.wh..wh..opq d/a", "d/ d/a:2"},
    {"d | d/.wh..wh..opq", "d/"},
    {"d/ d/a | .wh.d d/.wh..wh..opq d/b", "d/ d/b:5"},
    /* Like aufs' own. */
    {"a .wh..wh.aufs .wh..wh.plnk/ .wh..wh.plnk/1.2 .wh..wh..opqx", "a:1"},
    /* What is not a whiteout. */
    {"a | wh.a .wh a.wh.a", ".wh:3 a:1 a.wh.a:4 wh.a:2"},
    /* Types that change. */
    {"d/ d/a | d", "d:3"},
    {"d/ d/a d/e/ d/e/f | d@t", "d@t:5"},
    {"f | f/", "f/:2"},
    {"f | f/ f/a", "f/:2 f/a:3"},
    {"f | f/a", "f/ f/a:2"},
    {"f@etc etc/ etc/passwd | f/passwd", "etc/:2 etc/passwd:3 f/ f/passwd:4"},
    {"f@etc etc/ | f/", "etc/:2 f/:3"},
    {"f | f@t", "f@t:2"},
    {"f@t | f", "f:2"},
    {"f! | f%", "f:2"},
    {"d/ d/a | d | d/", "d/:4"},
    {"d/ d/a | d | d/ d/b", "d/:4 d/b:5"},
    {"d/ d/a d/b | d/ d/b/ d/b/c", "d/:4 d/a:2 d/b/:5 d/b/c:6"},
    /* Attributes: the last layer that names a directory. */
    {"d/ | d/", "d/:2"},
    {"d/ | d/a", "d/:1 d/a:2"},
    {"d/ d/a | d/b | d/", "d/:4 d/a:2 d/b:3"},
};

/* As they come: a link needs what it names, and of two entries the later one counts. */
static const struct row in_order[] = {
    {"a b=a", "a:1*2 b:1*2"},
    {"a b=a c=b", "a:1*3 b:1*3 c:1*3"},
    {"a@t b=a", "a@t:1*2 b@t:1*2"},
    {"a! b=a", "a:1*2 b:1*2"},
    {"a% b=a", "a:1*2 b:1*2"},
    {"a d/b=a", "a:1*2 d/ d/b:1*2"},
    {"d/a b=./d//a", "b:1*2 d/ d/a:1*2"},
    {"d/a b=/d/a", "b:1*2 d/ d/a:1*2"},
    {"a a=a", "a:1"},
    {"a b=a b=a", "a:1*2 b:1*2"},
    {"a b=a a=b", "a:1*2 b:1*2"},
    {"a b b=a", "a:1*2 b:1*2"},
    {"a d/ d/x d=a", "a:1*2 d:1*2"},
    /* A name that is replaced leaves its link. */
    {"a b=a a", "a:3 b:1"},
    {"a b=a c=b b", "a:1*2 b:4 c:1*2"},
    {"a b=a | a", "a:3 b:1"},
    {"a b=a | .wh.a", "b:1"},
    {"a b=a | b/", "a:1 b/:3"},
    {"a b=a | .wh.a | .wh.b", ""},
    /* A link to a lower layer's file: it is copied up, its other names are not. */
    {"a | b=a", "a:1*2 b:1*2"},
    {"a c=a | b=a", "a:1*2 b:1*2 c:1"},
    {"a c=a | b=a d=a", "a:1*3 b:1*3 c:1 d:1*3"},
    {"a c=a | b=a d=c", "a:1*2 b:1*2 c:1*2 d:1*2"},
    {"a@t | b=a", "a@t:1*2 b@t:1*2"},
    {"d/a | b=d/a", "b:1*2 d/ d/a:1*2"},
    {"d/a d/x | b=d/a d/.wh..wh..opq", "b:1*2 d/ d/a:1*2"},
    {"a | b=a .wh.a", "a:1*2 b:1*2"},
    {"a b | .wh.a b=b", "b:2"},
    /* The later one counts. */
    {"a a", "a:2"},
    {"a a@t", "a@t:2"},
    {"a a/", "a/:2"},
    {"a/ a/b a", "a:3"},
    {"a/ a/b a a/", "a/:4"},
    {"a/ a/b a/", "a/:3 a/b:2"},
    {"a a/ a/b", "a/:2 a/b:3"},
    {"a@t a/ a/b", "a/:2 a/b:3"},
    /* The layer is unpacked by itself before it lies over others: a file that a directory
     * of its own replaced never hid the lower directory. */
    {"d/ d/x | d d/", "d/:4 d/x:2"},
    {"d/ d/x | d d@t d/ d/y", "d/:5 d/x:2 d/y:6"},
    {"d/ d/x | d .wh.d d/", "d/:5"},
    {"d/ d/x | d .wh..wh..opq d/", "d/:5"},
    {"d/ d/x | d | d/ d/y", "d/:4 d/y:5"},
    {"d/ d/x | d/ d/z d d/", "d/:6"},
};

/* Refused, for what is said of the path. */
static const struct {
    const char *layers, *path, *text;
} bad[] = {
    {"..", "..", "leads out"},
    {"../a", "../a", "leads out"},
    {"a/../../etc/passwd", "a/../../etc/passwd", "leads out"},
    {"a/..", "a/..", "leads out"},
    {"/../a", "/../a", "leads out"},
    {"a b=../a", "../a", "leads out"},
    {"a ../b=a", "../b", "leads out"},
    {"a@/etc a/passwd", "a/passwd", "goes through \"a\""},
    {"a a/b", "a/b", "goes through \"a\""},
    {"| x/a@/etc x/a/b/c", "x/a/b/c", "goes through \"a\""},
    {"a! a/b/", "a/b/", "goes through \"a\""},
    {"a a/.wh.b", "a/.wh.b", "goes through \"a\""},
    {"a | a a/.wh..wh..opq", "a/.wh..wh..opq", "goes through \"a\""},
    {"a=b", "a", "not there"},
    {"a=b b=a", "a", "not there"},
    {"a=a", "a", "not there"},
    {"d/ b=d", "b", "a directory"},
    {"b=/", "b", "a directory"},
    {"b=.", "b", "a directory"},
    {"a@d d/ d/x b=a/x", "b", "not there"},
    {"a .=a", ".", "the root"},
    {"d/a d=d/a", "d", "takes the place"},
    {"d/e/a d=d/e/a", "d", "takes the place"},
    {"a | .wh.a b=a", "b", "not there"},
    {"d/a | d/.wh..wh..opq b=d/a", "b", "not there"},
    {"d/a | d b=d/a", "b", "not there"},
    {"d/a | .wh.d d/ b=d/a", "b", "not there"},
    {".wh.", ".wh.", "names nothing"},
    {".wh..", ".wh..", "names nothing"},
    {"a/.wh...", "a/.wh...", "names nothing"},
    {".wh.a/b", ".wh.a/b", "below a whiteout"},
    {"d/.wh..wh..opq/b", "d/.wh..wh..opq/b", "below a whiteout"},
    {".@t", ".", "root is no directory"},
    {"/!", "/", "root is no directory"},
    {"a@", "a", "to nothing"},
};

/* Words of a row up to the next "|" or its end. */
static const char *take_layer(const char *at, struct word *words, int *count,
                              uint32_t *tag)
{
    for (*count = 0; *at != '\0' && *at != '|'; at += strspn(at, " ")) {
        size_t len = strcspn(at, " |");

        if (len != 0)
            words[(*count)++] = (struct word){at, len, ++*tag};
        at += len;
    }
    return at;
}

static int add_layer(struct grown *grown, const struct word *words, int count,
                     rafs_error *err)
{
    int rc = RAFS_OK;

    for (int i = 0; i < count && rc == RAFS_OK; i++)
        rc = grow_word(grown, words[i].at, words[i].len, words[i].tag, err);
    return rc;
}

/* The next order of words by their tags; 0: that was the last one. */
static int next_order(struct word *words, int count)
{
    int i = count - 2, j = count - 1;

    while (i >= 0 && words[i].tag > words[i + 1].tag)
        i--;
    for (int k = i + 1; k < j; k++, j--) {
        struct word swap = words[k];

        words[k] = words[j];
        words[j] = swap;
    }
    if (i < 0)
        return 0;
    for (j = i + 1; words[j].tag < words[i].tag;)
        j++;
    struct word swap = words[i];

    words[i] = words[j];
    words[j] = swap;
    return 1;
}

/* All layers in the order of the row, but that of number `which` as words has it. */
static void grow_row(const struct row *row, int which, const struct word *words)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct word own[WORDS_MAX];
    const char *at = row->layers;
    struct grown grown;
    char tree[1000], order[1000] = "";
    uint32_t tag = 0;
    int rc, count;

    ck_assert_int_eq(grow_init(&grown, NULL, 0, &err), RAFS_OK);
    for (int layer = 0;; layer++) {
        at = take_layer(at, own, &count, &tag);
        rc = add_layer(&grown, layer == which ? words : own, count, &err);
        ck_assert_msg(rc == RAFS_OK, "%s: %s: %s", row->layers, err.object, err.text);
        for (int i = 0; layer == which && i < count; i++)
            snprintf(order + strlen(order), sizeof(order) - strlen(order), " %u",
                     words[i].tag);
        if (*at++ != '|')
            break;
        ck_assert_int_eq(rafsi_layers_next(grown.layers, &err), RAFS_OK);
    }
    ck_assert_int_eq(rafsi_image_seal(&grown.image, &err), RAFS_OK);
    grow_show(&grown, tree, sizeof(tree));
    ck_assert_msg(strcmp(tree, row->tree) == 0, "\"%s\"%s%s became\n  %s, not\n  %s",
                  row->layers, order[0] ? ", layer in order" : "", order, tree,
                  row->tree);
    grow_done(&grown);
}

START_TEST(entries_of_a_layer_may_come_in_any_order)
{
    const struct row *row = &any_order[_i];
    struct word words[WORDS_MAX];
    const char *at = row->layers;
    uint32_t tag = 0;
    int count;

    for (int layer = 0;; layer++) {
        at = take_layer(at, words, &count, &tag);
        do {
            grow_row(row, layer, words);
        } while (next_order(words, count));
        if (*at++ != '|')
            break;
    }
}
END_TEST

START_TEST(layers_become_a_tree)
{
    grow_row(&in_order[_i], -1, NULL);
}
END_TEST

START_TEST(what_no_tree_can_have_is_refused_by_its_path)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct word words[WORDS_MAX];
    const char *at = bad[_i].layers;
    struct grown grown;
    uint32_t tag = 0;
    int rc, count;

    ck_assert_int_eq(grow_init(&grown, NULL, 0, &err), RAFS_OK);
    for (;;) {
        at = take_layer(at, words, &count, &tag);
        rc = add_layer(&grown, words, count, &err);
        if (*at++ != '|')
            break;
        ck_assert_int_eq(rafsi_layers_next(grown.layers, &err), RAFS_OK);
    }
    ck_assert_msg(rc == RAFS_E_CORRUPT, "%s: %d", bad[_i].layers, rc);
    ck_assert_int_eq(err.code, rc);
    ck_assert_str_eq(err.object, bad[_i].path);
    ck_assert_msg(strstr(err.text, bad[_i].text) != NULL, "%s: %s", bad[_i].layers,
                  err.text);
    grow_done(&grown);
}
END_TEST

START_TEST(whiteouts_that_are_kept_are_files)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct word words[WORDS_MAX];
    struct grown grown;
    char tree[1000];
    uint32_t tag = 0;
    int count;

    ck_assert_int_eq(grow_init(&grown, NULL, LAYERS_KEEP_WHITEOUTS, &err), RAFS_OK);
    take_layer("a .wh.a d/.wh..wh..opq .wh..wh.plnk/ .wh.", words, &count, &tag);
    ck_assert_int_eq(add_layer(&grown, words, count, &err), RAFS_OK);
    ck_assert_int_eq(rafsi_image_seal(&grown.image, &err), RAFS_OK);
    grow_show(&grown, tree, sizeof(tree));
    ck_assert_str_eq(tree, ".wh.:5 .wh..wh.plnk/:4 .wh.a:2 a:1 d/ d/.wh..wh..opq:3");
    grow_done(&grown);
}
END_TEST

static int add_path(struct grown *grown, const char *path, size_t len, uint32_t mode)
{
    struct layers_entry entry = entry_of(path, len, mode, 1);
    struct build_inode *inode;

    return rafsi_layers_add(grown->layers, &entry, &inode, NULL);
}

START_TEST(names_and_paths_have_an_end)
{
    rafs_error err = RAFS_ERROR_INIT;
    char *path = malloc(RAFS_PATH_MAX + 10);
    struct grown grown;

    ck_assert_ptr_nonnull(path);
    ck_assert_int_eq(grow_init(&grown, NULL, 0, &err), RAFS_OK);
    memset(path, 'n', RAFS_PATH_MAX + 10);
    ck_assert_int_eq(add_path(&grown, path, 255, S_IFREG), RAFS_OK);
    ck_assert_int_eq(add_path(&grown, path, 256, S_IFREG), RAFS_E_CORRUPT);
    path[256] = '/';
    ck_assert_int_eq(add_path(&grown, path, 300, S_IFREG), RAFS_E_CORRUPT);
    ck_assert_int_eq(add_path(&grown, path, 0, S_IFREG), RAFS_E_CORRUPT);
    ck_assert_int_eq(add_path(&grown, "a\0b", 3, S_IFREG), RAFS_E_CORRUPT);
    for (size_t i = 0; i < RAFS_PATH_MAX + 10; i++)
        path[i] = i % 16 == 15 ? '/' : 'p';
    ck_assert_int_eq(add_path(&grown, path, RAFS_PATH_MAX, S_IFREG), RAFS_OK);
    ck_assert_int_eq(add_path(&grown, path, RAFS_PATH_MAX + 1, S_IFREG), RAFS_E_LIMIT);
    for (size_t i = 0; i < RAFS_PATH_MAX + 10; i++)
        path[i] = i % 2 ? '/' : 'd';
    ck_assert_int_eq(add_path(&grown, path, 2 * RAFS_DEPTH_MAX, S_IFDIR), RAFS_OK);
    ck_assert_int_eq(add_path(&grown, path, 2 * RAFS_DEPTH_MAX + 1, S_IFDIR),
                     RAFS_E_LIMIT);
    ck_assert_int_eq(rafsi_image_seal(&grown.image, &err), RAFS_OK);
    ck_assert_uint_eq(grown.image.names, 2 + RAFS_PATH_MAX / 16 + 1 + RAFS_DEPTH_MAX);
    grow_done(&grown);
    free(path);
}
END_TEST

/* A name may have every byte but '/' and NUL. */
START_TEST(names_are_bytes)
{
    rafs_error err = RAFS_ERROR_INIT;
    const struct build_node *node;
    struct grown grown;
    char name[256];
    size_t len = 0;

    for (int i = 1; i < 256; i++)
        if (i != '/')
            name[len++] = (char)i;
    ck_assert_int_eq(grow_init(&grown, NULL, 0, &err), RAFS_OK);
    ck_assert_int_eq(add_path(&grown, name, len, S_IFREG), RAFS_OK);
    ck_assert_int_eq(add_path(&grown, "\xff", 1, S_IFREG), RAFS_OK);
    ck_assert_int_eq(add_path(&grown, "\x7f", 1, S_IFREG), RAFS_OK);
    ck_assert_int_eq(rafsi_image_seal(&grown.image, &err), RAFS_OK);
    node = grown.image.root->children;
    ck_assert_uint_eq(node->name_len, len);
    ck_assert_mem_eq(node->name, name, len);
    ck_assert_str_eq(node->next->name, "\x7f");
    ck_assert_str_eq(node->next->next->name, "\xff");
    grow_done(&grown);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, entries_of_a_layer_may_come_in_any_order, 0,
                        COUNT(any_order));
    tcase_add_loop_test(tcase, layers_become_a_tree, 0, COUNT(in_order));
    tcase_add_loop_test(tcase, what_no_tree_can_have_is_refused_by_its_path, 0,
                        COUNT(bad));
    tcase_add_test(tcase, whiteouts_that_are_kept_are_files);
    tcase_add_test(tcase, names_and_paths_have_an_end);
    tcase_add_test(tcase, names_are_bytes);
}

int main(void)
{
    return grow_suite(add_tests);
}
