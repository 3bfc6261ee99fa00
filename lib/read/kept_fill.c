/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks in the files that a kernel reads: there, or an error that says why not. */
#include "read/reader.h"

int rafsi_kept_ready(struct rafsi_reader *reader, uint32_t blob, const rafs_call *call,
                     rafs_error *err)
{
    rafs_error local = RAFS_ERROR_INIT;
    struct rafsi_store_blob *kept;
    int rc;

    if (!reader->store || !reader->store->ready)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "image",
                          "was opened without a cache directory, which blobs are filled "
                          "in");
    kept = rafsi_kept_blob(reader, blob, call, &local);
    rc = kept ? reader->store->ready(kept, &local) : local.code;
    if (rc < 0 && err)
        *err = local;
    return rc;
}

int rafsi_kept_hold(struct rafsi_reader *reader, uint32_t blob, uint64_t size, int *fd,
                    const rafs_call *call, rafs_error *err)
{
    int rc = rafsi_kept_ready(reader, blob, call, err);

    return rc < 0 ? rc
                  : reader->store->hold(rafsi_kept_blob(reader, blob, call, NULL), size,
                                        fd, err);
}

int rafsi_kept_verify(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      uint32_t cause, bool *good, rafs_error *err)
{
    struct rafsi_store_blob *blob = atomic_load(&reader->kept[chunk->record.blob]);
    struct rafsi_disk_chunk place = rafsi_kept_place(chunk);
    struct verified *verified = NULL;
    struct rafsi_buffer *raw = NULL;
    int rc;

    *good = false;
    if (!reader->store->has(blob, &place))
        return RAFS_OK;
    rc = rafsi_pool_take(reader->pool, place.size, &raw, err);
    if (rc < 0)
        return rc;
    if (reader->store->own(blob, &place, raw->at)) {
        rc = rafsi_verify(raw, reader->hashes, chunk->digest_algorithm,
                          chunk->record.digest, &verified, err);
        if (rc == RAFS_OK)
            raw = NULL;
    }
    rafsi_buffer_free(raw);
    if (verified) {
        *good = true;
        rafsi_verified_drop(verified);
        rafsi_stats_chunk(&reader->stats, ORIGIN_DISK, cause);
    } else if (rc == RAFS_E_CORRUPT) {
        rafsi_stats_cache_refused(&reader->stats);
        reader->store->bad(blob, &place);
        rc = RAFS_OK;
    }
    return rc;
}

int rafsi_kept_right(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                     const rafs_call *call, struct rafsi_store_flight **flight,
                     rafs_error *err)
{
    struct rafsi_disk_chunk place = rafsi_kept_place(chunk);

    *flight = NULL;
    return reader->store->begin(atomic_load(&reader->kept[chunk->record.blob]), &place,
                                call, flight, err);
}

struct verified *rafsi_kept_other(struct rafsi_reader *reader,
                                  const struct rafsi_chunk *chunk, uint32_t cause,
                                  const rafs_call *call)
{
    struct rafsi_store_blob *blob = atomic_load(&reader->kept[chunk->record.blob]);
    struct rafsi_disk_chunk place = rafsi_kept_place(chunk);
    struct rafsi_buffer *raw = NULL;
    struct verified *good = NULL;

    if (!reader->store->elsewhere(blob, &place) ||
        rafsi_pool_take(reader->pool, place.size, &raw, NULL) < 0)
        return NULL;
    if (reader->store->get(blob, &place, raw->at, call) == RAFSI_DISK_OTHER &&
        rafsi_verify(raw, reader->hashes, chunk->digest_algorithm, chunk->record.digest,
                     &good, NULL) == RAFS_OK) {
        rafsi_stats_chunk(&reader->stats, ORIGIN_OTHER_BLOB, cause);
        return good;
    }
    rafsi_buffer_free(raw);
    return NULL;
}

int rafsi_kept_keep(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    const struct rafsi_store_flight *flight, const struct verified *good,
                    rafs_error *err)
{
    struct rafsi_disk_chunk place = rafsi_kept_place(chunk);
    int rc = reader->store->keep(atomic_load(&reader->kept[chunk->record.blob]), &place,
                                 flight, good, err);

    if (rc < 0)
        rafsi_stats_unkept(&reader->stats);
    return rc;
}
