/* SPDX-License-Identifier: Apache-2.0 */
/* The pump's loop: it waits for all at once, and blocks nowhere else. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pump_own.h"

enum { EVENTS_AT_ONCE = 64, WAIT_FIRST_S = 60 };

uint64_t pump_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

void pump_log(const char *format, ...)
{
    char line[MOUNT_PATH + MOUNT_TEXT];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n > 0)
        fprintf(stderr, "rafs: %s\n", line);
}

bool pump_watch(struct pump *p, enum pump_kind kind, uint32_t index, int fd,
                uint32_t events)
{
    struct epoll_event e = {.events = events, .data.u64 = (uint64_t)kind << 32 | index};

    return fd >= 0 && epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* Before it is closed: others may have the same file. */
void pump_unwatch(struct pump *p, int fd)
{
    epoll_ctl(p->epoll, EPOLL_CTL_DEL, fd, NULL);
}

int pump_fd(const struct pump *p, uint32_t slot, uint32_t role)
{
    return vault_get(p->vault, slot, role, 0);
}

void pump_wake_worker(struct pump *p)
{
    uint64_t one = 1;
    ssize_t n = write(pump_fd(p, 0, VAULT_WAKE_WORKER), &one, sizeof one);

    (void)n; /* full: it is awake */
}

static void reap_orphans(struct pump *p)
{
    for (size_t i = 0; i < ORPHANS_MAX; i++) {
        if (p->orphans[i] > 0 && waitpid(p->orphans[i], NULL, WNOHANG) != 0)
            p->orphans[i] = 0;
    }
}

/* One too many stays a zombie until the pump ends. */
void pump_orphan(struct pump *p, pid_t pid)
{
    size_t i = 0;

    reap_orphans(p);
    while (i < ORPHANS_MAX && p->orphans[i] > 0)
        i++;
    if (i < ORPHANS_MAX)
        p->orphans[i] = pid;
}

/* ---- one round ------------------------------------------------------------------- */

static void drain(int fd)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);

    (void)n;
}

static void show_holder(struct pump *p)
{
    int32_t pid = atomic_load(&p->vault->holder_pid);

    if (atomic_exchange(&p->table->holder_pid, pid) != pid)
        atomic_fetch_add(&p->table->holders, 1);
}

static void look_for_holder(struct pump *p)
{
    int before = p->vault->holder;

    p->role = holder_start(p->vault);
    if (p->role != ROLE_PUMP || p->vault->holder == before)
        return;
    pump_watch(p, KIND_HOLDER, 0, p->vault->holder, EPOLLIN);
    show_holder(p);
}

static void dispatch(struct pump *p, const struct epoll_event *e)
{
    uint32_t index = (uint32_t)e->data.u64;

    switch ((enum pump_kind)(e->data.u64 >> 32)) {
    case KIND_WAKE:
        drain(pump_fd(p, 0, VAULT_WAKE_PUMP));
        break;
    case KIND_CONTROL:
        control_accept(p);
        break;
    case KIND_CONNECTION:
        control_request(p, index);
        break;
    case KIND_GROUP:
        events_read(p);
        break;
    case KIND_HOLDER:
        break; /* before all others */
    case KIND_WORKER:
        worker_hear(p);
        /* Its end: the pidfd says the same, soon. */
        if (e->events & (EPOLLHUP | EPOLLERR))
            pump_unwatch(p, pump_fd(p, 0, VAULT_WORKER));
        break;
    case KIND_WORKER_PID:
        worker_died(p);
        break;
    case KIND_GONE:
        slots_gone(p);
        break;
    case KIND_MAKER:
        slot_made(p, index);
        break;
    }
}

static int timeout_ms(const struct pump *p)
{
    uint64_t now = pump_now(), next = p->deadline_ns;

    if (p->again)
        return 0;
    if (p->worker_awaited && p->worker_next_ns < next)
        next = p->worker_next_ns;
    if (p->wait_ns < next)
        next = p->wait_ns;
    if (p->upgrade_to && p->upgrade_ns < next)
        next = p->upgrade_ns;
    if (next == UINT64_MAX)
        return -1;
    if (next <= now)
        return 0;
    next = (next - now) / 1000000 + 1;
    return next < 60000 ? (int)next : 60000;
}

/* All mounts: who is busy is detached, and served until it leaves. */
static void leave(struct pump *p)
{
    for (uint32_t i = 1; i < MOUNTS_MAX; i++) {
        uint32_t state = slot_state(p, i);

        if (state == MOUNT_WANTED || state == MOUNT_PREPARED)
            slot_end(p, i);
        else if (state == MOUNT_LIVE && atomic_load(&p->vault->slots[i].detached) == 0 &&
                 slot_unmount(p, i, false) == EBUSY)
            slot_unmount(p, i, true);
    }
}

