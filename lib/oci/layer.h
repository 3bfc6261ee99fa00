/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_LAYER_H
#define RAFSI_OCI_LAYER_H

#include "base/base.h"

/*
 * The bootstrap layer of an image: a tar, gzip or plain, with `image/image.boot` in it.
 * bytes were compared with their digest before; so what comes out is as trusted.
 *
 * *out is memory of env's allocator with *len bytes. RAFS_E_LIMIT beyond limit, or
 * if very much lies before it: a small layer may become very large.
 */
int rafsi_layer_bootstrap(const struct rafsi_env *env, const uint8_t *bytes, size_t size,
                          uint64_t limit, const rafs_call *call, uint8_t **out,
                          size_t *len, rafs_error *err);

#endif
