/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "tree/v5_tree.h"

/* What is looked at in one go: nearly always an inode with its name and the size of its
 * attributes. A further look may cost a system call and the check of a block. */
#define HEAD_BYTES 256
#define PAGE 4096 /* blocks of a source begin at multiples of this */

struct head {
    uint8_t scratch[HEAD_BYTES];
    const uint8_t *bytes;
    size_t len;
    uint64_t at;
};

/* Position of the record that an entry of the inode table names. */
static int decode_entry(const struct v5_tree *v5, struct span entry, uint64_t *at,
                        rafs_error *err)
{
    struct cursor c = cursor_of(entry);

    *at = (uint64_t)take_u32(&c) << 3;
    if (*at < V5_SUPER_BYTES ||
        !rafsi_within(*at, V5_INODE_BYTES, rafsi_source_size(v5->tree.source)))
        return rafsi_corrupt(err, entry.origin,
                             "the inode table leads to %llu, outside the records",
                             (unsigned long long)*at);
    return RAFS_OK;
}

static int record_at(const struct v5_tree *v5, uint32_t index, uint64_t *at,
                     rafs_error *err)
{
    uint64_t entry = v5->super.inode_table + (uint64_t)(index - 1) * 4;
    uint8_t scratch[4];
    const uint8_t *bytes;
    int rc =
        rafsi_source_view(v5->tree.source, entry, sizeof(scratch), scratch, &bytes, err);

    if (rc < 0)
        return rc;
    return decode_entry(v5, (struct span){bytes, sizeof(scratch), entry}, at, err);
}

/* At least the inode. Not over the end of a block, where that can be helped: bytes from
 * two of them have to be copied together. */
static int view_head(const struct v5_tree *v5, uint64_t at, struct head *head,
                     rafs_error *err)
{
    uint64_t len = rafsi_min(HEAD_BYTES, rafsi_source_size(v5->tree.source) - at);
    uint64_t left = PAGE - at % PAGE;

    if (left >= V5_INODE_BYTES)
        len = rafsi_min(len, left);
    head->at = at;
    head->len = (size_t)len;
    return rafsi_source_view(v5->tree.source, at, head->len, head->scratch, &head->bytes,
                             err);
}

/* Bytes of a record: those of its head if they are there. */
static int view_part(const struct v5_tree *v5, const struct head *head, uint64_t at,
                     size_t len, void *scratch, const uint8_t **bytes, rafs_error *err)
{
    if (rafsi_within(at - head->at, len, head->len)) {
        *bytes = head->bytes + (at - head->at);
        return RAFS_OK;
    }
    return rafsi_source_view(v5->tree.source, at, len, scratch, bytes, err);
}

/* Bytes that the xattr table claims to have. */
static int xattr_bytes(const struct v5_tree *v5, const struct head *head,
                       const struct v5_inode *inode, uint64_t *out, rafs_error *err)
{
    uint64_t tail = rafsi_v5_inode_tail(inode, head->at);
    uint8_t scratch[8];
    const uint8_t *bytes;
    struct cursor c;
    int rc;

    *out = 0;
    if (!(inode->flags & V5_INODE_XATTR))
        return RAFS_OK;
    rc = view_part(v5, head, tail, sizeof(scratch), scratch, &bytes, err);
    if (rc < 0)
        return rc;
    c = cursor_of((struct span){bytes, sizeof(scratch), tail});
    *out = take_u64(&c);
    return RAFS_OK;
}

static int decode_record(const struct v5_tree *v5, uint32_t index, struct head *head,
                         uint64_t at, struct v5_inode *inode, rafs_error *err)
{
    uint64_t xattrs = 0;
    int rc = view_head(v5, at, head, err);

    if (rc == RAFS_OK)
        rc = rafsi_v5_inode((struct span){head->bytes, head->len, at}, &v5->super, inode,
                            err);
    if (rc == RAFS_OK)
        rc = xattr_bytes(v5, head, inode, &xattrs, err);
    if (rc == RAFS_OK)
        rc = rafsi_v5_inode_layout(inode, at, xattrs, rafsi_source_size(v5->tree.source),
                                   err);
    if (rc < 0)
        return rc;
    /* Only what has several names may lie under another index than its number: that of
     * its first name, or, where we gave the number to what is no file, of its last. */
    if (inode->ino != index && ((inode->ino > index && S_ISREG(inode->mode)) ||
                                S_ISDIR(inode->mode) || inode->nlink < 2))
        return rafsi_corrupt(err, at + 40, "inode %u calls itself %llu", index,
                             (unsigned long long)inode->ino);
    return RAFS_OK;
}

int rafsi_v5_record(const struct v5_tree *v5, uint32_t index, struct v5_inode *inode,
                    uint64_t *at, rafs_error *err)
{
    struct head head;
    int rc = record_at(v5, index, at, err);

    return rc < 0 ? rc : decode_record(v5, index, &head, *at, inode, err);
}

