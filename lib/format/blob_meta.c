/* SPDX-License-Identifier: Apache-2.0 */
#include "format/format.h"
#include "rafs/image.h"

#define CI_MAGIC 0xb10bb10bu
#define COMPRESSED_OFFSET_MASK 0xffffffffffull /* 40 bits */
#define V1_OFFSET_MASK 0xffffffff000ull
#define CI_FLAGS_KNOWN (CI_COMPRESSED | CI_ZRAN | CI_BATCH | CI_ENCRYPTED | CI_HAS_CRC32)

uint64_t rafsi_blob_data_bytes(const struct blob_record *blob)
{
    uint64_t header = blob->features & RAFS_BLOB_HAS_TAR_HEADER ? TAR_HEADER_BYTES : 0;
    uint64_t end = blob->compressed_size;

    /* Before nydus 2.2 the fields behind CAP_TAR_TOC meant nothing. */
    if ((blob->features & RAFS_BLOB_SEPARATE) ||
        !(blob->features & RAFS_BLOB_CAP_TAR_TOC))
        return end;
    if (blob->ci_uncompressed_size != 0)
        end = blob->ci_offset;
    return end > header ? end - header : 0;
}

/* The header repeats what the bootstrap says of the array. */
struct ci_claims {
    uint32_t compressor;
    uint32_t entries;
    uint64_t offset;
    uint64_t compressed_size;
    uint64_t uncompressed_size;
};

static int check_claims(const struct ci_claims *claims, const struct blob_record *blob,
                        uint64_t at, rafs_error *err)
{
    if (claims->compressor != blob->ci_compressor)
        return rafsi_corrupt(err, at + 8,
                             "compression information has another "
                             "compressor than the bootstrap says");
    if (claims->entries != blob->chunk_count && !(blob->features & RAFS_BLOB_CHUNKDICT))
        return rafsi_corrupt(err, at + 12, "%u entries for %u chunks", claims->entries,
                             blob->chunk_count);
    if (claims->entries == 0 || claims->entries > RAFS_CHUNKS_PER_BLOB_MAX)
        return rafsi_corrupt(err, at + 12, "%u chunks in one blob", claims->entries);
    if (claims->offset != blob->ci_offset)
        return rafsi_corrupt(err, at + 16,
                             "compression information lies elsewhere "
                             "than the bootstrap says");
    if (claims->compressed_size != blob->ci_compressed_size ||
        claims->uncompressed_size != blob->ci_uncompressed_size)
        return rafsi_corrupt(err, at + 24,
                             "compression information has another size "
                             "than the bootstrap says");
    return RAFS_OK;
}

static int check_contexts(const struct ci_header *header, uint64_t array_bytes,
                          uint64_t ci_bytes, uint64_t at, rafs_error *err)
{
    if (header->contexts_at != array_bytes ||
        !rafsi_within(header->contexts_at, header->contexts_bytes, ci_bytes))
        return rafsi_corrupt(err, at + 40, "contexts do not follow the entries");
    if (header->contexts > header->entries ||
        (uint64_t)header->contexts * CI_BATCH_BYTES > header->contexts_bytes)
        return rafsi_corrupt(err, at + 56, "%u contexts for %u chunks in %llu bytes",
                             header->contexts, header->entries,
                             (unsigned long long)header->contexts_bytes);
    return RAFS_OK;
}

/*
 * CI header, 4096 bytes behind the stored array.
 *
 *   0 u32 magic       4 u32 features     8 u32 compressor   12 u32 entries
 *  16 u64 CI offset  24 u64 stored size 32 u64 uncompressed size
 *  40 u64 contexts   48 u64 their size  56 u32 how many
 *  60 zeros        4092 u32 magic
 *
 * Contexts are those of batches or of ZRAN. The features are a copy that nobody compares.
 * Source: blob.md, 7.
 */
int rafsi_ci_header(struct span bytes, const struct blob_record *blob,
                    struct ci_header *out, rafs_error *err)
{
    bool v2 = blob->features & RAFS_BLOB_CHUNK_INFO_V2;
    bool contexts = blob->features & (RAFS_BLOB_BATCH | RAFS_BLOB_ZRAN);
    struct cursor c = cursor_of(bytes);
    struct ci_header header = {0};
    struct ci_claims claims;
    uint32_t first, last;
    uint64_t array_bytes;
    int rc;

