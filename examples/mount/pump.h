/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_MOUNT_PUMP_H
#define RAFS_MOUNT_PUMP_H

/*
 * The daemon, as the commands see it: holder and pump.
 *
 *   daemon.c         what a daemon begins with
 *   vault.c          descriptors by slot, role and index, and what else must outlive a
 *                    process that is killed
 *   holder.c         the pair: each starts the other anew
 *   pump.c           the loop; what a pump does first, and last
 *   pump_control.c   requests
 *   pump_slots.c     life of a mount
 *   pump_worker.c    starts workers, hears them
 *   pump_kernel.c    devices, marks, mount(2)
 *   pump_events.c    readers who wait
 *   pump_fuse.c      /dev/fuse
 *   pump_notify.c    what systemd is told
 *   pump_upgrade.c   from one binary to the next
 */

#include "mount.h"

struct daemon_start {
    int listen;        /* SOCK_SEQPACKET, listening at STATE/NAME.sock; taken */
    const char *state; /* the folder */
    const char *name;
    bool
        stay; /* also without a mount: until CONTROL_END or a signal. Otherwise it leaves
                 when the last mount is gone, or if nobody asks for one within a minute */
};

/*
 * Be the daemon until it ends. Gives the exit code.
 *
 * To be called in a process of its own, or in the command's (--foreground), with one
 * thread, that has opened no image: workers are forked from it. Standard input to error

 * stay as they are; other descriptors that are open stay open. Signals: SIGTERM, SIGINT
 and SIGHUP
 * unmount all and end it. It takes requests at once.
 */
int daemon_run(const struct daemon_start *start);

/* `rafs mount --hold FD`: what an upgrade runs; argv[0] is "mount", argv[1] "--hold".
 * Gives the exit code. */
int daemon_hold(int argc, char **argv);

/*
 * pump_fuse.c: mount /dev/fuse at options->dir; `source` is what mountinfo shows. May be
 * refused; must not ask the new file system anything (its worker does not answer yet).
 * Gives its descriptor (O_CLOEXEC), or -1 and `text` (MOUNT_TEXT bytes) says why.
 */
int pump_fuse_mount(const struct mount_options *options, const char *source, char *text);
/* 0, or errno: EBUSY. */
int pump_fuse_umount(const char *dir, bool lazy);

#endif
