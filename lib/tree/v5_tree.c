/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "tree/v5_tree.h"

static int read_super(struct v5_tree *v5, rafs_error *err)
{
    const struct rafsi_source *source = v5->tree.source;
    uint64_t size = rafsi_source_size(source);
    uint8_t scratch[V5_SUPER_USED];
    const uint8_t *at;
    struct span entry;
    struct cursor c;
    int rc = rafsi_source_view(source, 0, sizeof(scratch), scratch, &at, err);

    if (rc == RAFS_OK)
        rc = rafsi_v5_super((struct span){at, sizeof(scratch), 0}, size, &v5->super, err);
    if (rc == RAFS_OK)
        rc = rafsi_source_view(source, v5->super.inode_table, 4, scratch, &at, err);
    if (rc < 0)
        return rc;
    /* Every builder writes the root's record first, right after the tables. */
    entry = (struct span){at, 4, v5->super.inode_table};
    c = cursor_of(entry);
    return rafsi_v5_super_extended(&v5->super, size, (uint64_t)take_u32(&c) << 3, err);
}

/* The entry of the blob table at *pos; *pos moves on. What is left after the last entry
 * is padding: 8 bytes are no entry. */
static int next_blob(const struct v5_tree *v5, uint32_t *pos, struct blob_record *blob,
                     bool *end, rafs_error *err)
{
    uint8_t scratch[V5_BLOB_HEAD_BYTES];
    uint64_t at = v5->super.blob_table + *pos;
    uint32_t left = v5->super.blob_table_bytes - *pos;
    size_t len = (size_t)rafsi_min(left, sizeof(scratch));
    const uint8_t *bytes;
    size_t used = 0;
    int rc;

    *end = left <= 8;
    if (left == 0) /* an empty table may lie anywhere */
        return RAFS_OK;
    rc = rafsi_source_view(v5->tree.source, at, len, scratch, &bytes, err);
    if (rc < 0)
        return rc;
    if (*end)
        return rafsi_all_zero(bytes, len)
                   ? RAFS_OK
                   : rafsi_corrupt(err, at, "blob table ends within an entry");
    rc = rafsi_v5_blob((struct span){bytes, len, at}, blob, &used, err);
    *pos += (uint32_t)used;
    return rc;
}

static int extend_blob(const struct v5_tree *v5, uint32_t index, struct blob_record *blob,
                       rafs_error *err)
{
    uint32_t bytes = v5->super.extended_entry_bytes;
    uint64_t at = v5->super.extended_table + (uint64_t)index * bytes;
    uint8_t scratch[V5_EXTENDED_BYTES];
    const uint8_t *entry;
    int rc;

    blob->compressor = v5->super.compressor;
    blob->digest_algorithm = v5->super.digest_algorithm;
    blob->chunk_size = v5->super.chunk_size;
    if (bytes == 0)
        return RAFS_OK;
    rc = rafsi_source_view(v5->tree.source, at, bytes, scratch, &entry, err);
    if (rc == RAFS_OK)
        rc = rafsi_v5_extended_blob((struct span){entry, bytes, at}, blob, err);
    return rc;
}

static int count_blobs(const struct v5_tree *v5, uint32_t *count, rafs_error *err)
{
    struct blob_record blob;
    uint32_t pos = 0;
    bool end = false;
    int rc;

    *count = 0;
    for (;;) {
        rc = next_blob(v5, &pos, &blob, &end, err);
        if (rc < 0 || end)
            break;
        if (++*count > RAFS_BLOBS_MAX)
            return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL,
                                 v5->super.blob_table + pos,
                                 "more than %d blobs in the table", RAFS_BLOBS_MAX);
    }
    if (rc == RAFS_OK && v5->super.extended_entries != 0 &&
        *count > v5->super.extended_entries)
        rc = rafsi_corrupt(err, 68, "extended blob table of %u entries for %u blobs",
                           v5->super.extended_entries, *count);
    return rc;
}

