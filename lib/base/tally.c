/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tally.h"

const char *rafs_cause_name(uint32_t cause)
{
    static const char *const names[] = {"demand",   "ahead", "prefetch",
                                        "metadata", "open",  "check"};

    return cause < sizeof(names) / sizeof(names[0]) ? names[cause] : "?";
}

void rafs_call_count(const rafs_call *call, uint32_t event, uint64_t n)
{
    if (call && call->tally && event < RAFSI_EVENTS)
        atomic_fetch_add_explicit(&call->tally->events[event], n, memory_order_relaxed);
}
