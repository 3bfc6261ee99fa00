/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CACHE_STORE_H
#define RAFSI_CACHE_STORE_H

/*
 * Chunks and documents that outlive an image, wherever a rafs_cache puts them: in a
 * directory (disk*.c) or with the program's own callbacks (own.c). What comes back is as
 * untrusted as a backend's answer; failing to keep something is never an error.
 */

#include "cache/disk.h"
#include "rafs/cache_ops.h"

/* A blob of a cache, and the right to fetch one of its chunks; each kind of cache knows
 * what they are. */
struct rafsi_store_blob;
struct rafsi_store_flight;

/* What a kind of cache can do; disk.h tells what each has to mean. call is not NULL. */
struct rafsi_store {
    int (*open)(rafs_cache *cache, const char *blob_id, const rafs_call *call,
                struct rafsi_store_blob **out, rafs_error *err);
    void (*close)(struct rafsi_store_blob *blob); /* NULL is fine */
    bool (*has)(struct rafsi_store_blob *blob, const struct rafsi_disk_chunk *chunk);
    bool (*elsewhere)(struct rafsi_store_blob *blob,
                      const struct rafsi_disk_chunk *chunk);
    enum rafsi_disk_from (*get)(struct rafsi_store_blob *blob,
                                struct rafsi_disk_chunk *chunk, void *room,
                                const rafs_call *call);
    void (*bad)(struct rafsi_store_blob *blob, const struct rafsi_disk_chunk *chunk);
    bool (*put)(struct rafsi_store_blob *blob, const struct rafsi_disk_chunk *chunk,
                const struct rafsi_store_flight *flight, const struct verified *good,
                const rafs_call *call);
    int (*begin)(struct rafsi_store_blob *blob, const struct rafsi_disk_chunk *chunk,
                 const rafs_call *call, struct rafsi_store_flight **out, rafs_error *err);
    /* As begin, without waiting; false: it is there, or somebody else fetches it. */
    bool (*attempt)(struct rafsi_store_blob *blob, const struct rafsi_disk_chunk *chunk,
                    const rafs_call *call, struct rafsi_store_flight **out);
    void (*end)(struct rafsi_store_blob *blob, struct rafsi_store_flight *flight);
    int (*doc_get)(rafs_cache *cache, const char *kind,
                   const uint8_t digest[RAFSI_DIGEST_BYTES], uint64_t max,
                   struct rafsi_pool *pool, const rafs_call *call,
                   struct rafsi_buffer **out, rafs_error *err);
    /* false: it could not be kept. */
    bool (*doc_put)(rafs_cache *cache, const char *kind,
                    const uint8_t digest[RAFSI_DIGEST_BYTES], const void *data,
                    size_t len, const rafs_call *call);
    /* rafsi_disk_ready, _hold, _own, _keep; NULL where there is no directory. */
    int (*ready)(struct rafsi_store_blob *blob, rafs_error *err);
    int (*hold)(struct rafsi_store_blob *blob, uint64_t size, int *fd, rafs_error *err);
    bool (*own)(struct rafsi_store_blob *blob, struct rafsi_disk_chunk *chunk,
                void *room);
    int (*keep)(struct rafsi_store_blob *blob, const struct rafsi_disk_chunk *chunk,
                const struct rafsi_store_flight *flight, const struct verified *good,
                rafs_error *err);
};

/* The functions for this cache. */
const struct rafsi_store *rafsi_store_of(const rafs_cache *cache);

#endif
