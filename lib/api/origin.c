/* SPDX-License-Identifier: Apache-2.0 */
/* Places that are read as a whole. */
#include "api/pull.h"

void rafs_origin_options_init(rafs_origin_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

int rafs_origin_open(const char *where, const rafs_origin_options *options,
                     rafs_origin **out, const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc;

    if (!where || !out)
        return rafsi_fail_null(err, where ? "out" : "where");
    rc = rafsi_call_take(call, &taken, err);
    return rc < 0 ? rc : rafsi_origin_open(where, options, out, &taken, err);
}

void rafs_origin_close(rafs_origin *origin)
{
    rafsi_origin_close(origin);
}
