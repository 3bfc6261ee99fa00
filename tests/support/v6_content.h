/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_V6_CONTENT_H
#define TESTS_V6_CONTENT_H

#include "golden.h"

/*
 * A v6 image with content, in memory: files "f0000000" onwards in the root, each of
 * `chunks` chunks of `chunk_size` bytes, stored plain one after the other in one blob. A
 * file's bytes are the blob's bytes at the same place.
 */
struct content {
    struct bytes boot, blob;
    uint32_t files, chunks, chunk_size;
};

/* files up to 200, chunk_size a power of two from 4096. */
void content_make(struct content *out, uint32_t files, uint32_t chunks,
                  uint32_t chunk_size);
void content_drop(struct content *content);

#endif
