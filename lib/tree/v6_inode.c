/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "tree/v6_tree.h"

/* Nids fit in 32 bits: the prefetch table has no more. 0 stands for no inode. */
bool rafsi_v6_nid_fits(const struct v6_tree *tree, uint64_t nid)
{
    uint64_t size = rafsi_source_size(tree->tree.source);

    return nid != 0 && nid <= UINT32_MAX &&
           rafsi_within(tree->super.meta_at + nid * V6_NID_BYTES, V6_INODE_COMPACT_BYTES,
                        size);
}

/* Where the bytes behind an inode begin that are not its attributes. */
static uint64_t after_xattrs(const struct rafsi_node *node)
{
    return node->at + node->v6.bytes + node->v6.xattr_bytes;
}

uint64_t rafsi_v6_chunk_array(const struct rafsi_node *file)
{
    return (after_xattrs(file) + 7) & ~7ull;
}

uint64_t rafsi_v6_blocks(const struct rafsi_node *node)
{
    return (node->v6.size - 1) / V6_BLOCK_BYTES + 1; /* the size is not 0 */
}

void rafsi_v6_block(const struct rafsi_node *node, uint64_t i, uint64_t *at, size_t *len)
{
    uint64_t begin = i * V6_BLOCK_BYTES;

    *len = (size_t)rafsi_min(node->v6.size - begin, V6_BLOCK_BYTES);
    *at = (uint64_t)node->v6.u * V6_BLOCK_BYTES + begin;
    if (node->v6.layout == V6_LAYOUT_INLINE && i + 1 == rafsi_v6_blocks(node))
        *at = after_xattrs(node);
}

/* Content of directories and links lies in the file: whole blocks where field u says;
 * with the inline layout the last block, full or not, behind the inode. */
static int check_content(const struct rafsi_node *node, uint64_t file_size,
                         rafs_error *err)
{
    uint64_t blocks_at = (uint64_t)node->v6.u * V6_BLOCK_BYTES;
    uint64_t in_blocks = node->v6.size;
    uint64_t at;
    size_t len;

    if (node->v6.layout == V6_LAYOUT_INLINE) {
        rafsi_v6_block(node, rafsi_v6_blocks(node) - 1, &at, &len);
        if (at % V6_BLOCK_BYTES + len > V6_BLOCK_BYTES)
            return rafsi_corrupt(err, at, "content behind an inode crosses a block");
        if (!rafsi_within(at, len, file_size))
            return rafsi_corrupt(err, at, "content lies beyond the file");
        in_blocks -= len;
    }
    if (in_blocks != 0 && !rafsi_within(blocks_at, in_blocks, file_size))
        return rafsi_corrupt(err, node->at + 16, "content lies beyond the file");
    return RAFS_OK;
}

static int check_chunk_array(const struct rafsi_node *file, uint32_t chunk_size,
                             uint64_t file_size, rafs_error *err)
{
    uint64_t count = file->v6.size / chunk_size + (file->v6.size % chunk_size != 0);

    /* Not more than 2^52 entries: the product fits. */
    if (count != 0 &&
        !rafsi_within(rafsi_v6_chunk_array(file), count * V6_CHUNK_ADDR_BYTES, file_size))
        return rafsi_corrupt(err, file->at + 8,
                             "chunk array of a file of %llu bytes does not fit",
                             (unsigned long long)file->v6.size);
    return RAFS_OK;
}

static int check_node(const struct v6_tree *v6, const struct rafsi_node *node,
                      rafs_error *err)
{
    uint64_t file_size = rafsi_source_size(v6->tree.source);

    if (!rafsi_within(node->at + node->v6.bytes, node->v6.xattr_bytes, file_size))
        return rafsi_corrupt(err, node->at + 2,
                             "extended attributes reach beyond the file");
    if (S_ISREG(node->v6.mode))
        return check_chunk_array(node, v6->ext.chunk_size, file_size, err);
    if (S_ISDIR(node->v6.mode) || S_ISLNK(node->v6.mode))
        return check_content(node, file_size, err);
    return RAFS_OK;
}

static void fill_attr(const struct v6_tree *v6, uint64_t nid,
                      const struct v6_inode *inode, rafs_attr *attr)
{
    bool owners = v6->ext.flags & SB_EXPLICIT_UID_GID;

    attr->ino = nid;
    attr->size = inode->size;
    attr->blocks = inode->size / 512 + (inode->size % 512 != 0);
    attr->mtime_sec = inode->mtime_sec;
    attr->mtime_nsec = inode->mtime_nsec;
    if (inode->bytes == V6_INODE_COMPACT_BYTES) {
        attr->mtime_sec = v6->super.build_sec;
        attr->mtime_nsec = v6->super.build_nsec;
    }
    attr->mode = inode->mode;
    attr->nlink = inode->nlink;
    attr->uid = owners ? inode->uid : 0;
    attr->gid = owners ? inode->gid : 0;
    /* Linux' new encoding: 12 bits of minor, 12 of major, 8 of minor. */
    if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) {
        attr->rdev_major = inode->u >> 8 & 0xfff;
        attr->rdev_minor = (inode->u & 0xff) | (inode->u >> 12 & 0xfff00);
    }
    attr->xattr_hint = inode->xattr_bytes != 0;
}

int rafsi_v6_node(const struct rafsi_tree *tree, uint64_t ino, struct rafsi_node *out,
                  rafs_error *err)
{
    const struct v6_tree *v6 = v6_tree_of(tree);
    uint8_t scratch[V6_INODE_EXTENDED_BYTES];
    struct rafsi_node node;
    const uint8_t *bytes;
    size_t len;
    int rc;

    if (!rafsi_v6_nid_fits(v6, ino))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "the image has no inode %llu", (unsigned long long)ino);
    memset(&node, 0, sizeof(node));
    node.at = v6->super.meta_at + ino * V6_NID_BYTES;
    len = (size_t)rafsi_min(sizeof(scratch), rafsi_source_size(tree->source) - node.at);
    rc = rafsi_source_view(tree->source, node.at, len, scratch, &bytes, err);
    if (rc < 0)
        return rc;
    rc = rafsi_v6_inode((struct span){bytes, len, node.at}, v6->ext.chunk_size, &node.v6,
                        err);
    if (rc < 0)
        return rc;
    rc = check_node(v6, &node, err);
    if (rc < 0)
        return rc;
    fill_attr(v6, ino, &node.v6, &node.attr);
    *out = node;
    return RAFS_OK;
}

int rafsi_v6_target(const struct rafsi_tree *tree, const struct rafsi_node *link,
                    uint64_t offset, size_t len, char *out, rafs_error *err)
{
    uint64_t at;
    size_t whole;
    int rc;

    if (!rafsi_within(offset, len, link->v6.size))
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_METADATA, NULL,
                          "more than a link's target was asked for");
    rafsi_v6_block(link, 0, &at, &whole); /* targets have one block */
    rc = rafsi_source_read(tree->source, at + offset, len, out, err);
    if (rc < 0)
        return rc;
    if (len != 0 && memchr(out, '\0', len))
        return rafsi_corrupt(err, at + offset, "link target with a NUL inside");
    return RAFS_OK;
}
