/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_EMIT_H
#define RAFSI_BUILD_EMIT_H

/*
 * A sealed image to the bytes of a bootstrap, from its first byte to its last: places are
 * computed before anything is written. Blobs are numbered anew in the order of their
 * first use by the tree (dir-batched), and those that no file uses are left out; used[i],
 * if not NULL, says what number image->blobs.at[i] got, or NO_BLOB.
 *
 * v6: EROFS that the kernel mounts, chunk table, blob table, prefetch table. v5: digests
 * of inodes, record tables. Both refuse, with RAFS_E_LIMIT and the path, what the format
 * cannot hold.
 */

#include "build/image.h"
#include "build/sink.h"

int rafsi_emit_v6(struct build_image *image, uint32_t *used, rafsi_write_fn write,
                  void *user, const rafs_call *call, rafs_error *err);
int rafsi_emit_v5(struct build_image *image, uint32_t *used, rafsi_write_fn write,
                  void *user, const rafs_call *call, rafs_error *err);

#endif
