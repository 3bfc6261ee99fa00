/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "tree/tree.h"

/* For who goes through all of a tree in its own order, when less of the bootstrap is kept
 * in memory than that takes. */

enum { PIECE = 256 << 10 };

/* The bootstrap in memory, read as anything else is read of it. */
static int hold(const struct rafsi_tree *tree, uint8_t **out, const rafs_call *call,
                rafs_error *err)
{
    uint64_t size = rafsi_source_size(tree->source);
    uint8_t *held = rafsi_alloc(&tree->env, (size_t)size);
    int rc = held ? RAFS_OK : rafsi_fail_nomem(err, (size_t)size);

    for (uint64_t at = 0; rc == RAFS_OK && at < size; at += PIECE) {
        rc = rafsi_call_check(&tree->env, call, RAFS_STAGE_METADATA, err);
        if (rc == RAFS_OK)
            rc = rafsi_source_stream(tree->source, at,
                                     (size_t)rafsi_min(PIECE, size - at), held + at, err);
    }
    if (rc == RAFS_OK)
        *out = held;
    else
        rafsi_free(&tree->env, held);
    return rafsi_fail_object(err, rc, "bootstrap");
}

int rafsi_tree_hold(const struct rafsi_tree *tree, const rafs_call *call,
                    struct rafsi_tree **out, rafs_error *err)
{
    struct rafsi_source *source = NULL;
    struct rafsi_tree *made = NULL;
    uint8_t *held = NULL;
    int rc = hold(tree, &held, call, err);

    if (rc == RAFS_OK)
        rc = rafsi_source_owned(&tree->env, held, rafsi_source_size(tree->source),
                                &source, err);
    if (rc == RAFS_OK) {
        held = NULL;
        rc = rafsi_tree_open(&tree->env, source, &tree->limits, &made, err);
    }
    if (rc == RAFS_OK) {
        source = NULL;
        /* Their ids are not all in the bootstrap. */
        if (made->super.blob_count == tree->super.blob_count)
            memcpy(made->blobs, tree->blobs,
                   tree->super.blob_count * sizeof(*tree->blobs));
        else
            rc = rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_METADATA, "bootstrap",
                            "changes while it is read");
    }
    if (rc == RAFS_OK)
        *out = made;
    else
        rafsi_tree_close(made);
    rafsi_source_free(source);
    rafsi_free(&tree->env, held);
    return rc;
}
