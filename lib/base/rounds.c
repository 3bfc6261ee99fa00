/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rounds.h"

#include <string.h>

#include "base/arith.h"
#include "base/fail.h"

enum {
    WHOLE_MS = 60000, /* where the caller has no deadline */
    PART_MS = 5000,   /* of a source in the first round, if there is as much */
    PART_DOUBLINGS = 6,
    PAUSE_FIRST_MS = 50,
    PAUSE_MOST_MS = 800, /* so that a source that is back is noticed within a second */
    ROUNDS_LIMIT = 4096  /* for clocks that stand still */
};

bool rafsi_ends_search(int rc)
{
    return rc == RAFS_E_CANCELLED || rc == RAFS_E_NOMEM || rc == RAFS_E_LIMIT ||
           rc == RAFS_E_BUG;
}

int rafsi_severity(int rc)
{
    switch (rc) {
    case RAFS_E_CORRUPT:
        return 3;
    case RAFS_E_NOENT:
        return 1;
    default:
        return 2;
    }
}

void rafsi_rounds_begin(struct rafsi_rounds *rounds, const struct rafsi_env *env,
                        const rafs_call *call)
{
    memset(rounds, 0, offsetof(struct rafsi_rounds, error));
    rounds->env = env;
    rounds->call = call;
    rounds->worst = RAFS_E_NOENT;
    rafs_error_init(&rounds->error);
}

const rafs_call *rafsi_rounds_part(struct rafsi_rounds *rounds, size_t others,
                                   size_t left, uint64_t usual_ns)
{
    uint64_t part_ns = (uint64_t)PART_MS * 1000000
                       << rafsi_min(rounds->round, PART_DOUBLINGS);
    uint64_t now, whole_ns;

    if (others == 0)
        return rounds->call;
    now = rafsi_now_ns(rounds->env);
    if (rounds->end_ns == 0)
        rounds->end_ns = rounds->call && rounds->call->deadline_ns
                             ? rounds->call->deadline_ns
                             : now + (uint64_t)WHOLE_MS * 1000000;
    whole_ns = rounds->end_ns > now ? rounds->end_ns - now : 0;
    if (part_ns < 4 * usual_ns)
        part_ns = 4 * usual_ns;
    part_ns = rafsi_min(part_ns, whole_ns / (left + 1));
    rounds->part = (rafs_call)RAFS_CALL_INIT;
    rounds->part.deadline_ns = now + part_ns;
    rounds->part.flags = RAFS_CALL_ONCE;
    if (rounds->call) {
        rounds->part.flags |= rounds->call->flags;
        rounds->part.cancel = rounds->call->cancel;
    }
    return &rounds->part;
}

bool rafsi_rounds_wants(const struct rafsi_rounds *rounds, size_t source)
{
    return !rounds->ended && !(rounds->out >> source & 1);
}

void rafsi_rounds_failed(struct rafsi_rounds *rounds, size_t source, int rc, bool again,
                         const rafs_error *err)
{
    uint32_t bit = (uint32_t)1 << source;

    if (rafsi_ends_search(rc)) {
        rounds->ended = true;
        rounds->worst = rc;
        rounds->error = *err;
        return;
    }
    if (rafsi_severity(rc) >= rafsi_severity(rounds->worst)) {
        rounds->worst = rc;
        rounds->error = *err;
    }
    if (again)
        rounds->waiting |= bit;
    else
        rounds->out |= bit;
    if (rafsi_call_check(rounds->env, rounds->call, RAFS_STAGE_FETCH, NULL) < 0)
        rounds->ended = true;
}

bool rafsi_rounds_again(struct rafsi_rounds *rounds)
{
    uint64_t ms =
        rafsi_min((uint64_t)PAUSE_FIRST_MS << rafsi_min(rounds->round, 8), PAUSE_MOST_MS);
    uint64_t now;
    int rc;

    if (rounds->ended || !(rounds->waiting & ~rounds->out))
        return false;
    rounds->waiting = 0;
    if (rounds->round++ == ROUNDS_LIMIT)
        return false;
    now = rafsi_now_ns(rounds->env);
    /* Somewhere between half of it and all of it, so that clients come out of step. */
    ms = ms / 2 + ((now ^ (uintptr_t)rounds) * 0x9e3779b97f4a7c15u >> 33) % (ms / 2 + 1);
    if (rounds->end_ns && now + ms * 1000000 >= rounds->end_ns) {
        rounds->ended = true;
        return false;
    }
    rc = rafsi_call_sleep(rounds->env, rounds->call, ms, NULL);
    if (rc == RAFS_E_CANCELLED)
        rounds->worst =
            rafsi_call_check(rounds->env, rounds->call, RAFS_STAGE_FETCH, &rounds->error);
    rounds->ended = rc < 0;
    return rc == RAFS_OK;
}

int rafsi_rounds_end(struct rafsi_rounds *rounds, rafs_error *err)
{
    bool late =
        rounds->call && rounds->call->deadline_ns && rounds->end_ns && rounds->ended;

    /* A part that is over is no deadline of the caller's, and the other way round. */
    if (rounds->worst == RAFS_E_TIMEOUT && rounds->end_ns && !late)
        rounds->worst = RAFS_E_BACKEND;
    else if (rounds->worst == RAFS_E_BACKEND && late)
        rounds->worst = RAFS_E_TIMEOUT;
    rounds->error.code = rounds->worst;
    if (err && rounds->worst != RAFS_E_NOENT)
        *err = rounds->error;
    return rounds->worst;
}
