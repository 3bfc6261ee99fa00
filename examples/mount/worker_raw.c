/* SPDX-License-Identifier: Apache-2.0 */
/* /dev/fuse without libfuse: what comes first, and when there is no image to answer with.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker.h"

enum {
    FIRST_BYTES = 64 * 1024,
    MESSAGE_BYTES = (1 << 20) + 4096, /* the kernel gives nothing into less room */
    RESEND = 7                        /* FUSE_NOTIFY_RESEND, not in every linux/fuse.h */
};

/*
 * The kernel's first message, which every worker has to answer. It is read straight into
 * a file that the pump has already, so that no worker can die with it.
 */
bool raw_first(struct served *served, int device)
{
    int *init = &served->worker->fds[served->slot].init;
    struct pollfd waiting = {.fd = device, .events = POLLIN};
    void *room;
    ssize_t n;

    if (*init < 0) {
        int fd = memfd_create("rafs-fuse-init", MFD_CLOEXEC);

        if (fd < 0 || ftruncate(fd, FIRST_BYTES) != 0 ||
            !worker_send(served, VAULT_INIT, 0, fd)) {
            if (fd >= 0)
                close(fd);
            return false;
        }
        *init = fd;
    }
    room = mmap(NULL, FIRST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, *init, 0);
    if (room == MAP_FAILED)
        return false;
    /* A message begins with its length. */
    n = *(uint32_t *)room != 0     ? 1
        : poll(&waiting, 1, 0) > 0 ? read(device, room, FIRST_BYTES)
                                   : 0;
    munmap(room, FIRST_BYTES);
    if (n > 1)
        (void)ftruncate(*init, n);
    return n > 0;
}

/* Nobody waits for what cannot be had: all requests end in an error, those too that a
 * worker before this one had read. */
void raw_refuse(int device)
{
    struct fuse_out_header again = {.len = sizeof again, .error = RESEND};
    struct pollfd waiting = {.fd = device, .events = POLLIN};
    struct fuse_in_header *request = malloc(MESSAGE_BYTES);

    if (!request)
        return;
    while (write(device, &again, sizeof again) < 0 && errno == EINTR)
        ;
    while (poll(&waiting, 1, 0) > 0 && (waiting.revents & POLLIN) &&
           read(device, request, MESSAGE_BYTES) >= (ssize_t)sizeof *request) {
        struct fuse_out_header no = {
            .len = sizeof no, .error = -EIO, .unique = request->unique};

        /* These are not answered. */
        if (request->opcode != FUSE_FORGET && request->opcode != FUSE_BATCH_FORGET &&
            request->opcode != FUSE_INTERRUPT && write(device, &no, sizeof no) < 0)
            break;
    }
    free(request);
}
