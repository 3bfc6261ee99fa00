/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api.h"

int rafs_trace_start(const rafs_image *image, rafs_error *err)
{
    return image ? rafsi_tracer_start(image->reader, err) : rafsi_fail_null(err, "image");
}

int rafs_trace_take(const rafs_image *image, rafs_trace **out, const rafs_call *call,
                    rafs_error *err)
{
    rafs_call taken;
    int rc;

    if (!image || !out)
        return rafsi_fail_null(err, image ? "out" : "image");
    rc = rafsi_call_take(call, &taken, err);
    return rc < 0 ? rc : rafsi_tracer_take(image->reader, &taken, out, err);
}

int rafs_trace_find(const rafs_image *image, rafs_trace **out, const rafs_call *call,
                    rafs_error *err)
{
    rafs_call taken;
    int rc;

    if (!image || !out)
        return rafsi_fail_null(err, image ? "out" : "image");
    rc = rafsi_call_take(call, &taken, err);
    return rc < 0 ? rc : rafsi_trace_find(image->reader, &taken, out, err);
}

int rafs_trace_keep(const rafs_image *image, const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc;

    if (!image)
        return rafsi_fail_null(err, "image");
    rc = rafsi_call_take(call, &taken, err);
    return rc < 0 ? rc : rafsi_trace_keep(image->reader, &taken, err);
}
