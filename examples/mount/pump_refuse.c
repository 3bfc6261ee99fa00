/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of FUSE, answered with an error by the pump: when no worker could be started
 * for longer than a reader may wait. What kernel and pump say to each other here has a
 * fixed size and comes from the kernel alone. Source: linux/fuse.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pump_own.h"

enum {
    REQUEST_BYTES = (1 << 20) + 8192, /* no less is read from /dev/fuse at all */
    AT_ONCE_MAX = 4096,
    NOTIFY_RESEND = 7 /* FUSE_NOTIFY_RESEND, since Linux 6.9 */
};

static bool set_blocking(int device, bool blocking)
{
    int flags = fcntl(device, F_GETFL);

    if (flags < 0)
        return false;
    flags = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
    return fcntl(device, F_SETFL, flags) == 0;
}

/* What a worker had read and not answered is asked again. Without that, in an older
 * kernel, it hangs until it is killed. */
static void ask_again(int device)
{
    struct fuse_out_header out = {.len = sizeof out, .error = NOTIFY_RESEND};
    ssize_t n = write(device, &out, sizeof out);

    (void)n;
}

static void answer(int device, const struct fuse_in_header *in)
{
    struct fuse_out_header out = {.len = sizeof out, .error = -EIO, .unique = in->unique};
    ssize_t n;

    switch (in->opcode) {
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        return; /* want no answer */
    case FUSE_DESTROY:
        out.error = 0;
        break;
    default:
        break;
    }
    n = write(device, &out, sizeof out);
    (void)n; /* ENOENT: the reader was killed */
}

static uint32_t refuse(int device, void *room)
{
    struct fuse_in_header in;
    uint32_t count = 0;

    if (!set_blocking(device, false))
        return 0;
    ask_again(device);
    while (count < AT_ONCE_MAX &&
           read(device, room, REQUEST_BYTES) >= (ssize_t)sizeof in) {
        memcpy(&in, room, sizeof in);
        answer(device, &in);
        count++;
    }
    set_blocking(device, true);
    return count;
}

static int device_of(const struct pump *p, uint32_t slot)
{
    int fence = pump_fd(p, slot, VAULT_FENCE);

    return fence >= 0 ? fence : pump_fd(p, slot, VAULT_FUSE);
}

/* A pump that was killed in between left it as no worker expects it. */
void refuse_found(struct pump *p)
{
    for (uint32_t i = 1; i < MOUNTS_MAX; i++) {
        if (device_of(p, i) >= 0)
            set_blocking(device_of(p, i), true);
    }
}

/* Before a worker is started: nobody else reads there. */
void refuse_look(struct pump *p)
{
    uint64_t alone_ms = (pump_now() - p->worker_good_ns) / 1000000;
    void *room = NULL;

    for (uint32_t i = 1; i < MOUNTS_MAX; i++) {
        struct mount_slot *s = slot_at(p, i);
        int device = device_of(p, i);
        uint32_t count;

        if (device < 0 || slot_state(p, i) != MOUNT_LIVE || s->timeout_ms == 0 ||
            alone_ms < s->timeout_ms)
            continue;
        if (!room && (room = malloc(REQUEST_BYTES)) == NULL)
            return;
        count = refuse(device, room);
        atomic_fetch_add(&s->failures, count);
        if (count > 0)
            pump_log("%s: no worker lives; %u requests refused", s->dir, count);
    }
    free(room);
}
