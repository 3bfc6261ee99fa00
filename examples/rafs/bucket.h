/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_BUCKET_H
#define RAFS_COMMAND_BUCKET_H

#include "command.h"

/* s3://BUCKET/FOLDER/image.boot and oss://… as IMAGE. */
bool bucket_open(struct command *c, const char *image, rafs_open_options *options);

/* s3://BUCKET/PREFIX and oss://… as one more source of blobs: objects PREFIX+ID. */
bool bucket_add(struct command *c, const char *url);

/* bucket_settings.c: what options, environment and files say about a store. */
struct bucket_settings {
    const char *endpoint; /* NULL: not said */
    const char *region;
    uint32_t flags;
    rafs_bucket_key key;
    char *texts[2]; /* out of files, to free() */
};

/* False: reported and noted. */
bool bucket_settings_get(struct command *c, bool oss, struct bucket_settings *out);
void bucket_settings_drop(struct bucket_settings *settings);

#endif
