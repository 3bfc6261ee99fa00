/* SPDX-License-Identifier: Apache-2.0 */
/* What a tree is once it is complete, what an inode keeps of its entry, and what memory
 * and faults do to both. */
#include "grow.h"
#include "watch.h"

/* Words of one layer; tags from 1. */
static int grow_words(struct grown *grown, const char *words, rafs_error *err)
{
    uint32_t tag = 0;
    int rc = RAFS_OK;

    while (*words != '\0' && rc == RAFS_OK) {
        size_t len = strcspn(words, " |");

        if (*words == '|')
            rc = rafsi_layers_next(grown->layers, err);
        else if (len != 0)
            rc = grow_word(grown, words, len, ++tag, err);
        words += len ? len : 1;
    }
    return rc;
}

static void begin(struct grown *grown, const char *words)
{
    rafs_error err = RAFS_ERROR_INIT;

    ck_assert_int_eq(grow_init(grown, NULL, 0, &err), RAFS_OK);
    ck_assert_msg(grow_words(grown, words, &err) == RAFS_OK, "%s: %s", err.object,
                  err.text);
    ck_assert_msg(rafsi_image_seal(&grown->image, &err) == RAFS_OK, "%s", err.text);
}

/* index.number.nlink of each name, in the order that next gives. */
static void show(const struct grown *grown,
                 struct build_node *(*next)(const struct build_node *), char *out,
                 size_t room)
{
    const struct build_node *node = grown->image.root;
    size_t at = 0;

    for (; node; node = next(node)) {
        char path[256];

        rafsi_node_path(node, path, sizeof(path));
        at += (size_t)snprintf(out + at, room - at, "%s%s:%u.%u.%u", at ? " " : "", path,
                               node->index, node->inode->number, node->inode->nlink);
    }
}

#define TREE "d/e/f/g d/e/h d/i/j d/k a=d/k b l/ m/n/o z! z2=z p@q p2=p .wh.b .wh..wh.x"

START_TEST(names_are_numbered_directory_by_directory)
{
    struct grown grown;
    char seen[1000];

    begin(&grown, TREE);
    show(&grown, rafsi_batched_next, seen, sizeof(seen));
    ck_assert_str_eq(seen, "/:1.1.5 /a:2.2.2 /b:3.3.1 /d:4.4.4 /l:5.5.2 /m:6.6.3 "
                           "/p:7.7.2 /p2:8.7.2 /z:9.8.2 /z2:10.8.2 "
                           "/d/e:11.9.3 /d/i:12.10.2 /d/k:13.2.2 "
                           "/d/e/f:14.11.2 /d/e/h:15.12.1 /d/e/f/g:16.13.1 "
                           "/d/i/j:17.14.1 /m/n:18.15.2 /m/n/o:19.16.1");
    show(&grown, rafsi_depth_next, seen, sizeof(seen));
    ck_assert_str_eq(seen, "/:1.1.5 /a:2.2.2 /b:3.3.1 /d:4.4.4 /d/e:11.9.3 "
                           "/d/e/f:14.11.2 /d/e/f/g:16.13.1 /d/e/h:15.12.1 "
                           "/d/i:12.10.2 /d/i/j:17.14.1 /d/k:13.2.2 /l:5.5.2 /m:6.6.3 "
                           "/m/n:18.15.2 /m/n/o:19.16.1 /p:7.7.2 /p2:8.7.2 /z:9.8.2 "
                           "/z2:10.8.2");
    ck_assert_uint_eq(grown.image.names, 19);
    ck_assert_uint_eq(grown.image.inodes, 16);
    ck_assert_int_eq(grown.image.has_xattr, false);
    grow_done(&grown);
}
END_TEST

START_TEST(a_directory_knows_its_first_child)
{
    struct grown grown;

    begin(&grown, TREE);
    for (const struct build_node *node = grown.image.root; node;
         node = rafsi_batched_next(node)) {
        uint32_t count = 0;

        for (const struct build_node *c = node->children; c; c = c->next, count++)
            ck_assert_uint_eq(c->index, node->first + count);
        ck_assert_uint_eq(node->child_count, count);
        if (S_ISDIR(node->inode->mode) && count == 0)
            ck_assert_uint_gt(node->first, node->index);
    }
    ck_assert_uint_eq(rafsi_layers_find(grown.layers, "l", 1)->first, 18);
    grow_done(&grown);
}
END_TEST

