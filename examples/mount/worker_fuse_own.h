/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_WORKER_FUSE_OWN_H
#define RAFS_WORKER_FUSE_OWN_H

/* What the files worker_fuse*.c share, and nobody else. */

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <sched.h>

#include "late.h"
#include "worker_fuse.h"

enum {
    FUSE_READ_MAX = 1 << 20, /* bytes in one answer; the kernel's limit, 256 pages */
    FUSE_STACK = 1 << 20,    /* of a thread; address space, not memory */
    FUSE_THREADS_MAX = 256,  /* of a service, whatever was asked for */
    FUSE_NODE_ROOT = FUSE_ROOT_ID
};

/* Something that may wait for the network: a read, or a search for a hole. */
struct reading {
    struct reading *next, *prev; /* in one of the lists of struct readings */
    fuse_req_t req;
    uint64_t ino, offset;
    uint64_t began_ns, allowed_ns, deadline_ns; /* the last two 0: for ever */
    size_t size;                                /* bytes wanted */
    int whence; /* 0: a read; else SEEK_DATA or SEEK_HOLE */
    pid_t pid;  /* who waits; 0: cannot be told */
    bool interrupted;
    /* Of those that run; kept for the next one. */
    uint8_t *buf;
    rafs_cancel *cancel;
};

struct reading_list {
    struct reading *first, *last;
};

struct readings {
    pthread_mutex_t lock;
    struct reading_list running, queued;
    struct reading *spare; /* with buf and cancel */
    uint32_t count;        /* running */
    uint32_t most;         /* that may run at once */
    uint32_t spares;
    struct late late;
    /* worker_fuse_stop.c */
    pthread_t watcher;
    pthread_cond_t wake;
    bool watching, ending;
};

/* worker_fuse_cpu.c: what was asked lately, and where our threads are for it. Only a
 * guess depends on it, so its parts need not be of one moment. */
struct fuse_cpu {
    _Atomic int32_t pid; /* whose requests are counted */
    _Atomic uint32_t seen, same;
    _Atomic uint64_t bytes, ns;
    _Atomic int32_t at; /* processor; -1: any */
    cpu_set_t all;
};

struct fuse_service {
    struct fuse_wish wish;
    rafs_image *image;
    struct mount_slot *slot;
    struct fuse_session *session;
    struct statvfs statfs;
    uint64_t root;
    bool xattrs; /* the image has any */
    int device;
    size_t message_bytes; /* room for one from the kernel */
    _Atomic bool over, stopping;
    _Atomic uint32_t idle;   /* threads that wait for a request */
    uint32_t most;           /* threads */
    pthread_mutex_t lock;    /* of what follows */
    pthread_cond_t left;     /* a thread did */
    uint32_t threads;        /* started */
    uint32_t parked, called; /* that wait for a call; calls not yet heard */
    pthread_cond_t call;
    uint32_t entered; /* of them those with a number below */
    pid_t tids[FUSE_THREADS_MAX];
    struct readings readings;
    struct fuse_cpu cpu;
    struct fuse_kept *kept; /* NULL: a fence */
};

static inline struct fuse_service *service_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* The kernel knows the root as 1, and nothing as 0. */
static inline uint64_t node_of(const struct fuse_service *s, uint64_t ino)
{
    if (ino == s->root)
        return FUSE_NODE_ROOT;
    return ino <= 1 ? UINT64_MAX - ino : ino;
}

static inline uint64_t ino_of(const struct fuse_service *s, uint64_t node)
{
    if (node == FUSE_NODE_ROOT)
        return s->root;
    return node >= UINT64_MAX - 1 ? UINT64_MAX - node : node;
}

/* Immutable: what the kernel knows stays true. */
#define FUSE_FOR_EVER 4294967295.0

/* worker_fuse_ops.c */
extern const struct fuse_lowlevel_ops fuse_ops;
/* worker_fuse_fence.c */
extern const struct fuse_lowlevel_ops fuse_fence_ops;
int fuse_fence_read(struct fuse_service *s, const struct reading *r,
                    const rafs_call *call, size_t *nread, rafs_error *err);
int fuse_errno(const rafs_error *err);
void fuse_stat_of(const struct fuse_service *s, const rafs_attr *attr, struct stat *out);
void fuse_entry_of(const struct fuse_service *s, const rafs_attr *attr,
                   struct fuse_entry_param *out);
/* Say what failed, and give the errno for the reader. */
int fuse_failed(struct fuse_service *s, const char *doing, uint64_t ino,
                const rafs_error *err);

/* worker_fuse_dir.c */
void fuse_op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                     struct fuse_file_info *file);
void fuse_op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                         struct fuse_file_info *file);

/* worker_fuse_read.c */
bool readings_init(struct fuse_service *s);
void readings_stop(struct fuse_service *s); /* cancels what runs, forgets what waits */
void readings_free(struct fuse_service *s);
void fuse_op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                  struct fuse_file_info *file);
void fuse_op_lseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence,
                   struct fuse_file_info *file);
uint64_t now_ns(void); /* CLOCK_MONOTONIC */
void reading_unlink(struct reading_list *list, struct reading *r);
void reading_free(struct reading *r);

/* worker_fuse_kept.c */
bool fuse_kept_init(struct fuse_service *s, uint32_t blobs);
void fuse_kept_free(struct fuse_service *s);
/* What `r` wants, into its memory; false: not this way. */
bool fuse_kept_read(struct fuse_service *s, struct reading *r, const rafs_call *call,
                    size_t *nread);

/* worker_fuse_cpu.c */
void fuse_cpu_init(struct fuse_service *s);
/* It was answered, or at least thought about, for so long. */
void fuse_cpu_note(struct fuse_service *s, const void *message, uint64_t ns);

/* worker_fuse_stop.c: what fuse_req_interrupt_func() calls. */
void reading_interrupted(fuse_req_t req, void *reading);
void readings_watch_end(struct fuse_service *s);

#endif
