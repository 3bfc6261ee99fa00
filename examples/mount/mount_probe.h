/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_MOUNT_PROBE_H
#define RAFS_MOUNT_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What can be had here is found out by doing it. False: `why` says what is missing. */

/* fill: enum mount_fill. A kernel mount whose cache lies in (or will be made as) the
 * folder `cache`; NULL: as far as that does not matter. */
bool probe_kernel(const char *cache, uint32_t fill, char *why, size_t room);
bool probe_fuse(char *why, size_t room);

#endif
