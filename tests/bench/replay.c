/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read parts of files in the order of a list, and tell what it took; for
 * tests/bench/remote.
 *
 *   bench_replay ours --registry HOST/REPO [OPTION…] BOOTSTRAP LIST
 *   bench_replay ours [OPTION…] REFERENCE LIST
 *   bench_replay mount [--pid PID] FOLDER LIST
 *   bench_replay needed BOOTSTRAP LIST
 *
 * LIST has lines PATH TAB OFFSET TAB LENGTH. `ours` reads in this process, on the public
 * API, through as many reads as a FUSE mount would be asked for; `mount` reads what is
 * mounted there, and watches the memory of process PID, which serves it. `needed` adds
 * up the chunks that the list touches. Results are lines NAME TAB NUMBER.
 */
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <rafs/rafs.h>

enum { PIECE = 128 << 10, SAMPLE_US = 5000 };

struct part {
    char *path;
    uint64_t offset, len;
};

struct replay {
    struct part *parts;
    size_t count;
    const char *registry, *cache_dir;
    const char *record; /* where to save what was used */
    const char *trace;  /* what to fetch beforehand */
    rafs_limits limits;
    bool again;
    char pid[24];
    rafs_image *image;
    int mount;
    uint8_t buf[PIECE];
};

static void must(int rc, const rafs_error *err, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "bench_replay: %s: %s: %s: %s\n", what, rafs_error_name(rc),
            err->object, err->text);
    exit(1);
}

static void must_os(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say(const char *name, double number)
{
    printf("%s\t%.9g\n", name, number);
}

static void read_list(struct replay *replay, const char *path)
{
    FILE *file = fopen(path, "r");
    char line[8192];
    size_t room = 0;

    must_os(file != NULL, path);
    while (fgets(line, sizeof(line), file)) {
        char *offset = strchr(line, '\t');
        char *len = offset ? strchr(offset + 1, '\t') : NULL;

        if (!len)
            continue;
        *offset = '\0';
        if (replay->count == room) {
            room = room ? 2 * room : 1024;
            replay->parts = realloc(replay->parts, room * sizeof(struct part));
            must_os(replay->parts != NULL, "realloc");
        }
        replay->parts[replay->count++] = (struct part){
            strdup(line), strtoull(offset + 1, NULL, 10), strtoull(len + 1, NULL, 10)};
    }
    fclose(file);
}

/* --- memory ----------------------------------------------------------------------------
 */

static atomic_bool sampling;
static long anon_max_kib, rss_max_kib;

static void sample(const char *pid)
{
    char path[64], line[256];
    FILE *file;
    long kib;

    snprintf(path, sizeof(path), "/proc/%s/status", pid);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "RssAnon: %ld", &kib) == 1 && kib > anon_max_kib)
            anon_max_kib = kib;
        if (sscanf(line, "VmRSS: %ld", &kib) == 1 && kib > rss_max_kib)
            rss_max_kib = kib;
    }
    if (file)
        fclose(file);
}

static void *sample_all_the_time(void *pid)
{
    while (atomic_load(&sampling)) {
        sample(pid);
        usleep(SAMPLE_US);
    }
    return NULL;
}

/* --- the reads -------------------------------------------------------------------------
 */

struct place {
    const char *path;
    uint64_t ino;
    int fd;
};

static void go_to(struct replay *replay, struct place *place, const char *path)
{
    rafs_error err = RAFS_ERROR_INIT;

    if (place->path && strcmp(place->path, path) == 0)
        return;
    place->path = path;
    if (replay->image) {
        must(rafs_image_resolve(replay->image, path, 0, &place->ino, &err), &err, path);
        return;
    }
    if (place->fd >= 0)
        close(place->fd);
    place->fd = openat(replay->mount, path + 1, O_RDONLY | O_CLOEXEC);
    must_os(place->fd >= 0, path);
}

static void read_piece(struct replay *replay, const struct place *place, uint64_t offset,
                       size_t len)
{
    rafs_error err = RAFS_ERROR_INIT;
    size_t got = 0;

    if (replay->image) {
        must(rafs_image_read(replay->image, place->ino, offset, len, replay->buf, &got,
                             NULL, &err),
             &err, place->path);
    } else {
        ssize_t n = pread(place->fd, replay->buf, len, (off_t)offset);

        must_os(n >= 0, place->path);
        got = (size_t)n;
    }
    if (got == len)
        return;
    fprintf(stderr, "bench_replay: %s: %zu of %zu bytes at %llu\n", place->path, got, len,
            (unsigned long long)offset);
    exit(1);
}

