/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_ARCHIVE_H
#define RAFSI_OCI_ARCHIVE_H

#include "oci/text.h"

/*
 * Where the files of a layout lie in a plain tar. Its headers are read once, its data
 * stays where it is; whatever else is in the tar is passed over.
 */

struct archive_blob {
    uint8_t digest[OCI_DIGEST_BYTES];
    uint64_t at, size;
};

struct archive_file {
    bool there;
    uint64_t at, size;
};

struct oci_archive {
    struct archive_blob *blobs; /* sorted by digest */
    size_t count, room;
    struct archive_file index;  /* index.json */
    struct archive_file layout; /* oci-layout */
};

/* RAFS_E_UNSUPPORTED for a compressed one, RAFS_E_CORRUPT for what is no tar or ends too
 * early (err says where), RAFS_E_LIMIT for too many entries. */
int rafsi_archive_scan(const struct rafsi_env *env, int fd, const rafs_call *call,
                       struct oci_archive *out, rafs_error *err);
void rafsi_archive_drop(const struct rafsi_env *env, struct oci_archive *archive);

/* NULL: it has no such blob. */
const struct archive_blob *rafsi_archive_find(const struct oci_archive *archive,
                                              const uint8_t digest[OCI_DIGEST_BYTES]);

#endif
