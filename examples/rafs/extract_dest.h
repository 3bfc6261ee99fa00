/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXTRACT_DEST_H
#define EXTRACT_DEST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/*
 * The directory that is extracted into, and the promise that nothing is touched outside
 * it: whatever names an image has and whatever links were planted below, every directory
 * is reached from the root's descriptor without following a link or "..", and every other
 * call names one component of an open directory.
 *
 * Paths are relative to the root, without a leading slash; "" is the root itself.
 * Functions return 0 or a positive errno value.
 */
struct dest {
    int root;
    int parent; /* directory that dest_enter() was asked for last; -1: none */
    char *parent_path;
    size_t parent_room;
    int no_openat2; /* this kernel or its sandbox refuses it */
    int overwrite;
    uint64_t salt, serial; /* of temporary names */
};

#define DEST_INIT                   \
    {                               \
        -1, -1, NULL, 0, 0, 0, 0, 0 \
    }

#define DEST_TEMP_NAME 40 /* room for a temporary name and its NUL */

/* Open dir, which is made with this mode if it is missing; *made says so. */
int dest_open(struct dest *dest, const char *dir, mode_t mode, int *made);
void dest_close(struct dest *dest);

/* Make dest->parent the directory path[0..len). ELOOP or ENOTDIR: a link or something
 * else is in the way. */
int dest_enter(struct dest *dest, const char *path, size_t len);

/* Open a directory below the root; the descriptor is the caller's. */
int dest_open_dir(struct dest *dest, const char *path, size_t len, int flags, int *fd);

/* A name that is not in use, for what is not complete yet. */
void dest_temp_name(struct dest *dest, char name[DEST_TEMP_NAME]);

/* Give a complete entry of dest->parent its name. EEXIST: there is one already, and
 * overwriting was not asked for. */
int dest_publish(struct dest *dest, const char *temp, const char *name);

/* Make a directory in dest->parent, or use the one that is there. */
int dest_make_dir(struct dest *dest, const char *name, int *made);

/* 1 if the component could leave its directory or is no name at all. */
int dest_bad_name(const char *name, size_t len);

#endif
