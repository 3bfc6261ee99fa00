/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a mount: wanted, prepared, live, ending. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/stat.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pump_own.h"

struct mount_slot *slot_at(const struct pump *p, uint32_t slot)
{
    return &p->table->slots[slot < MOUNTS_MAX ? slot : 0];
}

uint32_t slot_state(const struct pump *p, uint32_t slot)
{
    return atomic_load(&slot_at(p, slot)->state);
}

static void set_state(struct pump *p, uint32_t slot, uint32_t state)
{
    atomic_store(&slot_at(p, slot)->state, state);
}

bool slots_any(const struct pump *p)
{
    for (uint32_t i = 1; i < MOUNTS_MAX; i++) {
        if (slot_state(p, i) != MOUNT_FREE)
            return true;
    }
    return false;
}

uint32_t slot_of(const struct pump *p, const char *dir)
{
    for (uint32_t i = 1; i < MOUNTS_MAX; i++) {
        if (slot_state(p, i) != MOUNT_FREE &&
            atomic_load(&p->vault->slots[i].detached) == 0 &&
            strcmp(slot_at(p, i)->dir, dir) == 0)
            return i;
    }
    return 0;
}

/* ---- arguments ------------------------------------------------------------------- */

bool slot_options(const struct pump *p, uint32_t slot, struct mount_options *o,
                  char **memory, char ***argv)
{
    int fd = pump_fd(p, slot, VAULT_ARGS);
    struct stat st;
    int argc = 0;

    *memory = NULL;
    *argv = NULL;
    memset(o, 0, sizeof *o);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size > MOUNT_ARGS)
        return false;
    *memory = malloc((size_t)st.st_size + 1);
    if (!*memory || pread(fd, *memory, (size_t)st.st_size, 0) != st.st_size)
        return false;
    *argv = mount_arguments(*memory, (size_t)st.st_size, &argc);
    return *argv && mount_parse(o, argc, *argv);
}

void slot_options_free(struct mount_options *o, char *memory, char **argv)
{
    mount_options_free(o);
    free(argv);
    free(memory);
}

/* ---- from wanted to live --------------------------------------------------------- */

uint32_t slot_new(struct pump *p, const struct mount_options *o, int args)
{
    struct mount_slot *s;
    uint32_t i = 1;

    while (i < MOUNTS_MAX && slot_state(p, i) != MOUNT_FREE)
        i++;
    if (i == MOUNTS_MAX)
        return 0;
    s = slot_at(p, i);
    memset((char *)s + sizeof s->state, 0, sizeof *s - sizeof s->state);
    memset((char *)&p->vault->slots[i], 0, sizeof p->vault->slots[i]);
    s->number = atomic_fetch_add(&p->table->next_number, 1) + 1;
    s->via = o->via;
    s->since_sec = (uint64_t)time(NULL);
    s->timeout_ms = p->vault->slots[i].timeout_ms = o->c.timeout_ms;
    s->owner = (uint32_t)geteuid();
    snprintf(s->dir, sizeof s->dir, "%s", o->dir);
    snprintf(s->image, sizeof s->image, "%s", o->image);
    if (!vault_put(p->vault, i, VAULT_ARGS, 0, args))
        return 0;
    atomic_store(&p->vault->asked, 1);
    if (i >= atomic_load(&p->table->slots_high))
        atomic_store(&p->table->slots_high, i + 1);
    worker_tell(p, WORKER_FD, i, VAULT_ARGS, args);
    set_state(p, i, MOUNT_WANTED);
    pump_wake_worker(p);
    return i;
}

static void slot_free(struct pump *p, uint32_t slot)
{
    fence_stop(p, slot);
    kernel_release(p, slot);
    vault_drop(p->vault, slot);
    set_state(p, slot, MOUNT_FREE);
}

/* Why is in `text`; who asked hears it. */
static void slot_failed(struct pump *p, uint32_t slot, int exit_code, const char *text)
{
    struct mount_slot *s = slot_at(p, slot);

    pump_log("%s: %s", s->dir, text);
    control_answer_slot(p, slot, exit_code, text);
    slot_end(p, slot);
}

static void live(struct pump *p, uint32_t slot)
{
    set_state(p, slot, MOUNT_LIVE);
    pump_wake_worker(p);
    control_answer_slot(p, slot, EXIT_GOOD, "");
}

static bool fuse_mount(struct pump *p, uint32_t slot, const struct mount_options *o,
                       char *text)
{
    char source[MOUNT_PATH + MOUNT_NAME_MAX + 64];
    int fd = pump_fd(p, slot, VAULT_FUSE);

    if (fd >= 0)
        return true; /* waits for the kernel's first message to be answered */
    snprintf(source, sizeof source, "rafs:%s/%s.%u", p->vault->state, p->vault->name,
             slot_at(p, slot)->number);
    fd = pump_fuse_mount(o, source, text);
    if (fd < 0)
        return false;
    atomic_store(&p->vault->slots[slot].mount_id, mount_id_of(AT_FDCWD, o->dir));
    if (!vault_put(p->vault, slot, VAULT_FUSE, 0, fd)) {
        snprintf(text, MOUNT_TEXT, "%s: no descriptor left", o->dir);
        return false;
    }
    worker_tell(p, WORKER_FUSE, slot, VAULT_FUSE, fd);
    pump_wake_worker(p);
    return true;
}

