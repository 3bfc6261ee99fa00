/* SPDX-License-Identifier: Apache-2.0 */
#ifdef HAVE_FUSE3
#include "worker_fuse_own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Whatever may wait for the network runs in the thread that read the request, as long as
 * one thread is left for what does not wait. Otherwise it is queued, and the next thread
 * that has done a read takes it. */

enum {
    SPARES_MAX = 2, /* kept with their memory while nobody reads */
    EXTENTS = 32
};

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void append(struct reading_list *list, struct reading *r)
{
    r->next = NULL;
    r->prev = list->last;
    if (list->last)
        list->last->next = r;
    else
        list->first = r;
    list->last = r;
}

void reading_unlink(struct reading_list *list, struct reading *r)
{
    if (r->prev)
        r->prev->next = r->next;
    else
        list->first = r->next;
    if (r->next)
        r->next->prev = r->prev;
    else
        list->last = r->prev;
    r->next = r->prev = NULL;
}

void reading_free(struct reading *r)
{
    if (!r)
        return;
    if (r->buf)
        munmap(r->buf, FUSE_READ_MAX);
    rafs_cancel_free(r->cancel);
    free(r);
}

/* Of its memory those pages are there that reads filled. */
static bool make_ready(struct reading *r)
{
    rafs_error err = RAFS_ERROR_INIT;
    void *buf;

    if (!r->cancel && rafs_cancel_new(&r->cancel, &err) < 0)
        return false;
    if (r->buf)
        return true;
    buf = mmap(NULL, FUSE_READ_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
               -1, 0);
    if (buf == MAP_FAILED)
        return false;
    r->buf = buf;
    return true;
}

static struct reading *take_spare(struct readings *all)
{
    struct reading *r;

    pthread_mutex_lock(&all->lock);
    r = all->spare;
    if (r) {
        all->spare = r->next;
        all->spares--;
    }
    pthread_mutex_unlock(&all->lock);
    return r ? r : calloc(1, sizeof *r);
}

static void keep_spare(struct readings *all, struct reading *r)
{
    bool keep;

    pthread_mutex_lock(&all->lock);
    keep = all->spares < SPARES_MAX;
    if (keep) {
        r->next = all->spare;
        all->spare = r;
        all->spares++;
    }
    pthread_mutex_unlock(&all->lock);
    if (!keep)
        reading_free(r);
}

/* True: run it now. False: it is queued. */
static bool admit(struct readings *all, struct reading *r)
{
    bool now;

    pthread_mutex_lock(&all->lock);
    now = all->count < all->most;
    if (now) {
        append(&all->running, r);
        all->count++;
    } else {
        append(&all->queued, r);
    }
    pthread_mutex_unlock(&all->lock);
    return now;
}

/* This one is done; the one that waited longest, or NULL. */
static struct reading *next_after(struct readings *all, struct reading *done)
{
    struct reading *r;

    pthread_mutex_lock(&all->lock);
    reading_unlink(&all->running, done);
    r = all->ending ? NULL : all->queued.first;
    if (r) {
        reading_unlink(&all->queued, r);
        append(&all->running, r);
    } else {
        all->count--;
    }
    pthread_mutex_unlock(&all->lock);
    return r;
}

static struct late_request request_of(const struct reading *r)
{
    return (struct late_request){r->pid, r->ino, r->offset};
}

/* From when the kernel asked until an answer is due. */
static void set_deadline(struct fuse_service *s, struct reading *r)
{
    struct late_request request = request_of(r);
    struct readings *all = &s->readings;
    uint64_t longest = s->slot->timeout_ms * 1000000u;

    r->began_ns = now_ns();
    r->allowed_ns = r->deadline_ns = 0;
    if (longest == 0)
        return;
    pthread_mutex_lock(&all->lock);
    r->allowed_ns = late_allowed(&all->late, &request, r->began_ns, longest);
    pthread_mutex_unlock(&all->lock);
    r->deadline_ns = r->began_ns + r->allowed_ns;
}

static void note_failure(struct fuse_service *s, const struct reading *r)
{
    struct late_request request = request_of(r);
    struct readings *all = &s->readings;

    atomic_fetch_add(&s->slot->failures, 1);
    if (r->allowed_ns == 0)
        return;
    pthread_mutex_lock(&all->lock);
    late_failed(&all->late, &request, r->began_ns, r->allowed_ns, now_ns());
    pthread_mutex_unlock(&all->lock);
}

static int find_whence(const struct fuse_service *s, const struct reading *r,
                       const rafs_call *call, uint64_t *found, rafs_error *err)
{
    uint64_t at = r->offset;
    rafs_extent extents[EXTENTS];
    rafs_attr attr;
    size_t count = 0;
    int rc = rafs_image_get_attr(s->image, r->ino, &attr, err);

    *found = UINT64_MAX; /* ENXIO */
    if (rc < 0 || at >= attr.size)
        return rc;
    while ((rc = rafs_image_get_extents(s->image, r->ino, at, extents, EXTENTS, &count,
                                        call, err)) == RAFS_OK &&
           count > 0) {
        for (size_t i = 0; i < count; i++) {
            bool hole = extents[i].flags & RAFS_EXTENT_HOLE;

            if (hole == (r->whence == SEEK_HOLE)) {
                *found = extents[i].file_offset > r->offset ? extents[i].file_offset
                                                            : r->offset;
                return RAFS_OK;
            }
            at = extents[i].file_offset + extents[i].length;
        }
    }
    if (rc == RAFS_OK && r->whence == SEEK_HOLE)
        *found = attr.size;
    return rc;
}

