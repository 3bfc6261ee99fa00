/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/disk_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/own.h"

void rafsi_disk_items_free(rafs_cache *cache, struct disk_items *items)
{
    rafsi_free(&cache->env, items->at);
    memset(items, 0, sizeof(*items));
}

static bool make_room(rafs_cache *cache, struct disk_items *items)
{
    size_t room = items->room ? items->room * 2 : 64;
    struct disk_item *fresh;

    if (items->count < items->room)
        return true;
    fresh = rafsi_alloc(&cache->env, room * sizeof(*fresh));
    if (!fresh)
        return false;
    if (items->count > 0)
        memcpy(fresh, items->at, items->count * sizeof(*fresh));
    rafsi_free(&cache->env, items->at);
    items->at = fresh;
    items->room = room;
    return true;
}

static void add_file(rafs_cache *cache, const char *name, struct disk_item *item)
{
    struct stat st;

    if (fstatat(cache->dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    item->disk_bytes += (uint64_t)st.st_blocks * 512;
    if (rafsi_disk_ends(name, ".ready"))
        return;
    item->used_sec = st.st_atim.tv_sec;
    item->used_nsec = st.st_atim.tv_nsec;
}

static bool is_there(rafs_cache *cache, const char *stem, const char *suffix)
{
    char name[DISK_NAME_BYTES + 16];

    snprintf(name, sizeof(name), "%s%s", stem, suffix);
    return faccessat(cache->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A blob is listed by its journal, or by its pin if that is all there is; a document by
 * its file. false: no item. */
static bool examine(rafs_cache *cache, const char *name, struct disk_item *item)
{
    static const char *const suffixes[] = {".ready", ".pin", ".doc"};
    char data[DISK_NAME_BYTES + 16];
    size_t len = strlen(name), i = 0;

    memset(item, 0, sizeof(*item));
    while (i < 3 && !rafsi_disk_ends(name, suffixes[i]))
        i++;
    if (i == 3 || len >= sizeof(item->stem))
        return false;
    item->document = i == 2;
    memcpy(item->stem, name, item->document ? len : len - strlen(suffixes[i]));
    if (i == 1) {
        item->pinned = true;
        item->document = strlen(item->stem) >= DISK_STEM_BYTES; /* no blob's is */
        return !is_there(cache, item->stem, item->document ? "" : ".ready");
    }
    if (!item->document && strlen(item->stem) >= DISK_STEM_BYTES)
        return false;
    add_file(cache, name, item);
    snprintf(data, sizeof(data), "%s.blob.data", item->stem);
    if (!item->document)
        add_file(cache, data, item);
    item->pinned = is_there(cache, item->stem, ".pin");
    return true;
}

static int by_use(const void *a, const void *b)
{
    const struct disk_item *x = a, *y = b;

    if (x->used_sec != y->used_sec)
        return x->used_sec < y->used_sec ? -1 : 1;
    if (x->used_nsec != y->used_nsec)
        return x->used_nsec < y->used_nsec ? -1 : 1;
    return strcmp(x->stem, y->stem);
}

int rafsi_disk_items(rafs_cache *cache, struct disk_items *out, rafs_error *err)
{
    struct disk_items items = {0};
    DIR *names = rafsi_disk_list(cache->dir);
    struct dirent *entry;
    int rc = RAFS_OK;

    if (!names)
        return rafsi_disk_fail(err, errno, "cache", "cannot be listed");
    while (rc == RAFS_OK && (entry = readdir(names))) {
        struct disk_item item;

        if (!examine(cache, entry->d_name, &item))
            continue;
        if (make_room(cache, &items)) {
            items.at[items.count++] = item;
            items.disk_bytes += item.disk_bytes;
        } else {
            rc = rafsi_fail_nomem(err, sizeof(item));
        }
    }
    closedir(names);
    if (rc < 0) {
        rafsi_disk_items_free(cache, &items);
        return rc;
    }
    if (items.count > 0)
        qsort(items.at, items.count, sizeof(items.at[0]), by_use);
    *out = items;
    return RAFS_OK;
}

void rafsi_disk_item_id(rafs_cache *cache, const struct disk_item *item,
                        char id[RAFSI_BLOB_ID_BYTES + DISK_STEM_BYTES])
{
    uint8_t bytes[DISK_RECORD_BYTES];
    char name[DISK_NAME_BYTES + 16];
    struct disk_record head;
    int fd;

    snprintf(id, RAFSI_BLOB_ID_BYTES + DISK_STEM_BYTES, "%s", item->stem);
    if (strncmp(item->stem, "h-", 2) != 0)
        return;
    snprintf(name, sizeof(name), "%s.ready", item->stem);
    fd = rafsi_disk_file(cache->dir, name, O_RDONLY);
    if (fd >= 0 && rafsi_disk_pread(fd, bytes, sizeof(bytes), 0) &&
        rafsi_disk_record_decode(bytes, &head) && head.kind == DISK_HEAD && head.id[0])
        memcpy(id, head.id, sizeof(head.id));
    if (fd >= 0)
        close(fd);
}

bool rafsi_disk_item_in_use(rafs_cache *cache, const struct disk_item *item)
{
    char name[DISK_NAME_BYTES + 16];
    bool free_now;
    int fd;

    if (item->document)
        return false;
    snprintf(name, sizeof(name), "%s.ready", item->stem);
    fd = rafsi_disk_file(cache->dir, name, O_RDWR);
    if (fd < 0)
        return false;
    free_now = rafsi_disk_locked(fd, F_WRLCK, DISK_LEASE_AT, 1);
    close(fd); /* and the lock with it */
    snprintf(name, sizeof(name), "%s.blob.data", item->stem);
    return !free_now || rafsi_disk_held_name(cache->dir, name);
}

void rafsi_disk_item_entry(rafs_cache *cache, const struct disk_item *item,
                           char id[RAFSI_BLOB_ID_BYTES + DISK_STEM_BYTES],
                           rafs_cache_entry *out)
{
    *out = (rafs_cache_entry){.name = id, .disk_bytes = item->disk_bytes};
    out->last_use_sec = item->used_sec < 0 ? 0 : (uint64_t)item->used_sec;
    out->flags = (item->document ? RAFS_CACHE_ENTRY_DOCUMENT : 0u) |
                 (item->pinned ? RAFS_CACHE_ENTRY_PINNED : 0u) |
                 (rafsi_disk_item_in_use(cache, item) ? RAFS_CACHE_ENTRY_IN_USE : 0u);
    rafsi_disk_item_id(cache, item, id);
}

static void count_chunks(rafs_cache *cache, const struct disk_item *item,
                         rafs_cache_entry *entry)
{
    struct rafsi_disk_blob *blob = rafsi_disk_open_stem(cache, item->stem, true);

    if (!blob)
        return;
    rafsi_disk_refresh(blob);
    pthread_mutex_lock(&cache->lock);
    entry->chunks = blob->index.count;
    entry->ready_bytes = blob->index.bytes;
    pthread_mutex_unlock(&cache->lock);
    rafsi_disk_close(blob);
}

int rafs_cache_list(rafs_cache *cache, uint32_t flags, rafs_cache_visit visit, void *user,
                    rafs_error *err)
{
    struct disk_items items = {0};
    int stop = 0, rc = rafsi_own_refuse(cache, err);

    if (rc < 0)
        return rc;
    if (!visit)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "visit", "is NULL");
    if (flags & ~(uint32_t)RAFS_CACHE_LIST_COUNT)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "flags",
                          "%#x are not known", flags);
    rc = rafsi_disk_items(cache, &items, err);
    for (size_t i = 0; rc == RAFS_OK && i < items.count && !stop; i++) {
        const struct disk_item *item = &items.at[i];
        char id[RAFSI_BLOB_ID_BYTES + DISK_STEM_BYTES];
        rafs_cache_entry given;

        rafsi_disk_item_entry(cache, item, id, &given);
        if ((flags & RAFS_CACHE_LIST_COUNT) && !item->document)
            count_chunks(cache, item, &given);
        stop = visit(user, &given);
    }
    rafsi_disk_items_free(cache, &items);
    return rc;
}
