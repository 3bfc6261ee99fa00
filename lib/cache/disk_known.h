/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CACHE_DISK_KNOWN_H
#define RAFSI_CACHE_DISK_KNOWN_H

/* Chunks of other blobs, found by digest. */

#include "cache/disk_impl.h"

enum { DISK_PLACES = 4 }; /* that are remembered for a digest */

/* Where a chunk may be: a record in another blob's journal. */
struct disk_place {
    char stem[DISK_STEM_BYTES];
    uint64_t at;
};

int rafsi_disk_known_new(rafs_cache *cache, rafs_error *err);
void rafsi_disk_known_free(rafs_cache *cache);
/* Look through the journals for what came since the last time, if that is some time ago
 * and no other thread is at it. */
void rafsi_disk_known_scan(rafs_cache *cache);
/* This blob has the chunk now; at: its record. */
void rafsi_disk_known_add(struct rafsi_disk_blob *blob,
                          const struct rafsi_disk_chunk *chunk, uint64_t at);
/* In which other blobs a chunk may be; how many. */
size_t rafsi_disk_known_places(struct rafsi_disk_blob *blob,
                               const uint8_t digest[RAFSI_DIGEST_BYTES],
                               struct disk_place places[DISK_PLACES]);

/* disk_share.c */

/* Has another blob the chunk? Nobody looked at its bytes. */
bool rafsi_disk_share_has(struct rafsi_disk_blob *blob,
                          const struct rafsi_disk_chunk *chunk);
/* Fill room with the chunk from another blob; its digest was compared. */
bool rafsi_disk_share_get(struct rafsi_disk_blob *blob,
                          const struct rafsi_disk_chunk *chunk, void *room);
/* Share the chunk's first bytes on disk with another blob that has it; how many. good:
 * what they are. */
uint32_t rafsi_disk_share_blocks(struct rafsi_disk_blob *blob,
                                 const struct rafsi_disk_chunk *chunk,
                                 const uint8_t *good);
/* Let go of the blobs that are kept open to read from. */
void rafsi_disk_share_release(rafs_cache *cache);

#endif
