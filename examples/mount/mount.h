/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_MOUNT_H
#define RAFS_MOUNT_H

/*
 * A daemon that serves mounts, on the public API. Three processes:
 *
 *   holder   keeps a duplicate of every descriptor that a mount hangs on; does nothing
 * else pump     owns the mounts: control socket, mount(2), the fanotify groups. Parses
 * nothing but records of fixed size and its user's own requests worker   opens images,
 * fetches, verifies, fills devices, answers FUSE. Without capabilities, in a sandbox; may
 * die at any moment
 *
 * The pump starts the worker anew, pump and holder start each other anew: as long as one
 * of the two lives, readers wait and nobody reads a byte that was not verified. If both
 * are gone, readers of what is not there get an error. Only a kernel mount with --fill
 * events is then open: what was not filled reads as zeros, until a daemon of the same
 * name starts and detaches it. That takes a kill of both within the microseconds that the
 * one needs to start the other (the pair is exempt from the OOM killer where it may be).
 *
 *   holder.c   the pair: who keeps what, who watches whom (vault)
 *   pump.c     requests, slots, life of a mount
 *   pump_kernel.c  devices, marks, events, answers
 *   pump_fence.c   the other way: what is not there yet is read from /dev/fuse
 *   pump_fuse.c    /dev/fuse, fusermount3
 *   worker.c   opens images; worker_fill.c fills; worker_fuse*.c serves; sandbox.c
 *   late.c     how long is waited for what failed just now
 *   mount.c, umount.c, status.c, client.c   the commands, which talk to a pump
 *
 * All share the table below, in a memfd. Everybody believes what the pump wrote; of the
 * worker the pump takes numbers, and checks them. Whoever takes over a worker can show
 * wrong bytes, names and set-id bits in the mounts that it serves (it verifies, and has
 * the file that the kernel reads as metadata), and read and change what the sandbox
 * leaves it: caches, credentials, the network. It gets at no other mount of the system,
 * no other process, and no file elsewhere. Images are seen to before the kernel sees
 * them: rafs_image_write_erofs().
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "command.h"

enum {
    MOUNT_VERSION =
        1, /* of the table and the messages: a new binary takes over only these */
    MOUNTS_MAX = 512, /* of one daemon */
    MOUNT_DEVICES_MAX = 255,
    EVENTS_MAX = 4096, /* readers that wait at once; more wait in the kernel's queue */
    EVENT_BUFFER = 65536,
    MOUNT_TEXT = 512,
    MOUNT_PATH = 4096,
    MOUNT_ARGS = 65536,  /* bytes of a request's arguments */
    MOUNT_NAME_MAX = 64, /* letters of a daemon's name */
    MOUNT_THREADS_MAX = 64,
    FILL_BLOCK = 4096
};

/* How the kernel is kept from what was not verified. */
enum mount_fill { FILL_AUTO, FILL_FENCE, FILL_EVENTS };

enum mount_via { VIA_AUTO, VIA_KERNEL, VIA_FUSE };

/* ---- the table ------------------------------------------------------------------- */

/* Who moves a slot on is said beside each state. */
enum mount_state {
    MOUNT_FREE,
    MOUNT_WANTED,   /* pump: arguments are in the vault; worker: opens the image */
    MOUNT_PREPARED, /* worker: the pump has what it needs; pump: mounts */
    MOUNT_LIVE,     /* pump */
    MOUNT_ENDING,   /* pump: detached or unmounted; worker: closes the image */
    MOUNT_ENDED,    /* worker: the pump frees the slot */
    MOUNT_FAILED    /* worker: could not open it, `text` says why; pump frees the slot */
};

/* Who moves it on, as above. Anything but RECORD_NO: reads have to reach the worker. */
enum record_state {
    RECORD_NO,
    RECORD_WANTED, /* pump, when asked; worker: begins */
    RECORD_ON,     /* worker; pump, when asked: ends it */
    RECORD_STOP    /* pump; worker: keeps what was recorded */
};

