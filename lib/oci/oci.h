/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_H
#define RAFSI_OCI_H

/*
 * The door of oci: what a user writes and what a registry answers → plain structs.
 *
 * Everything here is text from outside, and no function here does I/O but those for
 * credentials. Digests are bytes from here on.
 */

#include "base/base.h"

enum {
    OCI_DIGEST_BYTES = 32,
    OCI_HOST_MAX = 256, /* bytes of a host with its port, NUL included */
    OCI_REPO_MAX = 256,
    OCI_TAG_MAX = 129,
    OCI_JSON_MAX = 4 << 20 /* of a manifest or index, as registries limit it */
};

/* reference.c */

/* "host/repo:tag@digest", as docker reads it. */
struct oci_reference {
    char host[OCI_HOST_MAX]; /* to connect to, with its port if one was given */
    char repo[OCI_REPO_MAX];
    char tag[OCI_TAG_MAX]; /* "" if only a digest was given, else "latest" at least */
    bool has_digest;       /* then the digest decides, and the tag is for people */
    uint8_t digest[OCI_DIGEST_BYTES];
};

/*
 * Read a reference, without "docker://" before it. RAFS_E_BADARG with the position;
 * RAFS_E_UNSUPPORTED for a digest that is not SHA-256. The text itself is not put into
 * err: people paste passwords.
 */
int rafsi_oci_reference_parse(const char *text, struct oci_reference *out,
                              rafs_error *err);

/* "sha256:" and 64 lower-case hex digits. RAFS_E_CORRUPT if malformed,
 * RAFS_E_UNSUPPORTED if it is of another algorithm; err has no object yet. */
int rafsi_oci_digest_parse(const char *text, uint8_t out[OCI_DIGEST_BYTES],
                           rafs_error *err);

enum { OCI_DIGEST_TEXT = 7 + 2 * OCI_DIGEST_BYTES + 1 };
void rafsi_oci_digest_text(const uint8_t digest[OCI_DIGEST_BYTES],
                           char out[OCI_DIGEST_TEXT]);

#endif
