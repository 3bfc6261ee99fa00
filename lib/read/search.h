/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_SEARCH_H
#define RAFSI_SEARCH_H

#include "base/base.h"
#include "rafs/limits.h"

/*
 * One thing is wanted of a blob, and several sources may have it:
 *
 *     rafsi_search_begin(&search, reader, blob, len, call);
 *     while (rafsi_search_next(&search, &source, &part)) {
 *         rc = …ask source, by part…;
 *         if (rc == RAFS_OK)
 *             …
 *         rafsi_search_failed(&search, source, rc, &local);
 *     }
 *     return rafsi_search_end(&search, err);
 */
struct rafsi_reader;

enum { NO_SOURCE = 255 };

struct search {
    struct rafsi_rounds rounds;
    struct rafsi_reader *reader;
    uint32_t blob;
    size_t len;
    size_t order[RAFS_SOURCES_MAX + 1];
    size_t count, at;
    uint32_t tried; /* those that were asked and failed, a bit each */
    uint32_t fresh; /* bits: sources that are asked past whoever is in between */
    rafs_call fresh_call;
    size_t failed; /* the last that failed, and not yet counted; NO_SOURCE: none */
};

/* len: bytes that will be asked for, about. */
void rafsi_search_begin(struct search *search, struct rafsi_reader *reader, uint32_t blob,
                        size_t len, const rafs_call *call);
/* The next source, and the call to ask it by. False: there is none, or no time. */
bool rafsi_search_next(struct search *search, size_t *source, const rafs_call **part);
/* A healthy source that could be asked beside the last one; NO_SOURCE: none. */
size_t rafsi_search_backup(const struct search *search);
/* RAFS_E_CORRUPT is not noted against the source here. */
void rafsi_search_failed(struct search *search, size_t source, int rc,
                         const rafs_error *err);
/* Another source was quicker; should that turn out to be a liar, this one is asked again.
 */
void rafsi_search_beaten(struct search *search, size_t source);
/* Count what follows now that a source failed outside of any search: a new one begins. */
void rafsi_search_turn(struct rafsi_reader *reader, uint32_t blob, size_t failed);
/* RAFS_E_BACKEND with ENOENT where nobody has it. */
int rafsi_search_end(struct search *search, rafs_error *err);

#endif
