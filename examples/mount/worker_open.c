/* SPDX-License-Identifier: Apache-2.0 */
/* From the arguments of a request to an open image, and to what the pump mounts. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <rafs/erofs.h>
#include <rafs/fill.h>

#include "cache.h"
#include "remote.h"
#include "worker_fence.h"

/* A worker of many mounts is to stay small: what it fills lies in the cache's files, and
 * thereby in the page cache. */
enum { METADATA_BYTES = 1 << 20, KEPT_CHUNKS_FUSE = 4 << 20 };

/* ---- saying why not -------------------------------------------------------------- */

static void __attribute__((format(printf, 3, 4)))
refuse(struct served *served, int exit_code, const char *format, ...)
{
    struct mount_slot *slot = worker_slot(served);
    va_list args;

    va_start(args, format);
    vsnprintf(slot->text, sizeof slot->text, format, args);
    va_end(args);
    slot->exit_code = (uint32_t)exit_code;
}

/* What a function of the command said: its first line, without the command's name. */
static void refuse_as_said(struct served *served)
{
    const char *name = "rafs mount: ";
    const char *at = served->complaint;

    fflush(served->complaints);
    at = served->complaint ? served->complaint : "";
    if (strncmp(at, name, strlen(name)) == 0)
        at += strlen(name);
    if (!*at)
        at = "the image could not be opened";
    refuse(served,
           served->options.c.outcome.code ? served->options.c.outcome.code : EXIT_SOURCE,
           "%.*s", (int)strcspn(at, "\n"), at);
}

static void refuse_error(struct served *served, const rafs_error *err)
{
    int exit_code = exit_code_of(err->code);
    char text[MOUNT_TEXT];

    /* Not a path in the image. */
    if (exit_code == EXIT_NO_PATH)
        exit_code = EXIT_SOURCE;
    refuse(served, exit_code, "%s", worker_describe(err, text, sizeof text));
}

/* ---- arguments ------------------------------------------------------------------- */

static char *read_all(int fd, size_t *len)
{
    struct stat st;
    char *bytes;

    if (fstat(fd, &st) < 0 || st.st_size < 1 || st.st_size > MOUNT_ARGS)
        return NULL;
    bytes = malloc((size_t)st.st_size + 1);
    *len = (size_t)st.st_size;
    if (bytes && pread(fd, bytes, *len, 0) == (ssize_t)*len) {
        bytes[*len] = '\0';
        return bytes;
    }
    free(bytes);
    return NULL;
}

static void log_of_library(uint32_t level, const char *line)
{
    worker_log(NULL, level <= RAFS_LOG_ERROR ? LOG_ERR : LOG_WARNING, "%s", line);
}

/* getopt() has one state for the process. */
static bool parse(struct served *served)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    size_t len = 0;
    bool good;
    int argc = 0;

    served->request = read_all(served->worker->fds[served->slot].args, &len);
    served->argv = served->request ? mount_arguments(served->request, len, &argc) : NULL;
    if (!served->argv) {
        refuse(served, EXIT_USAGE, "the arguments of the request cannot be read");
        return false;
    }
    pthread_mutex_lock(&one_at_a_time);
    good = mount_parse(&served->options, argc, served->argv);
    pthread_mutex_unlock(&one_at_a_time);
    if (!good)
        refuse(served, EXIT_USAGE, "the arguments of the request are not understood");
    return good;
}

struct served *served_new(struct worker *worker, uint32_t slot)
{
    struct mount_slot *of = &worker->table->slots[slot];
    struct served *served = calloc(1, sizeof *served);

