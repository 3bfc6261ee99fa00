/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXTRACT_FILE_H
#define EXTRACT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "command.h"

enum { FILE_PIECE = 1 << 20 }; /* bytes read at once */

/* Who takes the content of a file, in order: what is left out is a hole. RAFS_OK, or
 * anything else to stop with. */
struct file_sink {
    void *user;
    int (*data)(void *user, uint64_t offset, const uint8_t *bytes, size_t len);
    /* May be NULL. */
    int (*hole)(void *user, uint64_t offset, uint64_t len);
};

/* Hand the verified content of a file to a sink, in pieces of at most FILE_PIECE bytes,
 * its holes by their extents alone. `piece` is room for one piece. RAFS_OK, what the
 * library failed with, or what the sink said. */
int file_content(struct command *c, const rafs_attr *attr, uint8_t *piece,
                 const struct file_sink *sink, rafs_error *err);

/* A descriptor that is written to. */
struct file_writer {
    int fd;
    bool sparse;  /* blocks of zeros become holes too */
    uint64_t end; /* first byte that was not written */
};

/* A sink for file_content(): 0 or an errno. user is a struct file_writer. */
int file_write(void *user, uint64_t offset, const uint8_t *bytes, size_t len);

#endif
