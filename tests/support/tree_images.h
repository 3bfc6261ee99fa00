/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TREE_IMAGES_H
#define TREE_IMAGES_H

/*
 * Bootstraps of the reference builder for tests of the tree: those of the project under
 * tests/golden, and more where the machine has them (RAFS_TESTDATA, or ../shared/testdata
 * beside the project).
 */

#include "tree/tree.h"

struct tree_image {
    char name[64];     /* of the variant */
    char boot[700];    /* path of the bootstrap */
    char listing[700]; /* path of what it must show */
};

/* Variants that have a bootstrap of their own and whose names begin with prefix; 0 if
 * there are none. Says on stderr what is absent. */
int tree_images_find(const char *prefix, struct tree_image *images, int room);
/* The one of the project called name; NULL if absent. */
const struct tree_image *tree_images_named(const struct tree_image *images, int count,
                                           const char *name);

struct tree_bytes {
    uint8_t *at;
    size_t len;
};

/* Exactly as long as the file; at NULL if it cannot be read. free() it. */
struct tree_bytes tree_bytes_load(const char *path);

struct opened_tree {
    struct rafsi_env env;
    struct rafsi_tree *tree;
};

/* From bytes, which are borrowed. */
int opened_tree_bytes(struct opened_tree *out, const void *data, size_t len,
                      rafs_error *err);
/* From a file, with that much cache. */
int opened_tree_file(struct opened_tree *out, const char *path, uint64_t cache_bytes,
                     rafs_error *err);
void opened_tree_close(struct opened_tree *opened);

#endif
