/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rafs/image.h"

/* Images that the reference builder wrote, in memory. */

struct bytes {
    uint8_t *at;
    size_t len;
};

enum { GOLDEN_BLOBS_MAX = 4 };

struct golden {
    char name[64];
    bool inlined;      /* boot is the blob that carries the bootstrap */
    struct bytes boot; /* what is opened */
    char boot_name[80];
    size_t blob_count; /* of those that boot is not */
    struct bytes blob[GOLDEN_BLOBS_MAX];
    char blob_id[GOLDEN_BLOBS_MAX][80];
    char digest[80]; /* "sha256:HEX" of the bootstrap's own bytes */
};

/* A whole file; ends the program if it cannot be read. */
struct bytes file_read(const char *path);
bool file_exists(const char *path);

/* The folder of the project's own images. */
const char *golden_folder(void);
/* The folder of the larger ones, from RAFS_TESTDATA or beside the project; NULL: none. */
const char *golden_shared_folder(void);

/* Names of all variants in a folder, sorted; returns how many. */
size_t golden_list(const char *folder, char names[][64], size_t room);

/* Ends the program if the variant cannot be read. */
void golden_load(const char *folder, const char *variant, struct golden *out);
void golden_drop(struct golden *golden);

/* "sha256:HEX" or the like of bytes. */
void digest_text(const char *prefix, uint32_t algorithm, struct bytes bytes,
                 char out[80]);

/* For conditions that tests rely on but do not test. */
#define NEED(condition) need((condition), #condition, __FILE__, __LINE__)
void need(bool good, const char *what, const char *file, int line);

#endif
