/* SPDX-License-Identifier: Apache-2.0 */
/* Until worker.c is there. */
#include "worker.h"

__attribute__((weak)) int worker_run(struct vault *vault, struct mount_table *table,
                                     int socket)
{
    (void)vault;
    (void)table;
    (void)socket;
    return WORKER_BROKEN;
}
