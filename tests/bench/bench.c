/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] =
    "bench_read open|meta|warm|cold|tree [OPTION…] IMAGE\n"
    "bench_read make IMAGE FILES DIRS\n"
    "  --blobs DIR   --plain DIR   --cache BYTES   --rounds N   --cpu\n"
    "  --only ours|peer   without ratios: for profilers\n";

void *must_alloc(size_t size)
{
    void *at = malloc(size ? size : 1);

    must_os(at != NULL, "malloc");
    return at;
}

void must(int rc, const rafs_error *err, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "bench_read: %s: %s: %s: %s\n", what, rafs_error_name(rc),
            err->object, err->text);
    exit(1);
}

void must_os(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static double clock_seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double now(void)
{
    return clock_seconds(CLOCK_MONOTONIC);
}

/* splitmix64: the same places in every run. */
uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void say_value(const char *name, double number, const char *unit)
{
    printf("VALUE\t%s\t%.6g\t%s\n", name, number, unit);
    fflush(stdout);
}

static int by_size(const void *a, const void *b)
{
    double x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

static double median(double *numbers, size_t count)
{
    qsort(numbers, count, sizeof(*numbers), by_size);
    return (numbers[(count - 1) / 2] + numbers[count / 2]) / 2;
}

static double seconds(const struct bench *bench, void (*run)(void *), void *work)
{
    clockid_t clock = bench->cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
    double start = clock_seconds(clock);

    run(work);
    return clock_seconds(clock) - start;
}

double median_time(const struct bench *bench, void (*run)(void *), void *work)
{
    double *times = must_alloc(bench->rounds * sizeof(*times));
    double result;

    run(work);
    for (unsigned i = 0; i < bench->rounds; i++)
        times[i] = seconds(bench, run, work);
    result = median(times, bench->rounds);
    free(times);
    return result;
}

void compete(const struct bench *bench, const char *name, double amount, const char *unit,
             void (*ours)(void *), void (*peer)(void *), void *work)
{
    size_t bytes = bench->rounds * sizeof(double);
    double *mine = must_alloc(bytes);
    double *theirs = must_alloc(bytes);
    double *ratios = must_alloc(bytes);

    if (bench->only) {
        double time = median_time(bench, *bench->only == 'o' ? ours : peer, work);

        say_value(name, amount / time, unit);
        goto out;
    }
    ours(work); /* once unmeasured: caches and lazy tables */
    peer(work);
    for (unsigned i = 0; i < bench->rounds; i++) {
        mine[i] = seconds(bench, ours, work);
        theirs[i] = seconds(bench, peer, work);
        ratios[i] = theirs[i] / mine[i];
    }
    printf("RATIO\t%s\t%.6g\t%.6g\t%s\t%.3f\n", name,
           amount / median(mine, bench->rounds), amount / median(theirs, bench->rounds),
           unit, median(ratios, bench->rounds));
    fflush(stdout);
out:
    free(mine);
    free(theirs);
    free(ratios);
}

void open_image(struct bench *bench)
{
    rafs_error err = RAFS_ERROR_INIT;
    rafs_limits limits = {.struct_size = sizeof(limits),
                          .chunk_cache_bytes = bench->cache_bytes};
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;

    options.limits = &limits;
    if (bench->blob_dir) {
        must(rafs_backend_new_directory(bench->blob_dir, NULL, &bench->backend, &err),
             &err, bench->blob_dir);
        options.backends = &bench->backend;
        options.backend_count = 1;
    }
    must(rafs_image_open_path(bench->image_path, &options, &bench->image, NULL, &err),
         &err, bench->image_path);
}

void close_image(struct bench *bench)
{
    rafs_image_close(bench->image);
    rafs_backend_free(bench->backend);
    bench->image = NULL;
    bench->backend = NULL;
}

static void add_file(struct files *files, size_t *room, const rafs_walk_entry *entry)
{
    struct file *file;

    if (files->count == *room) {
        *room = *room ? *room * 2 : 1024;
        files->at = realloc(files->at, *room * sizeof(*files->at));
        must_os(files->at != NULL, "realloc");
    }
    file = &files->at[files->count++];
    file->path = strdup(entry->path);
    must_os(file->path != NULL, "strdup");
    file->ino = entry->ino;
    file->size = entry->attr.size;
    files->bytes += file->size;
    if (file->size > files->largest)
        files->largest = file->size;
}

void list_files(const struct bench *bench, struct files *out)
{
    rafs_error err = RAFS_ERROR_INIT;
    const rafs_walk_entry *entry;
    rafs_walk *walk;
    size_t room = 0;

    memset(out, 0, sizeof(*out));
    must(rafs_walk_open(bench->image, "/", 0, &walk, &err), &err, "walk");
    do {
        must(rafs_walk_next(walk, &entry, &err), &err, "walk");
        if (entry && (entry->attr.mode & 0170000) == 0100000 && entry->attr.size > 0)
            add_file(out, &room, entry);
    } while (entry);
    rafs_walk_close(walk);
}

void free_files(struct files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->at[i].path);
    free(files->at);
}

static void fail_usage(void)
{
    fputs(usage, stderr);
    exit(2);
}

static void run_command(const char *command, struct bench *bench)
{
    static const struct {
        const char *name;
        void (*run)(struct bench *);
    } commands[] = {
        {"open", bench_open}, {"meta", bench_meta}, {"warm", bench_warm},
        {"cold", bench_cold}, {"tree", bench_tree},
    };

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(command, commands[i].name) == 0) {
            commands[i].run(bench);
            return;
        }
    fail_usage();
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"blobs", required_argument, NULL, 'b'},
        {"plain", required_argument, NULL, 'p'},
        {"cache", required_argument, NULL, 'c'},
        {"rounds", required_argument, NULL, 'r'},
        {"cpu", no_argument, NULL, 'u'},
        {"only", required_argument, NULL, 'o'},
        {NULL, 0, NULL, 0},
    };
    struct bench bench = {.rounds = 9};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'b':
            bench.blob_dir = optarg;
            break;
        case 'p':
            bench.plain_dir = optarg;
            break;
        case 'c':
            bench.cache_bytes = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            bench.rounds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'u':
            bench.cpu_time = true;
            break;
        case 'o':
            bench.only = optarg;
            break;
        default:
            fail_usage();
        }
    if (bench.rounds == 0 || argc - optind < 2)
        fail_usage();
    bench.image_path = argv[optind + 1];
    if (strcmp(argv[optind], "make") == 0) {
        if (argc - optind != 4)
            fail_usage();
        bench_make(bench.image_path, strtoull(argv[optind + 2], NULL, 10),
                   strtoull(argv[optind + 3], NULL, 10));
        return 0;
    }
    run_command(argv[optind], &bench);
    return 0;
}
