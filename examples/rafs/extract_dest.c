/* SPDX-License-Identifier: Apache-2.0 */
#include "extract_dest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The kernel takes paths below PATH_MAX; longer ones are walked in pieces of this. */
enum { SEGMENT_MAX = 4000 };

int dest_bad_name(const char *name, size_t len)
{
    if (len == 0 || len > 255 || memchr(name, '/', len) || memchr(name, '\0', len))
        return 1;
    return (len == 1 && name[0] == '.') || (len == 2 && memcmp(name, "..", 2) == 0);
}

int dest_open(struct dest *dest, const char *dir, mode_t mode, int *made)
{
    const int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;

    *made = 0;
    dest->root = open(dir, flags);
    if (dest->root < 0 && errno == ENOENT) {
        if (mkdir(dir, mode) < 0)
            return errno;
        *made = 1;
        dest->root = open(dir, flags);
    }
    if (dest->root < 0)
        return errno;
    /* Only to keep two runs apart; O_EXCL is what protects. */
    if (getrandom(&dest->salt, sizeof dest->salt, GRND_NONBLOCK) < 0)
        dest->salt = (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();
    return 0;
}

void dest_close(struct dest *dest)
{
    if (dest->parent >= 0)
        close(dest->parent);
    if (dest->root >= 0)
        close(dest->root);
    free(dest->parent_path);
    *dest = (struct dest)DEST_INIT;
}

/* Component by component, for kernels before 5.6 and sandboxes that hide openat2. */
static int open_by_steps(int from, const char *path, int flags)
{
    const char *name = path;
    int fd = -1;

    do {
        size_t len = strcspn(name, "/");
        char component[256];
        int next, saved;

        if (dest_bad_name(name, len)) {
            errno = EXDEV;
            next = -1;
        } else {
            memcpy(component, name, len);
            component[len] = '\0';
            next = openat(fd < 0 ? from : fd, component,
                          (name[len] ? O_PATH : flags) | O_DIRECTORY | O_NOFOLLOW |
                              O_CLOEXEC);
        }
        saved = errno;
        if (fd >= 0)
            close(fd);
        errno = saved;
        fd = next;
        name += len + (name[len] == '/');
    } while (fd >= 0 && *name);
    return fd;
}

/* One piece of a path, shorter than PATH_MAX. The descriptor, or -1 with errno. */
static int open_segment(struct dest *dest, int from, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_DIRECTORY | O_CLOEXEC),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    int tries, fd;

    if (!dest->no_openat2) {
        /* EAGAIN: something was renamed meanwhile, and the kernel could not tell whether
         * the path stayed below. */
        for (tries = 0; tries < 32; tries++) {
            fd = (int)syscall(SYS_openat2, from, path, &how, sizeof how);
            if (fd >= 0 || errno != EAGAIN)
                break;
        }
        if (fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != EINVAL))
            return fd;
        dest->no_openat2 = 1;
    }
    return open_by_steps(from, path, flags);
}

int dest_open_dir(struct dest *dest, const char *path, size_t len, int flags, int *out)
{
    size_t pos = 0;
    int fd = -1;

    if (len == 0) {
        *out = openat(dest->root, ".", flags | O_DIRECTORY | O_CLOEXEC);
        return *out < 0 ? errno : 0;
    }
    while (pos < len) {
        char segment[SEGMENT_MAX + 256];
        size_t end = pos;
        int next, saved;

        /* Up to the last slash that fits; a name is at most 255 bytes. */
        while (end < len && (end - pos < SEGMENT_MAX - 256 || path[end] != '/')) {
            if (end - pos >= sizeof segment - 1)
                break;
            end++;
        }
        memcpy(segment, path + pos, end - pos);
        segment[end - pos] = '\0';
        next = open_segment(dest, fd < 0 ? dest->root : fd, segment,
                            end == len ? flags : O_PATH);
        saved = errno;
        if (fd >= 0)
            close(fd);
        if (next < 0)
            return saved;
        fd = next;
        pos = end < len ? end + 1 : end;
    }
    *out = fd;
    return 0;
}

static int remember_parent(struct dest *dest, const char *path, size_t len)
{
    if (dest->parent_room <= len) {
        size_t room = (len + 1) * 2;
        char *bigger = realloc(dest->parent_path, room);

        if (!bigger)
            return ENOMEM;
        dest->parent_path = bigger;
        dest->parent_room = room;
    }
    memcpy(dest->parent_path, path, len);
    dest->parent_path[len] = '\0';
    return 0;
}

int dest_enter(struct dest *dest, const char *path, size_t len)
{
    int fd, rc;

    if (dest->parent >= 0 && strlen(dest->parent_path) == len &&
        memcmp(dest->parent_path, path, len) == 0)
        return 0;
    if (dest->parent >= 0)
        close(dest->parent);
    dest->parent = -1;
    rc = remember_parent(dest, path, len);
    if (rc == 0)
        rc = dest_open_dir(dest, path, len, O_PATH, &fd);
    if (rc == 0)
        dest->parent = fd;
    return rc;
}

void dest_temp_name(struct dest *dest, char name[DEST_TEMP_NAME])
{
    snprintf(name, DEST_TEMP_NAME, ".rafs-%016llx-%llx", (unsigned long long)dest->salt,
             (unsigned long long)dest->serial++);
}

/* Where the file system cannot rename without replacing. A directory never comes here. */
static int publish_by_link(struct dest *dest, const char *temp, const char *name)
{
    struct stat st;

    if (linkat(dest->parent, temp, dest->parent, name, 0) == 0)
        return unlinkat(dest->parent, temp, 0) < 0 ? errno : 0;
    if (errno == EEXIST)
        return EEXIST;
    if (fstatat(dest->parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return EEXIST;
    return renameat(dest->parent, temp, dest->parent, name) < 0 ? errno : 0;
}

int dest_publish(struct dest *dest, const char *temp, const char *name)
{
    if (dest->overwrite) {
        if (renameat(dest->parent, temp, dest->parent, name) < 0)
            return errno;
        /* Two names of one inode: rename did nothing, and the old name is still there. */
        unlinkat(dest->parent, temp, 0);
        return 0;
    }
    if (syscall(SYS_renameat2, dest->parent, temp, dest->parent, name,
                1u /* RENAME_NOREPLACE */) == 0)
        return 0;
    if (errno == EINVAL || errno == ENOSYS || errno == EPERM)
        return publish_by_link(dest, temp, name);
    return errno;
}

int dest_make_dir(struct dest *dest, const char *name, int *made)
{
    struct stat st;

    *made = 0;
    if (mkdirat(dest->parent, name, 0700) == 0) {
        *made = 1;
        return 0;
    }
    if (errno != EEXIST)
        return errno;
    if (fstatat(dest->parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno;
    if (S_ISLNK(st.st_mode))
        return ELOOP;
    return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
}
