/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "build/emit_v6.h"

/* Chunks that lie one after the other in one blob: the kernel maps them as one. */
static bool contiguous(const struct build_image *image, const struct build_inode *inode)
{
    uint32_t count = rafsi_emit_chunks(image, inode);
    const struct build_chunk *before;

    if (count == 0 || inode->chunks[0] == NO_CHUNK)
        return false;
    before = rafsi_chunks_at(&image->chunks, inode->chunks[0]);
    for (uint32_t i = 1; i < count; i++) {
        const struct build_chunk *chunk;

        if (inode->chunks[i] == NO_CHUNK)
            return false;
        chunk = rafsi_chunks_at(&image->chunks, inode->chunks[i]);
        if ((chunk->blob != before->blob && !image->whole) ||
            chunk->uncompressed_offset != before->uncompressed_offset + image->chunk_size)
            return false;
        before = chunk;
    }
    return true;
}

static uint32_t field_u(const struct v6_emit *v6, const struct build_inode *inode,
                        const struct v6_place *place)
{
    switch (inode->mode & S_IFMT) {
    case S_IFREG:
        return rafsi_v6_chunk_format(inode->size, v6->emit.image->chunk_size,
                                     contiguous(v6->emit.image, inode));
    case S_IFDIR:
    case S_IFLNK:
        if (place->blocks == 0)
            return 0;
        return (uint32_t)(v6->blocks_at / V6_BLOCK_BYTES + place->block);
    case S_IFCHR:
    case S_IFBLK:
        return inode->rdev;
    default:
        return 0;
    }
}

static int write_head(struct v6_emit *v6, const struct build_inode *inode,
                      const struct v6_place *place)
{
    bool owners = !v6->emit.image->no_owners;
    struct v6_inode out = {
        .mtime_sec = inode->mtime_sec,
        .mtime_nsec = inode->mtime_nsec,
        .mode = inode->mode,
        .nlink = inode->nlink,
        .uid = owners ? inode->uid : 0,
        .gid = owners ? inode->gid : 0,
        .number = inode->scratch,
        .xattr_bytes = place->xattr_bytes,
        .layout = place->layout,
        .u = field_u(v6, inode, place),
    };
    uint8_t bytes[V6_INODE_EXTENDED_BYTES];

    if (S_ISREG(inode->mode) || S_ISDIR(inode->mode) || S_ISLNK(inode->mode))
        out.size = inode->size;
    rafsi_v6_inode_put(&out, bytes);
    return rafsi_emit_put(&v6->emit, bytes, sizeof(bytes));
}

static int write_xattr(struct v6_emit *v6, const struct build_xattr *xattr)
{
    uint8_t head[V6_XATTR_HEAD_MAX];
    size_t used = 0;
    int rc;

    if (!rafsi_v6_xattr_put(xattr->name, xattr->name_len, (uint16_t)xattr->value_len,
                            head, &used))
        return rafsi_fail(v6->emit.err, RAFS_E_BUG, RAFS_STAGE_NONE, "bootstrap",
                          "an extended attribute changed its name");
    rc = rafsi_emit_put(&v6->emit, head, used);
    if (rc == RAFS_OK && xattr->value_len != 0)
        rc = rafsi_emit_put(&v6->emit, xattr->value, xattr->value_len);
    if (rc == RAFS_OK)
        rc = rafsi_emit_pad(&v6->emit, (v6->emit.at + 3) & ~3ull);
    return rc;
}

static int write_xattrs(struct v6_emit *v6, const struct build_inode *inode)
{
    uint8_t header[V6_XATTR_HEADER_BYTES];
    int rc;

    if (inode->xattr_count == 0)
        return RAFS_OK;
    rafsi_v6_xattr_header_put(header);
    rc = rafsi_emit_put(&v6->emit, header, sizeof(header));
    for (uint32_t i = 0; rc == RAFS_OK && i < inode->xattr_count; i++)
        rc = write_xattr(v6, &inode->xattrs[i]);
    return rc;
}

static struct v6_chunk_addr address_of(const struct v6_emit *v6, uint32_t number)
{
    const struct build_chunk *chunk;

    if (number == NO_CHUNK)
        return (struct v6_chunk_addr){.hole = true};
    chunk = rafsi_chunks_at(&v6->emit.image->chunks, number);
    if (v6->emit.image->whole)
        return (struct v6_chunk_addr){.own = true,
                                      .uncompressed_offset =
                                          v6->file_size + chunk->uncompressed_offset};
    return (struct v6_chunk_addr){.blob = v6->emit.number[chunk->blob],
                                  .chunk = chunk->index,
                                  .uncompressed_offset = chunk->uncompressed_offset};
}

