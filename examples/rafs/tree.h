/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_TREE_H
#define RAFS_COMMAND_TREE_H

/*
 * All paths below a directory in order of their bytes, as listings are sorted. That is
 * not the order of rafs_walk: "/a-b" comes between "/a" and "/a/x", for '-' is less than
 * '/'.
 */

#include "command.h"

struct tree_entry {
    const char *path; /* absolute; valid until the next call */
    size_t path_len;
    const char *name; /* last part of path; "/" for the root */
    uint64_t ino;
    unsigned depth; /* 0: where the walk began */
    rafs_attr attr;
};

struct tree_walk;

/* Walk `start`, whose inode is `ino`. NULL: no memory. */
struct tree_walk *tree_open(const rafs_image *image, const char *start, uint64_t ino);

/*
 * The next entry: 1 with *entry filled; 0 at the end; -1 if something could not be read:
 * then entry->path names it and the walk goes on behind it when asked again.
 */
int tree_next(struct tree_walk *walk, struct tree_entry *entry, rafs_error *err);

void tree_close(struct tree_walk *walk);

/*
 * The inode of a path in the image and the path it is listed under: directories as they
 * are reached from the root without links, others as given, tidied. *path is to free().
 * False: failed, *err says why.
 */
bool find_start(struct command *c, const char *given, bool follow, uint64_t *ino,
                char **path, rafs_attr *attr, rafs_error *err);

/* For errors about a name or inode that the image itself gave, not the user: what would
 * be "no such path" is a broken image then. Gives the code. */
int blame_image(rafs_error *err);

/* dir + "/" + name, to free(); NULL: no memory. */
char *join_path(const char *dir, const char *name, size_t name_len);

/* "-rwxr-xr-x" and a NUL. */
void mode_string(uint32_t mode, char out[11]);
/* reg dir lnk fifo chr blk sock, or "?" */
const char *type_name(uint32_t mode);
/* "2024-02-29 12:00:00" in UTC, or the number where no calendar has it. */
void time_string(int64_t seconds, char *buf, size_t room);

#endif
