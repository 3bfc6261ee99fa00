/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program like a container runtime, which brings along what the library would otherwise
 * do by itself: where blobs come from (source.c, server.c), where chunks are kept
 * (keep.c) and whose memory is used (memory.c).
 *
 *     embed IMAGE BLOB_DIR WORK_DIR [PATH]
 *
 * It starts from the image three times: opens it, prefetches what lies below PATH (/bin),
 * and puts that into WORK_DIR/start-N; the second time nothing is fetched, the third time
 * a chunk of the cache was damaged. Then it shows what ends a read that takes too long,
 * and what becomes of one when memory is short. Exit code 1: something was not as it
 * should be.
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "embed.h"

enum { START_TIMEOUT_MS = 30000, SHORT_TIMEOUT_MS = 100 };

struct runtime {
    const char *image_path, *work, *path;
    struct memory memory;
    struct server server;
    struct keep keep;
    rafs_env env;
    rafs_backend *source;
    rafs_cache *cache;
    char sample[RAFS_PATH_MAX + 1]; /* a file to read */
    int wrong;                      /* things that were not as they should be */
};

static void say(void *user, uint32_t level, const char *text)
{
    (void)user;
    fprintf(stderr, "rafs %s: %s\n", level == RAFS_LOG_ERROR ? "error" : "warning", text);
}

static void expect(struct runtime *r, int good, const char *what)
{
    if (!good) {
        printf("WRONG: %s\n", what);
        r->wrong++;
    }
}

static int report(struct runtime *r, const char *doing, int rc, const rafs_error *err)
{
    if (rc < 0) {
        printf("WRONG: %s: %s: %s: %s\n", doing, rafs_error_name(rc), err->object,
               err->text);
        r->wrong++;
    }
    return rc;
}

/* ---- starting from an image ----------------------------------------------------------
 */

static int open_image(struct runtime *r, int with_cache, rafs_image **image,
                      rafs_error *err)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;

    options.env = &r->env;
    options.backends = &r->source;
    options.backend_count = 1;
    options.cache = with_cache ? r->cache : NULL;
    return rafs_image_open_path(r->image_path, &options, image, NULL, err);
}

/* A list of what is needed soon costs a few requests; asking one by one costs many. */
static int prefetch(struct runtime *r, const rafs_image *image, rafs_error *err)
{
    rafs_prefetch_options options = RAFS_PREFETCH_OPTIONS_INIT;
    rafs_prefetch_progress progress = RAFS_PREFETCH_PROGRESS_INIT;
    rafs_prefetch *prefetch = NULL;
    rafs_call call;
    int rc;

    options.what = RAFS_PREFETCH_LIST;
    options.paths = &r->path;
    options.path_count = 1;
    rafs_call_init(&call, &r->env, START_TIMEOUT_MS, NULL);
    rc = rafs_prefetch_start(image, &options, &prefetch, &call, err);
    if (rc == RAFS_OK)
        rc = rafs_prefetch_wait(prefetch, &call, err);
    if (rc == RAFS_OK)
        rc = rafs_prefetch_get_progress(prefetch, &progress, err);
    if (rc == RAFS_OK)
        printf("  prefetched %s: %llu chunks, %llu of them fetched\n", r->path,
               (unsigned long long)progress.chunks_done,
               (unsigned long long)progress.chunks_fetched);
    rafs_prefetch_free(prefetch);
    return rc;
}

static int put_in_place(struct runtime *r, const rafs_image *image, int number,
                        rafs_error *err)
{
    struct placed placed;
    char directory[4096];
    int rc;

    snprintf(directory, sizeof directory, "%s/start-%d", r->work, number);
    rc = place(image, r->path, directory, START_TIMEOUT_MS, &placed, err);
    if (rc < 0)
        return rc;
    printf("  made %s: %llu files of %llu bytes, %llu directories, %llu links\n",
           directory, (unsigned long long)placed.files, (unsigned long long)placed.bytes,
           (unsigned long long)placed.directories, (unsigned long long)placed.links);
    memcpy(r->sample, placed.sample, sizeof r->sample);
    return RAFS_OK;
}

static int start(struct runtime *r, int number, rafs_stats *stats)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    int rc = open_image(r, 1, &image, &err);

    printf("start %d\n", number);
    if (rc == RAFS_OK)
        rc = prefetch(r, image, &err);
    if (rc == RAFS_OK)
        rc = put_in_place(r, image, number, &err);
    if (rc == RAFS_OK)
        rc = rafs_image_get_stats(image, stats, &err);
    if (rc == RAFS_OK)
        printf("  %llu chunks fetched in %llu requests, %llu wrong in the cache\n",
               (unsigned long long)stats->chunks_fetched,
               (unsigned long long)stats->requests,
               (unsigned long long)stats->cache_refused);
    rafs_image_close(image);
    return report(r, "start", rc, &err);
}

