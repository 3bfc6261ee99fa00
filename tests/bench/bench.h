/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_BENCH_H
#define RAFS_BENCH_H

/*
 * What the parts of bench_read share. It uses the public API alone, so that it measures
 * what a program gets. Lines on standard output, fields parted by tabs, are read by
 * `run`: RATIO name ours peer unit ratio    ratio above 1: librafs is faster VALUE name
 * number unit
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rafs/rafs.h"

struct bench {
    const char *image_path;
    const char *blob_dir;
    const char *plain_dir; /* the files that the image was made of */
    uint64_t cache_bytes;  /* chunk cache; 0: the default */
    unsigned rounds;
    bool cpu_time;    /* of the process, in place of the clock */
    const char *only; /* "ours" or "peer", for profilers; NULL: both */
    rafs_image *image;
    rafs_backend *backend;
};

struct file {
    char *path;
    uint64_t ino;
    uint64_t size;
};

struct files {
    struct file *at;
    size_t count;
    uint64_t bytes;
    uint64_t largest;
};

/* All of these end the program with a message when something fails. */
void *must_alloc(size_t size);
void must(int rc, const rafs_error *err, const char *what);
void must_os(bool good, const char *what);

double now(void);
uint64_t next_random(uint64_t *state);

void say_value(const char *name, double number, const char *unit);

/* Let two functions do the same work in turns, and print the median of each and of the
 * rounds' ratios. amount: units of work in one call. */
void compete(const struct bench *bench, const char *name, double amount, const char *unit,
             void (*ours)(void *), void (*peer)(void *), void *work);
/* Median seconds of a function. */
double median_time(const struct bench *bench, void (*run)(void *), void *work);

/* The image of a bench, with one directory of blobs, opened and closed again. */
void open_image(struct bench *bench);
void close_image(struct bench *bench);
/* Regular files with content, in the order of a walk. */
void list_files(const struct bench *bench, struct files *out);
void free_files(struct files *files);

/* The commands. */
void bench_open(struct bench *bench);
void bench_meta(struct bench *bench);
void bench_warm(struct bench *bench);
void bench_cold(struct bench *bench);
void bench_tree(struct bench *bench);
void bench_make(const char *path, uint64_t files, uint64_t dirs);

#endif
