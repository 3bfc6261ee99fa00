/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_READ_TRACE_H
#define RAFSI_READ_TRACE_H

#include "format/format.h"
#include "rafs/trace.h"
#include "read/reader.h"

/* trace.c: a trace as it is saved, checked. */
struct rafs_trace {
    struct rafsi_env env;
    struct trace_header header;
    size_t len;
    uint8_t bytes[];
};

/* A trace of these bytes, which are copied and checked. */
int rafsi_trace_new(const struct rafsi_env *env, const void *bytes, size_t len,
                    rafs_trace **out, rafs_error *err);
struct span rafsi_trace_span(const rafs_trace *trace);

/* tracer.c: what is read, as it is read. reader->tracer is NULL until somebody wants it.
 */
void rafsi_tracer_free(struct rafsi_reader *reader);
/* A chunk of a file is used; NULL: of which, nobody knows. Takes a lock only if it was
 * not used just now. */
void rafsi_tracer_note(struct rafsi_reader *reader, const struct rafsi_node *file,
                       const struct rafsi_chunk *chunk);
/* Goes on from an earlier trace: what it has is not recorded again. */
void rafsi_tracer_resume(struct rafsi_reader *reader, const rafs_trace *trace);
uint32_t rafsi_tracer_count(struct rafsi_reader *reader); /* chunks so far */

/* trace_keep.c: the trace of the image in its cache. */
/* The image closes: keep what was recorded. */
void rafsi_trace_close(struct rafsi_reader *reader);
/* SHA-256 of the bootstrap. */
int rafsi_trace_digest(struct rafsi_reader *reader, const rafs_call *call,
                       uint8_t out[RAFSI_DIGEST_BYTES], rafs_error *err);

#endif
