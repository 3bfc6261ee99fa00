/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_STORE_H
#define RAFSI_OCI_STORE_H

#include "oci/text.h"

/*
 * Where the documents of images lie: a registry, a folder, an archive. It is asked for
 * one after the other on the way from a name to a bootstrap, and believed in nothing:
 * pull.c compares what comes with its digest.
 */

enum oci_what {
    OCI_GET_MANIFEST, /* a manifest or index: by digest or tag */
    OCI_GET_LAYER,    /* a layer: by digest */
    OCI_GET_REFERRERS /* an index of what hangs on the manifest of this digest */
};

struct oci_wanted {
    enum oci_what what;
    const uint8_t *digest; /* NULL: by tag */
    const char *tag;
    uint64_t limit; /* a longer one is RAFS_E_LIMIT */
};

struct oci_store {
    void *user;
    const char *name; /* "the registry", for errors */
    /* The digest that a tag stands for; tag NULL: the only image that there is. If this
     * is NULL, get() takes tags. */
    int (*resolve)(void *user, const char *tag, uint8_t out[OCI_DIGEST_BYTES],
                   rafs_error *err);
    /* *out is memory of env's allocator. RAFS_E_NOENT: there is no such thing. */
    int (*get)(void *user, const struct oci_wanted *wanted, const struct rafsi_env *env,
               const rafs_call *call, uint8_t **out, size_t *len, rafs_error *err);
};

#endif
