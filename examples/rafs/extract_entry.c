/* SPDX-License-Identifier: Apache-2.0 */
#include "extract_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "extract_file.h"

/* Temporary names that are taken are another run's; more than a few are a mistake. */
enum { TEMP_TRIES = 16 };

/* Sizes from which it is worth asking beforehand whether the name is taken. */
enum { LARGE = 1 << 20 };

struct content {
    struct extraction *x;
    struct file_writer writer;
};

static int content_write(void *user, uint64_t offset, const uint8_t *bytes, size_t len)
{
    struct content *content = user;
    struct extraction *x = content->x;
    int rc = file_write(&content->writer, offset, bytes, len);

    if (rc == 0) {
        x->bytes += len;
        progress_step(&x->progress, x->entries, x->expected, x->bytes);
    }
    return rc;
}

static int fill_file(struct extraction *x, const rafs_attr *attr, int fd, rafs_error *err)
{
    struct content content = {x, {.fd = fd, .sparse = x->sparse}};
    struct file_sink sink = {&content, content_write, NULL};
    int rc = file_content(x->c, attr, x->piece, &sink, err);

    /* A hole at the end has nothing behind it that would make the file long enough. */
    if (rc == RAFS_OK && content.writer.end < attr->size &&
        ftruncate(fd, (off_t)attr->size) < 0)
        rc = errno;
    return rc;
}

static int make_regular(struct extraction *x, const rafs_walk_entry *entry,
                        const char *temp, rafs_error *err)
{
    int fd = openat(x->dest.parent, temp,
                    O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0600);
    struct target target = {x->dest.parent, temp, fd, entry->path};
    int rc;

    if (fd < 0)
        return errno;
    rc = fill_file(x, &entry->attr, fd, err);
    if (rc == RAFS_OK)
        rc = restore_attributes(&x->restore, &target, &entry->attr, err);
    /* Some file systems say only now that the disk is full. */
    if (close(fd) < 0 && rc == RAFS_OK)
        rc = errno;
    return rc;
}

static int make_symlink(struct extraction *x, const rafs_walk_entry *entry,
                        const char *temp, rafs_error *err)
{
    size_t len;
    char *to = read_target(x->c->image, entry->ino, &len, err);
    struct target target = {x->dest.parent, temp, -1, entry->path};
    int rc;

    if (!to)
        return err->code;
    rc = symlinkat(to, x->dest.parent, temp) < 0 ? errno : 0;
    free(to);
    return rc ? rc : restore_attributes(&x->restore, &target, &entry->attr, err);
}

static int make_special(struct extraction *x, const rafs_walk_entry *entry,
                        const char *temp, rafs_error *err)
{
    const rafs_attr *attr = &entry->attr;
    struct target target = {x->dest.parent, temp, -1, entry->path};

    if (mknodat(x->dest.parent, temp, (attr->mode & S_IFMT) | 0600,
                makedev(attr->rdev_major, attr->rdev_minor)) < 0)
        return errno;
    return restore_attributes(&x->restore, &target, attr, err);
}

static int make_link(struct extraction *x, const rafs_walk_entry *entry,
                     const char *first, const char *temp)
{
    const char *slash = strrchr(first, '/');
    int fd, rc;

    (void)entry;
    rc = dest_open_dir(&x->dest, first + 1,
                       slash > first ? (size_t)(slash - first) - 1 : 0, O_PATH, &fd);
    if (rc != 0)
        return rc;
    if (linkat(fd, slash + 1, x->dest.parent, temp, 0) < 0)
        rc = errno;
    close(fd);
    return rc;
}

static int make_at(struct extraction *x, const rafs_walk_entry *entry, const char *first,
                   const char *temp, rafs_error *err)
{
    if (first)
        return make_link(x, entry, first, temp);
    switch (entry->attr.mode & S_IFMT) {
    case S_IFREG:
        return make_regular(x, entry, temp, err);
    case S_IFLNK:
        return make_symlink(x, entry, temp, err);
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return make_special(x, entry, temp, err);
    default:
        return rafs_error_set(err, RAFS_E_CORRUPT, EIO, "bootstrap",
                              "an entry is of no known type");
    }
}

/* Under a temporary name first: what is not complete never has its real one. */
static int make_and_publish(struct extraction *x, const rafs_walk_entry *entry,
                            const char *name, const char *first, rafs_error *err)
{
    char temp[DEST_TEMP_NAME];
    int rc = EEXIST, tries;

    for (tries = 0; rc == EEXIST && tries < TEMP_TRIES; tries++) {
        dest_temp_name(&x->dest, temp);
        rc = make_at(x, entry, first, temp, err);
    }
    if (rc == EEXIST)
        return rc; /* the file with this name is not ours */
    if (rc == RAFS_OK)
        rc = dest_publish(&x->dest, temp, name);
    if (rc != RAFS_OK)
        unlinkat(x->dest.parent, temp, 0);
    return rc;
}

/* The same errors from making a device or a second name mean only "not here, not you". */
static bool not_permitted(int rc)
{
    return rc == EPERM || rc == EACCES;
}

static bool link_impossible(int rc)
{
    return not_permitted(rc) || rc == EMLINK || rc == EXDEV || rc == ENOTSUP ||
           rc == ENOENT;
}

int extract_entry(struct extraction *x, const rafs_walk_entry *entry, const char *name,
                  rafs_error *err)
{
    const rafs_attr *attr = &entry->attr;
    const char *first = attr->nlink > 1 ? link_map_find(&x->links, entry->ino) : NULL;
    struct stat st;
    int rc;

    if (!x->dest.overwrite && attr->size >= LARGE &&
        fstatat(x->dest.parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return EEXIST;
    if (first) {
        rc = make_and_publish(x, entry, name, first, err);
        if (!link_impossible(rc)) {
            if (rc == RAFS_OK)
                link_map_count(&x->links, entry->ino);
            return rc;
        }
        restore_lack(&x->restore, LACK_LINK, entry->path, "", rc);
    }
    rc = make_and_publish(x, entry, name, NULL, err);
    if (not_permitted(rc) && (S_ISCHR(attr->mode) || S_ISBLK(attr->mode))) {
        restore_lack(&x->restore, LACK_DEVICE, entry->path, "", rc);
        return RAFS_OK;
    }
    if (rc == RAFS_OK && attr->nlink > 1 && !first &&
        link_map_add(&x->links, entry->ino, attr->nlink, entry->path) < 0)
        rc = ENOMEM;
    return rc;
}
