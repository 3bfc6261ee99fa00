/* SPDX-License-Identifier: Apache-2.0 */
#include "late.h"

enum {
    NEXT_NS = 1000000000, /* requests of one read(2) come at once */
    PART = 8,             /* of the longest wait: for a source that is there again */
    NEAR_BYTES = 1 << 20  /* the kernel reads ahead */
};

static bool is_near(const struct late_request *a, const struct late_request *b)
{
    uint64_t apart =
        a->offset > b->offset ? a->offset - b->offset : b->offset - a->offset;

    return a->file == b->file && apart <= NEAR_BYTES;
}

uint64_t late_allowed(const struct late *late, const struct late_request *request,
                      uint64_t now, uint64_t longest)
{
    for (uint32_t i = 0; i < LATE_COUNT; i++) {
        const struct late_one *one = &late->at[i];

        if (now < one->until_ns &&
            ((request->pid > 0 && request->pid == one->request.pid) ||
             is_near(request, &one->request)))
            return longest / PART;
    }
    return longest;
}

void late_failed(struct late *late, const struct late_request *request, uint64_t began,
                 uint64_t allowed, uint64_t now)
{
    /* What fails at once is no wait, and is told at once the next time too. */
    if (now - began >= allowed / 2)
        late->at[late->next++ % LATE_COUNT] = (struct late_one){*request, now + NEXT_NS};
}
