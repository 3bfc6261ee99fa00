/* SPDX-License-Identifier: Apache-2.0 */
/* /dev/fuse, mounted: by mount(2) as root and inside a user namespace, else by
 * fusermount3(1), whose way of handing back a descriptor is that of libfuse. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pump.h"

enum {
    READ_BYTES = 1 << 20, /* of one request; the most that the kernel does */
    HELPER_MS = 30000,
    OPTIONS_MAX = 4096, /* a page: what mount(2) takes */
    HELPER_GONE = 127
};

extern char **environ;

/* ---- fusermount3 ----------------------------------------------------------------- */

/* Start it with `theirs` as _FUSE_COMMFD, or without if it is -1; 0, or errno. */
static int start_helper(char *const *argv, int theirs, pid_t *pid)
{
    char commfd[32], **env;
    posix_spawnattr_t attr;
    size_t count = 0, n = 0;
    sigset_t set;
    int rc;

    while (environ[count])
        count++;
    env = calloc(count + 2, sizeof *env);
    if (!env)
        return ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(environ[i], "_FUSE_COMMFD=", 13) != 0)
            env[n++] = environ[i];
    }
    snprintf(commfd, sizeof commfd, "_FUSE_COMMFD=%d", theirs);
    if (theirs >= 0)
        env[n++] = commfd;
    /* Signals as a program expects them, whatever the pump does with them. */
    posix_spawnattr_init(&attr);
    sigemptyset(&set);
    posix_spawnattr_setsigmask(&attr, &set);
    sigfillset(&set);
    posix_spawnattr_setsigdefault(&attr, &set);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    rc = posix_spawnp(pid, argv[0], NULL, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    free(env);
    return rc;
}

/* Its exit code. One that hangs is ended. */
static int end_helper(pid_t pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    int status = 0;

    if (pidfd >= 0 && poll(&ended, 1, HELPER_MS) == 0)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pidfd >= 0)
        close(pidfd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : HELPER_GONE;
}

/* The descriptor that it sends, or -1: it ended without. */
static int receive_device(int socket)
{
    char byte, control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr h = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof control};
    struct pollfd ready = {.fd = socket, .events = POLLIN};
    struct cmsghdr *c;
    int fd = -1;

    if (poll(&ready, 1, HELPER_MS) != 1 || recvmsg(socket, &h, MSG_CMSG_CLOEXEC) != 1)
        return -1;
    c = CMSG_FIRSTHDR(&h);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

/* What the flags of mount(2) are called here; nosuid and nodev it adds by itself. A comma
 * in fsname would need a backslash; ours has none. */
static bool helper_options(const struct mount_options *o, const char *source, char *out)
{
    int len = snprintf(out, OPTIONS_MAX,
                       "ro%s%s%s,default_permissions,max_read=%d,subtype=rafs,fsname=%s",
                       o->words.flags & MS_NOEXEC ? ",noexec" : "",
                       *o->words.fuse ? "," : "", o->words.fuse, READ_BYTES, source);

    return len > 0 && len < OPTIONS_MAX;
}

static int mount_by_helper(const struct mount_options *o, const char *source, char *text)
{
    char options[OPTIONS_MAX];
    char *dir = joined(o->dir, "");
    char *argv[] = {
        (char[]){"fusermount3"}, (char[]){"-o"}, options, (char[]){"--"}, dir, NULL};
    int pair[2] = {-1, -1}, fd = -1, rc, code;
    pid_t pid;

    if (!dir || !helper_options(o, source, options) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        snprintf(text, MOUNT_TEXT, "%s: no memory or descriptors, or options too long",
                 o->dir);
        free(dir);
        return -1;
    }
    fcntl(pair[0], F_SETFD, 0);
    rc = start_helper(argv, pair[0], &pid);
    close(pair[0]);
    if (rc == 0) {
        fd = receive_device(pair[1]);
        code = end_helper(pid);
        if (fd < 0)
            snprintf(text, MOUNT_TEXT,
                     "%s: fusermount3 refuses (exit %d); what it said is in the log",
                     o->dir, code);
    } else {
        snprintf(text, MOUNT_TEXT,
                 "%s: only root may mount, or fusermount3, which cannot be run: %s "
                 "(Debian: apt-get install fuse3)",
                 o->dir, strerror(rc));
    }
    close(pair[1]);
    free(dir);
    return fd;
}

/* ---- mount(2) -------------------------------------------------------------------- */

/* 0, or errno. */
static int mount_device(const struct mount_options *o, const char *source, int fd)
{
    char options[OPTIONS_MAX];
    const char *words = o->words.fuse;
    int len = snprintf(options, sizeof options,
                       "fd=%d,rootmode=%o,user_id=%u,group_id=%u,default_permissions,"
                       "max_read=%d%s%s%s",
                       fd, (unsigned)S_IFDIR, (unsigned)geteuid(), (unsigned)getegid(),
                       READ_BYTES, strstr(words, "allow_other") ? "" : ",allow_other",
                       *words ? "," : "", words);

    if (len < 0 || (size_t)len >= sizeof options)
        return E2BIG;
    return mount(source, o->dir, "fuse.rafs", o->words.flags, options) == 0 ? 0 : errno;
}

/* The kernel reads 128 KiB ahead unless it is told otherwise, here. Only the real root
 * may say so, and it is not needed. What our file system says to FUSE_INIT may be more:
 * the lesser counts. Asks nothing that the file system would have to answer. */
static void read_further_ahead(const char *dir)
{
    struct statx stx;
    char path[64];
    int fd;

    if (statx(AT_FDCWD, dir, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &stx) != 0)
        return;
    snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", stx.stx_dev_major,
             stx.stx_dev_minor);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (dprintf(fd, "%d\n", READ_BYTES >> 10) < 0) {
        /* Then not. */
    }
    close(fd);
}

int pump_fuse_mount(const struct mount_options *options, const char *source, char *text)
{
    int fd, why;

    if (options->words.uid_map || options->words.gid_map) {
        snprintf(text, MOUNT_TEXT, "%s: -o uidmap= and gidmap= need --via kernel",
                 options->dir);
        return -1;
    }
    fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    why = errno;
    if (fd >= 0) {
        why = mount_device(options, source, fd);
        if (why == 0) {
            read_further_ahead(options->dir);
            return fd;
        }
        close(fd);
    }
    if (why == EPERM || why == EACCES)
        return mount_by_helper(options, source, text);
    if (fd < 0)
        snprintf(text, MOUNT_TEXT, "/dev/fuse: %s%s", strerror(why),
                 why == ENOENT || why == ENODEV ? " (modprobe fuse?)" : "");
    else
        snprintf(text, MOUNT_TEXT, "%s: the kernel does not mount it: %s", options->dir,
                 strerror(why));
    return -1;
}

int pump_fuse_umount(const char *dir, bool lazy)
{
    char *where;
    char *argv[] = {(char[]){"fusermount3"},
                    (char[]){"-u"},
                    (char[]){"-q"},
                    (char[]){"--"},
                    NULL,
                    NULL,
                    NULL};
    size_t n = 3;
    pid_t pid;
    int why = 0;

    if (umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return 0;
    if (errno != EPERM)
        return errno;
    where = joined(dir, "");
    if (!where)
        return ENOMEM;
    if (lazy)
        argv[n++] = (char[]){"-z"};
    argv[n++] = (char[]){"--"};
    argv[n] = where;
    why = start_helper(argv, -1, &pid);
    if (why == 0 && end_helper(pid) != 0)
        why = EBUSY; /* it does not say */
    free(where);
    return why;
}
