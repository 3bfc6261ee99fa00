/* SPDX-License-Identifier: Apache-2.0 */
#include "format/format.h"
#include "rafs/image.h"

#define COMPRESSED_MAX (1ull << 40)
#define UNCOMPRESSED_MAX (1ull << 44)
#define FEATURES_UNKNOWN 0x8000f000u /* of those that change what bytes mean */
#define CIPHER_MAX 1

static int unsupported(rafs_error *err, uint64_t at, const char *what, uint32_t value)
{
    return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, at,
                         "%s (0x%x)", what, value);
}

/* A blob id in a field of 64 bytes, padded with NULs, which a full one lacks. */
static int take_id(struct cursor *c, char id[RAFS_BLOB_ID_MAX + 8], rafs_error *err)
{
    uint64_t at = cursor_offset(c);
    size_t len;

    memset(id, 0, RAFS_BLOB_ID_MAX + 8);
    take_copy(c, id, RAFS_BLOB_ID_MAX);
    if (c->overrun)
        return rafsi_corrupt(err, at, "file ends within a blob id");
    len = strnlen(id, RAFS_BLOB_ID_MAX);
    if (!rafsi_all_zero((const uint8_t *)id + len, RAFS_BLOB_ID_MAX - len))
        return rafsi_corrupt(err, at, "blob id with a NUL inside");
    return rafsi_check_blob_id((const uint8_t *)id, len, at, err);
}

/*
 * Device slot, 128 bytes: 0 raw blob id, 64 | 64 u32 blocks | 68 u32 first block on a
 * disk of all devices, which is of no use here | 72 reserved.
 * Source: erofs_deviceslot of Linux; bootstrap-v6.md, 4.
 */
int rafsi_v6_device(struct span bytes, struct v6_device *out, rafs_error *err)
{
    struct cursor c = cursor_of(bytes);
    struct v6_device device;
    int rc = take_id(&c, device.tag, err);

    if (rc < 0)
        return rc;
    device.blocks = take_u32(&c);
    device.mapped = take_u32(&c);
    take_skip(&c, V6_DEVICE_BYTES - 72);
    if (c.overrun)
        return rafsi_corrupt(err, bytes.origin, "file ends within a device slot");
    if (device.blocks == 0)
        return rafsi_corrupt(err, bytes.origin + 64, "device without blocks");
    *out = device;
    return RAFS_OK;
}

void rafsi_v6_device_put(const struct v6_device *device, uint8_t out[V6_DEVICE_BYTES])
{
    struct pen pen = pen_of(out, V6_DEVICE_BYTES);

    put_bytes(&pen, device->tag, RAFS_BLOB_ID_MAX);
    put_u32(&pen, device->blocks);
    put_u32(&pen, device->mapped);
    put_zeros(&pen, V6_DEVICE_BYTES - 72);
}

/* Ids and feature bits: what decides whether the rest is understood. */
static int check_kind(const struct blob_record *blob, uint64_t at, rafs_error *err)
{
    uint32_t features = blob->features;
    bool needs_v2 = features & (RAFS_BLOB_ZRAN | RAFS_BLOB_BATCH | RAFS_BLOB_ENCRYPTED);

    if (blob->compressor > RAFS_COMPRESSOR_ZSTD)
        return unsupported(err, at + 76, "unknown compressor", blob->compressor);
    if (blob->digest_algorithm > 1)
        return unsupported(err, at + 80, "unknown digest algorithm",
                           blob->digest_algorithm);
    if (features & FEATURES_UNKNOWN)
        return unsupported(err, at + 84, "blob with unknown features", features);
    if (blob->ci_compressor > RAFS_COMPRESSOR_ZSTD)
        return unsupported(err, at + 108, "unknown compressor", blob->ci_compressor);
    if (blob->cipher > CIPHER_MAX)
        return unsupported(err, at + 216, "unknown cipher", blob->cipher);
    if (features & RAFS_BLOB_TARFS)
        return rafsi_corrupt(err, at + 84, "tar blob in an image that is not tarfs");
    /* The reference writes external blobs without the bit, and then refuses them. */
    if (!(features & (RAFS_BLOB_ALIGNED | RAFS_BLOB_EXTERNAL)))
        return rafsi_corrupt(err, at + 84, "blob whose chunks are not aligned");
    if (needs_v2 && !(features & RAFS_BLOB_CHUNK_INFO_V2))
        return rafsi_corrupt(err, at + 84, "blob features 0x%x contradict each other",
                             features);
    if ((features & RAFS_BLOB_ZRAN) && (features & RAFS_BLOB_BATCH))
        return rafsi_corrupt(err, at + 84, "blob features 0x%x contradict each other",
                             features);
    return RAFS_OK;
}

