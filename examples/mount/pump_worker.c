/* SPDX-License-Identifier: Apache-2.0 */
/* Workers: started when there is something to do, and again when they die. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pump_own.h"
#include "worker.h"

enum {
    DEATHS_MAX = 5,           /* of workers that were opening one mount */
    PAUSE_FIRST_NS = 2000000, /* before the next one, if this one did nothing */
    PAUSE_LONGEST_NS = 1000000000,
    GOOD_NS = 2000000000 /* who lives so long does not die at once */
};

bool worker_runs(const struct pump *p)
{
    return pump_fd(p, 0, VAULT_WORKER_PID) >= 0;
}

/* ---- messages -------------------------------------------------------------------- */

bool worker_tell(struct pump *p, uint32_t op, uint32_t slot, uint32_t role, int fd)
{
    struct worker_message m = {.op = op, .slot = slot, .role = role};
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec part = {.iov_base = &m, .iov_len = sizeof m};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};
    int socket = pump_fd(p, 0, VAULT_WORKER);

    if (socket < 0)
        return false;
    if (fd >= 0) {
        struct cmsghdr *c;

        h.msg_control = control;
        h.msg_controllen = sizeof control;
        c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    if (sendmsg(socket, &h, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof m)
        return true;
    /* It does not read: another one finds all in its vault. */
    if (errno == EAGAIN)
        syscall(SYS_pidfd_send_signal, pump_fd(p, 0, VAULT_WORKER_PID), SIGKILL, NULL, 0);
    return false;
}

static int descriptor_of(struct msghdr *h)
{
    int fd = -1;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
            c->cmsg_len < CMSG_LEN(sizeof fd))
            continue;
        if (fd >= 0)
            close(fd);
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    }
    return fd;
}

/* What it gives is opened again with all that we may. A descriptor that can be had of any
 * file (O_PATH), or of one that may only be written, must not become one of its content,
 * and a pipe would make whoever opens it wait for ever. */
