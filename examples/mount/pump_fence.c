/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fence of a kernel mount: a FUSE file system that is mounted nowhere, with a file
 * for each blob. EROFS reads there whatever was not verified yet, and the worker answers;
 * see rafs/fence.h.
 *
 * No event, no mark, nothing to be let through: if every process of ours is gone, so is
 * the last descriptor of /dev/fuse, and the kernel answers such reads with an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pump_own.h"

enum { FIRST_BYTES = 64 * 1024 };

static bool set(int fs, const char *key, const char *value)
{
    return syscall(SYS_fsconfig, fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key,
                   value, 0) == 0;
}

/* A mount without a place; -1. */
static int make(int device)
{
    char number[16];
    int fs = (int)syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC);
    int tree = -1;

    if (fs < 0)
        return -1;
    snprintf(number, sizeof number, "%d", device);
    if (set(fs, "source", "rafs-fence") && set(fs, "fd", number) &&
        set(fs, "rootmode", "40000") && set(fs, "user_id", "0") &&
        set(fs, "group_id", "0") && set(fs, "allow_other", NULL) && set(fs, "ro", NULL) &&
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        tree = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                            MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID |
                                MOUNT_ATTR_NOEXEC);
    close(fs);
    return tree;
}

/* The kernel's first message, which each worker answers. It is there as soon as the file
 * system is. */
static int first_message(int device)
{
    struct pollfd waiting = {.fd = device, .events = POLLIN};
    int fd = memfd_create("rafs-fence-init", MFD_CLOEXEC);
    void *room;
    ssize_t n = -1;

    if (fd < 0 || ftruncate(fd, FIRST_BYTES) != 0)
        return fd;
    room = mmap(NULL, FIRST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (room != MAP_FAILED) {
        if (poll(&waiting, 1, 0) > 0)
            n = read(device, room, FIRST_BYTES);
        munmap(room, FIRST_BYTES);
    }
    if (n > 0 && ftruncate(fd, n) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Into the vault, the device last: with it the fence is whole. */
static bool keep(struct pump *p, uint32_t slot, int device, int tree, int first)
{
    if (!vault_put(p->vault, slot, VAULT_INIT, 0, first)) {
        close(tree);
        close(device);
        return false;
    }
    if (!vault_put(p->vault, slot, VAULT_FENCE_ROOT, 0, tree)) {
        close(device);
        return false;
    }
    return vault_put(p->vault, slot, VAULT_FENCE, 0, device);
}

bool fence_make(struct pump *p, uint32_t slot, char *text)
{
    int device, tree, first;

    if (pump_fd(p, slot, VAULT_FENCE) >= 0)
        return true;
    device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    tree = device < 0 ? -1 : make(device);
    first = tree < 0 ? -1 : first_message(device);
    if (first < 0) {
        snprintf(text, MOUNT_TEXT, "the fence: /dev/fuse: %s; --fill events does without",
                 strerror(errno));
        if (tree >= 0)
            close(tree);
        if (device >= 0)
            close(device);
        return false;
    }
    if (!keep(p, slot, device, tree, first)) {
        snprintf(text, MOUNT_TEXT, "no descriptor left");
        return false;
    }
    worker_tell(p, WORKER_FD, slot, VAULT_INIT, pump_fd(p, slot, VAULT_INIT));
    worker_tell(p, WORKER_FD, slot, VAULT_FENCE, pump_fd(p, slot, VAULT_FENCE));
    pump_wake_worker(p);
    return true;
}

/* ---- mounting --------------------------------------------------------------------- */

/*
 * EROFS opens the files of the fence, which the worker has to answer: so that is not for
 * the pump to wait for, which starts workers. A child makes the mount and sends it.
 */

struct made {
    char text[MOUNT_TEXT];
};

static void send_made(int socket, int tree, const char *text)
{
    struct made made = {""};
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec part = {.iov_base = &made, .iov_len = sizeof made};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};

    snprintf(made.text, sizeof made.text, "%s", text);
    if (tree >= 0) {
        struct cmsghdr *c;

        h.msg_control = control;
        h.msg_controllen = sizeof control;
        c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof tree);
        memcpy(CMSG_DATA(c), &tree, sizeof tree);
    }
    (void)sendmsg(socket, &h, MSG_NOSIGNAL);
}

/* It keeps what it needs: were /dev/fuse among that, nobody could end its waiting there
 * by closing it. */
static void be_maker(struct pump *p, uint32_t slot, const struct mount_words *words,
                     int socket)
{
    char why[MOUNT_TEXT] = "";
    int tree;

    vault_keep_mount(p->vault, slot, socket);
    tree = kernel_make(p, slot, words, why);
    send_made(socket, tree, why);
    _exit(0);
}

bool fence_start(struct pump *p, uint32_t slot, const struct mount_options *o, char *text)
{
    struct pump_slot *s = &p->slots[slot];
    int pair[2];
    pid_t child;

    if (s->maker > 0)
        return true;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        snprintf(text, MOUNT_TEXT, "%s", strerror(errno));
        return false;
    }
    child = fork();
    if (child == 0)
        be_maker(p, slot, &o->words, pair[1]);
    close(pair[1]);
    if (child < 0 || !pump_watch(p, KIND_MAKER, slot, pair[0], EPOLLIN)) {
        snprintf(text, MOUNT_TEXT, "%s", strerror(errno));
        close(pair[0]);
        return false;
    }
    s->maker = pair[0];
    s->maker_pid = child;
    return true;
}

void fence_stop(struct pump *p, uint32_t slot)
{
    struct pump_slot *s = &p->slots[slot];

    if (s->maker <= 0)
        return;
    pump_unwatch(p, s->maker);
    close(s->maker);
    s->maker = 0;
    /* Waiting for an answer that a worker has begun, not even a signal ends it: only the
     * answer, or that the last descriptor of /dev/fuse is closed. */
    kill(s->maker_pid, SIGKILL);
    pump_orphan(p, s->maker_pid);
}

int fence_made(struct pump *p, uint32_t slot, char *text)
{
    struct pump_slot *s = &p->slots[slot];
    struct made made = {"the mount was not made"};
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec part = {.iov_base = &made, .iov_len = sizeof made};
    struct msghdr h = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof control};
    ssize_t n =
        s->maker > 0 ? recvmsg(s->maker, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) : -1;
    int tree = -1;

    if (n == (ssize_t)sizeof made) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);

        if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len >= CMSG_LEN(sizeof tree))
            memcpy(&tree, CMSG_DATA(c), sizeof tree);
    }
    fence_stop(p, slot);
    made.text[sizeof made.text - 1] = '\0';
    if (tree < 0)
        snprintf(text, MOUNT_TEXT, "%s", made.text);
    return tree;
}
