/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoders: whatever the reference builder wrote is decoded and encoded again, and comes
 * out as the bytes that it was.
 */
#include <sys/stat.h>

#include "lie.h"
#include "tree/v5_tree.h"
#include "tree/v6_tree.h"
#include "tree/walk.h"
#include "tree_images.h"

enum { IMAGES_MAX = 64 };

/* An image that is looked at. */
struct subject {
    const char *name;
    struct tree_bytes bytes;
    struct opened_tree opened;
    size_t inodes, xattrs, names, chunks; /* that were compared */
};

/* False: the image is of a kind that is not read, tarfs. */
static bool subject_open(struct subject *subject, const struct tree_image *image)
{
    int rc;

    memset(subject, 0, sizeof(*subject));
    subject->name = image->name;
    subject->bytes = tree_bytes_load(image->boot);
    ck_assert_ptr_nonnull(subject->bytes.at);
    rc = opened_tree_bytes(&subject->opened, subject->bytes.at, subject->bytes.len, NULL);
    if (rc == RAFS_E_UNSUPPORTED)
        free(subject->bytes.at);
    else
        ck_assert_int_eq(rc, RAFS_OK);
    return rc == RAFS_OK;
}

static void subject_close(struct subject *subject)
{
    opened_tree_close(&subject->opened);
    free(subject->bytes.at);
}

/* check's own assertions take a system call each. */
static void need(bool holds, const char *what)
{
    if (!holds)
        ck_abort_msg("%s", what);
}

static struct span span_at(const struct subject *subject, uint64_t at, size_t len)
{
    need(rafsi_within(at, len, subject->bytes.len), "cannot be");
    return (struct span){subject->bytes.at + at, len, at};
}

static void same(const struct subject *subject, const char *what, uint64_t at,
                 const uint8_t *bytes, size_t len)
{
    const uint8_t *want = span_at(subject, at, len).at;

    for (size_t i = 0; i < len; i++)
        if (bytes[i] != want[i])
            ck_abort_msg("%s: %s at %llu: byte %zu is 0x%02x, not 0x%02x", subject->name,
                         what, (unsigned long long)at, i, bytes[i], want[i]);
}

static void compare_record(struct subject *subject, uint64_t at)
{
    uint32_t chunk_size = subject->opened.tree->super.chunk_size;
    uint8_t bytes[CHUNK_RECORD_BYTES];
    struct chunk_record record;

    need(rafsi_chunk_record(span_at(subject, at, sizeof(bytes)), chunk_size, &record,
                            NULL) == RAFS_OK,
         "does not decode");
    rafsi_chunk_record_put(&record, bytes);
    same(subject, "chunk record", at, bytes, sizeof(bytes));
    subject->chunks++;
}

static void compare_v6_head(struct subject *subject)
{
    const struct v6_tree *v6 = v6_tree_of(subject->opened.tree);
    uint8_t bytes[V6_EXT_SUPER_BYTES];

    rafsi_v6_super_put(&v6->super, bytes);
    same(subject, "super block", V6_SUPER_AT, bytes, V6_SUPER_BYTES);
    rafsi_v6_ext_super_put(&v6->ext, v6->super.devices, bytes);
    same(subject, "extended super block", V6_EXT_SUPER_AT, bytes, V6_EXT_SUPER_BYTES);
    for (uint32_t i = 0; i < v6->super.devices; i++) {
        uint64_t at = V6_DEVICES_AT + i * V6_DEVICE_BYTES;
        struct v6_device device;

        need(rafsi_v6_device(span_at(subject, at, V6_DEVICE_BYTES), &device, NULL) ==
                 RAFS_OK,
             "does not decode");
        rafsi_v6_device_put(&device, bytes);
        same(subject, "device", at, bytes, V6_DEVICE_BYTES);
        rafsi_v6_blob_put(&subject->opened.tree->blobs[i], i, bytes);
        same(subject, "blob", v6->ext.blobs_at + i * V6_BLOB_BYTES, bytes, V6_BLOB_BYTES);
    }
    for (uint64_t i = 0; i < v6->ext.chunk_count; i++)
        compare_record(subject, v6->ext.chunks_at + i * CHUNK_RECORD_BYTES);
}

static void compare_v6_xattrs(struct subject *subject, const struct rafsi_node *node)
{
    uint64_t at = node->at + node->v6.bytes;
    uint64_t end = at + node->v6.xattr_bytes;
    uint8_t bytes[V6_XATTR_HEAD_MAX];

    if (node->v6.xattr_bytes == 0)
        return;
    rafsi_v6_xattr_header_put(bytes);
    same(subject, "attributes", at, bytes, V6_XATTR_HEADER_BYTES);
    for (at += V6_XATTR_HEADER_BYTES; at < end; subject->xattrs++) {
        struct v6_xattr xattr;
        size_t len = (size_t)rafsi_min(end - at, V6_XATTR_HEAD_MAX), used;

        need(rafsi_v6_xattr(span_at(subject, at, len), end - at, &xattr, NULL) == RAFS_OK,
             "does not decode");
        need(rafsi_v6_xattr_put(xattr.name, xattr.name_len, (uint16_t)xattr.value_len,
                                bytes, &used),
             "cannot be");
        need(used == xattr.value_at, "another length");
        same(subject, "attribute", at, bytes, used);
        at += xattr.bytes;
    }
}

