/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/*
 * Opening, and what needs no blob. Memory is what the library asked its allocator for:
 * the most at any moment.
 */

struct meter {
    size_t now, most;
};

static void *meter_alloc(void *user, size_t size)
{
    struct meter *meter = user;
    char *at = malloc(size + 16);

    if (!at)
        return NULL;
    memcpy(at, &size, sizeof(size));
    meter->now += size;
    if (meter->now > meter->most)
        meter->most = meter->now;
    return at + 16;
}

static void meter_free(void *user, void *ptr)
{
    struct meter *meter = user;
    char *at = (char *)ptr - 16;
    size_t size;

    memcpy(&size, at, sizeof(size));
    meter->now -= size;
    free(at);
}

static long anonymous_kib(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    long kib = 0;

    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, "RssAnon:", 8) == 0)
            kib = strtol(line + 8, NULL, 10);
    fclose(file);
    return kib;
}

struct opening {
    const struct bench *bench;
    rafs_open_options options;
};

static void open_and_close(void *work)
{
    struct opening *opening = work;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image;

    must(rafs_image_open_path(opening->bench->image_path, &opening->options, &image, NULL,
                              &err),
         &err, "open");
    rafs_image_close(image);
}

/* What a file's digest is: of all its bytes, which come through the page cache. */
static void digest_file(const char *path, uint32_t algorithm, char text[80])
{
    rafs_error err = RAFS_ERROR_INIT;
    uint8_t digest[RAFS_DIGEST_BYTES];
    FILE *file = fopen(path, "re");
    char *piece = must_alloc(1 << 20);
    rafs_hash *hash;
    size_t n;
    int used;

    must_os(file != NULL, path);
    must(rafs_hash_new(algorithm, NULL, &hash, &err), &err, "hash");
    while ((n = fread(piece, 1, 1 << 20, file)) > 0)
        must(rafs_hash_update(hash, piece, n), &err, "hash");
    must(rafs_hash_final(hash, digest), &err, "hash");
    rafs_hash_free(hash);
    free(piece);
    fclose(file);
    used = snprintf(text, 80, "%s:", rafs_digest_name(algorithm));
    for (size_t i = 0; i < sizeof(digest); i++)
        used += snprintf(text + used, 80 - (size_t)used, "%02x", digest[i]);
}

void bench_open(struct bench *bench)
{
    struct opening opening = {.bench = bench, .options = RAFS_OPEN_OPTIONS_INIT};
    rafs_image_info info = {.struct_size = sizeof(info)};
    rafs_error err = RAFS_ERROR_INIT;
    char digest[80], name[64];

    open_image(bench);
    must(rafs_image_get_info(bench->image, &info, &err), &err, "info");
    close_image(bench);
    say_value("inodes", (double)info.inodes, "");
    say_value("bootstrap", (double)info.bootstrap_bytes / 1e6, "MB");
    say_value("open and close", 1e3 * median_time(bench, open_and_close, &opening), "ms");
    for (uint32_t algorithm = 0; algorithm < 2; algorithm++) {
        digest_file(bench->image_path, algorithm, digest);
        opening.options.expect_digest = digest;
        snprintf(name, sizeof(name), "open and close, expecting %s",
                 rafs_digest_name(algorithm));
        say_value(name, 1e3 * median_time(bench, open_and_close, &opening), "ms");
    }
}

struct meta {
    const rafs_image *image;
    char **paths;
    size_t count;
    uint64_t *dirs;
    size_t dir_count;
    uint32_t flags;
    uint64_t entries; /* seen by the last pass */
};

static void resolve_all(void *work)
{
    struct meta *meta = work;
    rafs_error err = RAFS_ERROR_INIT;
    uint64_t ino;

    for (size_t i = 0; i < meta->count; i++)
        must(rafs_image_resolve(meta->image, meta->paths[i], 0, &ino, &err), &err,
             meta->paths[i]);
}

