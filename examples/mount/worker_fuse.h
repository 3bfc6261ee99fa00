/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_WORKER_FUSE_H
#define RAFS_WORKER_FUSE_H

/*
 * The worker's side of a FUSE mount: answers what the kernel asks on /dev/fuse.
 *
 *   worker_fuse.c       life of a service; its threads
 *   worker_fuse_ops.c   names, attributes, links, extended attributes: never wait
 *   worker_fuse_dir.c   directories, with attributes in one batch
 *   worker_fuse_read.c  what may wait for the network: reads, and where holes are
 *   worker_fuse_kept.c  what was verified once, from the cache's file
 *   worker_fuse_cpu.c   on which processor
 *   worker_fuse_stop.c  readers that are killed while they wait
 *   worker_fuse_fence.c the same for the fence of a kernel mount
 *
 * A service keeps nothing that its successor would need: node numbers are the image's
 * inode numbers, nothing is counted, and files are not opened as far as the kernel is
 * concerned. What the kernel said first (FUSE_INIT) was read by the pump and is answered
 * again by each worker, which the kernel ignores from the second time on; then it is
 * asked to send again what a dead worker read and did not answer.
 *
 * /dev/fuse is read through one descriptor for all threads, which pump and holder have
 * too. One of its own for each (FUSE_DEV_IOC_CLONE) would end all requests that were read
 * through it with an error when its worker dies.
 */

#include <pthread.h>
#include <sys/statvfs.h>

#include "mount.h"

struct fuse_service;
struct served;

/* What to serve. */
struct fuse_wish {
    rafs_image *image; /* borrowed until fuse_service_stop() */
    /* Not the image is served, but the fence of this kernel mount (worker_fence.h). */
    struct served *fence;
    struct mount_slot *slot;
    int device;       /* /dev/fuse; duplicated */
    int first;        /* memfd: FUSE_INIT as the kernel sent it; used during the call */
    uint32_t threads; /* at most; 0: by the number of processors */
    void *user;       /* first argument of the two, from any thread; both may be NULL */
    /* A request failed: `doing` says which one. */
    void (*failed)(void *user, const char *doing, const rafs_error *err);
    /* It was unmounted: fuse_service_over() is true now. */
    void (*over)(void *user);
};

/* NULL: not served, `why` says so in one line. */
struct fuse_service *fuse_serve(const struct fuse_wish *wish, char *why, size_t room);
/* Nothing comes any more: it was unmounted. */
bool fuse_service_over(const struct fuse_service *service);
/* Returns when nothing uses the image any more. What was read and not answered comes
 * again to whoever serves next. NULL does nothing. */
void fuse_service_stop(struct fuse_service *service);

#endif
