/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_COMPOSE_H
#define RAFSI_OCI_COMPOSE_H

#include "oci/text.h"

/*
 * The manifest and config of a RAFS image, as snapshotters and tools of Nydus expect
 * them: a layer for each blob, then that of the bootstrap. The same input makes the same
 * bytes.
 */

struct compose_blob {
    uint8_t digest[OCI_DIGEST_BYTES];
    uint64_t size;
};

struct compose_image {
    const struct compose_blob *blobs; /* of data, in the order of the layers */
    size_t blob_count;
    struct compose_blob bootstrap;       /* its layer, a tar.gz */
    uint8_t boot_diff[OCI_DIGEST_BYTES]; /* SHA-256 of the tar in it */
    uint32_t fs_version;                 /* 5 or 6 */
    bool docker;                         /* docker's media types in place of OCI's */
    bool artifact; /* say by artifactType that the manifest is of a RAFS image */
    /* JSON of the config of the image that this is made of; NULL: there is none. */
    const char *config;
    size_t config_len;
    struct oci_platform platform; /* without a config */
    /* JSON of the descriptor of the manifest that this hangs on; NULL: none. */
    const char *subject;
    size_t subject_len;
    /* "KEY=VALUE" each, of the manifest. */
    const char *const *annotations;
    size_t annotation_count;
};

/* Texts are env's memory, without a NUL at the end. RAFS_E_BADARG: config, subject or an
 * annotation is none. */
int rafsi_compose_config(const struct rafsi_env *env, const struct compose_image *image,
                         char **out, size_t *len, rafs_error *err);
int rafsi_compose_manifest(const struct rafsi_env *env, const struct compose_image *image,
                           const struct compose_blob *config, char **out, size_t *len,
                           rafs_error *err);

#endif
