/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CONVERT_REMAKE_H
#define RAFSI_CONVERT_REMAKE_H

#include <stdatomic.h>

#include "convert/layers.h"
#include "convert/reuse.h"

/* Images made anew. remake.c: from an origin to a target; image.c: one image. */

enum { CONVERT_THREADS = 2, CONVERT_THREADS_MAX = 8 };

struct convert_job {
    rafs_origin *from;
    rafs_target *to;
    rafs_convert_options options; /* with defaults */
    struct convert_build build;
    struct convert_reuse *reuse; /* NULL: none */
    const rafs_call *call;
    rafs_convert_result made;
    uint64_t layers_total, bytes_total;
    atomic_uint_least64_t layers_done, bytes_done;
};

/* As rafs_convert() says. options are checked and have their defaults; build is that of
 * options with all defaults but for what layers always are. */
int rafsi_convert(rafs_origin *from, rafs_target *to, const rafs_convert_options *options,
                  const struct rafsi_tree *const *dictionaries,
                  rafs_convert_result *result, const rafs_call *call, rafs_error *err);

/* A manifest and all that it names into the target. tag as rafs_target_put_manifest().
 * *made: the new manifest. */
int rafsi_convert_image(struct convert_job *job, const struct convert_source *source,
                        const char *tag, struct compose_entry *made, rafs_error *err);

/* As rafs_builder_add_oci() says. */
int rafsi_convert_flatten(rafs_builder *builder, rafs_origin *from, const char *platform,
                          const rafs_call *call, rafs_error *err);

#endif
