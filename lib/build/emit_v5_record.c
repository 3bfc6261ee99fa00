/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/emit_v5.h"

#define BLOCK_BYTES 512

/* What a directory says it has in bytes: some for each name, as the reference counts
 * them. Source: bootstrap-v5.md, 9. */
static uint64_t dir_size(const struct build_node *dir)
{
    uint64_t size = 0;

    for (const struct build_node *child = dir->children; child; child = child->next)
        size += child->name_len + 8u;
    return size == 0 ? 4096 : (size + 4095) & ~(uint64_t)4095;
}

static void fill_type(const struct v5_emit *v5, const struct build_node *node,
                      struct v5_inode *out)
{
    const struct build_inode *inode = node->inode;

    switch (inode->mode & S_IFMT) {
    case S_IFDIR:
        out->size = dir_size(node);
        out->child_index = node->first;
        out->child_count = node->child_count;
        break;
    case S_IFREG:
        out->size = inode->size;
        out->child_count = rafsi_emit_chunks(v5->emit.image, inode);
        break;
    case S_IFLNK:
        out->size = inode->size;
        out->target_size = (uint16_t)inode->size;
        out->flags |= V5_INODE_SYMLINK;
        break;
    case S_IFCHR:
    case S_IFBLK:
        out->rdev = inode->rdev;
        break;
    default:
        break;
    }
}

static int write_inode(struct v5_emit *v5, const struct build_node *node)
{
    const struct build_inode *inode = node->inode;
    bool owners = !v5->emit.image->no_owners;
    struct v5_inode out = {
        .parent = node->parent ? v5_number(node->parent) : 0,
        .ino = v5_number(node),
        .uid = owners ? inode->uid : 0,
        .gid = owners ? inode->gid : 0,
        .mode = inode->mode,
        .nlink = inode->nlink,
        .name_size = node->parent ? node->name_len : 1,
        .mtime = (uint64_t)inode->mtime_sec,
        .mtime_nsec = inode->mtime_nsec,
        .flags = inode->xattr_count != 0 ? V5_INODE_XATTR : 0,
    };
    uint8_t bytes[V5_INODE_BYTES];
    int rc = rafsi_v5_digest(v5, node, out.digest);

    if (rc < 0)
        return rc;
    fill_type(v5, node, &out);
    out.blocks = (out.size + v5_padded(rafsi_v5_xattr_bytes(inode)) + BLOCK_BYTES - 1) /
                 BLOCK_BYTES;
    rafsi_v5_inode_put(&out, bytes);
    return rafsi_emit_put(&v5->emit, bytes, sizeof(bytes));
}

static int write_text(struct v5_emit *v5, const char *text, size_t len)
{
    int rc = rafsi_emit_put(&v5->emit, text, len);

    return rc == RAFS_OK ? rafsi_emit_pad(&v5->emit, v5_padded(v5->emit.at)) : rc;
}

static int write_xattrs(struct v5_emit *v5, const struct build_inode *inode)
{
    uint8_t total[8];
    struct pen pen = pen_of(total, sizeof(total));
    int rc;

    if (inode->xattr_count == 0)
        return RAFS_OK;
    put_u64(&pen, rafsi_v5_xattr_bytes(inode));
    rc = rafsi_emit_put(&v5->emit, total, sizeof(total));
    for (uint32_t i = 0; rc == RAFS_OK && i < inode->xattr_count; i++) {
        const struct build_xattr *xattr = &inode->xattrs[i];
        uint8_t head[V5_XATTR_HEAD_BYTES];
        size_t used = 0;

        if (!rafsi_v5_xattr_put(xattr->name, xattr->name_len, xattr->value_len, head,
                                &used))
            return rafsi_fail(v5->emit.err, RAFS_E_BUG, RAFS_STAGE_NONE, "bootstrap",
                              "an extended attribute changed its name");
        rc = rafsi_emit_put(&v5->emit, head, used);
        if (rc == RAFS_OK && xattr->value_len != 0)
            rc = rafsi_emit_put(&v5->emit, xattr->value, xattr->value_len);
    }
    return rc == RAFS_OK ? rafsi_emit_pad(&v5->emit, v5_padded(v5->emit.at)) : rc;
}

static int write_chunks(struct v5_emit *v5, const struct build_inode *inode)
{
    const struct build_image *image = v5->emit.image;
    uint32_t count = S_ISREG(inode->mode) ? rafsi_emit_chunks(image, inode) : 0;
    int rc = RAFS_OK;

    for (uint32_t i = 0; rc == RAFS_OK && i < count; i++) {
        const struct build_chunk *chunk =
            rafsi_chunks_at(&image->chunks, inode->chunks[i]);
        struct chunk_record record;
        uint8_t bytes[CHUNK_RECORD_BYTES];

        rafsi_emit_record(&v5->emit, chunk, (uint64_t)i * image->chunk_size, &record);
        rafsi_chunk_record_put(&record, bytes);
        rc = rafsi_emit_put(&v5->emit, bytes, sizeof(bytes));
    }
    return rc;
}

static int write_record(struct v5_emit *v5, const struct build_node *node)
{
    const struct build_inode *inode = node->inode;
    int rc = rafsi_emit_pad(&v5->emit, (uint64_t)v5->records[node->index - 1] << 3);

    if (rc == RAFS_OK)
        rc = write_inode(v5, node);
    if (rc == RAFS_OK)
        rc = node->parent ? write_text(v5, node->name, node->name_len)
                          : write_text(v5, "/", 1);
    if (rc == RAFS_OK && S_ISLNK(inode->mode))
        rc = write_text(v5, inode->target, (size_t)inode->size);
    if (rc == RAFS_OK)
        rc = write_xattrs(v5, inode);
    if (rc == RAFS_OK)
        rc = write_chunks(v5, inode);
    return rc;
}

int rafsi_v5_write_records(struct v5_emit *v5)
{
    uint64_t i = 0;
    int rc = RAFS_OK;

    for (const struct build_node *node = v5->emit.image->root; node && rc == RAFS_OK;
         node = rafsi_depth_next(node)) {
        rc = rafsi_emit_tick(&v5->emit, i++);
        if (rc == RAFS_OK)
            rc = write_record(v5, node);
    }
    return rc;
}