static void compare_v6_names(struct subject *subject, const struct rafsi_node *dir)
{
    for (uint64_t i = 0; i < rafsi_v6_blocks(dir); i++) {
        struct span block;
        uint32_t count;

        rafsi_v6_block(dir, i, &block.origin, &block.len);
        block = span_at(subject, block.origin, block.len);
        need(rafsi_v6_dirent_count(block, &count, NULL) == RAFS_OK, "does not decode");
        for (uint32_t k = 0; k < count; k++, subject->names++) {
            uint8_t bytes[V6_DIRENT_BYTES];
            struct v6_dirent dirent;

            need(rafsi_v6_dirent(block, count, k, &dirent, NULL) == RAFS_OK,
                 "does not decode");
            rafsi_v6_dirent_put(dirent.nid, (uint32_t)(dirent.name - block.at),
                                dirent.type, bytes);
            same(subject, "name", block.origin + k * sizeof(bytes), bytes, sizeof(bytes));
        }
    }
}

static void compare_v6_chunks(struct subject *subject, const struct rafsi_node *file)
{
    uint32_t chunk_size = subject->opened.tree->super.chunk_size;
    uint64_t at = rafsi_v6_chunk_array(file);

    need(file->v6.u == rafsi_v6_chunk_format(file->v6.size, chunk_size, false) ||
             file->v6.u == rafsi_v6_chunk_format(file->v6.size, chunk_size, true),
         "cannot be");
    for (uint64_t i = 0; i * chunk_size < file->v6.size; i++) {
        uint8_t bytes[V6_CHUNK_ADDR_BYTES];
        struct v6_chunk_addr addr;

        need(rafsi_v6_chunk_addr(span_at(subject, at + i * sizeof(bytes), sizeof(bytes)),
                                 subject->opened.tree->super.blob_count, &addr,
                                 NULL) == RAFS_OK,
             "does not decode");
        rafsi_v6_chunk_addr_put(&addr, bytes);
        same(subject, "chunk", at + i * sizeof(bytes), bytes, sizeof(bytes));
    }
}

static void compare_v6(struct subject *subject, const struct rafsi_node *node)
{
    uint8_t bytes[V6_INODE_EXTENDED_BYTES];

    rafsi_v6_inode_put(&node->v6, bytes);
    same(subject, "inode", node->at, bytes, sizeof(bytes));
    compare_v6_xattrs(subject, node);
    if (S_ISDIR(node->attr.mode))
        compare_v6_names(subject, node);
    if (S_ISREG(node->attr.mode))
        compare_v6_chunks(subject, node);
}

static void compare_v5_head(struct subject *subject)
{
    const struct v5_tree *v5 = v5_tree_of(subject->opened.tree);
    const struct v5_super *super = &v5->super;
    uint8_t bytes[V5_BLOB_HEAD_BYTES], head[V5_SUPER_USED];
    uint64_t at = super->blob_table;

    rafsi_v5_super_put(super, head);
    same(subject, "super block", 0, head, sizeof(head));
    for (uint32_t i = 0; i < v5->tree.super.blob_count; i++) {
        size_t used;

        rafsi_v5_blob_put(&v5->tree.blobs[i], bytes, &used);
        same(subject, "blob", at, bytes, used);
        at += used + 1;
        if (super->extended_entry_bytes != V5_EXTENDED_BYTES)
            continue;
        rafsi_v5_extended_blob_put(&v5->tree.blobs[i], bytes);
        same(subject, "extended blob", super->extended_table + i * V5_EXTENDED_BYTES,
             bytes, V5_EXTENDED_BYTES);
    }
}

