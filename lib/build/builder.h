/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_BUILDER_H
#define RAFSI_BUILD_BUILDER_H

/* What the sources see of a builder, and what the api calls. */

#include "build/borrow.h"
#include "build/data.h"
#include "build/dictionary.h"
#include "build/emit.h"
#include "build/image.h"
#include "build/layers.h"
#include "build/sink.h"
#include "build/store_index.h"
#include "rafs/build.h"
#include "tree/tree.h"

/* What a merged image's chunk becomes, in place of a reference to where it is. */
struct rafsi_replace {
    void *user;
    /* RAFS_E_NOENT, silently: it stays. */
    int (*find)(void *user, const struct chunk_record *chunk, uint32_t *number,
                rafs_error *err);
};

struct rafs_builder {
    struct build_image image;
    struct rafsi_layers *layers;
    struct rafsi_data *data;
    rafs_build_options options; /* defaults filled in; pointers are our own */
    rafs_sink *sink;
    struct build_xattr *kept_xattrs; /* room of rafsi_builder_shape() */
    uint32_t kept_room;
    char *path_room; /* of rafsi_builder_excluded(): RAFS_PATH_MAX + 2 */
    uint64_t skipped;
    uint64_t entries;
    uint64_t bytes_total;
    uint64_t ticked_ns; /* when progress was told last */
    uint32_t layer;     /* that is being taken in, from 0 */
    int failed;         /* RAFS_OK, or why it can only be freed */
    bool finished;
    bool running; /* a call: the functions that it calls are not to call it again */
    rafs_build_result result;
    struct rafsi_borrow borrow;          /* chunks that others wrote */
    struct rafsi_dictionary *dictionary; /* NULL: none */
    struct rafsi_store_index *index;     /* NULL: none */
    const struct rafsi_replace *replace; /* NULL: merged chunks stay where they are */
    uint32_t *used; /* by finish: numbers of image.blobs in the image's table */
};

int rafsi_builder_new(const rafs_build_options *options,
                      const struct rafsi_tree *const *dictionaries, rafs_sink *sink,
                      const rafs_env *env, rafs_builder **out, rafs_error *err);
void rafsi_builder_free(rafs_builder *builder);
int rafsi_builder_next_layer(rafs_builder *builder, const rafs_call *call,
                             rafs_error *err);
int rafsi_builder_finish(rafs_builder *builder, rafs_build_result *result,
                         const rafs_call *call, rafs_error *err);
int rafsi_builder_get_blob(const rafs_builder *builder, uint32_t i, rafs_build_blob *blob,
                           rafs_error *err);

/* options.c: check a caller's options and copy all that they point to into the arena. */
int rafsi_build_options_take(const rafs_build_options *in, struct arena *arena,
                             rafs_build_options *out, rafs_error *err);

/* The sources: all of it, in one call. */
int rafsi_source_dir(rafs_builder *builder, const char *path, const rafs_call *call,
                     rafs_error *err);
int rafsi_source_tar(rafs_builder *builder, rafs_stream_fn read, void *user,
                     const char *name, const rafs_call *call, rafs_error *err);
int rafsi_source_tar_fd(rafs_builder *builder, int fd, const char *name,
                        const rafs_call *call, rafs_error *err);
int rafsi_source_image(rafs_builder *builder, const struct rafsi_tree *tree,
                       const rafs_build_layer *layer, const rafs_call *call,
                       rafs_error *err);
int rafsi_source_entry(rafs_builder *builder, const rafs_build_entry *entry,
                       const rafs_call *call, rafs_error *err);

/* shape.c. Is an entry wanted, and with which attributes: filter, owners, times, xattrs
 * as the options have them. *wanted false: leave it out; it was counted if need be. The
 * xattrs that it leaves are valid until the next call. RAFS_E_UNSUPPORTED: no image can
 * hold it. */
int rafsi_builder_shape(rafs_builder *builder, struct layers_entry *entry, bool *wanted,
                        rafs_error *err);
/* Is that path, "/a/b", or one above it excluded? */
bool rafsi_builder_excluded(const rafs_builder *builder, const char *path, size_t len);
/* An entry cannot be held for that reason: RAFS_OK if it is to be left out and counted,
 * else the code. */
int rafsi_builder_refuse(rafs_builder *builder, int code);
/* For each entry, and now and then within one: looks at the call, tells progress. */
int rafsi_builder_tick(rafs_builder *builder, const rafs_call *call, rafs_error *err);

#endif
