/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_OCI_ORIGIN_H
#define RAFSI_OCI_ORIGIN_H

#include "oci/pull.h"
#include "oci/where.h"
#include "rafs/origin.h"

/*
 * A place where images are, read whole: documents that were compared with their digests,
 * and blobs as streams that are compared when they end.
 *
 *     rc = rafsi_origin_root(origin, &document, call, err);
 *     …
 *     rc = rafsi_stream_open(&sources, digest, size, &stream, call, err);
 *     while (rc == RAFS_OK) {
 *         rc = rafsi_stream_read(stream, buf, len, &got, call, err);
 *         if (rc < 0 || got == 0)
 *             break;
 *         …
 *     }
 *     rafsi_stream_close(stream);
 */

/* options as they were given to rafs_origin_open(). */
int rafsi_origin_open(const char *where, const rafs_origin_options *options,
                      rafs_origin **out, const rafs_call *call, rafs_error *err);
void rafsi_origin_close(rafs_origin *origin); /* NULL is fine */

const struct rafsi_env *rafsi_origin_env(const rafs_origin *origin);
const struct oci_where *rafsi_origin_where(const rafs_origin *origin);

/* Documents are dropped with rafsi_document_drop(rafsi_origin_env(), …). One call at a
 * time. */

/* The manifest or index that the origin's own text names. */
int rafsi_origin_root(rafs_origin *origin, struct oci_document *out,
                      const rafs_call *call, rafs_error *err);
/* The same, and from an index down to the manifest of a platform; NULL: this machine's.
 */
int rafsi_origin_image(rafs_origin *origin, const char *platform,
                       struct oci_document *out, const rafs_call *call, rafs_error *err);
/* A manifest or index by digest or, if that is NULL, by tag. RAFS_E_NOENT. */
int rafsi_origin_manifest(rafs_origin *origin, const uint8_t *digest, const char *tag,
                          struct oci_document *out, const rafs_call *call,
                          rafs_error *err);
/* A blob that fits into memory, such as a config. */
int rafsi_origin_blob(rafs_origin *origin, const uint8_t *digest, uint64_t limit,
                      struct oci_document *out, const rafs_call *call, rafs_error *err);
/* The index of what hangs on a manifest; RAFS_E_NOENT: nothing. Nothing binds it. */
int rafsi_origin_referrers(rafs_origin *origin, const uint8_t *subject,
                           struct oci_document *out, const rafs_call *call,
                           rafs_error *err);

/* Where blobs come from, one source after the other. All is borrowed. */
struct oci_sources {
    const struct rafsi_env *env;
    struct rafsi_hashes *hashes;
    rafs_backend *const *at;
    size_t count;
};
struct oci_sources rafsi_origin_sources(const rafs_origin *origin);

/* A blob from its beginning to its end. Streams of the same sources may be read by
 * threads at once, and none outlives them. */
struct oci_stream;

/* size: as its descriptor has it; UINT64_MAX: ask. RAFS_E_NOENT: there is no such blob.
 */
int rafsi_stream_open(const struct oci_sources *sources,
                      const uint8_t digest[OCI_DIGEST_BYTES], uint64_t size,
                      struct oci_stream **out, const rafs_call *call, rafs_error *err);
uint64_t rafsi_stream_size(const struct oci_stream *stream);
/* Up to len bytes, not verified: the read that gives the last of them, or *nread 0, is
 * RAFS_E_CORRUPT unless all of them came to the digest. So what was made of them counts
 * only after *nread 0. */
int rafsi_stream_read(struct oci_stream *stream, void *buf, size_t len, size_t *nread,
                      const rafs_call *call, rafs_error *err);
void rafsi_stream_close(struct oci_stream *stream); /* NULL is fine */

#endif