static int read_blobs(struct v5_tree *v5, rafs_error *err)
{
    uint32_t count;
    uint32_t pos = 0;
    bool end;
    int rc = count_blobs(v5, &count, err);

    if (rc < 0 || count == 0)
        return rc;
    v5->tree.blobs = rafsi_alloc_zero(&v5->tree.env, count * sizeof(*v5->tree.blobs));
    if (!v5->tree.blobs)
        return rafsi_fail_nomem(err, count * sizeof(*v5->tree.blobs));
    for (uint32_t i = 0; rc == RAFS_OK && i < count; i++) {
        rc = next_blob(v5, &pos, &v5->tree.blobs[i], &end, err);
        if (rc == RAFS_OK)
            rc = extend_blob(v5, i, &v5->tree.blobs[i], err);
    }
    v5->tree.super.blob_count = count;
    return rc;
}

static int check_root(const struct v5_tree *v5, rafs_error *err)
{
    struct rafsi_node root;
    int rc = rafsi_v5_node(&v5->tree, V5_ROOT, &root, err);

    if (rc == RAFS_E_BADARG)
        return rafsi_corrupt(err, v5->super.inode_table, "inode 1 is not the root");
    if (rc == RAFS_OK && !S_ISDIR(root.attr.mode))
        return rafsi_corrupt(err, root.at + 60, "the root is no directory");
    return rc;
}

static int v5_prefetch(const struct rafsi_tree *tree, uint32_t i, uint64_t *ino,
                       rafs_error *err)
{
    const struct v5_tree *v5 = v5_tree_of(tree);
    uint64_t at = v5->super.prefetch_table + (uint64_t)i * 4;
    uint8_t scratch[4];
    const uint8_t *bytes;
    struct cursor c;
    int rc;

    if (i >= v5->super.prefetch_entries)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "entry %u of a prefetch table of %u", i,
                          v5->super.prefetch_entries);
    rc = rafsi_source_view(tree->source, at, sizeof(scratch), scratch, &bytes, err);
    if (rc < 0)
        return rc;
    c = cursor_of((struct span){bytes, sizeof(scratch), at});
    *ino = take_u32(&c);
    return RAFS_OK;
}

static void v5_close(struct rafsi_tree *tree)
{
    struct rafsi_env env = tree->env;

    rafsi_free(&env, tree->blobs);
    rafsi_free(&env, tree);
}

static const struct rafsi_tree_ops v5_ops = {
    .node = rafsi_v5_node,
    .lookup = rafsi_v5_lookup,
    .parent = rafsi_v5_parent,
    .entry = rafsi_v5_entry,
    .target = rafsi_v5_target,
    .xattr = rafsi_v5_xattr_at,
    .chunk = rafsi_v5_chunk,
    .where = rafsi_v5_where,
    .prefetch = v5_prefetch,
    .check = rafsi_v5_check,
    .close = v5_close,
};

int rafsi_v5_open(const struct rafsi_env *env, struct rafsi_source *source,
                  const rafs_limits *limits, struct rafsi_tree **out, rafs_error *err)
{
    struct v5_tree *v5 = rafsi_alloc_zero(env, sizeof(*v5));
    int rc;

    if (!v5)
        return rafsi_fail_nomem(err, sizeof(*v5));
    v5->tree.env = *env;
    v5->tree.ops = &v5_ops;
    v5->tree.source = source;
    v5->tree.limits = *limits;
    rc = read_super(v5, err);
    if (rc == RAFS_OK)
        rc = read_blobs(v5, err);
    if (rc == RAFS_OK)
        rc = check_root(v5, err);
    if (rc < 0)
        goto out;
    v5->tree.entries_max = v5->super.inode_table_entries;
    v5->tree.super.version = 5;
    v5->tree.super.flags = v5->super.flags;
    v5->tree.super.inodes = v5->super.inodes;
    v5->tree.super.root = V5_ROOT;
    v5->tree.super.chunk_size = v5->super.chunk_size;
    v5->tree.super.block_size = 4096;
    v5->tree.super.compressor = v5->super.compressor;
    v5->tree.super.digest_algorithm = v5->super.digest_algorithm;
    v5->tree.super.prefetch_count = v5->super.prefetch_entries;
    *out = &v5->tree;
    v5 = NULL;
out:
    if (v5)
        v5_close(&v5->tree);
    return rc;
}
