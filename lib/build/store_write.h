/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_STORE_WRITE_H
#define RAFSI_BUILD_STORE_WRITE_H

/* The inside of the chunk store index: one half looks up (store_index.c), the other adds
 * (store_write.c). */

#include "build/store_file.h"
#include "build/store_index.h"

/* What this build knows of a blob of the file. */
struct known_blob {
    uint32_t number; /* in the image; NO_BLOB: not there yet */
    bool usable;     /* it may be referred to */
    bool gone;       /* the sink does not have it */
};

struct rafsi_store_index {
    const struct rafsi_env *env;
    struct rafsi_borrow *borrow;
    rafs_sink *sink;
    struct rafsi_known known;
    int dir;
    struct store_file file; /* as it was when the build began */
    struct known_blob *blobs;
};

/* The file as it is now; none if there is none or it is damaged, with a warning. */
int rafsi_store_index_load(const struct rafsi_store_index *index, struct store_file *out,
                           const rafs_call *call, rafs_error *err);

#endif
