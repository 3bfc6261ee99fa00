/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CONVERT_LAYERS_H
#define RAFSI_CONVERT_LAYERS_H

#include "build/build.h"
#include "oci/oci.h"
#include "rafs/convert.h"
#include "tree/tree.h"

/*
 * Layers of an ordinary image: where they are, what becomes of each.
 */

/* The image of an origin: its manifest, checked to be of layers that can be converted. */
struct convert_source {
    struct oci_document document;
    struct oci_manifest manifest;
};
/* By digest or, if that is NULL, what the origin's own text and the platform lead to. */
int rafsi_convert_find(rafs_origin *from, const uint8_t *digest, const char *platform,
                       struct convert_source *out, const rafs_call *call,
                       rafs_error *err);
/* A manifest that was read; document is taken, also on failure. */
int rafsi_convert_take(const struct rafsi_env *env, struct oci_document *document,
                       struct convert_source *out, rafs_error *err);
void rafsi_convert_source_drop(const struct rafsi_env *env,
                               struct convert_source *source);

/* A layer as a rafs_stream_fn: rafsi_layer_read() with this as its user. */
struct layer_stream {
    struct oci_stream *stream;
    void (*moved)(void *user, size_t len); /* NULL: nobody counts */
    void *user;
};
int rafsi_layer_read(void *user, void *buf, size_t len, size_t *got,
                     const rafs_call *call, rafs_error *err);
/* All of a layer into a builder, and to the end, where it is compared with its digest. */
int rafsi_layer_take(rafs_builder *builder, const struct oci_sources *sources,
                     const struct oci_descriptor *layer, struct layer_stream *stream,
                     const rafs_call *call, rafs_error *err);

/* What a layer became. */
struct convert_layer {
    struct oci_descriptor from;
    struct compose_blob blob; /* what the manifest names */
    bool has_data;            /* chunks lie in it, so that the image's table names it */
    uint32_t toc_size;        /* 0: it has none */
    uint8_t toc_digest[OCI_DIGEST_BYTES];
    uint8_t *boot; /* its bootstrap, whiteouts and all; env's memory */
    size_t boot_len;
    bool reused;
    uint64_t file_bytes;
    uint64_t skipped;
};
void rafsi_convert_layer_drop(const struct rafsi_env *env, struct convert_layer *layer);

struct convert_build {
    rafs_build_options options; /* of layers, complete */
    const struct rafsi_tree *const *dictionaries;
};

/* Build a layer into a blob of the target. layer->from is set; the rest is filled in. */
int rafsi_convert_layer(const struct convert_build *build,
                        const struct oci_sources *sources, rafs_target *to,
                        struct convert_layer *layer, struct layer_stream *stream,
                        const rafs_call *call, rafs_error *err);

/* The bootstrap of the whole image from those of its layers, lowest first; *boot is env's
 * memory. *others: blobs of dictionaries and the like that it refers to, besides those of
 * the layers. */
struct convert_merged {
    uint8_t *boot;
    size_t boot_len;
    uint8_t (*others)[OCI_DIGEST_BYTES];
    size_t other_count;
};
int rafsi_convert_merge(const struct convert_build *build, const struct rafsi_env *env,
                        const struct convert_layer *const *layers, size_t count,
                        struct convert_merged *out, const rafs_call *call,
                        rafs_error *err);
void rafsi_convert_merged_drop(const struct rafsi_env *env,
                               struct convert_merged *merged);

/* sink_upload.c: blobs go to a target as they are made, a bootstrap into memory. */
struct upload_sink {
    rafs_target *to; /* NULL: no blob is expected */
    const struct rafsi_env *env;
    struct compose_blob blob; /* the last one that was complete */
    uint8_t *boot;            /* env's memory, to be taken */
    size_t boot_len, boot_room;
};
/* sink is borrowed until *out is freed. */
int rafsi_upload_sink(struct upload_sink *sink, rafs_sink **out, rafs_error *err);
void rafsi_upload_sink_drop(struct upload_sink *sink);

#endif
