/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CONVERT_OPTIMIZE_H
#define RAFSI_CONVERT_OPTIMIZE_H

/* As rafs_builder_add_optimized(): an image of which `reader` reads, with the chunks that
 * a trace names stored again side by side. */

#include "build/build.h"
#include "read/read.h"

int rafsi_optimize(rafs_builder *builder, const struct rafsi_tree *tree,
                   struct rafsi_reader *reader, const rafs_trace *trace,
                   const rafs_call *call, rafs_error *err);

#endif
