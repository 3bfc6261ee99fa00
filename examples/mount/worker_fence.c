/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fence of a kernel mount: what EROFS reads there waits until it was verified, and
 * after that EROFS reads it from the cache's file by itself (rafs/fence.h).
 */
#include "worker_fence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <rafs/fence.h>
#include <rafs/fill.h>

#include "worker_kept.h"

enum { FENCE_THREADS = 32 };

struct fence {
    struct served *served;
    rafs_fence *entries;
    struct fuse_service *service;
    struct kept_ahead *kept; /* may be NULL */
    int *files;              /* of the cache, one for each blob */
    uint32_t blobs;
    pthread_t indexer;
    bool has_indexer;
    _Atomic bool indexed; /* what is filled from now on is opened at once */
    bool shut;            /* for a trace: everything is read through us */
};

/* ---- opening ---------------------------------------------------------------------- */

/* Nothing leads to the fence any more: the mount can do without us. */
static void look_whether_complete(struct fence *fence)
{
    rafs_fence_info info = RAFS_FENCE_INFO_INIT;
    struct mount_slot *slot = worker_slot(fence->served);

    if (rafs_fence_get_info(fence->entries, &info, NULL) < 0 ||
        info.open < info.entries || atomic_load(&slot->complete) ||
        atomic_load(&slot->recording))
        return;
    atomic_store(&slot->complete, 1);
    worker_wake_pump(fence->served->worker);
    worker_look_again(fence->served->worker);
}

static int is_there(void *user, uint32_t blob, uint64_t begin, uint64_t end)
{
    struct fence *fence = user;

    return map_has(fence->served->map, blob, begin, end);
}

static void open_range(struct fence *fence, uint32_t blob, uint64_t begin, uint64_t end)
{
    rafs_error err = RAFS_ERROR_INIT;

    /* If it cannot be written, reads go on to be answered by us. */
    if (rafs_fence_open(fence->entries, blob, begin, end, is_there, fence, &err) < 0)
        worker_failed(fence->served, "opening the fence", &err);
}

void fence_filled(struct served *served, uint32_t blob, uint64_t begin, uint64_t end)
{
    struct fence *fence = served->fence;

    if (!fence || !atomic_load(&fence->indexed) ||
        atomic_load(&worker_slot(served)->recording))
        return;
    open_range(fence, blob, begin, end);
    look_whether_complete(fence);
}

/* All that was filled before there was an index. */
static void sweep(struct fence *fence)
{
    const struct fill_map *map = fence->served->map;

    for (uint32_t i = 0; i < map->devices; i++) {
        uint64_t size = map->device[i].size, at = 0;

        while (at < size) {
            uint64_t end = map_next(map, i, at);

            if (end > at)
                open_range(fence, i, at, end);
            at = map_next_set(map, i, end);
        }
    }
}

static void *index_entries(void *argument)
{
    struct fence *fence = argument;
    struct served *served = fence->served;
    rafs_call call = RAFS_CALL_INIT;
    rafs_error err = RAFS_ERROR_INIT;

    call.cancel = served->cancel;
    if (rafs_fence_index(fence->entries, &call, &err) < 0) {
        if (err.code != RAFS_E_CANCELLED)
            worker_failed(served, "the fence stays shut", &err);
        return NULL;
    }
    atomic_store(&fence->indexed, true);
    if (atomic_load(&worker_slot(served)->recording))
        worker_look_again(served->worker);
    else
        sweep(fence);
    look_whether_complete(fence);
    return NULL;
}

static void shut(struct fence *fence)
{
    struct served *served = fence->served;
    rafs_error err = RAFS_ERROR_INIT;

    for (uint32_t i = 0; i < fence->blobs; i++)
        if (rafs_fence_shut(fence->entries, i, 0, UINT64_MAX, &err) < 0)
            worker_failed(served, "shutting the fence", &err);
    atomic_store(&worker_slot(served)->complete, 0);
}

static void follow_recording(struct fence *fence)
{
    bool recording = atomic_load(&worker_slot(fence->served)->recording) != 0;

    if (!atomic_load(&fence->indexed) || recording == fence->shut)
        return;
    fence->shut = recording;
    if (recording)
        shut(fence);
    else
        sweep(fence);
    look_whether_complete(fence);
}

/* ---- reading ---------------------------------------------------------------------- */

