/* SPDX-License-Identifier: Apache-2.0 */
/* What the pump mounts the kernel's way: metadata, devices, the map of what is there. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <rafs/erofs.h>
#include <rafs/fill.h>

#include "cache.h"
#include "remote.h"
#include "worker_fence.h"

/* ---- metadata -------------------------------------------------------------------- */

static int write_to(void *user, const void *data, size_t len, const rafs_call *call,
                    rafs_error *err)
{
    const int *fd = user;
    const char *at = data;

    (void)call;
    while (len > 0) {
        ssize_t n = write(*fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return rafs_error_set(err, RAFS_E_BACKEND, n < 0 ? errno : EIO,
                                  "metadata of the mount",
                                  "cannot be written in the folder of the cache");
        at += n;
        len -= (size_t)n;
    }
    return RAFS_OK;
}

/* A file without a name beside the chunks; -1: said why. */
static int make_file(struct served *served)
{
    struct cache_place place;
    int fd;

    if (!cache_choose(&served->options.c, &place) || !place.path) {
        worker_refuse(served, EXIT_SOURCE, "the folder of the cache is not known");
        return -1;
    }
    fd = open(place.path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        worker_refuse(
            served, EXIT_SOURCE,
            "%s: the file system of the cache takes no unnamed file (%s), which the "
            "kernel's way needs; --cache-dir names another one, --via fuse does "
            "without",
            place.path, strerror(errno));
    free(place.path);
    return fd;
}

static bool write_layout(struct served *served, int *fd)
{
    rafs_erofs_result result = RAFS_EROFS_RESULT_INIT;
    rafs_erofs_options options = RAFS_EROFS_OPTIONS_INIT;
    struct command *c = &served->options.c;
    rafs_error err = RAFS_ERROR_INIT;

    *fd = make_file(served);
    if (*fd < 0)
        return false;
    if (rafs_image_write_erofs(c->image, &options, write_to, fd, &result, command_call(c),
                               &err) == RAFS_OK)
        return true;
    worker_refuse_error(served, &err);
    return false;
}

static bool may_have_fence(const struct served *served)
{
#ifdef HAVE_FUSE3
    return served->options.fill != FILL_EVENTS;
#else
    return served->options.fill == FILL_FENCE;
#endif
}

/* What is mounted, and, since a fence changes it, what we read. */
static bool write_layouts(struct served *served)
{
    off_t from = 0, to = 0;
    struct stat st;

    if (!write_layout(served, &served->meta))
        return false;
    if (!may_have_fence(served))
        return true;
    served->layout = make_file(served);
    if (served->layout < 0 || fstat(served->meta, &st) != 0)
        return false;
    while (from < st.st_size) {
        ssize_t n = copy_file_range(served->meta, &from, served->layout, &to,
                                    (size_t)(st.st_size - from), 0);

        if (n <= 0) {
            worker_refuse(served, EXIT_SOURCE, "metadata of the mount: %s",
                          n < 0 ? strerror(errno) : "cut short");
            return false;
        }
    }
    return true;
}

/* The image again, from the bytes that the kernel gets (before a fence changed them):
 * they are small in memory, where they come from is known, and whatever a name leads to
 * later they stay what is right. */
static bool open_meta(struct served *served)
{
    struct command *c = &served->options.c;

    command_close(c);
    c->bootstrap = served->layout >= 0 ? &served->layout : &served->meta;
    if (!command_open(c, served->options.image)) {
        worker_refuse_as_said(served);
        return false;
    }
    served->image = c->image;
    return true;
}

/* As long as c->image is open, for its blobs: one of them is where the image lies. */
static bool open_meta_beside(struct served *served)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    struct command *c = &served->options.c;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_env env = RAFS_ENV_INIT;

    command_env(&env);
    options.env = &env;
    options.limits = &served->limits;
    if (rafs_image_open_erofs(c->image,
                              served->layout >= 0 ? served->layout : served->meta, 0,
                              &options, &served->image, command_call(c), &err) == RAFS_OK)
        return true;
    worker_refuse_error(served, &err);
    return false;
}

/* The image whose blobs are the devices. */
static bool lay_out(struct served *served)
{
    struct command *c = &served->options.c;
    rafs_image_info info = {.struct_size = sizeof info};
    rafs_error err = RAFS_ERROR_INIT;

    if (rafs_image_get_info(c->image, &info, &err) < 0) {
        worker_refuse_error(served, &err);
        return false;
    }
    if (!write_layouts(served))
        return false;
    if (info.inlined) {
        open_pin(served);
        return open_meta_beside(served);
    }
    if (info.version == 5 || remote_is(served->options.image))
        return open_meta(served);
    served->image = c->image; /* it lies in a file itself */
    return true;
}

/* With a fence, if it is wanted and can be. */
static bool choose_fill(struct served *served)
{
    struct mount_slot *slot = worker_slot(served);
    rafs_error err = RAFS_ERROR_INIT;

    if (served->once_more ? !slot->fence : !may_have_fence(served))
        return true;
#ifndef HAVE_FUSE3
    rafs_error_set(&err, RAFS_E_UNSUPPORTED, 0, "--fill fence",
                   "this program was built without libfuse3");
#else
    if (fence_begin(served, &err)) {
        slot->fence = 1;
        return true;
    }
#endif
    if (served->options.fill == FILL_AUTO && err.code == RAFS_E_UNSUPPORTED &&
        !served->once_more)
        return true;
    worker_refuse_error(served, &err);
    return false;
}

/* ---- devices ---------------------------------------------------------------------- */

/* One after the other: an image may have 255. */
static bool send_device(struct served *served, uint32_t blob, uint64_t *size)
{
    rafs_error err = RAFS_ERROR_INIT;
    int32_t fd = -1;
    bool good;

    if (rafs_image_fill_file(served->image, blob, &fd, size,
                             command_call(&served->options.c), &err) < 0) {
        worker_refuse_error(served, &err);
        return false;
    }
    good = worker_send(served, VAULT_DEVICE, blob, fd);
    close(fd);
    return good;
}

static bool send_devices(struct served *served)
{
    struct mount_slot *slot = worker_slot(served);
    rafs_image_info info = {.struct_size = sizeof info};
    uint64_t sizes[MOUNT_DEVICES_MAX], total = 0;
    rafs_error err = RAFS_ERROR_INIT;
    bool good;
    int map;

    if (rafs_image_get_info(served->image, &info, &err) < 0) {
        worker_refuse_error(served, &err);
        return false;
    }
    if (info.blob_count > MOUNT_DEVICES_MAX) {
        worker_refuse(served, EXIT_UNSUPPORTED,
                      "the image has %u blobs; the kernel takes %d", info.blob_count,
                      MOUNT_DEVICES_MAX);
        return false;
    }
    for (uint32_t i = 0; i < info.blob_count; i++) {
        if (!send_device(served, i, &sizes[i]))
            return false;
        total += sizes[i];
    }
    map = map_make(sizes, info.blob_count);
    served->map = map >= 0 ? map_open(map, &served->map_bytes) : NULL;
    if (!served->map) {
        worker_refuse(served, EXIT_SOURCE, "no memory for the map of what is there");
        if (map >= 0)
            close(map);
        return false;
    }
    slot->devices = info.blob_count;
    atomic_store(&slot->bytes_total, total);
    atomic_store(&slot->bytes_filled, 0);
    good = worker_send(served, VAULT_MAP, 0, map) &&
           worker_send(served, VAULT_META, 0, served->meta) &&
           (served->layout < 0 || worker_send(served, VAULT_LAYOUT, 0, served->layout));
    close(map);
    return good;
}

/* If somebody deleted the cache's files, others would be filled than those that the
 * kernel reads. */
static bool are_the_devices(struct served *served)
{
    const struct slot_fds *fds = &served->worker->fds[served->slot];
    rafs_error err = RAFS_ERROR_INIT;

    for (uint32_t i = 0; i < served->map->devices && !served->lost; i++) {
        struct file_id now;
        uint64_t size;
        int32_t fd;

        if (rafs_image_fill_file(served->image, i, &fd, &size,
                                 command_call(&served->options.c), &err) < 0) {
            worker_refuse_error(served, &err);
            return false;
        }
        now = worker_file_id(fd);
        close(fd);
        served->lost = i >= fds->file_count || now.ino == 0 ||
                       now.dev != fds->files[i].dev || now.ino != fds->files[i].ino;
    }
    if (served->lost && !worker_slot(served)->fence) {
        worker_refuse(
            served, EXIT_SOURCE,
            "the cache's files were deleted: what was not read before cannot be read "
            "any more; mount it anew");
        worker_log(served, LOG_ERR, "%s: %s", worker_slot(served)->dir,
                   worker_slot(served)->text);
    }
    return true;
}

/* ---- opening --------------------------------------------------------------------- */

/* What an earlier worker made. */
static bool take_up_kernel(struct served *served)
{
    const struct slot_fds *fds = &served->worker->fds[served->slot];

    served->meta = fds->meta < 0 ? -1 : fcntl(fds->meta, F_DUPFD_CLOEXEC, 3);
    served->layout = fds->layout < 0 ? -1 : fcntl(fds->layout, F_DUPFD_CLOEXEC, 3);
    served->map = fds->map < 0 ? NULL : map_open(fds->map, &served->map_bytes);
    if (served->meta < 0 || !served->map) {
        worker_refuse(served, EXIT_SOURCE, "what the mount was made of is lost");
        return false;
    }
    if (!worker_slot(served)->pinned[0])
        return open_meta(served) && are_the_devices(served) && choose_fill(served);
    if (command_open(&served->options.c, open_name(served)))
        return open_meta_beside(served) && are_the_devices(served) && choose_fill(served);
    worker_refuse_as_said(served);
    return false;
}

bool open_kernel(struct served *served)
{
    struct command *c = &served->options.c;

    if (c->no_cache) {
        worker_refuse(served, EXIT_USAGE,
                      "the kernel's way needs a cache: not with --no-cache");
        return false;
    }
    if (!cache_open_for(c, true)) {
        worker_refuse_as_said(served);
        return false;
    }
    if (!c->cache) {
        worker_refuse(served, EXIT_SOURCE,
                      "the kernel's way needs a cache, and there is no folder for it; "
                      "--cache-dir names one");
        return false;
    }
    if (served->once_more)
        return take_up_kernel(served);
    if (command_open(c, served->options.image))
        return lay_out(served) && send_devices(served) && choose_fill(served);
    worker_refuse_as_said(served);
    return false;
}
