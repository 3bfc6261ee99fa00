/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_COMPOSE_INDEX_H
#define RAFSI_OCI_COMPOSE_INDEX_H

#include "oci/text.h"

/*
 * What is made out of the documents of another image: an index like that one, and what
 * people noted on a manifest.
 */

/* What takes the place of an entry. */
struct compose_entry {
    bool keep; /* else it is left out */
    uint8_t digest[OCI_DIGEST_BYTES];
    uint64_t size;
};

struct compose_index {
    const char *from; /* JSON of the index that this is made of */
    size_t from_len;
    const struct compose_entry *entries; /* for each of its manifests */
    size_t count;
    bool docker;   /* docker's media types in place of OCI's */
    bool artifact; /* say by artifactType that manifests are of RAFS images */
};

/* Platforms and annotations stay as they are. *out: env's memory, without a NUL at the
 * end. */
int rafsi_compose_index(const struct rafsi_env *env, const struct compose_index *index,
                        char **out, size_t *len, rafs_error *err);

/* The annotations of a manifest as "KEY=VALUE", in one piece of env's memory; those
 * whose key has a '=' are left out. */
int rafsi_oci_annotations(const struct rafsi_env *env, const void *json, size_t len,
                          const char *const **out, size_t *count, rafs_error *err);

#endif
