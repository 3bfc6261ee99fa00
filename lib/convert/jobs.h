/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CONVERT_JOBS_H
#define RAFSI_CONVERT_JOBS_H

#include "base/base.h"

/*
 * Jobs 0 to count - 1, begun in this order, a few at once. The first failure ends the
 * others, by the token of the call that they were given, and is what comes back.
 */

enum { JOBS_THREADS_MAX = 16 };

struct jobs {
    size_t count;
    unsigned threads; /* 1 to JOBS_THREADS_MAX */
    int (*run)(void *user, size_t i, const rafs_call *call, rafs_error *err);
    /* A few times a second and at the end, from the caller's thread; NULL: nobody looks.
     */
    void (*look)(void *user);
    void *user;
};

int rafsi_jobs_run(const struct rafsi_env *env, const struct jobs *jobs,
                   const rafs_call *call, rafs_error *err);

#endif