    first = take_u32(&c);
    take_skip(&c, 4);
    claims.compressor = take_u32(&c);
    claims.entries = header.entries = take_u32(&c);
    claims.offset = take_u64(&c);
    claims.compressed_size = take_u64(&c);
    claims.uncompressed_size = take_u64(&c);
    header.contexts_at = take_u64(&c);
    header.contexts_bytes = take_u64(&c);
    header.contexts = take_u32(&c);
    take_skip(&c, CI_HEADER_BYTES - 64);
    last = take_u32(&c);
    if (c.overrun)
        return rafsi_corrupt(err, bytes.origin, "CI header is cut short");
    if (first != CI_MAGIC || last != CI_MAGIC)
        return rafsi_corrupt(err, bytes.origin + (first != CI_MAGIC ? 0 : 4092),
                             "no CI header here");
    rc = check_claims(&claims, blob, bytes.origin, err);
    if (rc < 0)
        return rc;
    if (contexts && !v2)
        return rafsi_corrupt(err, bytes.origin + 4, "contexts with entries of version 1");
    header.entry_bytes = v2 ? CI_V2_BYTES : CI_V1_BYTES;
    array_bytes = (uint64_t)header.entries * header.entry_bytes;
    if (contexts)
        rc = check_contexts(&header, array_bytes, claims.uncompressed_size, bytes.origin,
                            err);
    else if (claims.uncompressed_size != array_bytes)
        rc = rafsi_corrupt(err, bytes.origin + 32, "%llu bytes for %u entries",
                           (unsigned long long)claims.uncompressed_size, header.entries);
    if (rc < 0)
        return rc;
    if (!contexts)
        header.contexts = 0;
    *out = header;
    return RAFS_OK;
}

/*
 * Version 1, 16 bytes: two u64, of the uncompressed and of the stored chunk. Bits 63-44
 * low part of size - 1. Uncompressed: bits 43-12 offset / 4096, bits 11-8 high part of
 * size - 1. Stored: bits 43-40 high part of size - 1, bits 39-0 offset. A chunk is
 * compressed if the sizes differ. Source: blob.md, 8.
 */
static void take_v1(struct cursor *c, struct ci_entry *entry)
{
    uint64_t plain = take_u64(c);
    uint64_t stored = take_u64(c);

    entry->uncompressed_offset = plain & V1_OFFSET_MASK;
    entry->uncompressed_size = (uint32_t)((plain >> 44) | ((plain >> 8) & 0xf) << 20) + 1;
    entry->compressed_offset = stored & COMPRESSED_OFFSET_MASK;
    entry->compressed_size =
        (uint32_t)((stored >> 44) | ((stored >> 40) & 0xf) << 20) + 1;
    if (entry->compressed_size != entry->uncompressed_size)
        entry->flags = CI_COMPRESSED;
}

/*
 * Version 2, 24 bytes, three u64. First: bits 31-0 uncompressed offset / 4096, bits 55-32
 * uncompressed size - 1, bits 63-56 flags. Second: bits 39-0 compressed offset, bits
 * 63-40 compressed size, which is not minus one. Third: batch or ZRAN: bits 63-32
 * context, bits 31-0 offset in its output; else bits 31-0 CRC-32C, if the flag says so.
 * Source: blob.md, 9.
 */
static void take_v2(struct cursor *c, struct ci_entry *entry)
{
    uint64_t plain = take_u64(c);
    uint64_t stored = take_u64(c);
    uint64_t data = take_u64(c);

    entry->uncompressed_offset = (plain & 0xffffffff) * V6_BLOCK_BYTES;
    entry->uncompressed_size = (uint32_t)((plain >> 32) & 0xffffff) + 1;
    entry->flags = (uint32_t)(plain >> 56);
    entry->compressed_offset = stored & COMPRESSED_OFFSET_MASK;
    entry->compressed_size = (uint32_t)(stored >> 40);
    if (entry->flags & (CI_BATCH | CI_ZRAN)) {
        entry->batch_index = (uint32_t)(data >> 32);
        entry->batch_offset = (uint32_t)data;
    } else if (entry->flags & CI_HAS_CRC32) {
        entry->crc32 = (uint32_t)data;
    }
}

