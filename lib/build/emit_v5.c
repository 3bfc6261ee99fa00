/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/emit_v5.h"

uint64_t rafsi_v5_xattr_bytes(const struct build_inode *inode)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < inode->xattr_count; i++)
        bytes += 4 + (uint64_t)inode->xattrs[i].name_len + 1 + inode->xattrs[i].value_len;
    return bytes;
}

static int check_xattrs(struct v5_emit *v5, const struct build_node *node)
{
    for (uint32_t i = 0; i < node->inode->xattr_count; i++) {
        const struct build_xattr *xattr = &node->inode->xattrs[i];
        uint8_t head[V5_XATTR_HEAD_BYTES];
        size_t used;

        if (!rafsi_v5_xattr_put(xattr->name, xattr->name_len, xattr->value_len, head,
                                &used))
            return rafsi_emit_fail(&v5->emit, node, RAFS_E_UNSUPPORTED,
                                   "no image can hold the extended attribute %s",
                                   xattr->name);
        if (xattr->value_len > RAFS_XATTR_VALUE_MAX)
            return rafsi_emit_fail(&v5->emit, node, RAFS_E_LIMIT,
                                   "extended attribute %s of %u bytes; v5 holds %u",
                                   xattr->name, xattr->value_len, RAFS_XATTR_VALUE_MAX);
    }
    return RAFS_OK;
}

/* Check what a record has to hold; its bytes. */
static int record_bytes(struct v5_emit *v5, const struct build_node *node,
                        uint64_t *bytes)
{
    const struct build_inode *inode = node->inode;
    int rc = check_xattrs(v5, node);

    if (rc < 0)
        return rc;
    *bytes = V5_INODE_BYTES + v5_padded(node->parent ? node->name_len : 1);
    if (S_ISLNK(inode->mode)) {
        if (inode->size == 0 || inode->size > RAFS_TARGET_MAX)
            return rafsi_emit_fail(&v5->emit, node, RAFS_E_LIMIT,
                                   "link target of %llu bytes; v5 holds 1 to %u",
                                   (unsigned long long)inode->size, RAFS_TARGET_MAX);
        *bytes += v5_padded(inode->size);
    }
    if (inode->xattr_count != 0)
        *bytes += 8 + v5_padded(rafsi_v5_xattr_bytes(inode));
    if (S_ISREG(inode->mode))
        *bytes += CHUNK_RECORD_BYTES * (uint64_t)rafsi_emit_chunks(v5->emit.image, inode);
    return RAFS_OK;
}

static int place_records(struct v5_emit *v5)
{
    uint64_t at = v5->records_at;
    uint64_t i = 0;

    for (struct build_node *node = v5->emit.image->root; node;
         node = rafsi_depth_next(node)) {
        uint64_t bytes = 0;
        int rc = rafsi_emit_tick(&v5->emit, i++);

        if (rc == RAFS_OK)
            rc = record_bytes(v5, node, &bytes);
        if (rc < 0)
            return rc;
        if (bytes > V5_FILE_MAX - at)
            return rafsi_emit_fail(&v5->emit, node, RAFS_E_LIMIT,
                                   "the bootstrap grows beyond 2 GiB, which v5 cannot "
                                   "hold; build v6, or with larger chunks");
        v5->records[node->index - 1] = (uint32_t)(at >> 3);
        at += bytes;
        v5->dir_count += S_ISDIR(node->inode->mode);
    }
    v5->file_size = at;
    return RAFS_OK;
}

static int collect_dirs(struct v5_emit *v5)
{
    size_t size = v5->dir_count * sizeof(*v5->dirs);
    uint32_t count = 0;

    v5->dirs = rafsi_alloc(&v5->emit.image->env, size);
    if (!v5->dirs)
        return rafsi_fail_nomem(v5->emit.err, size);
    for (struct build_node *node = v5->emit.image->root; node;
         node = rafsi_depth_next(node)) {
        if (!S_ISDIR(node->inode->mode))
            continue;
        node->inode->scratch = count;
        v5->dirs[count++].node = node;
    }
    return RAFS_OK;
}

/* v5 says once for all blobs how they are stored. */
static int check_blob(struct v5_emit *v5, const struct blob_record *blob)
{
    const struct build_image *image = v5->emit.image;

    if (rafsi_v5_blob_excess(blob) != 0)
        return rafsi_fail(v5->emit.err, RAFS_E_UNSUPPORTED, RAFS_STAGE_NONE, blob->id,
                          "a blob of features 0x%x cannot be part of a v5 image",
                          blob->features);
    if (blob->compressor != image->compressor ||
        blob->digest_algorithm != image->digest_algorithm)
        return rafsi_fail(v5->emit.err, RAFS_E_UNSUPPORTED, RAFS_STAGE_NONE, blob->id,
                          "blob with another compressor or digest algorithm than the v5 "
                          "image that it is to be part of");
    return RAFS_OK;
}

