/* SPDX-License-Identifier: Apache-2.0 */
/* Ordinary images become RAFS images. */
#include "convert/convert.h"

#include "api/api.h"

/* What the caller may wish for; the rest is what layers are. */
enum {
    BUILD_FLAGS = RAFS_BUILD_ALIGNED | RAFS_BUILD_NO_OWNERS | RAFS_BUILD_NO_XATTRS |
                  RAFS_BUILD_SKIP_UNSUPPORTED | RAFS_BUILD_MTIME_MAX |
                  RAFS_BUILD_MTIME_ALL | RAFS_BUILD_OWNER,
    CONVERT_FLAGS =
        RAFS_CONVERT_ALL_PLATFORMS | RAFS_CONVERT_REFERRER | RAFS_CONVERT_DOCKER
};

void rafs_convert_options_init(rafs_convert_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

static int bad(rafs_error *err, const char *what)
{
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_convert_options",
                      "%s", what);
}

static int take_build(const rafs_build_options *in, rafs_build_options *out,
                      rafs_error *err)
{
    int rc = rafsi_take_struct(in, out, sizeof(*out), "rafs_build_options", err);

    out->struct_size = sizeof(*out);
    if (rc == RAFS_OK && (out->flags & ~(uint32_t)BUILD_FLAGS))
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_build_options",
                        "flags 0x%x are not for layers of an image",
                        out->flags & ~(uint32_t)BUILD_FLAGS);
    if (rc == RAFS_OK && out->progress)
        rc = bad(err, "progress is told by rafs_convert_options, not by build");
    return rc;
}

static int take_options(const rafs_convert_options *options, rafs_convert_options *out,
                        rafs_build_options *build, rafs_error *err)
{
    struct oci_platform platform;
    int rc = rafsi_take_struct(options, out, sizeof(*out), "rafs_convert_options", err);

    if (rc == RAFS_OK && (out->flags & ~(uint32_t)CONVERT_FLAGS))
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                        "rafs_convert_options", "flags 0x%x are not known", out->flags);
    if (rc == RAFS_OK && out->threads > CONVERT_THREADS_MAX)
        rc = bad(err, "more than 8 layers at once");
    if (rc == RAFS_OK && out->platform && (out->flags & RAFS_CONVERT_ALL_PLATFORMS))
        rc = bad(err, "one platform and all of them contradict each other");
    if (rc == RAFS_OK && out->platform)
        rc = rafsi_oci_platform_parse(out->platform, &platform, err);
    if (rc == RAFS_OK)
        rc = take_build(out->build, build, err);
    if (rc < 0)
        return rc;
    if (out->threads == 0)
        out->threads = CONVERT_THREADS;
    /* What one layer adds to an index of chunks the next one is to find. */
    if (build->store_index)
        out->threads = 1;
    out->build = build;
    return RAFS_OK;
}

static int take_dictionaries(const rafs_build_options *build, const struct rafsi_env *env,
                             const struct rafsi_tree ***out, rafs_error *err)
{
    size_t count = build->dictionary_count;
    const struct rafsi_tree **trees;

    if (count == 0)
        return RAFS_OK;
    if (!build->dictionaries)
        return rafsi_fail_null(err, "dictionaries");
    if (count > RAFS_BLOBS_MAX)
        return bad(err, "more dictionaries than an image can have blobs");
    trees = rafsi_alloc_zero(env, count * sizeof(*trees));
    if (!trees)
        return rafsi_fail_nomem(err, count * sizeof(*trees));
    for (size_t i = 0; i < count; i++) {
        if (!build->dictionaries[i]) {
            rafsi_free(env, trees);
            return rafsi_fail_null(err, "a dictionary");
        }
        trees[i] = build->dictionaries[i]->tree;
    }
    *out = trees;
    return RAFS_OK;
}

int rafs_convert(rafs_origin *from, rafs_target *to, const rafs_convert_options *options,
                 rafs_convert_result *result, const rafs_call *call, rafs_error *err)
{
    rafs_convert_result made = {.struct_size = sizeof(made)};
    const struct rafsi_tree **dictionaries = NULL;
    rafs_convert_options wanted;
    rafs_build_options build;
    rafs_call taken;
    int rc;

    if (!from || !to)
        return rafsi_fail_null(err, from ? "to" : "from");
    if (result && (result->struct_size < 4 || result->struct_size > 65536))
        return rafsi_give_struct(&made, sizeof(made), result, "rafs_convert_result", err);
    rc = take_options(options, &wanted, &build, err);
    if (rc == RAFS_OK)
        rc = rafsi_call_take(call, &taken, err);
    if (rc == RAFS_OK)
        rc = take_dictionaries(&build, &to->env, &dictionaries, err);
    if (rc == RAFS_OK)
        rc = rafsi_convert(from, to, &wanted, dictionaries, &made, &taken, err);
    if (rc == RAFS_OK && result)
        rc = rafsi_give_struct(&made, sizeof(made), result, "rafs_convert_result", err);
    rafsi_free(&to->env, dictionaries);
    return rc;
}
