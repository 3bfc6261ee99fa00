/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TAR_ENTRY_H
#define TAR_ENTRY_H

#include "command.h"

struct archive_entry;

/* Name, owner, mode, time, device, target, ACLs and attributes; not size and holes. A
 * hard link (`first`, a path of the image) has none of the latter: its first name has
 * them. RAFS_OK, or what reading the image failed with. */
int tar_fill_entry(struct command *c, const rafs_walk_entry *from, const char *first,
                   struct archive_entry *to, rafs_error *err);

#endif
