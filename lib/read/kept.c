/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks on disk, from earlier runs and other processes: verified like a source's answer,
 * for anybody may have written there. */
#include "read/reader.h"

static struct rafsi_disk_chunk place_of(const struct rafsi_chunk *chunk)
{
    struct rafsi_disk_chunk place = {.offset = chunk->record.uncompressed_offset,
                                     .size = chunk->record.uncompressed_size,
                                     .algorithm = chunk->digest_algorithm};

    memcpy(place.digest, chunk->record.digest, sizeof(place.digest));
    return place;
}

/* The blob in the cache; NULL: there is no cache, or no memory for it. */
static struct rafsi_disk_blob *blob_of(struct rafsi_reader *reader, uint32_t blob)
{
    _Atomic(struct rafsi_disk_blob *) *at;
    struct rafsi_disk_blob *present;
    struct rafsi_disk_blob *made = NULL;

    if (!reader->disk)
        return NULL;
    at = &reader->kept[blob];
    present = atomic_load_explicit(at, memory_order_acquire);
    if (present)
        return present;
    if (rafsi_disk_open(reader->disk, reader->tree->blobs[blob].id, &made, NULL) < 0)
        return NULL;
    if (atomic_compare_exchange_strong(at, &present, made))
        return made;
    rafsi_disk_close(made);
    return present;
}

bool rafsi_kept_has(struct rafsi_reader *reader, const struct rafsi_chunk *chunk)
{
    struct rafsi_disk_blob *blob = blob_of(reader, chunk->record.blob);
    struct rafsi_disk_chunk place = place_of(chunk);

    return blob && rafsi_disk_has(blob, &place);
}

bool rafsi_kept_get(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    struct verified **out)
{
    struct rafsi_disk_blob *blob = blob_of(reader, chunk->record.blob);
    struct rafsi_disk_chunk place = place_of(chunk);
    struct rafsi_buffer *raw = NULL;
    int rc;

    if (!blob || rafsi_pool_take(reader->pool, place.size, &raw, NULL) < 0)
        return false;
    rc = RAFS_E_NOENT;
    if (rafsi_disk_get(blob, &place, raw->at))
        rc = rafsi_verify(raw, reader->hashes, chunk->digest_algorithm,
                          chunk->record.digest, out, NULL);
    if (rc == RAFS_OK) {
        atomic_fetch_add_explicit(&reader->cached, 1, memory_order_relaxed);
        return true;
    }
    rafsi_buffer_free(raw);
    if (rc == RAFS_E_CORRUPT) {
        rafsi_disk_bad(blob, &place);
        rafsi_log(&reader->env, RAFS_LOG_WARNING,
                  "chunk %u of blob %s is damaged in the cache; it is fetched again",
                  chunk->record.index, reader->tree->blobs[chunk->record.blob].id);
    }
    return false;
}

int rafsi_kept_begin(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                     const rafs_call *call, struct rafsi_disk_flight **flight,
                     struct verified **out, rafs_error *err)
{
    struct rafsi_disk_blob *blob = blob_of(reader, chunk->record.blob);
    struct rafsi_disk_chunk place = place_of(chunk);
    int rc;

    *flight = NULL;
    if (!blob || rafsi_kept_get(reader, chunk, out))
        return RAFS_OK;
    rc = rafsi_disk_begin(blob, &place, call, flight, err);
    /* Another process fetched it meanwhile; if that is damaged too, we fetch at once. */
    if (rc == RAFS_OK && !*flight)
        rafsi_kept_get(reader, chunk, out);
    return rc;
}

void rafsi_kept_put(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    const struct rafsi_disk_flight *flight, const struct verified *good)
{
    struct rafsi_disk_blob *blob = blob_of(reader, chunk->record.blob);
    struct rafsi_disk_chunk place = place_of(chunk);

    if (blob)
        rafsi_disk_put(blob, &place, flight, good);
}

int rafsi_kept_new(struct rafsi_reader *reader, rafs_error *err)
{
    size_t bytes = reader->tree->super.blob_count * sizeof(reader->kept[0]);

    if (!reader->disk)
        return RAFS_OK;
    reader->kept = rafsi_alloc_zero(&reader->env, bytes ? bytes : 1);
    return reader->kept ? RAFS_OK : rafsi_fail_nomem(err, bytes);
}

void rafsi_kept_free(struct rafsi_reader *reader)
{
    for (uint32_t i = 0; reader->kept && i < reader->tree->super.blob_count; i++)
        rafsi_disk_close(atomic_load(&reader->kept[i]));
    rafsi_free(&reader->env, reader->kept);
}
