/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <pthread.h>

#include "base/fail.h"

struct rafsi_pool {
    struct rafsi_env env;
    pthread_mutex_t lock;
    size_t spares; /* how many may lie idle */
    size_t idle;
    struct rafsi_buffer *spare[];
};

int rafsi_pool_new(const struct rafsi_env *env, size_t spares, struct rafsi_pool **out,
                   rafs_error *err)
{
    size_t size = sizeof(struct rafsi_pool) + spares * sizeof(struct rafsi_buffer *);
    struct rafsi_pool *pool = rafsi_alloc_zero(env, size);

    if (!pool)
        return rafsi_fail_nomem(err, size);
    pool->env = *env;
    pool->spares = spares;
    if (pthread_mutex_init(&pool->lock, NULL) != 0) {
        rafsi_free(env, pool);
        return rafsi_fail_nomem(err, sizeof(pool->lock));
    }
    *out = pool;
    return RAFS_OK;
}

static void release(const struct rafsi_env *env, struct rafsi_buffer *buffer)
{
    rafsi_free(env, buffer->at);
    rafsi_free(env, buffer);
}

void rafsi_pool_free(struct rafsi_pool *pool)
{
    if (!pool)
        return;
    for (size_t i = 0; i < pool->idle; i++)
        release(&pool->env, pool->spare[i]);
    pthread_mutex_destroy(&pool->lock);
    rafsi_free(&pool->env, pool);
}

/* A spare that is large enough and not wastefully so: a cache of 4 KiB chunks must not
 * hold on to megabytes. */
static struct rafsi_buffer *take_spare(struct rafsi_pool *pool, size_t len)
{
    struct rafsi_buffer *buffer = NULL;

    pthread_mutex_lock(&pool->lock);
    for (size_t i = pool->idle; i > 0; i--) {
        struct rafsi_buffer *spare = pool->spare[i - 1];

        if (spare->capacity < len || spare->capacity / 2 > len)
            continue;
        buffer = spare;
        pool->spare[i - 1] = pool->spare[--pool->idle];
        break;
    }
    pthread_mutex_unlock(&pool->lock);
    return buffer;
}

int rafsi_pool_take(struct rafsi_pool *pool, size_t len, struct rafsi_buffer **out,
                    rafs_error *err)
{
    struct rafsi_buffer *buffer = take_spare(pool, len);

    if (!buffer) {
        buffer = rafsi_alloc(&pool->env, sizeof(*buffer));
        if (!buffer)
            return rafsi_fail_nomem(err, sizeof(*buffer));
        buffer->at = rafsi_alloc(&pool->env, len);
        if (!buffer->at) {
            rafsi_free(&pool->env, buffer);
            return rafsi_fail_nomem(err, len);
        }
        buffer->capacity = len;
        buffer->pool = pool;
    }
    buffer->len = len;
    *out = buffer;
    return RAFS_OK;
}

void rafsi_buffer_free(struct rafsi_buffer *buffer)
{
    struct rafsi_pool *pool;
    struct rafsi_buffer *surplus = buffer;

    if (!buffer)
        return;
    pool = buffer->pool;
    pthread_mutex_lock(&pool->lock);
    if (pool->idle < pool->spares) {
        pool->spare[pool->idle++] = buffer;
        surplus = NULL;
    } else if (pool->spares > 0) {
        /* The oldest spare goes: it may be of a size that nobody wants any more. */
        surplus = pool->spare[0];
        pool->spare[0] = buffer;
    }
    pthread_mutex_unlock(&pool->lock);
    if (surplus)
        release(&pool->env, surplus);
}

const struct rafsi_env *rafsi_pool_env(const struct rafsi_pool *pool)
{
    return &pool->env;
}
