/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of an image, put into a directory as a runtime would that cannot mount. Owners,
 * attributes, hard links and devices need privileges and care of their own: `rafs
 * extract` has them, this does not.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "embed.h"

struct place {
    const rafs_image *image;
    int root;
    uint64_t timeout_ms;
    struct placed *placed;
    rafs_error *err;
};

static int failed(struct place *p, const char *path, const char *what)
{
    return rafs_error_set(p->err, RAFS_E_BACKEND, errno, path, what);
}

/* What arrives in buf has been verified; what cannot be verified never arrives. */
static int copy(struct place *p, uint64_t ino, int fd, const char *path)
{
    static char buf[1 << 16];
    uint64_t offset = 0;
    size_t n = 1;

    while (n > 0) {
        rafs_call call;
        size_t done = 0;
        int rc;

        rafs_call_init(&call, NULL, p->timeout_ms, NULL);
        rc = rafs_image_read(p->image, ino, offset, sizeof buf, buf, &n, &call, p->err);
        if (rc < 0)
            return rc;
        while (done < n) {
            ssize_t written = write(fd, buf + done, n - done);

            if (written < 0 && errno != EINTR)
                return failed(p, path, "cannot be written");
            done += written < 0 ? 0 : (size_t)written;
        }
        offset += n;
    }
    p->placed->bytes += offset;
    return RAFS_OK;
}

static int place_file(struct place *p, const rafs_walk_entry *entry, const char *at)
{
    struct timespec times[2] = {{0, 0}, {0, 0}};
    int rc, fd = openat(p->root, at, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return failed(p, entry->path, "cannot be made");
    rc = copy(p, entry->ino, fd, entry->path);
    times[0].tv_sec = times[1].tv_sec = (time_t)entry->attr.mtime_sec;
    times[0].tv_nsec = times[1].tv_nsec = (long)entry->attr.mtime_nsec;
    /* Not the set-user-id bits: the owner is us, not the image's. */
    if (rc == RAFS_OK &&
        (fchmod(fd, entry->attr.mode & 0777) < 0 || futimens(fd, times) < 0))
        rc = failed(p, entry->path, "cannot have its mode and time");
    if (close(fd) < 0 && rc == RAFS_OK)
        rc = failed(p, entry->path, "cannot be written");
    if (rc == RAFS_OK && entry->attr.size > 0 && p->placed->sample[0] == '\0')
        snprintf(p->placed->sample, sizeof p->placed->sample, "%s", entry->path);
    return rc;
}

static int place_link(struct place *p, const rafs_walk_entry *entry, const char *at)
{
    static char target[RAFS_PATH_MAX + 1];
    size_t len;
    int rc =
        rafs_image_readlink(p->image, entry->ino, target, sizeof target, &len, p->err);

    if (rc == RAFS_OK && symlinkat(target, p->root, at) < 0)
        rc = failed(p, entry->path, "cannot be made");
    return rc;
}

/*
 * The root of what is made is new and nobody else's, and each directory in it was made by
 * mkdirat() here: a link that the image put there could not be one of them (EEXIST), so
 * no path leads out.
 */
static int place_entry(struct place *p, const rafs_walk_entry *entry)
{
    const char *at = entry->path[1] ? entry->path + 1 : ".";

    switch (entry->attr.mode & S_IFMT) {
    case S_IFDIR:
        p->placed->directories++;
        if (entry->depth == 0)
            return RAFS_OK; /* made with those above it */
        return mkdirat(p->root, at, 0700) < 0 ? failed(p, entry->path, "cannot be made")
                                              : RAFS_OK;
    case S_IFREG:
        p->placed->files++;
        return place_file(p, entry, at);
    case S_IFLNK:
        p->placed->links++;
        return place_link(p, entry, at);
    default:
        p->placed->others++;
        return RAFS_OK;
    }
}

/* Each directory that leads to path, and path itself if it is to be one. */
static int make_way(struct place *p, const char *path, int is_directory)
{
    char part[RAFS_PATH_MAX + 1];
    size_t i, len = strlen(path);

    for (i = 1; i <= len; i++) {
        if (path[i] != '/' && !(path[i] == '\0' && is_directory))
            continue;
        if (i <= 1)
            continue;
        memcpy(part, path + 1, i - 1);
        part[i - 1] = '\0';
        if (mkdirat(p->root, part, 0700) < 0)
            return failed(p, part, "cannot be made");
    }
    return RAFS_OK;
}

static int place_all(struct place *p, const char *path)
{
    const rafs_walk_entry *entry;
    rafs_walk *walk = NULL;
    int rc = rafs_walk_open(p->image, path, 0, &walk, p->err);

    while (rc == RAFS_OK) {
        rc = rafs_walk_next(walk, &entry, p->err);
        if (rc < 0 || !entry)
            break;
        if (entry->depth == 0)
            rc = make_way(p, path, (entry->attr.mode & S_IFMT) == S_IFDIR);
        if (rc == RAFS_OK)
            rc = place_entry(p, entry);
    }
    rafs_walk_close(walk);
    return rc;
}

int place(const rafs_image *image, const char *path, const char *directory,
          uint64_t timeout_ms, struct placed *placed, rafs_error *err)
{
    struct place p = {image, -1, timeout_ms, placed, err};
    char real[RAFS_PATH_MAX + 1];
    uint64_t ino;
    size_t len;
    /* /bin is a link in most images of today: where does it lead? */
    int rc = rafs_image_resolve(image, path, 0, &ino, err);

    memset(placed, 0, sizeof *placed);
    if (rc == RAFS_OK)
        rc = rafs_image_get_path(image, ino, real, sizeof real, &len, NULL, err);
    if (rc < 0)
        return rc;
    if (mkdir(directory, 0700) < 0)
        return failed(&p, directory, "cannot be made");
    p.root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p.root < 0)
        return failed(&p, directory, "cannot be opened");
    rc = place_all(&p, real);
    close(p.root);
    return rc;
}
