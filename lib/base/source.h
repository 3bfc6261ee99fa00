/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_SOURCE_H
#define RAFSI_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/call.h"
#include "base/hash.h"

/*
 * The page source: random access to the bytes of metadata, in a file or in memory.
 *
 * A file is read in blocks. Blocks are kept until the cache is full and never thrown out,
 * so looking one up is one atomic load, pointers stay valid, and threads need no lock.
 * Further blocks are read anew each time.
 *
 * A pinned source was read once and compared with a digest; blocks that did not fit in
 * the cache left a BLAKE3 digest each, and are compared with it whenever they are read
 * again. So the bytes that were compared are the bytes that are used.
 */
struct rafsi_source;

/* Bytes in memory: borrowed. */
int rafsi_source_memory(const struct rafsi_env *env, const void *data, uint64_t size,
                        struct rafsi_source **out, rafs_error *err);
/* Bytes in memory of env's allocator: taken, also freed with the source. */
int rafsi_source_owned(const struct rafsi_env *env, void *data, uint64_t size,
                       struct rafsi_source **out, rafs_error *err);
/* A part of a file; fd is duplicated. size 0: all that follows. */
int rafsi_source_fd(const struct rafsi_env *env, int fd, uint64_t offset, uint64_t size,
                    uint64_t cache_bytes, struct rafsi_source **out, rafs_error *err);
/* A part of another source, which is taken. */
int rafsi_source_window(struct rafsi_source *whole, uint64_t offset, uint64_t size,
                        struct rafsi_source **out, rafs_error *err);
void rafsi_source_free(struct rafsi_source *source);

/* Read everything once and compare; before anything else is read. */
int rafsi_source_pin(struct rafsi_source *source, struct rafsi_hashes *hashes,
                     uint32_t algorithm, const uint8_t expected[RAFSI_DIGEST_BYTES],
                     const rafs_call *call, rafs_error *err);

uint64_t rafsi_source_size(const struct rafsi_source *source);

/*
 * See len bytes at offset. *at points into the cache, or to scratch, which has room for
 * len bytes. Bytes beyond the end are RAFS_E_CORRUPT, a failed read RAFS_E_BACKEND.
 */
int rafsi_source_view(const struct rafsi_source *source, uint64_t offset, size_t len,
                      void *scratch, const uint8_t **at, rafs_error *err);
/* Copy many bytes that will not be wanted again: the cache keeps what it has. */
int rafsi_source_stream(const struct rafsi_source *source, uint64_t offset, size_t len,
                        void *out, rafs_error *err);
/* Copy len bytes. */
int rafsi_source_read(const struct rafsi_source *source, uint64_t offset, size_t len,
                      void *out, rafs_error *err);

#endif
