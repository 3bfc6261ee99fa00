/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_MOUNT_HOLDER_H
#define RAFS_MOUNT_HOLDER_H

#include <signal.h>

#include "vault.h"

/* What a process of the pair goes on as. */
enum role { ROLE_HOLDER, ROLE_PUMP, ROLE_OVER };

/* Hold until the other one is gone: start it anew. Gives ROLE_PUMP in the child. */
enum role holder_main(struct vault *vault);
/* Pump: the holder is gone. Gives ROLE_HOLDER in the new one. */
enum role holder_start(struct vault *vault);
/* SIGTERM and the like came: all is to be unmounted. */
bool holder_signalled(void);
/* For ppoll() and epoll_pwait(), which alone let signals in. */
const sigset_t *holder_signals(void);

/* The pair from here on, in whichever process of it. Gives the exit code in the process
 * that called it; the others end. */
int pair_run(struct vault *vault);

enum role pump_main(struct vault *vault, int *exit_code);

#endif
