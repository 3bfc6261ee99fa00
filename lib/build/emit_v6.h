/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_EMIT_V6_H
#define RAFSI_EMIT_V6_H

/*
 * Parts of the v6 emitter. Order in the file: super blocks, device slots, blob table,
 * prefetch table, inodes with what lies behind them, whole blocks of directories and
 * links, chunk table.
 */

#include "build/emit_impl.h"

/* Where the next inode and the next block of content go. */
struct v6_places {
    uint64_t at;     /* byte of the file */
    uint64_t blocks; /* from where content begins */
};

/* Where one inode lies, and its content if it is a directory or a link. */
struct v6_place {
    uint64_t at;    /* byte of the file */
    uint64_t bytes; /* with all that is behind the inode */
    uint64_t block; /* first one of its content */
    uint64_t blocks;
    uint32_t xattr_bytes;
    uint8_t layout; /* V6_LAYOUT_ */
};

struct v6_emit {
    struct emit emit;
    struct v6_super super;
    struct v6_ext_super ext;
    struct v6_places begin;
    uint64_t blocks_at; /* byte of the file where content begins */
    uint64_t file_size;
    uint64_t *marks;  /* a bit a chunk: files refer to it */
    uint64_t *chunks; /* the table's, in its order: numbers in the lower 32 bits */
};

/*
 * emit_v6_order.c. Inodes in the order of their places: dir-batched, but a directory or
 * link whose tail does not fit into what is left of a block waits, and files fill it. The
 * same places come out whenever all inodes are gone through. V6_LATE_MAX bounds what
 * waits; with more, directories of many small directories alone would gain.
 */
enum { V6_LATE_MAX = 64 };
struct v6_order {
    struct v6_emit *v6;
    struct v6_places places; /* behind what came so far */
    struct build_node *next;
    uint32_t late_count;
    struct {
        struct build_node *node;
        struct v6_place place;
    } late[V6_LATE_MAX];
};
struct v6_order rafsi_v6_order(struct v6_emit *v6);
/* *node NULL: there are no more. */
int rafsi_v6_order_next(struct v6_order *order, struct build_node **node,
                        struct v6_place *place);

/* emit_v6_dir.c. Bytes of a directory's content. */
uint64_t rafsi_v6_dir_size(const struct build_node *dir);

/* Blocks of a directory, one after the other. */
struct v6_names {
    const struct build_node *dir;
    const struct build_node *child; /* the next one; NULL: all have been given */
    uint32_t dots;                  /* of "." and "..", given so far */
};
struct v6_names rafsi_v6_names(const struct build_node *dir);
/* The next block; its bytes. 0 after the last one. */
size_t rafsi_v6_names_block(struct v6_names *names, uint8_t block[V6_BLOCK_BYTES]);

/* emit_v6_inode.c */
int rafsi_v6_write_inodes(struct v6_emit *v6);
int rafsi_v6_write_blocks(struct v6_emit *v6);

/* emit_v6_chunks.c. From marks to the order of the table, and their count. */
int rafsi_v6_sort_chunks(struct v6_emit *v6);
int rafsi_v6_write_chunks(struct v6_emit *v6);

#endif
