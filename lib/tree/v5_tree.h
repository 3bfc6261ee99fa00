/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_V5_TREE_H
#define RAFSI_V5_TREE_H

/* What the files of the v5 tree share. */

#include "tree/tree.h"

struct v5_tree {
    struct rafsi_tree tree; /* first: a rafsi_tree of v5 is one of these */
    struct v5_super super;
};

/* A record with its name, as a directory sees a child. */
struct v5_child {
    struct v5_inode inode;
    uint64_t at;
    uint32_t index;
    char name[RAFS_NAME_MAX + 1];
};

static inline const struct v5_tree *v5_tree_of(const struct rafsi_tree *tree)
{
    return (const struct v5_tree *)tree;
}

/* v5_inode.c. The record that an index of the inode table stands for, and its name if
 * `child` is wanted. */
int rafsi_v5_record(const struct v5_tree *tree, uint32_t index, struct v5_inode *inode,
                    uint64_t *at, rafs_error *err);
int rafsi_v5_child(const struct v5_tree *tree, uint32_t index, struct v5_child *out,
                   rafs_error *err);
int rafsi_v5_node(const struct rafsi_tree *tree, uint64_t ino, struct rafsi_node *out,
                  rafs_error *err);
int rafsi_v5_target(const struct rafsi_tree *tree, const struct rafsi_node *link,
                    uint64_t offset, size_t len, char *out, rafs_error *err);
int rafsi_v5_xattr_at(const struct rafsi_tree *tree, const struct rafsi_node *node,
                      uint64_t *offset, struct rafsi_xattr *out, bool *end,
                      rafs_error *err);

/* v5_dir.c */
int rafsi_v5_lookup(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                    const char *name, size_t len, uint64_t *ino, rafs_error *err);
int rafsi_v5_entry(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                   uint64_t offset, struct rafsi_name *out, bool *end, rafs_error *err);
int rafsi_v5_parent(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                    uint64_t *ino, rafs_error *err);
int rafsi_v5_where(const struct rafsi_tree *tree, const struct rafsi_node *node,
                   uint64_t *dir, struct rafsi_name *out, rafs_error *err);

/* v5_check.c */
int rafsi_v5_check(const struct rafsi_tree *tree, struct rafsi_hashes *hashes,
                   const struct rafsi_node *node, rafs_error *err);

/* v5_chunk.c */
int rafsi_v5_chunk(const struct rafsi_tree *tree, const struct rafsi_node *file,
                   uint64_t offset, struct rafsi_chunk *out, rafs_error *err);

#endif