static void compare_v5(struct subject *subject, const struct rafsi_node *node)
{
    const struct v5_inode *inode = &node->v5;
    uint64_t at = inode->xattr_at;
    uint64_t end = at + inode->xattr_bytes;
    uint8_t bytes[V5_XATTR_HEAD_BYTES];

    rafsi_v5_inode_put(inode, bytes);
    same(subject, "inode", node->at, bytes, V5_INODE_BYTES);
    for (; at < end; subject->xattrs++) {
        size_t len = (size_t)rafsi_min(end - at, V5_XATTR_HEAD_BYTES), used;
        struct v5_xattr pair;

        need(rafsi_v5_xattr(span_at(subject, at, len), end - at, &pair, NULL) == RAFS_OK,
             "does not decode");
        need(rafsi_v5_xattr_put((const char *)subject->bytes.at + at + 4, pair.name_len,
                                pair.value_len, bytes, &used),
             "cannot be");
        need(used == pair.value_pos, "another length");
        same(subject, "attribute", at, bytes, used);
        at += pair.pair_len;
    }
    if (S_ISREG(inode->mode))
        for (uint32_t i = 0; i < inode->child_count; i++)
            compare_record(subject, inode->chunks_at + i * CHUNK_RECORD_BYTES);
}

static void compare_image(struct subject *subject)
{
    bool v5 = subject->opened.tree->super.version == 5;
    const rafs_walk_entry *entry;
    struct rafsi_walk *walk;

    if (v5)
        compare_v5_head(subject);
    else
        compare_v6_head(subject);
    need(rafsi_walk_new(subject->opened.tree, "/", &walk, NULL) == RAFS_OK,
         "does not decode");
    for (;;) {
        need(rafsi_walk_step(walk, &entry, NULL) == RAFS_OK, "does not decode");
        if (!entry)
            break;
        if (v5)
            compare_v5(subject, rafsi_walk_node(walk));
        else
            compare_v6(subject, rafsi_walk_node(walk));
        subject->inodes++;
    }
    rafsi_walk_free(walk);
}

static void compare_all(const char *prefix)
{
    static struct tree_image images[IMAGES_MAX];
    int count = tree_images_find(prefix, images, IMAGES_MAX);
    size_t xattrs = 0, chunks = 0;

    ck_assert_int_gt(count, 0);
    for (int i = 0; i < count; i++) {
        struct subject subject;

        if (!subject_open(&subject, &images[i]))
            continue;
        compare_image(&subject);
        xattrs += subject.xattrs;
        chunks += subject.chunks;
        subject_close(&subject);
    }
    ck_assert_uint_gt(xattrs, 0);
    ck_assert_uint_gt(chunks, 0);
}

START_TEST(v6_comes_out_as_the_reference_wrote_it)
{
    compare_all("v6");
}
END_TEST

START_TEST(v5_comes_out_as_the_reference_wrote_it)
{
    compare_all("v5");
}
END_TEST

static const struct {
    const char *name;
    bool known;
} names[] = {
    {"user.a", true},
    {"trusted.overlay.opaque", true},
    {"security.capability", true},
    {"system.posix_acl_access", true},
    {"system.posix_acl_default", true},
    {"user.", false},
    {"user", false},
    {"", false},
    {"system.nfs4_acl", false},
    {"system.posix_acl_access2", false},
    {"system.posix_acl", false},
    {"btrfs.compression", false},
};

START_TEST(only_names_that_decode_are_encoded)
{
    const char *name = names[_i].name;
    uint8_t v5[V5_XATTR_HEAD_BYTES], v6[V6_XATTR_HEAD_MAX];
    size_t used;

    ck_assert_int_eq(rafsi_v5_xattr_put(name, strlen(name), 0, v5, &used),
                     names[_i].known);
    ck_assert_int_eq(rafsi_v6_xattr_put(name, strlen(name), 0, v6, &used),
                     names[_i].known);
}
END_TEST

START_TEST(names_up_to_the_longest_are_encoded)
{
    char name[RAFS_XATTR_NAME_MAX + 2];
    uint8_t v5[V5_XATTR_HEAD_BYTES], v6[V6_XATTR_HEAD_MAX];
    size_t used;

    memset(name, 'x', sizeof(name));
    memcpy(name, "user.", 5);
    ck_assert(rafsi_v5_xattr_put(name, RAFS_XATTR_NAME_MAX, 0, v5, &used));
    ck_assert_uint_eq(used, sizeof(v5));
    ck_assert(rafsi_v6_xattr_put(name, RAFS_XATTR_NAME_MAX, 0, v6, &used));
    ck_assert_uint_eq(used, V6_XATTR_ENTRY_BYTES + RAFS_XATTR_NAME_MAX - 5);
    ck_assert(!rafsi_v5_xattr_put(name, RAFS_XATTR_NAME_MAX + 1, 0, v5, &used));
    ck_assert(!rafsi_v6_xattr_put(name, RAFS_XATTR_NAME_MAX + 1, 0, v6, &used));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, v6_comes_out_as_the_reference_wrote_it);
    tcase_add_test(tcase, v5_comes_out_as_the_reference_wrote_it);
    tcase_add_loop_test(tcase, only_names_that_decode_are_encoded, 0, COUNT(names));
    tcase_add_test(tcase, names_up_to_the_longest_are_encoded);
}

int main(void)
{
    return run_suite("encode", add);
}
