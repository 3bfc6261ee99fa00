/* SPDX-License-Identifier: Apache-2.0 */
#include "build/layers_impl.h"

/* Hard links. */

static bool lies_below(const struct build_node *node, const struct build_node *top)
{
    while (node && node != top)
        node = node->parent;
    return node != NULL;
}

/* A name for an inode. target: a name that it has, which must not go by this; or NULL. */
static int name_inode(struct rafsi_layers *layers, const char *path, size_t path_len,
                      const struct build_node *target, struct build_inode *inode,
                      rafs_error *err)
{
    struct build_node *parent, *node;
    struct name name;
    int rc = rafsi_path_parent(layers, path, path_len, &parent, &name, err);

    if (rc < 0 || !parent)
        return rc;
    switch (rafsi_name_kind(layers, name)) {
    case NAME_PLAIN:
        break;
    case NAME_LEFT_OUT:
        return RAFS_OK;
    default:
        return rafsi_layers_hide(layers, parent, name, path, path_len, err);
    }
    if (name.len == 0)
        return rafsi_layers_refuse(err, RAFS_E_CORRUPT, path, path_len,
                                   "the root is no directory");
    node = rafsi_table_find(layers, parent, name);
    if (node && node == target)
        return RAFS_OK;
    if (node && target && lies_below(target, node))
        return rafsi_layers_refuse(err, RAFS_E_CORRUPT, path, path_len,
                                   "a link takes the place of what it names");
    rc = rafsi_node_put(layers, parent, name, false, &node, err);
    if (rc == RAFS_OK)
        node->inode = inode;
    return rc;
}

/* What lies lower is copied before a layer gives it another name: other names that lower
 * layers have for it keep what they had. */
static int copy_up(struct rafsi_layers *layers, struct build_node *node, rafs_error *err)
{
    struct build_inode *copy = rafsi_arena_alloc(&layers->image->arena, sizeof(*copy));

    if (!copy)
        return rafsi_fail_nomem(err, sizeof(*copy));
    *copy = *node->inode;
    copy->layer = layers->layer;
    node->inode = copy;
    node->layer = layers->layer;
    node->flags &= (uint8_t)~NODE_COVERS;
    node->children = NULL;
    for (node = node->parent; node; node = node->parent)
        node->index = rafsi_stamp(layers);
    return RAFS_OK;
}

int rafsi_layers_link(struct rafsi_layers *layers, const char *path, size_t path_len,
                      const char *target, size_t target_len, rafs_error *err)
{
    struct build_node *node;
    int rc = rafsi_path_check(target, target_len, err);

    if (rc < 0)
        return rc;
    node = rafsi_layers_find(layers, target, target_len);
    if (!node || rafsi_is_dir(node))
        return rafsi_layers_refuse(err, RAFS_E_CORRUPT, path, path_len,
                                   "a hard link to \"%.*s\", which is %s",
                                   (int)rafsi_min(target_len, 128), target,
                                   node ? "a directory" : "not there before it");
    if (node->layer != layers->layer)
        rc = copy_up(layers, node, err);
    return rc < 0 ? rc : name_inode(layers, path, path_len, node, node->inode, err);
}

int rafsi_layers_link_inode(struct rafsi_layers *layers, const char *path,
                            size_t path_len, struct build_inode *inode, rafs_error *err)
{
    return name_inode(layers, path, path_len, NULL, inode, err);
}
