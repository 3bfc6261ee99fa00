/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_WORKER_H
#define RAFS_WORKER_H

/*
 * The worker: it opens the images, fetches and verifies, and may die at any moment.
 *
 *   worker.c        its main thread: looks at the slots, sends descriptors to the pump
 *   worker_open.c   a request's arguments to an open image; again after a restart
 *   worker_fill.c   threads that fill what readers wait for
 *   worker_map.c    which blocks of the devices are good
 *   worker_fuse*.c  answers /dev/fuse
 *   sandbox.c       takes away what it does not need
 */

#include <pthread.h>

#include "mount.h"

/* Called in a child that the pump forked, which has nothing but the three and standard
 * error. Gives the child's exit code. */
int worker_run(struct vault *vault, struct mount_table *table, int socket);

/* What worker_run() gives. Anything else, and every signal, is a failure: the pump starts
 * the next one, more slowly if that goes on. */
enum {
    WORKER_DONE = 0,    /* nothing to do: the next one is needed when something is */
    WORKER_STOPPED = 1, /* as WORKER_STOP asked */
    WORKER_AGAIN = 75,  /* start another one at once: the sandbox lacks what a new mount
                           needs, and cannot be widened */
    WORKER_BROKEN = 70
};

/* A mount that this worker has open. */
struct served {
    struct worker *worker;
    uint32_t slot, number;
    struct mount_options options;
    rafs_image *image;        /* what is served */
    struct fill_map *map;     /* kernel; NULL: FUSE */
    struct worker_fuse *fuse; /* of worker_fuse.c */
};

/*
 * worker_fuse.c: serve the mount at `fd`, which is /dev/fuse (taken, also after a
 * failure). `init` is the vault's VAULT_INIT (borrowed), -1: the kernel has not said
 * anything yet; then the first message goes into a memfd, which is handed to
 * worker_send(), before it is answered. False: said why in the slot's text.
 */
bool worker_fuse_start(struct served *served, int fd, int init);
/* Soon: answers what is under way with EIO or not at all, joins its threads. */
void worker_fuse_stop(struct served *served);

/* A descriptor for the vault (borrowed); false: the pump is gone. Any thread. */
bool worker_send(struct served *served, uint32_t role, uint32_t index, int fd);
/* Say in the slot's text, and in the log unless it was said much lately, what failed:
 * image, object, offset and cause. Counts in slot->failures. Any thread. */
void worker_failed(struct served *served, const rafs_error *err);
/* The slot of the mount, and the token that is fired when it ends. */
struct mount_slot *worker_slot(const struct served *served);
const rafs_cancel *worker_cancel(const struct served *served);

/* ---- sandbox.c ------------------------------------------------------------------- */

/* What the process may still open. Paths that are not there are passed over. */
struct sandbox {
    const char **read, **write; /* files, or folders and what is below */
    size_t read_count, write_count;
    bool execute; /* helpers of credentials are configured */
};
/* Give up capabilities, and whatever is not in `allowed`, for ever and for all threads:
 * to be called while there is one. `said`: what could not be given up, or "". False: it
 * could not be done at all, although the kernel has it. */
bool sandbox_enter(const struct sandbox *allowed, char *said, size_t room);

#endif