/* What a disk, or somebody else, may do to a cache: one bit of each chunk. */
static void damage(struct runtime *r)
{
    int fd = openat(r->keep.directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *all = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *one;

    while (all && (one = readdir(all))) {
        unsigned char byte;
        int file = openat(fd, one->d_name, O_RDWR | O_CLOEXEC);

        if (file < 0)
            continue; /* "." and ".." */
        if (pread(file, &byte, 1, 0) == 1) {
            byte ^= 1;
            expect(r, pwrite(file, &byte, 1, 0) == 1, "the cache cannot be damaged");
        }
        close(file);
    }
    if (all)
        closedir(all);
}

static void starts(struct runtime *r)
{
    rafs_stats stats[3];
    int i;

    for (i = 0; i < 3; i++) {
        memset(&stats[i], 0, sizeof stats[i]);
        stats[i].struct_size = sizeof stats[i];
        if (i == 2)
            damage(r);
        if (start(r, i + 1, &stats[i]) < 0)
            return;
    }
    expect(r, stats[0].chunks_fetched > 0, "the first start fetched nothing");
    expect(r, stats[1].chunks_fetched == 0, "the second start fetched something");
    expect(r, stats[2].cache_refused > 0, "the damage was not noticed");
    expect(r, stats[2].chunks_fetched > 0, "damaged chunks were not fetched anew");
}

/* ---- giving up ------------------------------------------------------------------------
 */

static int read_sample(struct runtime *r, const rafs_image *image, const rafs_call *call,
                       rafs_error *err)
{
    char buf[4096];
    uint64_t ino;
    size_t n;
    int rc = rafs_image_resolve(image, r->sample, 0, &ino, err);

    return rc < 0 ? rc : rafs_image_read(image, ino, 0, sizeof buf, buf, &n, call, err);
}

static void deadline(struct runtime *r, const rafs_image *image)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_call call;
    int rc;

    server_silence(&r->server, 1);
    rafs_call_init(&call, &r->env, SHORT_TIMEOUT_MS, NULL);
    rc = read_sample(r, image, &call, &err);
    printf("a server that says nothing, a deadline of %d ms: %s: %s\n", SHORT_TIMEOUT_MS,
           rafs_error_name(rc), err.text);
    expect(r, rc == RAFS_E_TIMEOUT, "the deadline did not end the read");
    server_silence(&r->server, 0);
}

struct canceller {
    struct server *server;
    rafs_cancel *token;
};

/* As a user who presses Ctrl-C while a read waits: a signal handler may do this too. */
static void *fire_when_it_waits(void *user)
{
    struct canceller *canceller = user;

    server_wait_for_request(canceller->server);
    rafs_cancel_fire(canceller->token);
    return NULL;
}

static void cancel(struct runtime *r, const rafs_image *image)
{
    struct canceller canceller = {&r->server, NULL};
    rafs_error err = RAFS_ERROR_INIT;
    pthread_t thread;
    rafs_call call;
    int rc = rafs_cancel_new(&canceller.token, &err);

    if (report(r, "cancel", rc, &err) < 0)
        return;
    server_silence(&r->server, 1);
    if (pthread_create(&thread, NULL, fire_when_it_waits, &canceller) == 0) {
        rafs_call_init(&call, &r->env, START_TIMEOUT_MS, canceller.token);
        rc = read_sample(r, image, &call, &err);
        pthread_join(thread, NULL);
        printf("cancelled from another thread: %s\n", rafs_error_name(rc));
        expect(r, rc == RAFS_E_CANCELLED, "the token did not end the read");
    }
    server_silence(&r->server, 0);
    rafs_cancel_free(canceller.token);
}

static void too_little_memory(struct runtime *r, const rafs_image *image)
{
    rafs_error err = RAFS_ERROR_INIT;
    int rc;

    memory_freeze(&r->memory, 1);
    rc = read_sample(r, image, NULL, &err);
    memory_freeze(&r->memory, 0);
    printf("no byte of memory left: %s\n", rafs_error_name(rc));
    expect(r, rc == RAFS_E_NOMEM, "it should have been short of memory");
}

/* Without a cache, so that each read has to ask the server; and after all of them the
 * same image still works. */
static void failures(struct runtime *r)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image = NULL;
    int rc = open_image(r, 0, &image, &err);

    if (report(r, "open", rc, &err) < 0)
        return;
    deadline(r, image);
    cancel(r, image);
    too_little_memory(r, image);
    rc = read_sample(r, image, NULL, &err);
    printf("the same read, when nothing is in its way: %s\n", rafs_error_name(rc));
    report(r, "the last read", rc, &err);
    rafs_image_close(image);
}

/* ---- the parts, together
 * --------------------------------------------------------------- */

static int begin(struct runtime *r, rafs_error *err)
{
    char directory[4096];
    int rc;

    rafs_env_init(&r->env);
    r->env.user = &r->memory;
    r->env.alloc = memory_alloc;
    r->env.free = memory_free;
    r->env.log = say;
    if (mkdir(r->work, 0700) < 0 && errno != EEXIST)
        return rafs_error_set(err, RAFS_E_BACKEND, errno, r->work, "cannot be made");
    snprintf(directory, sizeof directory, "%s/chunks", r->work);
    rc = source_new(&r->server, &r->env, &r->source, err);
    if (rc == RAFS_OK)
        rc = keep_new(&r->keep, directory, &r->env, &r->cache, err);
    return rc;
}

int main(int argc, char **argv)
{
    static struct runtime r;
    rafs_error err = RAFS_ERROR_INIT;

    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: %s IMAGE BLOB_DIR WORK_DIR [PATH]\n", argv[0]);
        return 2;
    }
    r.image_path = argv[1];
    r.work = argv[3];
    r.path = argc == 5 ? argv[4] : "/bin";
    if (memory_begin(&r.memory) != 0 || server_begin(&r.server, argv[2]) < 0) {
        perror(argv[2]);
        return 1;
    }
    if (report(&r, "begin", begin(&r, &err), &err) == RAFS_OK) {
        starts(&r);
        if (r.sample[0] == '\0')
            expect(&r, 0, "nothing below PATH has content, so nothing else can be shown");
        else
            failures(&r);
    }
    rafs_cache_close(r.cache); /* after the images that used it */
    rafs_backend_free(r.source);
    server_end(&r.server);
    printf("memory: %llu allocations, at most %llu bytes at once, %llu left at the end\n",
           (unsigned long long)r.memory.calls, (unsigned long long)r.memory.peak,
           (unsigned long long)r.memory.used);
    expect(&r, r.memory.used == 0, "memory is left");
    memory_end(&r.memory);
    return r.wrong > 0;
}
