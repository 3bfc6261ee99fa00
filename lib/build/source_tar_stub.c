/* SPDX-License-Identifier: Apache-2.0 */
/* Declared and not there yet. */
#include "build/builder.h"

static int missing(const char *what, rafs_error *err)
{
    return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, what,
                      "this version cannot build from it yet");
}

int rafs_builder_add_image(rafs_builder *builder, const rafs_image *image,
                           const rafs_build_layer *layer, const rafs_call *call,
                           rafs_error *err)
{
    (void)builder, (void)image, (void)layer, (void)call;
    return missing("image", err);
}
