/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one binary to the next, while readers wait at most.
 *
 *     old pump                             new process
 *     ends its worker
 *     takes no more requests and events
 *     fork, exec: all descriptors, with
 *     their numbers, are inherited         maps the vault, looks at its version
 *                                  ready ←
 *     generation + 1
 *                                     go → is the holder, starts its pump
 *                                     up ← the new pump, before it touches anything
 *     ends; and the old holder with it     the new pump goes on
 *
 * Up to `up` the old pair has all that it had; whatever goes wrong until then, it ends
 * the new one and goes on. The generation says whose the vault is if the old pump is
 * killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pump_own.h"

enum { STEP_MS = 20000, WORKER_S = 10, NOT_RUN = 127 };
static const char step_ready = 'r', step_go = 'g', step_up = 'u';

/* In the new binary, until its pump is there. */
static int arriving = -1;

static bool tell(int socket, char step)
{
    return send(socket, &step, 1, MSG_NOSIGNAL) == 1;
}

static bool await(int socket, char step)
{
    struct pollfd p = {.fd = socket, .events = POLLIN};
    char got = 0;
    int n;

    do
        n = poll(&p, 1, STEP_MS);
    while (n < 0 && errno == EINTR);
    return n == 1 && recv(socket, &got, 1, 0) == 1 && got == step;
}

/* ---- the old one ----------------------------------------------------------------- */

static void finish(struct pump *p, int exit_code, const char *text)
{
    if (p->upgrade_for > 0)
        control_say(p, p->upgrade_for - 1, exit_code, text);
    if (exit_code != EXIT_GOOD)
        pump_log("upgrade to %s: %s", p->upgrade_to, text);
    free(p->upgrade_to);
    p->upgrade_to = NULL;
    p->upgrade_for = 0;
}

void upgrade_want(struct pump *p, uint32_t connection, const char *binary)
{
    if (p->upgrade_to) {
        control_say(p, connection, EXIT_SOURCE, "another upgrade is under way");
    } else if (*binary != '/' || access(binary, X_OK) != 0) {
        control_say(p, connection, EXIT_SOURCE, "the binary cannot be run");
    } else if ((p->upgrade_to = strdup(binary)) == NULL) {
        control_say(p, connection, EXIT_SOURCE, "out of memory");
    } else {
        p->upgrade_for = connection + 1;
        p->upgrade_ns = pump_now() + WORKER_S * 1000000000ULL;
    }
}

static void become(struct pump *p, int socket)
{
    char vault[16], other[16];
    char *argv[] = {
        (char[]){"rafs"}, (char[]){"mount"}, (char[]){"--hold"}, vault, other, NULL};

    snprintf(vault, sizeof vault, "%d", pump_fd(p, 0, VAULT_VAULT));
    snprintf(other, sizeof other, "%d", socket);
    /* A group of its own, which can be ended together. */
    setsid();
    vault_inherit(p->vault, true);
    fcntl(socket, F_SETFD, 0);
    execv(p->upgrade_to, argv);
    _exit(NOT_RUN);
}

/* Whatever of it lives; when the socket has no other end, nothing does. */
static void end_group(pid_t pid, int socket)
{
    struct pollfd p = {.fd = socket};

    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    poll(&p, 1, STEP_MS);
}

/* NULL, or what went wrong; then all is as before. */
static const char *hand_over(struct pump *p, pid_t pid, int socket)
{
    struct vault *v = p->vault;
    int holder = v->holder, pump = v->pump, holder_pid = atomic_load(&v->holder_pid);

    if (!await(socket, step_ready)) {
        end_group(pid, socket);
        return "the new binary does not start, or is of another version; it is not "
               "replaced";
    }
    atomic_fetch_add(&v->generation, 1);
    if (tell(socket, step_go) && await(socket, step_up))
        return NULL;
    end_group(pid, socket);
    v->holder = holder;
    v->pump = pump;
    atomic_store(&v->holder_pid, holder_pid);
    atomic_store(&p->table->holder_pid, holder_pid);
    atomic_store(&p->table->pump_pid, getpid());
    atomic_fetch_sub(&v->generation, 1);
    return "the new binary does not take over; it is not replaced";
}

