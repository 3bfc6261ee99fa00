/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CONVERT_COPY_H
#define RAFSI_CONVERT_COPY_H

#include "oci/oci.h"
#include "rafs/copy.h"

/* Copy as rafs_copy() says; options are taken, with their defaults filled in. */
int rafsi_copy(rafs_origin *from, rafs_target *to, const rafs_copy_options *options,
               rafs_copy_result *result, const rafs_call *call, rafs_error *err);

/* blobs.c: blobs from an origin to a target, several at once. */

enum { COPY_THREADS_MAX = 16, COPY_THREADS = 3 };

struct copy_counts {
    uint64_t blobs_total, blobs_done, bytes_total, bytes_done;
    uint64_t there, mounted, sent, bytes_sent;
};

/* Until all are in the target. counts are added to; tell (NULL: nobody) is called with
 * them now and then, from this thread. */
typedef void (*copy_tell_fn)(void *user, const struct copy_counts *counts);

struct copy_from {
    struct oci_sources sources;
    const struct oci_where *where; /* whose they are; NULL: of nothing that is known */
};
int rafsi_copy_blobs(const struct copy_from *from, rafs_target *to,
                     const struct oci_content *blobs, size_t count, unsigned threads,
                     struct copy_counts *counts, copy_tell_fn tell, void *user,
                     const rafs_call *call, rafs_error *err);

#endif
