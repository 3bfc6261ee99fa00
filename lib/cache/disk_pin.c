/* SPDX-License-Identifier: Apache-2.0 */
/* What people do with things in a cache by name: pin them, and find their files. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/disk_impl.h"
#include "cache/own.h"

static int pin_name(const char *name, char out[DISK_NAME_BYTES], rafs_error *err)
{
    char stem[DISK_STEM_BYTES] = "";
    int rc;

    /* A document's is longer than any blob id, so it cannot be taken for one. */
    if (rafsi_disk_is_document(name)) {
        snprintf(out, DISK_NAME_BYTES, "%s.pin", name);
        return RAFS_OK;
    }
    rc = rafsi_disk_check_id(name, err);
    if (rc < 0)
        return rc;
    rafsi_disk_stem(name, stem);
    snprintf(out, DISK_NAME_BYTES, "%s.pin", stem);
    return RAFS_OK;
}

int rafs_cache_pin(rafs_cache *cache, const char *name, rafs_error *err)
{
    char pin[DISK_NAME_BYTES], stem[DISK_STEM_BYTES] = "";
    int fd, rc = rafsi_own_refuse(cache, err);

    if (rc == RAFS_OK)
        rc = pin_name(name, pin, err);
    if (rc < 0)
        return rc;
    fd = rafsi_disk_file(cache->dir, pin, O_WRONLY | O_CREAT);
    if (fd < 0)
        return rafsi_disk_fail(err, errno, name, "cannot be pinned");
    close(fd);
    if (fsync(cache->dir) != 0)
        return rafsi_disk_fail(err, errno, name, "the pin may not last");
    if (rafsi_disk_is_document(name))
        return RAFS_OK;
    /* Whoever is evicting it at this moment has not seen the pin; he has the lease. */
    rafsi_disk_stem(name, stem);
    rafsi_disk_close(rafsi_disk_open_stem(cache, stem, true));
    return RAFS_OK;
}

int rafs_cache_unpin(rafs_cache *cache, const char *name, rafs_error *err)
{
    char pin[DISK_NAME_BYTES];
    int rc = rafsi_own_refuse(cache, err);

    if (rc == RAFS_OK)
        rc = pin_name(name, pin, err);
    if (rc < 0)
        return rc;
    if (unlinkat(cache->dir, pin, 0) != 0 && errno != ENOENT)
        return rafsi_disk_fail(err, errno, name, "cannot be unpinned");
    return RAFS_OK;
}

/* The name of the file of a blob that is there. */
static int data_name(rafs_cache *cache, const char *blob_id, char out[DISK_NAME_BYTES],
                     rafs_error *err)
{
    char stem[DISK_STEM_BYTES] = "";
    struct stat st;
    int rc = rafsi_disk_check_id(blob_id, err);

    if (rc < 0)
        return rc;
    rafsi_disk_stem(blob_id, stem);
    snprintf(out, DISK_NAME_BYTES, "%s.blob.data", stem);
    if (fstatat(cache->dir, out, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return RAFS_OK;
    return errno == ENOENT ? rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_ARGUMENT, blob_id,
                                        "the cache has nothing of this blob")
                           : rafsi_disk_fail(err, errno, blob_id, "cannot be examined");
}

int rafs_cache_path(rafs_cache *cache, const char *blob_id, char *buf, size_t room,
                    size_t *len, rafs_error *err)
{
    char dir[PATH_MAX + DISK_NAME_BYTES + 1], link[64], name[DISK_NAME_BYTES] = "";
    ssize_t dir_len;
    int rc;

    if (len)
        *len = 0;
    if (!len || (!buf && room > 0))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, len ? "buf" : "len",
                          "is NULL");
    rc = rafsi_own_refuse(cache, err);
    if (rc == RAFS_OK && blob_id)
        rc = data_name(cache, blob_id, name, err);
    if (rc < 0)
        return rc;
    /* As it is called now: it may have been renamed. */
    snprintf(link, sizeof(link), "/proc/self/fd/%d", cache->dir);
    dir_len = readlink(link, dir, PATH_MAX);
    if (dir_len <= 0 || dir_len == PATH_MAX)
        return rafsi_disk_fail(err, dir_len < 0 ? errno : ENAMETOOLONG, "cache",
                               "its path cannot be found out");
    snprintf(dir + dir_len, sizeof(dir) - (size_t)dir_len, "%s%s", blob_id ? "/" : "",
             name);
    *len = strlen(dir);
    if (*len >= room)
        return rafsi_fail(err, RAFS_E_RANGE, RAFS_STAGE_ARGUMENT, "buf",
                          "has %zu bytes; %zu are needed", room, *len + 1);
    memcpy(buf, dir, *len + 1);
    return RAFS_OK;
}
