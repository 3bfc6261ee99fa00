/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_THRONG_H
#define TESTS_THRONG_H

#include <stdatomic.h>
#include <sys/types.h>

#include "reading.h"

/*
 * Processes that read one image through one cache directory, with a source that all of
 * them share and that counts, chunk by chunk, what is fetched and by whom.
 */

enum { THRONG_SLOTS = 64, THRONG_CHUNKS = 2048 };

struct throng_chunk {
    uint32_t blob, size; /* stored */
    uint64_t at;
    uint8_t digest[RAFS_DIGEST_BYTES];
    atomic_uint fetched;
    atomic_int flier; /* slot of who fetches it now; 0: nobody */
};

/* In memory that the processes share. */
struct throng_counts {
    struct throng_chunk chunk[THRONG_CHUNKS];
    size_t chunks;
    atomic_bool dead[THRONG_SLOTS]; /* killed: what it was fetching, nobody fetches */
    atomic_uint reads;              /* requests, for chunks or not */
    atomic_uint together;           /* chunks that two live processes fetched at once */
    atomic_uint right, wrong, refused;
    atomic_bool gone; /* the source answers nothing any more */
};

struct throng {
    struct golden golden;
    struct reading reading;
    struct throng_counts *counts;
};

struct throng_plan {
    const char *cache_dir;
    const rafs_env *env;  /* NULL: the default one */
    int slot;             /* 1 to THRONG_SLOTS - 1 */
    uint32_t flags;       /* RAFS_BACKEND_ */
    uint64_t merge_bytes; /* as in rafs_limits */
    uint64_t quota_bytes; /* of the cache */
    uint64_t seed;        /* order of the files */
    unsigned passes; /* over all files, each with the image opened anew; 0: endless */
};

/* Ends the program if the variant cannot be read. */
void throng_init(struct throng *throng, const char *variant);
void throng_drop(struct throng *throng);
/* Forget what was counted. */
void throng_begin(struct throng *throng);

/* Read and compare everything, as a plan says, in this process. */
void throng_read(struct throng *throng, const struct throng_plan *plan);
/* In another one. */
pid_t throng_start(struct throng *throng, const struct throng_plan *plan);
/* Wait for one to end by itself; ends the program if it takes more than a minute. */
void throng_join(pid_t pid);
/* Kill one; what it was fetching is free to others from now on. */
void throng_kill(struct throng *throng, pid_t pid, int slot);

/* An image over the counting source; give back with throng_close(). */
struct throng_open {
    struct throng *throng;
    int slot;
    rafs_cache *cache;
    rafs_backend *backend;
    rafs_image *image;
};
void throng_open(struct throng *throng, const struct throng_plan *plan,
                 struct throng_open *out);
void throng_compare(struct throng_open *open, uint64_t seed);
void throng_close(struct throng_open *open);

/* The most, and the least, that any chunk was fetched. */
unsigned throng_most(const struct throng *throng);
unsigned throng_least(const struct throng *throng);

#endif
