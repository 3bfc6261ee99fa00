/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BOOT_H
#define RAFSI_BOOT_H

#include "api/api.h"

/*
 * From what the caller opened to the bootstrap in it: the thing itself, or the section
 * `image.boot` of a blob, plain or compressed. An expected digest is compared here,
 * before anything is decoded but the tar headers and the TOC that lead to the section.
 */

/* What was opened: a part of a file, or memory. */
struct origin {
    int fd; /* −1: memory */
    uint64_t offset;
    uint64_t size; /* of a file 0: all that follows */
    const void *memory;
};

struct expected {
    bool given;
    bool whole_blob; /* of the whole origin, not of the bootstrap */
    uint32_t algorithm;
    uint8_t digest[RAFSI_DIGEST_BYTES];
};

struct boot {
    struct rafsi_source *source;
    rafs_backend *carrier; /* of the blob that it lay in; NULL: it lay in none */
    uint32_t inlined;
};

int rafsi_boot_find(const struct rafsi_env *env, const struct origin *origin,
                    const rafs_limits *limits, struct rafsi_hashes *hashes,
                    const struct expected *expected, const rafs_call *call,
                    struct boot *out, rafs_error *err);
void rafsi_boot_drop(struct boot *boot);

#endif
