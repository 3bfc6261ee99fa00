/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_TALLY_H
#define RAFSI_TALLY_H

#include <stdatomic.h>

#include "rafs/stats.h"

/*
 * What one request caused on its way. It belongs to whoever asks and travels in
 * rafs_call.tally, so that backends, which know nothing of images, count for the right
 * one.
 */

enum { RAFSI_EVENTS = RAFS_EVENT_FAILOVER + 1 };

struct rafs_tally {
    atomic_uint_least64_t events[RAFSI_EVENTS];
};

static inline uint64_t rafsi_tally_of(const struct rafs_tally *tally, uint32_t event)
{
    return atomic_load_explicit(&tally->events[event], memory_order_relaxed);
}

#endif
