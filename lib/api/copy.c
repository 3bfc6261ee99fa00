/* SPDX-License-Identifier: Apache-2.0 */
/* Images from one place to another. */
#include "api/pull.h"
#include "convert/convert.h"

void rafs_copy_options_init(rafs_copy_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

static int take_options(const rafs_copy_options *options, rafs_copy_options *out,
                        rafs_error *err)
{
    struct oci_platform platform;
    int rc = rafsi_take_struct(options, out, sizeof(*out), "rafs_copy_options", err);

    if (rc == RAFS_OK && (out->flags & ~(uint32_t)(RAFS_COPY_ALL | RAFS_COPY_REFERRERS)))
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "rafs_copy_options",
                        "flags 0x%x are not known", out->flags);
    if (rc == RAFS_OK && out->threads > COPY_THREADS_MAX)
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_copy_options",
                        "more than %d threads", COPY_THREADS_MAX);
    if (rc == RAFS_OK && out->platform)
        rc = rafsi_oci_platform_parse(out->platform, &platform, err);
    if (rc == RAFS_OK && out->threads == 0)
        out->threads = COPY_THREADS;
    return rc;
}

int rafs_copy(rafs_origin *from, rafs_target *to, const rafs_copy_options *options,
              rafs_copy_result *result, const rafs_call *call, rafs_error *err)
{
    rafs_copy_result made = {.struct_size = sizeof(made)};
    rafs_copy_options wanted;
    rafs_call taken;
    int rc;

    if (!from || !to)
        return rafsi_fail_null(err, from ? "to" : "from");
    if (result && (result->struct_size < 4 || result->struct_size > 65536))
        return rafsi_give_struct(&made, sizeof(made), result, "rafs_copy_result", err);
    rc = take_options(options, &wanted, err);
    if (rc == RAFS_OK)
        rc = rafsi_call_take(call, &taken, err);
    if (rc == RAFS_OK)
        rc = rafsi_copy(from, to, &wanted, &made, &taken, err);
    if (rc == RAFS_OK && result)
        rc = rafsi_give_struct(&made, sizeof(made), result, "rafs_copy_result", err);
    return rc;
}
