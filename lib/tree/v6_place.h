/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_V6_PLACE_H
#define RAFSI_V6_PLACE_H

/* What the files v6_place*.c share. */

#include "tree/v6_tree.h"

struct v6_place {
    uint32_t block;     /* of V6_BLOCK_BYTES, where it begins */
    uint32_t blob_size; /* bits 31-24 blob, 23-0 size less one */
    uint32_t record;    /* its number in the table and PLACE_ bits */
};

#define PLACE_OVERLAPS 0x80000000u /* another chunk lies in it too */
#define PLACE_IN_FILE                                                \
    0x40000000u /* no record: the number of the chunk in place of it \
                 */
#define PLACE_NUMBER 0x3fffffffu

struct v6_places {
    uint32_t first[V6_BLOBS_MAX + 1]; /* of each blob; and the end */
    bool whole[V6_BLOBS_MAX];
    uint32_t count, room;
    struct v6_place items[];
};

static inline uint32_t place_blob(const struct v6_place *place)
{
    return place->blob_size >> 24;
}

static inline uint32_t place_size(const struct v6_place *place)
{
    return (place->blob_size & 0xffffff) + 1;
}

static inline uint64_t place_start(const struct v6_place *place)
{
    return (uint64_t)place->block * V6_BLOCK_BYTES;
}

static inline uint64_t place_end(const struct v6_place *place)
{
    return place_start(place) + place_size(place);
}

/* v6_place_sort.c: by blob and place, equal ones once, those that overlap marked, and
 * where those of each blob begin. */
int rafsi_v6_places_arrange(const struct v6_tree *tree, struct v6_places *places,
                            rafs_error *err);

#endif