    if (!served)
        return NULL;
    served->worker = worker;
    served->slot = slot;
    served->number = of->number;
    served->meta = served->layout = -1;
    served->once_more = atomic_load(&of->state) != MOUNT_WANTED;
    served->before.fetched_bytes = atomic_load(&of->fetched_bytes);
    served->before.fetched_chunks = atomic_load(&of->fetched_chunks);
    served->before.refused_chunks = atomic_load(&of->refused_chunks);
    pthread_mutex_init(&served->said_lock, NULL);
    served->complaints = open_memstream(&served->complaint, &served->complaint_len);
    if (served->complaints && rafs_cancel_new(&served->cancel, NULL) == RAFS_OK &&
        parse(served)) {
        served->options.c.complaints = served->complaints;
        served->options.c.cancel = served->cancel;
        served->options.c.log = log_of_library;
        served->options.c.limits = &served->limits;
        return served;
    }
    if (!of->exit_code)
        refuse(served, EXIT_SOURCE, "out of memory or descriptors");
    served_free(served);
    return NULL;
}

void served_free(struct served *served)
{
    fence_end(served);
    if (served->map)
        munmap(served->map, served->map_bytes);
    if (served->image != served->options.c.image)
        rafs_image_close(served->image);
    if (served->meta >= 0)
        close(served->meta);
    if (served->layout >= 0)
        close(served->layout);
    if (served->argv)
        (void)command_end(&served->options.c);
    mount_options_free(&served->options);
    free(served->argv);
    free(served->request);
    if (served->complaints)
        fclose(served->complaints);
    free(served->complaint);
    rafs_cancel_free(served->cancel);
    pthread_mutex_destroy(&served->said_lock);
    free(served);
}

/* ---- kernel: what is mounted ----------------------------------------------------- */

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
        refuse(served, EXIT_SOURCE, "the folder of the cache is not known");
        return -1;
    }
    fd = open(place.path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        refuse(served, EXIT_SOURCE,
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
    refuse_error(served, &err);
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
            refuse(served, EXIT_SOURCE, "metadata of the mount: %s",
                   n < 0 ? strerror(errno) : "cut short");
            return false;
        }
    }
    return true;
}

/* The image whose blobs are the devices. Of version 6 it is the image itself; but for a
 * mount that is there only its metadata say what is right, whatever a name leads to by
 * now. */
static bool lay_out(struct served *served)
{
    rafs_open_options open_options = RAFS_OPEN_OPTIONS_INIT;
    struct command *c = &served->options.c;
    rafs_image_info info = {.struct_size = sizeof info};
    rafs_error err = RAFS_ERROR_INIT;
    rafs_env env = RAFS_ENV_INIT;
    int rc = rafs_image_get_info(c->image, &info, &err);

    if (rc < 0) {
        refuse_error(served, &err);
        return false;
    }
    if (!served->once_more && !write_layouts(served))
        return false;
    if (info.version == 6 && !served->once_more) {
        served->image = c->image;
        return true;
    }
    command_env(&env);
    open_options.env = &env;
    open_options.limits = &served->limits;
    rc = rafs_image_open_erofs(c->image,
                               served->layout >= 0 ? served->layout : served->meta, 0,
                               &open_options, &served->image, command_call(c), &err);
    if (rc < 0)
        refuse_error(served, &err);
    return rc == RAFS_OK;
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
    refuse_error(served, &err);
    return false;
}

/* One after the other: an image may have 255. */
static bool send_device(struct served *served, uint32_t blob, uint64_t *size)
{
    rafs_error err = RAFS_ERROR_INIT;
    int32_t fd = -1;
    bool good;

    if (rafs_image_fill_file(served->image, blob, &fd, size,
                             command_call(&served->options.c), &err) < 0) {
        refuse_error(served, &err);
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
        refuse_error(served, &err);
        return false;
    }
    if (info.blob_count > MOUNT_DEVICES_MAX) {
        refuse(served, EXIT_UNSUPPORTED, "the image has %u blobs; the kernel takes %d",
               info.blob_count, MOUNT_DEVICES_MAX);
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
        refuse(served, EXIT_SOURCE, "no memory for the map of what is there");
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

/* What an earlier worker made. */
static bool take_up_kernel(struct served *served)
{
    const struct slot_fds *fds = &served->worker->fds[served->slot];

    served->meta = fds->meta < 0 ? -1 : fcntl(fds->meta, F_DUPFD_CLOEXEC, 3);
    served->layout = fds->layout < 0 ? -1 : fcntl(fds->layout, F_DUPFD_CLOEXEC, 3);
    served->map = fds->map < 0 ? NULL : map_open(fds->map, &served->map_bytes);
    if (served->meta >= 0 && served->map)
        return true;
    refuse(served, EXIT_SOURCE, "what the mount was made of is lost");
    return false;
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
            refuse_error(served, &err);
            return false;
        }
        now = worker_file_id(fd);
        close(fd);
        served->lost = i >= fds->file_count || now.ino == 0 ||
                       now.dev != fds->files[i].dev || now.ino != fds->files[i].ino;
    }
    if (served->lost && !worker_slot(served)->fence) {
        refuse(served, EXIT_SOURCE,
               "the cache's files were deleted: what was not read before cannot be read "
               "any more; mount it anew");
        worker_log(served, LOG_ERR, "%s: %s", worker_slot(served)->dir,
                   worker_slot(served)->text);
    }
    return true;
}

