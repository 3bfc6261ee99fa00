/* SPDX-License-Identifier: Apache-2.0 */
/* Data files that a kernel reads without looking at digests. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/disk_impl.h"

bool rafsi_disk_held(int data)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)DISK_LEASE_AT,
                         .l_len = 1};

    return fcntl(data, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

/* What is no file of ours is nobody's device. */
bool rafsi_disk_held_name(int dir, const char *data)
{
    int fd = rafsi_disk_file(dir, data, O_RDONLY);
    bool held;

    if (fd < 0)
        return errno != ENOENT && errno != ELOOP && errno != EPERM;
    held = rafsi_disk_held(fd);
    close(fd);
    return held;
}

static int fail(const struct rafsi_disk_blob *blob, int os_errno, const char *what,
                rafs_error *err)
{
    return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, os_errno, "cache",
                         "blob %s %s", blob->id[0] ? blob->id : blob->stem, what);
}

int rafsi_disk_ready(struct rafsi_disk_blob *blob, rafs_error *err)
{
    int os_errno = rafsi_disk_ensure_now(blob);

    return os_errno == 0 ? RAFS_OK : fail(blob, os_errno, "cannot be opened", err);
}

/* By a block at the end: that never makes the file shorter, whatever others write into it
 * at the same time, nor changes what is there. */
static int enlarge(const struct rafsi_disk_blob *blob, uint64_t size)
{
    struct stat st;
    int rc;

    if (fstat(blob->data, &st) != 0)
        return errno;
    if (size == 0 || (uint64_t)st.st_size >= size)
        return 0;
    if (size > DISK_OFFSET_MAX)
        return EFBIG;
    do
        rc = fallocate(blob->data, 0, (off_t)(size - 1), 1);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : errno;
}

/* Is it still the file that the blob's chunks are written to, by its name? */
static bool same_file(const struct rafsi_disk_blob *blob, int fd)
{
    struct stat ours, theirs;

    return fstat(blob->data, &ours) == 0 && fstat(fd, &theirs) == 0 &&
           ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino &&
           theirs.st_nlink > 0;
}

int rafsi_disk_hold(struct rafsi_disk_blob *blob, uint64_t size, int *out,
                    rafs_error *err)
{
    static const char gone[] = "is no longer in the cache: its file was deleted";
    char name[DISK_NAME_BYTES];
    int fd, os_errno, rc = rafsi_disk_ready(blob, err);

    if (rc < 0)
        return rc;
    os_errno = enlarge(blob, size);
    if (os_errno != 0)
        return fail(blob, os_errno, "cannot be made as large as it has to be", err);
    snprintf(name, sizeof(name), "%s.blob.data", blob->stem);
    fd = rafsi_disk_file(blob->cache->dir, name, O_RDONLY);
    if (fd < 0)
        return errno == ENOENT ? fail(blob, ESTALE, gone, err)
                               : fail(blob, errno, "cannot be opened", err);
    if (!rafsi_disk_locked(fd, F_RDLCK, DISK_LEASE_AT, 1)) {
        rc = fail(blob, errno, "cannot be kept from being deleted", err);
    } else if (!same_file(blob, fd)) {
        rc = fail(blob, ESTALE, gone, err);
    } else {
        *out = fd;
        return RAFS_OK;
    }
    close(fd);
    return rc;
}

bool rafsi_disk_own(struct rafsi_disk_blob *blob, struct rafsi_disk_chunk *chunk,
                    void *room)
{
    chunk->record = rafsi_disk_find(blob, chunk);
    if (chunk->record == 0)
        return false;
    if (rafsi_disk_pread(blob->data, room, chunk->size, chunk->offset)) {
        rafsi_disk_touch(blob);
        return true;
    }
    rafsi_disk_bad(blob, chunk);
    return false;
}

int rafsi_disk_keep(struct rafsi_disk_blob *blob, const struct rafsi_disk_chunk *chunk,
                    const struct rafsi_disk_flight *flight, const struct verified *good,
                    rafs_error *err)
{
    rafs_cache *cache = blob->cache;

    if (!rafsi_disk_usable(chunk) || rafsi_verified_size(good) != chunk->size)
        return fail(blob, EFBIG, "has a chunk of a size or at a place that is never kept",
                    err);
    if (!flight->locked)
        return fail(blob, EAGAIN,
                    "cannot be written: another process that fetches the chunk does not "
                    "go on, or the file system has no locks",
                    err);
    if (!rafsi_disk_refresh(blob)) /* what others have put there is not known */
        return rafsi_fail_nomem(err, DISK_RECORD_BYTES);
    if (rafsi_disk_conflict(blob, chunk))
        return rafsi_fail_at(err, RAFS_E_CORRUPT, RAFS_STAGE_FETCH, NULL, chunk->offset,
                             "the cache has another chunk there, of an image that gives "
                             "this blob other content");
    if (!rafsi_disk_room(cache, chunk->size, true))
        return fail(blob, EDQUOT,
                    "does not fit: the quota or the free space to be left "
                    "does not allow it, and all else is in use",
                    err);
    if (!rafsi_disk_write_chunk(blob, chunk, good))
        return fail(blob, errno ? errno : EIO, "cannot be written", err);
    return RAFS_OK;
}
