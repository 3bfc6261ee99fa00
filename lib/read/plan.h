/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_PLAN_H
#define RAFSI_PLAN_H

#include "rafs/prefetch.h"
#include "rafs/trace.h"
#include "read/reader.h"

/*
 * A list of chunks to be fetched: 32 bytes each, from which the tree gives the chunk
 * again. Made by one thread, then read by many.
 */

struct plan_entry {
    uint64_t stored; /* where it lies in the blob */
    uint64_t key;    /* PLAN_IN_FILE: inode of a file; else the number of the chunk */
    uint64_t offset; /* in that file */
    uint32_t blob;
    uint32_t size_flags; /* stored bytes, and PLAN_ bits */
};

#define PLAN_IN_FILE 0x80000000u
#define PLAN_MISSED 0x40000000u /* for whoever goes through the plan */
#define PLAN_SIZE 0x3fffffffu

struct plan {
    struct rafsi_reader *reader;
    struct plan_entry *entries;
    size_t count, room;
};

void rafsi_plan_init(struct plan *plan, struct rafsi_reader *reader);
void rafsi_plan_drop(struct plan *plan);

/* The chunks of a file between two bytes; holes are left out. */
int rafsi_plan_file(struct plan *plan, const struct rafsi_node *file, uint64_t from,
                    uint64_t until, const rafs_call *call, rafs_error *err);
/* v6: a chunk by its number; nothing if there is no record of it. */
int rafsi_plan_number(struct plan *plan, uint32_t blob, uint32_t number, rafs_error *err);
/* A file, or all files below a directory; nothing for other inodes. */
int rafsi_plan_inode(struct plan *plan, uint64_t ino, const rafs_call *call,
                     rafs_error *err);
/* All files below a path that names a directory or a file, links not followed. */
int rafsi_plan_path(struct plan *plan, const char *path, const rafs_call *call,
                    rafs_error *err);

/* Order entries from one on by their place in the blobs, each chunk once. */
void rafsi_plan_sort(struct plan *plan, size_t from);

/* What a trace of this image says, in its order; for rafsi_plan_make(). */
int rafsi_plan_trace(struct plan *plan, const rafs_trace *trace, const rafs_call *call,
                     rafs_error *err);

/* plan_make.c: what a caller wants; rafsi_plan_check() before all else. */
int rafsi_plan_check(const rafs_prefetch_options *options, rafs_error *err);
int rafsi_plan_make(struct plan *plan, const rafs_prefetch_options *options,
                    const rafs_call *call, rafs_error *err);

/* The chunk of an entry. */
int rafsi_plan_chunk(const struct plan *plan, const struct plan_entry *entry,
                     struct rafsi_chunk *out, rafs_error *err);

#endif
