/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_BORROW_H
#define RAFSI_BUILD_BORROW_H

/*
 * Chunks and blobs of an image in the making that somebody else has written: those of
 * merged images, dictionaries, the index. A blob is one by its id, a chunk by its blob
 * and its place in it, whichever of the three brought it. One thread at a time, the one
 * that adds chunks.
 */

#include "build/image.h"

struct rafsi_borrow {
    struct build_image *image;
    uint32_t *slots; /* numbers of chunks plus one; 0: free */
    uint32_t room;   /* a power of two, or 0 */
    uint32_t used;
    uint64_t seed; /* images choose what they name chunks by, and not where it leads */
};

void rafsi_borrow_init(struct rafsi_borrow *borrow, struct build_image *image);
void rafsi_borrow_free(struct rafsi_borrow *borrow);

/* Can chunks of such a blob be referred to by an image of the builder's version? Says why
 * not. */
int rafsi_borrow_allowed(const struct build_image *image,
                         const struct blob_record *record, rafs_error *err);

/* The blob of that id, added if it is new; RAFS_E_CORRUPT if it is there and what is
 * known of it differs. */
int rafsi_borrow_blob(struct rafsi_borrow *borrow, const struct blob_record *record,
                      uint32_t layer, uint32_t *number, rafs_error *err);
/* A chunk of a blob that is in the image already; record->blob is not looked at. */
int rafsi_borrow_chunk(struct rafsi_borrow *borrow, const struct chunk_record *record,
                       uint32_t blob, uint32_t *number, rafs_error *err);

#endif
