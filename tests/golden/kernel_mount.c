/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Give an image to the kernel: write what librafs reads of each blob into a sparse file
 * of the blob's uncompressed size, at the chunks' uncompressed offsets, and mount the v6
 * bootstrap as EROFS with these files as its devices. run_kernel.py compares the result.
 *
 *     kernel_mount [--loop] IMAGE BLOB_DIR WORKDIR MOUNTPOINT [BOOTSTRAP]
 *
 * BOOTSTRAP is the file for the kernel where IMAGE is a blob that carries its own. Files
 * are mounted as they are, with --loop through loop devices, which free themselves when
 * the mount ends. Exit code: 0 mounted, 1 failed, 2 usage, 4 librafs does not read this
 * kind of image, 77 the kernel does not mount it so.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <rafs/rafs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FAILED = 1, USAGE = 2, UNSUPPORTED = 4, REFUSED = 77 };
enum { EXTENTS_AT_ONCE = 64, OPTIONS_MAX = 4096 }; /* the kernel takes one page */

struct device {
    char path[PATH_MAX];
    int fd;
};

struct image {
    rafs_backend *backend;
    rafs_image *rafs;
    struct device *devices; /* one for each blob */
    uint32_t count;
    uint8_t *buffer; /* of a chunk */
    size_t buffer_bytes;
};

static int fail_rafs(const rafs_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", rafs_error_name(err->code), err->object, err->text);
    return err->code == RAFS_E_UNSUPPORTED ? UNSUPPORTED : FAILED;
}

static int fail_os(const char *what, const char *object)
{
    fprintf(stderr, "cannot %s %s: %s\n", what, object, strerror(errno));
    return FAILED;
}

static int open_image(struct image *image, const char *path, const char *blobs)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_image_info info = {.struct_size = sizeof(info)};
    rafs_error err = RAFS_ERROR_INIT;
    int rc = rafs_backend_new_directory(blobs, NULL, &image->backend, &err);

    options.backends = &image->backend;
    options.backend_count = 1;
    if (rc == RAFS_OK)
        rc = rafs_image_open_path(path, &options, &image->rafs, NULL, &err);
    if (rc == RAFS_OK)
        rc = rafs_image_get_info(image->rafs, &info, &err);
    if (rc < 0)
        return fail_rafs(&err);
    if (info.version != 6) {
        fprintf(stderr, "an image of version %u; the kernel mounts 6\n", info.version);
        return UNSUPPORTED;
    }
    image->count = info.blob_count;
    image->buffer_bytes = info.chunk_size;
    image->buffer = malloc(image->buffer_bytes);
    image->devices = calloc(image->count ? image->count : 1, sizeof(*image->devices));
    if (!image->buffer || !image->devices)
        return fail_os("allocate", "memory");
    for (uint32_t i = 0; i < image->count; i++)
        image->devices[i].fd = -1;
    return 0;
}

static int make_device(struct image *image, uint32_t i, const char *folder)
{
    rafs_blob_info blob = {.struct_size = sizeof(blob)};
    struct device *device = &image->devices[i];
    rafs_error err = RAFS_ERROR_INIT;

    if (rafs_image_get_blob(image->rafs, i, &blob, &err) < 0)
        return fail_rafs(&err);
    snprintf(device->path, sizeof(device->path), "%s/device%u", folder, i);
    device->fd = open(device->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (device->fd < 0)
        return fail_os("create", device->path);
    if (ftruncate(device->fd, (off_t)blob.uncompressed_size) < 0)
        return fail_os("size", device->path);
    return 0;
}

static int write_extent(struct image *image, uint64_t ino, const rafs_extent *extent)
{
    rafs_error err = RAFS_ERROR_INIT;
    size_t nread;

    if (extent->flags & RAFS_EXTENT_HOLE)
        return 0;
    if (extent->length > image->buffer_bytes || extent->blob >= image->count) {
        fprintf(stderr, "an extent of %llu bytes in blob %u\n",
                (unsigned long long)extent->length, extent->blob);
        return FAILED;
    }
    if (rafs_image_read(image->rafs, ino, extent->file_offset, extent->length,
                        image->buffer, &nread, NULL, &err) < 0)
        return fail_rafs(&err);
    if (nread != extent->length ||
        pwrite(image->devices[extent->blob].fd, image->buffer, nread,
               (off_t)extent->uncompressed_offset) != (ssize_t)nread)
        return fail_os("write", image->devices[extent->blob].path);
    return 0;
}

static int write_file(struct image *image, const rafs_walk_entry *file)
{
    rafs_extent extents[EXTENTS_AT_ONCE];
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t offset = 0;
    size_t count;

    do {
        if (rafs_image_get_extents(image->rafs, file->ino, offset, extents,
                                   EXTENTS_AT_ONCE, &count, NULL, &err) < 0)
            return fail_rafs(&err);
        for (size_t i = 0; i < count; i++) {
            int rc = write_extent(image, file->ino, &extents[i]);

            if (rc)
                return rc;
            offset = extents[i].file_offset + extents[i].length;
        }
    } while (count > 0);
    return 0;
}

static int write_devices(struct image *image, const char *folder)
{
    rafs_error err = RAFS_ERROR_INIT;
    const rafs_walk_entry *entry;
    rafs_walk *walk;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < image->count; i++)
        rc = make_device(image, i, folder);
    if (rc)
        return rc;
    if (rafs_walk_open(image->rafs, "/", 0, &walk, &err) < 0)
        return fail_rafs(&err);
    do {
        if (rafs_walk_next(walk, &entry, &err) < 0)
            rc = fail_rafs(&err);
        else if (entry && S_ISREG(entry->attr.mode))
            rc = write_file(image, entry);
    } while (rc == 0 && entry);
    rafs_walk_close(walk);
    return rc;
}

