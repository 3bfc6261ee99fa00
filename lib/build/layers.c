/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "build/layers_impl.h"

static struct build_node *root_new(struct build_image *image)
{
    struct build_node *root =
        rafsi_arena_alloc(&image->arena, offsetof(struct build_node, name) + 1);
    struct build_inode *inode = rafsi_arena_alloc(&image->arena, sizeof(*inode));

    if (!root || !inode)
        return NULL;
    root->inode = inode;
    return root;
}

int rafsi_layers_new(struct build_image *image, uint32_t flags, struct rafsi_layers **out,
                     rafs_error *err)
{
    struct rafsi_layers *layers = rafsi_alloc_zero(&image->env, sizeof(*layers));

    if (!layers)
        return rafsi_fail_nomem(err, sizeof(*layers));
    layers->image = image;
    layers->flags = flags;
    layers->key[0] = rafsi_seed();
    layers->key[1] = rafsi_seed();
    image->root = root_new(image);
    if (!image->root) {
        rafsi_layers_free(layers);
        return rafsi_fail_nomem(err, sizeof(struct build_node));
    }
    rafsi_inode_imply(layers, image->root->inode);
    image->layers = 1;
    *out = layers;
    return RAFS_OK;
}

void rafsi_layers_free(struct rafsi_layers *layers)
{
    if (!layers)
        return;
    rafsi_free(&layers->image->env, layers->slots);
    rafsi_free(&layers->image->env, layers);
}

int rafsi_layers_next(struct rafsi_layers *layers, rafs_error *err)
{
    if (layers->image->layers == LAYERS_MAX)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, "image",
                          "more than %d layers", LAYERS_MAX);
    layers->layer++;
    layers->image->layers = layers->layer + 1;
    return RAFS_OK;
}

static int set_root(struct rafsi_layers *layers, const struct build_inode *inode,
                    const struct layers_entry *entry, struct build_inode **out,
                    rafs_error *err)
{
    struct build_node *root = layers->image->root;

    if ((inode->mode & S_IFMT) != S_IFDIR)
        return rafsi_layers_refuse(err, RAFS_E_CORRUPT, entry->path, entry->path_len,
                                   "the root is no directory");
    *root->inode = *inode;
    root->layer = layers->layer;
    *out = root->inode;
    return RAFS_OK;
}

int rafsi_layers_add(struct rafsi_layers *layers, const struct layers_entry *entry,
                     struct build_inode **out, rafs_error *err)
{
    struct build_node *parent, *node;
    struct build_inode inode;
    struct name name;
    int rc = rafsi_path_parent(layers, entry->path, entry->path_len, &parent, &name, err);

    *out = NULL;
    if (rc < 0 || !parent)
        return rc;
    switch (rafsi_name_kind(layers, name)) {
    case NAME_PLAIN:
        break;
    case NAME_LEFT_OUT:
        return RAFS_OK;
    default:
        return rafsi_layers_hide(layers, parent, name, entry->path, entry->path_len, err);
    }
    rc = rafsi_inode_fill(layers, entry, &inode, err);
    if (rc < 0)
        return rc;
    if (name.len == 0)
        return set_root(layers, &inode, entry, out, err);
    rc = rafsi_node_put(layers, parent, name, (inode.mode & S_IFMT) == S_IFDIR, &node,
                        err);
    if (rc < 0)
        return rc;
    if (!node->inode)
        node->inode = rafsi_arena_alloc(&layers->image->arena, sizeof(inode));
    if (!node->inode) {
        node->flags |= NODE_DEAD;
        return rafsi_fail_nomem(err, sizeof(inode));
    }
    *node->inode = inode;
    *out = node->inode;
    return RAFS_OK;
}
