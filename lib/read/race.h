/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_RACE_H
#define RAFSI_RACE_H

#include "base/base.h"

/*
 * Bytes of a blob from one source and, if that takes longer than it should, from a second
 * one too: who answers first wins, and the other is cancelled. Each writes into memory of
 * its own, so that one who comes late, or ignores that he was cancelled, harms nobody.
 *
 * Where a second source could be asked, requests run in threads of the image, so that who
 * waits keeps his deadline whatever a source does. There are none before the first such
 * request, and no more than RACE_THREADS; when all are busy, the caller's thread asks the
 * first source alone.
 */

enum { RACE_THREADS = 16 };

struct rafsi_reader;

/* What is asked, and what came. */
struct ask {
    uint32_t blob;
    uint32_t cause; /* RAFS_CAUSE_ */
    uint64_t offset;
    size_t len;
    size_t source; /* in: who is asked; out: who answered */
    size_t backup; /* who may be asked too; NO_SOURCE: nobody */
    /* Of the backup, if it was asked and failed as well; RAFS_OK else. */
    int backup_rc;
    rafs_error backup_error;
};

int rafsi_race_new(struct rafsi_reader *reader, rafs_error *err);
/* Cancels, ends and joins what runs. */
void rafsi_race_free(struct rafsi_reader *reader);

/* On success *out holds len bytes, unverified; else err (never NULL) is the source's. */
int rafsi_race(struct rafsi_reader *reader, struct ask *ask, const rafs_call *call,
               struct rafsi_buffer **out, rafs_error *err);

#endif