struct mount_slot {
    _Atomic uint32_t state; /* enum mount_state */
    uint32_t via;           /* VIA_KERNEL or VIA_FUSE */
    uint32_t number;        /* of the mount, never used again by this daemon */
    uint32_t exit_code;     /* of MOUNT_FAILED */
    uint64_t since_sec;     /* seconds since 1970 */
    uint64_t timeout_ms;    /* longest wait of a reader */
    uint32_t devices;       /* kernel: blobs */
    uint32_t fence;         /* kernel: 1: they are behind a fence; 0: events */
    uint32_t owner;         /* uid who asked */
    char dir[MOUNT_PATH];
    char image[MOUNT_PATH]; /* as the user called it */
    char
        pinned[MOUNT_PATH]; /* by which it is opened again: a reference with its digest */
    /* What `rafs status` shows; the worker counts, the pump too where it says so. */
    _Atomic uint64_t bytes_total;  /* of all devices (uncompressed) */
    _Atomic uint64_t bytes_filled; /* of them there and verified */
    _Atomic uint64_t events;       /* pump: kernel; worker: FUSE requests */
    _Atomic uint64_t waiting;      /* now */
    _Atomic uint64_t failures;     /* reads that ended in an error */
    _Atomic uint64_t fetched_bytes, fetched_chunks, refused_chunks;
    _Atomic uint32_t complete;  /* kernel: marks are off */
    _Atomic uint32_t recording; /* enum record_state: a trace that was asked for */
    char text[MOUNT_TEXT];      /* the last failure, or why MOUNT_FAILED */
};

/* A reader who waits, kernel way. */
enum event_state {
    EVENT_FREE,
    EVENT_WAITING, /* pump: for a worker */
    EVENT_TAKEN,   /* worker: one of its threads has it; pump: WAITING again when the
                      worker dies */
    EVENT_DONE,    /* worker: with its answer; pump: answers, then FREE */
};

/*
 * `word` is the state in its lowest byte, the answer in the next, and above them how
 * often the entry was used. It is changed by comparing and exchanging the whole of it: a
 * thread of the worker that comes back late, after the pump has given up the event and
 * used its entry for another reader, cannot answer for that one.
 */
struct mount_event {
    _Atomic uint64_t word;
    uint32_t slot;
    uint32_t number;      /* of the slot's mount */
    uint32_t device;      /* index of the blob */
    int32_t fd;           /* by which the kernel knows the event */
    uint64_t offset, len; /* in the device */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; past it the pump says EIO by itself */
    uint64_t begin_ns;
    int32_t pid; /* of the reader */
    uint32_t reserved;
};

static inline uint32_t event_state(uint64_t word)
{
    return (uint32_t)(word & 0xff); /* enum event_state */
}
/* 0: allow; else errno, one that fanotify can give */
static inline int event_answer(uint64_t word)
{
    return (int)(word >> 8 & 0xff);
}
/* The same use of the entry, further on. */
static inline uint64_t event_moved(uint64_t word, uint32_t state, int answer)
{
    return (word & ~(uint64_t)0xffff) | (uint64_t)(answer & 0xff) << 8 | state;
}
/* The next use; the entry's other fields are written before this is stored. */
static inline uint64_t event_entered(uint64_t word)
{
    return ((word >> 16) + 1) << 16 | EVENT_WAITING;
}

struct mount_table {
    uint32_t version; /* MOUNT_VERSION */
    uint32_t size;    /* sizeof(struct mount_table) */
    _Atomic int32_t holder_pid, pump_pid, worker_pid;
    _Atomic uint32_t holders, pumps, workers; /* started so far */
    _Atomic uint32_t next_number;
    /* Events as read(2) put them there, so that they outlive a pump that dies between
     * reading and entering them. The group that they came from; bytes. */
    uint32_t read_slot;
    _Atomic uint32_t read_bytes;
    uint8_t read_buffer[EVENT_BUFFER] __attribute__((aligned(16)));
    /* Entries from here on were never used; the pump takes the lowest that is free. */
    _Atomic uint32_t events_high, slots_high;
    struct mount_event events[EVENTS_MAX];
    struct mount_slot slots[MOUNTS_MAX];
};

