/* SPDX-License-Identifier: Apache-2.0 */
/* What the ways to open an image by its manifest share. */
#include "api/pull.h"

int rafsi_room_for_one(const struct wishes *wishes, rafs_error *err)
{
    if (wishes->options.backend_count < RAFS_SOURCES_MAX)
        return RAFS_OK;
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_open_options",
                      "no room for the image's own source among %d backends",
                      RAFS_SOURCES_MAX);
}

int rafsi_image_pull(const struct oci_pull *pull, rafs_backend *const *own, size_t count,
                     struct wishes *wishes, rafs_image **out, rafs_error *err)
{
    rafs_backend *sources[RAFS_SOURCES_MAX];
    struct origin origin = {.fd = -1};
    struct rafs_tally tally = {0};
    struct oci_pulled pulled;
    uint8_t *bootstrap = NULL;
    rafs_image *image = NULL;
    size_t len = 0;
    int rc;

    wishes->call.tally = &tally;
    rc = rafsi_oci_pull(pull, &wishes->env, &bootstrap, &len, &pulled, err);
    wishes->call.tally = NULL;
    if (rc < 0)
        return rc;
    wishes->bound = pulled.bound;
    for (size_t i = 0; i < wishes->options.backend_count; i++)
        sources[i] = wishes->options.backends[i];
    for (size_t i = 0; i < count; i++)
        sources[wishes->options.backend_count + i] = own[i];
    wishes->options.backends = sources;
    wishes->options.backend_count += count;
    origin.memory = bootstrap;
    origin.size = len;
    rc = rafsi_image_make(&origin, wishes, &image, err);
    if (rc < 0) {
        rafsi_free(&wishes->env, bootstrap);
        return rc;
    }
    rafsi_reader_opened(image->reader, own[count - 1], &tally,
                        rafsi_tally_of(&tally, RAFS_EVENT_SENT),
                        rafsi_tally_of(&tally, RAFS_EVENT_RECEIVED));
    memcpy(image->own_backends, own, count * sizeof(own[0]));
    image->own_count = count;
    image->own_bootstrap = bootstrap;
    memcpy(image->manifest, pulled.manifest, sizeof(image->manifest));
    image->has_manifest = true;
    *out = image;
    return RAFS_OK;
}
