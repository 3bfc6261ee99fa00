/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_IMAGES_H
#define RAFS_COMMAND_IMAGES_H

/* Commands that open more than one image: each has a struct command of its own, with the
 * options of the first. */

#include "command.h"

/* Open one more image as `first` says. False: reported, and noted in both. `image` is to
 * be closed in any case. */
bool image_open_also(struct command *first, struct command *image, const char *path);
void image_close_also(struct command *first, struct command *image);

#endif
