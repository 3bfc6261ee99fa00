/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_MOUNT_PUMP_OWN_H
#define RAFS_MOUNT_PUMP_OWN_H

/* What the files of the pump share. All of it is lost when the pump is killed, and made
 * again out of the vault and the table. */

#include <sys/types.h>

#include "holder.h"
#include "late.h"
#include "pump.h"
#include "vault.h"

enum { CONNECTIONS_MAX = 128, ORPHANS_MAX = 64 };

/* What a descriptor in the epoll set is. */
enum pump_kind {
    KIND_WAKE,
    KIND_CONTROL,
    KIND_CONNECTION, /* by index */
    KIND_GROUP,
    KIND_HOLDER,
    KIND_WORKER,
    KIND_WORKER_PID,
    KIND_GONE,
    KIND_MAKER /* by slot: the child that makes its mount */
};

struct pump_device {
    uint64_t size, bits; /* as found and checked in the map */
    uint64_t seen;       /* blocks, when last looked at */
    bool marked;
};

struct pump_slot {
    struct fill_map *map; /* NULL: not a kernel mount, or not yet */
    size_t map_len;
    struct pump_device *devices;
    uint32_t device_count;
    int maker; /* socket of the child that makes the mount; 0: none */
    pid_t maker_pid;
    int connection; /* whose request it is, + 1; 0: none */
};

/* By the number of the detached mount an event's descriptor tells its device. */
struct place {
    uint64_t mount_id;
    uint32_t slot, device;
};

struct connection {
    int fd;        /* -1: free */
    uint32_t slot; /* that it waits for; 0: none */
};

struct pump {
    struct vault *vault;
    struct mount_table *table;
    enum role role;
    int epoll;
    bool group_watched;  /* not while the table is full */
    bool worker_live;    /* it has said or done something since it was started */
    bool worker_stops;   /* was told to */
    bool worker_awaited; /* one is needed, at worker_next_ns */
    bool again;          /* there is more to be done without waiting */
    uint64_t worker_began_ns, worker_next_ns, worker_pause_ns;
    uint64_t worker_good_ns; /* so long there was one that did something */
    uint64_t worker_work;    /* done by all, when this one was started */
    uint32_t upgrade_for;    /* the connection that wants one, + 1; 0: none */
    char *upgrade_to;        /* the binary; NULL: no upgrade */
    uint64_t upgrade_ns;     /* when the worker is ended */
    uint64_t wait_ns;        /* nobody has asked for a mount yet: until then */
    struct pump_slot slots[MOUNTS_MAX];
    struct connection connections[CONNECTIONS_MAX];
    pid_t orphans[ORPHANS_MAX];
    struct place *places; /* in order */
    size_t place_count, place_room;
    uint32_t events_low; /* no entry below is free */
    uint32_t events_used;
    struct late late;
    uint64_t deadline_ns; /* the earliest, or UINT64_MAX */
};

/* ---- pump.c ---- */
uint64_t pump_now(void); /* ns */
bool pump_watch(struct pump *p, enum pump_kind kind, uint32_t index, int fd,
                uint32_t events);
void pump_unwatch(struct pump *p, int fd);
int pump_fd(const struct pump *p, uint32_t slot, uint32_t role);
void pump_wake_worker(struct pump *p);
void pump_orphan(struct pump *p, pid_t pid); /* a child to be waited for, some time */
void pump_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- pump_control.c ---- */
void control_accept(struct pump *p);
void control_request(struct pump *p, uint32_t connection);
void control_close(struct pump *p, uint32_t connection);
/* Whoever waits for the slot hears how it ended, and is let go. */
void control_answer_slot(struct pump *p, uint32_t slot, int exit_code, const char *text);

