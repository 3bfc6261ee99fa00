/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/cache.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SHARDS = 16, BUCKETS_MIN = 16, BUCKETS_MAX = 4096, BYTES_PER_BUCKET = 65536 };

struct entry {
    struct rafsi_cache_key key;
    struct verified *good;
    uint64_t cost;
    struct entry *next;          /* in its bucket */
    struct entry *older, *newer; /* in its shard, by use */
};

struct shard {
    pthread_mutex_t lock;
    struct entry **buckets;
    struct entry *oldest, *newest;
    atomic_uint_least64_t hits; /* changed under the lock, read without */
};

struct rafsi_cache {
    struct rafsi_env env;
    uint64_t limit;
    atomic_uint_least64_t used; /* what the entries cost, and reservations */
    uint32_t bucket_count;      /* in each shard; a power of two */
    unsigned shards_ready;
    struct shard shards[SHARDS];
};

int rafsi_cache_key_equal(const struct rafsi_cache_key *a,
                          const struct rafsi_cache_key *b)
{
    return a->algorithm == b->algorithm && a->size == b->size &&
           memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

uint32_t rafsi_cache_key_hash(const struct rafsi_cache_key *key)
{
    return (uint32_t)key->digest[0] | (uint32_t)key->digest[1] << 8 |
           (uint32_t)key->digest[2] << 16 | (uint32_t)key->digest[3] << 24;
}

void rafsi_cache_free(struct rafsi_cache *cache)
{
    if (!cache)
        return;
    for (unsigned i = 0; i < cache->shards_ready; i++) {
        struct shard *shard = &cache->shards[i];

        while (shard->oldest) {
            struct entry *entry = shard->oldest;

            shard->oldest = entry->newer;
            rafsi_verified_drop(entry->good);
            rafsi_free(&cache->env, entry);
        }
        rafsi_free(&cache->env, shard->buckets);
        pthread_mutex_destroy(&shard->lock);
    }
    rafsi_free(&cache->env, cache);
}

static int make_shard(struct rafsi_cache *cache, struct shard *shard, rafs_error *err)
{
    size_t bytes = cache->bucket_count * sizeof(shard->buckets[0]);

    shard->buckets = rafsi_alloc_zero(&cache->env, bytes);
    if (!shard->buckets)
        return rafsi_fail_nomem(err, bytes);
    if (pthread_mutex_init(&shard->lock, NULL) != 0) {
        rafsi_free(&cache->env, shard->buckets);
        return rafsi_fail_nomem(err, sizeof(shard->lock));
    }
    cache->shards_ready++;
    return RAFS_OK;
}

int rafsi_cache_new(const struct rafsi_env *env, uint64_t limit_bytes,
                    struct rafsi_cache **out, rafs_error *err)
{
    struct rafsi_cache *cache = rafsi_alloc_zero(env, sizeof(*cache));
    int rc = RAFS_OK;

    if (!cache)
        return rafsi_fail_nomem(err, sizeof(*cache));
    cache->env = *env;
    cache->limit = limit_bytes;
    cache->bucket_count = BUCKETS_MIN;
    while (cache->bucket_count < BUCKETS_MAX &&
           cache->bucket_count < limit_bytes / SHARDS / BYTES_PER_BUCKET)
        cache->bucket_count *= 2;
    for (unsigned i = 0; i < SHARDS && rc == RAFS_OK; i++)
        rc = make_shard(cache, &cache->shards[i], err);
    if (rc < 0) {
        rafsi_cache_free(cache);
        return rc;
    }
    *out = cache;
    return RAFS_OK;
}

uint64_t rafsi_cache_bytes(const struct rafsi_cache *cache)
{
    return atomic_load(&cache->used);
}

uint64_t rafsi_cache_hits(const struct rafsi_cache *cache)
{
    uint64_t hits = 0;

    for (unsigned i = 0; i < SHARDS; i++)
        hits += atomic_load_explicit(&cache->shards[i].hits, memory_order_relaxed);
    return hits;
}

static struct shard *shard_of(struct rafsi_cache *cache, uint32_t hash)
{
    return &cache->shards[hash % SHARDS];
}

static struct entry **bucket_of(struct rafsi_cache *cache, struct shard *shard,
                                uint32_t hash)
{
    return &shard->buckets[hash / SHARDS & (cache->bucket_count - 1)];
}

static void unlink_by_use(struct shard *shard, struct entry *entry)
{
    *(entry->older ? &entry->older->newer : &shard->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &shard->newest) = entry->older;
}

static void append_by_use(struct shard *shard, struct entry *entry)
{
    entry->older = shard->newest;
    entry->newer = NULL;
    *(shard->newest ? &shard->newest->newer : &shard->oldest) = entry;
    shard->newest = entry;
}

static struct entry *find(struct entry *entry, const struct rafsi_cache_key *key)
{
    while (entry && !rafsi_cache_key_equal(&entry->key, key))
        entry = entry->next;
    return entry;
}

static struct verified *take(struct rafsi_cache *cache, const struct rafsi_cache_key *key,
                             bool hit)
{
    uint32_t hash = rafsi_cache_key_hash(key);
    struct shard *shard = shard_of(cache, hash);
    struct verified *good = NULL;
    struct entry *entry;

    pthread_mutex_lock(&shard->lock);
    entry = find(*bucket_of(cache, shard, hash), key);
    if (entry) {
        if (hit)
            atomic_store_explicit(
                &shard->hits,
                atomic_load_explicit(&shard->hits, memory_order_relaxed) + 1,
                memory_order_relaxed);
        good = rafsi_verified_hold(entry->good);
        unlink_by_use(shard, entry);
        append_by_use(shard, entry);
    }
    pthread_mutex_unlock(&shard->lock);
    return good;
}

struct verified *rafsi_cache_get(struct rafsi_cache *cache,
                                 const struct rafsi_cache_key *key)
{
    return take(cache, key, false);
}

bool rafsi_cache_has(struct rafsi_cache *cache, const struct rafsi_cache_key *key)
{
    uint32_t hash = rafsi_cache_key_hash(key);
    struct shard *shard = shard_of(cache, hash);
    bool there;

    pthread_mutex_lock(&shard->lock);
    there = find(*bucket_of(cache, shard, hash), key) != NULL;
    pthread_mutex_unlock(&shard->lock);
    return there;
}

struct verified *rafsi_cache_use(struct rafsi_cache *cache,
                                 const struct rafsi_cache_key *key)
{
    return take(cache, key, true);
}

/* Take the oldest entry out of a shard. */
static struct entry *take_oldest(struct rafsi_cache *cache, struct shard *shard)
{
    struct entry *entry;
    struct entry **at;

    pthread_mutex_lock(&shard->lock);
    entry = shard->oldest;
    if (entry) {
        at = bucket_of(cache, shard, rafsi_cache_key_hash(&entry->key));
        while (*at != entry)
            at = &(*at)->next;
        *at = entry->next;
        unlink_by_use(shard, entry);
    }
    pthread_mutex_unlock(&shard->lock);
    return entry;
}

static void discard(struct rafsi_cache *cache, struct entry *entry)
{
    atomic_fetch_sub(&cache->used, entry->cost);
    rafsi_verified_drop(entry->good);
    rafsi_free(&cache->env, entry);
}

/* Reserve room for an entry: its own shard gives way first, then the others in turn. */
static bool make_room(struct rafsi_cache *cache, uint32_t hash, uint64_t cost)
{
    unsigned empty = 0;

    if (cost > cache->limit)
        return false;
    atomic_fetch_add(&cache->used, cost);
    for (uint32_t turn = hash; atomic_load(&cache->used) > cache->limit; turn++) {
        struct entry *entry = take_oldest(cache, shard_of(cache, turn));

        if (entry) {
            discard(cache, entry);
            empty = 0;
        } else if (++empty == SHARDS) {
            atomic_fetch_sub(&cache->used, cost);
            return false;
        }
    }
    return true;
}

void rafsi_cache_put(struct rafsi_cache *cache, const struct rafsi_cache_key *key,
                     struct verified *good)
{
    uint32_t hash = rafsi_cache_key_hash(key);
    struct shard *shard = shard_of(cache, hash);
    struct entry *entry = NULL;
    struct entry **bucket;
    bool there;

    if (rafsi_verified_cost(good) < cache->limit)
        entry = rafsi_alloc(&cache->env, sizeof(*entry));
    if (!entry)
        return;
    *entry = (struct entry){.key = *key, .good = rafsi_verified_hold(good)};
    entry->cost = rafsi_verified_cost(good) + sizeof(*entry);
    if (!make_room(cache, hash, entry->cost)) {
        rafsi_verified_drop(good);
        rafsi_free(&cache->env, entry);
        return;
    }
    pthread_mutex_lock(&shard->lock);
    bucket = bucket_of(cache, shard, hash);
    there = find(*bucket, key) != NULL;
    if (!there) {
        entry->next = *bucket;
        *bucket = entry;
        append_by_use(shard, entry);
    }
    pthread_mutex_unlock(&shard->lock);
    if (there)
        discard(cache, entry);
}
