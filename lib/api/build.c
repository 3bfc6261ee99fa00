/* SPDX-License-Identifier: Apache-2.0 */
#include "build/build.h"
#include "api/api.h"
#include "convert/convert.h"

int rafs_builder_new(const rafs_build_options *options, rafs_sink *sink,
                     const rafs_env *env, rafs_builder **out, rafs_error *err)
{
    const struct rafsi_tree **trees = NULL;
    struct rafsi_env taken;
    rafs_build_options set;
    int rc;

    if (!sink || !out)
        return rafsi_fail_null(err, sink ? "out" : "sink");
    rc = rafsi_env_take(env, &taken, err);
    if (rc == RAFS_OK)
        rc = rafsi_take_struct(options, &set, sizeof(set), "rafs_build_options", err);
    if (rc < 0)
        return rc;
    if (set.dictionaries && set.dictionary_count <= RAFS_BLOBS_MAX) {
        trees = rafsi_alloc_zero(&taken, (set.dictionary_count + 1) * sizeof(*trees));
        if (!trees)
            return rafsi_fail_nomem(err, set.dictionary_count * sizeof(*trees));
        for (size_t i = 0; i < set.dictionary_count; i++) {
            if (!set.dictionaries[i]) {
                rafsi_free(&taken, trees);
                return rafsi_fail_null(err, "a dictionary");
            }
            trees[i] = set.dictionaries[i]->tree;
        }
    }
    rc = rafsi_builder_new(options, trees, sink, env, out, err);
    rafsi_free(&taken, trees);
    return rc;
}

void rafs_builder_free(rafs_builder *builder)
{
    rafsi_builder_free(builder);
}

/* What every call on a builder begins with. */
static int enter(rafs_builder *builder, const rafs_call *call, rafs_call *taken,
                 rafs_error *err)
{
    int rc;

    if (!builder)
        return rafsi_fail_null(err, "builder");
    if (builder->failed < 0)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "builder",
                          "has failed before and can only be freed");
    if (builder->finished)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "builder",
                          "is finished");
    if (builder->running)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "builder",
                          "is called by a function that it calls");
    rc = rafsi_call_take(call, taken, err);
    builder->running = rc == RAFS_OK;
    return rc;
}

/* And ends with: what half happened cannot be gone on from. */
static int leave(rafs_builder *builder, int rc)
{
    builder->running = false;
    if (rc < 0)
        builder->failed = rc;
    return rc;
}

int rafs_builder_add_directory(rafs_builder *builder, const char *path,
                               const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc = path ? enter(builder, call, &taken, err) : rafsi_fail_null(err, "path");

    return rc < 0 ? rc : leave(builder, rafsi_source_dir(builder, path, &taken, err));
}

int rafs_builder_add_tar(rafs_builder *builder, rafs_stream_fn read, void *user,
                         const char *name, const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc = read ? enter(builder, call, &taken, err) : rafsi_fail_null(err, "read");

    return rc < 0 ? rc
                  : leave(builder,
                          rafsi_source_tar(builder, read, user,
                                           name ? name : "tar stream", &taken, err));
}

int rafs_builder_add_tar_fd(rafs_builder *builder, int fd, const char *name,
                            const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc = fd >= 0 ? enter(builder, call, &taken, err)
                     : rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "fd",
                                  "%d is no descriptor", fd);

    return rc < 0 ? rc
                  : leave(builder,
                          rafsi_source_tar_fd(builder, fd, name ? name : "tar stream",
                                              &taken, err));
}

int rafs_builder_add_image(rafs_builder *builder, const rafs_image *image,
                           const rafs_build_layer *layer, const rafs_call *call,
                           rafs_error *err)
{
    rafs_build_layer set;
    rafs_call taken;
    int rc = image ? rafsi_take_struct(layer, &set, sizeof(set), "rafs_build_layer", err)
                   : rafsi_fail_null(err, "image");

    if (rc == RAFS_OK)
        rc = enter(builder, call, &taken, err);
    return rc < 0 ? rc
                  : leave(builder,
                          rafsi_source_image(builder, image->tree, &set, &taken, err));
}

int rafs_builder_add_oci(rafs_builder *builder, rafs_origin *from, const char *platform,
                         const rafs_call *call, rafs_error *err)
{
    struct oci_platform parsed;
    rafs_call taken;
    int rc = from ? enter(builder, call, &taken, err) : rafsi_fail_null(err, "from");

    if (rc == RAFS_OK && platform)
        rc = rafsi_oci_platform_parse(platform, &parsed, err);
    return rc < 0 ? rc
                  : leave(builder,
                          rafsi_convert_flatten(builder, from, platform, &taken, err));
}

int rafs_builder_add_optimized(rafs_builder *builder, const rafs_image *image,
                               const rafs_trace *trace, const rafs_call *call,
                               rafs_error *err)
{
    rafs_call taken;
    int rc = image && trace ? enter(builder, call, &taken, err)
                            : rafsi_fail_null(err, image ? "trace" : "image");

    return rc < 0 ? rc
                  : leave(builder, rafsi_optimize(builder, image->tree, image->reader,
                                                  trace, &taken, err));
}

int rafs_builder_add_entry(rafs_builder *builder, const rafs_build_entry *entry,
                           const rafs_call *call, rafs_error *err)
{
    rafs_build_entry set;
    rafs_call taken;
    int rc = entry ? rafsi_take_struct(entry, &set, sizeof(set), "rafs_build_entry", err)
                   : rafsi_fail_null(err, "entry");

    if (rc == RAFS_OK && !set.path)
        rc = rafsi_fail_null(err, "path");
    if (rc == RAFS_OK)
        rc = enter(builder, call, &taken, err);
    return rc < 0 ? rc : leave(builder, rafsi_source_entry(builder, &set, &taken, err));
}

int rafs_builder_next_layer(rafs_builder *builder, const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc = enter(builder, call, &taken, err);

    return rc < 0 ? rc : leave(builder, rafsi_builder_next_layer(builder, &taken, err));
}

int rafs_builder_finish(rafs_builder *builder, rafs_build_result *result,
                        const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc = enter(builder, call, &taken, err);

    return rc < 0 ? rc
                  : leave(builder, rafsi_builder_finish(builder, result, &taken, err));
}

int rafs_builder_get_blob(const rafs_builder *builder, uint32_t i, rafs_build_blob *blob,
                          rafs_error *err)
{
    if (!builder || !blob)
        return rafsi_fail_null(err, builder ? "blob" : "builder");
    return rafsi_builder_get_blob(builder, i, blob, err);
}
