/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's main thread: it looks at the slots and starts what they ask for. */
#include "worker_fence.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum {
    DONE_MS = 1000,  /* so long nothing to do, and it leaves */
    RETRY_MS = 1000, /* a mount that could not be taken up is tried again */
    FIRST_BYTES = 64 * 1024,
    STOP_S = 2 /* for threads to give back what they have */
};

uint64_t worker_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct mount_slot *worker_slot(const struct served *served)
{
    return &served->worker->table->slots[served->slot];
}

static void ring(int fd)
{
    uint64_t one = 1;

    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void worker_wake_pump(struct worker *worker)
{
    ring(worker->wake_pump);
}

void worker_look_again(struct worker *worker)
{
    ring(worker->wake_worker);
}

bool worker_thread(void *(*run)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    bool good;

    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, WORKER_STACK);
    good = pthread_create(&thread, &attributes, run, argument) == 0;
    pthread_attr_destroy(&attributes);
    return good;
}

/* ---- messages -------------------------------------------------------------------- */

static bool send_message(struct worker *worker, const struct worker_message *message,
                         int fd)
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

    return send_message(served->worker, &message, fd);
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

static void forget_fds(struct worker *worker, uint32_t slot)
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
        forget_fds(worker, message->slot);
    if (*place >= 0)
        close(*place);
    *place = fd;
}

/* One message. False: there is none. *gone: nor will there be. */
static bool receive(struct worker *worker, bool *stop)
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

/* ---- life of a mount ------------------------------------------------------------- */

static void tell_pump(struct worker *worker, uint32_t slot)
{
    struct worker_message message = {WORKER_PREPARED, slot, 0, 0};

    (void)send_message(worker, &message, -1);
    worker_wake_pump(worker);
}

/* From a state that is the worker's to end. */
static bool move_slot(struct mount_slot *slot, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(&slot->state, &from, to);
}

/* Its descriptors go with it, unless it is to be opened again. Once the pump is told that
 * it has ended, the slot may be another mount's. */
static void drop(struct served *served, bool for_good)
{
    struct worker *worker = served->worker;

    pthread_mutex_lock(&worker->lock);
    worker->served[served->slot] = NULL;
    if (for_good)
        forget_fds(worker, served->slot);
    pthread_mutex_unlock(&worker->lock);
    served_free(served);
}

static void could_not_open(struct served *served)
{
    struct worker *worker = served->worker;
    struct mount_slot *slot = worker_slot(served);
    uint32_t number = served->slot;
    bool mounted = served->once_more;

    worker_log(served, LOG_ERR, "%s: %s: %s%s", slot->dir, slot->image, slot->text,
               mounted ? "; it is tried again" : "");
    if (mounted) /* its readers wait */
        (void)fill_wait_ms(served, RETRY_MS, 0);
    drop(served, !mounted);
    if (!mounted && move_slot(slot, MOUNT_WANTED, MOUNT_FAILED))
        tell_pump(worker, number);
    worker_look_again(worker);
}

static void *open_one(void *argument)
{
    struct served *served = argument;
    struct worker *worker = served->worker;
    struct mount_slot *slot = worker_slot(served);

    if (!served_open(served)) {
        could_not_open(served);
        return NULL;
    }
    ahead_begin(served);
    pthread_mutex_lock(&worker->lock);
    if (served->state == SERVED_OPENING)
        served->state = SERVED_OPEN;
    pthread_cond_broadcast(&worker->ended);
    pthread_mutex_unlock(&worker->lock);
    if (!served->once_more && move_slot(slot, MOUNT_WANTED, MOUNT_PREPARED))
        tell_pump(worker, served->slot);
    worker_look_again(worker);
    return NULL;
}

/* The arguments were not understood. */
static void could_not_begin(struct worker *worker, uint32_t i)
{
    struct mount_slot *slot = &worker->table->slots[i];

    if (!slot->exit_code)
        slot->exit_code = EXIT_SOURCE;
    if (move_slot(slot, MOUNT_WANTED, MOUNT_FAILED))
        tell_pump(worker, i);
}

