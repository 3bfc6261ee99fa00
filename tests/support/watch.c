/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <stdlib.h>
#include <string.h>

/* In front of each block; as large as the strictest alignment. */
union head {
    size_t size;
    max_align_t align;
};

static void *watch_alloc(void *user, size_t size)
{
    struct watch *watch = user;
    size_t call = atomic_fetch_add(&watch->calls, 1);
    size_t now, peak;
    union head *head;

    if (size == 0)
        abort(); /* the environment promises that it never is */
    if (call == watch->fail_at) {
        atomic_store(&watch->failed, true);
        return NULL;
    }
    head = malloc(sizeof(*head) + size);
    if (!head)
        return NULL;
    head->size = size;
    /* What was not written must not look like zeros. */
    memset(head + 1, 0xa5, size < 4096 ? size : 4096);
    atomic_fetch_add(&watch->live, 1);
    now = atomic_fetch_add(&watch->live_bytes, size) + size;
    peak = atomic_load(&watch->peak_bytes);
    while (now > peak && !atomic_compare_exchange_weak(&watch->peak_bytes, &peak, now))
        ;
    return head + 1;
}

static void watch_free(void *user, void *ptr)
{
    struct watch *watch = user;
    union head *head = (union head *)ptr - 1;

    if (!ptr)
        abort(); /* the environment promises that it never is */
    atomic_fetch_sub(&watch->live, 1);
    atomic_fetch_sub(&watch->live_bytes, head->size);
    free(head);
}

static uint64_t watch_now(void *user)
{
    struct watch *watch = user;

    atomic_fetch_add(&watch->looks, 1);
    return atomic_load(&watch->now_ns);
}

void watch_init(struct watch *watch)
{
    memset(watch, 0, sizeof(*watch));
    watch->fail_at = WATCH_NEVER;
    atomic_store(&watch->now_ns, 1000000000u);
    rafs_env_init(&watch->env);
    watch->env.user = watch;
    watch->env.alloc = watch_alloc;
    watch->env.free = watch_free;
    watch->env.now_ns = watch_now;
}

void watch_fail_at(struct watch *watch, size_t n)
{
    watch->fail_at = n;
    atomic_store(&watch->calls, 0);
    atomic_store(&watch->failed, false);
}

void watch_advance(struct watch *watch, uint64_t ns)
{
    atomic_fetch_add(&watch->now_ns, ns);
}

rafs_call watch_call(struct watch *watch, uint64_t ns)
{
    rafs_call call = RAFS_CALL_INIT;

    call.deadline_ns = atomic_load(&watch->now_ns) + ns;
    return call;
}
