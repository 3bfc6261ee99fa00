/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compression information of a blob: the 256 bytes of its record in the bootstrap, the
 * 4096 bytes of the header, the array.
 */
#include "format/format.h"
#include "fuzz.h"

static void entries(struct span array, const struct ci_header *header,
                    const struct blob_record *blob)
{
    for (uint64_t i = 0; i < header->entries && i < 512; i++) {
        struct ci_entry entry;
        struct ci_batch batch;

        if (rafsi_ci_entry(array, header, blob, i, &entry, NULL) != RAFS_OK)
            continue;
        MUST(entry.uncompressed_size <= RAFS_CHUNK_SIZE_MAX);
        if (!(entry.flags & CI_BATCH)) {
            MUST(entry.compressed_offset + entry.compressed_size <=
                 rafsi_blob_data_bytes(blob));
            continue;
        }
        if (rafsi_ci_batch(array, header, blob, &entry, &batch, NULL) == RAFS_OK)
            MUST(entry.batch_offset + (uint64_t)entry.uncompressed_size <=
                 batch.uncompressed_size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct span record = input_copy(&in, V6_BLOB_BYTES, 4096);
    struct span head = input_copy(&in, CI_HEADER_BYTES, 0);
    struct span array = input_copy(&in, 1 << 16, 0);
    struct blob_record blob;
    struct ci_header header;

    if (rafsi_v6_blob(record, 0, 0x100000, &blob, NULL) == RAFS_OK &&
        rafsi_ci_header(head, &blob, &header, NULL) == RAFS_OK)
        entries(array, &header, &blob);
    input_free(record);
    input_free(head);
    input_free(array);
    return 0;
}
