/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_STORE_FILE_H
#define RAFSI_BUILD_STORE_FILE_H

/*
 * A file of the chunk store index. Little endian:
 *
 *   0   magic "RAFSCHIX"
 *   8   chunks, STORE_CHUNK_BYTES each, in ascending order of their digests, which
 * differ: digest[32], u64 compressed offset, u64 uncompressed offset, u32 compressed
 * size, u32 uncompressed size, u32 blob, u32 index, u32 flags, u32 CRC-32C …   blobs,
 * STORE_BLOB_BYTES each …   u32[65536]: of chunks whose digest begins with so many or
 * fewer, as a 16-bit number with its first byte on top …   footer of STORE_FOOTER_BYTES:
 * u32 version of this layout (1), u32 RAFS version, u32 digest algorithm, u32 chunk size,
 * u32 blobs, u32 chunks, and the BLAKE3 of all that lies before it
 *
 * The fields before the digest come last so that a file can be written in one go.
 */

#include "build/image.h"

#define STORE_MAGIC "RAFSCHIX"
enum {
    STORE_LAYOUT = 1,
    STORE_HEAD_BYTES = 8,
    STORE_CHUNK_BYTES = 72,
    STORE_BLOB_BYTES = 256,
    STORE_FAN = 65536,
    STORE_FOOTER_BYTES = 24 + RAFSI_DIGEST_BYTES,
    STORE_NAME_BYTES = 48
};

struct store_blob {
    struct blob_record record;
    uint64_t file_size; /* of the whole file */
};

/* A file that was read and whose digest is right. */
struct store_file {
    const struct rafsi_env *env;
    int fd; /* -1: none */
    uint32_t chunks;
    uint32_t blob_count;
    uint32_t *fan; /* STORE_FAN of them */
    struct store_blob *blobs;
};

/* "v6-blake3-1048576.chunks", "v5-sha256-65536-zstd.chunks" */
void rafsi_store_name(const struct build_image *image, char name[STORE_NAME_BYTES]);
/* Read and check; what: its path, for errors. RAFS_E_NOENT: there is none.
 * RAFS_E_CORRUPT: to be left out. */
int rafsi_store_open(const struct build_image *image, int dir, struct store_file *out,
                     const rafs_call *call, rafs_error *err);
void rafsi_store_close(struct store_file *file);
/* The chunk of a digest, *found, if there is one. record->blob is one of the file's. */
int rafsi_store_find(const struct store_file *file, const uint8_t digest[32],
                     struct chunk_record *record, bool *found, rafs_error *err);
/* Chunk i; RAFS_E_CORRUPT if it cannot be one of its blob's. */
int rafsi_store_chunks(const struct store_file *file, uint32_t first, uint32_t count,
                       struct chunk_record *out, rafs_error *err);

/* As on disk. */
void rafsi_store_put_chunk(const struct chunk_record *chunk,
                           uint8_t out[STORE_CHUNK_BYTES]);
void rafsi_store_put_blob(const struct store_blob *blob, uint8_t out[STORE_BLOB_BYTES]);

#endif
