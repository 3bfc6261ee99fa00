/* SPDX-License-Identifier: Apache-2.0 */
/* An ordinary image's layers into one builder, one over the other. */
#include "convert/remake.h"

static int take_layers(rafs_builder *builder, rafs_origin *from,
                       const struct oci_manifest *manifest, const rafs_call *call,
                       rafs_error *err)
{
    struct oci_sources sources = rafsi_origin_sources(from);
    struct layer_stream stream = {.stream = NULL};
    int rc = RAFS_OK;

    for (size_t i = 0; i < manifest->layer_count && rc == RAFS_OK; i++) {
        if (i > 0)
            rc = rafsi_builder_next_layer(builder, call, err);
        if (rc == RAFS_OK)
            rc = rafsi_layer_take(builder, &sources, &manifest->layers[i].blob, &stream,
                                  call, err);
    }
    return rc;
}

int rafsi_convert_flatten(rafs_builder *builder, rafs_origin *from, const char *platform,
                          const rafs_call *call, rafs_error *err)
{
    const struct rafsi_env *env = rafsi_origin_env(from);
    struct convert_source source = {.document.bytes = NULL};
    int rc = rafsi_convert_find(from, NULL, platform, &source, call, err);

    if (rc == RAFS_OK)
        rc = take_layers(builder, from, &source.manifest, call, err);
    rafsi_convert_source_drop(env, &source);
    return rc;
}
