/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "bench.h"

/*
 * Cold: no chunk is in the cache, the blobs are in the page cache or in memory. The peer
 * does what cannot be avoided and nothing else: for each chunk of each file, in the same
 * order, pread() of the stored bytes into a buffer that is used again (or none: they lie
 * in memory), libzstd with one context into a buffer that is used again, and the hash of
 * the result, compared. Where chunks lie it was told beforehand. It does not copy the
 * bytes to where a caller wants them; librafs does.
 */

struct cold {
    const struct bench *bench;
    rafs_image *image;
    struct files files;
    rafs_extent *extents;
    size_t extent_count;
    int fd;        /* of the blob */
    uint8_t *blob; /* the same in memory */
    uint64_t blob_bytes;
    bool in_memory;
    bool compressed;
    size_t first, step; /* which files or extents: for two threads */
    uint8_t *buf, *stored;
    size_t buf_bytes;
    ZSTD_DCtx *zstd;
    EVP_MD_CTX *evp;
    EVP_MD *md;
};

enum { PIECE = 1 << 20, SPACE = 17 << 20 };

static void read_ours(void *work)
{
    struct cold *cold = work;
    rafs_error err = RAFS_ERROR_INIT;

    for (size_t i = cold->first; i < cold->files.count; i += cold->step) {
        const struct file *file = &cold->files.at[i];
        size_t n;

        for (uint64_t at = 0; at < file->size; at += n)
            must(rafs_image_read(cold->image, file->ino, at, PIECE, cold->buf, &n, NULL,
                                 &err),
                 &err, file->path);
    }
}

static void hash(const struct cold *cold, const rafs_extent *extent, const uint8_t *bytes,
                 size_t len)
{
    uint8_t digest[RAFS_DIGEST_BYTES];

    if (extent->digest_algorithm == RAFS_DIGEST_BLAKE3)
        must_os(rafs_digest_bytes(RAFS_DIGEST_BLAKE3, bytes, len, digest) == 0, "blake3");
    else
        must_os(EVP_DigestInit_ex2(cold->evp, cold->md, NULL) == 1 &&
                    EVP_DigestUpdate(cold->evp, bytes, len) == 1 &&
                    EVP_DigestFinal_ex(cold->evp, digest, NULL) == 1,
                "sha256");
    must_os(memcmp(digest, extent->digest, sizeof(digest)) == 0, "digest");
}

static void read_peer(void *work)
{
    struct cold *cold = work;

    for (size_t i = cold->first; i < cold->extent_count; i += cold->step) {
        const rafs_extent *extent = &cold->extents[i];
        const uint8_t *stored = cold->blob + extent->compressed_offset;
        size_t len = (size_t)extent->length;

        if (!cold->in_memory) {
            must_os(pread(cold->fd, cold->stored, extent->compressed_size,
                          (off_t)extent->compressed_offset) ==
                        (ssize_t)extent->compressed_size,
                    "pread");
            stored = cold->stored;
        }
        if (extent->flags & RAFS_EXTENT_COMPRESSED) {
            must_os(ZSTD_decompressDCtx(cold->zstd, cold->buf, len, stored,
                                        extent->compressed_size) == len,
                    "zstd");
            stored = cold->buf;
        }
        hash(cold, extent, stored, len);
    }
}

static void make_tools(struct cold *cold)
{
    cold->buf = must_alloc(SPACE);
    cold->stored = must_alloc(SPACE);
    memset(cold->buf, 1, SPACE);
    memset(cold->stored, 1, SPACE);
    cold->zstd = ZSTD_createDCtx();
    cold->evp = EVP_MD_CTX_new();
    cold->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    must_os(cold->zstd && cold->evp && cold->md, "tools");
}

static void free_tools(struct cold *cold)
{
    free(cold->buf);
    free(cold->stored);
    ZSTD_freeDCtx(cold->zstd);
    EVP_MD_CTX_free(cold->evp);
    EVP_MD_free(cold->md);
}

static void add_extents(struct cold *cold, const struct file *file, size_t *room)
{
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t at = 0;

    while (at < file->size) {
        rafs_extent extent;
        size_t n;

        must(rafs_image_get_extents(cold->image, file->ino, at, &extent, 1, &n, NULL,
                                    &err),
             &err, file->path);
        at = extent.file_offset + extent.length;
        if (extent.flags & RAFS_EXTENT_HOLE)
            continue;
        if (extent.flags & RAFS_EXTENT_COMPRESSED)
            cold->compressed = true;
        if (cold->extent_count == *room) {
            *room = *room ? *room * 2 : 1024;
            cold->extents = realloc(cold->extents, *room * sizeof(*cold->extents));
            must_os(cold->extents != NULL, "realloc");
        }
        cold->extents[cold->extent_count++] = extent;
    }
}

