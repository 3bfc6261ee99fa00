/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CROWD_H
#define TESTS_CROWD_H

#include "reading.h"

/* One golden image over several sources that are remote, each a script of its own. */

enum { CROWD_MAX = 3 };

struct crowd {
    struct golden golden;
    struct reading reading;  /* what the good image says */
    const struct item *file; /* its largest */
    struct watch *watch;     /* NULL: real time */
    size_t count;
    struct script script[CROWD_MAX];
    rafs_backend *backend[CROWD_MAX];
    rafs_image *image;
};

/* Load the golden image, and make its sources; what they do can be set before the image
 * is opened. */
void crowd_load(struct crowd *crowd, const char *variant, size_t count,
                struct watch *watch);
/* Chunk by chunk, nothing ahead and nothing kept in memory. hedge_ms as in rafs_limits.
 */
void crowd_open(struct crowd *crowd, uint64_t hedge_ms);
void crowd_drop(struct crowd *crowd);
rafs_stats crowd_stats(const struct crowd *crowd);
/* Bytes of the largest file from an offset: the code, and whether they are right. */
int crowd_read(const struct crowd *crowd, uint64_t offset, size_t len,
               const rafs_call *call, bool *right);

#endif
