/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_PULL_H
#define RAFSI_OCI_PULL_H

#include "oci/store.h"

/*
 * From a name to the bootstrap: index, manifest, layer, each compared with the digest
 * that the one before names. What a tag leads to is bound to nothing.
 */

/* Where documents outlive the process. What it gives is compared like what comes. */
struct oci_shelf {
    void *user;
    /* *out is memory of env's allocator; false: it is not there. */
    bool (*find)(void *user, const char *kind, const uint8_t *digest, uint64_t limit,
                 const struct rafsi_env *env, uint8_t **out, size_t *len);
    void (*keep)(void *user, const char *kind, const uint8_t *digest, const void *data,
                 size_t len);
};

struct oci_pull {
    const struct oci_store *store;
    const uint8_t *digest; /* of the image; NULL: by tag */
    const char *tag;       /* NULL, without a digest: the only image of the store */
    const char *platform;  /* NULL: this machine's */
    bool referrers;        /* look for a RAFS form that hangs on an ordinary image */
    bool config;           /* put the config onto the shelf too */
    struct rafsi_hashes *hashes;
    uint64_t bootstrap_limit;
    const rafs_call *call;
    const struct oci_shelf *shelf; /* NULL: none */
};

/* *bootstrap is memory of env's allocator. *bound: it follows from pull->digest. */
int rafsi_oci_pull(const struct oci_pull *pull, const struct rafsi_env *env,
                   uint8_t **bootstrap, size_t *len, bool *bound, rafs_error *err);

#endif
