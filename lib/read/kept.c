/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks in the cache that outlives the image, from earlier runs and other processes:
 * verified like a source's answer, for anybody may have written there. */
#include "read/trace.h"

struct rafsi_disk_chunk rafsi_kept_place(const struct rafsi_chunk *chunk)
{
    struct rafsi_disk_chunk place = {.offset = chunk->record.uncompressed_offset,
                                     .size = chunk->record.uncompressed_size,
                                     .algorithm = chunk->digest_algorithm};

    memcpy(place.digest, chunk->record.digest, sizeof(place.digest));
    return place;
}

struct rafsi_store_blob *rafsi_kept_blob(struct rafsi_reader *reader, uint32_t blob,
                                         const rafs_call *call, rafs_error *err)
{
    _Atomic(struct rafsi_store_blob *) *at;
    struct rafsi_store_blob *present;
    struct rafsi_store_blob *made = NULL;

    if (!reader->store)
        return NULL;
    at = &reader->kept[blob];
    present = atomic_load_explicit(at, memory_order_acquire);
    if (present)
        return present;
    if (reader->store->open(reader->shelf, rafsi_reader_kept_id(reader, blob), call,
                            &made, err) < 0)
        return NULL;
    if (atomic_compare_exchange_strong(at, &present, made))
        return made;
    reader->store->close(made);
    return present;
}

/* Whoever plans requests for a blob has opened it. */
static struct rafsi_store_blob *opened(const struct rafsi_reader *reader, uint32_t blob)
{
    return reader->store ? atomic_load_explicit(&reader->kept[blob], memory_order_acquire)
                         : NULL;
}

bool rafsi_kept_open(struct rafsi_reader *reader, uint32_t blob, const rafs_call *call)
{
    return rafsi_kept_blob(reader, blob, call, NULL) != NULL;
}

bool rafsi_kept_has(struct rafsi_reader *reader, const struct rafsi_chunk *chunk)
{
    struct rafsi_store_blob *blob = opened(reader, chunk->record.blob);
    struct rafsi_disk_chunk place = rafsi_kept_place(chunk);

    return blob && reader->store->has(blob, &place);
}

bool rafsi_kept_elsewhere(struct rafsi_reader *reader, const struct rafsi_chunk *chunk)
{
    struct rafsi_store_blob *blob = opened(reader, chunk->record.blob);
    struct rafsi_disk_chunk place = rafsi_kept_place(chunk);

    return blob && reader->store->elsewhere(blob, &place);
}

bool rafsi_kept_claim(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                      const rafs_call *call, struct rafsi_store_flight **flight)
{
    struct rafsi_store_blob *blob = opened(reader, chunk->record.blob);
    struct rafsi_disk_chunk place = rafsi_kept_place(chunk);

    *flight = NULL;
    return !blob || reader->store->attempt(blob, &place, call, flight);
}

static bool get(struct rafsi_reader *reader, struct rafsi_store_blob *blob,
                const struct rafsi_chunk *chunk, uint32_t cause, const rafs_call *call,
                struct verified **out)
{
    struct rafsi_disk_chunk place = rafsi_kept_place(chunk);
    struct rafsi_buffer *raw = NULL;
    enum rafsi_disk_from from;
    int rc = RAFS_E_NOENT;

    if (rafsi_pool_take(reader->pool, place.size, &raw, NULL) < 0)
        return false;
    from = reader->store->get(blob, &place, raw->at, call);
    if (from != RAFSI_DISK_NOT)
        rc = rafsi_verify(raw, reader->hashes, chunk->digest_algorithm,
                          chunk->record.digest, out, NULL);
    if (rc == RAFS_OK) {
        rafsi_stats_chunk(&reader->stats,
                          from == RAFSI_DISK_OTHER ? ORIGIN_OTHER_BLOB : ORIGIN_DISK,
                          cause);
        if (from == RAFSI_DISK_OTHER)
            reader->store->put(blob, &place, NULL, *out, call);
        return true;
    }
    rafsi_buffer_free(raw);
    if (rc == RAFS_E_CORRUPT) {
        rafsi_stats_cache_refused(&reader->stats);
        reader->store->bad(blob, &place);
    }
    return false;
}

int rafsi_kept_begin(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                     uint32_t cause, const rafs_call *call,
                     struct rafsi_store_flight **flight, struct verified **out,
                     rafs_error *err)
{
    struct rafsi_store_blob *blob =
        rafsi_kept_blob(reader, chunk->record.blob, call, NULL);
    struct rafsi_disk_chunk place = rafsi_kept_place(chunk);
    int rc;

    *flight = NULL;
    if (!blob || get(reader, blob, chunk, cause, call, out))
        return RAFS_OK;
    rc = reader->store->begin(blob, &place, call, flight, err);
    /* Another process fetched it meanwhile; if that is damaged too, we fetch at once. */
    if (rc == RAFS_OK && !*flight)
        get(reader, blob, chunk, cause, call, out);
    return rc;
}

