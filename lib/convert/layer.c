/* SPDX-License-Identifier: Apache-2.0 */
/* A layer on its way: a stream that is compared with its digest, a builder, a blob in the
 * target. It ends in a blob and a bootstrap, or in nothing. */
#include "convert/layers.h"

enum { REST = 64 << 10 };

int rafsi_layer_read(void *user, void *buf, size_t len, size_t *got,
                     const rafs_call *call, rafs_error *err)
{
    struct layer_stream *layer = user;
    int rc = rafsi_stream_read(layer->stream, buf, len, got, call, err);

    if (rc == RAFS_OK && layer->moved && *got > 0)
        layer->moved(layer->user, *got);
    return rc;
}

/* What the reader of the archive has left: only at its end a stream is known to be what
 * its digest says. */
static int read_rest(struct layer_stream *stream, const struct rafsi_env *env,
                     const rafs_call *call, rafs_error *err)
{
    uint8_t *rest = rafsi_alloc(env, REST);
    size_t got = 1;
    int rc = rest ? RAFS_OK : rafsi_fail_nomem(err, REST);

    while (rc == RAFS_OK && got > 0)
        rc = rafsi_layer_read(stream, rest, REST, &got, call, err);
    rafsi_free(env, rest);
    return rc;
}

int rafsi_layer_take(rafs_builder *builder, const struct oci_sources *sources,
                     const struct oci_descriptor *layer, struct layer_stream *stream,
                     const rafs_call *call, rafs_error *err)
{
    char name[OCI_DIGEST_TEXT];
    int rc;

    rafsi_oci_digest_text(layer->digest, name);
    rc = rafsi_stream_open(sources, layer->digest, layer->size, &stream->stream, call,
                           err);
    if (rc == RAFS_OK)
        rc = rafsi_source_tar(builder, rafsi_layer_read, stream, name, call, err);
    if (rc == RAFS_OK)
        rc = read_rest(stream, sources->env, call, err);
    rafsi_stream_close(stream->stream);
    stream->stream = NULL;
    return rc;
}

/* Its own blob, if there are chunks in it. */
static int take_blob(const rafs_builder *builder, uint32_t count,
                     struct convert_layer *layer, rafs_error *err)
{
    rafs_build_blob blob = {.struct_size = sizeof(blob)};

    for (uint32_t i = 0; i < count; i++) {
        int rc = rafsi_builder_get_blob(builder, i, &blob, err);

        if (rc < 0)
            return rc;
        if (!blob.written)
            continue;
        layer->has_data = true;
        layer->toc_size = blob.toc_size;
        memcpy(layer->toc_digest, blob.toc_digest, sizeof(layer->toc_digest));
    }
    return RAFS_OK;
}

static int finish(rafs_builder *builder, struct upload_sink *sink,
                  struct convert_layer *layer, const rafs_call *call, rafs_error *err)
{
    rafs_build_result result = {.struct_size = sizeof(result)};
    int rc = rafsi_builder_finish(builder, &result, call, err);

    if (rc == RAFS_OK)
        rc = take_blob(builder, result.blob_count, layer, err);
    if (rc < 0)
        return rc;
    layer->blob = sink->blob;
    layer->file_bytes = result.file_bytes;
    layer->skipped = result.skipped;
    layer->boot = sink->boot;
    layer->boot_len = sink->boot_len;
    sink->boot = NULL;
    return RAFS_OK;
}

int rafsi_convert_layer(const struct convert_build *build,
                        const struct oci_sources *sources, rafs_target *to,
                        struct convert_layer *layer, struct layer_stream *stream,
                        const rafs_call *call, rafs_error *err)
{
    struct upload_sink upload = {.to = to, .env = &to->env};
    rafs_builder *builder = NULL;
    rafs_sink *sink = NULL;
    int rc = rafsi_upload_sink(&upload, &sink, err);

    if (rc == RAFS_OK)
        rc = rafsi_builder_new(&build->options, build->dictionaries, sink, &to->env.set,
                               &builder, err);
    if (rc == RAFS_OK)
        rc = rafsi_layer_take(builder, sources, &layer->from, stream, call, err);
    if (rc == RAFS_OK)
        rc = finish(builder, &upload, layer, call, err);
    rafsi_builder_free(builder);
    rafs_sink_free(sink);
    rafsi_upload_sink_drop(&upload);
    return rc;
}

void rafsi_convert_layer_drop(const struct rafsi_env *env, struct convert_layer *layer)
{
    rafsi_free(env, layer->boot);
    layer->boot = NULL;
}
