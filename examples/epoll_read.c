/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read many files at once in one thread that never waits for any of them:
 *
 *     cc -std=c99 epoll_read.c $(pkg-config --cflags --libs rafs) -o epoll_read
 *     ./epoll_read IMAGE SOURCE PATH...
 *
 * SOURCE is a folder of blobs, or the http(s) URL of one. Prints the length and the sum
 * of the bytes of each file as it is done. At most READS pieces are under way, so the
 * memory is bounded however many files there are. SIGINT ends it: what is under way is
 * cancelled and waited for.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <rafs/rafs.h>

enum { READS = 32, PIECE = 65536 };

struct file {
    const char *path;
    uint64_t ino, size, submitted, done, sum;
    int failed;
};

/* A buffer belongs to the queue from submit to completion; its number is the tag. */
struct piece {
    struct file *file;
    char bytes[PIECE];
};

struct loop {
    const rafs_image *image;
    rafs_queue *queue;
    struct file *files;
    size_t file_count, next; /* next: the first that is not all submitted */
    struct piece *pieces;
    size_t idle[READS], idle_count;
    int stop; /* SIGINT came */
    int bad;  /* a file failed */
};

static int begin_file(struct loop *loop, struct file *file, rafs_error *err)
{
    rafs_attr attr;
    int rc = rafs_image_resolve(loop->image, file->path, 0, &file->ino, err);

    if (rc == RAFS_OK)
        rc = rafs_image_get_attr(loop->image, file->ino, &attr, err);
    if (rc == RAFS_OK)
        file->size = attr.size;
    return rc;
}

static void fail_file(struct loop *loop, struct file *file, const rafs_error *err)
{
    if (!file->failed && !loop->stop)
        fprintf(stderr, "%s: %s: %s\n", file->path, err->object, err->text);
    file->failed = loop->bad = 1;
}

/* Submit as much as there is room for. */
static int submit(struct loop *loop, rafs_error *err)
{
    while (loop->idle_count > 0 && loop->next < loop->file_count && !loop->stop) {
        struct file *file = &loop->files[loop->next];
        size_t number = loop->idle[loop->idle_count - 1];
        rafs_queue_read read = RAFS_QUEUE_READ_INIT;
        int rc;

        if (file->ino == 0 && begin_file(loop, file, err) < 0)
            fail_file(loop, file, err);
        if (file->failed || (file->submitted >= file->size && file->submitted > 0)) {
            loop->next++;
            continue;
        }
        read.image = loop->image;
        read.ino = file->ino;
        read.offset = file->submitted;
        read.buf = loop->pieces[number].bytes;
        read.len = PIECE;
        read.tag = number;
        rc = rafs_queue_submit(loop->queue, &read, NULL, err);
        if (rc < 0)
            return rc;
        loop->pieces[number].file = file;
        loop->idle_count--;
        file->submitted += PIECE; /* an empty file is read once too */
    }
    return RAFS_OK;
}

static void complete(struct loop *loop, const rafs_completion *end)
{
    struct piece *piece = &loop->pieces[end->tag];
    struct file *file = piece->file;
    uint64_t i;

    loop->idle[loop->idle_count++] = (size_t)end->tag;
    if (end->code < 0) {
        fail_file(loop, file, &end->error);
        return;
    }
    for (i = 0; i < end->nread; i++)
        file->sum += (unsigned char)piece->bytes[i];
    file->done += end->nread;
    if (file->done == file->size && !file->failed)
        printf("%" PRIu64 " %" PRIu64 " %s\n", file->size, file->sum, file->path);
}

static int reap(struct loop *loop, rafs_error *err)
{
    rafs_completion ends[8];
    size_t count = 1, i;
    int rc = RAFS_OK;

    while (rc == RAFS_OK && count > 0) {
        rc = rafs_queue_reap(loop->queue, ends, 8, &count, err);
        for (i = 0; i < count; i++)
            complete(loop, &ends[i]);
    }
    return rc;
}

