/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "base/source_impl.h"

static int source_new(const struct rafsi_env *env, uint64_t size,
                      struct rafsi_source **out, rafs_error *err)
{
    struct rafsi_source *source = rafsi_alloc_zero(env, sizeof(*source));

    if (!source)
        return rafsi_fail_nomem(err, sizeof(*source));
    source->env = *env;
    source->size = size;
    source->fd = -1;
    *out = source;
    return RAFS_OK;
}

int rafsi_source_memory(const struct rafsi_env *env, const void *data, uint64_t size,
                        struct rafsi_source **out, rafs_error *err)
{
    int rc = source_new(env, size, out, err);

    if (rc == RAFS_OK)
        (*out)->memory = data;
    return rc;
}

int rafsi_source_owned(const struct rafsi_env *env, void *data, uint64_t size,
                       struct rafsi_source **out, rafs_error *err)
{
    int rc = rafsi_source_memory(env, data, size, out, err);

    if (rc == RAFS_OK)
        (*out)->owned = data;
    return rc;
}

int rafsi_source_window(struct rafsi_source *whole, uint64_t offset, uint64_t size,
                        struct rafsi_source **out, rafs_error *err)
{
    int rc;

    if (!rafsi_within(offset, size, whole->size))
        return rafsi_fail_at(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, NULL, offset,
                             "%llu bytes are wanted, past the end at %llu",
                             (unsigned long long)size, (unsigned long long)whole->size);
    rc = source_new(&whole->env, size, out, err);
    if (rc == RAFS_OK) {
        (*out)->whole = whole;
        (*out)->window_offset = offset;
    }
    return rc;
}

int rafsi_blocks_make(struct rafsi_source *source, size_t most, rafs_error *err)
{
    uint64_t block = BLOCK_MIN;
    size_t bytes;

    while (source->size / block >= most)
        block *= 2;
    source->block_size = (size_t)block;
    source->block_count = (size_t)(source->size / block + (source->size % block != 0));
    source->cache = rafsi_alloc_zero(&source->env, sizeof(*source->cache));
    if (!source->cache)
        return rafsi_fail_nomem(err, sizeof(*source->cache));
    bytes = source->block_count * sizeof(source->cache->blocks[0]);
    source->cache->blocks = rafsi_alloc_zero(&source->env, bytes);
    return source->cache->blocks ? RAFS_OK : rafsi_fail_nomem(err, bytes);
}

void rafsi_blocks_free(struct rafsi_source *source)
{
    struct block_cache *cache = source->cache;

    if (!cache)
        return;
    for (size_t i = 0; cache->blocks && i < source->block_count; i++)
        rafsi_free(&source->env, atomic_load(&cache->blocks[i]));
    rafsi_free(&source->env, cache->blocks);
    rafsi_free(&source->env, cache);
    source->cache = NULL;
}

int rafsi_source_fd(const struct rafsi_env *env, int fd, uint64_t offset, uint64_t size,
                    uint64_t cache_bytes, struct rafsi_source **out, rafs_error *err)
{
    struct rafsi_source *source = NULL;
    uint64_t whole;
    int rc;

    rc = rafsi_file_size(fd, &whole, err);
    if (rc < 0)
        return rc;
    if (offset > whole || size > whole - offset)
        return rafsi_fail_at(err, RAFS_E_BADARG, RAFS_STAGE_OPEN, NULL, offset,
                             "the file ends at %llu", (unsigned long long)whole);
    rc = source_new(env, size ? size : whole - offset, &source, err);
    if (rc < 0)
        return rc;
    source->file_offset = offset;
    source->cache_bytes = cache_bytes;
    rc = rafsi_file_dup(fd, &source->fd, err);
    if (rc < 0)
        goto out;
    rc = rafsi_blocks_make(source, PLAIN_BLOCKS_MAX, err);
    if (rc < 0)
        goto out;
    *out = source;
    source = NULL;
out:
    rafsi_source_free(source);
    return rc;
}

