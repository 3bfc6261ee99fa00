/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_H
#define RAFSI_BUILD_H

/*
 * The door of build: sources (directory, tar, images, entries) to a tree in memory, their
 * content to chunks to blobs, the tree to a bootstrap.
 *
 *   source_dir.c  source_tar.c  source_image.c  source_entry.c
 *        |  names, attributes: layers.h        |  content: data.h
 *        v                                     v
 *   layers.c → struct build_image (image.h) ← data.c → blob → sink
 *        |
 *        v  rafsi_image_seal()
 *   emit_v6.c, emit_v5.c → bootstrap → sink
 *
 * builder.c holds them together and is what the api calls.
 */

#include "build/data.h"
#include "build/emit.h"
#include "build/image.h"
#include "build/layers.h"
#include "build/sink.h"
#include "tree/tree.h"

/* What the sources see of a builder. */
struct rafs_builder {
    struct build_image image;
    struct rafsi_layers *layers;
    struct rafsi_data *data;
    struct rafsi_build_filter *filter; /* NULL: everything is wanted */
    rafs_build_options options;        /* defaults filled in; pointers are our own */
    rafs_sink *sink;
    uint64_t skipped;
    uint64_t entries;
    uint64_t bytes_total;
    uint64_t ticked; /* when progress was told last */
    uint32_t first;  /* blob before the current layer's */
    int failed;      /* RAFS_OK, or why it can only be freed */
    bool finished;
    rafs_build_result result;
    uint32_t *used; /* by finish: numbers of blobs in the image's table */
};

/* The sources: all of a layer's, in one call. */
int rafsi_source_dir(rafs_builder *builder, const char *path, const rafs_call *call,
                     rafs_error *err);
int rafsi_source_tar(rafs_builder *builder, rafs_stream_fn read, void *user,
                     const char *name, const rafs_call *call, rafs_error *err);
int rafsi_source_image(rafs_builder *builder, const struct rafsi_tree *tree,
                       const rafs_build_layer *layer, const rafs_call *call,
                       rafs_error *err);

/* builder.c, for the sources: an entry is wanted (filter), its attributes as the options
 * have them (owners, times, xattrs). *wanted false: leave it out. RAFS_E_UNSUPPORTED: no
 * image can hold it. */
int rafsi_builder_shape(rafs_builder *builder, struct layers_entry *entry, bool *wanted,
                        rafs_error *err);
/* What came of a failure to hold an entry: RAFS_OK if it is to be left out and counted.
 */
int rafsi_builder_refuse(rafs_builder *builder, int code, rafs_error *err);
/* Called for each entry and now and then within one: looks at the call, tells progress.
 */
int rafsi_builder_tick(rafs_builder *builder, const rafs_call *call, rafs_error *err);
/* Is anything at or below that path wanted? */
bool rafsi_builder_excluded(const rafs_builder *builder, const char *path);

#endif
