/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CACHE_DISK_H
#define RAFSI_CACHE_DISK_H

/*
 * Chunks kept on disk, shared by every process that opens the same directory. What comes
 * back is as untrusted as a backend's answer: the caller verifies it. Failing to keep
 * something is never an error, since the bytes are at hand.
 */

#include "base/base.h"
#include "rafs/cache.h"
#include "verify/verify.h"

/* A blob of a cache; shared by all who open it through one rafs_cache. */
struct rafsi_disk_blob;
/* The right to fetch a chunk, which one thread of all processes has at a time. */
struct rafsi_disk_flight;

/* Where a chunk lies in the uncompressed blob, and what it must be. */
struct rafsi_disk_chunk {
    uint64_t offset;
    uint32_t size;
    uint32_t algorithm;
    uint8_t digest[RAFSI_DIGEST_BYTES];
    uint64_t record; /* set by rafsi_disk_get(): what told of it, for rafsi_disk_bad() */
};

/* RAFS_E_BADARG for a blob id that is no id, RAFS_E_NOMEM. If the files cannot be opened
 * now (disk full), it succeeds and they are tried again later. The blob is not evicted
 * until it is closed. */
int rafsi_disk_open(rafs_cache *cache, const char *blob_id, struct rafsi_disk_blob **out,
                    rafs_error *err);
void rafsi_disk_close(struct rafsi_disk_blob *blob); /* NULL is fine */

/* Is it ready, as far as is known? */
bool rafsi_disk_has(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk);
/* Is it in another blob, from which rafsi_disk_get() will take it? */
bool rafsi_disk_elsewhere(struct rafsi_disk_blob *blob,
                          const struct rafsi_disk_chunk *chunk);
/* Where a chunk was found. */
enum rafsi_disk_from { RAFSI_DISK_NOT, RAFSI_DISK_OWN, RAFSI_DISK_OTHER };
/* Fill room with chunk->size bytes that claim to be the chunk: of this blob, or of any
 * other in the cache. */
enum rafsi_disk_from rafsi_disk_get(struct rafsi_disk_blob *blob,
                                    struct rafsi_disk_chunk *chunk, void *room);
/* The bytes from rafsi_disk_get() were wrong: fetch anew, then put. Does nothing if they
 * were put anew since. */
void rafsi_disk_bad(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk);
/* Keep a chunk; flight is the caller's for it, or NULL. false: there is no room, or it
 * cannot be written now. */
bool rafsi_disk_put(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk,
                    const struct rafsi_disk_flight *flight, const struct verified *good);

/*
 * Become the one who fetches a chunk. RAFS_OK with *out set: fetch, put, end. RAFS_OK
 * with *out NULL: it became ready, get it. Waits while another thread or process has the
 * flight, whose death ends it; not past the deadline: RAFS_E_TIMEOUT, RAFS_E_CANCELLED.
 */
int rafsi_disk_begin(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk,
                     const rafs_call *call, struct rafsi_disk_flight **out,
                     rafs_error *err);
/* Without waiting: NULL if the chunk is ready or another one fetches it. For prefetch. */
struct rafsi_disk_flight *rafsi_disk_try(struct rafsi_disk_blob *blob,
                                         const struct rafsi_disk_chunk *chunk);
void rafsi_disk_end(struct rafsi_disk_flight *flight); /* NULL is fine */

/*
 * disk_fill.c: for those who let a kernel read the data file. Here failing to keep a
 * chunk is an error.
 */
/* The files are open; tried also where others wait after an error. */
int rafsi_disk_ready(struct rafsi_disk_blob *blob, rafs_error *err);
/* The data file, for reading only and with a lock by which nobody deletes it as long as a
 * duplicate of the descriptor is open; at least so large. */
int rafsi_disk_hold(struct rafsi_disk_blob *blob, uint64_t size, int *fd,
                    rafs_error *err);
/* As rafsi_disk_get(), from the blob's own file alone; false: it is not there. */
bool rafsi_disk_own(struct rafsi_disk_blob *blob, struct rafsi_disk_chunk *chunk,
                    void *room);
/* As rafsi_disk_put(), with the flight that the caller has to have. RAFS_OK: the bytes
 * are in the file. */
int rafsi_disk_keep(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk,
                    const struct rafsi_disk_flight *flight, const struct verified *good,
                    rafs_error *err);

/*
 * Documents, kept whole under a name made of a kind ("manifest", "boot", "trace"; 1 to 16
 * lower-case letters) and a digest. RAFS_E_NOENT if there is none; what is returned is to
 * be verified. A document of more than max bytes counts as missing.
 */
int rafsi_disk_doc_get(rafs_cache *cache, const char *kind,
                       const uint8_t digest[RAFSI_DIGEST_BYTES], uint64_t max,
                       struct rafsi_pool *pool, struct rafsi_buffer **out,
                       rafs_error *err);
/* false: it could not be kept. */
bool rafsi_disk_doc_put(rafs_cache *cache, const char *kind,
                        const uint8_t digest[RAFSI_DIGEST_BYTES], const void *data,
                        size_t len);
void rafsi_disk_doc_drop(rafs_cache *cache, const char *kind,
                         const uint8_t digest[RAFSI_DIGEST_BYTES]);

#endif
