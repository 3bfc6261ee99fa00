/* SPDX-License-Identifier: Apache-2.0 */
/* Requests, of root and of the daemon's own user. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pump_own.h"

struct request {
    struct control_request head;
    char payload[MOUNT_ARGS + 1];
};

static void answer(struct pump *p, uint32_t connection, const struct control_answer *a,
                   int fd)
{
    struct connection *c = &p->connections[connection];
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)a, .iov_len = sizeof *a};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        struct cmsghdr *m;

        h.msg_control = control;
        h.msg_controllen = sizeof control;
        m = CMSG_FIRSTHDR(&h);
        m->cmsg_level = SOL_SOCKET;
        m->cmsg_type = SCM_RIGHTS;
        m->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(m), &fd, sizeof fd);
    }
    if (sendmsg(c->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        control_close(p, connection); /* nobody waits for it any more */
}

void control_say(struct pump *p, uint32_t connection, int exit_code, const char *text)
{
    struct control_answer a = {.version = MOUNT_VERSION,
                               .exit_code = (uint32_t)exit_code};

    snprintf(a.text, sizeof a.text, "%s", text);
    answer(p, connection, &a, -1);
}

void control_answer_slot(struct pump *p, uint32_t slot, int exit_code, const char *text)
{
    struct control_answer a = {.version = MOUNT_VERSION,
                               .exit_code = (uint32_t)exit_code,
                               .slot = slot,
                               .number = slot_at(p, slot)->number};

    snprintf(a.text, sizeof a.text, "%s", text);
    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (p->connections[i].fd >= 0 && p->connections[i].slot == slot) {
            p->connections[i].slot = 0;
            answer(p, i, &a, -1);
        }
    }
}

void control_close(struct pump *p, uint32_t connection)
{
    struct connection *c = &p->connections[connection];
    uint32_t slot = c->slot;

    if (c->fd < 0)
        return;
    close(c->fd);
    c->fd = -1;
    c->slot = 0;
    if (p->upgrade_for == connection + 1)
        p->upgrade_for = 0;
    /* Who asked for it has gone before it was there. */
    if (slot != 0 && slot_state(p, slot) != MOUNT_LIVE)
        slot_end(p, slot);
}

