/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_WALK_H
#define RAFSI_WALK_H

/* What a check needs of a walk besides its steps. */

#include "tree/tree.h"

/* The inode of the entry that the last step gave. */
const struct rafsi_node *rafsi_walk_node(const struct rafsi_walk *walk);
/* After a step that failed: the path of what is broken or of the directory it lies in. */
const char *rafsi_walk_place(const struct rafsi_walk *walk);

#endif
