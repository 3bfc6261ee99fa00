/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_LATE_H
#define RAFS_LATE_H

/*
 * The longest wait is of a reader, and the kernel makes several requests of one read(2):
 * it asks once more for each page that failed, and of those who wait for one page each
 * asks once more. So little time is given to whoever has waited in vain just now, and for
 * what somebody has waited for in vain.
 */

#include <stdbool.h>
#include <stdint.h>

enum { LATE_COUNT = 32 };

/* Who asks for what. */
struct late_request {
    int32_t pid;           /* 0: not known */
    uint64_t file, offset; /* any number of a file, and where in it */
};

/* The last ones that failed. Not locked. */
struct late {
    struct late_one {
        struct late_request request;
        uint64_t until_ns; /* 0: none */
    } at[LATE_COUNT];
    uint32_t next;
};

/* What a request that begins now may take, of `longest` ns. */
uint64_t late_allowed(const struct late *late, const struct late_request *request,
                      uint64_t now, uint64_t longest);
/* One that was allowed so much and began then has failed now. */
void late_failed(struct late *late, const struct late_request *request, uint64_t began,
                 uint64_t allowed, uint64_t now);

#endif
