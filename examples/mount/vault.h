/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_MOUNT_VAULT_H
#define RAFS_MOUNT_VAULT_H

/*
 * What outlives a process that is killed.
 *
 * Holder and pump share one table of descriptors (clone(2) with CLONE_FILES) and this
 * memory. So a descriptor that one of them has made the other has too, from that moment
 * on; the descriptor of an event stays what it was when a pump dies, and no number is
 * given out twice while a reader waits for its answer. Only when both are gone are the
 * descriptors closed.
 *
 * A number that is in no entry here was being made or closed by a pump that was killed:
 * the next pump closes it (vault_sweep). Hence the order everywhere: make, then enter;
 * clear the entry, then close.
 *
 * The worker is forked with a table of its own and gets a copy of the entries it may
 * have.
 */

#include "mount.h"

enum {
    VAULT_WORKER = VAULT_GONE + 1, /* slot 0: the pump's end of its socket */
    VAULT_WORKER_PID,              /* slot 0: its pidfd */
    VAULT_VAULT,                   /* slot 0: the memfd of this memory */
    VAULT_ROLES,
    VAULT_FOREIGN = 1024
};

/* An event that waits; the worker sees the table's entry of the same index, which it
 * could write to: so nothing is read from there but the word. */
struct kept_event {
    _Atomic int32_t fd; /* number + 1; 0: none */
    uint32_t slot, device, reserved;
    uint64_t offset, len, deadline_ns;
};

struct kept_slot {
    _Atomic int32_t fd[VAULT_ROLES]; /* number + 1; 0: none */
    _Atomic int32_t device[MOUNT_DEVICES_MAX], file[MOUNT_DEVICES_MAX];
    _Atomic uint64_t mount_id; /* of what is or is about to be mounted; 0: nothing yet */
    _Atomic int32_t watch;     /* of VAULT_GONE, + 1 */
    _Atomic uint32_t detached; /* by us: it ends when its last user leaves */
    _Atomic uint32_t deaths;   /* of workers that were opening it */
    uint64_t timeout_ms;       /* as asked for: no worker makes readers wait longer */
    _Atomic uint32_t marked;   /* kernel: events are asked for */
};

struct vault {
    uint32_t version, size;
    /* pidfds. clone(2) writes the next one before the child runs. */
    int holder, pump, next_holder, next_pump;
    _Atomic int32_t holder_pid;
    _Atomic uint32_t generation; /* of the pair that serves: an upgrade makes the next */
    _Atomic uint32_t arrived;    /* the last generation whose pump has said so */
    _Atomic uint32_t leaving;    /* unmount all and end */
    _Atomic uint32_t over;       /* has ended: no holder starts a pump */
    uint32_t stay;
    _Atomic uint32_t exit_code;
    _Atomic uint32_t asked; /* somebody wanted a mount */
    char state[MOUNT_PATH];
    char name[MOUNT_NAME_MAX + 16];
    char oom_score[16];                   /* the user's, for the worker */
    uint64_t files_soft;                  /* the user's limit, for the worker */
    uint64_t foreign[VAULT_FOREIGN / 64]; /* open before us: not ours to close */
    /* Events as read(2) put them there, so that they outlive a pump that dies between
     * reading and entering them. All zeros after the last. */
    uint8_t read_buffer[EVENT_BUFFER] __attribute__((aligned(16)));
    struct kept_event events[EVENTS_MAX];
    struct kept_slot slots[MOUNTS_MAX];
};

/* NULL: errno. The memfd is in it. */
struct vault *vault_new(void);

/* Close what no entry names, but `also` (-1: none), in the process that calls it. */
void vault_sweep(const struct vault *vault, int also);

/* What is open now and was not entered is not ours to close, but `ours`. */
void vault_note_foreign(struct vault *vault, int ours);
/* All that are entered, and events: are they to survive exec(2)? */
void vault_inherit(const struct vault *vault, bool inherit);

/* In a child that makes the mount of `slot`: close what it does not need. */
void vault_keep_mount(const struct vault *vault, uint32_t slot, int socket);

/* What a worker gets: to be made before it is forked, for entries change. NULL: errno. */
struct vault *vault_for_worker(const struct vault *vault);
void vault_free(struct vault *vault); /* the memory alone */

/* Its number, or -1. */
static inline int kept_fd(const _Atomic int32_t *entry)
{
    return atomic_load(entry) - 1;
}
/* Clear and close. */
void kept_close(_Atomic int32_t *entry);

#endif
