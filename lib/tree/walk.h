/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_WALK_H
#define RAFSI_WALK_H

/* What a check needs of a walk besides its steps. */

#include "tree/tree.h"

/* After a step that failed: the path of what is broken or of the directory it lies in. */
const char *rafsi_walk_place(const struct rafsi_walk *walk);

#endif
