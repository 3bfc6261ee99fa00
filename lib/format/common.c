/* SPDX-License-Identifier: Apache-2.0 */
#include "format/format.h"

#include <string.h>

#include "rafs/digest.h"
#include "rafs/image.h"

#define V5_MAGIC 0x52414653u
#define V5_VERSION 0x500u
#define EROFS_MAGIC 0xe0f5e1e2u
#define EROFS_SUPER_AT 1024
#define EROFS_COMPAT_AT 1032
#define EROFS_COMPAT_RAFS_V6 0x40000000u

/* Flags 2^26 to 2^31 are kept for additions that a reader may ignore. */
#define SB_IGNORED 0xfc000000u
#define SB_COMPRESSION \
    (SB_COMPRESSION_NONE | SB_COMPRESSION_LZ4 | SB_COMPRESSION_GZIP | SB_COMPRESSION_ZSTD)
#define SB_HASH (SB_HASH_BLAKE3 | SB_HASH_SHA256)
#define SB_KNOWN                                                     \
    (SB_COMPRESSION | SB_HASH | SB_EXPLICIT_UID_GID | SB_HAS_XATTR | \
     SB_INLINED_CHUNK_DIGEST | SB_TARFS | SB_ENCRYPTION_NONE |       \
     SB_ENCRYPTION_AES_128_XTS | SB_IGNORED)
#define CHUNK_KNOWN \
    (CHUNK_COMPRESSED | CHUNK_HOLE | CHUNK_ENCRYPTED | CHUNK_BATCH | CHUNK_HAS_CRC32)

/* A compressor that cannot shrink its input adds a little; no builder keeps more than
 * that. The bound is what a reader has to fetch for one chunk. */
static uint64_t compressed_max(uint32_t chunk_size)
{
    return (uint64_t)chunk_size + chunk_size / 64 + 4096;
}

static int check_chunk(const struct chunk_record *chunk, uint64_t at, uint32_t chunk_size,
                       rafs_error *err)
{
    uint64_t end;

    if (chunk->flags & ~(uint32_t)CHUNK_KNOWN)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, at + 36,
                             "chunk has unknown flags 0x%x",
                             chunk->flags & ~(uint32_t)CHUNK_KNOWN);
    if (chunk->uncompressed_size == 0 || chunk->uncompressed_size > chunk_size ||
        chunk->uncompressed_size > RAFS_CHUNK_SIZE_MAX)
        return rafsi_corrupt(err, at + 44, "chunk of %u bytes; chunks hold 1 to %u",
                             chunk->uncompressed_size, chunk_size);
    if (chunk->compressed_size > compressed_max(chunk_size))
        return rafsi_corrupt(err, at + 40, "chunk of %u bytes is stored in %u",
                             chunk->uncompressed_size, chunk->compressed_size);
    if (!rafsi_add(chunk->compressed_offset, chunk->compressed_size, &end))
        return rafsi_corrupt(err, at + 48, "chunk's end in its blob overflows");
    if (!rafsi_add(chunk->uncompressed_offset, chunk->uncompressed_size, &end))
        return rafsi_corrupt(err, at + 56, "chunk's end in its plain blob overflows");
    if (!rafsi_add(chunk->file_offset, chunk->uncompressed_size, &end))
        return rafsi_corrupt(err, at + 64, "chunk's end in its file overflows");
    if (chunk->index >= RAFS_CHUNKS_PER_BLOB_MAX)
        return rafsi_corrupt(err, at + 72, "chunk number %u; blobs hold %u", chunk->index,
                             RAFS_CHUNKS_PER_BLOB_MAX);
    return RAFS_OK;
}

/*
 * A chunk record: 80 bytes. 0 digest of the plain bytes (32); 32 blob number; 36 flags;
 * 40 stored size; 44 plain size; 48 offset in the blob (8); 56 offset in the plain blob
 * (8); 64 offset in the file (8; v5 only); 72 number in the blob; 76 CRC-32C, if the flag
 * says so. Four bytes where not said. Source: RafsV5ChunkInfo of the reference writer.
 */
int rafsi_chunk_record(struct span bytes, uint32_t chunk_size, struct chunk_record *out,
                       rafs_error *err)
{
    struct cursor c = cursor_of(bytes);
    struct chunk_record chunk;
    int rc;

    take_copy(&c, chunk.digest, sizeof(chunk.digest));
    chunk.blob = take_u32(&c);
    chunk.flags = take_u32(&c);
    chunk.compressed_size = take_u32(&c);
    chunk.uncompressed_size = take_u32(&c);
    chunk.compressed_offset = take_u64(&c);
    chunk.uncompressed_offset = take_u64(&c);
    chunk.file_offset = take_u64(&c);
    chunk.index = take_u32(&c);
    chunk.crc32 = take_u32(&c);
    if (c.overrun)
        return rafsi_corrupt(err, cursor_offset(&c), "chunk record is cut short");
    rc = check_chunk(&chunk, bytes.origin, chunk_size, err);
    if (rc == RAFS_OK)
        *out = chunk;
    return rc;
}

void rafsi_chunk_record_put(const struct chunk_record *chunk,
                            uint8_t out[CHUNK_RECORD_BYTES])
{
    struct pen pen = pen_of(out, CHUNK_RECORD_BYTES);

    put_bytes(&pen, chunk->digest, sizeof(chunk->digest));
    put_u32(&pen, chunk->blob);
    put_u32(&pen, chunk->flags);
    put_u32(&pen, chunk->compressed_size);
    put_u32(&pen, chunk->uncompressed_size);
    put_u64(&pen, chunk->compressed_offset);
    put_u64(&pen, chunk->uncompressed_offset);
    put_u64(&pen, chunk->file_offset);
    put_u32(&pen, chunk->index);
    put_u32(&pen, chunk->crc32);
}

