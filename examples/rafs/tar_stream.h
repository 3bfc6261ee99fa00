/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TAR_STREAM_H
#define TAR_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "command.h"

/* False where the program was built without libarchive. */
bool tar_available(void);

/* Write what lies at the paths, or all if there are none, to standard output. Failures
 * are reported and noted. */
void tar_write(struct command *c, char **paths, size_t count);

#endif