bool rafsi_kept_get(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    uint32_t cause, const rafs_call *call, struct verified **out)
{
    struct rafsi_store_blob *blob =
        rafsi_kept_blob(reader, chunk->record.blob, call, NULL);

    return blob && get(reader, blob, chunk, cause, call, out);
}

bool rafsi_kept_try(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    uint32_t cause, const rafs_call *call,
                    struct rafsi_store_flight **flight, struct verified **out)
{
    struct rafsi_store_blob *blob =
        rafsi_kept_blob(reader, chunk->record.blob, call, NULL);
    struct rafsi_disk_chunk place = rafsi_kept_place(chunk);

    *flight = NULL;
    if (!blob || get(reader, blob, chunk, cause, call, out) ||
        reader->store->attempt(blob, &place, call, flight))
        return true;
    return get(reader, blob, chunk, cause, call, out);
}

bool rafsi_kept_put(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    const struct rafsi_store_flight *flight, const struct verified *good,
                    const rafs_call *call)
{
    struct rafsi_store_blob *blob =
        rafsi_kept_blob(reader, chunk->record.blob, call, NULL);
    struct rafsi_disk_chunk place = rafsi_kept_place(chunk);

    if (!blob)
        return false;
    if (reader->store->put(blob, &place, flight, good, call))
        return true;
    rafsi_stats_unkept(&reader->stats);
    return false;
}

void rafsi_kept_end(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                    struct rafsi_store_flight *flight)
{
    if (flight)
        reader->store->end(atomic_load(&reader->kept[chunk->record.blob]), flight);
}

int rafsi_kept_new(struct rafsi_reader *reader, rafs_cache *cache, rafs_error *err)
{
    size_t bytes = reader->tree->super.blob_count * sizeof(reader->kept[0]);

    if (!cache)
        return RAFS_OK;
    reader->kept = rafsi_alloc_zero(&reader->env, bytes ? bytes : 1);
    if (!reader->kept)
        return rafsi_fail_nomem(err, bytes);
    reader->shelf = cache;
    reader->store = rafsi_store_of(cache);
    return RAFS_OK;
}

const char *rafsi_reader_kept_id(const struct rafsi_reader *reader, uint32_t blob)
{
    return reader->apart ? reader->apart[blob] : reader->tree->blobs[blob].id;
}

/*
 * SHA-256 of these words, the SHA-256 of the bootstrap, and the blob's id: whatever else
 * names the blob, or lays it out, means another file.
 */
static int name_apart(struct rafsi_reader *reader,
                      const uint8_t bootstrap[RAFSI_DIGEST_BYTES], const char *id,
                      char out[65], rafs_error *err)
{
    static const char words[] = "librafs: a blob whose chunks were moved";
    uint8_t digest[RAFSI_DIGEST_BYTES];
    struct rafsi_hash hash = {0};
    int rc = rafsi_hash_begin(reader->hashes, RAFSI_SHA256, &hash, err);

    if (rc == RAFS_OK)
        rc = rafsi_hash_add(&hash, words, sizeof(words), err);
    if (rc == RAFS_OK)
        rc = rafsi_hash_add(&hash, bootstrap, RAFSI_DIGEST_BYTES, err);
    if (rc == RAFS_OK)
        rc = rafsi_hash_add(&hash, id, strlen(id), err);
    if (rc == RAFS_OK)
        rc = rafsi_hash_end(&hash, digest, err);
    else
        rafsi_hash_drop(&hash);
    if (rc == RAFS_OK)
        rafsi_digest_hex(digest, out);
    return rc;
}

int rafsi_reader_keep_apart(struct rafsi_reader *reader, const rafs_call *call,
                            rafs_error *err)
{
    uint32_t count = reader->tree->super.blob_count;
    uint8_t digest[RAFSI_DIGEST_BYTES];
    char(*apart)[65];
    int rc;

    if (!reader->shelf || count == 0)
        return RAFS_OK;
    rc = rafsi_trace_digest(reader, call, digest, err);
    if (rc < 0)
        return rc;
    apart = rafsi_alloc_zero(&reader->env, count * sizeof(*apart));
    if (!apart)
        return rafsi_fail_nomem(err, count * sizeof(*apart));
    for (uint32_t i = 0; rc == RAFS_OK && i < count; i++)
        rc = name_apart(reader, digest, reader->tree->blobs[i].id, apart[i], err);
    if (rc == RAFS_OK)
        reader->apart = apart;
    else
        rafsi_free(&reader->env, apart);
    return rc;
}

void rafsi_kept_free(struct rafsi_reader *reader)
{
    for (uint32_t i = 0; reader->kept && i < reader->tree->super.blob_count; i++)
        reader->store->close(atomic_load(&reader->kept[i]));
    rafsi_free(&reader->env, reader->kept);
    rafsi_free(&reader->env, reader->apart);
}