static bool is_connected(const struct pump *p)
{
    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (p->connections[i].fd >= 0)
            return true;
    }
    return false;
}

static bool is_over(struct pump *p)
{
    struct vault *v = p->vault;

    if (holder_signalled())
        atomic_store(&v->leaving, 1);
    if (atomic_load(&v->leaving))
        leave(p);
    if (atomic_load(&v->asked))
        p->wait_ns = UINT64_MAX;
    if (slots_any(p))
        return false;
    if (atomic_load(&v->leaving))
        return true;
    if (v->stay || is_connected(p))
        return false;
    return atomic_load(&v->asked) || pump_now() >= p->wait_ns;
}

static void look(struct pump *p)
{
    p->again = false;
    reap_orphans(p);
    events_look(p);
    slots_look(p);
    worker_look(p);
    upgrade_look(p);
}

static void sleep_until(struct pump *p)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int n =
        epoll_pwait(p->epoll, events, EVENTS_AT_ONCE, timeout_ms(p), holder_signals());

    look_for_holder(p);
    for (int i = 0; i < n && p->role == ROLE_PUMP; i++)
        dispatch(p, &events[i]);
}

/* ---- first and last -------------------------------------------------------------- */

static void watch_common(struct pump *p)
{
    pump_watch(p, KIND_HOLDER, 0, p->vault->holder, EPOLLIN);
    pump_watch(p, KIND_WAKE, 0, pump_fd(p, 0, VAULT_WAKE_PUMP), EPOLLIN);
    pump_watch(p, KIND_CONTROL, 0, pump_fd(p, 0, VAULT_CONTROL), EPOLLIN);
    pump_watch(p, KIND_GONE, 0, pump_fd(p, 0, VAULT_GONE), EPOLLIN);
}

static bool begin(struct pump *p)
{
    int table = vault_get(p->vault, 0, VAULT_TABLE, 0);

    p->table = mmap(NULL, sizeof *p->table, PROT_READ | PROT_WRITE, MAP_SHARED, table, 0);
    if (p->table == MAP_FAILED)
        return false;
    atomic_store(&p->table->pump_pid, getpid());
    atomic_fetch_add(&p->table->pumps, 1);
    show_holder(p);
    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++)
        p->connections[i].fd = -1;
    upgrade_arrived(p->vault);
    p->wait_ns = pump_now() + WAIT_FIRST_S * 1000000000ULL;
    /* Who is who; then what was read and not entered. Descriptors of that are in no entry
     * yet, so nothing is opened that could take a number, and nothing swept, before. */
    slots_found(p);
    events_start(p);
    vault_sweep(p->vault, -1);
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (p->epoll < 0)
        return false;
    watch_common(p);
    refuse_found(p);
    p->worker_good_ns = pump_now();
    worker_found(p);
    return true;
}

/* Memory alone: the descriptors are the other one's too. */
static void forget(struct pump *p)
{
    for (uint32_t i = 0; i < MOUNTS_MAX; i++) {
        if (p->slots[i].map)
            munmap(p->slots[i].map, p->slots[i].map_len);
        free(p->slots[i].devices);
    }
    free(p->places);
    free(p->upgrade_to);
    if (p->table && p->table != MAP_FAILED)
        munmap(p->table, sizeof *p->table);
    free(p);
}

static void remove_socket(const struct vault *v)
{
    char path[MOUNT_PATH + MOUNT_NAME_MAX + 32];

    snprintf(path, sizeof path, "%s/%s.sock", v->state, v->name);
    unlink(path);
    /* What it said went to who asked; a daemon that dies leaves it behind. */
    snprintf(path, sizeof path, "%s/%s.log", v->state, v->name);
    unlink(path);
}

enum role pump_main(struct vault *vault, int *exit_code)
{
    struct pump *p;
    enum role role;

    prctl(PR_SET_NAME, "rafs-pump");
    while ((p = calloc(1, sizeof *p)) == NULL)
        sleep(1); /* as long as we live, readers wait */
    p->vault = vault;
    p->role = ROLE_PUMP;
    if (!begin(p)) {
        pump_log("pump: %s", strerror(errno));
        _exit(EXIT_SOURCE); /* and the holder tries again */
    }
    for (look(p); p->role == ROLE_PUMP && !is_over(p); look(p)) {
        sleep_until(p);
        if (p->role != ROLE_PUMP)
            break;
    }
    role = p->role;
    if (role == ROLE_PUMP) { /* and not handed over */
        remove_socket(vault);
        atomic_store(&vault->over, 1);
        *exit_code = EXIT_GOOD;
        role = ROLE_OVER;
    }
    forget(p);
    return role;
}
