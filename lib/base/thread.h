/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_THREAD_H
#define RAFSI_THREAD_H

#include <pthread.h>

/* Start a thread that takes no signal of the program's. RAFS_E_NOMEM if there is none. */
int rafsi_thread_start(pthread_t *thread, void *(*start)(void *), void *user);

#endif
