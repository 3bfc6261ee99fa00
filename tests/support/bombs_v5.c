/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bombs.h"
#include "v6_maker.h"

/* Positions in a v5 super block and inode. */
enum {
    INODE_TABLE = 32,
    INODE_ENTRIES = 56,
    EXTENDED_ENTRIES = 68,
    EXTENDED_TABLE = 72,
    MODE = 60,
    SIZE = 64,
    FLAGS = 80,
    CHILD_COUNT = 96,
    NAME_SIZE = 100,
    RECORD = 136 /* inode with a name of up to 8 bytes */
};

static struct bytes good(void)
{
    struct golden golden;
    struct bytes out;

    golden_load(golden_folder(), "v5-zstd", &golden);
    out = golden.boot;
    golden.boot.at = NULL;
    golden_drop(&golden);
    return out;
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
           (uint32_t)at[3] << 24;
}

/* The first inode that is a file with chunks and without attributes. */
static uint8_t *some_file(struct bytes boot)
{
    uint32_t table = get_u32(boot.at + INODE_TABLE);

    for (uint32_t i = 0; i < get_u32(boot.at + INODE_ENTRIES); i++) {
        uint8_t *inode = boot.at + ((size_t)get_u32(boot.at + table + 4 * i) << 3);

        if (S_ISREG(get_u32(inode + MODE)) && get_u32(inode + CHILD_COUNT) > 0 &&
            (inode[FLAGS] & 4) == 0)
            return inode;
    }
    need(false, "a file with chunks", __FILE__, __LINE__);
    return NULL;
}

struct bytes bomb_v5_inodes_claimed(void)
{
    struct bytes boot = good();

    maker_u32(boot.at + INODE_ENTRIES, 0xffffffffu);
    return boot;
}

struct bytes bomb_v5_extended_claimed(void)
{
    struct bytes boot = good();

    maker_u32(boot.at + EXTENDED_ENTRIES, 0xffffffffu);
    return boot;
}

struct bytes bomb_v5_chunks_claimed(void)
{
    struct bytes boot = good();
    uint8_t *inode = some_file(boot);

    maker_u32(inode + CHILD_COUNT, 1 << 24);
    maker_u64(inode + SIZE, (uint64_t)1 << 44);
    return boot;
}

struct bytes bomb_v5_xattrs_claimed(void)
{
    struct bytes boot = good();
    uint8_t *inode = some_file(boot);
    size_t name = (size_t)(inode[NAME_SIZE] | inode[NAME_SIZE + 1] << 8);

    inode[FLAGS] |= 4;
    maker_u64(inode + 128 + ((name + 7) & ~(size_t)7), (uint64_t)1 << 63);
    return boot;
}

/* Where each byte of a sparse file gives the same error, nobody may ask them all. */
struct bytes bomb_v5_broken_chunk_of_a_huge_file(void)
{
    struct bytes boot = good();
    uint8_t *inode = some_file(boot);
    size_t name = (size_t)(inode[NAME_SIZE] | inode[NAME_SIZE + 1] << 8);

    inode[FLAGS] |= 8;
    maker_u64(inode + SIZE, (uint64_t)1 << 62);
    maker_u32(inode + 128 + ((name + 7) & ~(size_t)7) + 36, 0x40000000);
    return boot;
}

/* Each directory has all that follow for its children, so that their digests would be
 * taken over and over. */
struct bytes bomb_v5_children_shared(void)
{
    enum { DIRS = 20000, TABLE = 8192, FIRST = TABLE + DIRS * 4 };
    struct bytes out = {calloc(1, FIRST + DIRS * RECORD), FIRST + DIRS * RECORD};

    NEED(out.at);
    maker_u32(out.at, 0x52414653);
    maker_u32(out.at + 4, 0x500);
    maker_u32(out.at + 8, 8192);
    maker_u32(out.at + 12, 0x100000);
    maker_u64(out.at + 16, 0x80 | 0x4);
    maker_u64(out.at + 24, DIRS);
    maker_u64(out.at + INODE_TABLE, TABLE);
    maker_u32(out.at + INODE_ENTRIES, DIRS);
    for (uint32_t i = 1; i <= DIRS; i++) {
        uint8_t *inode = out.at + FIRST + (size_t)(i - 1) * RECORD;

        maker_u32(out.at + TABLE + 4 * (i - 1), (uint32_t)(inode - out.at) >> 3);
        maker_u64(inode + 32, i > 1);
        maker_u64(inode + 40, i);
        maker_u32(inode + MODE, S_IFDIR | 0755);
        maker_u32(inode + 88, 2);
        if (i < DIRS) {
            maker_u32(inode + 92, i + 1);
            maker_u32(inode + CHILD_COUNT, DIRS - i);
        }
        maker_u16(inode + NAME_SIZE, 5);
        inode[128] = i > 1 ? 'n' : '/';
        for (uint32_t k = 0, rest = i; k < 4; k++, rest /= 26)
            inode[132 - k] = (uint8_t)('a' + rest % 26);
        if (i == 1)
            maker_u16(inode + NAME_SIZE, 1);
    }
    return out;
}
