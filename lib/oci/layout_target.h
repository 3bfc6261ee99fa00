/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_LAYOUT_TARGET_H
#define RAFSI_OCI_LAYOUT_TARGET_H

/* A layout that is written, for itself and on the way to an archive; nobody else includes
 * it. */

#include <stdatomic.h>

#include "oci/target.h"

struct layout_target {
    int dir;           /* the folder */
    int blobs;         /* blobs/sha256 in it */
    bool hasty;        /* it is thrown away in the end: nothing need be on the disk */
    atomic_uint names; /* given to temporary files so far */
    char *archive; /* archive_target.c: the folder's path, to be removed; NULL: none */
    bool replace;
    bool finished;
};

/* Make or open the layout in a folder, and what is needed to write it. path is not "". */
int rafsi_layout_make(rafs_target *target, struct layout_target *own, const char *path,
                      const rafs_call *call, rafs_error *err);
void rafsi_layout_leave(struct layout_target *own);

int rafsi_layout_has(rafs_target *target, const uint8_t *digest, uint64_t *size,
                     const rafs_call *call, rafs_error *err);
int rafsi_layout_begin(rafs_upload *upload, const rafs_call *call, rafs_error *err);
int rafsi_layout_part(rafs_upload *upload, const rafs_call *call, rafs_error *err);
int rafsi_layout_commit(rafs_upload *upload, const uint8_t *digest, const rafs_call *call,
                        rafs_error *err);
void rafsi_layout_abandon(rafs_upload *upload);
int rafsi_layout_put(rafs_target *target, const struct oci_put *put,
                     const rafs_call *call, rafs_error *err);

/* layout_file.c: files that appear whole or not at all. */
struct layout_file {
    int dir; /* where the temporary name is */
    int fd;  /* -1: none */
    char name[40];
};
int rafsi_layout_file(struct layout_target *own, struct layout_file *out,
                      rafs_error *err);
int rafsi_layout_file_add(const struct rafsi_env *env, struct layout_file *file,
                          const void *data, size_t len, const rafs_call *call,
                          rafs_error *err);
/* Give it a name in a folder, whatever had that before; on the disk, unless hasty. */
int rafsi_layout_file_name(const struct layout_target *own, struct layout_file *file,
                           int dir, const char *name, rafs_error *err);
void rafsi_layout_file_drop(struct layout_file *file);
/* The whole of a new file in one go. */
int rafsi_layout_file_put(rafs_target *target, int dir, const char *name,
                          const void *data, size_t len, const rafs_call *call,
                          rafs_error *err);

#endif