/* All parts in order; returns when the first byte was there. */
static double run(struct replay *replay)
{
    struct place place = {.fd = -1};
    double first = 0;

    for (size_t i = 0; i < replay->count; i++) {
        const struct part *part = &replay->parts[i];
        uint64_t end = part->offset + part->len;

        go_to(replay, &place, part->path);
        for (uint64_t at = part->offset; at < end;) {
            uint64_t most = PIECE - at % PIECE;
            size_t len = (size_t)(end - at < most ? end - at : most);

            read_piece(replay, &place, at, len);
            at += len;
            if (first == 0)
                first = now();
        }
    }
    if (place.fd >= 0)
        close(place.fd);
    return first;
}

static void measure(struct replay *replay, double start)
{
    pthread_t sampler;
    double first, end;

    atomic_store(&sampling, true);
    must_os(pthread_create(&sampler, NULL, sample_all_the_time, replay->pid) == 0,
            "pthread_create");
    first = run(replay);
    end = now();
    atomic_store(&sampling, false);
    pthread_join(sampler, NULL);
    sample(replay->pid);
    say("first byte, s", first - start);
    say("time, s", end - start);
    say("RssAnon, MiB", (double)anon_max_kib / 1024);
    say("RSS, MiB", (double)rss_max_kib / 1024);
    if (replay->again) {
        start = now();
        run(replay);
        say("again, s", now() - start);
    }
}

/* --- ours ------------------------------------------------------------------------------
 */

