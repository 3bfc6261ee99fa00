/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api.h"

int rafs_image_fill_file(const rafs_image *image, uint32_t blob, int32_t *fd,
                         uint64_t *size, const rafs_call *call, rafs_error *err)
{
    uint64_t bytes;
    rafs_call taken;
    int file, rc;

    if (!image || !fd || !size)
        return rafsi_fail_null(err, image ? "fd or size" : "image");
    rc = rafsi_call_take(call, &taken, err);
    if (rc == RAFS_OK)
        rc = rafsi_reader_fill_file(image->reader, blob, &file, &bytes, &taken, err);
    if (rc < 0)
        return rc;
    *fd = file;
    *size = bytes;
    return RAFS_OK;
}

static int fill(const rafs_image *image, uint32_t blob, uint64_t offset, uint64_t len,
                bool kept, rafs_filled *filled, const rafs_call *call, rafs_error *err)
{
    rafs_filled made = {.struct_size = sizeof(made)}, asked;
    struct rafsi_filled seen;
    rafs_call taken;
    int rc;

    if (!image)
        return rafsi_fail_null(err, "image");
    rc = rafsi_take_struct(filled, &asked, sizeof(asked), "rafs_filled", err);
    if (rc == RAFS_OK)
        rc = rafsi_call_take(call, &taken, err);
    if (rc == RAFS_OK)
        rc =
            rafsi_reader_fill(image->reader, blob, offset, len, kept, &seen, &taken, err);
    if (rc < 0 || !filled)
        return rc;
    made.begin = seen.begin;
    made.end = seen.end;
    return rafsi_give_struct(&made, sizeof(made), filled, "rafs_filled", err);
}

int rafs_image_fill(const rafs_image *image, uint32_t blob, uint64_t offset, uint64_t len,
                    rafs_filled *filled, const rafs_call *call, rafs_error *err)
{
    return fill(image, blob, offset, len, false, filled, call, err);
}

int rafs_image_fill_kept(const rafs_image *image, uint32_t blob, uint64_t offset,
                         uint64_t len, rafs_filled *filled, const rafs_call *call,
                         rafs_error *err)
{
    return filled ? fill(image, blob, offset, len, true, filled, call, err)
                  : rafsi_fail_null(err, "filled");
}
