/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_V6_MAKER_H
#define TESTS_V6_MAKER_H

#include <stddef.h>
#include <stdint.h>

/*
 * v6 bootstraps put together by hand: large ones, and ones that no builder would write.
 * Metadata begins at byte 0, so the inode at byte b has number b / 32; there is no blob.
 */

enum { MAKER_BLOCK = 4096, MAKER_ROOT = 128 /* inode number, at byte 4096 */ };

struct maker_name {
    const char *name;
    uint64_t nid;
    uint8_t type; /* 1 file, 2 directory, 7 link */
};

void maker_u16(uint8_t *at, uint16_t value);
void maker_u32(uint8_t *at, uint32_t value);
void maker_u64(uint8_t *at, uint64_t value);

/* Both super blocks into the first 4096 bytes, which are zero. */
void maker_super(uint8_t *block, uint64_t inodes);

struct maker_inode {
    uint16_t mode;
    uint16_t nlink;
    uint32_t size;
    uint32_t u;
    uint8_t layout;  /* 0 plain, 2 inline, 4 chunks */
    uint16_t xattrs; /* the count field */
};
/* 32 bytes. */
void maker_compact(uint8_t *at, const struct maker_inode *inode);

/* A directory block of names in the order given; returns its bytes. */
size_t maker_dirents(uint8_t *block, const struct maker_name *names, size_t count);

/* An image of dirs directories in the root, each with as many empty files: "d0000000" and
 * "f0000000" onwards. Into fd from byte 0. Returns its number of inodes. */
uint64_t maker_large(int fd, uint32_t dirs, uint32_t files);

#endif