/* Its arguments are read; nothing is opened. */
static struct served *meet(struct worker *worker, uint32_t slot)
{
    struct served *served = served_new(worker, slot);

    if (!served)
        could_not_begin(worker, slot);
    worker->served[slot] = served;
    return served;
}

static void begin(struct served *served)
{
    served->state = SERVED_OPENING;
    if (!worker_thread(open_one, served))
        open_one(served);
}

/* In a thread of its own, for it waits. */
static void *close_one(void *argument)
{
    struct served *served = argument;
    struct worker *worker = served->worker;
    struct mount_slot *slot = worker_slot(served);
    uint32_t number = served->number;

    pthread_mutex_lock(&worker->lock);
    while (served->running > 0)
        pthread_cond_wait(&worker->ended, &worker->lock);
    pthread_mutex_unlock(&worker->lock);
    ahead_end(served);
    fuse_service_stop(served->fuse);
    served->fuse = NULL;
    ahead_keep(served);
    fence_end(served);
    drop(served, true);
    if (slot->number == number && move_slot(slot, MOUNT_ENDING, MOUNT_ENDED))
        worker_wake_pump(worker);
    worker_look_again(worker);
    return NULL;
}

static void end(struct served *served)
{
    struct worker *worker = served->worker;
    bool opening;

    rafs_cancel_fire(served->cancel);
    pthread_mutex_lock(&worker->lock);
    opening = served->state == SERVED_OPENING;
    if (!opening)
        served->state = SERVED_CLOSING;
    pthread_cond_broadcast(&worker->ended);
    pthread_mutex_unlock(&worker->lock);
    /* Who opens comes back soon, and looks again. */
    if (!opening && !worker_thread(close_one, served))
        close_one(served);
}

/*
 * The kernel's first message, which every worker has to answer. It is read straight into
 * a file that the pump has already, so that no worker can die with it.
 */
static bool read_first(struct served *served, int device)
{
    int *init = &served->worker->fds[served->slot].init;
    struct pollfd waiting = {.fd = device, .events = POLLIN};
    void *room;
    ssize_t n;

    if (*init < 0) {
        int fd = memfd_create("rafs-fuse-init", MFD_CLOEXEC);

        if (fd < 0 || ftruncate(fd, FIRST_BYTES) != 0 ||
            !worker_send(served, VAULT_INIT, 0, fd)) {
            if (fd >= 0)
                close(fd);
            return false;
        }
        *init = fd;
    }
    room = mmap(NULL, FIRST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, *init, 0);
    if (room == MAP_FAILED)
        return false;
    /* A message begins with its length. */
    n = *(uint32_t *)room != 0     ? 1
        : poll(&waiting, 1, 0) > 0 ? read(device, room, FIRST_BYTES)
                                   : 0;
    munmap(room, FIRST_BYTES);
    if (n > 1)
        (void)ftruncate(*init, n);
    return n > 0;
}

/* From threads of the service. */
static void fuse_failed(void *user, const char *doing, const rafs_error *err)
{
    worker_failed(user, doing, err);
}

/* The pump looks at /dev/fuse when it is woken. */
static void fuse_over(void *user)
{
    struct served *served = user;

    worker_wake_pump(served->worker);
}

static void serve_fuse(struct served *served)
{
    const struct slot_fds *fds = &served->worker->fds[served->slot];
    struct mount_slot *slot = worker_slot(served);
    struct fuse_wish wish = {.image = served->image,
                             .slot = slot,
                             .device = fds->fuse,
                             .threads = served->options.threads,
                             .user = served,
                             .failed = fuse_failed,
                             .over = fuse_over};
    char why[MOUNT_TEXT] = "the kernel has not begun to talk";

    if (served->fuse || fds->fuse < 0)
        return;
    if (read_first(served, fds->fuse)) {
        wish.first = fds->init;
        served->fuse = fuse_serve(&wish, why, sizeof why);
    }
    worker_wake_pump(served->worker);
    if (served->fuse)
        return;
    snprintf(slot->text, sizeof slot->text, "%s", why);
    worker_log(served, LOG_ERR, "%s: %s", slot->dir, why);
}

