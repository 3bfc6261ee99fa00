/* SPDX-License-Identifier: Apache-2.0 */
/* The directory behind the table that readers see. */
#include "cache/store.h"

#include "cache/own.h"

static struct rafsi_disk_blob *disk_blob(struct rafsi_store_blob *blob)
{
    return (struct rafsi_disk_blob *)blob;
}

static int disk_open(rafs_cache *cache, const char *blob_id, const rafs_call *call,
                     struct rafsi_store_blob **out, rafs_error *err)
{
    struct rafsi_disk_blob *blob;
    int rc;

    (void)call;
    rc = rafsi_disk_open(cache, blob_id, &blob, err);

    if (rc == RAFS_OK)
        *out = (struct rafsi_store_blob *)blob;
    return rc;
}

static void disk_close(struct rafsi_store_blob *blob)
{
    rafsi_disk_close(disk_blob(blob));
}

static bool disk_has(struct rafsi_store_blob *blob, const struct rafsi_disk_chunk *chunk)
{
    return rafsi_disk_has(disk_blob(blob), chunk);
}

static bool disk_elsewhere(struct rafsi_store_blob *blob,
                           const struct rafsi_disk_chunk *chunk)
{
    return rafsi_disk_elsewhere(disk_blob(blob), chunk);
}

static enum rafsi_disk_from disk_get(struct rafsi_store_blob *blob,
                                     struct rafsi_disk_chunk *chunk, void *room,
                                     const rafs_call *call)
{
    (void)call;
    return rafsi_disk_get(disk_blob(blob), chunk, room);
}

static void disk_bad(struct rafsi_store_blob *blob, const struct rafsi_disk_chunk *chunk)
{
    rafsi_disk_bad(disk_blob(blob), chunk);
}

static bool disk_put(struct rafsi_store_blob *blob, const struct rafsi_disk_chunk *chunk,
                     const struct rafsi_store_flight *flight, const struct verified *good,
                     const rafs_call *call)
{
    (void)call;
    return rafsi_disk_put(disk_blob(blob), chunk,
                          (const struct rafsi_disk_flight *)flight, good);
}

static int disk_begin(struct rafsi_store_blob *blob, const struct rafsi_disk_chunk *chunk,
                      const rafs_call *call, struct rafsi_store_flight **out,
                      rafs_error *err)
{
    struct rafsi_disk_flight *flight = NULL;
    int rc = rafsi_disk_begin(disk_blob(blob), chunk, call, &flight, err);

    if (rc == RAFS_OK)
        *out = (struct rafsi_store_flight *)flight;
    return rc;
}

static bool disk_attempt(struct rafsi_store_blob *blob,
                         const struct rafsi_disk_chunk *chunk, const rafs_call *call,
                         struct rafsi_store_flight **out)
{
    (void)call;
    *out = (struct rafsi_store_flight *)rafsi_disk_try(disk_blob(blob), chunk);
    return *out != NULL;
}

static void disk_end(struct rafsi_store_blob *blob, struct rafsi_store_flight *flight)
{
    (void)blob;
    rafsi_disk_end((struct rafsi_disk_flight *)flight);
}

static int disk_doc_get(rafs_cache *cache, const char *kind,
                        const uint8_t digest[RAFSI_DIGEST_BYTES], uint64_t max,
                        struct rafsi_pool *pool, const rafs_call *call,
                        struct rafsi_buffer **out, rafs_error *err)
{
    (void)call;
    return rafsi_disk_doc_get(cache, kind, digest, max, pool, out, err);
}

static bool disk_doc_put(rafs_cache *cache, const char *kind,
                         const uint8_t digest[RAFSI_DIGEST_BYTES], const void *data,
                         size_t len, const rafs_call *call)
{
    (void)call;
    return rafsi_disk_doc_put(cache, kind, digest, data, len);
}

static int disk_ready(struct rafsi_store_blob *blob, rafs_error *err)
{
    return rafsi_disk_ready(disk_blob(blob), err);
}

static int disk_hold(struct rafsi_store_blob *blob, uint64_t size, int *fd,
                     rafs_error *err)
{
    return rafsi_disk_hold(disk_blob(blob), size, fd, err);
}

static bool disk_own(struct rafsi_store_blob *blob, struct rafsi_disk_chunk *chunk,
                     void *room)
{
    return rafsi_disk_own(disk_blob(blob), chunk, room);
}

static int disk_keep(struct rafsi_store_blob *blob, const struct rafsi_disk_chunk *chunk,
                     const struct rafsi_store_flight *flight, const struct verified *good,
                     rafs_error *err)
{
    return rafsi_disk_keep(disk_blob(blob), chunk,
                           (const struct rafsi_disk_flight *)flight, good, err);
}

static const struct rafsi_store disk_store = {
    .open = disk_open,
    .close = disk_close,
    .has = disk_has,
    .elsewhere = disk_elsewhere,
    .get = disk_get,
    .bad = disk_bad,
    .put = disk_put,
    .begin = disk_begin,
    .attempt = disk_attempt,
    .end = disk_end,
    .doc_get = disk_doc_get,
    .doc_put = disk_doc_put,
    .ready = disk_ready,
    .hold = disk_hold,
    .own = disk_own,
    .keep = disk_keep,
};

const struct rafsi_store *rafsi_store_of(const rafs_cache *cache)
{
    return rafsi_own_is(cache) ? &rafsi_own_store : &disk_store;
}
