/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_READ_CHECK_H
#define RAFSI_READ_CHECK_H

/* What the files of a check share. */

#include "read/reader.h"

/* check_blob.c: a blob at one source, as it is looked at in a check. What is wrong goes
 * to `finding`; errors are those of the call or of the source. */
struct blob_check {
    struct rafsi_reader *reader;
    uint32_t blob;
    struct blob_source *at;
    const rafs_call *call;
    void *user;
    void (*finding)(void *user, const rafs_error *finding);
};
struct blob_digests {
    uint8_t *bytes; /* NULL: none; to be freed by rafsi_free() */
    uint64_t at;    /* in the blob */
};
/* The table of contents, if the blob has one, and its sections. */
int rafsi_check_toc(const struct blob_check *check, struct blob_digests *out,
                    rafs_error *err);
/* What the blob says of its chunks against the chunk table. */
int rafsi_check_records(const struct blob_check *check, const struct blob_meta *meta,
                        const struct blob_digests *digests, rafs_error *err);

#endif