/* ---- looking --------------------------------------------------------------------- */

static enum served_state state_of(struct served *served)
{
    enum served_state state;

    pthread_mutex_lock(&served->worker->lock);
    state = served->state;
    pthread_mutex_unlock(&served->worker->lock);
    return state;
}

static void look_at_served(struct served *served, uint32_t state)
{
    const struct slot_fds *fds = &served->worker->fds[served->slot];
    enum served_state mine = state_of(served);

    if (worker_slot(served)->number != served->number || state == MOUNT_FREE ||
        state == MOUNT_ENDING || state == MOUNT_ENDED || state == MOUNT_FAILED) {
        if (mine != SERVED_CLOSING)
            end(served);
        return;
    }
    if (mine != SERVED_OPEN)
        return;
    ahead_record(served);
    if (!served->map)
        serve_fuse(served);
    else if (served->fence)
        fence_look(served, fds->fence, fds->init);
}

/* Does the sandbox let a new mount open its files? */
static bool is_let_in(struct served *served)
{
    struct sandbox *wanted = calloc(1, sizeof *wanted);
    bool good = wanted && paths_of_mount(&served->options, wanted) &&
                paths_within(wanted, &served->worker->sandbox);

    if (wanted)
        sandbox_free(wanted);
    free(wanted);
    return good;
}

static bool wants_us(const struct worker *worker, uint32_t i)
{
    struct mount_slot *slot = &worker->table->slots[i];
    uint32_t state = atomic_load(&slot->state);

    return (state == MOUNT_WANTED || state == MOUNT_PREPARED || state == MOUNT_LIVE) &&
           worker->fds[i].args >= 0 && !atomic_load(&slot->complete);
}

static void look_at_slot(struct worker *worker, uint32_t i)
{
    struct mount_slot *slot = &worker->table->slots[i];
    uint32_t state = atomic_load(&slot->state);
    struct served *served;

    pthread_mutex_lock(&worker->lock);
    served = worker->served[i];
    pthread_mutex_unlock(&worker->lock);
    if (served) {
        look_at_served(served, state);
        return;
    }
    if (state == MOUNT_ENDING && move_slot(slot, MOUNT_ENDING, MOUNT_ENDED))
        worker_wake_pump(worker);
    if (!wants_us(worker, i) || !(served = meet(worker, i)))
        return;
    if (is_let_in(served))
        begin(served);
    else
        worker->again = true;
}

static void look(struct worker *worker)
{
    uint32_t high = atomic_load(&worker->table->slots_high);

    for (uint32_t i = 0; i < high && i < MOUNTS_MAX; i++)
        look_at_slot(worker, i);
    fill_look(worker);
}

/* Would anybody miss this process? */
static bool is_needed(struct worker *worker)
{
    uint32_t high = atomic_load(&worker->table->slots_high);

    for (uint32_t i = 0; i < high && i < MOUNTS_MAX; i++) {
        struct mount_slot *slot = &worker->table->slots[i];
        uint32_t state = atomic_load(&slot->state);
        struct served *served;

        pthread_mutex_lock(&worker->lock);
        served = worker->served[i];
        pthread_mutex_unlock(&worker->lock);
        if (served && (state_of(served) != SERVED_OPEN || ahead_runs(served)))
            return true;
        if (state != MOUNT_FREE && state != MOUNT_FAILED && state != MOUNT_ENDED &&
            !(state == MOUNT_LIVE && atomic_load(&slot->complete) &&
              !atomic_load(&slot->recording)))
            return true;
    }
    return false;
}

