/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BULK_H
#define RAFSI_BULK_H

#include "read/reader.h"

/*
 * Many chunks that lie beside each other, in one large request, for nobody who waits:
 * prefetch, and read-ahead across files. Chunks that are there already, or that somebody
 * else fetches, are left out. Used by one thread.
 */
struct bulk;

/* Unwanted bytes between two chunks that are cheaper than a request. */
enum { BULK_GAP = 32 << 10 };

enum bulk_place {
    BULK_ADDED,
    BULK_HAVE,      /* it is there */
    BULK_ELSEWHERE, /* another thread or process fetches it */
    BULK_FULL       /* run first: it does not lie beside the others */
};

/* What the last run did. */
struct bulk_result {
    uint32_t fetched, failed, unkept; /* chunks; unkept: fetched, but not cached */
    uint64_t fetched_bytes;           /* stored bytes of those fetched */
    uint64_t asked_bytes;             /* that travelled */
    rafs_error error;                 /* the first, if failed is not 0 */
};

/* most: stored bytes in one request. cause: RAFS_CAUSE_AHEAD, or RAFS_CAUSE_PREFETCH:
 * then what the cache keeps does not go into memory, where it would push out what readers
 * use. */
int rafsi_bulk_new(struct rafsi_reader *reader, uint64_t most, uint32_t cause,
                   struct bulk **out, rafs_error *err);
void rafsi_bulk_free(struct bulk *bulk); /* gives up what was not run; NULL is fine */

/* chunk is no hole. Errors are those of the chunk alone. May ask a source where the
 * blob itself has to say what the chunk is. */
int rafsi_bulk_add(struct bulk *bulk, const struct rafsi_chunk *chunk,
                   const rafs_call *call, enum bulk_place *place, rafs_error *err);
/* Fetch, verify, keep and land what was added; empty afterwards. Errors are those that
 * would meet every other chunk too (source, call, memory); chunks that are wrong at every
 * source are only counted. */
int rafsi_bulk_run(struct bulk *bulk, const rafs_call *call, struct bulk_result *result,
                   rafs_error *err);

#endif
