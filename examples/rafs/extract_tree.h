/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXTRACT_TREE_H
#define EXTRACT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "command.h"
#include "extract_attrs.h"
#include "extract_dest.h"
#include "extract_links.h"
#include "extract_paths.h"

/* A directory that the walk is in; what it shall look like is set when the walk leaves
 * it, since writing into it changes its time and may need a right that it takes away. */
struct open_dir {
    size_t path_len; /* in extraction.dir_path */
    bool restore;    /* false: it was there before and was not asked for */
    rafs_attr attr;
};

/* One run of `rafs extract`. */
struct extraction {
    struct command *c;
    const char *dir; /* as the user named it, for messages */
    bool sparse;
    struct dest dest;
    struct restore restore;
    struct link_map links;
    struct progress progress;
    uint8_t *piece;
    struct open_dir *dirs;
    size_t depth, dirs_room;
    char *dir_path; /* of the deepest open directory; the others are its beginnings */
    size_t dir_path_room;
    uint64_t entries, bytes, failed;
    uint64_t expected; /* entries in all, for the progress bar; 0: unknown */
    bool stop;         /* going on is of no use: disk full, interrupted */
};

/* Extract all that was selected, then finish every directory. Failures are reported as
 * they come. */
void extract_selection(struct extraction *x, const struct selection *selection);

/* Make one entry that is not a directory in x->dest.parent. RAFS_OK, a RAFS_E_ code, or a
 * positive errno of the destination. */
int extract_entry(struct extraction *x, const rafs_walk_entry *entry, const char *name,
                  rafs_error *err);

#endif
