/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"

/*
 * Warm: every chunk is in the cache, and the peer is pread() of the files that the image
 * was made of, opened beforehand, from the page cache. Both know where to read: an inode
 * number, a descriptor. Both read into one buffer that is used again.
 */

struct place {
    size_t file;
    uint64_t offset;
};

struct warm {
    const rafs_image *image;
    struct files files;
    int *fds;
    char *buf;
    size_t piece;
    uint64_t smallest; /* files below this are left out */
    struct place *places;
    size_t place_count;
};

static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void open_plain(const struct bench *bench, struct warm *warm)
{
    raise_descriptors();
    warm->fds = must_alloc(warm->files.count * sizeof(*warm->fds));
    for (size_t i = 0; i < warm->files.count; i++) {
        char path[4096];

        snprintf(path, sizeof(path), "%s%s", bench->plain_dir, warm->files.at[i].path);
        warm->fds[i] = open(path, O_RDONLY | O_CLOEXEC);
        must_os(warm->fds[i] >= 0, path);
    }
}

static void sequential_ours(void *work)
{
    struct warm *warm = work;
    rafs_error err = RAFS_ERROR_INIT;

    for (size_t i = 0; i < warm->files.count; i++) {
        const struct file *file = &warm->files.at[i];
        size_t n;

        if (file->size < warm->smallest)
            continue;
        for (uint64_t at = 0; at < file->size; at += n)
            must(rafs_image_read(warm->image, file->ino, at, warm->piece, warm->buf, &n,
                                 NULL, &err),
                 &err, file->path);
    }
}

static void sequential_peer(void *work)
{
    struct warm *warm = work;

    for (size_t i = 0; i < warm->files.count; i++) {
        const struct file *file = &warm->files.at[i];
        ssize_t n;

        if (file->size < warm->smallest)
            continue;
        for (uint64_t at = 0; at < file->size; at += (size_t)n) {
            n = pread(warm->fds[i], warm->buf, warm->piece, (off_t)at);
            must_os(n > 0, file->path);
        }
    }
}

static void random_ours(void *work)
{
    struct warm *warm = work;
    rafs_error err = RAFS_ERROR_INIT;

    for (size_t i = 0; i < warm->place_count; i++) {
        const struct place *place = &warm->places[i];
        const struct file *file = &warm->files.at[place->file];
        size_t n;

        must(rafs_image_read(warm->image, file->ino, place->offset, warm->piece,
                             warm->buf, &n, NULL, &err),
             &err, file->path);
    }
}

static void random_peer(void *work)
{
    struct warm *warm = work;

    for (size_t i = 0; i < warm->place_count; i++) {
        const struct place *place = &warm->places[i];

        must_os(pread(warm->fds[place->file], warm->buf, warm->piece,
                      (off_t)place->offset) > 0,
                "pread");
    }
}

/* Places of whole pages, in files of at least 1 MiB, each byte of them equally likely. */
static void choose_places(struct warm *warm, size_t count)
{
    uint64_t state = 1, total = 0;
    size_t filled = 0;

    warm->places = must_alloc(count * sizeof(*warm->places));
    for (size_t i = 0; i < warm->files.count; i++)
        if (warm->files.at[i].size >= warm->smallest)
            total += warm->files.at[i].size;
    for (; total > 0 && filled < count; filled++) {
        uint64_t at = next_random(&state) % total;
        size_t i = 0;

        for (;; i++) {
            if (warm->files.at[i].size < warm->smallest)
                continue;
            if (at < warm->files.at[i].size)
                break;
            at -= warm->files.at[i].size;
        }
        warm->places[filled] = (struct place){i, at & ~4095ull};
    }
    warm->place_count = filled;
}

static void contest(const struct bench *bench, struct warm *warm, const char *what,
                    size_t piece, bool random)
{
    char name[128];
    double bytes = 0;

    warm->piece = piece;
    snprintf(name, sizeof(name), "warm %s, %zu KiB", what, piece >> 10);
    for (size_t i = 0; i < warm->files.count; i++)
        if (warm->files.at[i].size >= warm->smallest)
            bytes += (double)warm->files.at[i].size;
    if (bytes == 0)
        return;
    if (random)
        compete(bench, name, (double)warm->place_count / 1e3, "k/s", random_ours,
                random_peer, warm);
    else
        compete(bench, name, bytes / 1e6, "MB/s", sequential_ours, sequential_peer, warm);
}

/* The same by two threads, each all files with a buffer of its own. */
static void *thread_ours(void *work)
{
    sequential_ours(work);
    return NULL;
}

static void *thread_peer(void *work)
{
    sequential_peer(work);
    return NULL;
}

static void two(struct warm *warm, void *(*run)(void *))
{
    struct warm other = *warm;
    pthread_t thread;

    other.buf = warm->buf + warm->piece;
    must_os(pthread_create(&thread, NULL, run, &other) == 0, "pthread_create");
    run(warm);
    pthread_join(thread, NULL);
}

static void two_ours(void *work)
{
    two(work, thread_ours);
}

static void two_peer(void *work)
{
    two(work, thread_peer);
}

void bench_warm(struct bench *bench)
{
    struct warm warm = {0};
    struct rafs_stats stats = {.struct_size = sizeof(stats)};
    rafs_error err = RAFS_ERROR_INIT;

    if (bench->cache_bytes == 0)
        bench->cache_bytes = 4ull << 30; /* holds all files */
    open_image(bench);
    warm.image = bench->image;
    list_files(bench, &warm.files);
    open_plain(bench, &warm);
    warm.buf = must_alloc(4 << 20);
    memset(warm.buf, 1, 4 << 20);
    say_value("files", (double)warm.files.count, "");
    say_value("bytes", (double)warm.files.bytes / 1e6, "MB");
    contest(bench, &warm, "sequential, all files", 128 << 10, false);
    contest(bench, &warm, "sequential, all files", 1 << 20, false);
    warm.smallest = 1 << 20;
    contest(bench, &warm, "sequential, files of 1 MiB and more", 128 << 10, false);
    contest(bench, &warm, "sequential, files of 1 MiB and more", 1 << 20, false);
    choose_places(&warm, 20000);
    contest(bench, &warm, "random", 4 << 10, true);
    contest(bench, &warm, "random", 128 << 10, true);
    warm.smallest = 0;
    warm.piece = 128 << 10;
    compete(bench, "warm sequential, all files, 128 KiB, 2 threads",
            2 * (double)warm.files.bytes / 1e6, "MB/s", two_ours, two_peer, &warm);
    must(rafs_image_get_stats(bench->image, &stats, &err), &err, "stats");
    say_value("chunks fetched", (double)stats.chunks_fetched, "");
    say_value("chunks from the cache", (double)stats.chunks_cached, "");
    close_image(bench);
    for (size_t i = 0; i < warm.files.count; i++)
        close(warm.fds[i]);
    free(warm.fds);
    free(warm.buf);
    free(warm.places);
    free_files(&warm.files);
}
