/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/layers_impl.h"

/* Whiteouts, by the bytes of their names. Source: OCI image layers, "Whiteouts". */

#define WHITEOUT ".wh."
#define META ".wh..wh."
#define OPAQUE ".wh..wh..opq"

static bool begins(struct name name, const char *with)
{
    size_t len = strlen(with);

    return name.len >= len && memcmp(name.at, with, len) == 0;
}

int rafsi_name_kind(const struct rafsi_layers *layers, struct name name)
{
    if (layers->flags & LAYERS_KEEP_WHITEOUTS || !begins(name, WHITEOUT))
        return NAME_PLAIN;
    if (!begins(name, META))
        return NAME_WHITEOUT;
    return begins(name, OPAQUE) && name.len == strlen(OPAQUE) ? NAME_OPAQUE
                                                              : NAME_LEFT_OUT;
}

/* Take out of a directory's list what lower layers have in it. */
static void strip_one(struct rafsi_layers *layers, struct build_node *dir)
{
    struct build_node **link = &dir->children;

    dir->first = rafsi_stamp(layers);
    while (*link) {
        struct build_node *node = *link;

        if (!(node->flags & NODE_DEAD) && !rafsi_is_own(layers, node))
            node->flags |= NODE_DEAD;
        if (node->flags & NODE_DEAD) {
            *link = node->next;
            continue;
        }
        if (!rafsi_is_dir(node)) {
            node->flags &= (uint8_t)~NODE_COVERS;
            node->children = NULL;
        } else if (node->layer != layers->layer) {
            /* It is here only for what this layer has below it. */
            rafsi_inode_imply(layers, node->inode);
            node->layer = layers->layer;
        }
        link = &node->next;
    }
}

/* From a node on in its list: a directory that has not been stripped in this layer. */
static struct build_node *unstripped(const struct rafsi_layers *layers,
                                     struct build_node *node)
{
    while (node && (!rafsi_is_dir(node) || node->first == rafsi_stamp(layers)))
        node = node->next;
    return node;
}

/* A directory, and those below it, lose what lower layers have there. Each is looked at
 * once in a layer, and what stays is this layer's: the whole costs no more than adding
 * the entries did. */
static void strip(struct rafsi_layers *layers, struct build_node *top)
{
    struct build_node *dir = top;
    struct build_node *next;

    if (top->first == rafsi_stamp(layers))
        return;
    strip_one(layers, dir);
    next = unstripped(layers, dir->children);
    for (;;) {
        if (next) {
            dir = next;
            strip_one(layers, dir);
            next = unstripped(layers, dir->children);
        } else if (dir == top) {
            return;
        } else {
            next = unstripped(layers, dir->next);
            dir = dir->parent;
        }
    }
}

static void hide_one(struct rafsi_layers *layers, struct build_node *node)
{
    if (!rafsi_is_own(layers, node)) {
        node->flags |= NODE_DEAD;
    } else if (!rafsi_is_dir(node)) {
        node->flags &= (uint8_t)~NODE_COVERS;
        node->children = NULL;
    } else {
        strip(layers, node);
        if (node->layer != layers->layer) {
            rafsi_inode_imply(layers, node->inode);
            node->layer = layers->layer;
        }
    }
}

int rafsi_layers_hide(struct rafsi_layers *layers, struct build_node *parent,
                      struct name name, const char *path, size_t path_len,
                      rafs_error *err)
{
    struct name hidden = {name.at + strlen(WHITEOUT), name.len - strlen(WHITEOUT)};
    struct build_node *node;

    if (rafsi_name_kind(layers, name) == NAME_OPAQUE) {
        strip(layers, parent);
        return RAFS_OK;
    }
    /* An unpacker that takes these for names removes the directory or its parent. */
    if (hidden.len == 0 || (hidden.len == 1 && hidden.at[0] == '.') ||
        (hidden.len == 2 && memcmp(hidden.at, "..", 2) == 0))
        return rafsi_layers_refuse(err, RAFS_E_CORRUPT, path, path_len,
                                   "a whiteout that names nothing");
    node = rafsi_table_find(layers, parent, hidden);
    if (node)
        hide_one(layers, node);
    return RAFS_OK;
}