void rafsi_source_free(struct rafsi_source *source)
{
    while (source) {
        struct rafsi_source *whole = source->whole;

        rafsi_blocks_free(source);
        if (source->fd >= 0)
            close(source->fd);
        rafsi_free(&source->env, source->digests);
        rafsi_free(&source->env, source->owned);
        rafsi_free(&source->env, source);
        source = whole;
    }
}

uint64_t rafsi_source_size(const struct rafsi_source *source)
{
    return source->size;
}

int rafsi_blocks_read(const struct rafsi_source *source, uint64_t offset, size_t len,
                      void *out, rafs_error *err)
{
    size_t got;
    int rc =
        rafsi_file_read(source->fd, source->file_offset + offset, out, len, &got, err);

    if (rc < 0)
        return rc;
    if (got < len)
        return rafsi_fail_at(err, RAFS_E_BACKEND, RAFS_STAGE_METADATA, NULL, offset + got,
                             "the file was cut short since it was opened");
    return RAFS_OK;
}

size_t rafsi_block_len(const struct rafsi_source *source, size_t index)
{
    return (size_t)rafsi_min(source->block_size,
                             source->size - (uint64_t)index * source->block_size);
}

/* Read a block, and compare it with its digest if the source is pinned. */
static int load_block(const struct rafsi_source *source, size_t index, uint8_t *out,
                      rafs_error *err)
{
    uint64_t offset = (uint64_t)index * source->block_size;
    size_t len = rafsi_block_len(source, index);
    uint8_t digest[RAFSI_DIGEST_BYTES];
    int rc = rafsi_blocks_read(source, offset, len, out, err);

    if (rc < 0 || !source->digests)
        return rc;
    rafsi_blake3(out, len, digest);
    if (memcmp(digest, source->digests[index], sizeof(digest)) != 0)
        return rafsi_fail_at(err, RAFS_E_CORRUPT, RAFS_STAGE_VERIFY, NULL, offset,
                             "the file changed after it matched the expected digest; "
                             "open it again");
    return RAFS_OK;
}

bool rafsi_block_reserve(const struct rafsi_source *source, size_t len)
{
    uint64_t before = atomic_fetch_add(&source->cache->used, len);

    if (before + len <= source->cache_bytes)
        return true;
    atomic_fetch_sub(&source->cache->used, len);
    return false;
}

void rafsi_block_discard(const struct rafsi_source *source, size_t len, uint8_t *block)
{
    rafsi_free(&source->env, block);
    atomic_fetch_sub(&source->cache->used, len);
}

const uint8_t *rafsi_block_publish(const struct rafsi_source *source, size_t index,
                                   uint8_t *block)
{
    uint8_t *present = NULL;

    if (atomic_compare_exchange_strong(&source->cache->blocks[index], &present, block))
        return block;
    rafsi_block_discard(source, rafsi_block_len(source, index), block);
    return present;
}

/* The block's bytes in the cache, or *out NULL if they are not kept. */
static int cached_block(const struct rafsi_source *source, size_t index,
                        const uint8_t **out, rafs_error *err)
{
    size_t len = rafsi_block_len(source, index);
    uint8_t *block =
        atomic_load_explicit(&source->cache->blocks[index], memory_order_acquire);
    int rc;

    *out = block;
    if (block || !rafsi_block_reserve(source, len))
        return RAFS_OK;
    block = rafsi_alloc(&source->env, len);
    rc = block ? load_block(source, index, block, err) : rafsi_fail_nomem(err, len);
    if (rc < 0) {
        rafsi_block_discard(source, len, block);
        return rc;
    }
    *out = rafsi_block_publish(source, index, block);
    return RAFS_OK;
}

/* Copy a part of one block that the cache has no room for. */
static int copy_uncached(const struct rafsi_source *source, size_t index, size_t start,
                         size_t len, uint8_t *out, rafs_error *err)
{
    uint8_t *block;
    int rc;

    if (!source->digests)
        return rafsi_blocks_read(source, (uint64_t)index * source->block_size + start,
                                 len, out, err);
    block = rafsi_alloc(&source->env, source->block_size);
    if (!block)
        return rafsi_fail_nomem(err, source->block_size);
    rc = load_block(source, index, block, err);
    if (rc == RAFS_OK)
        memcpy(out, block + start, len);
    rafsi_free(&source->env, block);
    return rc;
}