/* ---- beginning and end ----------------------------------------------------------- */

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
static bool take_vault(struct worker *worker, const struct vault *vault)
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

/* The pump decides what ends when. */
static void ignore_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGPIPE};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t none;

    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        sigaction(ignored[i], &ignore, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Chunks come and go: what is freed is given back. */
static void stay_small(void)
{
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    mallopt(M_TRIM_THRESHOLD, 256 * 1024);
}

/* Cancel all, wait for the threads that hold events, keep traces. */
static void stop(struct worker *worker)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STOP_S;
    pthread_mutex_lock(&worker->lock);
    worker->stopping = true;
    for (uint32_t i = 0; i < MOUNTS_MAX; i++)
        if (worker->served[i])
            rafs_cancel_fire(worker->served[i]->cancel);
    pthread_cond_broadcast(&worker->work);
    pthread_cond_broadcast(&worker->ended);
    while (worker->threads > 0 && pthread_cond_clockwait(&worker->ended, &worker->lock,
                                                         CLOCK_MONOTONIC, &until) == 0)
        ;
    pthread_mutex_unlock(&worker->lock);
    for (uint32_t i = 0; i < MOUNTS_MAX; i++)
        if (worker->served[i] && worker->served[i]->state == SERVED_OPEN) {
            fuse_service_stop(worker->served[i]->fuse);
            worker->served[i]->fuse = NULL;
            fence_stop_serving(worker->served[i]);
            ahead_keep(worker->served[i]);
        }
}

static int serve(struct worker *worker)
{
    struct pollfd fds[2] = {{.fd = worker->socket, .events = POLLIN},
                            {.fd = worker->wake_worker, .events = POLLIN}};
    bool ends = false;
    uint64_t rings;

    while (!ends) {
        bool needed;

        while (receive(worker, &ends))
            ;
        if (ends)
            break;
        look(worker);
        if (worker->again) {
            stop(worker);
            return WORKER_AGAIN;
        }
        needed = is_needed(worker);
        fds[1].revents = 0;
        if (poll(fds, 2, needed ? -1 : DONE_MS) == 0 && !needed && !is_needed(worker)) {
            stop(worker);
            return WORKER_DONE;
        }
        while ((fds[1].revents & POLLIN) &&
               read(worker->wake_worker, &rings, sizeof rings) < 0 && errno == EINTR)
            ;
    }
    stop(worker);
    return WORKER_STOPPED;
}

/* The mounts that there are decide what it may open; then it gives up all else. */
static bool enter_sandbox(struct worker *worker)
{
    struct sandbox *sandbox = &worker->sandbox;
    char said[512];

    if (!paths_of_system(sandbox))
        return false;
    for (uint32_t i = 0; i < MOUNTS_MAX; i++)
        if (wants_us(worker, i) && meet(worker, i) &&
            !paths_of_mount(&worker->served[i]->options, sandbox))
            return false;
    if (!sandbox_enter(sandbox, said, sizeof said)) {
        worker_log(NULL, LOG_ERR, "the sandbox failed: %s", said);
        return false;
    }
    /* Once for each daemon. */
    if (*said && atomic_load(&worker->table->workers) <= 1)
        worker_log(NULL, LOG_NOTICE, "the sandbox has gaps: %s", said);
    for (uint32_t i = 0; i < MOUNTS_MAX; i++)
        if (worker->served[i])
            begin(worker->served[i]);
    return true;
}

int worker_run(struct vault *vault, struct mount_table *table, int socket)
{
    /* It ends with the process, whose threads may be using it. */
    static struct worker worker = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                   .work = PTHREAD_COND_INITIALIZER,
                                   .ended = PTHREAD_COND_INITIALIZER};

    worker.table = table;
    worker.socket = socket;
    stay_small();
    if (!take_vault(&worker, vault))
        return WORKER_BROKEN;
    ignore_signals();
    openlog("rafs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    if (!enter_sandbox(&worker))
        return WORKER_BROKEN;
    return serve(&worker);
}
