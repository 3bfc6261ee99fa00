/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_ROUNDS_H
#define RAFSI_ROUNDS_H

#include <stdbool.h>

#include "base/call.h"

/*
 * Several sources may have what is wanted: they are asked one after the other, and round
 * again with pauses that grow, until one answers, none can be expected to, or the time is
 * up. While there are others, each gets only a part of the time, so that a dead one does
 * not eat the deadline.
 */

enum { ROUNDS_MAX = 32 }; /* sources, numbered from 0 */

struct rafsi_rounds {
    const struct rafsi_env *env;
    const rafs_call *call; /* the caller's; may be NULL */
    uint64_t end_ns;       /* when all has to be over; 0: not known yet */
    uint32_t out;          /* bits: sources that are not asked again */
    uint32_t waiting;      /* bits: sources that may do better in the next round */
    unsigned round;
    bool ended;
    rafs_call part;
    int worst;
    rafs_error error; /* of the worst failure */
};

void rafsi_rounds_begin(struct rafsi_rounds *rounds, const struct rafsi_env *env,
                        const rafs_call *call);

/*
 * The call for the next source. others: how many could be asked in its place, now or in
 * the next round; of them left: how many are still to be asked in this one. usual_ns:
 * what it takes when all is well; 0: not known. Without others it is the caller's own.
 */
const rafs_call *rafsi_rounds_part(struct rafsi_rounds *rounds, size_t others,
                                   size_t left, uint64_t usual_ns);

/* A source failed. again: it may do better later. */
void rafsi_rounds_failed(struct rafsi_rounds *rounds, size_t source, int rc, bool again,
                         const rafs_error *err);
/* Is this source still to be asked? */
bool rafsi_rounds_wants(const struct rafsi_rounds *rounds, size_t source);

/* After the last source of a round: pause; false if another round is of no use. */
bool rafsi_rounds_again(struct rafsi_rounds *rounds);

/* What all failures come to. RAFS_E_NOENT without an error where nobody has it. */
int rafsi_rounds_end(struct rafsi_rounds *rounds, rafs_error *err);

/* Errors that are the call's or the host's own: no other source would do better. */
bool rafsi_ends_search(int rc);
/* What to remember of several failures: a wrong answer before a failed one, before a
 * source that has no such blob. */
int rafsi_severity(int rc);

#endif
