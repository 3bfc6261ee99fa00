/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_WATCH_H
#define TESTS_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rafs/env.h"

/*
 * An environment that counts what the library allocates, can refuse the n-th allocation,
 * and has a clock that only tests move.
 */
struct watch {
    atomic_size_t live;       /* blocks not given back */
    atomic_size_t live_bytes; /* bytes of them */
    atomic_size_t peak_bytes;
    atomic_size_t calls; /* allocations asked for */
    size_t fail_at;      /* which of them fails, from 0; WATCH_NEVER: none */
    atomic_bool failed;  /* it did */
    atomic_uint_least64_t now_ns;
    atomic_size_t looks; /* times that somebody asked for the time */
    rafs_env env;
};

#define WATCH_NEVER SIZE_MAX

/* The clock begins at one second, since a deadline of 0 means none. */
void watch_init(struct watch *watch);
/* Begin to count calls anew, with the n-th failing. */
void watch_fail_at(struct watch *watch, size_t n);
void watch_advance(struct watch *watch, uint64_t ns);
/* A deadline this far from now on the watch's clock. */
rafs_call watch_call(struct watch *watch, uint64_t ns);

#endif
