/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's main thread: it looks at the slots and starts what they ask for. */
#include "worker_fence.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum {
    DONE_MS = 1000,  /* so long nothing to do, and it leaves */
    RETRY_MS = 1000, /* a mount that could not be taken up is tried again */
    STOP_S = 5       /* for threads to give back what they have, and to keep traces */
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

/* ---- life of a mount ------------------------------------------------------------- */

static void tell_pump(struct worker *worker, uint32_t slot)
{
    struct worker_message message = {WORKER_PREPARED, slot, 0, 0};

    (void)worker_say(worker, &message, -1);
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
        worker_forget_fds(worker, served->slot);
    pthread_cond_broadcast(&worker->ended);
    pthread_mutex_unlock(&worker->lock);
    served_free(served);
}

/* The pump knows the deadlines of events; requests of FUSE are ours to end. */
static void wait_to_try_again(struct served *served)
{
    struct worker *worker = served->worker;
    uint64_t *since = &worker->failing_ns[served->slot];

    if (*since == 0)
        *since = worker_now_ns();
    if (worker_now_ns() - *since >= worker_slot(served)->timeout_ms * 1000000) {
        const struct slot_fds *fds = &worker->fds[served->slot];

        if (fds->fuse >= 0)
            raw_refuse(fds->fuse);
        if (fds->fence >= 0)
            raw_refuse(fds->fence);
    }
    (void)fill_wait_ms(served, RETRY_MS, 0);
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
        wait_to_try_again(served);
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
    worker->failing_ns[served->slot] = 0;
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
    if (raw_first(served, fds->fuse)) {
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
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    mallopt(M_TRIM_THRESHOLD, 256 * 1024);
}

/* Under the lock. */
static bool is_any_closing(const struct worker *worker)
{
    for (uint32_t i = 0; i < MOUNTS_MAX; i++)
        if (worker->served[i] && worker->served[i]->state == SERVED_CLOSING)
            return true;
    return false;
}

/* Cancel all, wait for the threads that hold events, or close images; keep traces. */
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
    while ((worker->threads > 0 || is_any_closing(worker)) &&
           pthread_cond_clockwait(&worker->ended, &worker->lock, CLOCK_MONOTONIC,
                                  &until) == 0)
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

        while (worker_hear_pump(worker, &ends))
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
    if (!worker_take_vault(&worker, vault))
        return WORKER_BROKEN;
    ignore_signals();
    openlog("rafs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    if (!enter_sandbox(&worker))
        return WORKER_BROKEN;
    return serve(&worker);
}
