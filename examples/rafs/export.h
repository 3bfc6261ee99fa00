/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_EXPORT_H
#define RAFS_COMMAND_EXPORT_H

/* What the files of `rafs export` share. */

#include "extract_dest.h"
#include "moving.h"

/* A file that gets its name once it is complete. */
struct export_file {
    struct dest *dest;
    int fd; /* -1: none */
    char temp[DEST_TEMP_NAME];
    uint64_t at; /* bytes written by export_write() */
};

struct export_run {
    struct command *c;
    struct moving moving; /* progress and its options */
    struct dest dest;
    const char *out;     /* --output */
    const char *devices; /* --devices; NULL: one file */
    bool no_sync;
    uint64_t done, total; /* bytes, for the progress */
    rafs_erofs_result result;
};

/* Begin one in the directory of run->dest. False: reported, as everywhere here. */
bool export_begin(struct export_run *run, struct export_file *file);
/* A rafs_write_fn; user: struct export_file. */
int export_write(void *user, const void *data, size_t len, const rafs_call *call,
                 rafs_error *err);
/* Sync it and give it its name. */
bool export_commit(struct export_run *run, struct export_file *file, const char *name);
/* Nothing is left of it; harmless after commit. */
void export_abort(struct export_file *file);
/* Is there something of that name, and nobody said --force? */
bool export_taken(struct export_run *run, const char *name);

/* export_devices.c: metadata and a file for each blob. */
void export_devices(struct export_run *run);

/* A word of a command for people, quoted for a shell; for JSON, in memory to free(). */
char *export_quoted(const char *text);

#endif
