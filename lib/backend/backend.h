/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BACKEND_H
#define RAFSI_BACKEND_H

/*
 * Blob id and range to untrusted bytes. What a backend of the caller's answers is checked
 * for shape here (lengths, codes), for truth in verify.
 */

#include "backend/http_blob.h"
#include "base/base.h"
#include "rafs/backend.h"

/* A blob opened at one backend. */
struct rafsi_blob_handle {
    rafs_backend *backend;
    void *blob;
};

int rafsi_backend_open(rafs_backend *backend, const char *blob_id, const rafs_call *call,
                       struct rafsi_blob_handle *out, rafs_error *err);
void rafsi_backend_close(struct rafsi_blob_handle *handle);

/* What people call it; without secrets. */
const char *rafsi_backend_name(const rafs_backend *backend);

/* Does a request cost more than the bytes it brings? */
bool rafsi_backend_remote(const rafs_backend *backend);
/* Is there a way past somebody in between? */
bool rafsi_backend_relayed(const rafs_backend *backend);

/* Length of the blob; RAFS_E_UNSUPPORTED if the backend cannot tell. */
int rafsi_backend_size(const struct rafsi_blob_handle *handle, const char *blob_id,
                       const rafs_call *call, uint64_t *size, rafs_error *err);

/* Exactly len bytes, or RAFS_E_BACKEND. *requests counts what was asked. */
int rafsi_backend_read(const struct rafsi_blob_handle *handle, const char *blob_id,
                       uint64_t offset, void *buf, size_t len, const rafs_call *call,
                       uint64_t *requests, rafs_error *err);

#endif