/* The size of the compression information follows from the number of chunks. */
static int check_ci(const struct blob_record *blob, uint64_t at, rafs_error *err)
{
    uint64_t v1 = (uint64_t)blob->chunk_count * CI_V1_BYTES;
    uint64_t v2 = (uint64_t)blob->chunk_count * CI_V2_BYTES;
    uint64_t end;
    bool fits;

    if (!rafsi_add(blob->ci_offset, blob->ci_compressed_size, &end))
        return rafsi_corrupt(err, at + 112, "compression information wraps around");
    if (blob->ci_compressed_size > blob->ci_uncompressed_size)
        return rafsi_corrupt(err, at + 120,
                             "compression information grew when it was compressed");
    if (blob->features & RAFS_BLOB_EXTERNAL)
        return RAFS_OK;
    if (blob->features & (RAFS_BLOB_BATCH | RAFS_BLOB_ZRAN | RAFS_BLOB_ENCRYPTED))
        fits = blob->ci_uncompressed_size >= v2;
    else if (blob->features & RAFS_BLOB_CHUNK_INFO_V2)
        fits = blob->ci_uncompressed_size == v2;
    else
        fits = blob->ci_uncompressed_size == v1 || (blob->features & RAFS_BLOB_CHUNKDICT);
    if (!fits)
        return rafsi_corrupt(
            err, at + 128, "%llu bytes of compression information for %u chunks",
            (unsigned long long)blob->ci_uncompressed_size, blob->chunk_count);
    return RAFS_OK;
}

static int check_blob(const struct blob_record *blob, uint32_t chunk_size, uint64_t at,
                      rafs_error *err)
{
    int rc = check_kind(blob, at, err);

    if (rc < 0)
        return rc;
    if (blob->chunk_size != chunk_size)
        return rafsi_corrupt(err, at + 68, "blob of another chunk size than the image's");
    if (blob->chunk_count > RAFS_CHUNKS_PER_BLOB_MAX)
        return rafsi_corrupt(err, at + 72, "%u chunks in one blob", blob->chunk_count);
    if (blob->compressed_size > COMPRESSED_MAX)
        return rafsi_corrupt(err, at + 88, "blob is larger than 2^40 bytes");
    if (blob->uncompressed_size > UNCOMPRESSED_MAX)
        return rafsi_corrupt(err, at + 96, "blob holds more than 2^44 bytes");
    return check_ci(blob, at, err);
}

/*
 * Blob table record, 256 bytes.
 *
 *   0 raw id: 64            64 u32 its place in the table   68 u32 chunk size
 *  72 u32 chunks            76 u32 compressor               80 u32 digest algorithm
 *  84 u32 features          88 u64 compressed size          96 u64 uncompressed size
 * 104 u32 TOC size         108 u32 CI compressor           112 u64 CI offset
 * 120 u64 CI stored size   128 u64 CI uncompressed size    136 TOC digest: 32
 * 168 meta blob digest: 32 200 u64 meta blob size          208 u64 cipher IV
 * 216 u32 cipher           220 reserved: 36
 *
 * In encrypted blobs the key lies at 168 and the IV at 200 and 208. Source:
 * bootstrap-v6.md, 5.
 */
int rafsi_v6_blob(struct span bytes, uint32_t index, uint32_t chunk_size,
                  struct blob_record *out, rafs_error *err)
{
    struct cursor c = cursor_of(bytes);
    struct blob_record blob = {0};
    uint32_t place;
    int rc = take_id(&c, blob.id, err);

    if (rc < 0)
        return rc;
    place = take_u32(&c);
    blob.chunk_size = take_u32(&c);
    blob.chunk_count = take_u32(&c);
    blob.compressor = take_u32(&c);
    blob.digest_algorithm = take_u32(&c);
    blob.features = take_u32(&c);
    blob.compressed_size = take_u64(&c);
    blob.uncompressed_size = take_u64(&c);
    blob.toc_size = take_u32(&c);
    blob.ci_compressor = take_u32(&c);
    blob.ci_offset = take_u64(&c);
    blob.ci_compressed_size = take_u64(&c);
    blob.ci_uncompressed_size = take_u64(&c);
    take_copy(&c, blob.toc_digest, sizeof(blob.toc_digest));
    take_copy(&c, blob.meta_digest, sizeof(blob.meta_digest));
    blob.meta_size = take_u64(&c);
    blob.cipher_iv = take_u64(&c);
    blob.cipher = take_u32(&c);
    take_skip(&c, 36);
    if (c.overrun)
        return rafsi_corrupt(err, bytes.origin, "file ends within a blob record");
    if (place != index)
        return rafsi_corrupt(err, bytes.origin + 64, "record of blob %u at place %u",
                             place, index);
    rc = check_blob(&blob, chunk_size, bytes.origin, err);
    if (rc < 0)
        return rc;
    *out = blob;
    return RAFS_OK;
}

void rafsi_v6_blob_put(const struct blob_record *blob, uint32_t index,
                       uint8_t out[V6_BLOB_BYTES])
{
    struct pen pen = pen_of(out, V6_BLOB_BYTES);

    put_bytes(&pen, blob->id, RAFS_BLOB_ID_MAX);
    put_u32(&pen, index);
    put_u32(&pen, blob->chunk_size);
    put_u32(&pen, blob->chunk_count);
    put_u32(&pen, blob->compressor);
    put_u32(&pen, blob->digest_algorithm);
    put_u32(&pen, blob->features);
    put_u64(&pen, blob->compressed_size);
    put_u64(&pen, blob->uncompressed_size);
    put_u32(&pen, blob->toc_size);
    put_u32(&pen, blob->ci_compressor);
    put_u64(&pen, blob->ci_offset);
    put_u64(&pen, blob->ci_compressed_size);
    put_u64(&pen, blob->ci_uncompressed_size);
    put_bytes(&pen, blob->toc_digest, sizeof(blob->toc_digest));
    put_bytes(&pen, blob->meta_digest, sizeof(blob->meta_digest));
    put_u64(&pen, blob->meta_size);
    put_u64(&pen, blob->cipher_iv);
    put_u32(&pen, blob->cipher);
    put_zeros(&pen, 36);
}
