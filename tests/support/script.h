/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SCRIPT_H
#define TESTS_SCRIPT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "golden.h"
#include "rafs/backend.h"
#include "watch.h"

/*
 * A backend that has blobs in memory, counts what it is asked for, and does one thing
 * wrong at the n-th answer. The bytes may be changed between calls.
 */

enum script_fault {
    SCRIPT_GOOD,
    SCRIPT_FAILS,    /* RAFS_E_BACKEND */
    SCRIPT_SHORT,    /* one byte less than asked, or a blob one byte shorter */
    SCRIPT_EMPTY,    /* no byte at all */
    SCRIPT_ALTERED,  /* one bit of the answer */
    SCRIPT_LATE,     /* right, but the clock has passed the deadline */
    SCRIPT_HANGS,    /* comes back at its deadline with TIMEOUT */
    SCRIPT_CLAIMS,   /* says that it gave more than was asked for */
    SCRIPT_NONSENSE, /* a code that there is none of */
    SCRIPT_POSITIVE, /* a positive code */
    SCRIPT_NOENT,
    SCRIPT_NOMEM,
    SCRIPT_FAULTS
};
extern const char *const script_fault_names[SCRIPT_FAULTS];

struct script {
    const struct bytes *blobs;
    const char (*ids)[80]; /* NULL: blobs[0] answers to every id */
    size_t count;
    struct watch *watch; /* its clock is moved; may be NULL without LATE and HANGS */

    enum script_fault fault;
    size_t fault_at;  /* which answer, from 0; WATCH_NEVER: none */
    bool fault_stays; /* from then on every answer */

    atomic_size_t answers;
    atomic_bool fired;
    atomic_size_t opens, reads, sizes, closes, releases;
    atomic_bool without_deadline; /* something had none to keep */
    atomic_uint_least64_t last_deadline;

    /* Called before each read, without a lock; a code other than RAFS_OK is the answer.
     * May be NULL. */
    int (*before_read)(void *user, uint64_t offset, const rafs_call *call);
    void *before_user;
};

void script_init(struct script *script, const struct bytes *blobs, const char (*ids)[80],
                 size_t count, struct watch *watch);
/* Arm the fault and count anew. */
void script_arm(struct script *script, enum script_fault fault, size_t at);
/* The functions, with script as their user. */
rafs_backend_ops script_ops(void);
/* A backend; ends the program if it cannot be made. */
rafs_backend *script_backend(struct script *script, const rafs_env *env);

#endif
