/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_LAYERS_IMPL_H
#define RAFSI_BUILD_LAYERS_IMPL_H

/*
 * What the files of layers share.
 *
 * No name is ever taken out of the arena. One that is hidden is DEAD, and if it was a
 * directory nothing below it is found any more, since names are looked up from the root;
 * the next thing of its name is a node of its own. So hiding a directory of a million
 * files costs as much as hiding one.
 */

#include <sys/stat.h>

#include "build/layers.h"

/* build_node.flags */
enum {
    NODE_DEAD = 1,   /* hidden or replaced */
    NODE_COVERS = 2, /* no directory; its children are one of a lower layer that it
                        replaced, which comes back if a directory replaces it in turn */
};

struct rafsi_layers {
    struct build_image *image;
    uint32_t flags;
    uint32_t layer;  /* of what comes now; the lowest is 0 */
    uint32_t chunks; /* of all files */
    uint64_t key[2]; /* of the table */
    struct build_node **slots;
    size_t slot_count; /* a power of two */
    size_t used;
};

struct name {
    const char *at;
    size_t len;
};

/* Until the image is sealed, two numbers of a node that seal sets mean something else,
 * both of them a layer plus 1:
 *   index: the last layer that had something below this directory;
 *   first: the last layer that hid everything lower layers have in it. */
static inline uint32_t rafsi_stamp(const struct rafsi_layers *layers)
{
    return layers->layer + 1;
}

/* This layer has the name, or something below it. */
static inline bool rafsi_is_own(const struct rafsi_layers *layers,
                                const struct build_node *node)
{
    return node->layer == layers->layer || node->index == rafsi_stamp(layers);
}

static inline bool rafsi_is_dir(const struct build_node *node)
{
    return (node->inode->mode & S_IFMT) == S_IFDIR;
}

/* layers_path.c: an error about a path, which has no end; returns code. */
__attribute__((format(printf, 5, 6))) int rafsi_layers_refuse(rafs_error *err, int code,
                                                              const char *path,
                                                              size_t path_len,
                                                              const char *format, ...);

/* layers_table.c: the place of a name, or the free one where it belongs. There is always
 * a free one after rafsi_table_room(). */
struct build_node **rafsi_table_slot(const struct rafsi_layers *layers,
                                     const struct build_node *parent, struct name name);
int rafsi_table_room(struct rafsi_layers *layers, rafs_error *err);
/* A live node of that name, or NULL. */
struct build_node *rafsi_table_find(const struct rafsi_layers *layers,
                                    const struct build_node *parent, struct name name);

/* layers_path.c: a path in parts, "." and "" left out. */
struct path {
    const char *at, *end;
    struct name name; /* of the part; len 0: there is none any more */
    bool last;
};
/* Is it a path that an image can have? */
int rafsi_path_check(const char *path, size_t len, rafs_error *err);
struct path rafsi_path_of(const char *path, size_t len);
bool rafsi_path_next(struct path *path);
/* The directory that a path's last part lies in, made if missing, and that part; for the
 * root a name of no bytes. *parent NULL: the path lies in something that is left out. */
int rafsi_path_parent(struct rafsi_layers *layers, const char *path, size_t len,
                      struct build_node **parent, struct name *name, rafs_error *err);

/* layers_node.c: the node for something new of this layer, a directory or not, in place
 * of what was there: a directory stays where there is to be one. Its inode is to be set,
 * unless it is a directory that has one. */
int rafsi_node_put(struct rafsi_layers *layers, struct build_node *parent,
                   struct name name, bool directory, struct build_node **out,
                   rafs_error *err);
/* A directory that no entry speaks of: 0755, 0:0, time 0. */
int rafsi_node_imply(struct rafsi_layers *layers, struct build_node *parent,
                     struct name name, struct build_node **out, rafs_error *err);
void rafsi_inode_imply(struct rafsi_layers *layers, struct build_inode *inode);

/* layers_hide.c */
enum { NAME_PLAIN, NAME_WHITEOUT, NAME_OPAQUE, NAME_LEFT_OUT };
int rafsi_name_kind(const struct rafsi_layers *layers, struct name name);
/* Do what a whiteout asks for. */
int rafsi_layers_hide(struct rafsi_layers *layers, struct build_node *parent,
                      struct name name, const char *path, size_t path_len,
                      rafs_error *err);

/* layers_inode.c: check what was asked for and copy it; keeps nlink and what seal sets.
 */
int rafsi_inode_fill(struct rafsi_layers *layers, const struct layers_entry *entry,
                     struct build_inode *inode, rafs_error *err);

#endif
