/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "build/builder.h"

/* A tar stream from a descriptor. */

enum { SLICE_MS = 100 };

struct descriptor {
    const struct rafsi_env *env;
    const char *name;
    int fd;
};

/* Until there is something to read, a token fires, or a slice is over. */
static void wait_slice(const struct descriptor *from, const rafs_call *call)
{
    const rafs_cancel *tokens[2] = {from->env->set.cancel, call ? call->cancel : NULL};
    uint64_t left = rafsi_call_left_ns(from->env, call, SLICE_MS * 1000000ull);
    struct pollfd fds[3] = {{.fd = from->fd, .events = POLLIN}};
    nfds_t count = 1;

    for (size_t i = 0; i < 2; i++)
        if (tokens[i])
            fds[count++] =
                (struct pollfd){.fd = rafs_cancel_fd(tokens[i]), .events = POLLIN};
    (void)poll(fds, count, (int)((left + 999999) / 1000000));
}

static bool is_ready(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};

    return poll(&one, 1, 0) > 0; /* also at the end, and if the descriptor is bad */
}

/* Files are ready always; what others have no one but poll() can tell without waiting. */
static int read_some(void *user, void *buf, size_t len, size_t *got,
                     const rafs_call *call, rafs_error *err)
{
    struct descriptor *from = user;

    for (;;) {
        ssize_t n;
        int rc = rafsi_call_check(from->env, call, RAFS_STAGE_FETCH, err);

        if (rc < 0)
            return rc;
        if (!is_ready(from->fd)) {
            wait_slice(from, call);
            continue;
        }
        n = read(from->fd, buf, len);
        if (n >= 0) {
            *got = (size_t)n;
            return RAFS_OK;
        }
        /* Somebody else may have taken what was there. */
        if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
            return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, errno, from->name,
                                 "cannot be read");
    }
}

int rafsi_source_tar_fd(rafs_builder *builder, int fd, const char *name,
                        const rafs_call *call, rafs_error *err)
{
    struct descriptor from = {&builder->image.env, name ? name : "tar stream", fd};

    return rafsi_source_tar(builder, read_some, &from, from.name, call, err);
}
