/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emitters: whatever image is made in memory, the bootstrap opens, shows the same through
 * the public API, and has nothing wrong in it.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "draft.h"
#include "rafs/rafs.h"
#include "tree_images.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

enum { KIB = 1024, CHUNK = 4096 };

static const uint32_t versions[] = {5, 6};

static void finding(void *user, const rafs_error *found)
{
    (void)user;
    fprintf(stderr, "finding: %s: %s\n", found->object, found->text);
}

static void nothing_is_wrong(const rafs_image *image)
{
    rafs_check_options options = RAFS_CHECK_OPTIONS_INIT;
    rafs_check_result result = {.struct_size = sizeof(result)};

    options.flags = RAFS_CHECK_METADATA_ONLY;
    options.finding = finding;
    ck_assert_int_eq(rafs_image_check(image, &options, &result, NULL, NULL), RAFS_OK);
    ck_assert_uint_eq(result.complete, 1);
    ck_assert_uint_eq(
        result.corrupt + result.unreadable + result.unsupported + result.other, 0);
}

/* An emitted image, open. */
struct opened {
    struct emitted emitted;
    rafs_image *image;
};

static void emit_open(struct draft *draft, struct opened *opened)
{
    rafs_error err = RAFS_ERROR_INIT;

    opened->emitted = (struct emitted)EMITTED_INIT;
    ck_assert_msg(draft_emit(draft, &opened->emitted, NULL, &err) == RAFS_OK, "%s: %s",
                  err.object, err.text);
    ck_assert_msg(rafs_image_open_memory(opened->emitted.bytes, opened->emitted.len, NULL,
                                         &opened->image, NULL, &err) == RAFS_OK,
                  "%s", err.text);
    nothing_is_wrong(opened->image);
}

static void emit_close(struct opened *opened)
{
    rafs_image_close(opened->image);
    emitted_drop(&opened->emitted);
}

static void same_xattrs(const rafs_image *image, uint64_t ino,
                        const struct build_inode *inode)
{
    static char names[64 * KIB], value[65 * KIB];
    size_t len, at = 0;

    ck_assert_int_eq(rafs_image_list_xattr(image, ino, names, sizeof(names), &len, NULL),
                     RAFS_OK);
    for (uint32_t i = 0; i < inode->xattr_count; i++) {
        const struct build_xattr *xattr = &inode->xattrs[i];
        size_t size;

        ck_assert_uint_lt(at, len);
        ck_assert_str_eq(names + at, xattr->name);
        ck_assert_int_eq(rafs_image_get_xattr(image, ino, xattr->name, value,
                                              sizeof(value), &size, NULL),
                         RAFS_OK);
        ck_assert_uint_eq(size, xattr->value_len);
        ck_assert(size == 0 || memcmp(value, xattr->value, size) == 0);
        at += strlen(names + at) + 1;
    }
    ck_assert_uint_eq(at, len);
}

static void same_chunks(const struct draft *draft, const rafs_image *image, uint64_t ino,
                        const struct build_inode *inode)
{
    const struct build_image *made = &draft->image;

    for (uint64_t at = 0; at < inode->size; at += made->chunk_size) {
        const struct build_chunk *chunk =
            rafsi_chunks_at(&made->chunks, inode->chunks[at / made->chunk_size]);
        rafs_extent extent;
        size_t count;
        rafs_blob_info blob = {.struct_size = sizeof(blob)};

        ck_assert_int_eq(
            rafs_image_get_extents(image, ino, at, &extent, 1, &count, NULL, NULL),
            RAFS_OK);
        ck_assert_uint_eq(count, 1);
        ck_assert_uint_eq(extent.file_offset, at);
        ck_assert_uint_eq(extent.length, chunk->uncompressed_size);
        ck_assert_uint_eq(extent.uncompressed_offset, chunk->uncompressed_offset);
        ck_assert_uint_eq(extent.compressed_offset, chunk->compressed_offset);
        ck_assert_uint_eq(extent.compressed_size, chunk->compressed_size);
        ck_assert_uint_eq(extent.chunk, chunk->index);
        ck_assert_mem_eq(extent.digest, chunk->digest, 32);
        ck_assert_int_eq(rafs_image_get_blob(image, extent.blob, &blob, NULL), RAFS_OK);
        ck_assert_str_eq(blob.id, made->blobs.at[chunk->blob].record.id);
    }
}

