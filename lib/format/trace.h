/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_FORMAT_TRACE_H
#define RAFSI_FORMAT_TRACE_H

#include "base/base.h"
#include "rafs/limits.h"

/* An access trace as bytes: see trace.c. */

enum {
    TRACE_HEADER_BYTES = 64,
    TRACE_BLOB_BYTES = 80,
    TRACE_EVENT_BYTES = 48,
    TRACE_EVENTS_MAX = 1 << 18,
    TRACE_INCOMPLETE = 1 /* more was read than is recorded */
};

struct trace_header {
    uint8_t bootstrap[32]; /* SHA-256 of the bootstrap that it belongs to */
    uint32_t flags;
    uint32_t blobs, events;
};

struct trace_blob {
    char id[RAFS_BLOB_ID_MAX + 8];
    uint64_t size; /* stored bytes; 0: not known */
};

/* The first use of a chunk. */
struct trace_event {
    uint64_t time_us; /* since the image was opened */
    uint64_t ino;
    uint64_t offset; /* of the chunk in the file */
    uint64_t stored; /* of the chunk in the blob */
    uint32_t length; /* of the chunk in the file */
    uint32_t stored_size;
    uint32_t blob;
    uint32_t chunk;
};

uint64_t rafsi_trace_bytes(const struct trace_header *header);
void rafsi_trace_put_header(const struct trace_header *header,
                            uint8_t out[TRACE_HEADER_BYTES]);
void rafsi_trace_put_blob(const struct trace_blob *blob, uint8_t out[TRACE_BLOB_BYTES]);
void rafsi_trace_put_event(const struct trace_event *event,
                           uint8_t out[TRACE_EVENT_BYTES]);
/* The digest that ends a trace of whole.len bytes, itself included. */
void rafsi_trace_seal(uint8_t *bytes, size_t len);

/* The whole trace: length, digest and all fields are right. */
int rafsi_trace_check(struct span whole, struct trace_header *header, rafs_error *err);
/* Parts of a trace that was checked. */
void rafsi_trace_blob(struct span whole, uint32_t i, struct trace_blob *out);
void rafsi_trace_event(struct span whole, const struct trace_header *header, uint32_t i,
                       struct trace_event *out);

#endif
