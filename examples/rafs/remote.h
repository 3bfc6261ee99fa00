/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_REMOTE_H
#define RAFS_COMMAND_REMOTE_H

#include "command.h"

/* Images that are no single files here: docker://HOST/REPO:TAG, oci:DIR and the like. */

/* Does IMAGE begin with the name of a kind of source, as in docker://? */
bool remote_is(const char *image);

/* Does it lie in the network, so that a cache is worth it? */
bool remote_is_network(const char *image);

/* Open it with the sources that --blob-dir named before it. False: reported and noted. */
bool remote_open(struct command *c, const char *image, rafs_open_options *options);

/* After the image was closed. */
void remote_close(struct command *c);

/* After command_failed(): the exit code where opening fails. */
void remote_open_code(struct command *c, const rafs_error *err);

/* layout.c */
bool layout_open(struct command *c, const char *image, rafs_open_options *options);

/* The parts of oci:PATH:NAME; name is NULL, a tag, or sha256:HEX. */
struct layout_name {
    char *path; /* to free() */
    const char *name;
};
bool layout_split(const char *image, struct layout_name *out);

#endif