/* Flags against each other and against the blob. */
static int check_flags(const struct ci_entry *entry, const struct blob_record *blob,
                       uint64_t at, rafs_error *err)
{
    uint32_t flags = entry->flags;

    if (flags & ~(uint32_t)CI_FLAGS_KNOWN)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, at,
                             "chunk with unknown flags (0x%x)", flags);
    if (((flags & CI_BATCH) && !(blob->features & RAFS_BLOB_BATCH)) ||
        ((flags & CI_ZRAN) && !(blob->features & RAFS_BLOB_ZRAN)) ||
        ((flags & CI_ENCRYPTED) && !(blob->features & RAFS_BLOB_ENCRYPTED)))
        return rafsi_corrupt(err, at, "chunk flags 0x%x in a blob of features 0x%x",
                             flags, blob->features);
    if ((flags & CI_HAS_CRC32) && !(flags & (CI_BATCH | CI_ZRAN)) && entry->crc32 == 0)
        return rafsi_corrupt(err, at + 16,
                             "chunk with a CRC of 0, which stands for none");
    return RAFS_OK;
}

static int check_sizes(const struct ci_entry *entry, const struct blob_record *blob,
                       uint64_t at, rafs_error *err)
{
    bool changed = entry->flags & (CI_COMPRESSED | CI_ENCRYPTED | CI_BATCH | CI_ZRAN);

    if (entry->uncompressed_size > blob->chunk_size)
        return rafsi_corrupt(err, at, "chunk of %u bytes", entry->uncompressed_size);
    if (!rafsi_within(entry->uncompressed_offset, entry->uncompressed_size,
                      blob->uncompressed_size))
        return rafsi_corrupt(err, at, "chunk lies beyond its uncompressed blob");
    if (entry->compressed_size == 0 && !(entry->flags & CI_BATCH) &&
        !(blob->features & RAFS_BLOB_SEPARATE))
        return rafsi_corrupt(err, at + 8, "chunk of 0 stored bytes");
    if (!rafsi_within(entry->compressed_offset, entry->compressed_size,
                      rafsi_blob_data_bytes(blob)))
        return rafsi_corrupt(err, at + 8, "chunk lies beyond its blob");
    if (!changed && entry->compressed_size != entry->uncompressed_size)
        return rafsi_corrupt(err, at + 8, "chunk of %u bytes is stored plain in %u",
                             entry->uncompressed_size, entry->compressed_size);
    /* Members of a batch bear the flag even where the batch is stored plain. */
    if ((entry->flags & CI_COMPRESSED) && !(entry->flags & CI_BATCH) &&
        blob->compressor == RAFS_COMPRESSOR_NONE)
        return rafsi_corrupt(err, at, "compressed chunk in a blob without a compressor");
    return RAFS_OK;
}

int rafsi_ci_entry(struct span array, const struct ci_header *header,
                   const struct blob_record *blob, uint64_t i, struct ci_entry *out,
                   rafs_error *err)
{
    struct cursor c = cursor_at_entry(array, i, header->entry_bytes);
    uint64_t at = cursor_offset(&c);
    struct ci_entry entry = {0};
    int rc;

    if (header->entry_bytes == CI_V2_BYTES)
        take_v2(&c, &entry);
    else
        take_v1(&c, &entry);
    if (c.overrun || i >= header->entries)
        return rafsi_corrupt(err, at, "chunk %llu of %u", (unsigned long long)i,
                             header->entries);
    rc = check_flags(&entry, blob, at, err);
    if (rc < 0)
        return rc;
    rc = check_sizes(&entry, blob, at, err);
    if (rc < 0)
        return rc;
    *out = entry;
    return RAFS_OK;
}

/*
 * Batch context, 40 bytes: 0 u32 stored size | 4 u32 uncompressed size, the sum of its
 * members' | 8 reserved: 32. It is stored where its members say. Source: blob.md, 11.
 */
int rafsi_ci_batch(struct span array, const struct ci_header *header,
                   const struct blob_record *blob, const struct ci_entry *entry,
                   struct ci_batch *out, rafs_error *err)
{
    struct span contexts = {NULL, 0, array.origin + header->contexts_at};
    struct ci_batch batch;
    struct cursor c;
    uint64_t at;

