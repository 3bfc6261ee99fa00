/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CONVERT_EROFS_IMPL_H
#define RAFSI_CONVERT_EROFS_IMPL_H

/* What the files of erofs share. */

#include "convert/erofs.h"

/* A file on its way out: counted, hashed, progress told. */
struct erofs_out {
    const struct rafsi_erofs *erofs;
    struct rafsi_hash hash;
    uint64_t written;
    uint64_t total; /* 0: not known */
    uint64_t ticked_ns;
};

/* The next bytes; user: struct erofs_out. For the emitter, too. */
int rafsi_erofs_put(void *user, const void *data, size_t len, const rafs_call *call,
                    rafs_error *err);

/* Names, attributes, chunks. relaid is as rafsi_relaid_new() wants it. */
int rafsi_erofs_take_in(const struct rafsi_erofs *erofs, struct rafsi_relaid *relaid,
                        const rafs_call *call, rafs_error *err);

/* erofs_whole.c: metadata and content. */
int rafsi_erofs_whole(struct erofs_out *out, rafs_erofs_result *result,
                      const rafs_call *call, rafs_error *err);

#endif
