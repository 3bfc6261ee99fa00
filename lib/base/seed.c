/* SPDX-License-Identifier: Apache-2.0 */
#include "base/seed.h"

#include <sys/random.h>
#include <time.h>

uint64_t rafsi_seed(void)
{
    struct timespec now;
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == (ssize_t)sizeof(seed))
        return seed;
    /* Early in boot, or without the call: where the stack lies and what time it is. */
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uintptr_t)&seed;
}
