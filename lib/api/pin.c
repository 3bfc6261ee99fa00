/* SPDX-License-Identifier: Apache-2.0 */
/* Images that stay in the cache. */
#include <stdio.h>

#include "api/api.h"

typedef int (*marker)(rafs_cache *cache, const char *name, rafs_error *err);

static int for_all(const rafs_image *image, marker mark, rafs_error *err)
{
    int rc = RAFS_OK;

    if (!image)
        return rafsi_fail_null(err, "image");
    if (!image->cache)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "image",
                          "was opened without a cache");
    for (uint32_t i = 0; rc == RAFS_OK && i < image->tree->super.blob_count; i++)
        rc = mark(image->cache, rafsi_reader_kept_id(image->reader, i), err);
    for (uint32_t i = 0; rc == RAFS_OK && i < image->documents.count; i++) {
        char name[96], hex[65];

        rafsi_digest_hex(image->documents.at[i].digest, hex);
        snprintf(name, sizeof(name), "%s-%s.doc", image->documents.at[i].kind, hex);
        rc = mark(image->cache, name, err);
    }
    return rc;
}

int rafs_image_pin(const rafs_image *image, rafs_error *err)
{
    return for_all(image, rafs_cache_pin, err);
}

int rafs_image_unpin(const rafs_image *image, rafs_error *err)
{
    return for_all(image, rafs_cache_unpin, err);
}
