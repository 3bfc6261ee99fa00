/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_WORKER_H
#define RAFS_WORKER_H

/*
 * The worker: it opens the images, fetches and verifies, and may die at any moment.
 *
 *   worker.c        its main thread: looks at the slots, sends descriptors to the pump
 *   worker_wire.c   messages and descriptors, from and to the pump
 *   worker_args.c   a request's arguments; why it is refused
 *   worker_open.c   a name to an open image; again after a restart
 *   worker_kernel.c what the kernel mounts: metadata, devices
 *   worker_fill.c   threads that fill what readers wait for
 *   worker_ahead.c  what is filled before; traces
 *   worker_fence.c  or serves, in front of what is not there yet
 *   worker_kept.c   and verifies what the cache has, before it is asked for
 *   worker_raw.c    /dev/fuse, where there is no image to answer with
 *   worker_map.c    which blocks of the devices are good
 *   worker_log.c    what failed
 *   worker_paths.c  what it may open; sandbox*.c see to that
 *   worker_fuse*.c  answers /dev/fuse
 */

#include <pthread.h>

#include "mount.h"
#include "sandbox.h"
#include "worker_fuse.h"

/* Called in a child that the pump forked while it had one thread. Closes whatever it does
 * not need. Gives the child's exit code. */
int worker_run(struct vault *vault, struct mount_table *table, int socket);

/* What worker_run() gives. Anything else, and every signal, is a failure: the pump starts
 * the next one, more slowly if that goes on. */
enum {
    WORKER_DONE = 0,    /* nothing to do: the next one is needed when something is */
    WORKER_STOPPED = 1, /* as WORKER_STOP asked, or the pump is gone */
    WORKER_BROKEN = 70,
    WORKER_AGAIN = 75 /* start another one at once: the sandbox lacks what a new mount
                         needs, and cannot be widened */
};

enum {
    WORKER_THREADS = 64,      /* that fill, for all mounts */
    WORKER_MOUNT_THREADS = 8, /* of them, for one, unless its options say otherwise */
    WORKER_STACK = 512 * 1024
};

enum served_state { SERVED_NEW, SERVED_OPENING, SERVED_OPEN, SERVED_CLOSING };

/* A mount that this worker has open. */
struct served {
    struct worker *worker;
    uint32_t slot, number;
    enum served_state state; /* under worker->lock */
    uint32_t running;        /* threads that use it; under worker->lock */
    bool once_more;          /* it was mounted before this worker began */
    char *request, **argv;   /* of options */
    struct mount_options options;
    rafs_limits limits;
    char pinned[MOUNT_PATH];
    rafs_cancel *cancel;  /* fired when the mount ends */
    rafs_image *image;    /* what is served: options.c.image, or laid out of it */
    int meta;             /* kernel: what is mounted */
    int layout;           /* kernel, behind a fence: what we read; META changes; -1 */
    bool lost;            /* its devices are not what would be filled */
    struct fill_map *map; /* kernel; else NULL */
    size_t map_bytes;
    struct fence *fence;       /* kernel, if it has one; worker_fence.c */
    struct fuse_service *fuse; /* fuse, once it is mounted */
    bool recording;
    rafs_prefetch *prefetch; /* of the trace */
    pthread_t background;    /* thread of worker_ahead.c */
    bool has_background;
    _Atomic bool ahead_done;
    struct counts {
        uint64_t fetched_bytes, fetched_chunks, refused_chunks;
    } before; /* of the workers before this one */
    pthread_mutex_t said_lock;
    uint64_t said_since_ns;
    uint32_t said, unsaid;
    FILE *complaints;
    char *complaint;
    size_t complaint_len;
};

/* Which file a device is. */
struct file_id {
    uint64_t dev, ino;
};

/* Descriptors of a slot that came from the pump; -1: none. */
struct slot_fds {
    int args, meta, layout, map, fuse, init, fence;
    struct file_id *files; /* of its VAULT_FILEs, when this worker began; or NULL */
    uint32_t file_count;
};

struct worker {
    struct mount_table *table;
    int socket, wake_worker, wake_pump;
    pthread_mutex_t lock;
    pthread_cond_t work;  /* for the threads that fill: an event waits */
    pthread_cond_t ended; /* a thread has left a mount, or the pool */
    struct served *served[MOUNTS_MAX];
    struct slot_fds fds[MOUNTS_MAX];
    uint64_t failing_ns[MOUNTS_MAX]; /* since when one that is mounted cannot be opened */
    uint32_t threads, idle, starting; /* that fill */
    bool stopping, again;
    struct sandbox sandbox; /* that it is in */
    struct filling {
        bool used;
        uint32_t slot, device;
        uint64_t begin, end;
    } filling[WORKER_THREADS];
};

/* ---- worker.c -------------------------------------------------------------------- */

struct mount_slot *worker_slot(const struct served *served);
struct file_id worker_file_id(int fd); /* zeros: it cannot be told */
void worker_wake_pump(struct worker *worker);
/* The main thread looks at everything again. */
void worker_look_again(struct worker *worker);
/* A detached thread; false: there is none. */
bool worker_thread(void *(*run)(void *), void *argument);
uint64_t worker_now_ns(void);

