/* SPDX-License-Identifier: Apache-2.0 */
/* What a daemon begins with. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "mount_info.h"
#include "pump_own.h"

enum { FILES_WANTED = 262144 };

/* 16384 events are the kernel's limit otherwise, and what comes after them it lets
 * through without asking. */
static int make_group(void)
{
    return fanotify_init(FAN_CLASS_PRE_CONTENT | FAN_UNLIMITED_QUEUE |
                             FAN_UNLIMITED_MARKS | FAN_NONBLOCK | FAN_CLOEXEC,
                         O_RDONLY | O_LARGEFILE | O_CLOEXEC);
}

static int make_table(void)
{
    int fd = memfd_create("rafs-table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    uint32_t head[2] = {MOUNT_VERSION, sizeof(struct mount_table)};

    if (fd < 0)
        return -1;
    if (ftruncate(fd, sizeof(struct mount_table)) == 0 &&
        pwrite(fd, head, sizeof head, 0) == (ssize_t)sizeof head &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool keep(struct vault *v, uint32_t role, int fd)
{
    return fd >= 0 && vault_put(v, 0, role, 0, fd);
}

static bool make_all(struct vault *v, int listening)
{
    int group = make_group();

    if (group >= 0)
        keep(v, VAULT_GROUP, group); /* else: FUSE alone */
    v->holder = (int)syscall(SYS_pidfd_open, getpid(), 0);
    return v->holder >= 0 && keep(v, VAULT_TABLE, make_table()) &&
           keep(v, VAULT_WAKE_PUMP, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) &&
           keep(v, VAULT_WAKE_WORKER, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) &&
           keep(v, VAULT_GONE, inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) &&
           keep(v, VAULT_CONTROL, listening);
}

/* ---- what a dead one left -------------------------------------------------------- */

/* Its socket is there and nobody listens. One whose socket was removed may live. */
static bool is_dead(const struct vault *v, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int folder = open(v->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool dead = false;

    if (folder >= 0 && fd >= 0 &&
        snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s.sock",
                 folder, name) < (int)sizeof address.sun_path)
        dead = connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 &&
               errno == ECONNREFUSED;
    if (folder >= 0)
        close(folder);
    if (fd >= 0)
        close(fd);
    return dead;
}

/* Filled by events, it shows zeros where nothing was filled, and the kernel keeps them:
 * it goes out of sight before anybody sees more of them. Behind a fence there are errors;
 * but neither can be taken up again. */
static bool detach_dead(void *user, const struct mount_seen *seen)
{
    const struct vault *v = user;
    struct mount_top top;

    if (!seen->daemon || strcmp(seen->type, "erofs") != 0 ||
        (strcmp(seen->daemon, v->name) != 0 && !is_dead(v, seen->daemon)))
        return true;
    mount_info_at(v->state, seen->dir, &top);
    if (top.found == MOUNT_OURS && !top.fuse && strcmp(top.daemon, seen->daemon) == 0 &&
        top.number == seen->number &&
        umount2(seen->dir, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        pump_log("%s: its daemon was killed, holder and pump at once; what it had not "
                 "filled cannot be told from zeros: detached",
                 seen->dir);
    return true;
}

static void take_limits(struct vault *v)
{
    static const char never[] = "-1000";
    struct rlimit files;
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        ssize_t n = read(fd, v->oom_score, sizeof v->oom_score - 1);

        v->oom_score[n > 0 ? n : 0] = '\0';
        /* Not ours to have without privileges. */
        n = pwrite(fd, never, sizeof never - 1, 0);
        (void)n;
        close(fd);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    v->files_soft = files.rlim_cur;
    files.rlim_cur = FILES_WANTED;
    if (files.rlim_max < FILES_WANTED) {
        struct rlimit more = {FILES_WANTED, FILES_WANTED};

        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            return;
        files.rlim_cur = files.rlim_max;
    }
    setrlimit(RLIMIT_NOFILE, &files);
}

int daemon_run(const struct daemon_start *start)
{
    struct vault *v = vault_new();
    int code;

    if (!v) {
        pump_log("no daemon: %s", strerror(errno));
        return EXIT_SOURCE;
    }
    vault_note_foreign(v, start->listen);
    snprintf(v->state, sizeof v->state, "%s", start->state);
    snprintf(v->name, sizeof v->name, "%s", start->name);
    v->stay = start->stay;
    take_limits(v);
    if (!make_all(v, start->listen)) {
        pump_log("no daemon: %s", strerror(errno));
        return EXIT_SOURCE;
    }
    mount_info(v->state, detach_dead, v);
    code = pair_run(v);
    return code;
}
