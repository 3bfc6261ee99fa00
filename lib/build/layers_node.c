/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "build/layers_impl.h"

static struct build_node *node_new(struct rafsi_layers *layers, struct build_node *parent,
                                   struct name name)
{
    struct build_node *node = rafsi_arena_alloc(
        &layers->image->arena, offsetof(struct build_node, name) + name.len + 1);

    if (!node)
        return NULL;
    memcpy(node->name, name.at, name.len);
    node->name_len = (uint16_t)name.len;
    node->layer = layers->layer;
    node->parent = parent;
    node->next = parent->children;
    parent->children = node;
    return node;
}

/* What was there, if it can be what is to be there; else NULL, and it is DEAD. *covered:
 * a directory of a lower layer that is hidden by what comes. */
static struct build_node *reuse(struct rafsi_layers *layers, struct build_node **slot,
                                bool directory, struct build_node **covered)
{
    struct build_node *old = *slot;
    bool covers = old->flags & NODE_COVERS && old->layer == layers->layer;

    *covered = NULL;
    if (old->flags & NODE_DEAD)
        return NULL;
    if (rafsi_is_dir(old) && directory)
        return old;
    if (rafsi_is_dir(old)) {
        old->flags |= NODE_DEAD;
        if (!rafsi_is_own(layers, old))
            *covered = old;
        return NULL;
    }
    if (covers && directory) {
        old->flags |= NODE_DEAD;
        *slot = old->children;
        (*slot)->flags &= (uint8_t)~NODE_DEAD;
        return *slot;
    }
    if (!covers) {
        old->flags &= (uint8_t)~NODE_COVERS;
        old->children = NULL;
    }
    /* The names that are left of a hard link keep the old inode. */
    old->inode = NULL;
    return old;
}

int rafsi_node_put(struct rafsi_layers *layers, struct build_node *parent,
                   struct name name, bool directory, struct build_node **out,
                   rafs_error *err)
{
    struct build_node *covered = NULL;
    struct build_node **slot, *node = NULL;
    int rc = rafsi_table_room(layers, err);

    if (rc < 0)
        return rc;
    slot = rafsi_table_slot(layers, parent, name);
    if (*slot)
        node = reuse(layers, slot, directory, &covered);
    if (!node) {
        node = node_new(layers, parent, name);
        if (!node)
            return rafsi_fail_nomem(err, sizeof(*node) + name.len);
        layers->used += *slot == NULL;
        *slot = node;
    }
    if (covered) {
        node->flags |= NODE_COVERS;
        node->children = covered;
    }
    node->layer = layers->layer;
    *out = node;
    return RAFS_OK;
}

void rafsi_inode_imply(struct rafsi_layers *layers, struct build_inode *inode)
{
    *inode = (struct build_inode){.mode = S_IFDIR | 0755,
                                  .uid = layers->image->implied_uid,
                                  .gid = layers->image->implied_gid,
                                  .mtime_sec = layers->image->implied_mtime,
                                  .layer = layers->layer};
    if (layers->flags & LAYERS_KEEP_WHITEOUTS)
        inode->mtime_nsec = LAYERS_IMPLIED_NSEC;
}

int rafsi_node_imply(struct rafsi_layers *layers, struct build_node *parent,
                     struct name name, struct build_node **out, rafs_error *err)
{
    struct build_inode *inode = rafsi_arena_alloc(&layers->image->arena, sizeof(*inode));
    int rc;

    if (!inode)
        return rafsi_fail_nomem(err, sizeof(*inode));
    rafsi_inode_imply(layers, inode);
    rc = rafsi_node_put(layers, parent, name, true, out, err);
    if (rc < 0)
        return rc;
    if (!(*out)->inode)
        (*out)->inode = inode;
    return RAFS_OK;
}
