/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <signal.h>
#include <time.h>

#include "rafs/error.h"

int rafsi_thread_start(pthread_t *thread, void *(*start)(void *), void *user)
{
    sigset_t all, before;
    int bad;

    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return RAFS_E_NOMEM;
    bad = pthread_create(thread, NULL, start, user);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return bad ? RAFS_E_NOMEM : RAFS_OK;
}

bool rafsi_cond_new(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    bool good;

    if (pthread_condattr_init(&attr) != 0)
        return false;
    good = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
           pthread_cond_init(cond, &attr) == 0;
    pthread_condattr_destroy(&attr);
    return good;
}

bool rafsi_lock_new(pthread_mutex_t *lock, pthread_cond_t *cond)
{
    if (!rafsi_cond_new(cond))
        return false;
    if (pthread_mutex_init(lock, NULL) == 0)
        return true;
    pthread_cond_destroy(cond);
    return false;
}

void rafsi_wait_ns(pthread_cond_t *cond, pthread_mutex_t *lock, long ns)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ns / 1000000000;
    until.tv_nsec += ns % 1000000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(cond, lock, &until);
}
