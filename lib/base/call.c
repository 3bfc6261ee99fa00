/* SPDX-License-Identifier: Apache-2.0 */
#include "base/call.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/arith.h"
#include "base/fail.h"

/* The flag is what calls look at; the descriptor wakes those that sleep in poll(). */
struct rafs_cancel {
    atomic_int fired;
    int fd;
    int both; /* readable with this or the other one; -1: it never had another */
    _Atomic(const rafs_cancel *) other;
};

int rafs_cancel_new(rafs_cancel **out, rafs_error *err)
{
    rafs_cancel *cancel;

    if (!out)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL, "out is NULL");
    cancel = malloc(sizeof(*cancel));
    if (!cancel)
        return rafsi_fail_nomem(err, sizeof(*cancel));
    atomic_init(&cancel->fired, 0);
    atomic_init(&cancel->other, NULL);
    cancel->both = -1;
    cancel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (cancel->fd < 0) {
        int os_errno = errno;

        free(cancel);
        return rafsi_fail_os(err, RAFS_E_BACKEND, RAFS_STAGE_NONE, os_errno, NULL,
                             "no descriptor for a cancel token: %s",
                             os_errno == EMFILE ? "too many open files"
                                                : "eventfd failed");
    }
    *out = cancel;
    return RAFS_OK;
}

void rafs_cancel_fire(rafs_cancel *cancel)
{
    int saved = errno;
    uint64_t one = 1;

    if (!cancel)
        return;
    atomic_store(&cancel->fired, 1);
    /* It can only fail because it is readable already, which is what we want. */
    if (write(cancel->fd, &one, sizeof(one)) < 0)
        errno = saved;
    errno = saved;
}

void rafs_cancel_reset(rafs_cancel *cancel)
{
    uint64_t count;

    if (!cancel)
        return;
    atomic_store(&cancel->fired, 0);
    while (read(cancel->fd, &count, sizeof(count)) > 0)
        ;
}

int rafs_cancel_fired(const rafs_cancel *cancel)
{
    const rafs_cancel *other;

    if (!cancel || atomic_load(&cancel->fired))
        return cancel != NULL;
    other = atomic_load(&cancel->other);
    return other && atomic_load(&other->fired);
}

int rafs_cancel_fd(const rafs_cancel *cancel)
{
    return cancel->both >= 0 ? cancel->both : cancel->fd;
}

/* Without the descriptor who sleeps notices later: nobody sleeps longer than a second. */
static void watch(rafs_cancel *cancel, int operation, const rafs_cancel *token)
{
    struct epoll_event event = {.events = EPOLLIN};

    (void)epoll_ctl(cancel->both, operation, token->fd, &event);
}

void rafsi_cancel_join(rafs_cancel *cancel, const rafs_cancel *other)
{
    const rafs_cancel *before = atomic_load(&cancel->other);

    if (before && cancel->both >= 0)
        watch(cancel, EPOLL_CTL_DEL, before);
    atomic_store(&cancel->other, other);
    if (other && cancel->both < 0) {
        cancel->both = epoll_create1(EPOLL_CLOEXEC);
        if (cancel->both >= 0)
            watch(cancel, EPOLL_CTL_ADD, cancel);
    }
    if (other && cancel->both >= 0)
        watch(cancel, EPOLL_CTL_ADD, other);
}

void rafs_cancel_free(rafs_cancel *cancel)
{
    if (!cancel)
        return;
    if (cancel->both >= 0)
        close(cancel->both);
    close(cancel->fd);
    free(cancel);
}

void rafs_call_init(rafs_call *call, const rafs_env *env, uint64_t timeout_ms,
                    const rafs_cancel *cancel)
{
    struct rafsi_env taken;
    uint64_t timeout_ns;

    memset(call, 0, sizeof(*call));
    call->struct_size = sizeof(*call);
    call->cancel = cancel;
    if (timeout_ms == 0)
        return;
    if (rafsi_env_take(env, &taken, NULL) < 0)
        rafsi_env_take(NULL, &taken, NULL);
    /* A timeout of more than 500 years is none. */
    if (!rafsi_mul(timeout_ms, 1000000, &timeout_ns) ||
        !rafsi_add(rafsi_now_ns(&taken), timeout_ns, &call->deadline_ns))
        call->deadline_ns = 0;
}

int rafsi_call_take_read(const rafs_call *in, rafs_call *out, rafs_error *err)
{
    static const uint32_t known =
        RAFS_CALL_AHEAD | RAFS_CALL_ONCE | RAFS_CALL_FRESH | RAFS_CALL_CACHED;
    int rc = rafsi_take_struct(in, out, sizeof(*out), "rafs_call", err);

    out->struct_size = sizeof(*out);
    if (rc == RAFS_OK && (out->flags & ~known))
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "rafs_call",
                        "flags 0x%x are not known", out->flags);
    return rc;
}

int rafsi_call_take(const rafs_call *in, rafs_call *out, rafs_error *err)
{
    int rc = rafsi_call_take_read(in, out, err);

    if (rc == RAFS_OK && (out->flags & RAFS_CALL_CACHED))
        rc = rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "rafs_call",
                        "RAFS_CALL_CACHED is for reads of files alone");
    return rc;
}

int rafsi_call_check(const struct rafsi_env *env, const rafs_call *call, uint32_t stage,
                     rafs_error *err)
{
    if (rafs_cancel_fired(env->set.cancel) || (call && rafs_cancel_fired(call->cancel)))
        return rafsi_fail(err, RAFS_E_CANCELLED, stage, NULL, "cancelled by the caller");
    if (call && call->deadline_ns != 0 && rafsi_now_ns(env) >= call->deadline_ns)
        return rafsi_fail(err, RAFS_E_TIMEOUT, stage, NULL, "the deadline has passed");
    return RAFS_OK;
}

/* The length is one of real time, so that it ends with any clock of the caller's. */
int rafsi_call_sleep(const struct rafsi_env *env, const rafs_call *call, uint64_t ms,
                     rafs_error *err)
{
    const rafs_cancel *tokens[] = {call ? call->cancel : NULL, env->set.cancel};
    uint64_t now = rafsi_monotonic_ns();
    uint64_t end = now + ms * 1000000;
    int rc = rafsi_call_check(env, call, RAFS_STAGE_FETCH, err);

    while (rc == RAFS_OK && now < end) {
        struct pollfd wake[2];
        nfds_t count = 0;

        for (size_t i = 0; i < 2; i++)
            if (tokens[i])
                wake[count++] = (struct pollfd){.fd = tokens[i]->fd, .events = POLLIN};
        poll(wake, count, (int)rafsi_min((end - now) / 1000000 + 1, 1000));
        rc = rafsi_call_check(env, call, RAFS_STAGE_FETCH, err);
        now = rafsi_monotonic_ns();
    }
    return rc;
}

uint64_t rafsi_call_left_ns(const struct rafsi_env *env, const rafs_call *call,
                            uint64_t most)
{
    uint64_t now;

    if (!call || call->deadline_ns == 0)
        return most;
    now = rafsi_now_ns(env);
    return now >= call->deadline_ns ? 0 : rafsi_min(call->deadline_ns - now, most);
}
