/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_STATS_H
#define RAFS_COMMAND_STATS_H

#include "command.h"

/* Choose what --stats shows; NULL: text for people. False: reported and noted. */
bool stats_form(struct command *c, const char *name);

/* Show it, if it was asked for and the image is open. */
void stats_show(struct command *c);

#endif
