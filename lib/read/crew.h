/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CREW_H
#define RAFSI_CREW_H

#include "base/base.h"

/*
 * The threads of an image, which do what nobody waits for yet: read ahead of live readers
 * first, then prefetch. They are made when first needed, take no signal of the program's,
 * and are gone when the image closes. A read that somebody waits for runs in the caller's
 * thread, so it needs none of them; while such a read waits for its source, or something
 * is read ahead, prefetch makes do with one thread.
 */
struct rafsi_crew;

enum { CREW_AHEAD, CREW_PREFETCH, CREW_PRIORITIES }; /* the first goes first */
enum { CREW_WIDTH_MAX = 16 };                        /* threads of one task */

/*
 * Something to be done, step by step. The fields above the line are set by its owner, the
 * others zeroed; it stays where it is until rafsi_crew_drop().
 */
struct rafsi_task {
    /* One step, without a lock; its token fires when the crew ends. */
    void (*step)(void *user, const rafs_call *call);
    void *user;
    rafs_cancel *cancel; /* token of its steps, fired by the crew too; NULL: the crew's */
    uint64_t step_ns;    /* longest step; nobody waits, but none may last for ever */
    unsigned priority;
    unsigned width; /* steps at once, 1 to CREW_WIDTH_MAX */
    /* ---- of the crew, under its lock ---- */
    unsigned wanted;  /* steps that are to begin */
    unsigned running; /* steps under way */
    uint64_t not_before_ns;
    bool enlisted, dropped;
    struct rafsi_task *next;
};

int rafsi_crew_new(const struct rafsi_env *env, struct rafsi_crew **out, rafs_error *err);
/* Fires the tokens of all steps and joins the threads. Tasks need not be dropped before;
 * their steps that were wanted never begin. */
void rafsi_crew_free(struct rafsi_crew *crew); /* NULL is fine */

/* So many steps more. Never waits for anything but the crew's lock. RAFS_E_NOMEM if there
 * is no thread at all, and none can be made: nothing was posted. */
int rafsi_crew_post(struct rafsi_crew *crew, struct rafsi_task *task, unsigned steps);
/* No step of the task begins before that time of the clock of the environment. */
void rafsi_crew_delay(struct rafsi_crew *crew, struct rafsi_task *task, uint64_t ns);
/* No step that was posted begins any more. */
void rafsi_crew_clear(struct rafsi_crew *crew, struct rafsi_task *task);
/* Clear, wait for the steps under way and forget the task. Not from one of its steps. */
void rafsi_crew_drop(struct rafsi_crew *crew, struct rafsi_task *task);

/* A thread of the caller's begins to wait for a source, and ends. */
void rafsi_crew_urgent(struct rafsi_crew *crew);
void rafsi_crew_calm(struct rafsi_crew *crew);

#endif
