/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_SINK_H
#define RAFSI_BUILD_SINK_H

/* A stream into a sink that counts and hashes what goes through. */

#include "base/base.h"
#include "rafs/build.h"

struct rafs_sink {
    struct rafsi_env env;
    rafs_sink_ops ops;
    void *user;
};

struct rafsi_out {
    rafs_sink *sink; /* NULL: the bytes are hashed and thrown away */
    void *object;
    struct rafsi_hash hash;
    uint64_t size;
    uint32_t kind;
    bool open;
};

int rafsi_out_begin(struct rafsi_out *out, rafs_sink *sink, struct rafsi_hashes *hashes,
                    uint32_t kind, const rafs_call *call, rafs_error *err);
int rafsi_out_write(struct rafsi_out *out, const void *data, size_t len,
                    const rafs_call *call, rafs_error *err);
/* sha256 of all; ends it in any case. */
int rafsi_out_commit(struct rafsi_out *out, uint8_t sha256[32], const rafs_call *call,
                     rafs_error *err);
void rafsi_out_abort(struct rafsi_out *out); /* harmless after commit, or cleared */

/* What a program's function returned, made a code: it may say nothing in err, or return
 * what is none. */
int rafsi_answer(int rc, const char *object, const char *what, rafs_error *err);

/* A function that bytes are given to one after the other. */
typedef int (*rafsi_write_fn)(void *user, const void *data, size_t len,
                              const rafs_call *call, rafs_error *err);

#endif
