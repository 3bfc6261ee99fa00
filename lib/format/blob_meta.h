/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_FORMAT_BLOB_META_H
#define RAFSI_FORMAT_BLOB_META_H

/*
 * Compression information (CI) of a v6 blob: where each chunk lies in it. An array, which
 * may be stored compressed, and behind it a header, which never is.
 */

#include <stdint.h>

#include "base/span.h"
#include "rafs/error.h"

struct blob_record;

#define CI_HEADER_BYTES 4096u
#define CI_V1_BYTES 16u
#define CI_V2_BYTES 24u
#define CI_BATCH_BYTES 40u

/* Flags of an entry; v1 entries have at most CI_COMPRESSED. */
enum {
    CI_COMPRESSED = 0x1,
    CI_ZRAN = 0x2,
    CI_BATCH = 0x4,
    CI_ENCRYPTED = 0x8,
    CI_HAS_CRC32 = 0x10
};

struct ci_header {
    uint32_t entries;
    uint32_t entry_bytes; /* CI_V1_BYTES or CI_V2_BYTES */
    uint64_t contexts_at; /* of batches, counted from the start of the array */
    uint64_t contexts_bytes;
    uint32_t contexts;
};
/* bytes: the 4096 bytes behind the stored array. Checks them against the blob's record.
 */
int rafsi_ci_header(struct span bytes, const struct blob_record *blob,
                    struct ci_header *out, rafs_error *err);

struct ci_entry {
    uint64_t uncompressed_offset;
    uint64_t compressed_offset; /* of a batch member: where its batch begins */
    uint32_t uncompressed_size;
    uint32_t compressed_size; /* 0 for batch members */
    uint32_t flags;           /* CI_ */
    uint32_t batch_index;     /* CI_BATCH */
    uint32_t batch_offset;    /* in the decoded batch */
    uint32_t crc32;           /* CI_HAS_CRC32 */
};
/* Entry i. array: the uncompressed array with its contexts, as long as the record says.
 */
int rafsi_ci_entry(struct span array, const struct ci_header *header,
                   const struct blob_record *blob, uint64_t i, struct ci_entry *out,
                   rafs_error *err);

struct ci_batch {
    uint32_t compressed_size;
    uint32_t uncompressed_size;
};
/* The batch that an entry is a member of; the entry is checked to lie within it. */
int rafsi_ci_batch(struct span array, const struct ci_header *header,
                   const struct blob_record *blob, const struct ci_entry *entry,
                   struct ci_batch *out, rafs_error *err);

/* The way back. Entries become v2 if entry_bytes is CI_V2_BYTES. The header repeats the
 * record; out of it entries and contexts count. */
void rafsi_ci_put_entry(const struct ci_entry *entry, uint32_t entry_bytes,
                        uint8_t out[CI_V2_BYTES]);
void rafsi_ci_put_batch(const struct ci_batch *batch, uint8_t out[CI_BATCH_BYTES]);
void rafsi_ci_put_header(const struct ci_header *header, const struct blob_record *blob,
                         uint8_t out[CI_HEADER_BYTES]);

/* Bytes of a blob that hold chunks: no stored chunk ends beyond them. */
uint64_t rafsi_blob_data_bytes(const struct blob_record *blob);

#endif