/* ---- pump_slots.c ---- */
struct mount_slot *slot_at(const struct pump *p, uint32_t slot);
uint32_t slot_state(const struct pump *p, uint32_t slot);
/* 0: none is free. */
uint32_t slot_new(struct pump *p, const struct mount_options *o, int args);
/* Move on all that can be moved on. */
void slots_look(struct pump *p);
/* Which of them serve `dir`; 0: none. */
uint32_t slot_of(const struct pump *p, const char *dir);
/* 0, or errno. */
int slot_unmount(struct pump *p, uint32_t slot, bool lazy);
void slot_end(struct pump *p, uint32_t slot);
void slot_made(struct pump *p, uint32_t slot); /* KIND_MAKER */
bool slots_any(const struct pump *p);
void slots_gone(struct pump *p);  /* VAULT_GONE has something to say */
void slots_found(struct pump *p); /* a new pump looks what there is */
/* The arguments of a slot; false: reported. */
bool slot_options(const struct pump *p, uint32_t slot, struct mount_options *o,
                  char **memory, char ***argv);
void slot_options_free(struct mount_options *o, char *memory, char **argv);

/* ---- pump_kernel.c ---- */
bool kernel_device(struct pump *p, uint32_t slot, uint32_t index, int file);
/* False: `text` says why. */
bool kernel_take(struct pump *p, uint32_t slot, char *text);
bool kernel_mount(struct pump *p, uint32_t slot, const struct mount_options *o,
                  char *text);
/* The mount, which is nowhere yet; -1: `text` says why. */
int kernel_make(struct pump *p, uint32_t slot, const struct mount_words *words,
                char *text);
/* Put it where it belongs. `tree` is taken. */
bool kernel_attach(struct pump *p, uint32_t slot, int tree, const char *dir, char *text);
/* Was it mounted by a pump that was killed then? */
bool kernel_is_mounted(const struct pump *p, uint32_t slot, const char *dir);
/* Take marks off what is complete. */
void kernel_look(struct pump *p, uint32_t slot);
bool kernel_mark(struct pump *p, uint32_t slot, uint32_t device, bool on);
void kernel_release(struct pump *p, uint32_t slot);
uint64_t mount_id_of(int fd, const char *path);

/* ---- pump_fence.c ---- */
/* The fence of a slot, if it is not there yet. */
bool fence_make(struct pump *p, uint32_t slot, char *text);
/* A child that mounts EROFS: KIND_MAKER says when it has something to say. */
bool fence_start(struct pump *p, uint32_t slot, const struct mount_options *o,
                 char *text);
/* What it made; -1: `text` says why there is nothing. */
int fence_made(struct pump *p, uint32_t slot, char *text);
void fence_stop(struct pump *p, uint32_t slot);

/* ---- pump_events.c ---- */
void events_start(struct pump *p); /* and those that another pump had read */
void events_read(struct pump *p);
void events_look(struct pump *p); /* answers, and deadlines */
void events_worker_gone(struct pump *p);
void events_slot_gone(struct pump *p, uint32_t slot);
bool fill_there(const struct pump *p, const struct place *at, uint64_t begin,
                uint64_t end);
bool events_waiting(const struct pump *p);

/* ---- pump_refuse.c ---- */
void refuse_found(struct pump *p);
void refuse_look(struct pump *p);

/* ---- pump_upgrade.c ---- */
void upgrade_want(struct pump *p, uint32_t connection, const char *binary);
void upgrade_look(struct pump *p);         /* may end our role */
void upgrade_arrived(struct vault *vault); /* the new binary's pump is there */

/* ---- pump_control.c ---- */
void control_say(struct pump *p, uint32_t connection, int exit_code, const char *text);

/* ---- pump_worker.c ---- */
void worker_found(struct pump *p); /* a new pump: the old one's is ended */
void worker_look(struct pump *p);  /* start one if there is something to do */
void worker_hear(struct pump *p);
void worker_died(struct pump *p);
bool worker_tell(struct pump *p, uint32_t op, uint32_t slot, uint32_t role, int fd);
bool worker_runs(const struct pump *p);

#endif
