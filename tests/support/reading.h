/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_READING_H
#define TESTS_READING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "golden.h"
#include "rafs/rafs.h"
#include "script.h"

/* All that a good image says, kept to be compared with what a damaged one says. */

struct item {
    char *path;
    rafs_attr attr;
    struct bytes content;              /* of a file; target of a link */
    uint8_t xattrs[RAFS_DIGEST_BYTES]; /* over names and values */
    uint64_t first_byte, last_byte;    /* positions in the blob, of all its chunks */
};

struct reading {
    struct item *items;
    size_t count;
};

/* Opens a golden image over scripts; ends the program if a good one does not open. */
struct rig {
    struct script script;
    rafs_backend *backend;
    rafs_image *image;
    /* What is opened and served: changed by tests, of the lengths given here. */
    struct bytes boot;
    struct bytes blobs[GOLDEN_BLOBS_MAX];
};

/* Copies of the golden's bytes, and a backend over the blobs. */
void rig_init(struct rig *rig, const struct golden *golden, struct watch *watch);
/* Open; expect may be NULL. */
int rig_open(struct rig *rig, const struct golden *golden, const char *expect,
             uint64_t chunk_cache_bytes, rafs_error *err);
void rig_close(struct rig *rig);
void rig_drop(struct rig *rig);

/* Ends the program if anything cannot be read. */
void reading_take(const rafs_image *image, struct reading *out);
void reading_drop(struct reading *reading);

struct tally {
    uint64_t right;   /* answers that equal the good image's */
    uint64_t refused; /* answers that are errors */
    uint64_t wrong;   /* the others: there must be none */
};

/* Read one file or link of the reading and compare. */
void reading_compare_item(const rafs_image *image, const struct item *item,
                          struct tally *tally);
/* All of the reading by path: attributes, xattrs, content. */
void reading_compare(const rafs_image *image, const struct reading *reading,
                     struct tally *tally);

/* Digest of all xattrs of an inode. */
int xattr_digest(const rafs_image *image, uint64_t ino, uint8_t out[RAFS_DIGEST_BYTES]);

/* Walk an image that nobody vouches for, within bounds; each chunk that reads must have
 * the digest that its extent names. */
void explore(const rafs_image *image, struct tally *tally);

#endif
