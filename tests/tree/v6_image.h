/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_TREE_V6_IMAGE_H
#define TEST_TREE_V6_IMAGE_H

/*
 * A small good v6 image in memory, for lies to be put in.
 *
 * Blocks of 4096: 0 super blocks and device, 1 blob and prefetch tables, 2 empty, 3
 * inodes, 4 and 5 the root directory, 6 chunk table. Chunks have 4096 bytes.
 */

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tree/tree.h"

#define IMAGE_BYTES (7 * 4096)
#define META 8192u
#define BLOB_AT 4096u
#define PREFETCH_AT (BLOB_AT + 256)
#define ROOT_DIR 16384u
#define CHUNKS_AT 24576u
#define AT(nid) (META + 32u * (nid))
#define ROOT 128u
#define FILE_A 132u /* three chunks and, behind the inode, their entries */
#define DIR_D 136u  /* empty; content behind the inode */
#define LINK_L 140u /* target "a/b", behind the inode */
#define NODE_N 144u /* character device with two attributes */
#define FILE_Z 150u /* compact, empty */
#define A_SIZE (2 * 4096 + 5)
#define BUILD_SEC 1234567890u

static inline void put(uint8_t *bytes, size_t at, size_t width, uint64_t value)
{
    for (size_t i = 0; i < width; i++) {
        bytes[at + i] = (uint8_t)value;
        value >>= 8;
    }
}

static inline void put_supers(uint8_t *image)
{
    put(image, 1024, 4, 0xe0f5e1e2);
    put(image, 1032, 4, 0x40000000);
    put(image, 1036, 1, 12);
    put(image, 1038, 2, ROOT);
    put(image, 1040, 8, 6);
    put(image, 1048, 8, BUILD_SEC);
    put(image, 1060, 4, 3);
    put(image, 1064, 4, META / 4096);
    put(image, 1104, 4, 0xc);
    put(image, 1110, 2, 1);
    put(image, 1112, 2, 11);
    put(image, 1152, 8, 0x1000035); /* stored plain, BLAKE3, owners, attributes */
    put(image, 1160, 8, BLOB_AT);
    put(image, 1168, 4, 256);
    put(image, 1172, 4, 4096);
    put(image, 1176, 8, CHUNKS_AT);
    put(image, 1184, 8, 3 * 80);
    put(image, 1192, 8, PREFETCH_AT);
    put(image, 1200, 4, 8);
    put(image, PREFETCH_AT, 4, FILE_A);
}

static inline void put_blob(uint8_t *image)
{
    memset(image + 1408, 'b', 64);
    put(image, 1408 + 64, 4, 3);
    memset(image + BLOB_AT, 'b', 64);
    put(image, BLOB_AT + 68, 4, 4096);
    put(image, BLOB_AT + 72, 4, 3);
    put(image, BLOB_AT + 84, 4, 0x40000001);
    put(image, BLOB_AT + 88, 8, A_SIZE + 48 + 4096);
    put(image, BLOB_AT + 96, 8, 3 * 4096);
    put(image, BLOB_AT + 112, 8, A_SIZE);
    put(image, BLOB_AT + 120, 8, 48);
    put(image, BLOB_AT + 128, 8, 48);
    for (uint32_t i = 0; i < 3; i++) { /* sorted by digest: not by number */
        uint8_t *record = image + CHUNKS_AT + 80 * (2 - i);
        uint32_t len = i < 2 ? 4096 : 5;

        memset(record, 0x90 - (int)i, 32);
        put(record, 40, 4, len);
        put(record, 44, 4, len);
        put(record, 48, 8, i * 4096);
        put(record, 56, 8, i * 4096);
        put(record, 72, 4, i);
    }
}

static inline void put_inode(uint8_t *image, uint32_t nid, uint32_t mode, uint32_t layout,
                             uint64_t size, uint32_t u)
{
    uint8_t *inode = image + AT(nid);

    put(inode, 0, 2, 1 | layout << 1);
    put(inode, 4, 2, mode);
    put(inode, 8, 8, size);
    put(inode, 16, 4, u);
    put(inode, 24, 4, 1000);
    put(inode, 28, 4, 2000);
    put(inode, 32, 8, (uint64_t)-5);
    put(inode, 40, 4, 7);
    put(inode, 44, 4, 1);
}

struct entry {
    const char *name;
    uint32_t nid;
    uint8_t type;
};

/* Returns the bytes used. */
static inline size_t put_dir(uint8_t *block, const struct entry *entries, size_t count)
{
    size_t pos = 12 * count;

    for (size_t i = 0; i < count; i++) {
        put(block, 12 * i, 8, entries[i].nid);
        put(block, 12 * i + 8, 2, pos);
        put(block, 12 * i + 10, 1, entries[i].type);
        memcpy(block + pos, entries[i].name, strlen(entries[i].name));
        pos += strlen(entries[i].name);
    }
    return pos;
}

static inline void put_files(uint8_t *image)
{
    put_inode(image, FILE_A, S_IFREG | 0644, V6_LAYOUT_CHUNKS, A_SIZE, 0x20);
    for (uint32_t i = 0; i < 3; i++) {
        put(image, AT(FILE_A) + 64 + 8 * i, 2, i);
        put(image, AT(FILE_A) + 64 + 8 * i + 2, 1, 1);
        put(image, AT(FILE_A) + 64 + 8 * i + 4, 4, i);
    }
    put_inode(image, LINK_L, S_IFLNK | 0777, V6_LAYOUT_INLINE, 3, 0);
    memcpy(image + AT(LINK_L) + 64, "a/b", 3);
    /* 12 + "user.k" = "v" in 8 + "security.xy" = "" in 8, so 5 units after the header */
    put_inode(image, NODE_N, S_IFCHR | 0600, V6_LAYOUT_PLAIN, 0, 0x12312345);
    put(image, AT(NODE_N) + 2, 2, 5);
    memcpy(image + AT(NODE_N) + 76, "\1\1\1\0kv\0\0\2\6\0\0xy\0\0", 16);
    put(image, AT(FILE_Z), 2, V6_LAYOUT_CHUNKS << 1);
    put(image, AT(FILE_Z) + 4, 2, S_IFREG | 0444);
    put(image, AT(FILE_Z) + 6, 2, 1);
    put(image, AT(FILE_Z) + 16, 4, 0x20);
}

static inline void make_image(uint8_t image[IMAGE_BYTES])
{
    static const struct entry first[] = {
        {".", ROOT, 2}, {"..", ROOT, 2}, {"a", FILE_A, 1}, {"d", DIR_D, 2}};
    static const struct entry second[] = {
        {"l", LINK_L, 7}, {"n", NODE_N, 3}, {"z", FILE_Z, 1}};
    static const struct entry dots[] = {{".", DIR_D, 2}, {"..", ROOT, 2}};
    size_t len;

    memset(image, 0, IMAGE_BYTES);
    put_supers(image);
    put_blob(image);
    put_dir(image + ROOT_DIR, first, 4);
    len = put_dir(image + ROOT_DIR + 4096, second, 3);
    put_inode(image, ROOT, S_IFDIR | 0755, V6_LAYOUT_PLAIN, 4096 + len, ROOT_DIR / 4096);
    len = put_dir(image + AT(DIR_D) + 64, dots, 2);
    put_inode(image, DIR_D, S_IFDIR | 0755, V6_LAYOUT_INLINE, len, 0);
    put_files(image);
}

#endif
