/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "cache/disk_known.h"
#include "cache/disk_list.h"
#include "cache/own.h"

/* A file on its way in that is older than this was left by a process that died. */
enum { LEFTOVER_SEC = 3600 };

/* How long nothing is kept where nothing more can be evicted. */
#define FULL_NS ((uint64_t)30 * 1000000000)

/* What a collection is to do. */
struct wish {
    bool dry;
    uint64_t quota, floor;
    rafs_cache_visit visit; /* may be NULL */
    void *user;
};

/* Bytes that must go. */
static uint64_t excess(rafs_cache *cache, uint64_t used, const struct wish *wish)
{
    uint64_t over = wish->quota > 0 && used > wish->quota ? used - wish->quota : 0;
    uint64_t free_bytes;
    struct statvfs fs;

    if (wish->floor == 0 || fstatvfs(cache->dir, &fs) != 0)
        return over;
    if (!rafsi_mul(fs.f_bavail, fs.f_frsize, &free_bytes) || free_bytes >= wish->floor)
        return over;
    free_bytes = wish->floor - free_bytes; /* that are missing */
    return over > free_bytes ? over : free_bytes;
}

static bool pinned(rafs_cache *cache, const char *stem)
{
    char name[DISK_NAME_BYTES + 16];

    snprintf(name, sizeof(name), "%s.pin", stem);
    return faccessat(cache->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* May the files behind this descriptor go? They are still those of the names: whoever
 * deletes them has the lease for himself, which we have now, until it is closed. */
static bool may_go(rafs_cache *cache, int journal, const char *stem, const char *data)
{
    struct stat st;

    return rafsi_disk_locked(journal, F_WRLCK, DISK_LEASE_AT, 1) &&
           fstat(journal, &st) == 0 && st.st_nlink > 0 && !pinned(cache, stem) &&
           !rafsi_disk_held_name(cache->dir, data);
}

/* The journal is emptied first, and for good: it could come back after a power cut, when
 * the blob's name has another data file. create: there was none beside a data file. */
static bool evict_blob(rafs_cache *cache, const char *stem, bool create)
{
    char journal[DISK_NAME_BYTES + 16], data[DISK_NAME_BYTES + 16];
    bool gone;
    int fd;

    snprintf(journal, sizeof(journal), "%s.ready", stem);
    snprintf(data, sizeof(data), "%s.blob.data", stem);
    fd = rafsi_disk_file(cache->dir, journal, O_RDWR | (create ? O_CREAT : 0));
    if (fd < 0)
        return false;
    gone = may_go(cache, fd, stem, data) && ftruncate(fd, 0) == 0 && fsync(fd) == 0 &&
           (unlinkat(cache->dir, data, 0) == 0 || errno == ENOENT) &&
           unlinkat(cache->dir, journal, 0) == 0;
    close(fd);
    return gone;
}

static bool evict(rafs_cache *cache, const struct disk_item *item, bool dry)
{
    if (item->pinned)
        return false;
    if (dry)
        return !rafsi_disk_item_in_use(cache, item);
    if (item->document)
        return unlinkat(cache->dir, item->stem, 0) == 0;
    return evict_blob(cache, item->stem, false);
}

/* The same, and tell of it. What it was has to be asked before it is gone. */
static bool evict_and_tell(rafs_cache *cache, const struct disk_item *item,
                           const struct wish *wish)
{
    char id[RAFSI_BLOB_ID_BYTES + DISK_STEM_BYTES];
    rafs_cache_entry entry;

    if (!wish->visit)
        return evict(cache, item, wish->dry);
    rafsi_disk_item_entry(cache, item, id, &entry);
    if (!evict(cache, item, wish->dry))
        return false;
    (void)wish->visit(wish->user, &entry);
    return true;
}

/* A document that never got its name. */
static void sweep_temporary(rafs_cache *cache, const char *name)
{
    struct stat st;

    if (rafsi_disk_is_temporary(name) &&
        fstatat(cache->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_mtime < time(NULL) - LEFTOVER_SEC)
        unlinkat(cache->dir, name, 0);
}

/* A data file whose journal is gone, which says nothing to anybody. */
static void sweep_data(rafs_cache *cache, const char *name)
{
    static const char suffix[] = ".blob.data";
    char stem[DISK_STEM_BYTES], journal[DISK_NAME_BYTES];
    size_t len = strlen(name) - strlen(suffix);

    if (!rafsi_disk_ends(name, suffix) || len >= sizeof(stem))
        return;
    memcpy(stem, name, len);
    stem[len] = '\0';
    snprintf(journal, sizeof(journal), "%s.ready", stem);
    if (faccessat(cache->dir, journal, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
        evict_blob(cache, stem, true);
}

/* What processes left that died. */
static void sweep(rafs_cache *cache)
{
    DIR *names = rafsi_disk_list(cache->dir);
    struct dirent *entry;

    while (names && (entry = readdir(names))) {
        sweep_temporary(cache, entry->d_name);
        sweep_data(cache, entry->d_name);
    }
    if (names)
        closedir(names);
}

static int collect(rafs_cache *cache, const struct wish *wish,
                   rafs_cache_gc_result *result, rafs_error *err)
{
    struct disk_items items = {0};
    uint64_t over;
    int rc;

    rafsi_disk_share_release(cache);
    if (!wish->dry)
        sweep(cache);
    rc = rafsi_disk_items(cache, &items, err);
    if (rc < 0)
        return rc;
    over = excess(cache, items.disk_bytes, wish);
    for (size_t i = 0; i < items.count; i++) {
        const struct disk_item *item = &items.at[i];

        if (over > 0 && evict_and_tell(cache, item, wish)) {
            result->evicted++;
            result->evicted_bytes += item->disk_bytes;
            over -= rafsi_min(over, item->disk_bytes);
        } else {
            result->kept++;
            result->kept_bytes += item->disk_bytes;
        }
    }
    result->fits = over == 0;
    rafsi_disk_items_free(cache, &items);
    return RAFS_OK;
}

void rafs_cache_gc_options_init(rafs_cache_gc_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

int rafs_cache_gc(rafs_cache *cache, const rafs_cache_gc_options *options,
                  rafs_cache_gc_result *result, rafs_error *err)
{
    rafs_cache_gc_result seen = {.struct_size = sizeof(seen)}, asked;
    rafs_cache_gc_options from;
    struct wish wish;
    int rc = rafsi_own_refuse(cache, err);

    if (rc == RAFS_OK)
        rc =
            rafsi_take_struct(options, &from, sizeof(from), "rafs_cache_gc_options", err);
    if (rc == RAFS_OK && (from.flags & ~(uint32_t)RAFS_CACHE_GC_DRY_RUN))
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                        "rafs_cache_gc_options", "flags %#x are not known", from.flags);
    if (rc == RAFS_OK)
        rc =
            rafsi_take_struct(result, &asked, sizeof(asked), "rafs_cache_gc_result", err);
    if (rc < 0)
        return rc;
    wish = (struct wish){
        .dry = from.flags & RAFS_CACHE_GC_DRY_RUN,
        .quota = from.quota_bytes ? from.quota_bytes : cache->quota_bytes,
        .floor = from.free_floor_bytes ? from.free_floor_bytes : cache->free_floor_bytes,
        .visit = from.visit,
        .user = from.user};
    rc = collect(cache, &wish, &seen, err);
    if (rc == RAFS_OK && result)
        rc = rafsi_give_struct(&seen, sizeof(seen), result, "rafs_cache_gc_result", err);
    return rc;
}

/* Under the lock: is what is known to be used, and `more`, too much for the quota? It is
 * counted anew when we added a sixteenth, for other processes add too. */
static bool over_quota(const rafs_cache *cache, uint64_t more)
{
    uint64_t quota = cache->quota_bytes;

    return quota > 0 && (!cache->counted || cache->grown > quota / 16 ||
                         cache->used + cache->grown + more > quota);
}

static bool under_floor(const rafs_cache *cache, uint64_t more)
{
    uint64_t free_bytes;
    struct statvfs fs;

    return cache->free_floor_bytes > 0 && fstatvfs(cache->dir, &fs) == 0 &&
           rafsi_mul(fs.f_bavail, fs.f_frsize, &free_bytes) &&
           (free_bytes < more || free_bytes - more < cache->free_floor_bytes);
}

/* Evict, down to nine tenths so that it is not done for every chunk. */
static bool trim(rafs_cache *cache, uint64_t more, uint64_t now)
{
    uint64_t quota = cache->quota_bytes;
    struct wish wish = {.dry = true, .quota = quota, .floor = cache->free_floor_bytes};
    rafs_cache_gc_result seen = {0};
    uint64_t used;
    int rc = collect(cache, &wish, &seen, NULL);

    /* The dry run only counts; most of the time the count says that all is well. */
    used = seen.kept_bytes + seen.evicted_bytes;
    if (rc == RAFS_OK &&
        ((quota > 0 && used + more > quota) || under_floor(cache, more))) {
        seen = (rafs_cache_gc_result){0};
        wish.dry = false;
        wish.quota = quota - quota / 10;
        rc = collect(cache, &wish, &seen, NULL);
        used = seen.kept_bytes;
    }
    pthread_mutex_lock(&cache->lock);
    cache->trimming = false;
    if (rc == RAFS_OK) {
        cache->counted = true;
        cache->used = used;
        cache->grown = 0;
    }
    pthread_mutex_unlock(&cache->lock);
    if (rc == RAFS_OK && (quota == 0 || used + more <= quota) &&
        !under_floor(cache, more))
        return true;
    pthread_mutex_lock(&cache->lock);
    cache->full_until = now + FULL_NS;
    pthread_mutex_unlock(&cache->lock);
    return false;
}

bool rafsi_disk_room(rafs_cache *cache, uint64_t more, bool urgent)
{
    bool full, over, busy, low;
    uint64_t now;

    if (cache->quota_bytes == 0 && cache->free_floor_bytes == 0)
        return true;
    now = rafsi_now_ns(&cache->env);
    low = under_floor(cache, more);
    pthread_mutex_lock(&cache->lock);
    full = cache->full_until > now && !urgent;
    over = low || over_quota(cache, more);
    busy = cache->trimming;
    if (over && !full && !busy)
        cache->trimming = true;
    pthread_mutex_unlock(&cache->lock);
    /* Another thread makes room now: a little more than allowed is better than an error.
     */
    if (!over || (busy && urgent))
        return true;
    return !full && !busy && trim(cache, more, now);
}
