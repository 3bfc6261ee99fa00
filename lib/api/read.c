/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api.h"

enum { IOV_COUNT_MAX = 1024 };

int rafs_image_readv(const rafs_image *image, uint64_t ino, uint64_t offset,
                     const rafs_iovec *iov, size_t iov_count, size_t *nread,
                     const rafs_call *call, rafs_error *err)
{
    struct rafsi_node file;
    rafs_call taken;
    int rc;

    if (nread)
        *nread = 0;
    if (!image || !nread || (!iov && iov_count > 0))
        return rafsi_fail_null(err, image ? "iov or nread" : "image");
    if (iov_count > IOV_COUNT_MAX)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "iov_count",
                          "more than %d pieces", IOV_COUNT_MAX);
    rc = rafsi_call_take_read(call, &taken, err);
    if (rc == RAFS_OK)
        rc = rafsi_tree_file(image->tree, ino, &file, err);
    if (rc < 0)
        return rc;
    return rafsi_reader_read(image->reader, &file, offset, iov, iov_count, nread, &taken,
                             err);
}

int rafs_image_read(const rafs_image *image, uint64_t ino, uint64_t offset, size_t len,
                    void *buf, size_t *nread, const rafs_call *call, rafs_error *err)
{
    const rafs_iovec iov = {buf, len};

    return rafs_image_readv(image, ino, offset, &iov, 1, nread, call, err);
}

int rafs_image_get_extents(const rafs_image *image, uint64_t ino, uint64_t offset,
                           rafs_extent *extents, size_t capacity, size_t *count,
                           const rafs_call *call, rafs_error *err)
{
    struct rafsi_node file;
    rafs_call taken;
    int rc;

    if (count)
        *count = 0;
    if (!image || !count || (!extents && capacity > 0))
        return rafsi_fail_null(err, image ? "extents or count" : "image");
    rc = rafsi_call_take(call, &taken, err);
    if (rc == RAFS_OK)
        rc = rafsi_tree_file(image->tree, ino, &file, err);
    if (rc < 0)
        return rc;
    return rafsi_reader_extents(image->reader, &file, offset, extents, capacity, count,
                                &taken, err);
}