/* Answer it, and make it ready for the next one. */
static void run(struct fuse_service *s, struct reading *r)
{
    rafs_call call = RAFS_CALL_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t found = 0;
    size_t nread = 0;
    int rc;

    call.deadline_ns = r->deadline_ns;
    call.cancel = r->cancel;
    if (r->whence)
        rc = find_whence(s, r, &call, &found, &err);
    else if (s->wish.fence)
        rc = fuse_fence_read(s, r, &call, &nread, &err);
    else if (fuse_kept_read(s, r, &call, &nread))
        rc = RAFS_OK;
    else
        rc = rafs_image_read(s->image, r->ino, r->offset, r->size, r->buf, &nread, &call,
                             &err);
    /* From here on nobody fires the token. */
    fuse_req_interrupt_func(r->req, NULL, NULL);
    atomic_fetch_sub(&s->slot->waiting, 1);
    if (rc == RAFS_E_CANCELLED && atomic_load(&s->stopping)) {
        fuse_reply_none(r->req); /* comes again, to the next worker */
    } else if (rc < 0) {
        if (rc != RAFS_E_CANCELLED)
            note_failure(s, r);
        fuse_reply_err(r->req, rc == RAFS_E_CANCELLED
                                   ? EINTR
                                   : fuse_failed(s, "reading", r->ino, &err));
    } else if (r->whence && found == UINT64_MAX) {
        fuse_reply_err(r->req, ENXIO);
    } else if (r->whence) {
        fuse_reply_lseek(r->req, (off_t)found);
    } else {
        fuse_reply_buf(r->req, (const char *)r->buf, nread);
    }
}

static void start(fuse_req_t req, struct reading *r)
{
    struct fuse_service *s = service_of(req);
    struct reading *next;

    r->req = req;
    r->pid = fuse_req_ctx(req)->pid;
    r->interrupted = false;
    set_deadline(s, r);
    if (!make_ready(r)) {
        reading_free(r);
        fuse_reply_err(req, ENOMEM);
        return;
    }
    atomic_fetch_add(&s->slot->waiting, 1);
    fuse_req_interrupt_func(req, reading_interrupted, r);
    if (!admit(&s->readings, r))
        return;
    do {
        run(s, r);
        next = next_after(&s->readings, r);
        if (rafs_cancel_fired(r->cancel)) /* which reads, and resetting writes */
            rafs_cancel_reset(r->cancel);
        keep_spare(&s->readings, r);
    } while ((r = next) != NULL);
}

static void begin(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, int whence)
{
    struct fuse_service *s = service_of(req);
    struct reading *r;

    if (offset < 0 || size > FUSE_READ_MAX) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    r = take_spare(&s->readings);
    if (!r) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    r->ino = ino_of(s, node);
    r->size = size;
    r->offset = (uint64_t)offset;
    r->whence = whence;
    start(req, r);
}

void fuse_op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                  struct fuse_file_info *file)
{
    (void)file;
    begin(req, node, size, offset, 0);
}

void fuse_op_lseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence,
                   struct fuse_file_info *file)
{
    (void)file;
    if (whence == SEEK_DATA || whence == SEEK_HOLE)
        begin(req, node, 0, offset, whence);
    else
        fuse_reply_err(req, EINVAL);
}

bool readings_init(struct fuse_service *s)
{
    struct readings *all = &s->readings;
    pthread_condattr_t attr;

    all->most = s->most - 1;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->wake, &attr);
    pthread_condattr_destroy(&attr);
    return true;
}

void readings_stop(struct fuse_service *s)
{
    struct readings *all = &s->readings;

    pthread_mutex_lock(&all->lock);
    all->ending = true;
    for (struct reading *r = all->running.first; r; r = r->next)
        rafs_cancel_fire(r->cancel);
    pthread_mutex_unlock(&all->lock);
}

/* After the threads have left. */
void readings_free(struct fuse_service *s)
{
    struct readings *all = &s->readings;
    struct reading *r;

    while ((r = all->queued.first) != NULL) {
        reading_unlink(&all->queued, r);
        fuse_req_interrupt_func(r->req, NULL, NULL);
        atomic_fetch_sub(&s->slot->waiting, 1);
        fuse_reply_none(r->req);
        reading_free(r);
    }
    while ((r = all->spare) != NULL) {
        all->spare = r->next;
        reading_free(r);
    }
    pthread_cond_destroy(&all->wake);
    pthread_mutex_destroy(&all->lock);
}
#endif
