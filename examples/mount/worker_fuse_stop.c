/* SPDX-License-Identifier: Apache-2.0 */
#ifdef HAVE_FUSE3
#include "worker_fuse_own.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * Readers that are killed while they wait.
 *
 * The kernel says FUSE_INTERRUPT once a request, for any signal: for a SIGALRM with a
 * handler as well as for a SIGKILL. What it is told then is what the reader gets; EINTR
 * from a page fault is a SIGBUS, and from read(2) of a file something that programs are
 * not made for: other file systems wait on. So a read is cancelled only if its reader is
 * about to die: SIGKILL is pending, which is what the kernel makes of whatever is deadly.
 * As it says so only once, whoever was interrupted is looked at again and again.
 */

enum { LOOK_MS = 20, STATUS_BYTES = 4096 };

static bool dying(pid_t pid)
{
    char path[64], text[STATUS_BYTES];
    static const char *const masks[] = {"\nSigPnd:", "\nShdPnd:"};
    uint64_t pending = 0;
    ssize_t n;
    int fd;

    if (pid <= 0)
        return false; /* in a namespace that we do not see: data or deadline */
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return errno == ESRCH;
    text[n] = '\0';
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        const char *at = strstr(text, masks[i]);

        if (at)
            pending |= strtoull(at + strlen(masks[i]), NULL, 16);
    }
    return pending & UINT64_C(1) << (9 - 1);
}

/* Fire those of the dying, take them out of the queue; true if others are left. */
static bool look(struct readings *all, struct reading_list *dead)
{
    struct reading *next;
    bool more = false;

    for (struct reading *r = all->running.first; r; r = r->next) {
        if (!r->interrupted)
            continue;
        if (dying(r->pid))
            rafs_cancel_fire(r->cancel);
        else
            more = true;
    }
    for (struct reading *r = all->queued.first; r; r = next) {
        next = r->next;
        if (!r->interrupted)
            continue;
        if (!dying(r->pid)) {
            more = true;
            continue;
        }
        reading_unlink(&all->queued, r);
        r->next = dead->first;
        dead->first = r;
    }
    return more;
}

static void bury(struct fuse_service *s, struct reading_list *dead)
{
    struct reading *r;

    while ((r = dead->first) != NULL) {
        dead->first = r->next;
        fuse_req_interrupt_func(r->req, NULL, NULL);
        atomic_fetch_sub(&s->slot->waiting, 1);
        fuse_reply_err(r->req, EINTR);
        reading_free(r);
    }
}

static void wait_for_next(struct readings *all, bool more)
{
    struct timespec until;

    if (!more) {
        pthread_cond_wait(&all->wake, &all->lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_MS * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&all->wake, &all->lock, &until);
}

static void *watch(void *service)
{
    struct fuse_service *s = service;
    struct readings *all = &s->readings;

    pthread_mutex_lock(&all->lock);
    while (!all->ending) {
        struct reading_list dead = {NULL, NULL};
        bool more = look(all, &dead);

        if (dead.first) {
            pthread_mutex_unlock(&all->lock);
            bury(s, &dead);
            pthread_mutex_lock(&all->lock);
            continue;
        }
        wait_for_next(all, more);
    }
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

/* By libfuse, which keeps the request while this runs; so its reading is there too. */
void reading_interrupted(fuse_req_t req, void *reading)
{
    struct readings *all = &service_of(req)->readings;
    struct reading *r = reading;

    pthread_mutex_lock(&all->lock);
    r->interrupted = true;
    if (!all->watching && !all->ending)
        all->watching = pthread_create(&all->watcher, NULL, watch, service_of(req)) == 0;
    pthread_cond_signal(&all->wake);
    pthread_mutex_unlock(&all->lock);
}

void readings_watch_end(struct fuse_service *s)
{
    struct readings *all = &s->readings;

    pthread_mutex_lock(&all->lock);
    all->ending = true;
    pthread_cond_signal(&all->wake);
    pthread_mutex_unlock(&all->lock);
    if (all->watching)
        pthread_join(all->watcher, NULL);
    all->watching = false;
}
#endif
