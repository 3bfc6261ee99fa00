/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast content becomes a blob, without trees and sinks:
 *
 *   bench_blob [--threads N] [--level N] [--lz4] [--none] [--chunk BYTES] [--batch BYTES]
 *              [--dedup 1|2|3] [--copy] PATH
 *
 * PATH is a file, fed as a stream, or a directory, whose files workers read (with --copy:
 * the feeder). The blob is hashed and thrown away. `zstd -T2 -3 -c FILE >/dev/null` and
 * `cat` of the same files are what to compare with.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "build/data.h"
#include "rafs/image.h"

static struct build_image image;
static struct rafsi_data_options options = {.threads = 2, .dedup = RAFS_DEDUP_CHUNK};
static struct rafsi_data *data;
static rafs_error err;
static bool copies;
static uint64_t files;

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_blob: %s: %s %s\n", what, err.object, err.text);
    exit(1);
}

struct source {
    uint64_t size;
    char path[];
};

static int read_source(void *user, uint64_t offset, void *buf, size_t len,
                       rafs_error *error)
{
    struct source *source = user;
    int fd = open(source->path, O_RDONLY | O_CLOEXEC);
    size_t done = 0;
    ssize_t got = 1;

    while (fd >= 0 && done < len && got > 0) {
        got = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));
        done += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    return done == len ? RAFS_OK
                       : rafsi_fail(error, RAFS_E_BACKEND, RAFS_STAGE_FETCH, source->path,
                                    "cannot be read");
}

static struct build_inode *inode_of(uint64_t size)
{
    struct build_inode *inode = calloc(1, sizeof(*inode));
    uint32_t count;

    need(inode && rafsi_chunks_of(size, image.chunk_size, &count), "inode");
    inode->size = size;
    inode->chunks = malloc((count + 1) * sizeof(uint32_t));
    need(inode->chunks != NULL, "chunks");
    return inode;
}

static void feed_stream(const char *path, uint64_t size)
{
    static char room[64 << 10];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t left = size;

    need(fd >= 0, path);
    need(rafsi_data_begin(data, inode_of(size), &err) == RAFS_OK, path);
    while (left > 0) {
        ssize_t got = read(fd, room, left < sizeof(room) ? left : sizeof(room));

        need(got > 0, path);
        need(rafsi_data_add(data, room, (size_t)got, NULL, &err) == RAFS_OK, path);
        left -= (uint64_t)got;
    }
    need(rafsi_data_end(data, NULL, &err) == RAFS_OK, path);
    close(fd);
}

static int feed_path(const char *path, const struct stat *st, int type, struct FTW *at)
{
    size_t len = strlen(path) + 1;
    struct rafsi_content content = {NULL, read_source, free};
    struct source *source;

    (void)at;
    if (type != FTW_F || !S_ISREG(st->st_mode) || access(path, R_OK) != 0)
        return 0;
    files++;
    if (copies) {
        feed_stream(path, (uint64_t)st->st_size);
        return 0;
    }
    source = malloc(sizeof(*source) + len);
    need(source != NULL, path);
    source->size = (uint64_t)st->st_size;
    memcpy(source->path, path, len);
    content.user = source;
    need(rafsi_data_file(data, inode_of(source->size), &content, NULL, &err) == RAFS_OK,
         path);
    return 0;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_of(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static const char *take_options(int argc, char **argv)
{
    int i = 1;

    for (; i < argc && argv[i][0] == '-'; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        long number = strtol(value, NULL, 0);

        if (strcmp(argv[i], "--lz4") == 0 || strcmp(argv[i], "--none") == 0) {
            image.compressor =
                argv[i][2] == 'l' ? RAFS_COMPRESSOR_LZ4_BLOCK : RAFS_COMPRESSOR_NONE;
            continue;
        }
        if (strcmp(argv[i], "--copy") == 0) {
            copies = true;
            continue;
        }
        if (strcmp(argv[i], "--threads") == 0)
            options.threads = (uint32_t)number;
        else if (strcmp(argv[i], "--level") == 0)
            options.level = (int32_t)number;
        else if (strcmp(argv[i], "--chunk") == 0)
            image.chunk_size = (uint32_t)number;
        else if (strcmp(argv[i], "--batch") == 0)
            options.batch_size = (uint32_t)number;
        else if (strcmp(argv[i], "--dedup") == 0)
            options.dedup = (uint32_t)number;
        else
            need(false, argv[i]);
        i++;
    }
    need(i + 1 == argc, "a file or directory is needed");
    return argv[i];
}

int main(int argc, char **argv)
{
    struct rafsi_data_count count;
    struct rusage used;
    struct stat st;
    const char *path;
    uint32_t number;
    double wall;

    image.version = 6;
    image.compressor = RAFS_COMPRESSOR_ZSTD;
    image.digest_algorithm = RAFSI_BLAKE3;
    image.chunk_size = 1 << 20;
    path = take_options(argc, argv);
    need(stat(path, &st) == 0, path);
    need(rafsi_env_take(NULL, &image.env, &err) == RAFS_OK, "environment");
    image.chunks.env = image.blobs.env = &image.env;
    need(rafsi_hashes_new(&image.env, &image.hashes, &err) == RAFS_OK, "hashes");
    wall = seconds();
    need(rafsi_data_new(&image, NULL, &options, &data, &err) == RAFS_OK, "data");
    if (S_ISDIR(st.st_mode))
        nftw(path, feed_path, 32, FTW_PHYS);
    else
        feed_stream(path, (uint64_t)st.st_size);
    need(rafsi_data_flush(data, NULL, &err) == RAFS_OK, "flush");
    need(rafsi_data_end_blob(data, 0, NULL, &number, NULL, &err) == RAFS_OK, "end");
    wall = seconds() - wall;
    rafsi_data_counted(data, &count);
    rafsi_data_free(data);
    getrusage(RUSAGE_SELF, &used);
    printf("%.1f MB of %llu files to %.1f MB, %llu of %llu chunks: %.2f s, %.1f MB/s; "
           "processor %.2f s; most memory %.1f MiB\n",
           (double)count.bytes / 1e6, (unsigned long long)files,
           (double)count.stored / 1e6, (unsigned long long)count.stored_chunks,
           (unsigned long long)count.chunks, wall, (double)count.bytes / 1e6 / wall,
           cpu_of(&used.ru_utime) + cpu_of(&used.ru_stime),
           (double)used.ru_maxrss / 1024);
    return 0;
}