static void say_stats(const struct replay *replay)
{
    rafs_stats stats = {.struct_size = sizeof(stats)};
    struct rusage usage;
    rafs_error err = RAFS_ERROR_INIT;

    must(rafs_image_get_stats(replay->image, &stats, &err), &err, "stats");
    getrusage(RUSAGE_SELF, &usage);
    say("processor, s",
        (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
            (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    say("chunks fetched", (double)stats.chunks_fetched);
    say("chunk requests", (double)stats.requests);
    say("chunk bytes", (double)stats.bytes_fetched);
}

/* Fetch in the order of an earlier run, while the replay goes on. */
static rafs_prefetch *follow(const struct replay *replay)
{
    rafs_prefetch_options options = RAFS_PREFETCH_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_prefetch *prefetch = NULL;
    rafs_trace *trace = NULL;

    must(rafs_trace_load_path(replay->trace, NULL, &trace, &err), &err, replay->trace);
    options.what = RAFS_PREFETCH_TRACE;
    options.trace = trace;
    must(rafs_prefetch_start(replay->image, &options, &prefetch, NULL, &err), &err,
         replay->trace);
    rafs_trace_free(trace);
    return prefetch;
}

static void keep_record(const struct replay *replay)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_trace *trace = NULL;

    must(rafs_trace_take(replay->image, &trace, NULL, &err), &err, "trace");
    must(rafs_trace_save_path(trace, replay->record, &err), &err, replay->record);
    rafs_trace_free(trace);
}

static void ours(struct replay *replay, const char *image)
{
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_backend *backend = NULL;
    rafs_cache *cache = NULL;
    rafs_http *http = NULL;
    rafs_prefetch *prefetch = NULL;
    double start = now();

    snprintf(replay->pid, sizeof(replay->pid), "self");
    must(rafs_http_new(NULL, &http, &err), &err, "http");
    if (replay->cache_dir)
        must(rafs_cache_open(replay->cache_dir, NULL, &cache, &err), &err, "cache");
    options.cache = cache;
    options.limits = &replay->limits;
    if (replay->registry) {
        must(rafs_backend_new_registry(http, replay->registry, NULL, &backend, &err),
             &err, replay->registry);
        options.backends = &backend;
        options.backend_count = 1;
        must(rafs_image_open_path(image, &options, &replay->image, NULL, &err), &err,
             image);
    } else {
        must(rafs_image_open_registry(http, image, NULL, &options, &replay->image, NULL,
                                      &err),
             &err, image);
    }
    say("open, s", now() - start);
    if (replay->record)
        must(rafs_trace_start(replay->image, &err), &err, "trace");
    if (replay->trace)
        prefetch = follow(replay);
    measure(replay, start);
    say_stats(replay);
    if (replay->record)
        keep_record(replay);
    rafs_prefetch_free(prefetch);
    rafs_image_close(replay->image);
    rafs_backend_free(backend);
    rafs_cache_close(cache);
    rafs_http_free(http);
}

/* --- what has to travel
 * ------------------------------------------------------------------ */

struct chunk {
    uint64_t blob, offset, size;
};

static int by_place(const void *a, const void *b)
{
    const struct chunk *x = a, *y = b;

    if (x->blob != y->blob)
        return x->blob < y->blob ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void needed(struct replay *replay, const char *image)
{
    rafs_error err = RAFS_ERROR_INIT;
    struct chunk *chunks = NULL;
    struct place place = {.fd = -1};
    size_t count = 0, room = 0, different = 0;
    uint64_t bytes = 0, raw = 0;

    must(rafs_image_open_path(image, NULL, &replay->image, NULL, &err), &err, image);
    for (size_t i = 0; i < replay->count; i++) {
        const struct part *part = &replay->parts[i];
        uint64_t at = part->offset;

        go_to(replay, &place, part->path);
        raw += part->len;
        while (at < part->offset + part->len) {
            rafs_extent extent;
            size_t got;

            must(rafs_image_get_extents(replay->image, place.ino, at, &extent, 1, &got,
                                        NULL, &err),
                 &err, part->path);
            if (got == 0)
                break;
            at = extent.file_offset + extent.length;
            if (extent.flags & RAFS_EXTENT_HOLE)
                continue;
            if (count == room) {
                room = room ? 2 * room : 4096;
                chunks = realloc(chunks, room * sizeof(*chunks));
                must_os(chunks != NULL, "realloc");
            }
            chunks[count++] = (struct chunk){extent.blob, extent.compressed_offset,
                                             extent.compressed_size};
        }
    }
    qsort(chunks, count, sizeof(*chunks), by_place);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && by_place(&chunks[i - 1], &chunks[i]) == 0)
            continue;
        different++;
        bytes += chunks[i].size;
    }
    say("reads", (double)replay->count);
    say("bytes read", (double)raw);
    say("chunks", (double)different);
    say("chunk bytes", (double)bytes);
    free(chunks);
    rafs_image_close(replay->image);
}

/* --- a mount
 * ----------------------------------------------------------------------------- */

static void mounted(struct replay *replay, const char *folder)
{
    double start = now();

    replay->mount = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must_os(replay->mount >= 0, folder);
    if (!replay->pid[0])
        snprintf(replay->pid, sizeof(replay->pid), "self");
    measure(replay, start);
    close(replay->mount);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"registry", required_argument, NULL, 'r'},
                                            {"cache", required_argument, NULL, 'c'},
                                            {"merge", required_argument, NULL, 'm'},
                                            {"ahead", required_argument, NULL, 'a'},
                                            {"memory", required_argument, NULL, 'k'},
                                            {"pid", required_argument, NULL, 'p'},
                                            {"record", required_argument, NULL, 'w'},
                                            {"trace", required_argument, NULL, 't'},
                                            {"again", no_argument, NULL, 'g'},
                                            {NULL, 0, NULL, 0}};
    static struct replay replay = {.limits = {.struct_size = sizeof(rafs_limits)}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'r':
            replay.registry = optarg;
            break;
        case 'c':
            replay.cache_dir = optarg;
            break;
        case 'm':
            replay.limits.merge_bytes = strtoull(optarg, NULL, 10);
            break;
        case 'a':
            replay.limits.ahead_bytes = strtoull(optarg, NULL, 10);
            break;
        case 'k':
            replay.limits.chunk_cache_bytes = strtoull(optarg, NULL, 10);
            break;
        case 'p':
            snprintf(replay.pid, sizeof(replay.pid), "%s", optarg);
            break;
        case 'w':
            replay.record = optarg;
            break;
        case 't':
            replay.trace = optarg;
            break;
        case 'g':
            replay.again = true;
            break;
        default:
            return 2;
        }
    }
    if (argc - optind != 3) {
        fputs("bench_replay ours|mount|needed [OPTION…] IMAGE LIST\n", stderr);
        return 2;
    }
    read_list(&replay, argv[optind + 2]);
    if (strcmp(argv[optind], "ours") == 0)
        ours(&replay, argv[optind + 1]);
    else if (strcmp(argv[optind], "mount") == 0)
        mounted(&replay, argv[optind + 1]);
    else
        needed(&replay, argv[optind + 1]);
    return 0;
}