static bool is_its_own(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    if (flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_WRONLY &&
        fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return true;
    errno = EBADF;
    return false;
}

/* Only what a worker makes, and only while it is asked for. `fd` is taken. */
static void take_descriptor(struct pump *p, const struct worker_message *m, int fd)
{
    uint32_t state = m->slot > 0 && m->slot < MOUNTS_MAX ? slot_state(p, m->slot)
                                                         : (uint32_t)MOUNT_FREE;
    bool early = state == MOUNT_WANTED || state == MOUNT_PREPARED;
    char text[MOUNT_TEXT];

    if (m->role == VAULT_DEVICE && early) {
        if (!is_its_own(fd) || !kernel_device(p, m->slot, m->index, fd)) {
            snprintf(text, sizeof text, "device %u cannot be used: %s", m->index,
                     strerror(errno));
            control_answer_slot(p, m->slot, EXIT_SOURCE, text);
            slot_end(p, m->slot);
        }
    } else if (early &&
               (m->role == VAULT_META || m->role == VAULT_MAP || m->role == VAULT_INIT ||
                m->role == VAULT_LAYOUT) &&
               is_its_own(fd)) {
        vault_put(p->vault, m->slot, m->role, 0, fd);
        return;
    }
    close(fd);
}

static bool hear_one(struct pump *p, int socket)
{
    struct worker_message m;
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec part = {.iov_base = &m, .iov_len = sizeof m};
    /* Room for one: the kernel closes what more there is. */
    struct msghdr h = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t n = recvmsg(socket, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int fd;

    if (n <= 0)
        return false;
    fd = descriptor_of(&h);
    if (n == (ssize_t)sizeof m && m.op == WORKER_FD && fd >= 0)
        take_descriptor(p, &m, fd);
    else if (fd >= 0)
        close(fd);
    p->worker_live = true;
    return true;
}

void worker_hear(struct pump *p)
{
    int socket = pump_fd(p, 0, VAULT_WORKER);

    while (socket >= 0 && hear_one(p, socket))
        ;
}

/* ---- the end of one -------------------------------------------------------------- */

static void forget_socket(struct pump *p)
{
    int socket = pump_fd(p, 0, VAULT_WORKER);

    if (socket >= 0)
        pump_unwatch(p, socket);
    kept_close(&p->vault->slots[0].fd[VAULT_WORKER]);
}

/* Mounts that this one was opening: not for ever. */
static void count_deaths(struct pump *p)
{
    for (uint32_t i = 1; i < MOUNTS_MAX; i++) {
        uint32_t state = slot_state(p, i);

        if (state != MOUNT_WANTED && state != MOUNT_PREPARED)
            continue;
        if (atomic_fetch_add(&p->vault->slots[i].deaths, 1) + 1 < DEATHS_MAX)
            continue;
        control_answer_slot(p, i, EXIT_SOURCE, "the worker died each time it opened it");
        slot_end(p, i);
    }
}

/* Grows when a worker gets on, also where the pump sees nothing of it (FUSE). */
static uint64_t work_done(const struct pump *p)
{
    uint64_t sum = 0;

    for (uint32_t i = 1; i < MOUNTS_MAX; i++) {
        const struct mount_slot *s = slot_at(p, i);

        sum += atomic_load(&s->bytes_filled) + atomic_load(&s->fetched_bytes);
        sum += s->via == VIA_FUSE || s->fence ? atomic_load(&s->events) : 0;
    }
    return sum;
}

/* One that did something is replaced at once, others more and more slowly. */
static void plan_next(struct pump *p, bool orderly)
{
    uint64_t now = pump_now();

    if (work_done(p) != p->worker_work || now - p->worker_began_ns > GOOD_NS)
        p->worker_live = true;
    if (orderly || p->worker_live)
        p->worker_good_ns = now;
    if (orderly || p->worker_live) {
        p->worker_pause_ns = 0;
    } else if (p->worker_pause_ns == 0) {
        p->worker_pause_ns = PAUSE_FIRST_NS;
    } else if (p->worker_pause_ns < PAUSE_LONGEST_NS / 2) {
        p->worker_pause_ns *= 2;
    } else {
        p->worker_pause_ns = PAUSE_LONGEST_NS;
    }
    p->worker_next_ns = now + p->worker_pause_ns;
}

void worker_died(struct pump *p)
{
    int pidfd = pump_fd(p, 0, VAULT_WORKER_PID);
    siginfo_t info = {0};
    bool orderly;

    if (pidfd < 0)
        return;
    waitid((idtype_t)3 /* P_PIDFD */, (id_t)pidfd, &info, WEXITED | WNOHANG);
    orderly = info.si_pid != 0 && info.si_code == CLD_EXITED &&
              (info.si_status == WORKER_DONE || info.si_status == WORKER_STOPPED ||
               info.si_status == WORKER_AGAIN);
    if (info.si_pid != 0 && !orderly && info.si_code == CLD_EXITED)
        pump_log("worker %d ended with %d", (int)info.si_pid, info.si_status);
    worker_hear(p);
    forget_socket(p);
    pump_unwatch(p, pidfd);
    kept_close(&p->vault->slots[0].fd[VAULT_WORKER_PID]);
    atomic_store(&p->table->worker_pid, 0);
    events_worker_gone(p);
    if (!orderly)
        count_deaths(p);
    plan_next(p, orderly);
    p->worker_stops = false;
}

void worker_found(struct pump *p)
{
    int pidfd = pump_fd(p, 0, VAULT_WORKER_PID);

    /* What it sent may have been half heard. Without its pidfd it never began. */
    kept_close(&p->vault->slots[0].fd[VAULT_WORKER]);
    if (pidfd < 0)
        return;
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    pump_watch(p, KIND_WORKER_PID, 0, pidfd, EPOLLIN);
}

/* ---- the next one ---------------------------------------------------------------- */

static void put_back(const struct vault *vault)
{
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP};
    struct rlimit files;
    sigset_t none;
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        if (write(fd, vault->oom_score, strlen(vault->oom_score)) < 0) {
            /* The pump's then. */
        }
        close(fd);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && vault->files_soft != 0) {
        files.rlim_cur = vault->files_soft;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    /* It ends with the pump or when that says so: not with a terminal's Ctrl-C. */
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        signal(ends[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void be_worker(struct pump *p, struct vault *mine, int socket)
{
    struct mount_table *table = p->table;
    char go;

    prctl(PR_SET_NAME, "rafs-worker");
    vault_sweep(mine, socket);
    put_back(p->vault);
    munmap(p->vault, sizeof *p->vault);
    /* Not before a pidfd of ours is in the vault. */
    if (recv(socket, &go, 1, 0) != 1)
        _exit(WORKER_STOPPED);
    _exit(worker_run(mine, table, socket));
}

static bool begin(struct pump *p, pid_t pid, int socket)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

    if (pidfd < 0 || !vault_put(p->vault, 0, VAULT_WORKER_PID, 0, pidfd))
        return false;
    atomic_store(&p->table->worker_pid, pid);
    atomic_fetch_add(&p->table->workers, 1);
    pump_watch(p, KIND_WORKER_PID, 0, pidfd, EPOLLIN);
    pump_watch(p, KIND_WORKER, 0, socket, EPOLLIN);
    return send(socket, "g", 1, MSG_NOSIGNAL) == 1;
}

static bool start(struct pump *p)
{
    struct vault *mine = vault_for_worker(p->vault);
    int ends[2] = {-1, -1};
    pid_t pid = -1;

    p->worker_live = p->worker_stops = false;
    p->worker_began_ns = pump_now();
    p->worker_work = work_done(p);
    if (mine && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0) {
        vault_put(p->vault, 0, VAULT_WORKER, 0, ends[0]);
        pid = fork();
        if (pid == 0)
            be_worker(p, mine, ends[1]);
        close(ends[1]);
    }
    vault_free(mine);
    if (pid > 0 && begin(p, pid, ends[0]))
        return true;
    pump_log("no worker: %s", strerror(errno));
    if (pid > 0 && !worker_runs(p)) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (!worker_runs(p))
        forget_socket(p);
    return false;
}

static bool is_busy(const struct pump *p, uint32_t slot)
{
    const struct mount_slot *s = slot_at(p, slot);

    switch (slot_state(p, slot)) {
    case MOUNT_WANTED:
        return true;
    case MOUNT_PREPARED:
    case MOUNT_LIVE:
        return s->via == VIA_FUSE || atomic_load(&s->complete) == 0 ||
               atomic_load(&s->recording) != 0;
    default:
        return false;
    }
}

static bool is_needed(const struct pump *p)
{
    if (events_waiting(p))
        return true;
    for (uint32_t i = 1; i < MOUNTS_MAX; i++) {
        if (is_busy(p, i))
            return true;
    }
    return false;
}

/* A mount of which the worker that runs keeps what was learnt, before it says that it has
 * ended; that may take the disk seconds. No worker is started for it. */
static bool is_ending(const struct pump *p)
{
    for (uint32_t i = 1; i < MOUNTS_MAX; i++) {
        if (slot_state(p, i) == MOUNT_ENDING)
            return true;
    }
    return false;
}

void worker_look(struct pump *p)
{
    bool needed = is_needed(p);
    bool stays = needed || is_ending(p);

    /* No new one before an upgrade is over. */
    if (p->upgrade_to)
        needed = stays = false;
    p->worker_awaited = false;
    if (worker_runs(p)) {
        if (!stays && !p->worker_stops && pump_fd(p, 0, VAULT_WORKER) >= 0)
            p->worker_stops = worker_tell(p, WORKER_STOP, 0, 0, -1);
        return;
    }
    if (needed && pump_now() >= p->worker_next_ns) {
        refuse_look(p);
        if (!start(p))
            plan_next(p, false);
    }
    p->worker_awaited = needed && !worker_runs(p);
}
