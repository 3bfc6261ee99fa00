/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_READ_H
#define RAFSI_READ_H

/*
 * The door of read: a range of a file to a plan of chunks, each taken from the cache or
 * fetched, decoded and verified, and copied out.
 */

#include "backend/backend.h"
#include "base/base.h"
#include "rafs/cache.h"
#include "rafs/check.h"
#include "rafs/fill.h"
#include "rafs/prefetch.h"
#include "rafs/read.h"
#include "rafs/stats.h"
#include "rafs/trace.h"
#include "tree/tree.h"

struct rafsi_reader;

/* Where the blobs of an image come from. */
struct rafsi_sources {
    rafs_backend *const *backends; /* borrowed */
    size_t count;
    /* A source for the blob that carries the bootstrap, asked before the others; taken
     * when the reader is made. NULL: there is none. */
    rafs_backend *carrier;
    bool carrier_lent; /* it is borrowed in place of taken */
    rafs_cache *cache; /* borrowed; NULL: none */
};

/* tree and hashes are borrowed; sources->backends is copied. */
int rafsi_reader_new(const struct rafsi_env *env, const struct rafsi_tree *tree,
                     struct rafsi_hashes *hashes, const struct rafsi_sources *sources,
                     struct rafsi_reader **out, rafs_error *err);
void rafsi_reader_free(struct rafsi_reader *reader);
/* What a reader was made with, valid until it is freed; the carrier is lent. */
void rafsi_reader_sources(const struct rafsi_reader *reader, struct rafsi_sources *out);

/* The chunks of this image lie elsewhere than other images of the same blobs have them:
 * the cache keeps its blobs under ids of their own, which follow from the bootstrap's
 * digest. Before anything is read. */
int rafsi_reader_keep_apart(struct rafsi_reader *reader, const rafs_call *call,
                            rafs_error *err);
/* What the cache calls a blob. */
const char *rafsi_reader_kept_id(const struct rafsi_reader *reader, uint32_t blob);

/* RAFS_E_UNSUPPORTED with the kind's name if the blob is of one that is not read yet. */
int rafsi_blob_readable(const struct rafsi_tree *tree, uint32_t blob, rafs_error *err);

/* As rafs_image_readv(); file is a regular file. *nread is 0 on failure. */
int rafsi_reader_read(struct rafsi_reader *reader, const struct rafsi_node *file,
                      uint64_t offset, const rafs_iovec *iov, size_t iov_count,
                      size_t *nread, const rafs_call *call, rafs_error *err);

/*
 * chunks[0, count), none of them a hole, one after the other: each is given to `take`
 * once it is verified. Those that lie beside each other in a blob may travel together.
 */
typedef int (*rafsi_take_fn)(void *user, size_t i, const uint8_t *bytes, size_t len,
                             const rafs_call *call, rafs_error *err);
int rafsi_reader_chunks(struct rafsi_reader *reader, const struct rafsi_chunk *chunks,
                        size_t count, rafsi_take_fn take, void *user,
                        const rafs_call *call, rafs_error *err);

/* The bytes of one chunk, which is no hole; buf has room for its uncompressed size. */
int rafsi_reader_chunk(struct rafsi_reader *reader, const struct rafsi_chunk *chunk,
                       void *buf, const rafs_call *call, rafs_error *err);

/* As rafs_image_get_extents(). */
int rafsi_reader_extents(struct rafsi_reader *reader, const struct rafsi_node *file,
                         uint64_t offset, rafs_extent *extents, size_t capacity,
                         size_t *count, const rafs_call *call, rafs_error *err);

/* As rafs_image_fill_file() and rafs_image_fill(), or rafs_image_fill_kept(). */
struct rafsi_filled {
    uint64_t begin, end;
};
int rafsi_reader_fill_file(struct rafsi_reader *reader, uint32_t blob, int *fd,
                           uint64_t *size, const rafs_call *call, rafs_error *err);
int rafsi_reader_fill(struct rafsi_reader *reader, uint32_t blob, uint64_t offset,
                      uint64_t len, bool kept, struct rafsi_filled *out,
                      const rafs_call *call, rafs_error *err);

/* As rafs_image_check(). */
int rafsi_reader_check(struct rafsi_reader *reader, const rafs_check_options *options,
                       rafs_check_result *result, const rafs_call *call, rafs_error *err);

/* metrics.c: counters by family; see rafs/stats.h. id is one of them. */
uint32_t rafsi_metric_count(void);
bool rafsi_metric_get(uint32_t id, rafs_metric *out); /* false: there is none */
/* As rafs_prefetch_start() and rafs_image_get_missing(). */
int rafsi_prefetch_start(struct rafsi_reader *reader,
                         const rafs_prefetch_options *options, rafs_prefetch **out,
                         const rafs_call *call, rafs_error *err);
int rafsi_reader_missing(struct rafsi_reader *reader, rafs_missing *out, size_t room,
                         const rafs_call *call, rafs_error *err);

/* As rafs_trace_start(), rafs_trace_take(), rafs_trace_keep() and rafs_trace_find(). */
int rafsi_tracer_start(struct rafsi_reader *reader, rafs_error *err);
int rafsi_tracer_take(struct rafsi_reader *reader, const rafs_call *call,
                      rafs_trace **out, rafs_error *err);
int rafsi_trace_keep(struct rafsi_reader *reader, const rafs_call *call, rafs_error *err);
int rafsi_trace_find(struct rafsi_reader *reader, const rafs_call *call, rafs_trace **out,
                     rafs_error *err);
/* RAFS_OPEN_TRACE: replay what the cache keeps, and record. */
int rafsi_trace_auto(struct rafsi_reader *reader, const rafs_call *call, rafs_error *err);

void rafsi_reader_stats(const struct rafsi_reader *reader, rafs_stats *out);
size_t rafsi_reader_samples(const struct rafsi_reader *reader, uint32_t id, size_t first,
                            rafs_sample *samples, size_t capacity);
void rafsi_reader_failures(struct rafsi_reader *reader, uint64_t after,
                           rafs_failure *failures, size_t capacity, size_t *count);
/* What it took to open the image, at one of its sources, or at none of them. */
void rafsi_reader_opened(struct rafsi_reader *reader, const rafs_backend *backend,
                         const struct rafs_tally *tally, uint64_t requests,
                         uint64_t bytes);

#endif