START_TEST(the_root_alone_is_an_image)
{
    struct grown grown;
    char seen[100];

    begin(&grown, "");
    show(&grown, rafsi_batched_next, seen, sizeof(seen));
    ck_assert_str_eq(seen, "/:1.1.2");
    ck_assert_ptr_null(rafsi_depth_next(grown.image.root));
    ck_assert_uint_eq(grown.image.root->inode->mode, S_IFDIR | 0755);
    ck_assert_uint_eq(grown.image.root->first, 2);
    grow_done(&grown);
}
END_TEST

START_TEST(layers_of_names_and_inodes_are_known)
{
    struct grown grown;

    begin(&grown, "a d/ e/ | b=a d/ | c e/x");
    ck_assert_uint_eq(grown.image.layers, 3);
    ck_assert_uint_eq(rafsi_layers_find(grown.layers, "a", 1)->inode->layer, 1);
    ck_assert_uint_eq(rafsi_layers_find(grown.layers, "d", 1)->layer, 1);
    ck_assert_uint_eq(rafsi_layers_find(grown.layers, "e", 1)->layer, 0);
    ck_assert_uint_eq(rafsi_layers_find(grown.layers, "/e/x", 4)->layer, 2);
    ck_assert_ptr_null(rafsi_layers_find(grown.layers, "e/y", 3));
    ck_assert_ptr_null(rafsi_layers_find(grown.layers, "a/x", 3));
    grow_done(&grown);
}
END_TEST

START_TEST(a_path_that_is_too_long_for_its_room_is_cut)
{
    struct grown grown;
    const struct build_node *node;
    char out[12];

    begin(&grown, "abc/def/gh");
    node = rafsi_layers_find(grown.layers, "abc/def/gh", 10);
    for (size_t room = 0; room <= sizeof(out); room++) {
        memset(out, '#', sizeof(out));
        rafsi_node_path(node, out, room);
        ck_assert(room == 0 || strncmp(out, "/abc/def/gh", room - 1) == 0);
        ck_assert(room == 0 || out[room - 1] == '\0');
        ck_assert(room == sizeof(out) || out[room] == '#');
    }
    rafsi_node_path(grown.image.root, out, sizeof(out));
    ck_assert_str_eq(out, "/");
    rafsi_node_path(grown.image.root, out, 1);
    ck_assert_str_eq(out, "");
    grow_done(&grown);
}
END_TEST

static const struct build_xattr xattrs[] = {
    {"user.b", (const uint8_t *)"1\0\n2", 6, 4},
    {"user.a", NULL, 6, 0},
    {"user.b", (const uint8_t *)"later", 6, 5},
    {"user.a\n=", (const uint8_t *)"x", 8, 1},
    {"trusted.z", (const uint8_t *)"z", 9, 1},
};

START_TEST(an_inode_is_what_its_entry_says)
{
    struct layers_entry entry = {"f", 1, {.mode = S_IFREG | 07654 | 1 << 20}};
    rafs_error err = RAFS_ERROR_INIT;
    struct build_inode *inode;
    struct grown grown;

    entry.inode.size = 3 * 4096 + 1;
    entry.inode.uid = UINT32_MAX;
    entry.inode.gid = UINT32_MAX - 1;
    entry.inode.mtime_sec = -5;
    entry.inode.mtime_nsec = 999999999;
    entry.inode.rdev = 77;
    entry.inode.nlink = 9;
    entry.inode.xattrs = xattrs;
    entry.inode.xattr_count = COUNT(xattrs);
    begin(&grown, "");
    ck_assert_int_eq(rafsi_layers_add(grown.layers, &entry, &inode, &err), RAFS_OK);
    ck_assert_int_eq(rafsi_image_seal(&grown.image, &err), RAFS_OK);
    ck_assert_uint_eq(inode->mode, S_IFREG | 07654);
    ck_assert_uint_eq(inode->size, 3 * 4096 + 1);
    ck_assert_ptr_nonnull(inode->chunks);
    memset(inode->chunks, 1, 4 * sizeof(uint32_t));
    ck_assert_uint_eq(inode->uid, UINT32_MAX);
    ck_assert_uint_eq(inode->gid, UINT32_MAX - 1);
    ck_assert_int_eq(inode->mtime_sec, -5);
    ck_assert_uint_eq(inode->mtime_nsec, 999999999);
    ck_assert_uint_eq(inode->rdev, 0);
    ck_assert_uint_eq(inode->nlink, 1);
    ck_assert_int_eq(grown.image.has_xattr, true);
    ck_assert_uint_eq(inode->xattr_count, 4);
    ck_assert_str_eq(inode->xattrs[0].name, "trusted.z");
    ck_assert_str_eq(inode->xattrs[1].name, "user.a");
    ck_assert_uint_eq(inode->xattrs[1].value_len, 0);
    ck_assert_str_eq(inode->xattrs[2].name, "user.a\n=");
    ck_assert_str_eq(inode->xattrs[3].name, "user.b");
    ck_assert_uint_eq(inode->xattrs[3].value_len, 5);
    ck_assert_mem_eq(inode->xattrs[3].value, "later", 5);
    grow_done(&grown);
}
END_TEST

