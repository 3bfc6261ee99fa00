/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/ioctl.h>

#ifdef __linux__
#include <linux/fs.h>
#endif

#include "cache/disk_known.h"

/* What another blob has need not be fetched, nor stored twice where the file system can
 * share blocks. */

void rafsi_disk_share_release(rafs_cache *cache)
{
    for (unsigned i = 0; i < DISK_SOURCES; i++) {
        struct rafsi_disk_blob *source;

        pthread_mutex_lock(&cache->lock);
        source = cache->sources[i];
        cache->sources[i] = NULL;
        pthread_mutex_unlock(&cache->lock);
        rafsi_disk_close(source);
    }
}

/* The blob to read from, with a use of it; NULL: it is no longer there. */
static struct rafsi_disk_blob *source_of(rafs_cache *cache, const char *stem)
{
    struct rafsi_disk_blob *source = NULL, *old;

    pthread_mutex_lock(&cache->lock);
    for (unsigned i = 0; i < DISK_SOURCES && !source; i++)
        if (cache->sources[i] && strcmp(cache->sources[i]->stem, stem) == 0)
            source = cache->sources[i];
    if (source)
        source->users++;
    pthread_mutex_unlock(&cache->lock);
    if (source)
        return source;
    source = rafsi_disk_open_stem(cache, stem, false);
    if (!source)
        return NULL;
    pthread_mutex_lock(&cache->lock);
    old = cache->sources[cache->next_source];
    cache->sources[cache->next_source] = source;
    cache->next_source = (cache->next_source + 1) % DISK_SOURCES;
    source->users++;
    pthread_mutex_unlock(&cache->lock);
    rafsi_disk_close(old);
    return source;
}

/* Is it the chunk that the record tells of, and ready? *there: it, in the source. */
static bool confirm(struct rafsi_disk_blob *source, uint64_t at,
                    const struct rafsi_disk_chunk *chunk, struct rafsi_disk_chunk *there)
{
    uint8_t bytes[DISK_RECORD_BYTES];
    struct disk_record record;

    if (!rafsi_disk_pread(source->journal, bytes, sizeof(bytes), at) ||
        !rafsi_disk_record_decode(bytes, &record) || record.kind != DISK_READY)
        return false;
    *there = *chunk;
    there->offset = record.offset;
    there->record = rafsi_disk_find(source, there);
    return there->record > 0;
}

bool rafsi_disk_share_has(struct rafsi_disk_blob *blob,
                          const struct rafsi_disk_chunk *chunk)
{
    struct disk_place places[DISK_PLACES];
    bool found = false;
    size_t count;

    rafsi_disk_known_scan(blob->cache);
    count = rafsi_disk_known_places(blob, chunk->digest, places);
    for (size_t i = 0; i < count && !found; i++) {
        struct rafsi_disk_blob *source = source_of(blob->cache, places[i].stem);
        struct rafsi_disk_chunk there;

        found = source && confirm(source, places[i].at, chunk, &there);
        rafsi_disk_close(source);
    }
    return found;
}

static bool read_there(struct rafsi_disk_blob *source,
                       const struct rafsi_disk_chunk *there, void *room)
{
    uint8_t actual[RAFSI_DIGEST_BYTES];
    bool good = rafsi_disk_pread(source->data, room, there->size, there->offset) &&
                rafsi_hash_bytes(source->cache->hashes, there->algorithm, room,
                                 there->size, actual, NULL) == RAFS_OK &&
                rafsi_digest_equal(actual, there->digest);

    if (good)
        rafsi_disk_touch(source);
    else
        rafsi_disk_bad(source, there);
    return good;
}

bool rafsi_disk_share_get(struct rafsi_disk_blob *blob,
                          const struct rafsi_disk_chunk *chunk, void *room)
{
    struct disk_place places[DISK_PLACES];
    bool good = false;
    size_t count;

    rafsi_disk_known_scan(blob->cache);
    count = rafsi_disk_known_places(blob, chunk->digest, places);
    for (size_t i = 0; i < count && !good; i++) {
        struct rafsi_disk_blob *source = source_of(blob->cache, places[i].stem);
        struct rafsi_disk_chunk there;

        if (source && confirm(source, places[i].at, chunk, &there))
            good = read_there(source, &there, room);
        rafsi_disk_close(source);
    }
    return good;
}

#ifdef FICLONERANGE
static uint32_t clone_from(struct rafsi_disk_blob *blob,
                           const struct rafsi_disk_chunk *chunk,
                           struct rafsi_disk_blob *source, uint64_t from)
{
    struct file_clone_range range = {.src_fd = source->data,
                                     .src_offset = from,
                                     .src_length = chunk->size / 4096 * 4096,
                                     .dest_offset = chunk->offset};

    if (ioctl(blob->data, FICLONERANGE, &range) == 0)
        return (uint32_t)range.src_length;
    pthread_mutex_lock(&blob->cache->lock);
    blob->cache->no_clones = true;
    pthread_mutex_unlock(&blob->cache->lock);
    return 0;
}

/* The blocks were those of a chunk that nobody has looked at in this process. */
static bool same_now(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk,
                     const uint8_t *good, uint32_t len)
{
    uint8_t bytes[4096];
    bool same = true;

    for (uint32_t at = 0; at < len && same; at += sizeof(bytes))
        same = rafsi_disk_pread(blob->data, bytes, sizeof(bytes), chunk->offset + at) &&
               memcmp(bytes, good + at, sizeof(bytes)) == 0;
    return same;
}

uint32_t rafsi_disk_share_blocks(struct rafsi_disk_blob *blob,
                                 const struct rafsi_disk_chunk *chunk,
                                 const uint8_t *good)
{
    struct disk_place places[DISK_PLACES];
    uint32_t cloned = 0;
    bool no_clones;
    size_t count;

    pthread_mutex_lock(&blob->cache->lock);
    no_clones = blob->cache->no_clones;
    pthread_mutex_unlock(&blob->cache->lock);
    if (no_clones || chunk->size < 4096 || chunk->offset % 4096 != 0)
        return 0;
    count = rafsi_disk_known_places(blob, chunk->digest, places);
    for (size_t i = 0; i < count && cloned == 0; i++) {
        struct rafsi_disk_blob *source = source_of(blob->cache, places[i].stem);
        struct rafsi_disk_chunk there;

        if (source && confirm(source, places[i].at, chunk, &there) &&
            there.offset % 4096 == 0)
            cloned = clone_from(blob, chunk, source, there.offset);
        rafsi_disk_close(source);
    }
    return same_now(blob, chunk, good, cloned) ? cloned : 0;
}
#else
uint32_t rafsi_disk_share_blocks(struct rafsi_disk_blob *blob,
                                 const struct rafsi_disk_chunk *chunk,
                                 const uint8_t *good)
{
    (void)blob;
    (void)chunk;
    (void)good;
    return 0;
}
#endif
