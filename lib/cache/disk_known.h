/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CACHE_DISK_KNOWN_H
#define RAFSI_CACHE_DISK_KNOWN_H

/* Chunks of other blobs, found by digest. */

#include "cache/disk_impl.h"

int rafsi_disk_known_new(rafs_cache *cache, rafs_error *err);
void rafsi_disk_known_free(rafs_cache *cache);
/* Look through the journals for what came since the last time, if that is some time ago
 * and no other thread is at it. */
void rafsi_disk_known_scan(rafs_cache *cache);
/* This blob has the chunk now. */
void rafsi_disk_known_add(struct rafsi_disk_blob *blob,
                          const struct rafsi_disk_chunk *chunk);
/* Fill room with the chunk from another blob; its digest was compared. */
bool rafsi_disk_known_get(struct rafsi_disk_blob *blob,
                          const struct rafsi_disk_chunk *chunk, void *room);
/* Share the chunk's first bytes on disk with another blob that has it; how many. */
uint32_t rafsi_disk_known_clone(struct rafsi_disk_blob *blob,
                                const struct rafsi_disk_chunk *chunk);
/* Let go of the blobs that are kept open to read from. */
void rafsi_disk_known_release(rafs_cache *cache);

#endif
