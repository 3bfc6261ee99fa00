/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_CONTENTS_H
#define RAFSI_OCI_CONTENTS_H

#include "oci/text.h"

/*
 * What a manifest or index names, whatever it is of: for who takes all of it elsewhere.
 */

struct oci_content {
    uint8_t digest[OCI_DIGEST_BYTES];
    uint64_t size; /* UINT64_MAX: not said */
};

struct oci_contents {
    enum oci_kind kind; /* of an index manifests are named, of a manifest blobs */
    struct oci_content *at;
    size_t count;
    bool has_subject;
    uint8_t subject[OCI_DIGEST_BYTES];
};

/* Config, layers and, of zran images, the layers that they refer to; each once. Layers
 * that are to be fetched from elsewhere (foreign ones with URLs) are left out. An
 * artifact of any kind will do. RAFS_E_CORRUPT, RAFS_E_LIMIT, RAFS_E_UNSUPPORTED: a
 * digest of another algorithm. */
int rafsi_oci_contents(const struct rafsi_env *env, const void *json, size_t len,
                       struct oci_contents *out, rafs_error *err);
void rafsi_oci_contents_drop(const struct rafsi_env *env, struct oci_contents *contents);

#endif