/* What of a kernel mount's devices is there: one memfd a mount, made by the worker,
 * sealed against resizing. Blocks of FILL_BLOCK bytes; a set bit: the block was verified
 * since the mount began, or no chunk of the image lies there. Bits are only ever set. */
struct fill_map {
    uint32_t version, devices;
    struct fill_device {
        uint64_t size; /* bytes, a multiple of FILL_BLOCK */
        uint64_t bits; /* where its bits begin: byte from the start of the map */
        _Atomic uint64_t blocks; /* that are set */
        _Atomic uint32_t marked; /* pump: events are asked for */
        uint32_t reserved;
    } device[MOUNT_DEVICES_MAX];
};

/* ---- the vault ------------------------------------------------------------------- */

/* Descriptors that outlive processes, by slot, role and index. Holder and pump have all
 * of them, and so has whatever they start. */
enum vault_role {
    VAULT_TABLE,   /* slot 0: the memfd of the table */
    VAULT_CONTROL, /* slot 0: the listening control socket */
    VAULT_WAKE_PUMP,
    VAULT_WAKE_WORKER, /* slot 0: eventfds */
    VAULT_ARGS,        /* memfd: the arguments of `rafs mount`, each ended by NUL */
    VAULT_META,        /* kernel: the EROFS bootstrap, a file without a name in the folder
                          of the cache: EROFS takes no memfd */
    VAULT_MAP,         /* kernel: memfd, struct fill_map */
    VAULT_GROUP,       /* kernel: the fanotify group */
    VAULT_DEVICE, /* kernel, by index: the detached mount of the blob's file, whose mark
                     gives events for what EROFS reads and for nobody else. A WORKER_FD of
                     this role carries the file itself, of which the pump makes it */
    VAULT_FILE,  /* kernel, by index: that file as rafs_image_fill_file() gave it. As long
                    as somebody has it, no cache deletes the file; and a worker that opens
                    the image anew sees by it whether it would fill another one */
    VAULT_FUSE,  /* fuse: /dev/fuse */
    VAULT_INIT,  /* fuse: memfd, the first message, replayed to a new worker */
    VAULT_FENCE, /* kernel: /dev/fuse of the fence */
    VAULT_FENCE_ROOT, /* kernel: its file system, mounted nowhere */
    VAULT_LAYOUT,     /* kernel, behind a fence, version 5: the bootstrap that the worker
                         reads; VAULT_META changes */
    VAULT_GONE        /* inotify: IN_UNMOUNT of the mount's root */
};

struct vault;
int vault_get(const struct vault *vault, uint32_t slot, uint32_t role, uint32_t index);
/* Pump: keep a descriptor (taken) and give a duplicate to the holder; when it returns,
 * both have it. False: no holder took it in time, or no descriptors left; nothing is
 * kept. */
bool vault_put(struct vault *vault, uint32_t slot, uint32_t role, uint32_t index, int fd);
/* All of a slot, here and at the holder. */
void vault_drop(struct vault *vault, uint32_t slot);

/* ---- messages between pump and worker, by SOCK_SEQPACKET ----------------------------
 */

/* To the worker the pump says nothing but new descriptors and the end: it looks at the
 * slots whenever VAULT_WAKE_WORKER is signalled. */
