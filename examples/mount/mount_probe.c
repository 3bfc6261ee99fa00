/* SPDX-License-Identifier: Apache-2.0 */
/* Which ways of mounting this machine, user and cache have. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mount.h"
#include "mount_probe.h"

/* As the kernel has them; the C library's headers may be older. */
enum {
    PRE_ACCESS = 0x00100000, /* FAN_PRE_ACCESS */
    TREE_CLONE = 1,          /* OPEN_TREE_CLONE */
    FS_OPEN_CLOEXEC = 1,     /* FSOPEN_CLOEXEC */
    FS_SET_FLAG = 0,         /* FSCONFIG_SET_FLAG */
    FS_SET_STRING = 1,       /* FSCONFIG_SET_STRING */
    FS_CREATE = 6            /* FSCONFIG_CMD_CREATE */
};

static bool missing(char *why, size_t room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool missing(char *why, size_t room, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, room, format, args);
    va_end(args);
    return false;
}

/* A file without a name in the folder, or in the nearest one above that is there. */
static int scratch_file(const char *folder, char *where, size_t room)
{
    char path[PATH_MAX];
    int fd;

    snprintf(path, sizeof path, "%s", folder);
    while ((fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) < 0 &&
           (errno == ENOENT || errno == ENOTDIR) && strcmp(path, "/") != 0 &&
           strcmp(path, ".") != 0) {
        char *above = dirname(path);

        memmove(path, above, strlen(above) + 1);
    }
    snprintf(where, room, "%s", path);
    return fd;
}

static int open_group(char *why, size_t room)
{
    int group = fanotify_init(FAN_CLASS_PRE_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK,
                              O_RDONLY | O_LARGEFILE);

    if (group >= 0)
        return group;
    if (errno == EPERM)
        missing(why, room, "that needs root (CAP_SYS_ADMIN)");
    else if (errno == EMFILE)
        missing(why, room, "too many fanotify groups or open files");
    else
        missing(why, room,
                "this kernel gives no permission events "
                "(CONFIG_FANOTIFY_ACCESS_PERMISSIONS): %s",
                strerror(errno));
    return -1;
}

/* Of one file, seen only through a mount of its own. */
static bool probe_mark(int group, int file, const char *where, char *why, size_t room)
{
    char path[64];
    bool good = true;
    int tree =
        (int)syscall(SYS_open_tree, file, "", TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH);

    if (tree < 0)
        return missing(why, room, "%s: no mount of a single file: %s", where,
                       strerror(errno));
    snprintf(path, sizeof path, "/proc/self/fd/%d", tree);
    if (fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_MOUNT, PRE_ACCESS, AT_FDCWD, path) !=
        0) {
        if (errno == EINVAL)
            good = missing(why, room,
                           "this kernel has no events before content is read (Linux "
                           "6.14 has them)");
        else if (errno == EOPNOTSUPP)
            good = missing(why, room,
                           "the file system of the cache (%s) does not let reads wait; "
                           "ext4, xfs and btrfs do, tmpfs does not",
                           where);
        else
            good = missing(why, room, "%s: no mark: %s", where, strerror(errno));
    }
    close(tree);
    return good;
}

/*
 * The least that is an EROFS file system: one block with a superblock at byte 1024 and,
 * as node 36 (of 32 bytes), an empty directory for a root. Source: erofs_fs.h of Linux.
 */
static bool write_least(int file)
{
    uint8_t block[4096] = {0};
    uint8_t *super = block + 1024, *root = block + (size_t)36 * 32;

    memcpy(super, "\xe2\xe1\xf5\xe0", 4); /* magic */
    super[12] = 12;                       /* log2 of a block */
    super[14] = 36;                       /* root's number */
    super[36] = 1;                        /* blocks */
    root[4] = 0xed;                       /* mode 040755 */
    root[5] = 0x41;
    root[6] = 2; /* links */
    return pwrite(file, block, sizeof block, 0) == (ssize_t)sizeof block;
}