/* Put a file behind a free loop device, whose path replaces the file's. */
static int attach_loop(const char *file, char path[PATH_MAX], int *held)
{
    struct loop_config config = {
        .info = {.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR}};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int backing = open(file, O_RDONLY | O_CLOEXEC);
    int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    int loop = -1;
    int rc = REFUSED;

    config.fd = (__u32)backing;
    if (number >= 0 && backing >= 0) {
        snprintf(path, PATH_MAX, "/dev/loop%d", number);
        loop = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config) == 0)
        rc = 0;
    else
        fail_os("put behind a loop device:", file);
    if (control >= 0)
        close(control);
    if (backing >= 0)
        close(backing);
    if (rc && loop >= 0)
        close(loop);
    if (rc == 0)
        *held = loop; /* the last descriptor frees it, so it is kept until the mount */
    return rc;
}

static int mount_erofs(const char *bootstrap, struct image *image, const char *folder)
{
    char options[OPTIONS_MAX];
    size_t len = 0;
    bool refused;

    options[0] = '\0';
    for (uint32_t i = 0; i < image->count; i++) {
        int n = snprintf(options + len, sizeof(options) - len, "%sdevice=%s",
                         len ? "," : "", image->devices[i].path);

        if (n < 0 || (size_t)n >= sizeof(options) - len) {
            fprintf(stderr, "too many devices for one mount: %u\n", image->count);
            return REFUSED;
        }
        len += (size_t)n;
    }
    if (mount(bootstrap, folder, "erofs", MS_RDONLY, options) == 0)
        return 0;
    /* No EROFS; not on files of this kind; not by this user. All else is our failure. */
    refused = errno == ENODEV || errno == ENOTBLK || errno == EPERM;
    fail_os("mount", bootstrap);
    return refused ? REFUSED : FAILED;
}

static int give_to_kernel(struct image *image, const char *bootstrap, bool loop,
                          const char *folder)
{
    char path[PATH_MAX];
    int held = -1;
    int rc = 0;

    if (!loop)
        return mount_erofs(bootstrap, image, folder);
    rc = attach_loop(bootstrap, path, &held);
    for (uint32_t i = 0; rc == 0 && i < image->count; i++) {
        struct device *device = &image->devices[i];
        char file[PATH_MAX];
        int written = device->fd;

        memcpy(file, device->path, sizeof(file));
        rc = attach_loop(file, device->path, &device->fd);
        close(written);
        if (rc)
            device->fd = -1;
    }
    if (rc == 0)
        rc = mount_erofs(path, image, folder);
    if (held >= 0)
        close(held);
    return rc;
}

int main(int argc, char **argv)
{
    bool loop = argc > 1 && strcmp(argv[1], "--loop") == 0;
    struct image image = {0};
    int rc;

    argv += loop;
    argc -= loop;
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: kernel_mount [--loop] IMAGE BLOB_DIR WORKDIR MOUNTPOINT "
                        "[BOOTSTRAP]\n");
        return USAGE;
    }
    rc = open_image(&image, argv[1], argv[2]);
    if (rc == 0)
        rc = write_devices(&image, argv[3]);
    if (rc == 0)
        rc = give_to_kernel(&image, argc == 6 ? argv[5] : argv[1], loop, argv[4]);
    for (uint32_t i = 0; image.devices && i < image.count; i++)
        if (image.devices[i].fd >= 0)
            close(image.devices[i].fd);
    free(image.devices);
    free(image.buffer);
    rafs_image_close(image.rafs);
    rafs_backend_free(image.backend);
    return rc;
}
