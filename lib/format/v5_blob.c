/* SPDX-License-Identifier: Apache-2.0 */
#include "format/format.h"

#include <string.h>

#include "rafs/image.h"

/* Features of which a reader must know the meaning, and those it does. */
#define FEATURES_INCOMPATIBLE 0xffffu
#define FEATURES_KNOWN 0x0fffu
/* Made for v6 alone. Encrypted or batched chunks cannot be told from plain ones by a v5
 * chunk record, so that guessing would give wrong bytes or none. */
#define FEATURES_V6 \
    (RAFS_BLOB_ENCRYPTED | RAFS_BLOB_BATCH | RAFS_BLOB_ZRAN | RAFS_BLOB_TARFS)
#define FEATURE_INTERNAL 0x80000000u /* of the reference reader, never on disk */

/*
 * An entry of the blob table: 0 readahead offset; 4 readahead size; 8 blob id up to a NUL
 * or the end of the table. Not aligned. Source: RafsV5BlobTable of the reference writer.
 */
int rafsi_v5_blob(struct span head, struct blob_record *out, size_t *used,
                  rafs_error *err)
{
    struct cursor c = cursor_of(head);
    uint32_t readahead_offset = take_u32(&c);
    uint32_t readahead_size = take_u32(&c);
    size_t room = cursor_left(&c);
    const uint8_t *id = take_bytes(&c, room);
    const uint8_t *nul;
    size_t len;
    int rc;

    if (c.overrun || !id)
        return rafsi_corrupt(err, head.origin, "blob table ends within an entry");
    nul = room ? memchr(id, 0, room) : NULL;
    len = nul ? (size_t)(nul - id) : room;
    rc = rafsi_check_blob_id(id, len, head.origin + 8, err);
    if (rc < 0)
        return rc;
    *out = (struct blob_record){0};
    memcpy(out->id, id, len);
    /* What is to be read ahead begins with the blob. */
    out->prefetch_size = readahead_size ? (uint64_t)readahead_offset + readahead_size : 0;
    *used = 8 + len + (nul ? 1 : 0);
    return RAFS_OK;
}

void rafsi_v5_blob_put(const struct blob_record *blob, uint8_t out[V5_BLOB_HEAD_BYTES],
                       size_t *used)
{
    struct pen pen = pen_of(out, V5_BLOB_HEAD_BYTES);

    put_u32(&pen, 0);
    put_u32(&pen, (uint32_t)rafsi_min(blob->prefetch_size, UINT32_MAX));
    put_bytes(&pen, blob->id, strnlen(blob->id, RAFS_BLOB_ID_MAX));
    *used = pen.pos;
}

uint32_t rafsi_v5_blob_excess(const struct blob_record *blob)
{
    return blob->features & (uint32_t)FEATURES_V6;
}

/*
 * An entry of the extended blob table. 64 bytes: 0 number of chunks; 4 features; 8 plain
 * size (8); 16 stored size (8); 24 zeros. As of 2021 32 bytes: 0 number of chunks; 4
 * reserved; 8 plain size (8); 16 reserved. Source: RafsV5ExtBlobEntry.
 */
int rafsi_v5_extended_blob(struct span entry, struct blob_record *out, rafs_error *err)
{
    bool old = entry.len == V5_EXTENDED_OLD_BYTES;
    struct cursor c = cursor_of(entry);
    uint32_t chunk_count = take_u32(&c);
    uint32_t features = take_u32(&c);
    uint64_t uncompressed_size = take_u64(&c);
    uint64_t compressed_size = take_u64(&c);
    uint64_t at = entry.origin;

    if (c.overrun)
        return rafsi_corrupt(err, cursor_offset(&c), "extended blob table is cut short");
    if (old) {
        features = 0;
        compressed_size = 0;
    }
    if (chunk_count > RAFS_CHUNKS_PER_BLOB_MAX)
        return rafsi_corrupt(err, at, "blob of %u chunks; %u are allowed", chunk_count,
                             RAFS_CHUNKS_PER_BLOB_MAX);
    if (features & FEATURE_INTERNAL)
        return rafsi_corrupt(err, at + 4, "blob features 0x%x", features);
    if (features & FEATURES_INCOMPATIBLE & ~FEATURES_KNOWN)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, at + 4,
                             "blob has unknown features 0x%x",
                             features & FEATURES_INCOMPATIBLE & ~FEATURES_KNOWN);
    if (features & FEATURES_V6)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, at + 4,
                             "blob features 0x%x (encrypted, batch, zran or tarfs) in a "
                             "v5 image",
                             features & (uint32_t)FEATURES_V6);
    out->chunk_count = chunk_count;
    out->features = features;
    out->uncompressed_size = uncompressed_size;
    out->compressed_size = compressed_size;
    return RAFS_OK;
}

void rafsi_v5_extended_blob_put(const struct blob_record *blob,
                                uint8_t out[V5_EXTENDED_BYTES])
{
    struct pen pen = pen_of(out, V5_EXTENDED_BYTES);

    put_u32(&pen, blob->chunk_count);
    put_u32(&pen, blob->features);
    put_u64(&pen, blob->uncompressed_size);
    put_u64(&pen, blob->compressed_size);
    put_zeros(&pen, V5_EXTENDED_BYTES - 24);
}