static bool may_ask(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

void control_accept(struct pump *p)
{
    int fd = accept4(pump_fd(p, 0, VAULT_CONTROL), NULL, NULL, SOCK_CLOEXEC);
    uint32_t i = 0;

    if (fd < 0)
        return;
    while (i < CONNECTIONS_MAX && p->connections[i].fd >= 0)
        i++;
    if (i == CONNECTIONS_MAX || !may_ask(fd)) {
        close(fd);
        return;
    }
    p->connections[i] = (struct connection){.fd = fd};
    if (!pump_watch(p, KIND_CONNECTION, i, fd, EPOLLIN))
        control_close(p, i);
}

/* ---- what is asked --------------------------------------------------------------- */

/* Sealed: neither the worker nor anybody else changes it. */
static int keep_args(const char *payload, size_t len)
{
    int fd = memfd_create("rafs-args", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd >= 0 && write(fd, payload, len) == (ssize_t)len &&
        fcntl(fd, F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void want(struct pump *p, uint32_t connection, const struct mount_options *o,
                 int args)
{
    uint32_t slot;

    if (o->via != VIA_KERNEL && o->via != VIA_FUSE) {
        control_say(p, connection, EXIT_USAGE, "a request says --via kernel or fuse");
    } else if (slot_of(p, o->dir) != 0) {
        control_say(p, connection, EXIT_SOURCE, "this daemon has a mount there");
    } else if ((slot = slot_new(p, o, args)) == 0) {
        control_say(p, connection, EXIT_SOURCE, "no room for another mount");
    } else {
        p->connections[connection].slot = slot;
        return;
    }
    close(args);
}

static void do_mount(struct pump *p, uint32_t connection, struct request *r)
{
    struct mount_options o = {0};
    int args = keep_args(r->payload, r->head.length);
    int argc = 0;
    char **argv = mount_arguments(r->payload, r->head.length, &argc);

    if (args < 0)
        control_say(p, connection, EXIT_SOURCE, strerror(errno));
    else if (!argv || !mount_parse(&o, argc, argv) || !o.image || !o.dir ||
             *o.dir != '/' || strlen(o.dir) >= MOUNT_PATH ||
             strlen(o.image) >= MOUNT_PATH) {
        close(args);
        control_say(p, connection, EXIT_USAGE, "these are no arguments of rafs mount");
    } else {
        want(p, connection, &o, args);
    }
    mount_options_free(&o);
    free(argv);
}

static void do_umount(struct pump *p, uint32_t connection, const struct request *r)
{
    uint32_t slot = slot_of(p, r->payload);
    int why;

    if (slot == 0) {
        control_say(p, connection, EXIT_NO_PATH, "no mount of this daemon");
        return;
    }
    if (slot_state(p, slot) != MOUNT_LIVE) {
        slot_end(p, slot);
        control_say(p, connection, EXIT_GOOD, "");
        return;
    }
    why = slot_unmount(p, slot, (r->head.flags & CONTROL_LAZY) != 0);
    if (why == 0)
        control_say(p, connection, EXIT_GOOD, "");
    else if (why == ENOENT)
        control_say(p, connection, EXIT_SOURCE,
                    "something else is mounted over it, or it was moved");
    else if (why == EBUSY)
        control_say(p, connection, EXIT_SOURCE,
                    "in use; --lazy detaches it all the same");
    else
        control_say(p, connection, EXIT_SOURCE, strerror(why));
}

static void do_table(struct pump *p, uint32_t connection)
{
    struct control_answer a = {.version = MOUNT_VERSION};
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/proc/self/fd/%d", pump_fd(p, 0, VAULT_TABLE));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        control_say(p, connection, EXIT_SOURCE, strerror(errno));
        return;
    }
    answer(p, connection, &a, fd);
    close(fd);
}

/* The worker says when it is so. */
static void record(_Atomic uint32_t *recording, bool stop)
{
    uint32_t state = atomic_load(recording);

    while ((stop ? state == RECORD_WANTED || state == RECORD_ON
                 : state == RECORD_NO || state == RECORD_STOP) &&
           !atomic_compare_exchange_weak(recording, &state,
                                         stop ? RECORD_STOP : RECORD_WANTED))
        ;
}

static void do_record(struct pump *p, uint32_t connection, const struct request *r)
{
    uint32_t slot = slot_of(p, r->payload);
    struct control_answer a = {.version = MOUNT_VERSION, .slot = slot};

    if (slot == 0 || slot_state(p, slot) != MOUNT_LIVE) {
        control_say(p, connection, EXIT_NO_PATH, "no mount of this daemon");
        return;
    }
    a.number = slot_at(p, slot)->number;
    record(&slot_at(p, slot)->recording, (r->head.flags & CONTROL_STOP) != 0);
    pump_wake_worker(p);
    answer(p, connection, &a, -1);
}

static void do_end(struct pump *p, uint32_t connection, const struct request *r)
{
    bool lazy = (r->head.flags & CONTROL_LAZY) != 0;
    uint32_t busy = 0;

    for (uint32_t i = 1; i < MOUNTS_MAX; i++) {
        if (slot_state(p, i) == MOUNT_LIVE &&
            atomic_load(&p->vault->slots[i].detached) == 0)
            busy += slot_unmount(p, i, lazy) == EBUSY;
        else if (slot_state(p, i) != MOUNT_FREE && slot_state(p, i) != MOUNT_LIVE)
            slot_end(p, i);
    }
    if (busy > 0) {
        control_say(p, connection, EXIT_SOURCE,
                    "in use; --lazy detaches it all the same");
        return;
    }
    atomic_store(&p->vault->leaving, 1);
    control_say(p, connection, EXIT_GOOD, "");
}

static void handle(struct pump *p, uint32_t connection, struct request *r)
{
    switch (r->head.op) {
    case CONTROL_MOUNT:
        do_mount(p, connection, r);
        break;
    case CONTROL_UMOUNT:
        do_umount(p, connection, r);
        break;
    case CONTROL_TABLE:
        do_table(p, connection);
        break;
    case CONTROL_RECORD:
        do_record(p, connection, r);
        break;
    case CONTROL_UPGRADE:
        upgrade_want(p, connection, r->payload);
        break;
    case CONTROL_END:
        do_end(p, connection, r);
        break;
    default:
        control_say(p, connection, EXIT_UNSUPPORTED,
                    "this daemon does not know the request");
    }
}

void control_request(struct pump *p, uint32_t connection)
{
    static struct request r;
    ssize_t n =
        recv(p->connections[connection].fd, &r, sizeof r - 1, MSG_DONTWAIT | MSG_TRUNC);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < (ssize_t)sizeof r.head || n > (ssize_t)sizeof r - 1 ||
        r.head.length != (size_t)n - sizeof r.head) {
        control_close(p, connection);
        return;
    }
    r.payload[r.head.length] = '\0';
    if (r.head.version != MOUNT_VERSION)
        control_say(p, connection, EXIT_UNSUPPORTED,
                    "this daemon speaks another version: rafs mount --upgrade");
    else
        handle(p, connection, &r);
}
