/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_STATS_H
#define RAFS_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "env.h"

/**
 * @file
 * What an image has done so far: counters, the last errors, and both as text.
 */

/** What bytes are fetched for. Values never change; new ones may come. */
enum {
    RAFS_CAUSE_DEMAND = 0,   /**< somebody reads them, and waits */
    RAFS_CAUSE_AHEAD = 1,    /**< a file is read in order, and they come next */
    RAFS_CAUSE_PREFETCH = 2, /**< a list, a trace or a call asked for them beforehand */
    RAFS_CAUSE_METADATA = 3, /**< blob meta, tables of contents, lists of digests */
    RAFS_CAUSE_OPEN = 4,     /**< manifest and bootstrap */
    RAFS_CAUSE_CHECK = 5     /**< rafs_image_check() */
};

#endif
