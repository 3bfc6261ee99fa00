/* SPDX-License-Identifier: Apache-2.0 */
/* Images and blobs in OCI layouts. */
#include "api/pull.h"

void rafs_layout_options_init(rafs_layout_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

static int take_options(const rafs_layout_options *options, rafs_layout_options *out,
                        rafs_error *err)
{
    int rc = rafsi_take_struct(options, out, sizeof(*out), "rafs_layout_options", err);

    if (rc == RAFS_OK && (out->flags & ~(uint32_t)RAFS_LAYOUT_REFERRERS))
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                        "rafs_layout_options", "flags 0x%x are not known", out->flags);
    return rc;
}

/* A name is a tag, or a digest that then is what the image is bound to. */
static int take_name(const char *name, uint8_t digest[OCI_DIGEST_BYTES],
                     struct oci_pull *pull, rafs_error *err)
{
    int rc;

    if (!name || strncmp(name, "sha256:", 7) != 0) {
        pull->tag = name;
        return RAFS_OK;
    }
    rc = rafsi_oci_digest_parse(name, digest, err);
    if (rc < 0)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "name",
                          "after sha256: come 64 lower-case hex digits");
    pull->digest = digest;
    return RAFS_OK;
}

int rafs_image_open_layout(const char *path, const char *name,
                           const rafs_layout_options *layout,
                           const rafs_open_options *options, rafs_image **out,
                           const rafs_call *call, rafs_error *err)
{
    uint8_t digest[OCI_DIGEST_BYTES];
    struct oci_layout *from = NULL;
    rafs_backend *backend = NULL;
    rafs_layout_options how;
    struct oci_store store;
    struct oci_pull pull = {.store = &store};
    struct wishes wishes;
    int rc;

    if (!path || !out)
        return rafsi_fail_null(err, path ? "out" : "path");
    rc = rafsi_wishes_take(options, call, &wishes, err);
    if (rc == RAFS_OK)
        rc = take_options(layout, &how, err);
    if (rc == RAFS_OK)
        rc = take_name(name, digest, &pull, err);
    if (rc == RAFS_OK)
        rc = rafsi_room_for_one(&wishes, err);
    if (rc == RAFS_OK)
        rc = rafsi_hashes_new(&wishes.env, &pull.hashes, err);
    if (rc < 0)
        return rc;
    rc = rafsi_layout_open(&wishes.env, path, &wishes.call, &from, err);
    if (rc < 0)
        goto out;
    store = rafsi_layout_store(from);
    pull.platform = how.platform;
    pull.bootstrap_limit = wishes.limits.inlined_bootstrap_bytes;
    pull.call = &wishes.call;
    pull.referrers = how.flags & RAFS_LAYOUT_REFERRERS;
    rc = rafsi_layout_backend(from, &backend, err);
    if (rc < 0) {
        rafsi_layout_close(from);
        goto out;
    }
    rc = rafsi_image_pull(&pull, &backend, 1, &wishes, out, err);
    if (rc < 0)
        rafs_backend_free(backend);
out:
    rafsi_hashes_free(pull.hashes);
    return rafsi_fail_object(err, rc, "%s", path);
}

int rafs_backend_new_layout(const char *path, const rafs_env *env, rafs_backend **out,
                            const rafs_call *call, rafs_error *err)
{
    struct oci_layout *layout = NULL;
    struct rafsi_env taken;
    rafs_call bounded;
    int rc;

    if (!path || !out)
        return rafsi_fail_null(err, path ? "out" : "path");
    rc = rafsi_env_take(env, &taken, err);
    if (rc == RAFS_OK)
        rc = rafsi_call_take(call, &bounded, err);
    if (rc == RAFS_OK)
        rc = rafsi_layout_open(&taken, path, &bounded, &layout, err);
    if (rc == RAFS_OK)
        rc = rafsi_layout_backend(layout, out, err);
    if (rc < 0)
        rafsi_layout_close(layout);
    return rafsi_fail_object(err, rc, "%s", path);
}
