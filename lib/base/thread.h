/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_THREAD_H
#define RAFSI_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Start a thread that takes no signal of the program's. RAFS_E_NOMEM if there is none. */
int rafsi_thread_start(pthread_t *thread, void *(*start)(void *), void *user);

/* A condition whose clock no one sets. */
bool rafsi_cond_new(pthread_cond_t *cond);
/* A lock with a condition whose clock no one sets. False: neither was made. */
bool rafsi_lock_new(pthread_mutex_t *lock, pthread_cond_t *cond);
/* Wait for the condition, with the lock held, no longer than so many nanoseconds. */
void rafsi_wait_ns(pthread_cond_t *cond, pthread_mutex_t *lock, long ns);

#endif
