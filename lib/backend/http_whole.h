/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_HTTP_WHOLE_H
#define RAFSI_HTTP_WHOLE_H

#include "backend/http_blob.h"

/*
 * A blob at a server that answers a range with all of it. Asked for each range, it would
 * send the blob once for each of them; so it is asked once, by a thread, and what passes
 * is given to whoever wants it. The thread waits while nobody wants more, and goes when
 * nobody came for some seconds. The last HTTP_WHOLE_WINDOW bytes are kept: who wants
 * what has passed them waits for those before him and has the stream begin again.
 */
struct http_whole;

enum { HTTP_WHOLE_WINDOW = 4 << 20 };

/* site and blob_id are borrowed until the end. RAFS_E_NOMEM. */
int rafsi_whole_new(const struct http_site *site, const char *blob_id,
                    struct http_whole **out, rafs_error *err);
/* Ends its thread. Nobody may be reading. NULL does nothing. */
void rafsi_whole_free(struct http_whole *whole);

/* [offset, offset + len), less where the blob ends. As rafs_backend_ops.read. */
int rafsi_whole_read(struct http_whole *whole, uint64_t offset, uint8_t *buf, size_t len,
                     size_t *nread, const rafs_call *call, rafs_error *err);

#endif
