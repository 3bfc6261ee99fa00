/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_REMOTE_H
#define RAFS_COMMAND_REMOTE_H

#include "command.h"

/* Images that are not files here: docker://HOST/REPO:TAG and the like. */

/* Does IMAGE begin with the name of a kind of source, as in docker://? */
bool remote_is(const char *image);

/* Open it with the sources that --blob-dir named before it. False: reported and noted. */
bool remote_open(struct command *c, const char *image, rafs_open_options *options);

/* After the image was closed. */
void remote_close(struct command *c);

#endif
