/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_TREE_CHECK_H
#define RAFSI_TREE_CHECK_H

/* Parts of a check. */

#include "tree/tree.h"

/* check_links.c: the files with more than one name, and how many were seen. */
struct rafsi_link {
    uint64_t ino; /* 0: free */
    uint32_t nlink;
    uint32_t seen;
};

struct rafsi_links {
    const struct rafsi_env *env;
    uint64_t seed;            /* rafsi_seed() */
    struct rafsi_link *table; /* open addressing, room is a power of two or 0 */
    size_t room;
    size_t used;
};

/* One more name of ino; *first: it is the first one. */
int rafsi_links_add(struct rafsi_links *links, uint64_t ino, uint32_t nlink, bool *first,
                    rafs_error *err);
void rafsi_links_free(struct rafsi_links *links);

/* check_xattrs.c: every attribute decodes, and no name comes twice. */
int rafsi_check_xattrs(const struct rafsi_tree *tree, const struct rafsi_node *node,
                       rafs_error *err);

#endif
