/* SPDX-License-Identifier: Apache-2.0 */
/* Owners of an image shown as others, by an idmapped mount: mount_setattr(2). */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mount.h"

/* As the kernel's headers have them; those of the C library may be older. */
enum { ATTR_IDMAP = 0x00100000 };
struct attr {
    uint64_t set, clear, propagation, userns_fd;
};

/* In a child that has nothing else to do: a user namespace, until we are done with it. */
static void be_namespace(int ready, int stay)
{
    char byte = 0;

    if (unshare(CLONE_NEWUSER) != 0)
        byte = (char)errno;
    if (write(ready, &byte, 1) != 1 || byte != 0)
        _exit(1);
    while (read(stay, &byte, 1) < 0 && errno == EINTR)
        ;
    _exit(0);
}

static int put_file(pid_t pid, const char *name, const char *text)
{
    char path[64];
    size_t len = strlen(text);
    int why = 0;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    if (write(fd, text, len) != (ssize_t)len)
        why = errno ? errno : EIO;
    close(fd);
    return why;
}

static int map(int tree, pid_t pid, const struct mount_words *words)
{
    static const char same[] = "0 0 4294967295\n";
    struct attr attr = {.set = ATTR_IDMAP};
    char path[64];
    int why = put_file(pid, "uid_map", words->uid_map ? words->uid_map : same);
    int fd;

    if (why == 0)
        why = put_file(pid, "gid_map", words->gid_map ? words->gid_map : same);
    if (why != 0)
        return why;
    snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    attr.userns_fd = (uint64_t)fd;
#ifdef SYS_mount_setattr
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) != 0)
        why = errno;
#else
    why = ENOSYS;
#endif
    close(fd);
    return why;
}

int mount_ids_apply(int tree, const struct mount_words *words)
{
    int ready[2], stay[2];
    char byte = EIO;
    pid_t pid;
    int why;

    if (!words->uid_map && !words->gid_map)
        return 0;
    if (pipe2(ready, O_CLOEXEC) != 0)
        return errno;
    if (pipe2(stay, O_CLOEXEC) != 0) {
        why = errno;
        close(ready[0]);
        close(ready[1]);
        return why;
    }
    pid = fork();
    why = pid < 0 ? errno : 0;
    if (pid == 0) {
        close(stay[1]);
        be_namespace(ready[1], stay[0]);
    }
    close(ready[1]);
    close(stay[0]);
    if (why == 0) {
        while (read(ready[0], &byte, 1) < 0 && errno == EINTR)
            ;
        why = byte == 0 ? map(tree, pid, words) : byte;
    }
    close(ready[0]);
    close(stay[1]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return why;
}