static char long_text[RAFS_XATTR_VALUE_MAX + 1];

static const struct {
    const char *why;
    int code;
    struct build_inode inode;
    struct build_xattr xattr;
} bad[] = {
    {"no type", RAFS_E_UNSUPPORTED, {.mode = 0644}, {0}},
    {"door", RAFS_E_UNSUPPORTED, {.mode = 0xd000 | 0644}, {0}},
    {"nanoseconds", RAFS_E_CORRUPT, {.mode = S_IFIFO, .mtime_nsec = 1000000000}, {0}},
    {"no target", RAFS_E_CORRUPT, {.mode = S_IFLNK}, {0}},
    {"long target", RAFS_E_LIMIT, {.mode = S_IFLNK, .target = long_text + 1}, {0}},
    {"2^63 bytes", RAFS_E_LIMIT, {.mode = S_IFREG, .size = 1ull << 63}, {0}},
    {"all bytes", RAFS_E_LIMIT, {.mode = S_IFREG, .size = UINT64_MAX}, {0}},
    {"2^40 bytes", RAFS_E_LIMIT, {.mode = S_IFREG, .size = 1ull << 40}, {0}},
    {"no name", RAFS_E_CORRUPT, {.mode = S_IFDIR, .xattr_count = 1}, {"", NULL, 0, 0}},
    {"NUL", RAFS_E_CORRUPT, {.mode = S_IFDIR, .xattr_count = 1}, {"a\0b", NULL, 3, 0}},
    {"long name",
     RAFS_E_LIMIT,
     {.mode = S_IFDIR, .xattr_count = 1},
     {long_text, NULL, 256, 0}},
    {"long value",
     RAFS_E_LIMIT,
     {.mode = S_IFDIR, .xattr_count = 1},
     {"a", (const uint8_t *)long_text, 1, sizeof(long_text)}},
    {"many", RAFS_E_LIMIT, {.mode = S_IFDIR, .xattr_count = LAYERS_XATTRS_MAX + 1}, {0}},
};

START_TEST(an_inode_that_cannot_be_is_refused)
{
    struct layers_entry entry = {"a/name", 6, bad[_i].inode};
    rafs_error err = RAFS_ERROR_INIT;
    struct build_inode *inode;
    struct grown grown;
    int rc;

    memset(long_text, 'x', sizeof(long_text));
    if (bad[_i].inode.target) /* one byte more than Linux has it */
        long_text[4097] = '\0';
    if (bad[_i].xattr.name)
        entry.inode.xattrs = &bad[_i].xattr;
    begin(&grown, "");
    rc = rafsi_layers_add(grown.layers, &entry, &inode, &err);
    ck_assert_msg(rc == bad[_i].code, "%s: %d %s", bad[_i].why, rc, err.text);
    ck_assert_str_eq(err.object, "a/name");
    ck_assert_ptr_null(inode);
    grow_done(&grown);
}
END_TEST

START_TEST(all_files_of_an_image_share_one_limit_of_chunks)
{
    struct layers_entry entry = entry_of("f", 1, S_IFREG, 1);
    rafs_error err = RAFS_ERROR_INIT;
    struct build_inode *inode;
    struct grown grown;

    begin(&grown, "");
    entry.inode.size = (1ull << 26) * 4096;
    ck_assert_int_eq(rafsi_layers_add(grown.layers, &entry, &inode, &err), RAFS_OK);
    ck_assert_int_eq(rafsi_layers_add(grown.layers, &entry, &inode, &err), RAFS_OK);
    entry.inode.size = 1;
    ck_assert_int_eq(rafsi_layers_add(grown.layers, &entry, &inode, &err), RAFS_E_LIMIT);
    grow_done(&grown);
}
END_TEST

