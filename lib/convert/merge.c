/* SPDX-License-Identifier: Apache-2.0 */
/* Layers' bootstraps become the image's: names laid over each other, data left where it
 * is. */
#include "convert/layers.h"

/* What the merge has to know of how layers were built. */
static rafs_build_options options_of(const rafs_build_options *layers)
{
    rafs_build_options options = {.struct_size = sizeof(options),
                                  .flags = layers->flags & RAFS_BUILD_NO_OWNERS,
                                  .version = layers->version,
                                  .compressor = layers->compressor,
                                  .digest = layers->digest,
                                  .chunk_size = layers->chunk_size,
                                  .threads = 1,
                                  .dictionaries = layers->dictionaries,
                                  .dictionary_count = layers->dictionary_count,
                                  .prefetch = layers->prefetch,
                                  .prefetch_count = layers->prefetch_count};

    return options;
}

static int add(rafs_builder *builder, const struct rafsi_env *env,
               const struct convert_layer *layer, const rafs_call *call, rafs_error *err)
{
    rafs_build_layer change = {.struct_size = sizeof(change)};
    rafs_limits limits = {.struct_size = sizeof(limits)};
    struct rafsi_source *source = NULL;
    struct rafsi_tree *tree = NULL;
    char id[65];
    int rc = rafsi_source_memory(env, layer->boot, layer->boot_len, &source, err);

    if (rc < 0)
        return rc;
    rafsi_limits_fill(&limits);
    rc = rafsi_tree_open(env, source, &limits, &tree, err);
    if (rc < 0) {
        rafsi_source_free(source);
        return rc;
    }
    rafsi_digest_hex(layer->blob.digest, id);
    if (layer->has_data) {
        change.blob_id = id;
        change.blob_size = layer->blob.size;
        change.toc_size = layer->toc_size;
        change.toc_digest = layer->toc_size ? layer->toc_digest : NULL;
    }
    rc = rafsi_source_image(builder, tree, &change, call, err);
    rafsi_tree_close(tree);
    return rc;
}

static bool is_of_layer(const struct convert_layer *const *layers, size_t count,
                        const uint8_t *digest)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(layers[i]->blob.digest, digest, OCI_DIGEST_BYTES) == 0)
            return true;
    return false;
}

static int find_others(const rafs_builder *builder, const struct rafsi_env *env,
                       const struct convert_layer *const *layers, size_t count,
                       uint32_t blobs, struct convert_merged *out, rafs_error *err)
{
    out->others = rafsi_alloc_zero(env, (blobs + 1) * sizeof(*out->others));
    if (!out->others)
        return rafsi_fail_nomem(err, (blobs + 1) * sizeof(*out->others));
    for (uint32_t i = 0; i < blobs; i++) {
        rafs_build_blob blob = {.struct_size = sizeof(blob)};
        uint8_t digest[OCI_DIGEST_BYTES];
        int rc = rafsi_builder_get_blob(builder, i, &blob, err);

        if (rc < 0)
            return rc;
        if (strlen(blob.id) != 64 || !rafsi_digest_parse(blob.id, 64, digest))
            return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, blob.id,
                              "the name of this blob is no SHA-256, so no layer can "
                              "have it");
        if (!is_of_layer(layers, count, digest))
            memcpy(out->others[out->other_count++], digest, sizeof(digest));
    }
    return RAFS_OK;
}

static int run(rafs_builder *builder, const struct rafsi_env *env,
               const struct convert_layer *const *layers, size_t count,
               struct convert_merged *out, const rafs_call *call, rafs_error *err)
{
    rafs_build_result result = {.struct_size = sizeof(result)};
    int rc = RAFS_OK;

    for (size_t i = 0; i < count && rc == RAFS_OK; i++) {
        if (i > 0)
            rc = rafsi_builder_next_layer(builder, call, err);
        if (rc == RAFS_OK)
            rc = add(builder, env, layers[i], call, err);
        if (rc < 0)
            rafsi_fail_object(err, rc, "merge of layer %zu", i + 1);
    }
    if (rc == RAFS_OK)
        rc = rafsi_builder_finish(builder, &result, call, err);
    if (rc == RAFS_OK)
        rc = find_others(builder, env, layers, count, result.blob_count, out, err);
    return rc;
}

int rafsi_convert_merge(const struct convert_build *build, const struct rafsi_env *env,
                        const struct convert_layer *const *layers, size_t count,
                        struct convert_merged *out, const rafs_call *call,
                        rafs_error *err)
{
    rafs_build_options options = options_of(&build->options);
    struct upload_sink memory = {.to = NULL, .env = env};
    struct convert_merged made = {.boot = NULL};
    rafs_builder *builder = NULL;
    rafs_sink *sink = NULL;
    int rc = rafsi_upload_sink(&memory, &sink, err);

    if (rc == RAFS_OK)
        rc = rafsi_builder_new(&options, build->dictionaries, sink, &env->set, &builder,
                               err);
    if (rc == RAFS_OK)
        rc = run(builder, env, layers, count, &made, call, err);
    rafsi_builder_free(builder);
    rafs_sink_free(sink);
    if (rc == RAFS_OK) {
        made.boot = memory.boot;
        made.boot_len = memory.boot_len;
        memory.boot = NULL;
        *out = made;
        made.others = NULL;
    }
    rafsi_upload_sink_drop(&memory);
    rafsi_free(env, made.others);
    return rc;
}

void rafsi_convert_merged_drop(const struct rafsi_env *env, struct convert_merged *merged)
{
    rafsi_free(env, merged->boot);
    rafsi_free(env, merged->others);
    *merged = (struct convert_merged){.boot = NULL};
}
