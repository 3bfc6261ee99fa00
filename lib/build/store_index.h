/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_STORE_INDEX_H
#define RAFSI_BUILD_STORE_INDEX_H

/*
 * The chunk store index: what earlier builds stored, by digest. A directory with one file
 * for each version, digest and chunk size, which is never changed, only replaced. What it
 * looks like: README.md, "Chunk store index".
 *
 * A damaged file is as good as none: it is left out with a warning, and the next build
 * begins a new one.
 */

#include "build/borrow.h"
#include "build/data.h"
#include "build/sink.h"

struct rafsi_store_index;

/* Open what there is for the image's version, digest and chunk size; nothing is as good.
 * borrow and sink are borrowed: hits are added to the one, the other is asked whether a
 * blob is there. path is copied, and made if need be. */
int rafsi_store_index_new(struct rafsi_borrow *borrow, rafs_sink *sink, const char *path,
                          const rafs_call *call, struct rafsi_store_index **out,
                          rafs_error *err);
void rafsi_store_index_free(struct rafsi_store_index *index);
const struct rafsi_known *rafsi_store_index_known(const struct rafsi_store_index *index);
/* Add the blobs that this build wrote, and all of their chunks; forget those that the
 * sink was found not to have. To be called once all is committed. */
int rafsi_store_index_add(struct rafsi_store_index *index, const rafs_call *call,
                          rafs_error *err);

#endif