/* ---- worker_wire.c --------------------------------------------------------------- */

/* Before anything else: the descriptors of mounts that there are; closes all others. */
bool worker_take_vault(struct worker *worker, const struct vault *vault);
/* One message of the pump. False: there is none now. *stop: it wants an end, or is gone.
 */
bool worker_hear_pump(struct worker *worker, bool *stop);
bool worker_say(struct worker *worker, const struct worker_message *message, int fd);
/* Closes what the pump sent for a slot. Under the lock. */
void worker_forget_fds(struct worker *worker, uint32_t slot);
/* A descriptor for the vault (borrowed); false: the pump is gone. Any thread. */
bool worker_send(struct served *served, uint32_t role, uint32_t index, int fd);

/* ---- worker_raw.c ---------------------------------------------------------------- */

/* What the kernel says first at `device` is in fds.init, and the pump has it. */
bool raw_first(struct served *served, int device);
/* Ends all that waits there with EIO. */
void raw_refuse(int device);

/* ---- worker_log.c ---------------------------------------------------------------- */

/* Say in the slot's text, and in the log unless it was said much lately, what failed:
 * image, object, offset and cause. Any thread. */
void worker_failed(struct served *served, const char *doing, const rafs_error *err);
/* Object, offset and cause; gives `out`. */
const char *worker_describe(const rafs_error *err, char *out, size_t room);
/* A line for the log. */
void worker_log(const struct served *served, int priority, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- worker_args.c --------------------------------------------------------------- */

/* Why there will be no mount; in the slot. */
void worker_refuse(struct served *served, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void worker_refuse_error(struct served *served, const rafs_error *err);
/* As a function of the command has complained. */
void worker_refuse_as_said(struct served *served);
/* Parse the arguments of a slot. NULL: said why in the slot. */
struct served *served_new(struct worker *worker, uint32_t slot);
/* Frees it; nothing may be using it. */
void served_free(struct served *served);

/* ---- worker_open.c --------------------------------------------------------------- */

/* Open the image and, if it is not mounted yet, hand the pump what it needs for that.
 * False: said why in the slot. */
bool served_open(struct served *served);
/* The name in the slot by which it is opened again: with its digest. */
void open_pin(struct served *served);
const char *open_name(struct served *served);

/* ---- worker_kernel.c ------------------------------------------------------------- */

/* As served_open(). */
bool open_kernel(struct served *served);

/* ---- worker_fill.c --------------------------------------------------------------- */

/* Threads for the events that wait. */
void fill_look(struct worker *worker);
/* [begin, end) of a device, as `call` says; without a token of its own the end of the
 * mount stops it. Marks it in the map, and opens the fence. */
int fill_range(struct served *served, uint32_t device, uint64_t begin, uint64_t end,
               const rafs_call *call, rafs_error *err);
/* [begin, end) was verified: mark it in the map, and open the fence. */
void fill_mark(struct served *served, uint32_t device, uint64_t begin, uint64_t end);
/* Counters of the image, for `rafs status`. */
void fill_count(struct served *served);
/* Sleep. False: the mount or the worker ends, or it would be after the deadline. */
bool fill_wait_ms(struct served *served, uint64_t ms, uint64_t deadline_ns);

/* ---- worker_ahead.c -------------------------------------------------------------- */

/* What nobody waits for: what the last run read, or everything. */
void ahead_begin(struct served *served);
/* served->cancel was fired. */
void ahead_end(struct served *served);
/* Does it do anything still? */
bool ahead_runs(struct served *served);
/* Recording of what is read, as the slot and the options say. */
void ahead_record(struct served *served);
/* Before the image is closed. */
void ahead_keep(struct served *served);

/* ---- worker_paths.c -------------------------------------------------------------- */

/* False: no memory. */
bool paths_of_system(struct sandbox *out);
bool paths_of_mount(struct mount_options *options, struct sandbox *out);
bool paths_within(const struct sandbox *inner, const struct sandbox *outer);

/* ---- worker_map.c ---------------------------------------------------------------- */

/* A new one for the devices of the image, in a memfd; -1: errno says why. */
int map_make(const uint64_t *sizes, uint32_t devices);
/* NULL: it is not one, or there is no memory. */
struct fill_map *map_open(int fd, size_t *bytes);
bool map_has(const struct fill_map *map, uint32_t device, uint64_t begin, uint64_t end);
/* Whole blocks within [begin, end) are there. How many were not before. */
uint64_t map_set(struct fill_map *map, uint32_t device, uint64_t begin, uint64_t end);
/* The first block from `from` on that is not there, in bytes; the size: none. */
uint64_t map_next(const struct fill_map *map, uint32_t device, uint64_t from);
/* The first that is there. */
uint64_t map_next_set(const struct fill_map *map, uint32_t device, uint64_t from);
bool map_complete(const struct fill_map *map);

#endif
