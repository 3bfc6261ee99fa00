/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_LAYERS_H
#define RAFSI_BUILD_LAYERS_H

/*
 * Entries, one after the other and in any order, become one tree. Within a layer a later
 * entry of a name replaces an earlier one, as tar does; a layer over others hides by OCI
 * whiteouts, as the kernel's overlay shows it:
 *  - ".wh.NAME" hides NAME of the layers below, never of its own, in whichever order the
 *    two come; ".wh..wh..opq" hides all that lower layers have in its directory;
 *    other names that begin with ".wh..wh." are left out, like aufs' own;
 *  - a directory over a directory takes its place and keeps what is in it; anything else
 *    that differs in type hides all of what it covers;
 *  - a whiteout of the lowest layer hides nothing and is dropped;
 *  - a name that is replaced leaves its hard link; the others stay.
 */

#include "build/image.h"

struct rafsi_layers;

enum { LAYERS_KEEP_WHITEOUTS = 1 /* they are files like others */ };
/* With LAYERS_KEEP_WHITEOUTS a directory that no entry speaks of has this in its time, so
 * that a merge leaves the one below as it is. */
enum { LAYERS_IMPLIED_NSEC = 999999999 };
enum { LAYERS_MAX = 65535, LAYERS_XATTRS_MAX = 4096 /* of an entry */ };

int rafsi_layers_new(struct build_image *image, uint32_t flags, struct rafsi_layers **out,
                     rafs_error *err);
void rafsi_layers_free(struct rafsi_layers *layers);
/* What comes now lies over what came; image->layers counts. */
int rafsi_layers_next(struct rafsi_layers *layers, rafs_error *err);

/* What is added. Texts are copied. */
struct layers_entry {
    const char *path; /* bytes; "a/b", "/a/b", "./a/b/", "." or "/": the root */
    size_t path_len;
    struct build_inode inode; /* mode, ids, times, size, rdev, xattrs (any order; names
                                 checked here), target; the rest is set here */
};

/*
 * Add a name. *out: its inode, whose chunks, of a regular file, are allocated and to be
 * filled by the caller; NULL: the entry is a whiteout, or it was replaced and is not part
 * of the image: its content is skipped. Missing parents are made (0755, 0:0, time 0).
 * A path with "..", an empty one, a component of more than 255 bytes, or one that goes
 * through something that this layer made anything but a directory: RAFS_E_CORRUPT, the
 * path in the error. Whatever a path says, nothing but the tree in memory is touched.
 */
int rafsi_layers_add(struct rafsi_layers *layers, const struct layers_entry *entry,
                     struct build_inode **out, rafs_error *err);
/* A directory that this layer has something in and says nothing about: made if there is
 * none, else it stays as it is. */
int rafsi_layers_imply(struct rafsi_layers *layers, const char *path, size_t path_len,
                       rafs_error *err);
/* Another name of what lies at target: one inode. Of a lower layer's file it is a copy,
 * like the kernel's overlay makes one, that target then names, too. A directory or a
 * missing one: RAFS_E_CORRUPT. */
int rafsi_layers_link(struct rafsi_layers *layers, const char *path, size_t path_len,
                      const char *target, size_t target_len, rafs_error *err);
/* Another name of that inode, which this layer has added: for sources that know. */
int rafsi_layers_link_inode(struct rafsi_layers *layers, const char *path,
                            size_t path_len, struct build_inode *inode, rafs_error *err);

/* The name at a path, or NULL. */
struct build_node *rafsi_layers_find(struct rafsi_layers *layers, const char *path,
                                     size_t path_len);

#endif