    if (rafsi_within(header->contexts_at, header->contexts_bytes, array.len)) {
        contexts.at = array.at + header->contexts_at;
        contexts.len = (size_t)header->contexts_bytes;
    }
    c = cursor_at_entry(contexts, entry->batch_index, CI_BATCH_BYTES);
    at = cursor_offset(&c);
    batch.compressed_size = take_u32(&c);
    batch.uncompressed_size = take_u32(&c);
    if (c.overrun || entry->batch_index >= header->contexts)
        return rafsi_corrupt(err, at, "batch %u of %u", entry->batch_index,
                             header->contexts);
    if (batch.compressed_size == 0 || batch.compressed_size > batch.uncompressed_size ||
        batch.uncompressed_size > RAFS_CHUNK_SIZE_MAX)
        return rafsi_corrupt(err, at, "batch of %u bytes, stored in %u",
                             batch.uncompressed_size, batch.compressed_size);
    if (batch.compressed_size != batch.uncompressed_size &&
        blob->compressor == RAFS_COMPRESSOR_NONE)
        return rafsi_corrupt(err, at, "compressed batch in a blob without a compressor");
    if (!rafsi_within(entry->compressed_offset, batch.compressed_size,
                      rafsi_blob_data_bytes(blob)))
        return rafsi_corrupt(err, at, "batch lies beyond its blob");
    if (!rafsi_within(entry->batch_offset, entry->uncompressed_size,
                      batch.uncompressed_size))
        return rafsi_corrupt(err, at, "chunk lies beyond its batch of %u bytes",
                             batch.uncompressed_size);
    *out = batch;
    return RAFS_OK;
}

static void put_v1(struct pen *pen, const struct ci_entry *entry)
{
    uint64_t plain = entry->uncompressed_size - 1;
    uint64_t stored = entry->compressed_size - 1;

    put_u64(pen, plain << 44 | (plain >> 20 & 0xf) << 8 | entry->uncompressed_offset);
    put_u64(pen, stored << 44 | (stored >> 20 & 0xf) << 40 | entry->compressed_offset);
}

static void put_v2(struct pen *pen, const struct ci_entry *entry)
{
    put_u64(pen, (uint64_t)entry->flags << 56 |
                     (uint64_t)(entry->uncompressed_size - 1) << 32 |
                     entry->uncompressed_offset / V6_BLOCK_BYTES);
    put_u64(pen, (uint64_t)entry->compressed_size << 40 | entry->compressed_offset);
    if (entry->flags & (CI_BATCH | CI_ZRAN))
        put_u64(pen, (uint64_t)entry->batch_index << 32 | entry->batch_offset);
    else
        put_u64(pen, entry->flags & CI_HAS_CRC32 ? entry->crc32 : 0);
}

void rafsi_ci_put_entry(const struct ci_entry *entry, uint32_t entry_bytes,
                        uint8_t out[CI_V2_BYTES])
{
    struct pen pen = pen_of(out, entry_bytes);

    if (entry_bytes == CI_V2_BYTES)
        put_v2(&pen, entry);
    else
        put_v1(&pen, entry);
}

void rafsi_ci_put_batch(const struct ci_batch *batch, uint8_t out[CI_BATCH_BYTES])
{
    struct pen pen = pen_of(out, CI_BATCH_BYTES);

    put_u32(&pen, batch->compressed_size);
    put_u32(&pen, batch->uncompressed_size);
    put_zeros(&pen, CI_BATCH_BYTES - 8);
}

void rafsi_ci_put_header(const struct ci_header *header, const struct blob_record *blob,
                         uint8_t out[CI_HEADER_BYTES])
{
    struct pen pen = pen_of(out, CI_HEADER_BYTES);

    put_u32(&pen, CI_MAGIC);
    put_u32(&pen, blob->features);
    put_u32(&pen, blob->ci_compressor);
    put_u32(&pen, header->entries);
    put_u64(&pen, blob->ci_offset);
    put_u64(&pen, blob->ci_compressed_size);
    put_u64(&pen, blob->ci_uncompressed_size);
    put_u64(&pen, header->contexts_at);
    put_u64(&pen, header->contexts_bytes);
    put_u32(&pen, header->contexts);
    put_zeros(&pen, CI_HEADER_BYTES - 64);
    put_u32(&pen, CI_MAGIC);
}
