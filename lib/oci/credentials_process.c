/* SPDX-License-Identifier: Apache-2.0 */
/* A program that is run, asked, and gone when we return, whatever it does. */
#include "oci/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLICE_MS = 20 };

static int fail_start(const struct helper_run *run, int os_errno, rafs_error *err)
{
    int code = os_errno == ENOMEM ? RAFS_E_NOMEM : RAFS_E_BACKEND;

    return rafsi_fail_os(err, code, RAFS_STAGE_FETCH, os_errno, run->object,
                         "cannot be run (errno %d)", os_errno);
}

/* A pipe whose ends are above 2: there they would be in the way of the child's own. */
static int make_pipe(int ends[2])
{
    int made[2];
    int os_errno = 0;

    if (pipe2(made, O_CLOEXEC) != 0)
        return errno;
    ends[0] = fcntl(made[0], F_DUPFD_CLOEXEC, 3);
    ends[1] = ends[0] < 0 ? -1 : fcntl(made[1], F_DUPFD_CLOEXEC, 3);
    if (ends[1] < 0) {
        os_errno = errno;
        if (ends[0] >= 0)
            close(ends[0]);
        ends[0] = -1;
    }
    close(made[0]);
    close(made[1]);
    return os_errno;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* In a group of its own, so that its children end with it, and with signals as a shell
 * would set them. */
static int spawn(const struct helper_run *run, int in, int out, pid_t *pid)
{
    char program[4096];
    char get[] = "get";
    char *const argv[] = {program, get, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int rc;

    memcpy(program, run->program, strlen(run->program) + 1);
    sigemptyset(&none);
    sigfillset(&all);
    rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attributes);
    if (rc != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return rc;
    }
    rc = posix_spawn_file_actions_adddup2(&actions, in, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, out, 1);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (rc == 0)
        rc = posix_spawnattr_setpgroup(&attributes, 0);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(&attributes, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(&attributes, &all);
    if (rc == 0)
        rc = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
                                                       POSIX_SPAWN_SETSIGMASK |
                                                       POSIX_SPAWN_SETSIGDEF);
    if (rc == 0)
        rc = posix_spawn(pid, program, &actions, &attributes, argv, run->environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static int fail_object(const struct helper_run *run, int rc, rafs_error *err)
{
    return rafsi_fail_object(err, rc, "%s", run->object);
}

static int check_call(const struct helper_run *run, rafs_error *err)
{
    return fail_object(run, rafsi_call_check(run->env, run->call, RAFS_STAGE_FETCH, err),
                       err);
}

/* All that it prints. The clock is the caller's, so we look at it in slices. */
static int read_answer(struct helper_run *run, int fd, rafs_error *err)
{
    for (;;) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};
        ssize_t got;
        int rc = check_call(run, err);

        if (rc < 0)
            return rc;
        if (poll(&waiting, 1, SLICE_MS) <= 0)
            continue;
        if (run->len == run->room) {
            char more;

            got = read(fd, &more, 1);
            if (got > 0)
                return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_FETCH, run->object,
                                  "prints more than %zu bytes", run->room);
        } else {
            got = read(fd, run->answer + run->len, run->room - run->len);
        }
        if (got == 0)
            return RAFS_OK;
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return fail_start(run, errno, err);
        run->len += got > 0 ? (size_t)got : 0;
    }
}

/* It may have closed its output and go on. */
static int reap(struct helper_run *run, pid_t pid, bool *reaped, rafs_error *err)
{
    int status = 0;
    int rc = RAFS_OK;

    while (rc == RAFS_OK) {
        pid_t got = waitpid(pid, &status, WNOHANG);

        if (got != 0 && !(got < 0 && errno == EINTR)) {
            /* A program that ignores or takes SIGCHLD leaves us no status. */
            run->failed = got > 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            *reaped = true;
            return RAFS_OK;
        }
        rc = check_call(run, err);
        if (rc == RAFS_OK)
            poll(NULL, 0, 1);
    }
    return rc;
}

int rafsi_helper_run(struct helper_run *run, rafs_error *err)
{
    int in[2] = {-1, -1};
    int out[2] = {-1, -1};
    size_t len = strlen(run->input);
    bool reaped = false;
    pid_t pid = -1;
    int os_errno = make_pipe(in);
    int rc;

    if (os_errno == 0)
        os_errno = make_pipe(out);
    /* All that it is told is in the pipe before it runs: so there is a reader (we), no
     * SIGPIPE, and nothing to wait for. */
    if (os_errno == 0 && (len > 4096 || write(in[1], run->input, len) != (ssize_t)len))
        os_errno = EIO;
    close_fd(&in[1]);
    if (os_errno == 0)
        os_errno = spawn(run, in[0], out[1], &pid);
    close_fd(&in[0]);
    close_fd(&out[1]);
    if (os_errno != 0) {
        close_fd(&out[0]);
        return fail_start(run, os_errno, err);
    }
    rc = read_answer(run, out[0], err);
    if (rc == RAFS_OK)
        rc = reap(run, pid, &reaped, err);
    if (!reaped) {
        kill(-pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    close_fd(&out[0]);
    return rc;
}
