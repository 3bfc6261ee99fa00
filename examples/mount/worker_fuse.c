/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HAVE_FUSE3
#include <stdio.h>

#include "worker_fuse.h"

struct fuse_service *fuse_serve(const struct fuse_wish *wish, char *why, size_t room)
{
    (void)wish;
    snprintf(why, room, "this program was built without libfuse3");
    return NULL;
}

bool fuse_service_over(const struct fuse_service *service)
{
    (void)service;
    return true;
}

void fuse_service_stop(struct fuse_service *service)
{
    (void)service;
}
#else
#include "worker_fuse_own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    FIRST_BYTES = 8192, /* of FUSE_INIT */
    /* libfuse wants so much room for one message; those to us are short. */
    MESSAGE_BYTES = FUSE_READ_MAX + 4096,
    WAITING_THREADS = 2, /* for a request; the others wait until these are busy */
    PARKED_SEC = 3,
    NOTIFY_RESEND = 7 /* FUSE_NOTIFY_RESEND, not in every linux/fuse.h */
};

/* Wakes a thread from read(2). */
enum { WAKE_SIGNAL = SIGUSR2 };

static void on_wake(int signal_number)
{
    (void)signal_number;
}

static void *serve(void *service);

static bool start_thread(struct fuse_service *s)
{
    pthread_attr_t attr;
    pthread_t thread;
    int rc;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, FUSE_STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &attr, serve, s);
    pthread_attr_destroy(&attr);
    return rc == 0;
}

/* Nobody waits for the next request any more: somebody should. False: nobody does. */
static bool one_more(struct fuse_service *s)
{
    bool more = true;

    pthread_mutex_lock(&s->lock);
    if (s->parked > s->called) {
        s->called++;
        pthread_cond_signal(&s->call);
    } else if (s->threads < s->most && !atomic_load(&s->stopping) && start_thread(s)) {
        s->threads++;
    } else {
        more = false;
    }
    pthread_mutex_unlock(&s->lock);
    return more;
}

/* Enough others wait for requests. False: this one was not needed for a while. */
static bool park(struct fuse_service *s)
{
    struct timespec until;
    bool called;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PARKED_SEC;
    pthread_mutex_lock(&s->lock);
    if (atomic_load(&s->idle) < WAITING_THREADS) { /* meanwhile; nobody may call again */
        pthread_mutex_unlock(&s->lock);
        return true;
    }
    s->parked++;
    while (s->called == 0 && !atomic_load(&s->stopping) && rc == 0)
        rc = pthread_cond_timedwait(&s->call, &s->lock, &until);
    s->parked--;
    called = s->called > 0;
    if (called)
        s->called--;
    pthread_mutex_unlock(&s->lock);
    return called;
}

/* Bytes of one message; 0: leave. */
static size_t receive(struct fuse_service *s, char *buf)
{
    while (!atomic_load(&s->stopping)) {
        ssize_t n = read(s->device, buf, s->message_bytes);

        if (n > 0)
            return (size_t)n;
        if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
            continue; /* ENOENT: the reader gave up before we had it */
        if (n < 0 && errno != ENODEV)
            fprintf(stderr, "rafs mount: %s: /dev/fuse: %s\n", s->slot->dir,
                    strerror(errno));
        if (!atomic_exchange(&s->over, true) && s->wish.over)
            s->wish.over(s->wish.user);
        return 0;
    }
    return 0;
}

static void enter(struct fuse_service *s)
{
    pthread_mutex_lock(&s->lock);
    s->tids[s->entered++] = gettid();
    pthread_mutex_unlock(&s->lock);
}

static void leave(struct fuse_service *s)
{
    uint32_t i = 0;

    pthread_mutex_lock(&s->lock);
    while (s->tids[i] != gettid())
        i++;
    s->tids[i] = s->tids[--s->entered];
    s->threads--;
    pthread_cond_broadcast(&s->left);
    pthread_mutex_unlock(&s->lock);
}

/*
 * A request that cannot be copied to the worker ends in EIO for the reader, and that is
 * so if the worker is killed and the page for it was never touched: the kernel waits for
 * no page on behalf of the dying. Pages that are there are used without asking.
 */