static int compressor_of(uint64_t flags, uint32_t *out)
{
    switch (flags & SB_COMPRESSION) {
    case SB_COMPRESSION_NONE:
        *out = RAFS_COMPRESSOR_NONE;
        return RAFS_OK;
    case 0: /* v5 before the flag was written */
    case SB_COMPRESSION_LZ4:
        *out = RAFS_COMPRESSOR_LZ4_BLOCK;
        return RAFS_OK;
    case SB_COMPRESSION_GZIP:
        *out = RAFS_COMPRESSOR_GZIP;
        return RAFS_OK;
    case SB_COMPRESSION_ZSTD:
        *out = RAFS_COMPRESSOR_ZSTD;
        return RAFS_OK;
    default:
        return RAFS_E_CORRUPT;
    }
}

uint64_t rafsi_super_flags_of(uint32_t compressor, uint32_t digest)
{
    static const uint64_t compressors[] = {
        [RAFS_COMPRESSOR_NONE] = SB_COMPRESSION_NONE,
        [RAFS_COMPRESSOR_LZ4_BLOCK] = SB_COMPRESSION_LZ4,
        [RAFS_COMPRESSOR_GZIP] = SB_COMPRESSION_GZIP,
        [RAFS_COMPRESSOR_ZSTD] = SB_COMPRESSION_ZSTD,
    };

    if (compressor >= sizeof(compressors) / sizeof(compressors[0]) ||
        (digest != RAFS_DIGEST_BLAKE3 && digest != RAFS_DIGEST_SHA256))
        return 0;
    return compressors[compressor] |
           (digest == RAFS_DIGEST_SHA256 ? SB_HASH_SHA256 : SB_HASH_BLAKE3);
}

int rafsi_super_flags(uint64_t flags, bool strict, uint64_t at, uint32_t *compressor,
                      uint32_t *digest, rafs_error *err)
{
    uint64_t unknown = flags & ~(uint64_t)SB_KNOWN;
    uint32_t found;

    if (unknown)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, at,
                             "super block has unknown flags 0x%llx",
                             (unsigned long long)unknown);
    if (compressor_of(flags, &found) < 0 || (strict && !(flags & SB_COMPRESSION)))
        return rafsi_corrupt(err, at, "super block names %s compressor",
                             flags & SB_COMPRESSION ? "more than one" : "no");
    if ((flags & SB_HASH) == SB_HASH || (strict && !(flags & SB_HASH)))
        return rafsi_corrupt(err, at, "super block names %s digest algorithm",
                             flags & SB_HASH ? "more than one" : "no");
    *compressor = found;
    *digest = flags & SB_HASH_SHA256 ? RAFS_DIGEST_SHA256 : RAFS_DIGEST_BLAKE3;
    return RAFS_OK;
}

int rafsi_check_name(const uint8_t *name, size_t len, uint64_t at, rafs_error *err)
{
    if (len == 0 || len > RAFS_NAME_MAX)
        return rafsi_corrupt(err, at, "file name of %zu bytes; 1 to %d are allowed", len,
                             RAFS_NAME_MAX);
    if (memchr(name, 0, len))
        return rafsi_corrupt(err, at, "file name holds a NUL");
    if (memchr(name, '/', len))
        return rafsi_corrupt(err, at, "file name holds a slash");
    if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
        return rafsi_corrupt(err, at, "entry is named \"%s\"", len == 1 ? "." : "..");
    return RAFS_OK;
}

/* The id becomes part of file names and URLs. */
int rafsi_check_blob_id(const uint8_t *id, size_t len, uint64_t at, rafs_error *err)
{
    if (len == 0 || len > RAFS_BLOB_ID_MAX)
        return rafsi_corrupt(err, at, "blob id of %zu bytes; 1 to %d are allowed", len,
                             RAFS_BLOB_ID_MAX);
    if (id[0] == '.')
        return rafsi_corrupt(err, at, "blob id begins with a dot");
    for (size_t i = 0; i < len; i++)
        if (id[i] <= 0x20 || id[i] > 126 || id[i] == '/')
            return rafsi_corrupt(err, at + i, "blob id holds the byte 0x%02x", id[i]);
    return RAFS_OK;
}

static uint32_t u32_at(struct span head, size_t offset)
{
    struct cursor c = cursor_of(head);

    take_skip(&c, offset);
    return take_u32(&c);
}

/*
 * v5: u32 0x52414653 at 0, u32 0x500 at 4. v6 is an EROFS image: u32 0xe0f5e1e2 at 1024,
 * told from others by the bit 0x40000000 of the compatible features, u32 at 1032.
 */
int rafsi_sniff(struct span head, bool *plain_erofs)
{
    *plain_erofs = false;
    if (u32_at(head, 0) == V5_MAGIC && u32_at(head, 4) == V5_VERSION)
        return 5;
    if (u32_at(head, EROFS_SUPER_AT) != EROFS_MAGIC)
        return 0;
    if (u32_at(head, EROFS_COMPAT_AT) & EROFS_COMPAT_RAFS_V6)
        return 6;
    *plain_erofs = true;
    return 0;
}
