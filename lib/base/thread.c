/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <signal.h>

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
