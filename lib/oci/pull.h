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

/* What a bootstrap was found by. */
struct oci_pulled {
    bool bound;                         /* it follows from pull->digest */
    uint8_t manifest[OCI_DIGEST_BYTES]; /* that names it */
};

/* *bootstrap is memory of env's allocator. */
int rafsi_oci_pull(const struct oci_pull *pull, const struct rafsi_env *env,
                   uint8_t **bootstrap, size_t *len, struct oci_pulled *pulled,
                   rafs_error *err);

/* A document with its digest. */
struct oci_document {
    uint8_t *bytes; /* env's memory */
    size_t len;
    uint8_t digest[OCI_DIGEST_BYTES];
};
void rafsi_document_drop(const struct rafsi_env *env, struct oci_document *document);

/* One step of it, compared with wanted->digest but for lists of referrers. what: for
 * errors; kind: its name on the shelf. */
int rafsi_oci_get(const struct oci_pull *pull, const struct oci_wanted *wanted,
                  const char *what, const char *kind, const struct rafsi_env *env,
                  struct oci_document *out, rafs_error *err);
/* By digest or, if that is NULL, by tag. */
int rafsi_oci_get_manifest(const struct oci_pull *pull, const uint8_t *digest,
                           const char *tag, const struct rafsi_env *env,
                           struct oci_document *out, rafs_error *err);
/* From what was asked for down to the manifest of the platform. */
int rafsi_oci_get_image(const struct oci_pull *pull, const struct rafsi_env *env,
                        struct oci_document *out, rafs_error *err);
/* The list of what hangs on a manifest: by the API, else by the tag that stands for it.
 */
int rafsi_oci_get_referrers(const struct oci_pull *pull, const uint8_t *subject,
                            const struct rafsi_env *env, struct oci_document *out,
                            rafs_error *err);

#endif
