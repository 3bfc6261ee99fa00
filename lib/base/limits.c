/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"

static void default_to(uint64_t *field, uint64_t value)
{
    if (*field == 0)
        *field = value;
}

void rafsi_limits_fill(rafs_limits *limits)
{
    limits->struct_size = sizeof(*limits);
    default_to(&limits->metadata_cache_bytes, 4 << 20);
    default_to(&limits->inlined_bootstrap_bytes, 56 << 20);
    default_to(&limits->chunk_index_bytes, 32 << 20);
    default_to(&limits->blob_meta_bytes, 16 << 20);
}
