/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_FORMAT_H
#define RAFSI_FORMAT_H

/*
 * The door of format: bytes to plain C structs. Pure functions: no heap, no I/O, no
 * state. Each decoder gets exactly the bytes of its structure in a span, whose origin is
 * their position in the bootstrap or blob, and checks all that can be told from them
 * alone. Encoders are beside the decoders and check nothing: what they are given is their
 * caller's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arith.h"
#include "base/fail.h"
#include "base/span.h"
#include "rafs/limits.h"

/* Super block flags, both versions. */
enum {
    SB_COMPRESSION_NONE = 0x1,
    SB_COMPRESSION_LZ4 = 0x2,
    SB_HASH_BLAKE3 = 0x4,
    SB_HASH_SHA256 = 0x8,
    SB_EXPLICIT_UID_GID = 0x10,
    SB_HAS_XATTR = 0x20,
    SB_COMPRESSION_GZIP = 0x40,
    SB_COMPRESSION_ZSTD = 0x80,
    SB_INLINED_CHUNK_DIGEST = 0x100,
    SB_TARFS = 0x200,
    SB_ENCRYPTION_NONE = 0x1000000,
    SB_ENCRYPTION_AES_128_XTS = 0x2000000
};

/* Chunk flags of the 80-byte record. */
enum {
    CHUNK_COMPRESSED = 0x1,
    CHUNK_HOLE = 0x2,
    CHUNK_ENCRYPTED = 0x4,
    CHUNK_BATCH = 0x8,
    CHUNK_HAS_CRC32 = 0x10
};

#define CHUNK_RECORD_BYTES 80

/* The 80-byte chunk record of both versions. */
struct chunk_record {
    uint8_t digest[32];
    uint32_t blob;
    uint32_t flags;
    uint32_t compressed_size;
    uint32_t uncompressed_size;
    uint64_t compressed_offset;
    uint64_t uncompressed_offset;
    uint64_t file_offset; /* v5 only */
    uint32_t index;
    uint32_t crc32;
};

/* Checks flags, sizes against chunk_size and RAFS_CHUNK_SIZE_MAX, that offset + size do
 * not wrap. The blob number is the caller's to check. */
int rafsi_chunk_record(struct span bytes, uint32_t chunk_size, struct chunk_record *out,
                       rafs_error *err);

/* The way back; the record's numbers are the caller's. */
void rafsi_chunk_record_put(const struct chunk_record *chunk,
                            uint8_t out[CHUNK_RECORD_BYTES]);

/* The flags that name a compressor and a digest algorithm; 0 for ids that are unknown. */
uint64_t rafsi_super_flags_of(uint32_t compressor, uint32_t digest);

/* Decodes super block flags: compressor and digest as RAFS_COMPRESSOR_/RAFS_DIGEST_ ids.
 * strict (v6): exactly one bit of each kind; else (v5) none means lz4 and blake3. Unknown
 * bits are RAFS_E_UNSUPPORTED. */
int rafsi_super_flags(uint64_t flags, bool strict, uint64_t at, uint32_t *compressor,
                      uint32_t *digest, rafs_error *err);

/* A file name: 1 to 255 bytes, no '/' and NUL, not "." or "..". */
int rafsi_check_name(const uint8_t *name, size_t len, uint64_t at, rafs_error *err);

/* A blob id: 1 to 64 bytes, no '/', control characters, bytes above 126, leading '.'. */
int rafsi_check_blob_id(const uint8_t *id, size_t len, uint64_t at, rafs_error *err);

/* Which version do the first bytes (1152 or more, fewer if the file is shorter) claim? 5,
 * 6, or 0: no bootstrap. A plain EROFS image gives 0 and sets *plain_erofs. */
int rafsi_sniff(struct span head, bool *plain_erofs);

/* One blob of the table, both versions. v5 without an extended table: sizes and count 0,
 * features 0. */
struct blob_record {
    char id[RAFS_BLOB_ID_MAX + 8]; /* raw id as stored, NUL terminated */
    uint32_t features;
    uint32_t compressor;
    uint32_t digest_algorithm;
    uint32_t chunk_size;
    uint32_t chunk_count;
    uint64_t compressed_size;
    uint64_t uncompressed_size;
    uint64_t prefetch_size; /* v5 readahead */
    /* v6 */
    uint32_t toc_size;
    uint32_t ci_compressor;
    uint64_t ci_offset;
    uint64_t ci_compressed_size;
    uint64_t ci_uncompressed_size;
    uint8_t toc_digest[32];
    uint8_t meta_digest[32];
    uint64_t meta_size;
    uint64_t cipher_iv;
    uint32_t cipher;
};

#include "format/blob_meta.h"
#include "format/toc.h"
#include "format/trace.h"
#include "format/v5.h"
#include "format/v6.h"

#endif
