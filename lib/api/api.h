/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_API_H
#define RAFSI_API_H

/* What the exported functions share. */

#include "base/base.h"
#include "rafs/rafs.h"
#include "read/read.h"
#include "tree/tree.h"

/* What an image from a registry was opened from, as the cache calls it. */
struct image_documents {
    struct {
        const char *kind; /* static */
        uint8_t digest[RAFSI_DIGEST_BYTES];
    } at[16]; /* more than indexes, manifests and referrers are looked at */
    uint32_t count;
};

struct rafs_image {
    struct rafsi_env env;
    struct rafsi_hashes *hashes;
    struct rafsi_tree *tree;
    struct rafsi_reader *reader;
    uint32_t inlined;
    uint32_t pinned;
    /* Of an image that came from a registry; else none. */
    rafs_backend *own_backends[RAFS_SOURCES_MAX];
    size_t own_count;
    uint8_t *own_bootstrap;
    struct image_documents documents;
    uint8_t manifest[RAFSI_DIGEST_BYTES]; /* that names the bootstrap */
    bool has_manifest;
    rafs_cache *cache; /* borrowed; NULL: none */
};

/* A NULL where the caller had to give something. */
int rafsi_fail_null(rafs_error *err, const char *what);

#endif
