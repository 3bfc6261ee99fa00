/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CONVERT_EROFS_H
#define RAFSI_CONVERT_EROFS_H

/* As rafs_image_write_erofs(): an image of which `reader` reads as a file system that
 * Linux mounts. */

#include "build/build.h"
#include "rafs/erofs.h"
#include "read/read.h"

/* What is written, and where to. */
struct rafsi_erofs {
    const struct rafsi_env *env;
    const struct rafsi_tree *tree;
    struct rafsi_reader *reader;
    struct rafsi_hashes *hashes;
    const rafs_erofs_options *options;
    rafs_write_fn write;
    void *user;
};

/* *result is set on success. */
int rafsi_erofs_write(const struct rafsi_erofs *erofs, rafs_erofs_result *result,
                      const rafs_call *call, rafs_error *err);

#endif