static void read_dirs(void *work)
{
    static rafs_dirent entries[128];
    static char names[32768];
    struct meta *meta = work;
    rafs_error err = RAFS_ERROR_INIT;

    meta->entries = 0;
    for (size_t i = 0; i < meta->dir_count; i++) {
        uint64_t at = 0;
        size_t n;

        do {
            must(rafs_image_readdir(meta->image, meta->dirs[i], at, meta->flags, entries,
                                    128, names, sizeof(names), &n, &err),
                 &err, "readdir");
            if (n > 0)
                at = entries[n - 1].next_offset;
            meta->entries += n;
        } while (n > 0);
    }
}

/* Every directory, and a sample of paths in random order. */
static void sample(struct meta *meta, size_t most)
{
    rafs_error err = RAFS_ERROR_INIT;
    const rafs_walk_entry *entry;
    uint64_t state = 7, seen = 0;
    rafs_walk *walk;
    size_t room = 0;

    meta->paths = must_alloc(most * sizeof(*meta->paths));
    must(rafs_walk_open(meta->image, "/", 0, &walk, &err), &err, "walk");
    for (;;) {
        uint64_t slot;

        must(rafs_walk_next(walk, &entry, &err), &err, "walk");
        if (!entry)
            break;
        if ((entry->attr.mode & 0170000) == 0040000) {
            if (meta->dir_count == room) {
                room = room ? room * 2 : 1024;
                meta->dirs = realloc(meta->dirs, room * sizeof(*meta->dirs));
                must_os(meta->dirs != NULL, "realloc");
            }
            meta->dirs[meta->dir_count++] = entry->ino;
            continue;
        }
        if ((entry->attr.mode & 0170000) != 0100000)
            continue;
        /* Reservoir: each path is equally likely to stay. */
        slot = seen++ < most ? seen - 1 : next_random(&state) % seen;
        if (slot >= most)
            continue;
        if (slot < meta->count)
            free(meta->paths[slot]);
        else
            meta->count++;
        meta->paths[slot] = strdup(entry->path);
        must_os(meta->paths[slot] != NULL, "strdup");
    }
    rafs_walk_close(walk);
    for (size_t i = meta->count; i > 1; i--) {
        size_t j = next_random(&state) % i;
        char *path = meta->paths[i - 1];

        meta->paths[i - 1] = meta->paths[j];
        meta->paths[j] = path;
    }
}

static void say_rate(const struct bench *bench, const char *name, void (*run)(void *),
                     struct meta *meta, bool entries)
{
    double time = median_time(bench, run, meta);

    say_value(name, (double)(entries ? meta->entries : meta->count) / time / 1e3, "k/s");
}

static void one_pass(const struct bench *bench, const char *expect)
{
    struct meter meter = {0};
    struct meta meta = {0};
    rafs_env env = RAFS_ENV_INIT;
    rafs_open_options options = RAFS_OPEN_OPTIONS_INIT;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_image *image;
    long before = anonymous_kib();
    double start = now();

    env.user = &meter;
    env.alloc = meter_alloc;
    env.free = meter_free;
    options.env = &env;
    options.expect_digest = expect;
    must(rafs_image_open_path(bench->image_path, &options, &image, NULL, &err), &err,
         bench->image_path);
    say_value(expect ? "pinned: first open" : "first open", 1e3 * (now() - start), "ms");
    meta.image = image;
    sample(&meta, 20000);
    say_rate(bench, expect ? "pinned: resolve" : "resolve", resolve_all, &meta, false);
    say_rate(bench, expect ? "pinned: readdir" : "readdir", read_dirs, &meta, true);
    meta.flags = RAFS_DIR_ATTR;
    say_rate(bench,
             expect ? "pinned: readdir with attributes" : "readdir with attributes",
             read_dirs, &meta, true);
    for (size_t i = 0; i < meta.count; i++)
        free(meta.paths[i]);
    free(meta.paths);
    free(meta.dirs);
    say_value(expect ? "pinned: most memory allocated" : "most memory allocated",
              (double)meter.most / 1048576, "MiB");
    say_value(expect ? "pinned: more anonymous memory" : "more anonymous memory",
              (double)(anonymous_kib() - before) / 1024, "MiB");
    rafs_image_close(image);
}

void bench_meta(struct bench *bench)
{
    char digest[80];

    one_pass(bench, NULL);
    digest_file(bench->image_path, RAFS_DIGEST_BLAKE3, digest);
    one_pass(bench, digest);
}
