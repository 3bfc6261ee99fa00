/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_SOURCE_NODE_H
#define RAFSI_BUILD_SOURCE_NODE_H

/* What the sources that take an image's tree share. */

#include "build/image.h"
#include "tree/tree.h"

/* An inode as the tree has it, without chunks; target and attributes in the arena. */
int rafsi_node_describe(const struct rafsi_tree *tree, const struct rafsi_node *node,
                        struct arena *arena, struct build_inode *out, rafs_error *err);

/* Inodes of the tree with several names, and what they became. */
struct met_slot;
struct rafsi_met {
    const struct rafsi_env *env;
    struct met_slot *slots;
    size_t room; /* a power of two, or 0 */
    size_t used;
    uint64_t seed;
};
void rafsi_met_init(struct rafsi_met *met, const struct rafsi_env *env);
void rafsi_met_free(struct rafsi_met *met);
struct build_inode *rafsi_met_find(const struct rafsi_met *met, uint64_t ino);
/* ino is not there yet. */
int rafsi_met_note(struct rafsi_met *met, uint64_t ino, struct build_inode *inode,
                   rafs_error *err);

#endif
