/* SPDX-License-Identifier: Apache-2.0 */
#include "read/reader.h"

void rafsi_meta_free(struct rafsi_reader *reader, struct blob_meta *meta)
{
    if (!meta)
        return;
    rafsi_free(&reader->env, meta->array);
    rafsi_free(&reader->env, meta);
}

struct span rafsi_meta_span(const struct blob_meta *meta)
{
    return (struct span){meta->array, (size_t)meta->array_bytes, 0};
}

/* The record was checked when the image was opened; here only what it costs is. */
static int check_cost(struct rafsi_reader *reader, const struct blob_record *record,
                      rafs_error *err)
{
    uint64_t limit = reader->tree->limits.blob_meta_bytes;

    if (record->ci_compressed_size == 0 || record->chunk_count == 0)
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_METADATA, NULL,
                          "has no compression information, which its kind needs");
    if (record->ci_uncompressed_size > limit || record->ci_compressed_size > limit)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, NULL,
                          "compression information of %llu bytes; blob_meta_bytes in "
                          "rafs_limits allows %llu",
                          (unsigned long long)record->ci_uncompressed_size,
                          (unsigned long long)limit);
    return RAFS_OK;
}

/* Decode the stored array into meta. A stored size equal to the other is a plain copy. */
static int decode_array(struct rafsi_reader *reader, const struct blob_record *record,
                        struct worker *worker, struct blob_meta *meta, rafs_error *err)
{
    uint32_t compressor = record->ci_compressor;

    if (record->ci_compressed_size == record->ci_uncompressed_size)
        compressor = RAFS_COMPRESSOR_NONE;
    meta->array_bytes = record->ci_uncompressed_size;
    meta->array = rafsi_alloc(&reader->env, (size_t)meta->array_bytes);
    if (!meta->array)
        return rafsi_fail_nomem(err, (size_t)meta->array_bytes);
    return rafsi_decode(worker->decoder, compressor, worker->stored,
                        (size_t)record->ci_compressed_size, meta->array,
                        (size_t)meta->array_bytes, err);
}

/* Array and header are fetched in one request: the header follows the array. */
static int load(struct rafsi_reader *reader, uint32_t blob, struct blob_source *at,
                struct worker *worker, const rafs_call *call, struct blob_meta *meta,
                rafs_error *err)
{
    const struct blob_record *record = &reader->tree->blobs[blob];
    uint64_t array = record->ci_compressed_size;
    struct span header;
    int rc = check_cost(reader, record, err);

    if (rc == RAFS_OK)
        rc = rafsi_worker_room(reader, worker, (size_t)array + CI_HEADER_BYTES, err);
    if (rc == RAFS_OK)
        rc = rafsi_blob_fetch(reader, blob, at, RAFS_CAUSE_METADATA, record->ci_offset,
                              worker->stored, (size_t)array + CI_HEADER_BYTES, call, err);
    if (rc < 0)
        return rc;
    header =
        (struct span){worker->stored + array, CI_HEADER_BYTES, record->ci_offset + array};
    rc = rafsi_ci_header(header, record, &meta->header, err);
    if (rc < 0)
        return rc;
    return decode_array(reader, record, worker, meta, err);
}

int rafsi_meta_get(struct rafsi_reader *reader, uint32_t blob, struct blob_source *at,
                   const rafs_call *call, const struct blob_meta **out, rafs_error *err)
{
    struct blob_meta *present = atomic_load_explicit(&at->meta, memory_order_acquire);
    struct blob_meta *meta = NULL;
    struct worker *worker = NULL;
    int rc = RAFS_OK;

    if (present)
        goto out;
    rc = rafsi_worker_take(reader, &worker, err);
    if (rc < 0)
        goto out;
    meta = rafsi_alloc_zero(&reader->env, sizeof(*meta));
    if (!meta) {
        rc = rafsi_fail_nomem(err, sizeof(*meta));
        goto out;
    }
    rc = load(reader, blob, at, worker, call, meta, err);
    if (rc < 0)
        goto out;
    if (atomic_compare_exchange_strong(&at->meta, &present, meta)) {
        present = meta;
        meta = NULL;
    }
out:
    rafsi_meta_free(reader, meta);
    rafsi_worker_give(reader, worker);
    if (rc == RAFS_OK)
        *out = present;
    return rafsi_fail_object(err, rc, "blob %s", reader->tree->blobs[blob].id);
}