/* By the kernel's own EROFS, without mounting it anywhere. */
static bool probe_erofs(int file, const char *where, char *why, size_t room)
{
    char path[64];
    bool good = true;
    int context;

    if (!write_least(file))
        return missing(why, room, "%s: %s", where, strerror(errno));
    context = (int)syscall(SYS_fsopen, "erofs", FS_OPEN_CLOEXEC);
    if (context < 0 && errno == EPERM)
        return missing(why, room, "that needs root (CAP_SYS_ADMIN)");
    if (context < 0 && errno == ENODEV)
        return missing(why, room, "this kernel has no EROFS (CONFIG_EROFS_FS)");
    if (context < 0)
        return missing(why, room, "no EROFS: %s", strerror(errno));
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (syscall(SYS_fsconfig, context, FS_SET_STRING, "source", path, 0) != 0 ||
        syscall(SYS_fsconfig, context, FS_SET_FLAG, "ro", NULL, 0) != 0 ||
        syscall(SYS_fsconfig, context, FS_CREATE, NULL, NULL, 0) != 0)
        good =
            errno == ENOTBLK
                ? missing(why, room,
                          "the kernel's EROFS reads no files there (%s): it does on "
                          "ext4, xfs and btrfs, not on tmpfs, and needs "
                          "CONFIG_EROFS_FS_BACKED_BY_FILE (Linux 6.12)",
                          where)
                : missing(why, room, "EROFS refuses to be mounted: %s", strerror(errno));
    close(context);
    return good;
}

#ifdef HAVE_FUSE3
static bool probe_device(char *why, size_t room)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

    if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
        return missing(why, room, "this kernel has no FUSE (no /dev/fuse)");
    if (fd < 0)
        return missing(why, room, "/dev/fuse: %s", strerror(errno));
    close(fd);
    return true;
}
#else
static bool probe_device(char *why, size_t room)
{
    return missing(why, room,
                   "this rafs was built without libfuse3 (Debian: apt-get install "
                   "libfuse3-dev)");
}
#endif

/* What --fill events needs. */
static bool probe_events(int file, const char *where, char *why, size_t room)
{
    int group = open_group(why, room);
    bool good = group >= 0 && (file < 0 || probe_mark(group, file, where, why, room));

    if (group >= 0)
        close(group);
    return good;
}

/* What --fill fence needs: a FUSE file system that is mounted nowhere. */
static bool probe_fence(char *why, size_t room)
{
    int context;

    if (!probe_device(why, room))
        return false;
    context = (int)syscall(SYS_fsopen, "fuse", FS_OPEN_CLOEXEC);
    if (context < 0 && errno == EPERM)
        return missing(why, room, "that needs root (CAP_SYS_ADMIN)");
    if (context < 0)
        return missing(why, room, "no FUSE: %s", strerror(errno));
    close(context);
    return true;
}

static bool probe_fill(uint32_t fill, int file, const char *where, char *why, size_t room)
{
    if (fill == FILL_FENCE)
        return probe_fence(why, room);
    if (fill == FILL_AUTO && probe_fence(why, room))
        return true;
    return probe_events(file, where, why, room);
}

bool probe_kernel(const char *cache, uint32_t fill, char *why, size_t room)
{
    char where[PATH_MAX];
    bool good = false;
    int file, problem;

    if (!cache)
        return probe_fill(fill, -1, "", why, room);
    file = scratch_file(cache, where, sizeof where);
    problem = errno;
    if (file < 0 && probe_fill(fill, -1, "", why, room))
        missing(why, room, "the cache (%s) cannot be written to: %s", where,
                strerror(problem));
    if (file < 0)
        return false;
    good =
        probe_fill(fill, file, where, why, room) && probe_erofs(file, where, why, room);
    close(file);
    return good;
}

static bool in_path(const char *name)
{
    const char *path = getenv("PATH");
    char file[PATH_MAX];

    if (!path || !*path)
        path = "/usr/local/bin:/usr/bin:/bin";
    while (*path) {
        size_t len = strcspn(path, ":");

        if (snprintf(file, sizeof file, "%.*s/%s", (int)len, path, name) <
                (int)sizeof file &&
            access(file, X_OK) == 0)
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}

bool probe_fuse(char *why, size_t room)
{
    if (!probe_device(why, room))
        return false;
    if (geteuid() != 0 && !in_path("fusermount3"))
        return missing(why, room,
                       "without root that needs fusermount3 (Debian: apt-get install "
                       "fuse3)");
    return true;
}