int fence_read(struct served *served, uint32_t blob, uint64_t offset, size_t size,
               uint8_t *buf, size_t *nread, const rafs_call *call, rafs_error *err)
{
    struct fence *fence = served->fence;
    const struct fill_map *map = served->map;
    uint64_t whole = blob < map->devices ? map->device[blob].size : 0;
    uint64_t begin, end;
    ssize_t n;
    int rc;

    *nread = 0;
    if (offset >= whole)
        return RAFS_OK;
    if (size > whole - offset)
        size = (size_t)(whole - offset);
    begin = offset / FILL_BLOCK * FILL_BLOCK;
    end = (offset + size + FILL_BLOCK - 1) / FILL_BLOCK * FILL_BLOCK;
    if (served->lost || !map_has(map, blob, begin, end) ||
        atomic_load(&worker_slot(served)->recording)) {
        rc = fill_range(served, blob, begin, end, call, err);
        if (rc < 0)
            return rc;
        fill_count(served);
        if (fence->kept && !atomic_load(&worker_slot(served)->recording))
            kept_note(fence->kept, blob, begin, end);
    }
    while ((n = pread(fence->files[blob], buf + *nread, size - *nread,
                      (off_t)(offset + *nread))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rafs_error_set(err, RAFS_E_BACKEND, errno, "the cache",
                                  "a file that was filled cannot be read");
        *nread += (size_t)n;
        if (*nread == size)
            break;
    }
    return RAFS_OK;
}

uint32_t fence_blobs(const struct served *served)
{
    return served->fence->blobs;
}

static void failed(void *user, const char *doing, const rafs_error *err)
{
    worker_failed(user, doing, err);
}

/* ---- life ------------------------------------------------------------------------- */

static bool open_files(struct fence *fence)
{
    struct served *served = fence->served;
    rafs_error err = RAFS_ERROR_INIT;

    fence->files = malloc((fence->blobs + 1) * sizeof *fence->files);
    for (uint32_t i = 0; fence->files && i < fence->blobs; i++)
        fence->files[i] = -1;
    for (uint32_t i = 0; fence->files && i < fence->blobs; i++) {
        uint64_t size;

        if (rafs_image_fill_file(served->image, i, &fence->files[i], &size, NULL, &err) <
            0) {
            worker_failed(served, "", &err);
            return false;
        }
    }
    return fence->files != NULL;
}

bool fence_begin(struct served *served, rafs_error *err)
{
    struct fence *fence = calloc(1, sizeof *fence);

    if (!fence)
        return rafs_error_set(err, RAFS_E_NOMEM, ENOMEM, "the fence", "no memory") == 0;
    fence->served = served;
    fence->blobs = served->map->devices;
    served->fence = fence;
    if (rafs_fence_new(served->image, served->meta, &fence->entries, err) == RAFS_OK &&
        open_files(fence)) {
        fence->kept = served->lost ? NULL : kept_new(served);
        return true;
    }
    fence_end(served);
    return false;
}

static void serve(struct served *served, int device, int first)
{
    struct mount_slot *slot = worker_slot(served);
    struct fuse_wish wish = {.image = served->image,
                             .fence = served,
                             .slot = slot,
                             .device = device,
                             .first = first,
                             .threads = served->options.threads ? served->options.threads
                                                                : FENCE_THREADS,
                             .user = served,
                             .failed = failed};
    char why[MOUNT_TEXT];

    served->fence->service = fuse_serve(&wish, why, sizeof why);
    if (!served->fence->service)
        worker_log(served, LOG_ERR, "%s: the fence: %s", slot->dir, why);
}

/* Not before the mount is there, which it would keep waiting; and not at all if the
 * cache's files are others by now: then the kernel is not sent there. */
static void look_for_index(struct fence *fence)
{
    struct served *served = fence->served;

    if (fence->has_indexer || served->lost ||
        atomic_load(&worker_slot(served)->state) != MOUNT_LIVE)
        return;
    fence->has_indexer = pthread_create(&fence->indexer, NULL, index_entries, fence) == 0;
}

void fence_look(struct served *served, int device, int first)
{
    if (!served->fence->service && device >= 0 && first >= 0)
        serve(served, device, first);
    look_for_index(served->fence);
    follow_recording(served->fence);
}

void fence_stop_serving(struct served *served)
{
    if (!served->fence)
        return;
    fuse_service_stop(served->fence->service);
    served->fence->service = NULL;
}

void fence_end(struct served *served)
{
    struct fence *fence = served->fence;

    if (!fence)
        return;
    fence_stop_serving(served);
    kept_free(fence->kept);
    if (fence->has_indexer)
        pthread_join(fence->indexer, NULL);
    rafs_fence_free(fence->entries);
    for (uint32_t i = 0; fence->files && i < fence->blobs; i++)
        if (fence->files[i] >= 0)
            close(fence->files[i]);
    free(fence->files);
    free(fence);
    served->fence = NULL;
}
