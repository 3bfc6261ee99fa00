/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_MIRRORS_H
#define RAFSI_OCI_MIRRORS_H

#include "oci/registry.h"

/*
 * A repository and its mirrors: documents come from the first that has them, is allowed
 * to say so, and gives what the digest names. The registry itself comes last.
 */
struct oci_mirrors;

/* Tags are resolved, and other things without a digest asked for, only where RESOLVE is
 * allowed; what has a digest only where PULL is. origin and hashes are borrowed. */
int rafsi_mirrors_new(struct oci_registry *origin, const struct oci_reference *reference,
                      const rafs_registry_options *options, struct rafsi_hashes *hashes,
                      struct oci_mirrors **out, rafs_error *err);
void rafsi_mirrors_free(struct oci_mirrors *mirrors); /* NULL is fine */

struct oci_store rafsi_mirrors_store(struct oci_mirrors *mirrors);

/* One for the blobs at the i-th of them. */
int rafsi_mirrors_backend(struct oci_mirrors *mirrors, size_t i, rafs_backend **out,
                          rafs_error *err);

/* Backends for the blobs, in the order in which to ask, at most `room`; to be freed. */
int rafsi_mirrors_backends(struct oci_mirrors *mirrors, size_t room, rafs_backend **out,
                           size_t *count, rafs_error *err);

#endif