static int write_addresses(struct v6_emit *v6, const struct build_inode *inode)
{
    const struct build_image *image = v6->emit.image;
    uint32_t count = rafsi_emit_chunks(image, inode);
    int rc = count == 0 ? RAFS_OK : rafsi_emit_pad(&v6->emit, (v6->emit.at + 7) & ~7ull);

    for (uint32_t i = 0; rc == RAFS_OK && i < count; i++) {
        struct v6_chunk_addr addr = address_of(v6, inode->chunks[i]);
        uint8_t bytes[V6_CHUNK_ADDR_BYTES];

        rafsi_v6_chunk_addr_put(&addr, bytes);
        rc = rafsi_emit_put(&v6->emit, bytes, sizeof(bytes));
    }
    return rc;
}

/* What follows an inode of a directory or link: its last block. */
static int write_tail(struct v6_emit *v6, const struct build_node *node,
                      const struct v6_place *place)
{
    const struct build_inode *inode = node->inode;
    uint8_t block[V6_BLOCK_BYTES];
    struct v6_names names;
    size_t len = 0;

    if (place->layout != V6_LAYOUT_INLINE)
        return RAFS_OK;
    if (S_ISLNK(inode->mode))
        return rafsi_emit_put(&v6->emit, inode->target, (size_t)inode->size);
    names = rafsi_v6_names(node);
    for (uint64_t i = 0; i <= place->blocks; i++)
        len = rafsi_v6_names_block(&names, block);
    return rafsi_emit_put(&v6->emit, block, len);
}

static int write_inode(struct v6_emit *v6, const struct build_node *node,
                       const struct v6_place *place)
{
    const struct build_inode *inode = node->inode;
    int rc = rafsi_emit_pad(&v6->emit, place->at);

    if (rc == RAFS_OK)
        rc = write_head(v6, inode, place);
    if (rc == RAFS_OK)
        rc = write_xattrs(v6, inode);
    if (rc == RAFS_OK && S_ISREG(inode->mode))
        rc = write_addresses(v6, inode);
    if (rc == RAFS_OK)
        rc = write_tail(v6, node, place);
    return rc;
}

int rafsi_v6_write_inodes(struct v6_emit *v6)
{
    struct v6_order order = rafsi_v6_order(v6);
    struct build_node *node;
    struct v6_place place;
    int rc;

    do {
        rc = rafsi_v6_order_next(&order, &node, &place);
        if (rc == RAFS_OK && node)
            rc = write_inode(v6, node, &place);
    } while (rc == RAFS_OK && node);
    return rc == RAFS_OK ? rafsi_emit_pad(&v6->emit, v6->blocks_at) : rc;
}

static int write_dir_blocks(struct v6_emit *v6, const struct build_node *node,
                            const struct v6_place *place)
{
    struct v6_names names = rafsi_v6_names(node);
    int rc = RAFS_OK;

    for (uint64_t i = 0; rc == RAFS_OK && i < place->blocks; i++) {
        uint8_t block[V6_BLOCK_BYTES];
        size_t len = rafsi_v6_names_block(&names, block);

        memset(block + len, 0, sizeof(block) - len);
        rc = rafsi_emit_put(&v6->emit, block, sizeof(block));
    }
    return rc;
}

static int write_content(struct v6_emit *v6, const struct build_node *node,
                         const struct v6_place *place)
{
    const struct build_inode *inode = node->inode;
    int rc;

    if (place->blocks == 0)
        return RAFS_OK;
    if (S_ISDIR(inode->mode))
        return write_dir_blocks(v6, node, place);
    /* A target has one block. */
    rc = rafsi_emit_put(&v6->emit, inode->target, (size_t)inode->size);
    if (rc == RAFS_OK)
        rc = rafsi_emit_pad(&v6->emit, v6->blocks_at + (place->block + place->blocks) *
                                                           V6_BLOCK_BYTES);
    return rc;
}

int rafsi_v6_write_blocks(struct v6_emit *v6)
{
    struct v6_order order = rafsi_v6_order(v6);
    struct build_node *node;
    struct v6_place place;
    int rc;

    do {
        rc = rafsi_v6_order_next(&order, &node, &place);
        if (rc == RAFS_OK && node)
            rc = write_content(v6, node, &place);
    } while (rc == RAFS_OK && node);
    return rc;
}
