/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache/disk_impl.h"

/* When to make chunks durable; the order is told in disk_chunk.c. */
#define SYNC_BYTES ((uint64_t)64 << 20)
#define SYNC_AFTER_NS ((uint64_t)5 * 1000000000)
/* After a failure, since it may have been for want of space. */
#define SYNC_AGAIN_NS ((uint64_t)30 * 1000000000)

/* *lost: chunks were, so that trying again is no use. */
static int sync_files(struct rafsi_disk_blob *blob, bool sync_dir, bool *lost)
{
    struct disk_record record = {.kind = DISK_SYNC};
    struct stat st;

    *lost = false;
    if (fstat(blob->journal, &st) != 0)
        return errno;
    record.offset = (uint64_t)st.st_size;
    memcpy(record.boot, blob->cache->boot, sizeof(record.boot));
    if (fdatasync(blob->data) != 0) {
        int os_errno = errno;

        /* The kernel may have dropped the pages, and says so only once: nobody else's
         * sync must make these records durable. */
        record.kind = DISK_RESET;
        record.flags = DISK_RESET_PENDING;
        if (rafsi_disk_append(blob, &record))
            (void)fdatasync(blob->journal);
        *lost = true;
        return os_errno;
    }
    if (sync_dir && fsync(blob->cache->dir) != 0)
        return errno;
    if (!rafsi_disk_append(blob, &record) || fdatasync(blob->journal) != 0)
        return errno;
    return 0;
}

void rafsi_disk_sync(struct rafsi_disk_blob *blob)
{
    rafs_cache *cache = blob->cache;
    bool sync_dir, lost;
    uint64_t bytes;
    int os_errno;

    pthread_mutex_lock(&cache->lock);
    bytes = blob->unsynced;
    sync_dir = !blob->dir_synced;
    blob->unsynced = 0;
    pthread_mutex_unlock(&cache->lock);
    if (bytes == 0)
        return;
    os_errno = sync_files(blob, sync_dir, &lost);
    if (os_errno != 0)
        rafsi_disk_trouble(cache, os_errno, "making chunks durable");
    pthread_mutex_lock(&cache->lock);
    if (os_errno == 0)
        blob->dir_synced = true;
    if (os_errno != 0 && !lost) {
        blob->unsynced += bytes;
        blob->unsynced_ns = rafsi_monotonic_ns() + SYNC_AGAIN_NS;
    }
    pthread_mutex_unlock(&cache->lock);
    if (os_errno != 0 && lost)
        rafsi_disk_refresh(blob);
}

/* Under the lock: a blob whose time has come, with a use of it; or when to look again. */
static struct rafsi_disk_blob *next_due(rafs_cache *cache, uint64_t now, uint64_t *wake)
{
    *wake = now + SYNC_AFTER_NS;
    for (struct rafsi_disk_blob *blob = cache->blobs; blob; blob = blob->next) {
        uint64_t due = blob->unsynced_ns + SYNC_AFTER_NS;

        if (blob->unsynced == 0)
            continue;
        if ((blob->unsynced >= SYNC_BYTES && blob->unsynced_ns <= now) || due <= now) {
            blob->users++;
            return blob;
        }
        *wake = rafsi_min(*wake, due);
    }
    return NULL;
}

static void *run(void *arg)
{
    rafs_cache *cache = arg;
    uint64_t wake;

    pthread_mutex_lock(&cache->lock);
    while (!cache->closing) {
        struct rafsi_disk_blob *blob = next_due(cache, rafsi_monotonic_ns(), &wake);

        if (blob) {
            pthread_mutex_unlock(&cache->lock);
            rafsi_disk_sync(blob);
            rafsi_disk_close(blob);
            pthread_mutex_lock(&cache->lock);
        } else {
            struct timespec at = {(time_t)(wake / 1000000000u),
                                  (long)(wake % 1000000000u)};

            pthread_cond_timedwait(&cache->wake, &cache->lock, &at);
        }
    }
    pthread_mutex_unlock(&cache->lock);
    return NULL;
}

/* A chunk was kept. The thread starts with the first one; where it cannot, closing the
 * blob makes its chunks durable. */
void rafsi_disk_unsynced(struct rafsi_disk_blob *blob, uint64_t bytes)
{
    rafs_cache *cache = blob->cache;

    pthread_mutex_lock(&cache->lock);
    if (blob->unsynced == 0)
        blob->unsynced_ns = rafsi_monotonic_ns();
    blob->unsynced += bytes;
    cache->grown += bytes;
    if (!cache->syncer_runs)
        cache->syncer_runs = rafsi_thread_start(&cache->syncer, run, cache) == RAFS_OK;
    else if (blob->unsynced >= SYNC_BYTES)
        pthread_cond_signal(&cache->wake);
    pthread_mutex_unlock(&cache->lock);
}

void rafsi_disk_syncer_stop(rafs_cache *cache)
{
    if (!cache->syncer_runs)
        return;
    pthread_mutex_lock(&cache->lock);
    cache->closing = true;
    pthread_cond_signal(&cache->wake);
    pthread_mutex_unlock(&cache->lock);
    pthread_join(cache->syncer, NULL);
}
