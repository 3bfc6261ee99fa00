/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_COMMAND_DIFF_H
#define RAFS_COMMAND_DIFF_H

/* rafs diff: two trees side by side. */

#include "content.h"
#include "images.h"
#include "tree.h"

/* Bits of what is not compared. */
enum {
    DIFF_MODE = 1,
    DIFF_OWNER = 2,
    DIFF_MTIME = 4,
    DIFF_XATTR = 8,
    DIFF_LINKS = 16,
    DIFF_CONTENT = 32
};

/* One of the two. */
struct side {
    struct command *c; /* its image, and where its blobs are */
    struct links links;
    bool no_data; /* only what its chunks' digests say is known of its files */
};

struct differ {
    struct command *c; /* that reports */
    struct side old, new;
    unsigned ignore; /* DIFF_ */
    bool json;
    struct json j;
    uint64_t found; /* paths that differ */
    char *bytes;    /* diff_source.c: the bootstrap of SOURCE, if it was made here */
};

/* What differs in one entry, as it is found: diff_put.c. */
struct changes {
    struct differ *d;
    const char *path;
    size_t path_len;
    unsigned count;
};
void changes_begin(struct changes *changes, struct differ *d, const char *path,
                   size_t path_len);
/* from or to may be NULL: there is none. */
void changes_add(struct changes *changes, const char *what, const char *from,
                 const char *to);
/* True: there were some, and the line is complete. */
bool changes_end(struct changes *changes);
/* A path that only one side has: '-' or '+'. */
void put_only(struct differ *d, char sign, const struct tree_entry *entry);

/* diff_entry.c. Compare what a path is on both sides. False: failed, and reported. */
bool diff_entry(struct differ *d, const struct tree_entry *old,
                const struct tree_entry *new);

/* diff_content.c. Do two files hold the same bytes? False: failed, *err says why. */
bool diff_content(struct differ *d, const struct tree_entry *old,
                  const struct tree_entry *new, bool *same, rafs_error *err);

/* diff_source.c. Make SOURCE an image: a tree and digests of chunks, without any data.
 * like: whose chunk size and digest it is to have. False: reported. */
bool diff_source(struct differ *d, const rafs_image *like, const char *path,
                 struct command *out);
void diff_source_close(struct differ *d, struct command *source);

#endif
