/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "tree/check.h"

/* What listxattr(2) can return. It also bounds the work: the shortest name has 6 bytes.
 */
#define NAMES_BYTES_MAX 65536
#define SHORTEST_NAME 6

/* A name by its hash, and where to find it again. */
struct seen {
    uint64_t hash;
    uint64_t offset;
};

static uint64_t hash_name(const struct rafsi_xattr *xattr)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (uint32_t i = 0; i < xattr->name_len; i++)
        hash = (hash ^ (uint8_t)xattr->name[i]) * 0x100000001b3u;
    return hash;
}

static int by_hash(const void *a, const void *b)
{
    const struct seen *x = a;
    const struct seen *y = b;

    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* First pass: every attribute decodes; how many are there? */
static int count_names(const struct rafsi_tree *tree, const struct rafsi_node *node,
                       size_t *count, rafs_error *err)
{
    struct rafsi_xattr xattr;
    uint64_t offset = 0;
    size_t bytes = 0;
    bool end = false;

    *count = 0;
    for (;;) {
        int rc = tree->ops->xattr(tree, node, &offset, &xattr, &end, err);

        if (rc < 0 || end)
            return rc;
        bytes += (size_t)xattr.name_len + 1;
        ++*count;
        if (bytes > NAMES_BYTES_MAX || *count > NAMES_BYTES_MAX / SHORTEST_NAME)
            return rafsi_corrupt(err, xattr.value_at,
                                 "names of extended attributes take more than %d bytes",
                                 NAMES_BYTES_MAX);
    }
}

static int collect(const struct rafsi_tree *tree, const struct rafsi_node *node,
                   struct seen *seen, size_t count, rafs_error *err)
{
    struct rafsi_xattr xattr;
    uint64_t offset = 0;
    bool end = false;

    for (size_t i = 0; i < count; i++) {
        int rc;

        seen[i].offset = offset;
        rc = tree->ops->xattr(tree, node, &offset, &xattr, &end, err);
        if (rc < 0)
            return rc;
        seen[i].hash = hash_name(&xattr);
    }
    return RAFS_OK;
}

/* Names of one hash: nearly always the same name. */
static int compare(const struct rafsi_tree *tree, const struct rafsi_node *node,
                   const struct seen *a, const struct seen *b, rafs_error *err)
{
    struct rafsi_xattr x, y;
    uint64_t x_at = a->offset;
    uint64_t y_at = b->offset;
    bool end = false;
    int rc = tree->ops->xattr(tree, node, &x_at, &x, &end, err);

    if (rc == RAFS_OK)
        rc = tree->ops->xattr(tree, node, &y_at, &y, &end, err);
    if (rc == RAFS_OK && x.name_len == y.name_len &&
        memcmp(x.name, y.name, x.name_len) == 0)
        rc = rafsi_corrupt(err, y.value_at, "extended attribute %s comes twice", x.name);
    return rc;
}

int rafsi_check_xattrs(const struct rafsi_tree *tree, const struct rafsi_node *node,
                       rafs_error *err)
{
    struct seen *seen;
    size_t count;
    int rc = count_names(tree, node, &count, err);

    if (rc < 0 || count < 2)
        return rc;
    seen = rafsi_alloc(&tree->env, count * sizeof(*seen));
    if (!seen)
        return rafsi_fail_nomem(err, count * sizeof(*seen));
    rc = collect(tree, node, seen, count, err);
    if (rc == RAFS_OK)
        qsort(seen, count, sizeof(*seen), by_hash);
    for (size_t i = 1; rc == RAFS_OK && i < count; i++)
        if (seen[i].hash == seen[i - 1].hash)
            rc = compare(tree, node, &seen[i - 1], &seen[i], err);
    rafsi_free(&tree->env, seen);
    return rc;
}