static void same_target(const rafs_image *image, uint64_t ino,
                        const struct build_inode *inode)
{
    static char target[RAFS_TARGET_MAX + 1];
    size_t len;

    ck_assert_int_eq(rafs_image_readlink(image, ino, target, sizeof(target), &len, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(len, inode->size);
    ck_assert_mem_eq(target, inode->target, len);
}

/* The number that an inode had before under another name, noted in its scratch, which the
 * emitters have no more use for. */
static void same_number(const rafs_attr *attr, struct build_inode *inode)
{
    if (inode->at == 0)
        inode->at = attr->ino;
    ck_assert_uint_eq(inode->at, attr->ino);
}

static void same_name(const struct draft *draft, const rafs_image *image,
                      const rafs_walk_entry *entry, const struct build_node *node)
{
    struct build_inode *inode = node->inode;
    const rafs_attr *attr = &entry->attr;
    char path[64 * KIB];

    rafsi_node_path(node, path, sizeof(path));
    ck_assert_str_eq(entry->path, path);
    same_number(attr, inode);
    ck_assert_uint_eq(attr->mode, inode->mode);
    ck_assert_uint_eq(attr->nlink, inode->nlink);
    ck_assert_uint_eq(attr->uid, inode->uid);
    ck_assert_uint_eq(attr->gid, inode->gid);
    ck_assert_int_eq(attr->mtime_sec, inode->mtime_sec);
    ck_assert_uint_eq(attr->mtime_nsec, inode->mtime_nsec);
    same_xattrs(image, attr->ino, inode);
    if (S_ISREG(inode->mode)) {
        ck_assert_uint_eq(attr->size, inode->size);
        same_chunks(draft, image, attr->ino, inode);
    }
    if (S_ISLNK(inode->mode))
        same_target(image, attr->ino, inode);
    if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) {
        ck_assert_uint_eq(attr->rdev_major, inode->rdev >> 8 & 0xfff);
        ck_assert_uint_eq(attr->rdev_minor,
                          (inode->rdev & 0xff) | (inode->rdev >> 12 & 0xfff00));
    }
}

/* What the image shows is what was made, and each name is found by its path. */
static void same_tree(struct draft *draft, const rafs_image *image)
{
    struct build_node *node;
    const rafs_walk_entry *entry;
    rafs_walk *walk;

    for (node = draft->image.root; node; node = rafsi_depth_next(node))
        node->inode->at = 0;
    ck_assert_int_eq(rafs_walk_open(image, "/", 0, &walk, NULL), RAFS_OK);
    for (node = draft->image.root; node; node = rafsi_depth_next(node)) {
        uint64_t ino;

        ck_assert_int_eq(rafs_walk_next(walk, &entry, NULL), RAFS_OK);
        ck_assert_ptr_nonnull(entry);
        same_name(draft, image, entry, node);
        ck_assert_int_eq(
            rafs_image_resolve(image, entry->path, RAFS_RESOLVE_NOFOLLOW, &ino, NULL),
            RAFS_OK);
        ck_assert_uint_eq(ino, entry->ino);
    }
    ck_assert_int_eq(rafs_walk_next(walk, &entry, NULL), RAFS_OK);
    ck_assert_ptr_null(entry);
    rafs_walk_close(walk);
}

static void round_trip(struct draft *draft)
{
    struct opened opened;

    draft_seal(draft);
    emit_open(draft, &opened);
    same_tree(draft, opened.image);
    emit_close(&opened);
}

/* All types of file, each with several names, in directories that come in any order; and
 * what is at the edge of what can be. */
static void grow_everything(struct draft *draft)
{
    static const uint8_t bytes[] = {0, 255, '\n', 0, '='};
    static const struct build_xattr xattrs[] = {
        {"user.b", bytes, 6, sizeof(bytes)},
        {"security.capability", bytes, 19, 1},
        {"trusted.x", NULL, 9, 0},
        {"system.posix_acl_access", bytes, 23, 4},
        {"user.a", bytes, 6, 3},
    };
    uint32_t blob = draft_blob(draft, 'a');
    struct build_inode *inode;

    draft_add(draft, "/", S_IFDIR | 0711)->uid = 4000000000u;
    inode = draft_file(draft, "data/three", 2 * CHUNK + 1, blob, 1);
    inode->mtime_sec = -1;
    inode->mtime_nsec = 999999999;
    inode->uid = 65534;
    inode->gid = 1u << 31;
    inode->mode |= S_ISUID | S_ISGID | S_ISVTX;
    draft_file(draft, "data/empty", 0, blob, 0);
    draft_file(draft, "data/full", CHUNK, blob, 10);
    draft_file(draft, "data/again", CHUNK, blob, 10); /* not deduplicated */
    draft_symlink(draft, "links/l", "../data/three");
    draft_add(draft, "special/fifo", S_IFIFO | 0600);
    draft_add(draft, "special/socket", S_IFSOCK | 0777);
    draft_add(draft, "special/null", S_IFCHR | 0666)->rdev = 0x103;
    draft_add(draft, "special/disk", S_IFBLK | 0660)->rdev = 0xfff12f34;
    draft_link(draft, "data/two", "data/three");
    draft_link(draft, "a/b/c/d/three", "data/three");
    draft_link(draft, "z/b/c/d/l", "links/l");
    draft_link(draft, "a/l", "links/l");
    draft_link(draft, "z/b/fifo", "special/fifo");
    draft_link(draft, "z/b/socket", "special/socket");
    draft_link(draft, "z/b/null", "special/null");
    draft_link(draft, "z/b/disk", "special/disk");
    draft_add(draft, "names/!", S_IFREG | 0644);
    draft_add(draft, "names/-", S_IFDIR | 0755);
    draft_add(draft, "names/.a", S_IFREG | 0644);
    draft_add(draft, "names/..a", S_IFREG | 0644);
    draft_add(draft, "names/...", S_IFREG | 0644);
    draft_add(draft, "names/.-", S_IFREG | 0644);
    draft_add(draft, "names/\xff\xfe\x01", S_IFREG | 0644);
    for (uint32_t type = 0; type < 3; type++) {
        const char *const path[] = {"x/dir", "x/file", "x/link"};
        struct layers_entry entry = {.path = path[type],
                                     .path_len = strlen(path[type]),
                                     .inode = {.mode = type == 0   ? S_IFDIR | 0755
                                                       : type == 1 ? S_IFREG | 0644
                                                                   : S_IFLNK | 0777,
                                               .xattrs = xattrs,
                                               .xattr_count = COUNT(xattrs)}};

        if (type == 2) {
            entry.inode.target = "t";
            entry.inode.size = 1;
        }
        draft_entry(draft, &entry);
    }
}

START_TEST(everything_comes_out)
{
    struct draft draft;

    draft_init(&draft, versions[_i], NULL);
    grow_everything(&draft);
    round_trip(&draft);
    draft_done(&draft);
}
END_TEST

START_TEST(an_empty_image_is_an_image)
{
    struct draft draft;

    draft_init(&draft, versions[_i], NULL);
    draft_blob(&draft, 'u'); /* that nothing refers to */
    round_trip(&draft);
    draft_done(&draft);
}
END_TEST

/* Directories around the sizes at which a block is full, the tail fits behind the inode
 * or does not, and with names of all lengths. */
START_TEST(directories_of_any_size_come_out)
{
    struct draft draft;
    char path[600];

    draft_init(&draft, versions[_i], NULL);
    for (unsigned count = 0; count < 60; count++)
        for (unsigned i = 0; i < count; i++) {
            snprintf(path, sizeof(path), "d%u/%0*u", count, 200 + (int)(count % 56), i);
            draft_add(&draft, path, S_IFREG | 0644);
        }
    for (unsigned i = 0; i < 700; i++) { /* last: that it is placed behind all these */
        snprintf(path, sizeof(path), "many/%u", i * 7919);
        draft_add(&draft, path, S_IFREG | 0644);
    }
    /* Each byte more, from a tail that fits into what is left of a block to one that does
     * not. */
    for (unsigned len = 1; len <= 255; len++) {
        snprintf(path, sizeof(path), "e%u/%0*u", len, (int)len, 0);
        draft_add(&draft, path, S_IFREG | 0644);
    }
    round_trip(&draft);
    draft_done(&draft);
}
END_TEST

START_TEST(deep_trees_come_out)
{
    struct draft draft;
    static char path[3000];

    draft_init(&draft, versions[_i], NULL);
    for (size_t i = 0; i < 1000; i++) {
        path[2 * i] = (char)('a' + i % 26);
        path[2 * i + 1] = i == 999 ? '\0' : '/';
    }
    draft_add(&draft, path, S_IFDIR | 0700);
    round_trip(&draft);
    draft_done(&draft);
}
END_TEST

/* Targets around the sizes at which one does not fit behind its inode any more. */
START_TEST(link_targets_up_to_the_longest_come_out)
{
    static char target[4096];
    static const size_t lengths[] = {1, 4031, 4032, 4033, 4095};
    struct draft draft;
    char path[16];

    draft_init(&draft, versions[_i], NULL);
    for (int i = 0; i < COUNT(lengths); i++) {
        memset(target, 't', lengths[i]);
        target[lengths[i]] = '\0';
        snprintf(path, sizeof(path), "l%d", i);
        draft_symlink(&draft, path, target);
        memset(target, 0, sizeof(target));
    }
    round_trip(&draft);
    draft_done(&draft);
}
END_TEST

/* Attributes that leave no room for a tail, and inodes across blocks. */
START_TEST(attributes_of_any_size_come_out)
{
    static const size_t sizes[] = {0, 1, 2, 3, 4, 3900, 4000, 4020, 4096, 30000, 65535};
    struct draft draft;
    char path[32];

    draft_init(&draft, versions[_i], NULL);
    for (int i = 0; i < COUNT(sizes); i++) {
        snprintf(path, sizeof(path), "d%d", i);
        draft_xattr(&draft, path, S_IFDIR | 0755, sizes[i]);
        snprintf(path, sizeof(path), "d%d/f", i);
        draft_xattr(&draft, path, S_IFREG | 0644, sizes[i]);
        snprintf(path, sizeof(path), "d%d/p", i);
        draft_xattr(&draft, path, S_IFIFO | 0644, sizes[i]);
    }
    round_trip(&draft);
    draft_done(&draft);
}
END_TEST

/* Files whose chunks lie one after the other, and others. */
START_TEST(files_of_any_size_come_out)
{
    struct draft draft;
    uint32_t blob, other;
    char path[32];

    draft_init(&draft, versions[_i], NULL);
    blob = draft_blob(&draft, 'a');
    other = draft_blob(&draft, 'b');
    for (uint32_t i = 0; i < 40; i++) {
        uint64_t size = (uint64_t)i * CHUNK / 2 + i % 3;

        snprintf(path, sizeof(path), "f%u", i);
        draft_file(&draft, path, size, blob, 1000 * i);
        snprintf(path, sizeof(path), "g%u", i); /* every second chunk is elsewhere */
        if (size > CHUNK) {
            struct build_inode *inode =
                draft_file(&draft, path, size, other, 1000 * i + 500);

            inode->chunks[0] = draft_chunk(&draft, blob, 77 + i, CHUNK);
        }
    }
    draft_file(&draft, "large", 3000 * (uint64_t)CHUNK, blob, 100000);
    round_trip(&draft);
    draft_done(&draft);
}
END_TEST

static uint32_t field_u(const struct draft *draft, const struct opened *opened,
                        const char *path)
{
    struct opened_tree tree;
    struct rafsi_node node;
    uint64_t ino;

    (void)draft;
    ck_assert_int_eq(
        opened_tree_bytes(&tree, opened->emitted.bytes, opened->emitted.len, NULL),
        RAFS_OK);
    ck_assert_int_eq(rafsi_tree_resolve(tree.tree, path, 0, &ino, NULL), RAFS_OK);
    ck_assert_int_eq(rafsi_tree_node(tree.tree, ino, &node, NULL), RAFS_OK);
    opened_tree_close(&tree);
    return node.v6.u;
}

/* The kernel's chunk is the power of two that holds a file whose chunks lie together; and
 * only then. */
START_TEST(files_in_one_piece_are_one_extent_for_the_kernel)
{
    struct draft draft;
    struct opened opened;
    struct build_inode *inode;
    uint32_t blob;

    draft_init(&draft, 6, NULL);
    blob = draft_blob(&draft, 'a');
    draft_file(&draft, "one", CHUNK, blob, 1);
    draft_file(&draft, "five", 4 * CHUNK + 1, blob, 10);
    inode = draft_file(&draft, "gap", 2 * CHUNK, blob, 20);
    inode->chunks[1] = draft_chunk(&draft, blob, 30, CHUNK);
    inode->chunks[1] = draft_chunk(&draft, blob, 31, CHUNK);
    inode = draft_file(&draft, "same", 2 * CHUNK, blob, 40);
    inode->chunks[1] = inode->chunks[0];
    draft_seal(&draft);
    emit_open(&draft, &opened);
    ck_assert_uint_eq(field_u(&draft, &opened, "one"), 0x20);
    ck_assert_uint_eq(field_u(&draft, &opened, "five"), 0x23);
    ck_assert_uint_eq(field_u(&draft, &opened, "gap"), 0x20);
    ck_assert_uint_eq(field_u(&draft, &opened, "same"), 0x20);
    emit_close(&opened);
    draft_done(&draft);
}
END_TEST

/* A chunk that two merged images brought has one record. */
START_TEST(a_chunk_that_came_twice_has_one_record)
{
    struct draft draft;
    struct build_inode *inode;
    struct build_chunk chunk;
    uint32_t blob, number;

    draft_init(&draft, 6, NULL);
    blob = draft_blob(&draft, 'a');
    inode = draft_file(&draft, "a", CHUNK, blob, 1);
    chunk = *rafsi_chunks_at(&draft.image.chunks, inode->chunks[0]);
    ck_assert_int_eq(rafsi_chunks_add(&draft.image.chunks, &chunk, &number, NULL),
                     RAFS_OK);
    inode = draft_file(&draft, "b", CHUNK, blob, 2);
    inode->chunks[0] = number;
    round_trip(&draft);
    draft_done(&draft);
}
END_TEST

START_TEST(prefetch_table_names_inodes_in_the_order_asked_for)
{
    static const char *const paths[] = {"z/file", "a", "z"};
    struct build_node *nodes[3] = {NULL};
    struct draft draft;
    struct opened opened;
    uint64_t inos[4];
    size_t count;

    draft_init(&draft, versions[_i], NULL);
    draft_file(&draft, "z/file", 1, draft_blob(&draft, 'a'), 1);
    draft_add(&draft, "a", S_IFDIR | 0755);
    for (int i = 0; i < COUNT(paths); i++)
        nodes[i] = rafsi_layers_find(draft.layers, paths[i], strlen(paths[i]));
    draft.image.prefetch = nodes;
    draft.image.prefetch_count = 3;
    draft_seal(&draft);
    emit_open(&draft, &opened);
    ck_assert_int_eq(rafs_image_get_prefetch(opened.image, 0, inos, 4, &count, NULL),
                     RAFS_OK);
    ck_assert_uint_eq(count, 3);
    for (int i = 0; i < COUNT(paths); i++) {
        uint64_t ino;

        ck_assert_int_eq(rafs_image_resolve(opened.image, paths[i], 0, &ino, NULL),
                         RAFS_OK);
        ck_assert_uint_eq(inos[i], ino);
    }
    emit_close(&opened);
    draft_done(&draft);
}
END_TEST

START_TEST(owners_that_are_not_stored_are_not_there)
{
    struct draft draft;
    struct opened opened;
    rafs_attr attr;
    uint64_t ino;

    draft_init(&draft, versions[_i], NULL);
    draft.image.no_owners = true;
    draft_add(&draft, "f", S_IFREG | 0644)->uid = 12;
    draft_seal(&draft);
    emit_open(&draft, &opened);
    ck_assert_int_eq(rafs_image_resolve(opened.image, "f", 0, &ino, NULL), RAFS_OK);
    ck_assert_int_eq(rafs_image_get_attr(opened.image, ino, &attr, NULL), RAFS_OK);
    ck_assert_uint_eq(attr.uid, 0);
    emit_close(&opened);
    draft_done(&draft);
}
END_TEST

static void add(TCase *tcase)
{
    int all = COUNT(versions);

    tcase_add_loop_test(tcase, everything_comes_out, 0, all);
    tcase_add_loop_test(tcase, an_empty_image_is_an_image, 0, all);
    tcase_add_loop_test(tcase, directories_of_any_size_come_out, 0, all);
    tcase_add_loop_test(tcase, deep_trees_come_out, 0, all);
    tcase_add_loop_test(tcase, link_targets_up_to_the_longest_come_out, 0, all);
    tcase_add_loop_test(tcase, attributes_of_any_size_come_out, 0, all);
    tcase_add_loop_test(tcase, files_of_any_size_come_out, 0, all);
    tcase_add_test(tcase, files_in_one_piece_are_one_extent_for_the_kernel);
    tcase_add_test(tcase, a_chunk_that_came_twice_has_one_record);
    tcase_add_loop_test(tcase, prefetch_table_names_inodes_in_the_order_asked_for, 0,
                        all);
    tcase_add_loop_test(tcase, owners_that_are_not_stored_are_not_there, 0, all);
}

int main(void)
{
    Suite *suite = suite_create("emit");
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
    return failed != 0;
}
