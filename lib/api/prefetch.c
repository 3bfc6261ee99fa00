/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api.h"

void rafs_prefetch_options_init(rafs_prefetch_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

int rafs_prefetch_start(const rafs_image *image, const rafs_prefetch_options *options,
                        rafs_prefetch **out, const rafs_call *call, rafs_error *err)
{
    rafs_prefetch_options wanted;
    rafs_call taken;
    int rc;

    if (!image || !out)
        return rafsi_fail_null(err, image ? "out" : "image");
    rc =
        rafsi_take_struct(options, &wanted, sizeof(wanted), "rafs_prefetch_options", err);
    if (rc == RAFS_OK)
        rc = rafsi_call_take(call, &taken, err);
    if (rc < 0)
        return rc;
    return rafsi_prefetch_start(image->reader, &wanted, out, &taken, err);
}

int rafs_image_get_missing(const rafs_image *image, rafs_missing *missing,
                           size_t capacity, const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc;

    if (!image || (!missing && capacity > 0))
        return rafsi_fail_null(err, image ? "missing" : "image");
    rc = rafsi_call_take(call, &taken, err);
    return rc < 0 ? rc
                  : rafsi_reader_missing(image->reader, missing, capacity, &taken, err);
}