static void start(struct pump *p)
{
    const char *why = "no descriptors, or no memory";
    int ends[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        finish(p, EXIT_SOURCE, why);
        return;
    }
    pid = fork();
    if (pid == 0) {
        close(ends[0]);
        become(p, ends[1]);
    }
    close(ends[1]);
    if (pid > 0)
        why = hand_over(p, pid, ends[0]);
    close(ends[0]);
    finish(p, why ? EXIT_SOURCE : EXIT_GOOD, why ? why : "");
    if (!why)
        p->role = ROLE_OVER;
}

/* Mounts that are being made or ended are waited for: somebody waits for an answer. */
static bool is_quiet(const struct pump *p)
{
    for (uint32_t i = 1; i < MOUNTS_MAX; i++) {
        uint32_t state = slot_state(p, i);

        if (state != MOUNT_FREE && state != MOUNT_LIVE)
            return false;
    }
    return !worker_runs(p);
}

void upgrade_look(struct pump *p)
{
    if (!p->upgrade_to || p->role != ROLE_PUMP)
        return;
    if (is_quiet(p)) {
        start(p);
    } else if (pump_now() >= p->upgrade_ns) {
        p->upgrade_ns = UINT64_MAX;
        if (worker_runs(p))
            syscall(SYS_pidfd_send_signal, pump_fd(p, 0, VAULT_WORKER_PID), SIGKILL, NULL,
                    0);
        else
            finish(p, EXIT_SOURCE, "a mount takes too long to come or to go");
    }
}

/* ---- the new one ----------------------------------------------------------------- */

/* A later pump of this holder has the number too, which is another descriptor's by then.
 */
void upgrade_arrived(struct vault *vault)
{
    uint32_t generation = atomic_load(&vault->generation);
    int socket = arriving;

    arriving = -1;
    if (socket < 0 || atomic_load(&vault->arrived) == generation)
        return;
    tell(socket, step_up);
    atomic_store(&vault->arrived, generation);
    close(socket); /* the holder's too */
}

static int number(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    return *end == '\0' && n > 2 && n < INT32_MAX ? (int)n : -1;
}

static struct vault *take_vault(int fd)
{
    uint32_t head[2] = {0};
    struct vault *v;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0 || pread(fd, head, sizeof head, 0) != sizeof head ||
        head[0] != MOUNT_VERSION || head[1] != sizeof *v || st.st_size != sizeof *v)
        return NULL;
    v = mmap(NULL, sizeof *v, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return v == MAP_FAILED || vault_get(v, 0, VAULT_VAULT, 0) != fd ? NULL : v;
}

/* What this process has opened since exec(2) has other numbers than all that it got. */
int daemon_hold(int argc, char **argv)
{
    struct vault *v = argc == 4 ? take_vault(number(argv[2])) : NULL;
    int socket = argc == 4 ? number(argv[3]) : -1;
    uint32_t next;

    if (!v) {
        pump_log("mount --hold: not the vault of a daemon of this version");
        return EXIT_UNSUPPORTED;
    }
    vault_inherit(v, false);
    fcntl(socket, F_SETFD, FD_CLOEXEC);
    next = atomic_load(&v->generation) + 1;
    if (!tell(socket, step_ready))
        return EXIT_SOURCE;
    /* Killed between the two: what counts is the generation. */
    if (!await(socket, step_go) && atomic_load(&v->generation) != next)
        return EXIT_SOURCE;
    vault_note_foreign(v, socket);
    v->holder = (int)syscall(SYS_pidfd_open, getpid(), 0);
    v->pump = -1;
    arriving = socket;
    return pair_run(v);
}
