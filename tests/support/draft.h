/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_DRAFT_H
#define TESTS_DRAFT_H

/*
 * Images in the making, put together by hand: names and attributes as one likes, chunks
 * that are nothing but their records. Whatever fails ends the program, except where an
 * error is asked for.
 */

#include "build/emit.h"
#include "build/layers.h"

struct draft {
    struct build_image image;
    struct rafsi_layers *layers;
};

/* Image of that version with 4 KiB chunks, BLAKE3, and blobs that are not compressed. env
 * NULL: the default. */
void draft_init(struct draft *draft, uint32_t version, const rafs_env *env);
void draft_done(struct draft *draft);

/* A name. Of regular files the chunks are made, one after the other, in the blob; their
 * digests follow from seed and their place. */
struct build_inode *draft_add(struct draft *draft, const char *path, uint32_t mode);
struct build_inode *draft_entry(struct draft *draft, const struct layers_entry *entry);
void draft_link(struct draft *draft, const char *path, const char *target);
struct build_inode *draft_symlink(struct draft *draft, const char *path,
                                  const char *target);
struct build_inode *draft_file(struct draft *draft, const char *path, uint64_t size,
                               uint32_t blob, uint32_t seed);

/* With one attribute of so many bytes, up to 65536. */
void draft_xattr(struct draft *draft, const char *path, uint32_t mode, size_t size);

/* A blob; its number. Its id follows from the number and the letter. */
uint32_t draft_blob(struct draft *draft, char letter);
/* The next chunk of a blob; its number. */
uint32_t draft_chunk(struct draft *draft, uint32_t blob, uint32_t seed, uint32_t size);

/* The tree is complete. */
void draft_seal(struct draft *draft);

/* What is emitted, collected in memory. fail_at: that write fails, counted from 0. */
struct emitted {
    uint8_t *bytes;
    size_t len, room;
    size_t writes;
    size_t fail_at;
};
#define EMITTED_INIT        \
    {                       \
        .fail_at = SIZE_MAX \
    }
int draft_emit(struct draft *draft, struct emitted *out, uint32_t *used, rafs_error *err);
void emitted_drop(struct emitted *out);

#endif
