/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_HEALTH_H
#define RAFSI_HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How a source has done lately, for all blobs of an image: who fails is asked after the
 * others for a while that grows, then probed by one request at a time; who lied about
 * several chunks is asked last for ever. Only sources behind a network get so far: to ask
 * a folder again costs nothing.
 */

enum { HEALTH_SIZES = 2, HEALTH_LIES = 3 };

struct source_health {
    atomic_uint_least64_t
        average_ns[HEALTH_SIZES];            /* of small and large answers; 0: none */
    atomic_uint failures;                    /* in a row */
    atomic_uint_least64_t until_ns;          /* asked after the others until then */
    atomic_uint_least64_t lies[HEALTH_LIES]; /* chunks that it lied about; 0: none yet */
};

/* In the order in which to ask. */
enum health_rank { HEALTH_GOOD, HEALTH_COOLING, HEALTH_ABSENT, HEALTH_LIAR };

struct rafsi_reader;

/* What to do with a source now; state NULL: the blob was not asked for yet. */
enum health_rank rafsi_health_rank(struct rafsi_reader *reader, uint32_t blob,
                                   size_t source);
/* A request goes to the source. */
void rafsi_health_ask(struct rafsi_reader *reader, size_t source);
/* It answered len bytes, in so many nanoseconds. */
void rafsi_health_answer(struct rafsi_reader *reader, size_t source, size_t len,
                         uint64_t ns);
/* It failed, was too slow, or has no such blob. */
void rafsi_health_fail(struct rafsi_reader *reader, uint32_t blob, size_t source, int rc);
/* It lied about a chunk. */
void rafsi_health_lie(struct rafsi_reader *reader, size_t source, uint64_t chunk);
/* How long an answer of len bytes takes; 0: not known. */
uint64_t rafsi_health_usual_ns(const struct rafsi_reader *reader, size_t source,
                               size_t len);

#endif