enum worker_op {
    /* One descriptor: slot, role, index. Worker → pump: for the vault. Pump → worker:
     * VAULT_ARGS, before the slot becomes MOUNT_WANTED; VAULT_INIT, before WORKER_FUSE.
     * A worker that starts later has them from its copy of the vault. */
    WORKER_FD,
    WORKER_PREPARED, /* worker → pump: state is MOUNT_PREPARED now (or MOUNT_FAILED) */
    WORKER_FUSE,     /* pump → worker: /dev/fuse of the slot */
    WORKER_STOP      /* pump → worker: give back what is half done, and exit */
};
struct worker_message {
    uint32_t op, slot, role, index;
};

/* ---- requests to a pump, by SOCK_SEQPACKET at STATE/NAME.sock ------------------------
 */

enum control_op {
    CONTROL_MOUNT,  /* payload: arguments of `rafs mount`, absolute, each ended by NUL */
    CONTROL_UMOUNT, /* payload: the directory; flags: CONTROL_LAZY */
    CONTROL_TABLE,  /* answer carries the table, open for reading only */
    CONTROL_RECORD, /* payload: the directory; flags: CONTROL_STOP; answer: state of it */
    CONTROL_UPGRADE, /* payload: path of the new binary; the answer comes from it */
    CONTROL_END      /* unmount all and leave; flags: CONTROL_LAZY */
};
enum { CONTROL_LAZY = 1, CONTROL_STOP = 2 };
struct control_request {
    uint32_t version, op, flags, length; /* of the payload that follows */
};
struct control_answer {
    uint32_t version;
    uint32_t exit_code; /* EXIT_ */
    uint32_t slot, number;
    char text[MOUNT_TEXT]; /* why not, in one line */
};

/* ---- options ------------------------------------------------------------------------
 */

/* What -o says, taken apart. */
struct mount_words {
    unsigned long flags; /* MS_ of mount(2), MS_RDONLY always among them */
    char *kernel;        /* "context=X,noacl" and the like: for EROFS; never NULL */
    char *fuse;          /* "allow_other,…": for fuse; never NULL */
    char *uid_map,
        *gid_map; /* lines of /proc/PID/uid_map, of an idmapped mount; or NULL */
};

/* `rafs mount` as it was called; parsed by the command and again by each worker. */
struct mount_options {
    struct command c; /* the common options */
    const char *image, *dir;
    uint32_t via; /* enum mount_via; in a request never VIA_AUTO */
    bool foreground;
    const char *daemon;  /* NULL: one of its own */
    const char *options; /* -o, without rafs.NAME; "" if there is none */
    struct mount_words words;
    uint32_t fill;      /* enum mount_fill */
    uint32_t threads;   /* of the worker for this mount; 0: the default */
    bool prefetch_all;  /* fill all in the background */
    bool no_trace;      /* do not use or keep the image's trace */
    bool upgrade;       /* dir or daemon is to be taken over by `binary`, or by us */
    const char *binary; /* NULL: this one */
    /* Memory and arguments of the above. */
    int argc, more_count;
    char **argv, **more; /* as called; what -o rafs.NAME=VALUE says, as --NAME=VALUE */
    char *joined;
};
/* argv[0] is "mount"; argv must outlive options. False: said why, exit code in c.outcome.
 * Free it either way. --help: false, and the exit code is 0. */
bool mount_parse(struct mount_options *options, int argc, char **argv);
void mount_options_free(struct mount_options *options); /* command_end() is yours */

/* The arguments of a request: as called, paths made absolute, each ended by NUL; to
 * free(). NULL: said why and noted. `cache` is named as --cache-dir unless NULL. */
char *mount_request(struct mount_options *options, const char *cache, size_t *len);
/* And back: argv in memory to free(); its strings are those of `request`. NULL: none, or
 * these are no arguments. */
char **mount_arguments(char *request, size_t len, int *argc);

/* mount_ids.c: make the detached mount `tree` (fsmount(2), open_tree(2)) show owners as
 * the maps say. 0, or errno. */
int mount_ids_apply(int tree, const struct mount_words *words);

#endif
