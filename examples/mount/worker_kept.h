/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_WORKER_KEPT_H
#define RAFS_WORKER_KEPT_H

/* worker_kept.c: what the cache has already, verified before it is asked for. */

#include "worker.h"

struct kept_ahead;
/* served->image and map are there. NULL: no memory. */
struct kept_ahead *kept_new(struct served *served);
/* Somebody waited for [begin, end) of a device. Never waits. */
void kept_note(struct kept_ahead *kept, uint32_t device, uint64_t begin, uint64_t end);
/* served->cancel was fired, or it may last as long as one call does. NULL: nothing. */
void kept_free(struct kept_ahead *kept);

#endif