/* Behind a fence: the mount comes from a child, later. */
static bool fence_mount(struct pump *p, uint32_t slot, const struct mount_options *o,
                        bool *live_now, char *text)
{
    *live_now = kernel_is_mounted(p, slot, o->dir);
    return kernel_take(p, slot, text) &&
           (*live_now || (fence_make(p, slot, text) && fence_start(p, slot, o, text)));
}

static bool mount_as(struct pump *p, uint32_t slot, const struct mount_options *o,
                     bool *live_now, char *text)
{
    *live_now = true;
    if (o->via == VIA_KERNEL && slot_at(p, slot)->fence)
        return fence_mount(p, slot, o, live_now, text);
    if (o->via == VIA_KERNEL)
        return kernel_mount(p, slot, o, text);
    if (!fuse_mount(p, slot, o, text))
        return false;
    *live_now = pump_fd(p, slot, VAULT_INIT) >= 0;
    return true;
}

static void mount_prepared(struct pump *p, uint32_t slot)
{
    char text[MOUNT_TEXT] = "its arguments cannot be read";
    struct mount_options o;
    char *memory, **argv;
    bool live_now = false;
    bool good = slot_options(p, slot, &o, &memory, &argv) &&
                mount_as(p, slot, &o, &live_now, text);

    slot_options_free(&o, memory, argv);
    if (!good)
        slot_failed(p, slot, EXIT_SOURCE, text);
    else if (live_now)
        live(p, slot);
}

/* Where to is in the arguments: in the table a worker could write another place. */
static bool attach_made(struct pump *p, uint32_t slot, int tree, char *text)
{
    struct mount_options o;
    char *memory, **argv;
    bool good = slot_options(p, slot, &o, &memory, &argv);

    if (good) {
        good = kernel_attach(p, slot, tree, o.dir, text);
    } else {
        snprintf(text, MOUNT_TEXT, "its arguments cannot be read");
        close(tree);
    }
    slot_options_free(&o, memory, argv);
    return good;
}

void slot_made(struct pump *p, uint32_t slot)
{
    char text[MOUNT_TEXT] = "";
    int tree = fence_made(p, slot, text);

    if (slot_state(p, slot) != MOUNT_PREPARED) {
        if (tree >= 0)
            close(tree);
    } else if (tree < 0 || !attach_made(p, slot, tree, text)) {
        slot_failed(p, slot, EXIT_SOURCE, text);
    } else {
        live(p, slot);
    }
}

/* ---- unmounting ------------------------------------------------------------------ */

/* Where it is. A worker can write there too, also between two looks of ours: what is
 * looked at has to be what is unmounted. */
static void dir_of(const struct pump *p, uint32_t slot, char dir[MOUNT_PATH])
{
    memcpy(dir, slot_at(p, slot)->dir, MOUNT_PATH);
    dir[MOUNT_PATH - 1] = '\0';
}

static bool is_at(const struct pump *p, uint32_t slot, const char *dir)
{
    uint64_t id = atomic_load(&p->vault->slots[slot].mount_id);

    return id != 0 && mount_id_of(AT_FDCWD, dir) == id;
}

static bool is_still_there(const struct pump *p, uint32_t slot)
{
    char dir[MOUNT_PATH];

    dir_of(p, slot, dir);
    return is_at(p, slot, dir);
}

static int unmount_now(const char *dir, bool fuse, bool lazy)
{
    if (fuse)
        return pump_fuse_umount(dir, lazy);
    return umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0 ? 0 : errno;
}

/*
 * In a child, which has no descriptors: who unmounts a file system waits for what is
 * being read there, and that may be waiting for a worker, which the pump starts. When it
 * takes so long, it is no longer in sight, and not busy.
 */
static int unmount_apart(struct pump *p, const char *dir, bool fuse, bool lazy)
{
    enum { WAIT_MS = 2000 };
    struct pollfd end = {.fd = -1, .events = POLLIN};
    siginfo_t info = {0};
    pid_t pid = fork();

    if (pid < 0)
        return errno;
    if (pid == 0) {
        syscall(SYS_close_range, 3U, ~0U, 0);
        _exit(unmount_now(dir, fuse, lazy));
    }
    end.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (end.fd >= 0) {
        while (poll(&end, 1, WAIT_MS) < 0 && errno == EINTR)
            ;
        close(end.fd);
    }
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | (end.fd >= 0 ? WNOHANG : 0)) == 0 &&
        info.si_pid == pid)
        return info.si_code == CLD_EXITED ? info.si_status : EINTR;
    pump_orphan(p, pid);
    return 0;
}