static void on_signal(struct loop *loop, int signals)
{
    struct signalfd_siginfo info;

    if (read(signals, &info, sizeof info) != sizeof info)
        return;
    loop->stop = 1;
    rafs_queue_cancel_all(loop->queue); /* each read still completes, soon */
}

static int fail_os(const char *what, rafs_error *err)
{
    return rafs_error_set(err, RAFS_E_BACKEND, errno, what, strerror(errno));
}

static int run(struct loop *loop, rafs_error *err)
{
    struct epoll_event event;
    sigset_t set;
    int signals = -1, poller = -1;
    int rc = RAFS_OK;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (signals < 0 || poller < 0)
        rc = fail_os("epoll", err);
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    event.data.fd = signals;
    if (rc == RAFS_OK && epoll_ctl(poller, EPOLL_CTL_ADD, signals, &event) < 0)
        rc = fail_os("epoll", err);
    event.data.fd = rafs_queue_fd(loop->queue);
    if (rc == RAFS_OK && epoll_ctl(poller, EPOLL_CTL_ADD, event.data.fd, &event) < 0)
        rc = fail_os("epoll", err);
    if (rc == RAFS_OK)
        rc = submit(loop, err);
    while (rc == RAFS_OK && loop->idle_count < READS) {
        if (epoll_wait(poller, &event, 1, -1) < 0) {
            if (errno != EINTR)
                rc = fail_os("epoll", err);
            continue;
        }
        if (event.data.fd == signals)
            on_signal(loop, signals);
        else
            rc = reap(loop, err);
        if (rc == RAFS_OK)
            rc = submit(loop, err);
    }
    if (poller >= 0)
        close(poller);
    if (signals >= 0)
        close(signals);
    return rc;
}

static int start(struct loop *loop, char **paths, rafs_error *err)
{
    rafs_queue_options options = RAFS_QUEUE_OPTIONS_INIT;
    size_t i;

    loop->files = calloc(loop->file_count, sizeof *loop->files);
    loop->pieces = calloc(READS, sizeof *loop->pieces);
    if (!loop->files || !loop->pieces)
        return rafs_error_set(err, RAFS_E_NOMEM, 0, "", "out of memory");
    for (i = 0; i < loop->file_count; i++)
        loop->files[i].path = paths[i];
    for (i = 0; i < READS; i++)
        loop->idle[loop->idle_count++] = i;
    options.depth = READS;
    return rafs_queue_new(&options, &loop->queue, err);
}

int main(int argc, char **argv)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend *blobs = NULL;
    rafs_http *http = NULL;
    rafs_image *image = NULL;
    struct loop loop;
    int rc;

    if (argc < 4) {
        fprintf(stderr, "usage: %s IMAGE SOURCE PATH...\n", argv[0]);
        return 2;
    }
    memset(&loop, 0, sizeof loop);
    if (strncmp(argv[2], "http", 4) == 0) {
        rc = rafs_http_new(NULL, &http, &err);
        if (rc == RAFS_OK)
            rc = rafs_backend_new_http(http, argv[2], &blobs, &err);
    } else {
        rc = rafs_backend_new_directory(argv[2], NULL, &blobs, &err);
    }
    options.backends = &blobs;
    options.backend_count = 1;
    if (rc == RAFS_OK)
        rc = rafs_image_open_path(argv[1], &options, &image, NULL, &err);
    loop.image = image;
    loop.file_count = (size_t)argc - 3;
    if (rc == RAFS_OK)
        rc = start(&loop, argv + 3, &err);
    if (rc == RAFS_OK)
        rc = run(&loop, &err);
    if (rc != RAFS_OK)
        fprintf(stderr, "%s: %s: %s\n", rafs_error_name(rc), err.object, err.text);
    rafs_queue_free(loop.queue); /* before the image and the buffers: it borrows them */
    rafs_image_close(image);
    rafs_backend_free(blobs);
    rafs_http_free(http);
    free(loop.pieces);
    free(loop.files);
    if (loop.stop)
        return 130;
    return rc == RAFS_OK && !loop.bad ? 0 : 1;
}
