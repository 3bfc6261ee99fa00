/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_LISTING_H
#define RAFS_COMMAND_LISTING_H

/* The lines of rafs ls. */

#include "content.h"

struct lister {
    struct command *c;
    bool long_format;
    bool recursive;
    bool json;
    rafs_hash *hash; /* NULL: no digests wanted */
    const char *digest_name;
    struct links links;
    struct json j;
};

/* Print one entry: `path` is its whole path, `shown` what a line without JSON says. */
void list_one(struct lister *l, const char *path, const char *shown,
              const rafs_attr *attr);

/* Report an entry of which not even the attributes could be read. */
void list_broken(struct lister *l, const char *path, const rafs_error *err);

#endif