static void touch(char *mem, size_t bytes)
{
    enum { REQUEST_BYTES = 16384 }; /* of what is asked of a read-only file system */
    size_t part = bytes < REQUEST_BYTES ? bytes : REQUEST_BYTES;

    memset(mem, 0, part);
    mlock(mem, part); /* as far as the limit allows */
}

static void *serve(void *service)
{
    struct fuse_service *s = service;
    char *mem = mmap(NULL, s->message_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct fuse_buf message = {.mem = mem};
    uint64_t begun;

    enter(s);
    if (mem != MAP_FAILED) {
        touch(mem, s->message_bytes);
        for (;;) {
            atomic_fetch_add(&s->idle, 1);
            message.size = receive(s, mem);
            if (atomic_fetch_sub(&s->idle, 1) == 1 && message.size > 0)
                one_more(s);
            if (message.size == 0)
                break;
            begun = now_ns();
            fuse_session_process_buf(s->session, &message);
            fuse_cpu_note(s, mem, now_ns() - begun);
            /* Afterwards: by this the pump sees that a worker gets on. */
            atomic_fetch_add_explicit(&s->slot->events, 1, memory_order_relaxed);
            if (atomic_load(&s->idle) >= WAITING_THREADS && !park(s))
                break;
        }
        munmap(mem, s->message_bytes);
    }
    leave(s);
    return NULL;
}

/* ---- beginning -------------------------------------------------------------------- */

static void fill_statfs(struct fuse_service *s, const rafs_image_info *info)
{
    uint64_t bytes = info->bootstrap_bytes;

    for (uint32_t i = 0; i < info->blob_count; i++) {
        rafs_blob_info blob = {.struct_size = sizeof blob};
        rafs_error err = RAFS_ERROR_INIT;

        if (rafs_image_get_blob(s->image, i, &blob, &err) == RAFS_OK)
            bytes += blob.uncompressed_size;
    }
    s->statfs = (struct statvfs){.f_bsize = FILL_BLOCK,
                                 .f_frsize = FILL_BLOCK,
                                 .f_blocks = (bytes + FILL_BLOCK - 1) / FILL_BLOCK,
                                 .f_files = info->inodes,
                                 .f_flag = ST_RDONLY,
                                 .f_namemax = RAFS_NAME_MAX};
}

static bool learn_image(struct fuse_service *s, char *why, size_t room)
{
    rafs_image_info info = {.struct_size = sizeof info};
    rafs_error err = RAFS_ERROR_INIT;

    if (rafs_image_get_info(s->image, &info, &err) < 0) {
        snprintf(why, room, "%s", err.text);
        return false;
    }
    s->root = info.root;
    s->xattrs = info.flags & RAFS_FLAG_HAS_XATTR;
    fill_statfs(s, &info);
    if (s->wish.fence || fuse_kept_init(s, info.blob_count))
        return true;
    snprintf(why, room, "out of memory");
    return false;
}

/* By libfuse's own code: what was agreed on with the kernel is part of its state. */
static bool replay_first(struct fuse_service *s, int first, char *why, size_t room)
{
    char bytes[FIRST_BYTES] __attribute__((aligned(8)));
    const struct fuse_in_header *header = (void *)bytes;
    struct fuse_init_in *init = (void *)(bytes + sizeof *header);
    struct fuse_buf message = {.mem = bytes};
    ssize_t n = pread(first, bytes, sizeof bytes, 0);

    if (n < (ssize_t)sizeof *header + 16 || header->opcode != FUSE_INIT ||
        header->len > n) {
        snprintf(why, room, "the kernel's first message is not what it should be");
        return false;
    }
    /* The kernel says what it did so far, and goes on to take the lesser of what we say
     * and what the administrator, or our pump, allows. */
    init->max_readahead = FUSE_READ_MAX;
    message.size = header->len;
    fuse_session_process_buf(s->session, &message);
    if (fuse_session_exited(s->session)) {
        snprintf(why, room, "libfuse does not understand this kernel");
        return false;
    }
    return true;
}

/* What another worker read and did not answer. Kernels before 6.9 cannot. */
static void ask_again(struct fuse_service *s)
{
    struct fuse_out_header resend = {.len = sizeof resend, .error = NOTIFY_RESEND};

    if (write(s->device, &resend, sizeof resend) < 0 && errno != ENOENT)
        fprintf(stderr, "rafs mount: %s: requests under way are lost: %s\n", s->slot->dir,
                strerror(errno));
}

static struct fuse_session *new_session(struct fuse_service *s, int device)
{
    char program[] = "rafs", path[32];
    char *argv[] = {program, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    int own = fcntl(device, F_DUPFD_CLOEXEC, 3);
    struct fuse_session *session;

    if (own < 0)
        return NULL;
    session = fuse_session_new(&args, s->wish.fence ? &fuse_fence_ops : &fuse_ops,
                               sizeof fuse_ops, s);
    snprintf(path, sizeof path, "/dev/fd/%d", own);
    if (session && fuse_session_mount(session, path) == 0) {
        s->device = own; /* the session's */
        return session;
    }
    if (session)
        fuse_session_destroy(session);
    close(own);
    return NULL;
}

static void let_signal_wake(void)
{
    struct sigaction wake = {.sa_handler = on_wake};

    sigemptyset(&wake.sa_mask);
    sigaction(WAKE_SIGNAL, &wake, NULL); /* no SA_RESTART */
}

static uint32_t threads_for(uint32_t asked)
{
    cpu_set_t set;
    uint32_t count;

    if (asked == 0) {
        count =
            sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 4;
        asked = 2 * count + 2 < 10 ? 2 * count + 2 : 10;
    }
    if (asked < 2) /* one of them never waits for the network */
        return 2;
    return asked < FUSE_THREADS_MAX ? asked : FUSE_THREADS_MAX;
}

static void free_service(struct fuse_service *s)
{
    if (s->session)
        fuse_session_destroy(s->session);
    pthread_mutex_destroy(&s->lock);
    fuse_kept_free(s);
    pthread_cond_destroy(&s->left);
    pthread_cond_destroy(&s->call);
    free(s);
}

struct fuse_service *fuse_serve(const struct fuse_wish *wish, char *why, size_t room)
{
    struct fuse_service *s = calloc(1, sizeof *s);
    pthread_condattr_t clock;

    if (!s) {
        snprintf(why, room, "out of memory");
        return NULL;
    }
    s->wish = *wish;
    s->image = wish->image;
    s->slot = wish->slot;
    s->device = -1;
    s->message_bytes = MESSAGE_BYTES;
    s->most = threads_for(wish->threads);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->left, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&s->call, &clock);
    pthread_condattr_destroy(&clock);
    snprintf(why, room, "libfuse makes no session");
    if (!learn_image(s, why, room) || !(s->session = new_session(s, wish->device)) ||
        !replay_first(s, wish->first, why, room)) {
        free_service(s);
        return NULL;
    }
    let_signal_wake();
    fuse_cpu_init(s);
    readings_init(s);
    atomic_store(&s->slot->waiting, 0); /* those of a dead worker come again */
    ask_again(s);
    if (!one_more(s)) {
        snprintf(why, room, "no thread can be started");
        readings_free(s);
        free_service(s);
        return NULL;
    }
    return s;
}

bool fuse_service_over(const struct fuse_service *service)
{
    return atomic_load(&service->over);
}

/* A signal may come just before read(2) and wake nobody: so again and again. */
static void end_threads(struct fuse_service *s)
{
    struct timespec until;

    pthread_mutex_lock(&s->lock);
    pthread_cond_broadcast(&s->call);
    while (s->threads > 0) {
        for (uint32_t i = 0; i < s->entered; i++)
            syscall(SYS_tgkill, getpid(), s->tids[i], WAKE_SIGNAL);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 2000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&s->left, &s->lock, &until);
    }
    pthread_mutex_unlock(&s->lock);
}

void fuse_service_stop(struct fuse_service *service)
{
    if (!service)
        return;
    atomic_store(&service->stopping, true);
    readings_stop(service);
    end_threads(service);
    readings_watch_end(service);
    readings_free(service);
    free_service(service);
}
#endif
