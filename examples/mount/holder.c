/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair. Each has a pidfd of the other, and starts it anew when it is gone, before
 * anything else; the child shares the table of descriptors and the vault. A process that
 * is started goes back to pair_run(), so that no stack grows however often that happens.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "holder.h"

static volatile sig_atomic_t signalled;
static sigset_t outside;
static uint32_t generation; /* ours; another one may have taken over */

static void note_signal(int number)
{
    (void)number;
    signalled = 1;
}

bool holder_signalled(void)
{
    return signalled != 0;
}

const sigset_t *holder_signals(void)
{
    return &outside;
}

/* Blocked but in ppoll(), so that none comes between looking and waiting. */
static void take_signals(void)
{
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction action = {.sa_handler = note_signal};
    sigset_t blocked;

    sigemptyset(&blocked);
    sigemptyset(&outside);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        sigaction(ends[i], &action, NULL);
        sigaddset(&blocked, ends[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
}

/* As fork(), but descriptors are shared. The C library is not told: neither process has a
 * second thread. */
static pid_t fork_sharing(int *pidfd)
{
    struct clone_args args = {.flags = CLONE_FILES | CLONE_PIDFD,
                              .pidfd = (uintptr_t)pidfd,
                              .exit_signal = SIGCHLD};

    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static bool is_gone(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    return pidfd < 0 || poll(&p, 1, 0) != 0;
}

/* Not ours to wait for if its parent was another one. */
static void reap(int pidfd)
{
    siginfo_t info;

    if (pidfd >= 0)
        waitid((idtype_t)3 /* P_PIDFD */, (id_t)pidfd, &info, WEXITED | WNOHANG);
}

/* Without memory for a process there is nothing else to do than to try again. */
static void pause_a_little(void)
{
    struct timespec nap = {.tv_nsec = 5000000};

    nanosleep(&nap, NULL);
}

/* The holder closes nothing: the numbers are the pump's to give out. The old pidfd is
 * swept by the new pump. */
static enum role start_pump(struct vault *vault)
{
    pid_t pid;

    reap(vault->pump);
    while ((pid = fork_sharing(&vault->next_pump)) < 0)
        pause_a_little();
    vault->pump = vault->next_pump;
    return pid == 0 ? ROLE_PUMP : ROLE_HOLDER;
}

enum role holder_start(struct vault *vault)
{
    int before = vault->holder;
    pid_t pid;

    if (atomic_load(&vault->over) || !is_gone(before))
        return ROLE_PUMP;
    while ((pid = fork_sharing(&vault->next_holder)) < 0)
        pause_a_little();
    vault->holder = vault->next_holder;
    if (pid == 0)
        return ROLE_HOLDER;
    atomic_store(&vault->holder_pid, pid);
    reap(before);
    if (before >= 0)
        close(before);
    return ROLE_PUMP;
}

static void pass_on(struct vault *vault)
{
    uint64_t one = 1;
    int wake = vault_get(vault, 0, VAULT_WAKE_PUMP, 0);

    signalled = 0;
    atomic_store(&vault->leaving, 1);
    while (write(wake, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* After an upgrade the vault's numbers are those of another table of descriptors. */
static bool is_ours(const struct vault *vault)
{
    return atomic_load(&vault->generation) == generation;
}

enum role holder_main(struct vault *vault)
{
    struct pollfd p = {.fd = -1, .events = POLLIN};

    prctl(PR_SET_NAME, "rafs-holder");
    for (;;) {
        int pump = vault->pump;

        if (is_ours(vault))
            p.fd = pump;
        if (is_gone(p.fd)) {
            if (atomic_load(&vault->over) || !is_ours(vault)) {
                reap(p.fd);
                return ROLE_OVER;
            }
            if (start_pump(vault) == ROLE_PUMP)
                return ROLE_PUMP;
            continue;
        }
        ppoll(&p, 1, NULL, &outside);
        if (signalled)
            pass_on(vault);
    }
}

int pair_run(struct vault *vault)
{
    pid_t caller = getpid();
    enum role role = ROLE_HOLDER;
    int exit_code = EXIT_GOOD;

    take_signals();
    generation = atomic_load(&vault->generation);
    atomic_store(&vault->holder_pid, caller);
    while (role != ROLE_OVER)
        role = role == ROLE_HOLDER ? holder_main(vault) : pump_main(vault, &exit_code);
    if (getpid() != caller)
        _exit(exit_code);
    return (int)atomic_load(&vault->exit_code);
}
