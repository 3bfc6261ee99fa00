/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_SANDBOX_H
#define RAFS_SANDBOX_H

/*
 * What a process gives up before it looks at what others made: capabilities, system calls
 * (seccomp) and files (Landlock). Nothing of it can be taken back, and whoever it starts
 * has no more.
 */

#include <stdbool.h>
#include <stddef.h>

enum { SANDBOX_PATHS = 4096 };

/* What may still be opened: files, or folders and all below them. Paths that are not
 * there, or of which there are too many, are passed over. */
struct sandbox_paths {
    char *at[SANDBOX_PATHS];
    size_t count;
};

struct sandbox {
    struct sandbox_paths read, write;
    bool execute; /* programs, too: those in the paths of `read` */
};

/* A copy of the path. False: no memory. */
bool sandbox_add(struct sandbox_paths *paths, const char *path);
/* Is it one of them, or below one? Compares names alone. */
bool sandbox_has(const struct sandbox_paths *paths, const char *path);
void sandbox_free(struct sandbox *sandbox);

/*
 * To be called while there is one thread. `said`: what this kernel or build cannot take
 * away, or "". False: it could not be done although it should be possible; `said` tells,
 * and some of it may be done.
 */
bool sandbox_enter(const struct sandbox *sandbox, char *said, size_t room);

/* The parts of it, in this order; as sandbox_enter(). */
bool sandbox_no_new_privileges(char *said, size_t room);
bool sandbox_files(const struct sandbox *sandbox, char *said, size_t room);
bool sandbox_capabilities(char *said, size_t room);
bool sandbox_calls(bool execute, char *said, size_t room);

#endif
