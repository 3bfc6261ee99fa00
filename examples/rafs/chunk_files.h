/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_CHUNK_FILES_H
#define RAFS_CHUNK_FILES_H

#include "command.h"

/* In which file a chunk lies that a kernel mount recorded: the trace does not know. */
struct chunk_files {
    struct chunk_file *at;
    size_t count;
};

/* In one walk, for the events of inode 0; nothing for a trace without any. false: said
 * why. */
bool chunk_files_find(struct chunk_files *files, struct command *c,
                      const rafs_trace *trace);
/* Fill in inode and offset, of the first file that has the chunk. */
void chunk_files_name(const struct chunk_files *files, rafs_trace_event *event);
void chunk_files_free(struct chunk_files *files);

#endif
