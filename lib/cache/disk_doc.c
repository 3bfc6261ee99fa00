/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/disk_impl.h"

/* Written beside its place, synced, then renamed: a reader sees all of it or nothing. */

static bool name_of(char name[DISK_NAME_BYTES], const char *kind,
                    const uint8_t digest[RAFSI_DIGEST_BYTES])
{
    size_t len = strspn(kind, "abcdefghijklmnopqrstuvwxyz");
    char hex[65];

    if (len == 0 || len > 16 || kind[len] != '\0')
        return false;
    rafsi_digest_hex(digest, hex);
    snprintf(name, DISK_NAME_BYTES, "%s-%s.doc", kind, hex);
    return true;
}

static int read_all(int fd, uint64_t max, struct rafsi_pool *pool,
                    struct rafsi_buffer **out, rafs_error *err)
{
    struct rafsi_buffer *buffer = NULL;
    uint64_t size;
    int rc = rafsi_file_size(fd, &size, err);

    if (rc == RAFS_OK && size > max)
        rc = rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, "cache",
                        "a document is larger than expected");
    if (rc == RAFS_OK)
        rc = rafsi_pool_take(pool, size, &buffer, err);
    if (rc == RAFS_OK && !rafsi_disk_pread(fd, buffer->at, size, 0))
        rc = rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, "cache",
                        "a document cannot be read");
    if (rc < 0) {
        rafsi_buffer_free(buffer);
        return rc;
    }
    *out = buffer;
    return RAFS_OK;
}

int rafsi_disk_doc_get(rafs_cache *cache, const char *kind,
                       const uint8_t digest[RAFSI_DIGEST_BYTES], uint64_t max,
                       struct rafsi_pool *pool, struct rafsi_buffer **out,
                       rafs_error *err)
{
    struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
    char name[DISK_NAME_BYTES];
    int fd, rc;

    if (!name_of(name, kind, digest))
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_ARGUMENT, kind, "is no kind");
    fd = rafsi_disk_file(cache->dir, name, O_RDONLY);
    if (fd < 0)
        return rafsi_fail_os(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, errno, "cache",
                             "no such document");
    rc = read_all(fd, max, pool, out, err);
    if (rc == RAFS_OK)
        (void)futimens(fd, times); /* its last use */
    close(fd);
    return rc;
}

bool rafsi_disk_doc_put(rafs_cache *cache, const char *kind,
                        const uint8_t digest[RAFSI_DIGEST_BYTES], const void *data,
                        size_t len)
{
    char name[DISK_NAME_BYTES], temporary[DISK_NAME_BYTES];
    bool good;
    int fd;

    if (!name_of(name, kind, digest) || rafsi_disk_paused(cache))
        return false;
    snprintf(temporary, sizeof(temporary), "tmp-%016" PRIx64, rafsi_seed());
    fd = rafsi_disk_file(cache->dir, temporary, O_WRONLY | O_CREAT | O_EXCL);
    if (fd < 0) {
        rafsi_disk_trouble(cache, errno, "making a document");
        return false;
    }
    good = rafsi_disk_write(fd, data, len, 0) && fdatasync(fd) == 0 &&
           renameat(cache->dir, temporary, cache->dir, name) == 0;
    if (good && fsync(cache->dir) == 0) {
        rafsi_disk_fine(cache, len);
    } else {
        rafsi_disk_trouble(cache, errno, "writing a document");
        if (!good)
            unlinkat(cache->dir, temporary, 0);
    }
    close(fd);
    return good;
}

void rafsi_disk_doc_drop(rafs_cache *cache, const char *kind,
                         const uint8_t digest[RAFSI_DIGEST_BYTES])
{
    char name[DISK_NAME_BYTES];

    if (name_of(name, kind, digest))
        unlinkat(cache->dir, name, 0);
}
