/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend of one's own. Nothing that it hands over is believed, so there is nothing to
 * check here; but it is the one who waits, so the deadline and the cancel token are its
 * business: it never sleeps in anything but poll().
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "embed.h"

/* The environment of main.c leaves the clock as it is, and the default is this one. */
static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Milliseconds that poll() may take: -1 without a deadline, 0 when it is over. */
static int time_left(const rafs_call *call)
{
    uint64_t now = now_ns();

    if (call->deadline_ns == 0)
        return -1;
    if (now >= call->deadline_ns)
        return 0;
    return (int)((call->deadline_ns - now) / 1000000u % 3600000u) + 1;
}

/* Until fd has something, the deadline is over or the token was fired. */
static int wait_for(int fd, const rafs_call *call, const char *blob, rafs_error *err)
{
    struct pollfd wake[2] = {{fd, POLLIN, 0}, {-1, POLLIN, 0}};
    int left;

    if (call->cancel)
        wake[1].fd = rafs_cancel_fd(call->cancel);
    for (;;) {
        if (rafs_cancel_fired(call->cancel))
            return rafs_error_set(err, RAFS_E_CANCELLED, ECANCELED, blob, "cancelled");
        left = time_left(call);
        if (left == 0)
            return rafs_error_set(err, RAFS_E_TIMEOUT, ETIMEDOUT, blob,
                                  "the server did not answer in time");
        if (poll(wake, 2, left) < 0 && errno != EINTR)
            return rafs_error_set(err, RAFS_E_BACKEND, errno, blob, "poll failed");
        if (wake[0].revents)
            return RAFS_OK;
    }
}

/* len bytes, or why not. */
static int receive(int fd, void *buf, size_t len, const rafs_call *call, const char *blob,
                   rafs_error *err)
{
    char *at = buf;

    while (len > 0) {
        ssize_t n = recv(fd, at, len, MSG_DONTWAIT);
        int rc;

        if (n > 0) {
            at += n;
            len -= (size_t)n;
            continue;
        }
        if (n == 0)
            return rafs_error_set(err, RAFS_E_BACKEND, ECONNRESET, blob,
                                  "the server ended the connection early");
        if (errno != EAGAIN && errno != EINTR)
            return rafs_error_set(err, RAFS_E_BACKEND, errno, blob, "no answer");
        rc = wait_for(fd, call, blob, err);
        if (rc < 0)
            return rc;
    }
    return RAFS_OK;
}

/* One request: bytes [offset, offset + len) of the blob, as far as it goes. */
static int ask(struct server *server, const char *blob, uint64_t offset, void *buf,
               size_t len, size_t *nread, uint64_t *size, const rafs_call *call,
               rafs_error *err)
{
    struct request request = {.offset = offset, .len = len};
    struct answer answer;
    int rc = RAFS_E_BACKEND, fd = server_connect(server);

    if (fd < 0)
        return rafs_error_set(err, RAFS_E_BACKEND, errno, blob, "no connection");
    snprintf(request.blob, sizeof request.blob, "%s", blob);
    if (send(fd, &request, sizeof request, MSG_NOSIGNAL) != sizeof request) {
        rc = rafs_error_set(err, RAFS_E_BACKEND, errno, blob, "cannot ask");
        goto out;
    }
    rc = receive(fd, &answer, sizeof answer, call, blob, err);
    if (rc < 0)
        goto out;
    if (answer.os_errno != 0) {
        rc =
            rafs_error_set(err, answer.os_errno == ENOENT ? RAFS_E_NOENT : RAFS_E_BACKEND,
                           answer.os_errno, blob, "the server cannot read it");
        goto out;
    }
    *size = answer.size;
    *nread = 0;
    if (offset < answer.size)
        *nread = answer.size - offset < len ? (size_t)(answer.size - offset) : len;
    rc = receive(fd, buf, *nread, call, blob, err);
out:
    close(fd);
    return rc;
}

struct blob {
    uint64_t size;
    char id[RAFS_BLOB_ID_MAX + 1];
};

static int source_open(void *user, const char *blob_id, void **out, const rafs_call *call,
                       rafs_error *err)
{
    struct blob *blob = malloc(sizeof *blob);
    size_t n;
    int rc;

    if (!blob)
        return rafs_error_set(err, RAFS_E_NOMEM, 0, blob_id, "out of memory");
    snprintf(blob->id, sizeof blob->id, "%s", blob_id);
    rc = ask(user, blob->id, 0, NULL, 0, &n, &blob->size, call, err);
    if (rc < 0)
        free(blob);
    else
        *out = blob;
    return rc;
}

static int source_size(void *user, void *blob, uint64_t *size, const rafs_call *call,
                       rafs_error *err)
{
    (void)user;
    (void)call;
    (void)err;
    *size = ((struct blob *)blob)->size;
    return RAFS_OK;
}

static int source_read(void *user, void *blob, uint64_t offset, void *buf, size_t len,
                       size_t *nread, const rafs_call *call, rafs_error *err)
{
    uint64_t size;

    return ask(user, ((struct blob *)blob)->id, offset, buf, len, nread, &size, call,
               err);
}

static void source_close(void *user, void *blob)
{
    (void)user;
    free(blob);
}

int source_new(struct server *server, const rafs_env *env, rafs_backend **out,
               rafs_error *err)
{
    rafs_backend_ops ops = RAFS_BACKEND_OPS_INIT;

    ops.flags = RAFS_BACKEND_REMOTE; /* requests cost: chunks side by side in one */
    ops.name = "embed";
    ops.open = source_open;
    ops.size = source_size;
    ops.read = source_read;
    ops.close = source_close;
    return rafs_backend_new(&ops, server, env, out, err);
}
