/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "tree/v6_tree.h"

static int read_header(const struct rafsi_tree *tree, uint64_t at, rafs_error *err)
{
    uint8_t scratch[V6_XATTR_HEADER_BYTES];
    const uint8_t *bytes;
    int rc = rafsi_source_view(tree->source, at, sizeof(scratch), scratch, &bytes, err);

    if (rc < 0)
        return rc;
    return rafsi_v6_xattr_header((struct span){bytes, sizeof(scratch), at}, err);
}

/* Offsets are positions in the area behind the inode, which its record was checked to
 * have. */
int rafsi_v6_xattr_at(const struct rafsi_tree *tree, const struct rafsi_node *node,
                      uint64_t *offset, struct rafsi_xattr *out, bool *end,
                      rafs_error *err)
{
    uint64_t area = node->at + node->v6.bytes;
    uint64_t pos = *offset != 0 ? *offset : V6_XATTR_HEADER_BYTES;
    uint8_t scratch[V6_XATTR_HEAD_MAX];
    struct v6_xattr xattr;
    const uint8_t *bytes;
    uint64_t left;
    size_t len;
    int rc = RAFS_OK;

    if (node->v6.xattr_bytes == 0 || pos == node->v6.xattr_bytes) {
        if (node->v6.xattr_bytes != 0 && *offset == 0)
            rc = read_header(tree, area, err);
        if (rc == RAFS_OK)
            *end = true;
        return rc;
    }
    if (pos < V6_XATTR_HEADER_BYTES || pos > node->v6.xattr_bytes)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "no extended attribute at offset %llu",
                          (unsigned long long)*offset);
    if (*offset == 0)
        rc = read_header(tree, area, err);
    if (rc < 0)
        return rc;
    left = node->v6.xattr_bytes - pos;
    len = (size_t)rafsi_min(left, sizeof(scratch));
    rc = rafsi_source_view(tree->source, area + pos, len, scratch, &bytes, err);
    if (rc < 0)
        return rc;
    rc = rafsi_v6_xattr((struct span){bytes, len, area + pos}, left, &xattr, err);
    if (rc < 0)
        return rc;
    memcpy(out->name, xattr.name, xattr.name_len + 1);
    out->name_len = xattr.name_len;
    out->value_len = xattr.value_len;
    out->value_at = area + pos + xattr.value_at;
    *offset = pos + xattr.bytes;
    *end = false;
    return RAFS_OK;
}
