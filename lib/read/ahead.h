/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_AHEAD_H
#define RAFSI_AHEAD_H

#include "read/reader.h"

/* Fetches what will be wanted soon, in the threads of the crew. reader->ahead stays NULL
 * where nothing is to be read ahead: no source is remote, or the limits say so. */

enum { AHEAD_THREADS = 4 };

int rafsi_ahead_new(struct rafsi_reader *reader, rafs_error *err);
/* After the crew, whose threads use it. */
void rafsi_ahead_free(struct rafsi_reader *reader);

/* What is known of a reader. */
enum rafsi_ahead_how {
    AHEAD_BEGINS, /* a read of a file begins in this chunk */
    AHEAD_WITHIN, /* a read that began in another chunk goes on: no sign of a further one
                   */
    AHEAD_BLIND   /* of which file the chunk is, nobody knows */
};

/* Somebody is about to read this chunk. true: he goes through its blob, which is read
 * ahead across the ends of files; else rafsi_ahead_note() sees to the file alone, where
 * it is known. Never waits. */
bool rafsi_ahead_flow(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      enum rafsi_ahead_how how);

/* Somebody is about to read the chunk at offset, and will read up to until. Never waits.
 */
void rafsi_ahead_note(struct rafsi_reader *reader, const struct rafsi_node *file,
                      uint64_t offset, uint64_t until);

#endif