/* Bytes from here on that one read can get: whole blocks which nobody has to check and
 * the cache does not have. */
static size_t uncached_run(const struct rafsi_source *source, size_t index, size_t start,
                           size_t len)
{
    size_t run = (size_t)source->block_size - start;

    if (source->digests)
        return (size_t)rafsi_min(len, run);
    while (run < len &&
           !atomic_load_explicit(&source->cache->blocks[++index], memory_order_relaxed))
        run += (size_t)source->block_size;
    return (size_t)rafsi_min(len, run);
}

/* keep: blocks that are not in the cache enter it while there is room. */
static int copy_from_file(const struct rafsi_source *source, uint64_t offset, size_t len,
                          bool keep, uint8_t *out, rafs_error *err)
{
    while (len > 0) {
        size_t index = (size_t)(offset / source->block_size);
        size_t start = (size_t)(offset % source->block_size);
        size_t part = (size_t)rafsi_min(len, source->block_size - start);
        const uint8_t *block =
            atomic_load_explicit(&source->cache->blocks[index], memory_order_acquire);
        int rc = block || !keep ? RAFS_OK : cached_block(source, index, &block, err);

        if (rc == RAFS_OK && !block && !keep)
            part = uncached_run(source, index, start, len);
        if (rc == RAFS_OK && block)
            memcpy(out, block + start, part);
        else if (rc == RAFS_OK)
            rc = copy_uncached(source, index, start, part, out, err);
        if (rc < 0)
            return rc;
        offset += part;
        out += part;
        len -= part;
    }
    return RAFS_OK;
}

/* Check a range, and find it in the source that the windows lead to. */
static int locate(const struct rafsi_source **source, uint64_t *offset, size_t len,
                  rafs_error *err)
{
    if (!rafsi_within(*offset, len, (*source)->size))
        return rafsi_corrupt(err, *offset,
                             "%zu bytes are wanted here, past the end at %llu", len,
                             (unsigned long long)(*source)->size);
    while ((*source)->whole) {
        *offset += (*source)->window_offset;
        *source = (*source)->whole;
    }
    return RAFS_OK;
}

int rafsi_source_stream(const struct rafsi_source *source, uint64_t offset, size_t len,
                        void *out, rafs_error *err)
{
    int rc = locate(&source, &offset, len, err);

    if (rc < 0 || !source->memory)
        return rc < 0 ? rc : copy_from_file(source, offset, len, false, out, err);
    if (len > 0)
        memcpy(out, source->memory + offset, len);
    return RAFS_OK;
}

int rafsi_source_view(const struct rafsi_source *source, uint64_t offset, size_t len,
                      void *scratch, const uint8_t **at, rafs_error *err)
{
    int rc = locate(&source, &offset, len, err);

    if (rc < 0)
        return rc;
    if (source->memory) {
        *at = source->memory + offset;
        return RAFS_OK;
    }
    if (len > 0 &&
        offset / source->block_size == (offset + len - 1) / source->block_size) {
        const uint8_t *block;

        rc = cached_block(source, (size_t)(offset / source->block_size), &block, err);
        if (rc < 0)
            return rc;
        if (block) {
            *at = block + offset % source->block_size;
            return RAFS_OK;
        }
    }
    rc = copy_from_file(source, offset, len, true, scratch, err);
    if (rc == RAFS_OK)
        *at = scratch;
    return rc;
}

int rafsi_source_read(const struct rafsi_source *source, uint64_t offset, size_t len,
                      void *out, rafs_error *err)
{
    const uint8_t *at;
    int rc = rafsi_source_view(source, offset, len, out, &at, err);

    if (rc == RAFS_OK && len > 0 && at != out)
        memcpy(out, at, len);
    return rc;
}
