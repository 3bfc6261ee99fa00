/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_V6_TREE_H
#define RAFSI_V6_TREE_H

/* What the files of the v6 tree share. */

#include <stdatomic.h>

#include "tree/tree.h"

struct v6_index;

/* Apart from the tree, which others see as const. */
struct v6_index_slot {
    _Atomic(struct v6_index *) index; /* NULL until a file's content is first wanted */
    _Atomic(struct v6_places *) places, whole_places; /* NULL until a blob's is */
    _Atomic(struct v6_owners *) owners;               /* NULL until somebody walked */
};

struct v6_tree {
    struct rafsi_tree tree; /* first: a rafsi_tree of v6 is one of these */
    struct v6_super super;
    struct v6_ext_super ext;
    struct v6_index_slot *slot;
};

static inline const struct v6_tree *v6_tree_of(const struct rafsi_tree *tree)
{
    return (const struct v6_tree *)tree;
}

/* v6_inode.c */
int rafsi_v6_node(const struct rafsi_tree *tree, uint64_t ino, struct rafsi_node *out,
                  rafs_error *err);
int rafsi_v6_target(const struct rafsi_tree *tree, const struct rafsi_node *link,
                    uint64_t offset, size_t len, char *out, rafs_error *err);
/* Can there be an inode of that number? */
bool rafsi_v6_nid_fits(const struct v6_tree *tree, uint64_t nid);
/* Content blocks of a directory or link, and where block i lies; i is one of them. */
uint64_t rafsi_v6_blocks(const struct rafsi_node *node);
void rafsi_v6_block(const struct rafsi_node *node, uint64_t i, uint64_t *at, size_t *len);
/* Where the chunk array of a file begins. */
uint64_t rafsi_v6_chunk_array(const struct rafsi_node *file);

/* v6_dir.c */
int rafsi_v6_lookup(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                    const char *name, size_t len, uint64_t *ino, rafs_error *err);
int rafsi_v6_entry(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                   uint64_t offset, struct rafsi_name *out, bool *end, rafs_error *err);
int rafsi_v6_parent(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                    uint64_t *ino, rafs_error *err);

/* v6_xattr.c */
int rafsi_v6_xattr_at(const struct rafsi_tree *tree, const struct rafsi_node *node,
                      uint64_t *offset, struct rafsi_xattr *out, bool *end,
                      rafs_error *err);

/* v6_chunk.c */
int rafsi_v6_chunk(const struct rafsi_tree *tree, const struct rafsi_node *file,
                   uint64_t offset, struct rafsi_chunk *out, rafs_error *err);

/* v6_index.c. The number of the chunk table's record for a chunk. */
int rafsi_v6_find(const struct v6_tree *tree, uint32_t blob, uint32_t chunk, bool *found,
                  uint64_t *record, rafs_error *err);
void rafsi_v6_index_free(const struct rafsi_env *env, struct v6_index *index);

/* v6_owner.c. NULL: no memory. */
struct v6_owners *rafsi_v6_owners_new(const struct rafsi_tree *tree);
/* false: there is no room, and they are of no use. */
bool rafsi_v6_owners_add(const struct rafsi_tree *tree, struct v6_owners *owners,
                         const struct v6_chunk_addr *addr, uint64_t ino, uint64_t dir,
                         uint64_t number);
void rafsi_v6_owners_free(const struct rafsi_env *env, struct v6_owners *owners);

/* v6_place.c */
void rafsi_v6_places_free(const struct rafsi_env *env, struct v6_places *places);

#endif
