/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons that are started, waited for and replaced. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "mount_run.h"
#include "pump.h"

/* ---- start ----------------------------------------------------------------------- */

static void point(int fd, int to)
{
    if (fd >= 0 && fd != to) {
        dup2(fd, to);
        close(fd);
    }
}

/* The background has no terminal; what it says goes where it can be read later. */
static void go_to_background(const char *state, const char *name)
{
    char path[PATH_MAX];

    setsid();
    snprintf(path, sizeof path, "%s/%s.log", state, name);
    point(open("/dev/null", O_RDWR | O_CLOEXEC), STDIN_FILENO);
    point(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), STDERR_FILENO);
    point(open("/dev/null", O_RDWR | O_CLOEXEC), STDOUT_FILENO);
    if (chdir("/") != 0)
        _exit(EXIT_SOURCE);
}

static void be_daemon(const struct daemon_start *start, bool foreground)
{
    int exit_code;

    if (!foreground)
        go_to_background(start->state, start->name);
    exit_code = daemon_run(start);
    _exit(exit_code);
}

bool mount_daemon_start(const char *state, const char *name, bool foreground)
{
    struct daemon_start start = {
        .listen = client_listen(state, name), .state = state, .name = name};
    pid_t pid, daemon;
    int status, why;

    if (start.listen < 0)
        return false;
    /* A child of init: nobody here has to wait for it. */
    pid = fork();
    if (pid == 0) {
        daemon = fork();
        if (daemon == 0)
            be_daemon(&start, foreground);
        _exit(daemon < 0 ? errno : 0);
    }
    why = pid < 0 ? errno : 0;
    close(start.listen);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid > 0 && why == 0 && status != 0)
        why = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
    errno = why;
    return why == 0;
}

/* ---- stay ------------------------------------------------------------------------ */

/* One datagram to the service manager, if there is one. Source: sd_notify(3). */
static void notify(const char *text)
{
    const char *to = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = to ? strlen(to) : 0;
    int fd;

    if (len < 2 || len >= sizeof address.sun_path || (*to != '/' && *to != '@'))
        return;
    memcpy(address.sun_path, to, len);
    if (*to == '@')
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    close(fd);
}

/* Is the mount still there? Over a connection that says so by its end, too: holder and
 * pump may start each other anew meanwhile. */
static bool is_served(const char *state, const char *name, const char *dir)
{
    int daemon = client_connect(state, name);
    const char *why;
    const struct mount_table *table = daemon < 0 ? NULL : client_table(daemon, &why);
    bool served = daemon >= 0 && (!table || client_slot(table, dir));

    client_table_free(table);
    if (daemon >= 0)
        close(daemon);
    return served;
}

/* Its exit code; EXIT_GOOD too if it is gone already: Ctrl-C reaches the daemon as well.
 */
static int ask_end(struct mount_options *o, const char *state, const char *name,
                   uint32_t flags, struct control_answer *answer)
{
    struct client_call call = {.op = CONTROL_UMOUNT,
                               .flags = flags,
                               .payload = o->dir,
                               .len = strlen(o->dir),
                               .wait_ms = 60000};
    int daemon = client_connect(state, name);
    bool told;

    if (daemon < 0)
        return EXIT_GOOD;
    told = client_tell(daemon, &call, answer);
    close(daemon);
    if (!told)
        return is_served(state, name, o->dir) ? EXIT_SOURCE : EXIT_GOOD;
    return answer->exit_code == EXIT_NO_PATH ? EXIT_GOOD : (int)answer->exit_code;
}

static void end_mount(struct mount_options *o, const char *state, const char *name)
{
    struct control_answer answer = {.text = "the daemon does not answer"};

    notify("STOPPING=1");
    if (ask_end(o, state, name, 0, &answer) == EXIT_GOOD)
        return;
    command_say(&o->c, EXIT_GOOD, "%s: %s", o->dir, answer.text);
    if (ask_end(o, state, name, CONTROL_LAZY, &answer) == EXIT_GOOD)
        command_say(&o->c, EXIT_GOOD, "%s: taken out of sight", o->dir);
    else
        command_say(&o->c, EXIT_SOURCE, "%s: it stays mounted: %s", o->dir, answer.text);
}

void mount_stay(struct mount_options *o, const char *state, const char *name)
{
    char status[MOUNT_PATH + 64];

    snprintf(status, sizeof status, "READY=1\nSTATUS=%.2000s by %s", o->dir,
             o->via == VIA_KERNEL ? "the kernel's EROFS" : "FUSE");
    notify(status);
    while (!command_stopped()) {
        if (!is_served(state, name, o->dir))
            return;
        poll(NULL, 0, 500);
    }
    end_mount(o, state, name);
}

/* ---- upgrade --------------------------------------------------------------------- */

/* The binary that is to take over, absolute. False: said why. */
static bool find_binary(struct mount_options *o, char *path)
{
    ssize_t len;

    if (o->binary && !realpath(o->binary, path)) {
        command_say(&o->c, EXIT_SOURCE, "%s: %s", o->binary, strerror(errno));
        return false;
    }
    if (!o->binary) {
        len = readlink("/proc/self/exe", path, PATH_MAX - 1);
        if (len < 0) {
            command_say(&o->c, EXIT_SOURCE, "/proc/self/exe: %s", strerror(errno));
            return false;
        }
        path[len] = '\0';
    }
    if (access(path, X_OK) == 0)
        return true;
    command_say(&o->c, EXIT_SOURCE, "%s: %s", path, strerror(errno));
    return false;
}

/* -1: there is none, said so. */
static int find_daemon(struct mount_options *o, const char *state)
{
    char *path = o->dir ? client_path(o->dir) : NULL;
    int daemon = o->daemon ? client_connect(state, o->daemon)
                 : path    ? client_find(&o->c, state, path)
                           : -1;

    if (daemon < 0 && o->daemon)
        command_say(&o->c, EXIT_SOURCE, "no daemon is called %s", o->daemon);
    else if (daemon < 0)
        command_say(&o->c, EXIT_SOURCE, "%s: not a mount of rafs", o->dir);
    free(path);
    return daemon;
}

void mount_upgrade(struct mount_options *o)
{
    char path[PATH_MAX];
    char *state = client_state_dir(&o->c);
    int daemon = state && find_binary(o, path) ? find_daemon(o, state) : -1;
    struct client_call call = {.op = CONTROL_UPGRADE, .payload = path, .wait_ms = 60000};
    struct control_answer answer;

    if (daemon >= 0) {
        call.len = strlen(path);
        if (client_ask(&o->c, daemon, &call, &answer, NULL) &&
            answer.exit_code != EXIT_GOOD)
            command_say(&o->c, (int)answer.exit_code, "%s", answer.text);
        close(daemon);
    }
    free(state);
}
