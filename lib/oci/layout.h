/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_LAYOUT_H
#define RAFSI_OCI_LAYOUT_H

#include "backend/backend.h"
#include "oci/store.h"

/*
 * An OCI layout on disk: a folder with index.json and blobs/sha256/HEX, or a plain tar of
 * one. A path is made of the bytes of a digest alone, never of text from a document.
 */
struct oci_layout;

/* RAFS_E_BACKEND: path cannot be opened, or is neither folder nor file; of an archive
 * what rafsi_archive_scan() says. */
int rafsi_layout_open(const struct rafsi_env *env, const char *path,
                      const rafs_call *call, struct oci_layout **out, rafs_error *err);
void rafsi_layout_close(struct oci_layout *layout); /* NULL is fine */

/* Its documents; borrows the layout. */
struct oci_store rafsi_layout_store(struct oci_layout *layout);

/* Its blobs; takes the layout once it succeeds. */
int rafsi_layout_backend(struct oci_layout *layout, rafs_backend **out, rafs_error *err);

/* layout_index.c: choose from index.json by name; tag NULL: the only image there is.
 * RAFS_E_NOENT with the names that there are. */
int rafsi_layout_pick(const void *json, size_t len, const char *tag,
                      uint8_t out[OCI_DIGEST_BYTES], rafs_error *err);
/* Is this name that of a list of what hangs on a manifest, sha256-HEX? */
bool rafsi_layout_is_list(const char *name);
/* The content of the file oci-layout: RAFS_E_UNSUPPORTED unless it is of version 1. */
int rafsi_layout_version(const void *json, size_t len, rafs_error *err);

#endif
