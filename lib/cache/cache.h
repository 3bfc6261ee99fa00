/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CACHE_H
#define RAFSI_CACHE_H

/*
 * Verified chunks kept in memory, up to a number of bytes that is never exceeded, the
 * least recently used going first. Found by digest, so that equal chunks of different
 * blobs are kept once.
 */

#include "base/base.h"
#include "cache/disk.h"
#include "cache/store.h"
#include "verify/verify.h"

struct rafsi_cache;

/* What makes a chunk the one it is. */
struct rafsi_cache_key {
    uint8_t digest[RAFSI_DIGEST_BYTES];
    uint32_t algorithm;
    uint32_t size;
};

int rafsi_cache_key_equal(const struct rafsi_cache_key *a,
                          const struct rafsi_cache_key *b);
/* A number to spread keys by. Whoever can choose it only makes his own image slow. */
uint32_t rafsi_cache_key_hash(const struct rafsi_cache_key *key);

int rafsi_cache_new(const struct rafsi_env *env, uint64_t limit_bytes,
                    struct rafsi_cache **out, rafs_error *err);
void rafsi_cache_free(struct rafsi_cache *cache);

/* A chunk with one reference for the caller, or NULL. Takes a lock that only threads
 * which want a chunk of the same sixteenth share. */
struct verified *rafsi_cache_get(struct rafsi_cache *cache,
                                 const struct rafsi_cache_key *key);
/* The same for somebody who reads: it counts as a hit. */
struct verified *rafsi_cache_use(struct rafsi_cache *cache,
                                 const struct rafsi_cache_key *key);
/* Keep a chunk, unless there is no room or no memory for it; the reference stays the
 * caller's. */
void rafsi_cache_put(struct rafsi_cache *cache, const struct rafsi_cache_key *key,
                     struct verified *good);
/* Is it kept? Does not count as use. */
bool rafsi_cache_has(struct rafsi_cache *cache, const struct rafsi_cache_key *key);
uint64_t rafsi_cache_bytes(const struct rafsi_cache *cache);
uint64_t rafsi_cache_hits(const struct rafsi_cache *cache);

#endif
