/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_WORKER_FENCE_H
#define RAFS_WORKER_FENCE_H

/* worker_fence.c: the fence of a kernel mount. */

#include "worker.h"

/* served->image, meta and map are there. False: `err` says why; RAFS_E_UNSUPPORTED: this
 * image takes no fence. */
bool fence_begin(struct served *served, rafs_error *err);
/* Answer /dev/fuse of the fence, once it is there, and follow slot->recording. */
void fence_look(struct served *served, int device, int first);
/* What was read and not answered comes again, to the next worker. */
void fence_stop_serving(struct served *served);
void fence_end(struct served *served);

/* [begin, end) of a blob was verified, and is marked in the map. No fence: nothing. */
void fence_filled(struct served *served, uint32_t blob, uint64_t begin, uint64_t end);
/* For worker_fuse_fence.c. */
int fence_read(struct served *served, uint32_t blob, uint64_t offset, size_t size,
               uint8_t *buf, size_t *nread, const rafs_call *call, rafs_error *err);
uint32_t fence_blobs(const struct served *served);

#endif