int slot_unmount(struct pump *p, uint32_t slot, bool lazy)
{
    char dir[MOUNT_PATH];
    int why;

    dir_of(p, slot, dir);
    if (!is_at(p, slot, dir))
        return ENOENT;
    why = unmount_apart(p, dir, pump_fd(p, slot, VAULT_FUSE) >= 0, lazy);
    if (why == 0)
        atomic_store(&p->vault->slots[slot].detached, 1);
    return why;
}

void slot_end(struct pump *p, uint32_t slot)
{
    uint32_t state = slot_state(p, slot);

    if (state == MOUNT_FREE || state == MOUNT_ENDING || state == MOUNT_ENDED)
        return;
    if (state == MOUNT_PREPARED && is_still_there(p, slot))
        slot_unmount(p, slot, true);
    control_answer_slot(p, slot, EXIT_SOURCE, "unmounted");
    set_state(p, slot, MOUNT_ENDING);
    p->again = true;
    pump_wake_worker(p);
}

static void ending(struct pump *p, uint32_t slot)
{
    events_slot_gone(p, slot);
    if (slot_state(p, slot) == MOUNT_ENDED || !worker_runs(p))
        slot_free(p, slot);
}

static void gone(struct pump *p, int watch)
{
    for (uint32_t i = 1; i < MOUNTS_MAX; i++) {
        struct kept_slot *k = &p->vault->slots[i];

        if (slot_state(p, i) == MOUNT_LIVE && atomic_load(&k->watch) == watch + 1)
            slot_end(p, i);
    }
}

void slots_gone(struct pump *p)
{
    char buffer[4096] __attribute__((aligned(8)));
    ssize_t n;

    while ((n = read(pump_fd(p, 0, VAULT_GONE), buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
            struct inotify_event *e = (void *)(buffer + at);

            if (e->mask & IN_UNMOUNT)
                gone(p, e->wd);
            at += (ssize_t)(sizeof *e + e->len);
        }
    }
}

/* Watches that the kernel still has; what a killed pump had read of them is lost. */
static bool has_watch(const struct pump *p, int watch)
{
    char path[64], line[512], want[32];
    bool found = false;
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pump_fd(p, 0, VAULT_GONE));
    snprintf(want, sizeof want, "inotify wd:%x ", (unsigned)watch);
    f = fopen(path, "re");
    if (!f)
        return true;
    while (!found && fgets(line, sizeof line, f))
        found = strncmp(line, want, strlen(want)) == 0;
    fclose(f);
    return found;
}

/* Its worker saw the end, and woke us. To keep /dev/fuse in the epoll set would do
 * without that, but wakes us at every request. */
static void fuse_look(struct pump *p, uint32_t slot)
{
    struct pollfd end = {.fd = pump_fd(p, slot, VAULT_FUSE)};

    if (end.fd >= 0 && poll(&end, 1, 0) == 1 && (end.revents & POLLERR))
        slot_end(p, slot);
}

/* ---- all of them ----------------------------------------------------------------- */

static void look_at(struct pump *p, uint32_t slot)
{
    struct mount_slot *s = slot_at(p, slot);
    char text[MOUNT_TEXT];

    switch (slot_state(p, slot)) {
    case MOUNT_PREPARED:
        worker_hear(p); /* what it sent before it said so */
        if (slot_state(p, slot) == MOUNT_PREPARED)
            mount_prepared(p, slot);
        break;
    case MOUNT_LIVE:
        if (s->via == VIA_KERNEL)
            kernel_look(p, slot);
        else
            fuse_look(p, slot);
        break;
    case MOUNT_FAILED:
        snprintf(text, sizeof text, "%.*s", (int)sizeof text - 1, s->text);
        control_answer_slot(p, slot, s->exit_code ? (int)s->exit_code : EXIT_SOURCE,
                            text);
        slot_free(p, slot);
        break;
    case MOUNT_ENDING:
    case MOUNT_ENDED:
        ending(p, slot);
        break;
    default:
        break;
    }
}

void slots_look(struct pump *p)
{
    for (uint32_t i = 1; i < MOUNTS_MAX; i++)
        look_at(p, i);
}

static void found(struct pump *p, uint32_t slot)
{
    struct kept_slot *k = &p->vault->slots[slot];
    int fuse = pump_fd(p, slot, VAULT_FUSE);
    char text[MOUNT_TEXT];

    if (slot_state(p, slot) != MOUNT_LIVE)
        return;
    if (fuse >= 0)
        fuse_look(p, slot);
    else if (!has_watch(p, atomic_load(&k->watch) - 1))
        slot_end(p, slot);
    else if (!kernel_take(p, slot, text))
        pump_log("%s: %s", slot_at(p, slot)->dir, text);
    else
        for (uint32_t i = 0; i < p->slots[slot].device_count; i++)
            p->slots[slot].devices[i].marked =
                atomic_load(&p->slots[slot].map->device[i].marked) != 0;
}

void slots_found(struct pump *p)
{
    for (uint32_t i = 1; i < MOUNTS_MAX; i++)
        found(p, i);
}
