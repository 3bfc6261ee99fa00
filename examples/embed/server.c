/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server of this example lives in a thread of the same process, so that there is
 * nothing to install. What it is asked for and what it answers go through sockets all the
 * same: the other end sees a peer that may be slow, or gone.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "embed.h"

static int send_all(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return 0; /* whoever asked has given up */
        at += n;
        len -= (size_t)n;
    }
    return 1;
}

static int receive(int fd, struct request *request)
{
    char *at = (char *)request;
    size_t have = 0;

    while (have < sizeof *request) {
        ssize_t n = recv(fd, at + have, sizeof *request - have, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        have += (size_t)n;
    }
    request->blob[sizeof request->blob - 1] = '\0';
    return 1;
}

static void send_range(int fd, int blob, uint64_t offset, uint64_t len)
{
    char piece[65536];

    while (len > 0) {
        size_t want = len < sizeof piece ? (size_t)len : sizeof piece;
        ssize_t n = pread(blob, piece, want, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || !send_all(fd, piece, (size_t)n))
            return; /* the connection ends early: the other side notices */
        offset += (uint64_t)n;
        len -= (uint64_t)n;
    }
}

static void serve(struct server *server, int fd, const struct request *request)
{
    struct answer answer = {0, 0, 0};
    struct stat st;
    int blob =
        openat(server->directory, request->blob, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint64_t left = 0;

    if (blob < 0 || fstat(blob, &st) < 0)
        answer.os_errno = errno;
    else if (!S_ISREG(st.st_mode))
        answer.os_errno = EINVAL;
    else
        answer.size = (uint64_t)st.st_size;
    if (request->offset < answer.size)
        left = answer.size - request->offset;
    if (send_all(fd, &answer, sizeof answer) && answer.os_errno == 0)
        send_range(fd, blob, request->offset, request->len < left ? request->len : left);
    if (blob >= 0)
        close(blob);
}

static void wait_while_silent(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    server->requests++;
    server->waiting++;
    pthread_cond_broadcast(&server->changed);
    while (server->silent)
        pthread_cond_wait(&server->changed, &server->lock);
    server->waiting--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static void *run(void *user)
{
    struct server *server = user;
    struct request request;
    int fd;

    while (read(server->door[0], &fd, sizeof fd) == sizeof fd) {
        if (receive(fd, &request)) {
            wait_while_silent(server);
            serve(server, fd, &request);
        }
        close(fd);
    }
    return NULL;
}

int server_begin(struct server *server, const char *directory)
{
    memset(server, 0, sizeof *server);
    server->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (server->directory < 0)
        return -1;
    if (pipe(server->door) < 0)
        goto close_directory;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    errno = pthread_create(&server->thread, NULL, run, server);
    if (errno == 0)
        return 0;
    close(server->door[0]);
    close(server->door[1]);
close_directory:
    close(server->directory);
    return -1;
}

void server_end(struct server *server)
{
    server_silence(server, 0);
    close(server->door[1]);
    pthread_join(server->thread, NULL);
    close(server->door[0]);
    close(server->directory);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
}

int server_connect(struct server *server)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        return -1;
    if (write(server->door[1], &ends[1], sizeof ends[1]) == sizeof ends[1])
        return ends[0];
    close(ends[0]);
    close(ends[1]);
    return -1;
}

void server_silence(struct server *server, int silent)
{
    pthread_mutex_lock(&server->lock);
    server->silent = silent;
    pthread_cond_broadcast(&server->changed);
    while (!silent && server->waiting > 0)
        pthread_cond_wait(&server->changed, &server->lock);
    pthread_mutex_unlock(&server->lock);
}

void server_wait_for_request(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    while (server->waiting == 0)
        pthread_cond_wait(&server->changed, &server->lock);
    pthread_mutex_unlock(&server->lock);
}