static int many(void)
{
    return getenv("RAFS_TEST_FULL") ? 1000000 : 100000;
}

/* A directory of a million files is hidden and filled again, over and over: what is
 * hidden is not looked at again, or this takes hours. */
START_TEST(a_million_entries)
{
    const int count = many(), rounds = 1000;
    rafs_error err = RAFS_ERROR_INIT;
    struct watch watch;
    struct grown grown;
    char word[32];

    watch_init(&watch);
    ck_assert_int_eq(grow_init(&grown, &watch.env, 0, &err), RAFS_OK);
    for (int i = 0; i < count; i++) {
        int len = snprintf(word, sizeof(word), "usr/d%d/file-%08d", i % 1000, i);

        ck_assert_int_eq(grow_word(&grown, word, (size_t)len, 1, &err), RAFS_OK);
    }
    ck_assert_uint_lt(watch.peak_bytes, 200u * (unsigned)count);
    for (int i = 0; i < rounds; i++)
        ck_assert_int_eq(grow_words(&grown,
                                    "| usr/.wh..wh..opq usr/a/b/c usr/a/.wh.b "
                                    "usr/.wh..wh..opq usr usr/ | .wh.usr usr/x",
                                    &err),
                         RAFS_OK);
    ck_assert_int_eq(rafsi_image_seal(&grown.image, &err), RAFS_OK);
    ck_assert_uint_eq(grown.image.names, 3);
    grow_done(&grown);
    ck_assert_uint_eq(watch.live, 0);
}
END_TEST

START_TEST(one_directory_of_a_million_is_sorted)
{
    const uint32_t count = (uint32_t)many();
    rafs_error err = RAFS_ERROR_INIT;
    const struct build_node *node;
    struct grown grown;
    char word[32];

    ck_assert_int_eq(grow_init(&grown, NULL, 0, &err), RAFS_OK);
    for (uint32_t i = 0; i < count; i++) {
        int len = snprintf(word, sizeof(word), "%x", i * 2654435761u);

        ck_assert_int_eq(grow_word(&grown, word, (size_t)len, 1, &err), RAFS_OK);
    }
    ck_assert_int_eq(rafsi_image_seal(&grown.image, &err), RAFS_OK);
    ck_assert_uint_eq(grown.image.names, count + 1);
    node = grown.image.root->children;
    for (uint32_t i = 0; node; node = node->next, i++) {
        ck_assert_uint_eq(node->index, i + 2);
        ck_assert(!node->next || strcmp(node->name, node->next->name) < 0);
    }
    grow_done(&grown);
}
END_TEST

START_TEST(memory_that_fails_is_said_and_nothing_stays)
{
    const char *words = TREE " | d/.wh..wh..opq a q=b l d/e/ | l/ l/x d";
    struct watch watch;
    size_t n = 0;

    do {
        rafs_error err = RAFS_ERROR_INIT;
        struct grown grown;
        int rc;

        watch_init(&watch);
        watch_fail_at(&watch, n++);
        rc = grow_init(&grown, &watch.env, 0, &err);
        if (rc == RAFS_OK) {
            rc = grow_words(&grown, words, &err);
            grow_done(&grown);
        }
        ck_assert_int_eq(rc, watch.failed ? RAFS_E_NOMEM : RAFS_OK);
        ck_assert_uint_eq(watch.live, 0);
    } while (watch.failed);
    ck_assert_uint_gt(n, 2);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, names_are_numbered_directory_by_directory);
    tcase_add_test(tcase, a_directory_knows_its_first_child);
    tcase_add_test(tcase, the_root_alone_is_an_image);
    tcase_add_test(tcase, layers_of_names_and_inodes_are_known);
    tcase_add_test(tcase, a_path_that_is_too_long_for_its_room_is_cut);
    tcase_add_test(tcase, an_inode_is_what_its_entry_says);
    tcase_add_loop_test(tcase, an_inode_that_cannot_be_is_refused, 0, COUNT(bad));
    tcase_add_test(tcase, all_files_of_an_image_share_one_limit_of_chunks);
    tcase_add_test(tcase, a_million_entries);
    tcase_add_test(tcase, one_directory_of_a_million_is_sorted);
    tcase_add_test(tcase, memory_that_fails_is_said_and_nothing_stays);
}

int main(void)
{
    return grow_suite(add_tests);
}
