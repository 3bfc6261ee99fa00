/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUFFER_H
#define RAFSI_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "base/env.h"

/*
 * Memory for a chunk, recycled: a fresh 1 MiB allocation costs more in page faults than
 * the check of its bytes. A pool keeps a few spare buffers; all of them may be in use at
 * once, there is no limit to take.
 */

struct rafsi_pool;

struct rafsi_buffer {
    uint8_t *at;
    size_t len;      /* bytes in use */
    size_t capacity; /* bytes allocated */
    struct rafsi_pool *pool;
};

int rafsi_pool_new(const struct rafsi_env *env, size_t spares, struct rafsi_pool **out,
                   rafs_error *err);
/* All buffers must have come back. */
void rafsi_pool_free(struct rafsi_pool *pool);
int rafsi_pool_take(struct rafsi_pool *pool, size_t len, struct rafsi_buffer **out,
                    rafs_error *err);
void rafsi_buffer_free(struct rafsi_buffer *buffer); /* back to its pool; NULL is fine */
const struct rafsi_env *rafsi_pool_env(const struct rafsi_pool *pool);

#endif
