/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "cache/disk_known.h"
#include "cache/own.h"

/* How long nothing is written after a write failed. */
#define PAUSE_NS ((uint64_t)30 * 1000000000)
/* A full disk often has room for something small; so many bytes have to get through
 * before another warning is worth its line. */
#define OWED_BYTES ((uint64_t)1 << 20)

void rafs_cache_options_init(rafs_cache_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

static int make_parts(rafs_cache *cache, rafs_error *err)
{
    int rc = rafsi_hashes_new(&cache->env, &cache->hashes, err);

    if (rc == RAFS_OK)
        rc = rafsi_pool_new(&cache->env, 1, &cache->pool, err);
    if (rc == RAFS_OK)
        rc = rafsi_disk_known_new(cache, err);
    if (rc == RAFS_OK && !rafsi_cond_new(&cache->wake))
        rc = rafsi_fail_nomem(err, sizeof(cache->wake));
    return rc;
}

int rafs_cache_open(const char *path, const rafs_cache_options *options, rafs_cache **out,
                    rafs_error *err)
{
    rafs_cache_options from;
    struct rafsi_env env;
    rafs_cache *cache;
    int rc;

    if (!path || !out)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, path ? "out" : "path",
                          "is NULL");
    rc = rafsi_take_struct(options, &from, sizeof(from), "rafs_cache_options", err);
    if (rc == RAFS_OK && from.flags != 0)
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                        "rafs_cache_options", "flags %#x are not known", from.flags);
    if (rc == RAFS_OK)
        rc = rafsi_env_take(from.env, &env, err);
    if (rc < 0)
        return rc;
    cache = rafsi_alloc_zero(&env, sizeof(*cache));
    if (!cache)
        return rafsi_fail_nomem(err, sizeof(*cache));
    cache->env = env;
    cache->dir = cache->in_use = -1;
    cache->quota_bytes = from.quota_bytes;
    cache->free_floor_bytes = from.free_floor_bytes;
    rafsi_disk_boot_id(cache->boot);
    if (pthread_mutex_init(&cache->lock, NULL) != 0) {
        rafsi_free(&env, cache);
        return rafsi_fail_nomem(err, sizeof(cache->lock));
    }
    rc = make_parts(cache, err);
    if (rc == RAFS_OK)
        rc = rafsi_disk_dir_open(cache, path, err);
    if (rc < 0) {
        rafs_cache_close(cache);
        return rc;
    }
    *out = cache;
    return RAFS_OK;
}

void rafs_cache_close(rafs_cache *cache)
{
    if (!cache)
        return;
    if (rafsi_own_is(cache)) {
        rafsi_own_free(cache);
        return;
    }
    rafsi_disk_syncer_stop(cache);
    rafsi_disk_share_release(cache);
    rafsi_disk_known_free(cache);
    if (cache->in_use >= 0)
        close(cache->in_use);
    if (cache->dir >= 0)
        close(cache->dir);
    rafsi_pool_free(cache->pool);
    rafsi_hashes_free(cache->hashes);
    pthread_cond_destroy(&cache->wake);
    pthread_mutex_destroy(&cache->lock);
    rafsi_free(&cache->env, cache);
}

bool rafsi_disk_paused(rafs_cache *cache)
{
    uint64_t now = rafsi_now_ns(&cache->env);
    bool paused;

    pthread_mutex_lock(&cache->lock);
    paused = cache->paused_until > now;
    pthread_mutex_unlock(&cache->lock);
    return paused;
}

void rafsi_disk_trouble(rafs_cache *cache, int os_errno, const char *what)
{
    uint64_t now = rafsi_now_ns(&cache->env);
    bool first;

    pthread_mutex_lock(&cache->lock);
    first = !cache->warned;
    cache->warned = true;
    cache->owed = OWED_BYTES;
    cache->paused_until = now + PAUSE_NS;
    pthread_mutex_unlock(&cache->lock);
    if (first)
        rafsi_log(&cache->env, RAFS_LOG_WARNING,
                  "cache: %s failed with errno %d%s; reading on without keeping, will "
                  "try again every 30 s",
                  what, os_errno,
                  os_errno == ENOSPC   ? " (no space left)"
                  : os_errno == EDQUOT ? " (disk quota exceeded)"
                  : os_errno == EROFS  ? " (read-only file system)"
                  : os_errno == EIO    ? " (input/output error)"
                                       : "");
}

void rafsi_disk_fault(rafs_cache *cache, const char *what)
{
    int os_errno = errno;

    rafsi_disk_trouble(cache, os_errno, what);
    errno = os_errno;
}

/* What was under way when the trouble came says nothing about its end. */
void rafsi_disk_fine(rafs_cache *cache, uint64_t bytes)
{
    bool again = false;
    uint64_t now;

    pthread_mutex_lock(&cache->lock);
    again = cache->warned;
    pthread_mutex_unlock(&cache->lock);
    if (!again)
        return;
    now = rafsi_now_ns(&cache->env);
    pthread_mutex_lock(&cache->lock);
    if (cache->paused_until <= now)
        cache->owed -= rafsi_min(cache->owed, bytes);
    again = cache->warned && cache->owed == 0;
    if (again)
        cache->warned = false;
    pthread_mutex_unlock(&cache->lock);
    if (again)
        rafsi_log(&cache->env, RAFS_LOG_INFO, "cache: can be written again");
}

bool rafsi_disk_write(int fd, const void *data, size_t len, uint64_t offset)
{
    const uint8_t *at = data;

    while (len > 0) {
        ssize_t n = pwrite(fd, at, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = EIO;
            return false;
        }
        at += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return true;
}

bool rafsi_disk_pread(int fd, void *room, size_t len, uint64_t offset)
{
    size_t got;

    return rafsi_file_read(fd, offset, room, len, &got, NULL) == RAFS_OK && got == len;
}
