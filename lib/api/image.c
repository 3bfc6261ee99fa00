/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api.h"

int rafsi_fail_null(rafs_error *err, const char *what)
{
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, what, "%s is NULL", what);
}

const char *rafs_version(void)
{
    return RAFS_VERSION_STRING;
}

int rafs_image_get_info(const rafs_image *image, rafs_image_info *info, rafs_error *err)
{
    const struct rafsi_super *super;
    rafs_image_info made = {0};

    if (!image || !info)
        return rafsi_fail_null(err, image ? "info" : "image");
    super = &image->tree->super;
    made.version = super->version;
    made.flags = super->flags;
    made.bootstrap_bytes = rafsi_source_size(image->tree->source);
    made.inodes = super->inodes;
    made.root = super->root;
    made.chunk_size = super->chunk_size;
    made.block_size = super->block_size;
    made.compressor = super->compressor;
    made.digest = super->digest_algorithm;
    made.blob_count = super->blob_count;
    made.prefetch_count = super->prefetch_count;
    made.inlined = image->inlined;
    made.pinned = image->pinned;
    return rafsi_give_struct(&made, sizeof(made), info, "rafs_image_info", err);
}

int rafs_image_get_blob(const rafs_image *image, uint32_t index, rafs_blob_info *info,
                        rafs_error *err)
{
    const struct blob_record *blob;
    rafs_blob_info made = {0};

    if (!image || !info)
        return rafsi_fail_null(err, image ? "info" : "image");
    if (index >= image->tree->super.blob_count)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "index",
                          "the image has %u blobs, no number %u",
                          image->tree->super.blob_count, index);
    blob = &image->tree->blobs[index];
    made.index = index;
    memcpy(made.id, blob->id, strlen(blob->id));
    made.features = blob->features;
    made.compressor = blob->compressor;
    made.digest = blob->digest_algorithm;
    made.chunk_count = blob->chunk_count;
    made.compressed_size = blob->compressed_size;
    made.uncompressed_size = blob->uncompressed_size;
    made.prefetch_size = blob->prefetch_size;
    return rafsi_give_struct(&made, sizeof(made), info, "rafs_blob_info", err);
}

int rafs_image_get_manifest(const rafs_image *image, char *digest, size_t room,
                            rafs_error *err)
{
    char text[sizeof("sha256:") + 2 * (size_t)RAFSI_DIGEST_BYTES];

    if (!image || !digest)
        return rafsi_fail_null(err, image ? "digest" : "image");
    if (!image->has_manifest)
        return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_ARGUMENT, "image",
                          "was not opened by a manifest");
    memcpy(text, "sha256:", sizeof("sha256:"));
    rafsi_digest_hex(image->manifest, text + strlen(text));
    if (strlen(text) >= room)
        return rafsi_fail(err, RAFS_E_RANGE, RAFS_STAGE_ARGUMENT, "digest",
                          "%zu bytes are needed", strlen(text) + 1);
    memcpy(digest, text, strlen(text) + 1);
    return RAFS_OK;
}

int rafs_image_get_prefetch(const rafs_image *image, uint32_t first, uint64_t *inos,
                            size_t capacity, size_t *count, rafs_error *err)
{
    if (count)
        *count = 0;
    if (!image || !count || (!inos && capacity > 0))
        return rafsi_fail_null(err, image ? "inos or count" : "image");
    return rafsi_tree_prefetch(image->tree, first, inos, capacity, count, err);
}

int rafs_image_get_stats(const rafs_image *image, rafs_stats *stats, rafs_error *err)
{
    rafs_stats made = {0};

    if (!image || !stats)
        return rafsi_fail_null(err, image ? "stats" : "image");
    rafsi_reader_stats(image->reader, &made);
    return rafsi_give_struct(&made, sizeof(made), stats, "rafs_stats", err);
}

void rafs_check_options_init(rafs_check_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

int rafs_image_check(const rafs_image *image, const rafs_check_options *options,
                     rafs_check_result *result, const rafs_call *call, rafs_error *err)
{
    rafs_check_options wishes;
    rafs_check_result made = {0};
    rafs_call taken;
    int given;
    int rc;

    if (!image || !result)
        return rafsi_fail_null(err, image ? "result" : "image");
    rc = rafsi_take_struct(options, &wishes, sizeof(wishes), "rafs_check_options", err);
    if (rc == RAFS_OK && (wishes.flags & ~(uint32_t)RAFS_CHECK_METADATA_ONLY) != 0)
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                        "rafs_check_options", "flags 0x%x are not known", wishes.flags);
    if (rc == RAFS_OK)
        rc = rafsi_call_take(call, &taken, err);
    if (rc < 0)
        return rc;
    rc = rafsi_reader_check(image->reader, &wishes, &made, &taken, err);
    given = rafsi_give_struct(&made, sizeof(made), result, "rafs_check_result",
                              rc < 0 ? NULL : err);
    return rc < 0 ? rc : given;
}