static void load_blob(struct cold *cold)
{
    rafs_blob_info info = {.struct_size = sizeof(info)};
    rafs_error err = RAFS_ERROR_INIT;
    char path[4096];
    struct stat st;

    must(rafs_image_get_blob(cold->image, 0, &info, &err), &err, "blob");
    snprintf(path, sizeof(path), "%s/%s", cold->bench->blob_dir, info.id);
    cold->fd = open(path, O_RDONLY | O_CLOEXEC);
    must_os(cold->fd >= 0 && fstat(cold->fd, &st) == 0, path);
    cold->blob_bytes = (uint64_t)st.st_size;
    cold->blob = must_alloc((size_t)st.st_size);
    for (size_t done = 0; done < cold->blob_bytes;) {
        ssize_t n =
            pread(cold->fd, cold->blob + done, cold->blob_bytes - done, (off_t)done);

        must_os(n > 0, path);
        done += (size_t)n;
    }
}

static void *thread_ours(void *work)
{
    read_ours(work);
    return NULL;
}

static void *thread_peer(void *work)
{
    read_peer(work);
    return NULL;
}

static void two(struct cold *cold, void *(*run)(void *))
{
    struct cold halves[2] = {*cold, *cold};
    pthread_t thread;

    for (size_t i = 0; i < 2; i++) {
        halves[i].first = i;
        halves[i].step = 2;
    }
    make_tools(&halves[1]);
    must_os(pthread_create(&thread, NULL, run, &halves[1]) == 0, "pthread_create");
    run(&halves[0]);
    pthread_join(thread, NULL);
    free_tools(&halves[1]);
}

static void two_ours(void *work)
{
    two(work, thread_ours);
}

static void two_peer(void *work)
{
    two(work, thread_peer);
}

/* An image like the bench's, but its blob lies in memory. */
static rafs_image *open_in_memory(const struct cold *cold, rafs_backend **backend)
{
    rafs_limits limits = {.struct_size = sizeof(limits),
                          .chunk_cache_bytes = cold->bench->cache_bytes};
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image;

    must(rafs_backend_new_memory(NULL, cold->blob, (size_t)cold->blob_bytes, NULL,
                                 backend, &err),
         &err, "memory backend");
    options.limits = &limits;
    options.backends = backend;
    options.backend_count = 1;
    must(rafs_image_open_path(cold->bench->image_path, &options, &image, NULL, &err),
         &err, cold->bench->image_path);
    return image;
}

static void contests(struct cold *cold, const char *tools)
{
    double amount = (double)cold->files.bytes / 1e6;
    rafs_image *from_files = cold->image;
    rafs_backend *backend;
    rafs_image *from_memory = open_in_memory(cold, &backend);
    char name[128];

    snprintf(name, sizeof(name), "cold, pread: against pread + %s", tools);
    compete(cold->bench, name, amount, "MB/s", read_ours, read_peer, cold);
    snprintf(name, sizeof(name), "cold, pread, 2 threads: against pread + %s", tools);
    compete(cold->bench, name, amount, "MB/s", two_ours, two_peer, cold);
    cold->in_memory = true;
    snprintf(name, sizeof(name), "cold, pread: against %s of bytes in memory", tools);
    compete(cold->bench, name, amount, "MB/s", read_ours, read_peer, cold);
    cold->image = from_memory;
    snprintf(name, sizeof(name), "cold, memory: against %s of bytes in memory", tools);
    compete(cold->bench, name, amount, "MB/s", read_ours, read_peer, cold);
    cold->image = from_files;
    rafs_image_close(from_memory);
    rafs_backend_free(backend);
}

void bench_cold(struct bench *bench)
{
    struct cold cold = {.bench = bench, .step = 1};
    rafs_stats stats = {.struct_size = sizeof(stats)};
    rafs_error err = RAFS_ERROR_INIT;
    char tools[64];
    size_t room = 0;

    if (bench->cache_bytes == 0)
        bench->cache_bytes = 1; /* holds nothing */
    open_image(bench);
    cold.image = bench->image;
    list_files(bench, &cold.files);
    for (size_t i = 0; i < cold.files.count; i++)
        add_extents(&cold, &cold.files.at[i], &room);
    load_blob(&cold);
    make_tools(&cold);
    say_value("files", (double)cold.files.count, "");
    say_value("bytes", (double)cold.files.bytes / 1e6, "MB");
    say_value("chunks", (double)cold.extent_count, "");
    snprintf(tools, sizeof(tools), "%s%s", cold.compressed ? "libzstd + " : "",
             cold.extent_count ? rafs_digest_name(cold.extents[0].digest_algorithm) : "");
    contests(&cold, tools);
    must(rafs_image_get_stats(bench->image, &stats, &err), &err, "stats");
    say_value("chunks from the cache", (double)stats.chunks_cached, "");
    free_tools(&cold);
    free(cold.blob);
    free(cold.extents);
    close(cold.fd);
    free_files(&cold.files);
    close_image(bench);
}
