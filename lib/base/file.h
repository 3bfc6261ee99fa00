/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_FILE_H
#define RAFSI_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "rafs/error.h"

/*
 * Files that can be read at any position: regular ones and block devices. A FIFO or a
 * socket is refused, for a read of it could wait for ever.
 */

/* Open for reading, relative to a directory or AT_FDCWD. RAFS_E_NOENT if there is none,
 * RAFS_E_BADARG for another kind of file, else RAFS_E_BACKEND. */
int rafsi_file_open(int dir, const char *path, int *fd, rafs_error *err);
int rafsi_file_dup(int fd, int *out, rafs_error *err);
/* Length in bytes; also checks the kind. */
int rafsi_file_size(int fd, uint64_t *size, rafs_error *err);
/* Read len bytes; fewer only at the end of the file. */
int rafsi_file_read(int fd, uint64_t offset, void *buf, size_t len, size_t *got,
                    rafs_error *err);

#endif
