/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fail.h"

/* Smaller ones are left to the allocator, which keeps their pages. Otherwise one file in
 * ten would find that the many small ones between had pushed the large spares out. */
enum { POOLED_MIN = 64 << 10 };

/* Idle memory, whatever the size of chunks; one spare may be larger alone. */
enum { IDLE_MAX = 8 << 20 };

struct rafsi_pool {
    struct rafsi_env env;
    pthread_mutex_t lock;
    size_t spares; /* how many may lie idle */
    size_t idle;
    size_t idle_bytes;
    struct rafsi_buffer *spare[]; /* the oldest first */
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

/*
 * Large ones come from the kernel and go back to it. malloc would keep them once it has
 * seen some freed (its threshold grows), in an arena for each thread of the crew.
 */
enum { MAPPED_MIN = 128 << 10 };

static bool is_mapped(const struct rafsi_env *env, size_t capacity)
{
#ifdef __SANITIZE_ADDRESS__
    (void)env, (void)capacity;
    return false; /* the checker sees the ends of what malloc gave */
#else
    return capacity >= MAPPED_MIN && rafsi_env_plain_memory(env);
#endif
}

static uint8_t *obtain(const struct rafsi_env *env, size_t len)
{
    void *at;

    if (!is_mapped(env, len))
        return rafsi_alloc(env, len);
    at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void release(const struct rafsi_env *env, struct rafsi_buffer *buffer)
{
    if (is_mapped(env, buffer->capacity))
        munmap(buffer->at, buffer->capacity);
    else
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

/* Take a spare out of the row. */
static struct rafsi_buffer *remove_spare(struct rafsi_pool *pool, size_t i)
{
    struct rafsi_buffer *buffer = pool->spare[i];

    pool->idle--;
    pool->idle_bytes -= buffer->capacity;
    memmove(&pool->spare[i], &pool->spare[i + 1],
            (pool->idle - i) * sizeof(pool->spare[0]));
    return buffer;
}

/* The newest spare that is large enough and not wastefully so: a cache of small chunks
 * must not hold on to megabytes. */
static struct rafsi_buffer *take_spare(struct rafsi_pool *pool, size_t len)
{
    struct rafsi_buffer *buffer = NULL;

    pthread_mutex_lock(&pool->lock);
    for (size_t i = pool->idle; i > 0 && !buffer; i--)
        if (pool->spare[i - 1]->capacity >= len &&
            pool->spare[i - 1]->capacity / 2 <= len)
            buffer = remove_spare(pool, i - 1);
    pthread_mutex_unlock(&pool->lock);
    return buffer;
}

int rafsi_pool_take(struct rafsi_pool *pool, size_t len, struct rafsi_buffer **out,
                    rafs_error *err)
{
    struct rafsi_buffer *buffer = len < POOLED_MIN ? NULL : take_spare(pool, len);

    if (!buffer) {
        buffer = rafsi_alloc(&pool->env, sizeof(*buffer));
        if (!buffer)
            return rafsi_fail_nomem(err, sizeof(*buffer));
        buffer->at = obtain(&pool->env, len);
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

/* Make room in the row for a spare: the oldest go, as nobody may want their size any
 * more. Returns one that has to be released, or NULL when there is room. */
static struct rafsi_buffer *surplus(struct rafsi_pool *pool, size_t capacity)
{
    bool full = pool->idle == pool->spares ||
                (pool->idle > 0 && pool->idle_bytes + capacity > IDLE_MAX);

    return full ? remove_spare(pool, 0) : NULL;
}

void rafsi_buffer_free(struct rafsi_buffer *buffer)
{
    struct rafsi_buffer *old;
    struct rafsi_pool *pool;

    if (!buffer)
        return;
    pool = buffer->pool;
    if (buffer->capacity < POOLED_MIN || pool->spares == 0) {
        release(&pool->env, buffer);
        return;
    }
    do {
        pthread_mutex_lock(&pool->lock);
        old = surplus(pool, buffer->capacity);
        if (!old) {
            pool->spare[pool->idle++] = buffer;
            pool->idle_bytes += buffer->capacity;
        }
        pthread_mutex_unlock(&pool->lock);
        if (old)
            release(&pool->env, old);
    } while (old);
}

const struct rafsi_env *rafsi_pool_env(const struct rafsi_pool *pool)
{
    return &pool->env;
}