/* ---- by which name it is opened again -------------------------------------------- */

/* Up to the tag or digest. */
static int bare_length(const char *reference)
{
    const char *at = strchr(reference, '@');
    const char *end = at ? at : reference + strlen(reference);
    const char *slash = strrchr(reference, '/');
    const char *colon = strrchr(reference, ':');

    if (colon && slash && colon > slash && colon < end)
        end = colon;
    return (int)(end - reference);
}

/* What a tag leads to now is not what it leads to when a worker is started anew. */
static void pin(struct served *served)
{
    const char *image = served->options.image;
    struct mount_slot *slot = worker_slot(served);
    struct layout_name name = {0};
    char digest[72];

    snprintf(slot->pinned, sizeof slot->pinned, "%s", image);
    if (rafs_image_get_manifest(served->options.c.image, digest, sizeof digest, NULL) < 0)
        return;
    if (remote_is_network(image))
        snprintf(slot->pinned, sizeof slot->pinned, "%.*s@%s", bare_length(image), image,
                 digest);
    else if (layout_split(image, &name))
        snprintf(slot->pinned, sizeof slot->pinned, "%.*s:%s@%s",
                 (int)strcspn(image, ":"), image, name.path, digest);
    free(name.path);
}

static bool open_by_name(struct served *served)
{
    const struct mount_slot *slot = worker_slot(served);
    bool again = served->once_more && slot->pinned[0];
    const char *name = served->options.image;

    if (again) {
        snprintf(served->pinned, sizeof served->pinned, "%s", slot->pinned);
        name = served->pinned;
    }
    if (!command_open(&served->options.c, name))
        return false;
    if (!again)
        pin(served);
    return true;
}

/* ---- the two ways ---------------------------------------------------------------- */

static bool open_kernel(struct served *served)
{
    struct command *c = &served->options.c;

    if (c->no_cache) {
        refuse(served, EXIT_USAGE, "the kernel's way needs a cache: not with --no-cache");
        return false;
    }
    if (!cache_open_for(c, true) || (c->cache && !open_by_name(served))) {
        refuse_as_said(served);
        return false;
    }
    if (!c->cache) {
        refuse(served, EXIT_SOURCE,
               "the kernel's way needs a cache, and there is no folder for it; "
               "--cache-dir names one");
        return false;
    }
    if (served->once_more && !take_up_kernel(served))
        return false;
    if (!lay_out(served))
        return false;
    return (served->once_more ? are_the_devices(served) : send_devices(served)) &&
           choose_fill(served);
}

static bool open_fuse(struct served *served)
{
    if (!open_by_name(served)) {
        refuse_as_said(served);
        return false;
    }
    served->image = served->options.c.image;
    return true;
}

bool served_open(struct served *served)
{
    bool kernel = worker_slot(served)->via == VIA_KERNEL;

    served->limits.struct_size = sizeof served->limits;
    served->limits.metadata_cache_bytes = METADATA_BYTES;
    served->limits.chunk_cache_bytes = kernel ? 1 : KEPT_CHUNKS_FUSE;
    served->options.c.learn = false; /* traces are looked after in worker_fill.c */
    return kernel ? open_kernel(served) : open_fuse(served);
}
