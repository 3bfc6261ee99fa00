/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_PREFETCH_H
#define RAFSI_PREFETCH_H

#include "rafs/prefetch.h"
#include "read/reader.h"

/* prefetch.c. The image ends: its prefetches end with it. After the crew is gone. */
void rafsi_prefetch_orphan_all(struct rafsi_reader *reader);

#endif
