/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CACHE_DISK_INDEX_H
#define RAFSI_CACHE_DISK_INDEX_H

/*
 * The chunks of a blob that its journal tells of, by place; no two of them overlap. A
 * tree whose shape a random number decides, so that no order of chunks makes it deep; all
 * walks are loops. The index does not allocate: nodes come in and go out by lists.
 */

#include "cache/disk_record.h"

struct disk_node {
    uint64_t offset;
    uint32_t size;
    uint32_t weight; /* decides who is above whom */
    uint64_t at;     /* its record in the journal */
    uint64_t since;  /* pending: the boot it was written in; durable: the SYNC record */
    uint8_t algorithm;
    bool ready;   /* may be served */
    bool durable; /* will be after a power cut */
    uint8_t digest[RAFSI_DIGEST_BYTES];
    struct disk_node *left, *right;
    struct disk_node *before, *after; /* in its boot's list, if it is not durable */
};

/* Chunks of one boot that are not durable, in the order of their records. Machines that
 * share a directory have boots of their own at the same time, but not many. */
enum { DISK_BOOTS = 8 };

struct disk_boot {
    uint64_t boot;
    struct disk_node *oldest, *newest;
};

struct disk_index {
    struct disk_node *root;
    struct disk_boot boots[DISK_BOOTS];
    uint64_t revoked; /* end of the last record that took something back */
    unsigned walks;   /* through all nodes, that records asked for */
    uint64_t random;
    uint64_t count, bytes; /* that are ready */
};

struct disk_node *rafsi_disk_index_at(const struct disk_index *index, uint64_t offset);
/* The first node that ends behind offset, or NULL. */
struct disk_node *rafsi_disk_index_from(const struct disk_index *index, uint64_t offset);
/* The first node that shares a byte with a range, or NULL. */
struct disk_node *rafsi_disk_index_overlap(const struct disk_index *index,
                                           uint64_t offset, uint32_t size);
/* Do what a record says. boot: this one. *spare is a list, by `after`, of nodes that may
 * be used, at least one for a record of a chunk; nodes that leave are put on it. */
void rafsi_disk_index_apply(struct disk_index *index, const struct disk_record *record,
                            uint64_t at, const uint8_t boot[DISK_BOOT_BYTES],
                            struct disk_node **spare);
/* Take all nodes out, as a list by `after`. */
struct disk_node *rafsi_disk_index_clear(struct disk_index *index);

#endif
