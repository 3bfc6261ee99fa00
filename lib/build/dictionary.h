/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_DICTIONARY_H
#define RAFSI_BUILD_DICTIONARY_H

/*
 * Chunk dictionaries: images whose chunks a build refers to and does not store again.
 * A chunk takes 12 to 24 bytes of memory here; what it is, is read from the image when
 * somebody asks for its digest.
 */

#include "build/borrow.h"
#include "build/data.h"
#include "tree/tree.h"

struct rafsi_dictionary;

/* Version, chunk size and digest of each tree have to be the image's. Trees are borrowed
 * until it is freed, and so is borrow, which hits are added to. An earlier tree's chunk
 * wins. */
int rafsi_dictionary_new(struct rafsi_borrow *borrow,
                         const struct rafsi_tree *const *trees, size_t count,
                         const rafs_call *call, struct rafsi_dictionary **out,
                         rafs_error *err);
void rafsi_dictionary_free(struct rafsi_dictionary *dictionary);
const struct rafsi_known *
rafsi_dictionary_known(const struct rafsi_dictionary *dictionary);
/* Is a blob of that id a dictionary's? NULL: no. */
bool rafsi_dictionary_has(const struct rafsi_dictionary *dictionary, const char *id);

/* The version, chunk size and, in v5, digest of a tree are the image's; what: what the
 * tree is to the build. */
int rafsi_tree_fits(const struct build_image *image, const struct rafsi_tree *tree,
                    const char *what, rafs_error *err);

#endif