static int decode_child(const struct v5_tree *v5, uint32_t index, uint64_t at,
                        struct v5_child *out, rafs_error *err)
{
    struct head head;
    uint8_t scratch[RAFS_NAME_MAX];
    const uint8_t *name;
    int rc = decode_record(v5, index, &head, at, &out->inode, err);

    if (rc == RAFS_OK)
        rc = view_part(v5, &head, rafsi_v5_name_at(at), out->inode.name_size, scratch,
                       &name, err);
    if (rc < 0)
        return rc;
    memcpy(out->name, name, out->inode.name_size);
    out->name[out->inode.name_size] = '\0';
    out->index = index;
    out->at = at;
    return RAFS_OK;
}

int rafsi_v5_child(const struct v5_tree *v5, uint32_t index, struct v5_child *out,
                   rafs_error *err)
{
    uint64_t at;
    int rc = record_at(v5, index, &at, err);

    return rc < 0 ? rc : decode_child(v5, index, at, out, err);
}

static void fill_attr(const struct v5_tree *v5, const struct v5_inode *inode,
                      rafs_attr *attr)
{
    memset(attr, 0, sizeof(*attr));
    attr->ino = inode->ino;
    attr->size = S_ISLNK(inode->mode) ? inode->target_size : inode->size;
    attr->blocks = inode->blocks;
    if (attr->blocks == 0) /* old builders left it out */
        attr->blocks = attr->size / 512 + (attr->size % 512 != 0);
    attr->mtime_sec = (int64_t)inode->mtime;
    attr->mtime_nsec = inode->mtime_nsec;
    attr->mode = inode->mode;
    attr->nlink = inode->nlink;
    if (v5->super.flags & SB_EXPLICIT_UID_GID) {
        attr->uid = inode->uid;
        attr->gid = inode->gid;
    }
    /* Tar builders store all ones for other types. */
    if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) {
        attr->rdev_major = inode->rdev >> 8 & 0xfff;
        attr->rdev_minor = (inode->rdev & 0xff) | (inode->rdev >> 12 & 0xfff00);
    }
    attr->xattr_hint = inode->flags & V5_INODE_XATTR ? 1 : 0;
}

int rafsi_v5_node(const struct rafsi_tree *tree, uint64_t ino, struct rafsi_node *out,
                  rafs_error *err)
{
    const struct v5_tree *v5 = v5_tree_of(tree);
    struct rafsi_node node;
    int rc;

    memset(&node, 0, sizeof(node));
    if (ino == 0 || ino > v5->super.inode_table_entries)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "inode %llu; the image has 1 to %u", (unsigned long long)ino,
                          v5->super.inode_table_entries);
    rc = rafsi_v5_record(v5, (uint32_t)ino, &node.v5, &node.at, err);
    if (rc < 0)
        return rc;
    if (node.v5.ino != ino)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "inode %llu is a further link of inode %llu",
                          (unsigned long long)ino, (unsigned long long)node.v5.ino);
    fill_attr(v5, &node.v5, &node.attr);
    *out = node;
    return RAFS_OK;
}

int rafsi_v5_target(const struct rafsi_tree *tree, const struct rafsi_node *link,
                    uint64_t offset, size_t len, char *out, rafs_error *err)
{
    int rc;

    if (!rafsi_within(offset, len, link->v5.target_size))
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_METADATA, NULL,
                          "more of a target wanted than it has");
    rc = rafsi_source_read(tree->source, link->v5.target_at + offset, len, out, err);
    if (rc < 0)
        return rc;
    if (memchr(out, 0, len))
        return rafsi_corrupt(err, link->v5.target_at, "target of a link holds a NUL");
    return RAFS_OK;
}

int rafsi_v5_xattr_at(const struct rafsi_tree *tree, const struct rafsi_node *node,
                      uint64_t *offset, struct rafsi_xattr *out, bool *end,
                      rafs_error *err)
{
    uint8_t scratch[V5_XATTR_HEAD_BYTES];
    const uint8_t *head;
    struct v5_xattr pair;
    uint64_t at = node->v5.xattr_at + *offset;
    uint64_t rest;
    size_t len;
    int rc;

    if (*offset > node->v5.xattr_bytes)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "no extended attribute at this offset");
    rest = node->v5.xattr_bytes - *offset;
    *end = rest == 0;
    if (*end)
        return RAFS_OK;
    len = (size_t)rafsi_min(rest, sizeof(scratch));
    rc = rafsi_source_view(tree->source, at, len, scratch, &head, err);
    if (rc == RAFS_OK)
        rc = rafsi_v5_xattr((struct span){head, len, at}, rest, &pair, err);
    if (rc < 0)
        return rc;
    memcpy(out->name, head + 4, pair.name_len);
    out->name[pair.name_len] = '\0';
    out->name_len = pair.name_len;
    out->value_len = pair.value_len;
    out->value_at = at + pair.value_pos;
    *offset += pair.pair_len;
    return RAFS_OK;
}
