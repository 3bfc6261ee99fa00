/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from the pump and goes there: messages, descriptors. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "worker.h"

/* ---- messages -------------------------------------------------------------------- */

bool worker_say(struct worker *worker, const struct worker_message *message, int fd)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.room = {0}};
    struct iovec part = {(void *)(uintptr_t)message, sizeof *message};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t n;

    if (fd >= 0) {
        struct cmsghdr *c;

        header.msg_control = control.room;
        header.msg_controllen = sizeof control.room;
        c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    do
        n = sendmsg(worker->socket, &header, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *message;
}

bool worker_send(struct served *served, uint32_t role, uint32_t index, int fd)
{
    struct worker_message message = {WORKER_FD, served->slot, role, index};

    return worker_say(served->worker, &message, fd);
}

static int *place_of(struct slot_fds *fds, uint32_t role)
{
    switch (role) {
    case VAULT_ARGS:
        return &fds->args;
    case VAULT_META:
        return &fds->meta;
    case VAULT_LAYOUT:
        return &fds->layout;
    case VAULT_FENCE:
        return &fds->fence;
    case VAULT_MAP:
        return &fds->map;
    case VAULT_FUSE:
        return &fds->fuse;
    case VAULT_INIT:
        return &fds->init;
    default:
        return NULL;
    }
}

struct file_id worker_file_id(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? (struct file_id){st.st_dev, st.st_ino}
                               : (struct file_id){0, 0};
}

void worker_forget_fds(struct worker *worker, uint32_t slot)
{
    static const uint32_t roles[] = {VAULT_ARGS, VAULT_META, VAULT_LAYOUT, VAULT_MAP,
                                     VAULT_FUSE, VAULT_INIT, VAULT_FENCE};

    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        int *fd = place_of(&worker->fds[slot], roles[i]);

        if (*fd >= 0)
            close(*fd);
        *fd = -1;
    }
    free(worker->fds[slot].files);
    worker->fds[slot].files = NULL;
    worker->fds[slot].file_count = 0;
}

static void take_fd(struct worker *worker, const struct worker_message *message, int fd)
{
    uint32_t role = message->op == WORKER_FUSE ? (uint32_t)VAULT_FUSE : message->role;
    int *place =
        message->slot < MOUNTS_MAX ? place_of(&worker->fds[message->slot], role) : NULL;

    if (!place) {
        close(fd);
        return;
    }
    /* What was here before belonged to a mount that ended. */
    if (role == VAULT_ARGS && !worker->served[message->slot])
        worker_forget_fds(worker, message->slot);
    if (*place >= 0)
        close(*place);
    *place = fd;
}

/* One message. False: there is none. *gone: nor will there be. */
bool worker_hear_pump(struct worker *worker, bool *stop)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct worker_message message;
    struct iovec part = {&message, sizeof message};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.room,
                            .msg_controllen = sizeof control.room};
    ssize_t n = recvmsg(worker->socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&header);
    int fd = -1;

    if (n < 0) {
        *stop = *stop || (errno != EAGAIN && errno != EINTR);
        return errno == EINTR;
    }
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len >= CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    if (n == 0 || (n == (ssize_t)sizeof message && message.op == WORKER_STOP))
        *stop = true;
    else if (n == (ssize_t)sizeof message && fd >= 0)
        take_fd(worker, &message, fd);
    else if (fd >= 0)
        close(fd);
    return !*stop;
}

/* ---- what was there before this process ------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

/* Close all but these. */
static void close_others(int *keep, size_t count)
{
    unsigned from = 3;

    qsort(keep, count, sizeof *keep, by_number);
    for (size_t i = 0; i < count; i++) {
        unsigned fd = (unsigned)keep[i];

        if (keep[i] < (int)from)
            continue;
        if (fd > from)
            (void)close_range(from, fd - 1, 0);
        from = fd + 1;
    }
    (void)close_range(from, ~0u, 0);
}

/* Of a mount that is there: which files its devices are. */
static bool take_files(struct worker *worker, const struct vault *vault, uint32_t slot)
{
    struct slot_fds *fds = &worker->fds[slot];
    uint32_t count = worker->table->slots[slot].devices;

    if (fds->map < 0 || count == 0 || count > MOUNT_DEVICES_MAX)
        return true;
    fds->files = calloc(count, sizeof *fds->files);
    if (!fds->files)
        return false;
    fds->file_count = count;
    for (uint32_t i = 0; i < count; i++)
        fds->files[i] = worker_file_id(vault_get(vault, slot, VAULT_FILE, i));
    return true;
}

/* The descriptors of mounts that were there before this process. The vault holds more:
 * what answers the kernel is none of a worker's business. */
bool worker_take_vault(struct worker *worker, const struct vault *vault)
{
    static const uint32_t roles[] = {VAULT_ARGS, VAULT_META, VAULT_LAYOUT, VAULT_MAP,
                                     VAULT_FUSE, VAULT_INIT, VAULT_FENCE};
    enum { ROLES = sizeof roles / sizeof *roles };
    int *keep = malloc((3 + MOUNTS_MAX * ROLES) * sizeof *keep);
    size_t count = 0;

    if (!keep)
        return false;
    worker->wake_pump = vault_get(vault, 0, VAULT_WAKE_PUMP, 0);
    worker->wake_worker = vault_get(vault, 0, VAULT_WAKE_WORKER, 0);
    keep[count++] = worker->socket;
    keep[count++] = worker->wake_pump;
    keep[count++] = worker->wake_worker;
    for (uint32_t i = 0; i < MOUNTS_MAX; i++)
        for (size_t r = 0; r < ROLES; r++) {
            int fd = atomic_load(&worker->table->slots[i].state) == MOUNT_FREE
                         ? -1
                         : vault_get(vault, i, roles[r], 0);

            *place_of(&worker->fds[i], roles[r]) = fd;
            if (fd >= 0)
                keep[count++] = fd;
        }
    for (uint32_t i = 0; i < MOUNTS_MAX; i++)
        if (!take_files(worker, vault, i)) {
            free(keep);
            return false;
        }
    closelog();
    command_stop(); /* its token is a descriptor, too */
    close_others(keep, count);
    free(keep);
    return command_start();
}
