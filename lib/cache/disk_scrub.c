/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>

#include "cache/disk_list.h"
#include "cache/own.h"

/* One who reads everything once, and how fast he may. */
struct scrub {
    rafs_cache *cache;
    const rafs_call *call;
    uint64_t rate; /* bytes a second; 0: any */
    uint64_t began_ns;
    rafs_cache_scrub_result seen;
};

/* The chunk that begins at or behind *at, or ends behind it. */
static bool next_chunk(struct rafsi_disk_blob *blob, uint64_t *at,
                       struct rafsi_disk_chunk *chunk)
{
    const struct disk_node *node;
    bool found = false;

    pthread_mutex_lock(&blob->cache->lock);
    while (!found && (node = rafsi_disk_index_from(&blob->index, *at))) {
        *at = node->offset + node->size;
        found = node->ready;
        *chunk = (struct rafsi_disk_chunk){
            .offset = node->offset, .size = node->size, .algorithm = node->algorithm};
        memcpy(chunk->digest, node->digest, sizeof(chunk->digest));
        chunk->record = node->at + 1;
    }
    pthread_mutex_unlock(&blob->cache->lock);
    return found;
}

static int check_chunk(struct scrub *scrub, struct rafsi_disk_blob *blob,
                       const struct rafsi_disk_chunk *chunk, rafs_error *err)
{
    struct rafsi_buffer *buffer = NULL;
    uint8_t actual[RAFSI_DIGEST_BYTES];
    bool good;
    int rc = rafsi_pool_take(scrub->cache->pool, chunk->size, &buffer, err);

    if (rc < 0)
        return rc;
    good = rafsi_disk_pread(blob->data, buffer->at, chunk->size, chunk->offset);
    if (good)
        rc = rafsi_hash_bytes(scrub->cache->hashes, chunk->algorithm, buffer->at,
                              chunk->size, actual, err);
    rafsi_buffer_free(buffer);
    if (rc < 0)
        return rc;
    scrub->seen.chunks++;
    scrub->seen.bytes += chunk->size;
    if (good && rafsi_digest_equal(actual, chunk->digest))
        return RAFS_OK;
    scrub->seen.bad_chunks++;
    rafsi_disk_bad(blob, chunk);
    return RAFS_OK;
}

/* Wait until as much time has passed as what was read may take. */
static int pace(struct scrub *scrub, rafs_error *err)
{
    enum { SLICE_MS = 20 };
    const struct rafsi_env *env = &scrub->cache->env;
    int rc = rafsi_call_check(env, scrub->call, RAFS_STAGE_CHECK, err);

    while (rc == RAFS_OK && scrub->rate > 0 &&
           (double)scrub->seen.bytes / (double)scrub->rate * 1e9 >
               (double)(rafsi_now_ns(env) - scrub->began_ns)) {
        (void)poll(NULL, 0, SLICE_MS);
        rc = rafsi_call_check(env, scrub->call, RAFS_STAGE_CHECK, err);
    }
    return rc;
}

static int scrub_blob(struct scrub *scrub, const char *stem, rafs_error *err)
{
    struct rafsi_disk_blob *blob = rafsi_disk_open_stem(scrub->cache, stem);
    struct rafsi_disk_chunk chunk;
    uint64_t at = 0;
    int rc = RAFS_OK;

    if (!blob)
        return RAFS_OK; /* evicted meanwhile */
    rafsi_disk_refresh(blob);
    while (rc == RAFS_OK && next_chunk(blob, &at, &chunk)) {
        rc = check_chunk(scrub, blob, &chunk, err);
        if (rc == RAFS_OK)
            rc = pace(scrub, err);
    }
    scrub->seen.blobs += rc == RAFS_OK;
    rafsi_disk_close(blob);
    return rc;
}

static int scrub_all(struct scrub *scrub, rafs_error *err)
{
    struct disk_items items = {0};
    int rc = rafsi_disk_items(scrub->cache, &items, err);

    scrub->began_ns = rafsi_now_ns(&scrub->cache->env);
    for (size_t i = 0; rc == RAFS_OK && i < items.count; i++)
        if (!items.at[i].document)
            rc = scrub_blob(scrub, items.at[i].stem, err);
    rafsi_disk_items_free(scrub->cache, &items);
    scrub->seen.complete = rc == RAFS_OK;
    return rc;
}

int rafs_cache_scrub(rafs_cache *cache, uint64_t bytes_per_second, const rafs_call *call,
                     rafs_cache_scrub_result *result, rafs_error *err)
{
    struct scrub scrub = {.cache = cache, .rate = bytes_per_second};
    rafs_cache_scrub_result asked;
    rafs_call limits;
    int rc, given = RAFS_OK;

    rc = rafsi_own_refuse(cache, err);
    if (rc < 0)
        return rc;
    rc = rafsi_take_struct(result, &asked, sizeof(asked), "rafs_cache_scrub_result", err);
    if (rc == RAFS_OK)
        rc = rafsi_call_take(call, &limits, err);
    if (rc < 0)
        return rc;
    scrub.call = &limits;
    rc = scrub_all(&scrub, err);
    if (result)
        given = rafsi_give_struct(&scrub.seen, sizeof(scrub.seen), result,
                                  "rafs_cache_scrub_result", err);
    return rc < 0 ? rc : given;
}