static int place_tables(struct v5_emit *v5)
{
    const struct build_image *image = v5->emit.image;
    struct v5_super *super = &v5->super;
    uint64_t at = V5_SUPER_BYTES;

    if (image->names > V5_FILE_MAX / V5_INODE_BYTES ||
        image->prefetch_count > V5_FILE_MAX / 4)
        return rafsi_fail(v5->emit.err, RAFS_E_LIMIT, RAFS_STAGE_NONE, "bootstrap",
                          "%llu names: v5 cannot hold more than 2 GiB",
                          (unsigned long long)image->names);
    super->chunk_size = image->chunk_size;
    super->flags = rafsi_emit_flags(&v5->emit);
    super->inodes = image->inodes;
    super->inode_table = at;
    super->inode_table_entries = (uint32_t)image->names;
    at += v5_padded(4 * (uint64_t)super->inode_table_entries);
    super->prefetch_table = at;
    super->prefetch_entries = (uint32_t)image->prefetch_count;
    at += v5_padded(4 * (uint64_t)super->prefetch_entries);
    super->blob_table = at;
    for (uint32_t i = 0; i < v5->emit.blobs; i++) {
        const struct blob_record *blob = &image->blobs.at[v5->emit.blob[i]].record;
        int rc = check_blob(v5, blob);

        if (rc < 0)
            return rc;
        super->blob_table_bytes += 8 + (uint32_t)strlen(blob->id) + (i != 0);
    }
    super->blob_table_bytes = (uint32_t)v5_padded(super->blob_table_bytes);
    at += super->blob_table_bytes;
    super->extended_table = at;
    super->extended_entries = v5->emit.blobs;
    at += V5_EXTENDED_BYTES * (uint64_t)v5->emit.blobs;
    v5->records_at = at;
    return RAFS_OK;
}

/* See v5_number(). */
static void number_by_last(const struct build_image *image)
{
    for (struct build_node *node = image->root; node; node = rafsi_batched_next(node))
        if (!S_ISREG(node->inode->mode) && !S_ISDIR(node->inode->mode))
            node->inode->scratch = node->index;
}

static int begin(struct v5_emit *v5)
{
    size_t size;
    int rc = place_tables(v5);

    if (rc < 0)
        return rc;
    size = v5->super.inode_table_entries * sizeof(*v5->records);
    v5->records = rafsi_alloc_zero(&v5->emit.image->env, size);
    if (!v5->records)
        return rafsi_fail_nomem(v5->emit.err, size);
    number_by_last(v5->emit.image);
    rc = place_records(v5);
    if (rc == RAFS_OK)
        rc = collect_dirs(v5);
    return rc;
}

static int write_u32(struct v5_emit *v5, uint32_t value)
{
    uint8_t bytes[4];
    struct pen pen = pen_of(bytes, sizeof(bytes));

    put_u32(&pen, value);
    return rafsi_emit_put(&v5->emit, bytes, sizeof(bytes));
}

static int write_numbers(struct v5_emit *v5)
{
    const struct build_image *image = v5->emit.image;
    uint8_t super[V5_SUPER_USED];
    int rc;

    rafsi_v5_super_put(&v5->super, super);
    rc = rafsi_emit_put(&v5->emit, super, sizeof(super));
    if (rc == RAFS_OK)
        rc = rafsi_emit_pad(&v5->emit, v5->super.inode_table);
    for (uint32_t i = 0; rc == RAFS_OK && i < v5->super.inode_table_entries; i++)
        rc = write_u32(v5, v5->records[i]);
    if (rc == RAFS_OK)
        rc = rafsi_emit_pad(&v5->emit, v5->super.prefetch_table);
    for (uint32_t i = 0; rc == RAFS_OK && i < v5->super.prefetch_entries; i++)
        rc = write_u32(v5, v5_number(image->prefetch[i]));
    return rc == RAFS_OK ? rafsi_emit_pad(&v5->emit, v5->super.blob_table) : rc;
}

static int write_blobs(struct v5_emit *v5)
{
    static const uint8_t nul[1];
    const struct build_image *image = v5->emit.image;
    int rc = RAFS_OK;

    for (uint32_t i = 0; rc == RAFS_OK && i < v5->emit.blobs; i++) {
        uint8_t entry[V5_BLOB_HEAD_BYTES];
        size_t used;

        rafsi_v5_blob_put(&image->blobs.at[v5->emit.blob[i]].record, entry, &used);
        if (i != 0)
            rc = rafsi_emit_put(&v5->emit, nul, sizeof(nul));
        if (rc == RAFS_OK)
            rc = rafsi_emit_put(&v5->emit, entry, used);
    }
    if (rc == RAFS_OK)
        rc = rafsi_emit_pad(&v5->emit, v5->super.extended_table);
    for (uint32_t i = 0; rc == RAFS_OK && i < v5->emit.blobs; i++) {
        uint8_t entry[V5_EXTENDED_BYTES];

        rafsi_v5_extended_blob_put(&image->blobs.at[v5->emit.blob[i]].record, entry);
        rc = rafsi_emit_put(&v5->emit, entry, sizeof(entry));
    }
    return rc;
}

int rafsi_emit_v5(struct build_image *image, uint32_t *used, rafsi_write_fn write,
                  void *user, const rafs_call *call, rafs_error *err)
{
    struct v5_emit v5 = {
        .emit = {.image = image, .write = write, .user = user, .call = call, .err = err}};
    int rc = rafsi_emit_begin(&v5.emit, RAFS_BLOBS_MAX);

    if (rc == RAFS_OK)
        rc = begin(&v5);
    if (rc == RAFS_OK)
        rc = rafsi_v5_digest_dirs(&v5);
    if (rc == RAFS_OK)
        rc = write_numbers(&v5);
    if (rc == RAFS_OK)
        rc = write_blobs(&v5);
    if (rc == RAFS_OK)
        rc = rafsi_v5_write_records(&v5);
    if (rc == RAFS_OK)
        rc = rafsi_emit_pad(&v5.emit, v5.file_size);
    if (rc == RAFS_OK)
        rc = rafsi_emit_finish(&v5.emit, used);
    rafsi_free(&image->env, v5.records);
    rafsi_free(&image->env, v5.dirs);
    rafsi_emit_free(&v5.emit);
    return rc;
}
