/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_MIRRORS_H
#define RAFS_COMMAND_MIRRORS_H

#include "command.h"

/* Who is asked before the registry: --mirror, then --hosts-dir. Filled into options,
 * which borrow from c until mirrors_drop(). False: reported. */
bool mirrors_gather(struct command *c, const char *image, rafs_registry_options *options);
void mirrors_drop(struct command *c);

#endif
