/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CACHE_DISK_LIST_H
#define RAFSI_CACHE_DISK_LIST_H

/* What lies in the directory, for those who list, evict and scrub. */

#include "cache/disk_impl.h"

struct disk_item {
    char stem[DISK_NAME_BYTES]; /* of a blob; or the file name of a document */
    uint64_t disk_bytes;
    int64_t used_sec, used_nsec;
    bool document, pinned;
};

struct disk_items {
    struct disk_item *at;
    size_t count, room;
    uint64_t disk_bytes; /* of all */
};

/* All blobs and documents, the least recently used first. */
int rafsi_disk_items(rafs_cache *cache, struct disk_items *out, rafs_error *err);
void rafsi_disk_items_free(rafs_cache *cache, struct disk_items *items);
/* The blob id from a journal, or the stem. */
void rafsi_disk_item_id(rafs_cache *cache, const struct disk_item *item,
                        char id[RAFSI_BLOB_ID_BYTES + DISK_STEM_BYTES]);
/* The public form; id is where its name goes. */
void rafsi_disk_item_entry(rafs_cache *cache, const struct disk_item *item,
                           char id[RAFSI_BLOB_ID_BYTES + DISK_STEM_BYTES],
                           rafs_cache_entry *out);
/* Does a process, this one or another, have the blob open? */
bool rafsi_disk_item_in_use(rafs_cache *cache, const struct disk_item *item);

#endif
