/* SPDX-License-Identifier: Apache-2.0 */
#include "v6_maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "golden.h"

enum {
    MAGIC = 0xe0f5e1e2u,
    COMPAT_RAFS = 0x40000000,
    INCOMPAT_CHUNKS_AND_DEVICES = 0xc,
    FLAGS_ZSTD_BLAKE3_OWNERS = 0x80 | 0x4 | 0x10,
    DIRENT = 12,
    NAME = 8 /* bytes in each name of a large image */
};

void maker_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

void maker_u32(uint8_t *at, uint32_t value)
{
    maker_u16(at, (uint16_t)value);
    maker_u16(at + 2, (uint16_t)(value >> 16));
}

void maker_u64(uint8_t *at, uint64_t value)
{
    maker_u32(at, (uint32_t)value);
    maker_u32(at + 4, (uint32_t)(value >> 32));
}

void maker_super(uint8_t *block, uint64_t inodes)
{
    uint8_t *erofs = block + 1024;
    uint8_t *rafs = block + 1152;

    maker_u32(erofs, MAGIC);
    maker_u32(erofs + 8, COMPAT_RAFS);
    erofs[12] = 12;
    maker_u16(erofs + 14, MAKER_ROOT);
    maker_u64(erofs + 16, inodes);
    maker_u32(erofs + 80, INCOMPAT_CHUNKS_AND_DEVICES);
    maker_u16(erofs + 88, 11);
    maker_u64(rafs, FLAGS_ZSTD_BLAKE3_OWNERS);
    maker_u32(rafs + 20, 0x100000);
}

void maker_compact(uint8_t *at, const struct maker_inode *inode)
{
    memset(at, 0, 32);
    maker_u16(at, (uint16_t)(inode->layout << 1));
    maker_u16(at + 2, inode->xattrs);
    maker_u16(at + 4, inode->mode);
    maker_u16(at + 6, inode->nlink);
    maker_u32(at + 8, inode->size);
    maker_u32(at + 16, inode->u);
}

size_t maker_dirents(uint8_t *block, const struct maker_name *names, size_t count)
{
    size_t pos = count * DIRENT;

    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(names[i].name);

        NEED(pos + len <= MAKER_BLOCK);
        maker_u64(block + i * DIRENT, names[i].nid);
        maker_u16(block + i * DIRENT + 8, (uint16_t)pos);
        block[i * DIRENT + 10] = names[i].type;
        memcpy(block + pos, names[i].name, len);
        pos += len;
    }
    return pos;
}

/* How names of NAME bytes fill blocks, the dots in front. */
enum {
    DOTS_BYTES = DIRENT + 1 + DIRENT + 2,
    IN_FIRST = (MAKER_BLOCK - DOTS_BYTES) / (DIRENT + NAME),
    IN_OTHERS = MAKER_BLOCK / (DIRENT + NAME)
};

static uint32_t dir_size(uint32_t names)
{
    uint32_t rest, blocks;

    if (names <= IN_FIRST)
        return DOTS_BYTES + names * (DIRENT + NAME);
    rest = names - IN_FIRST;
    blocks = (rest - 1) / IN_OTHERS;
    return MAKER_BLOCK + blocks * MAKER_BLOCK +
           (rest - blocks * IN_OTHERS) * (DIRENT + NAME);
}

static uint32_t dir_blocks(uint32_t names)
{
    return (dir_size(names) - 1) / MAKER_BLOCK + 1;
}

struct large_dir {
    uint64_t nid, parent, first_child, child_step;
    uint32_t names;
    char letter;
    uint8_t type;
};

static void put(FILE *out, const void *data, size_t len)
{
    NEED(fwrite(data, 1, len, out) == len);
}

static void put_dir_content(FILE *out, const struct large_dir *dir)
{
    static char text[IN_OTHERS + 2][NAME + 1];
    uint32_t done = 0;

    for (uint32_t block = 0; block == 0 || done < dir->names; block++) {
        uint8_t bytes[MAKER_BLOCK] = {0};
        struct maker_name names[IN_OTHERS + 2];
        uint32_t room = block == 0 ? IN_FIRST : IN_OTHERS;
        size_t count = 0;

        if (block == 0) {
            names[count++] = (struct maker_name){".", dir->nid, 2};
            names[count++] = (struct maker_name){"..", dir->parent, 2};
        }
        for (; room > 0 && done < dir->names; room--, done++, count++) {
            snprintf(text[count], sizeof(text[count]), "%c%07u", dir->letter,
                     done % 10000000);
            names[count] = (struct maker_name){
                text[count], dir->first_child + done * dir->child_step, dir->type};
        }
        maker_dirents(bytes, names, count);
        put(out, bytes, sizeof(bytes));
    }
}

uint64_t maker_large(int fd, uint32_t dirs, uint32_t files)
{
    uint64_t total = 1 + dirs + (uint64_t)dirs * files;
    uint64_t inode_blocks = (total * 32 - 1) / MAKER_BLOCK + 1;
    uint32_t data = (uint32_t)(1 + inode_blocks); /* first block of directory content */
    uint64_t dir_nid = MAKER_ROOT + 1;
    uint64_t file_nid = dir_nid + dirs;
    struct maker_inode inode = {
        S_IFDIR | 0755, (uint16_t)(2 + dirs % 60000), dir_size(dirs), data, 0, 0};
    uint8_t block[MAKER_BLOCK] = {0};
    uint8_t bytes[32];
    FILE *out = fdopen(dup(fd), "wb");

    NEED(out);
    maker_super(block, total);
    put(out, block, sizeof(block));
    maker_compact(bytes, &inode);
    put(out, bytes, sizeof(bytes));
    for (uint32_t i = 0; i < dirs; i++) {
        inode = (struct maker_inode){S_IFDIR | 0755,
                                     2,
                                     dir_size(files),
                                     data + dir_blocks(dirs) + i * dir_blocks(files),
                                     0,
                                     0};
        maker_compact(bytes, &inode);
        put(out, bytes, sizeof(bytes));
    }
    inode = (struct maker_inode){S_IFREG | 0644, 1, 0, 0x20 | 8, 4, 0};
    maker_compact(bytes, &inode);
    for (uint64_t i = 0; i < (uint64_t)dirs * files; i++)
        put(out, bytes, sizeof(bytes));
    memset(block, 0, sizeof(block));
    put(out, block, (size_t)(inode_blocks * MAKER_BLOCK - total * 32));
    put_dir_content(
        out, &(struct large_dir){MAKER_ROOT, MAKER_ROOT, dir_nid, 1, dirs, 'd', 2});
    for (uint32_t i = 0; i < dirs; i++)
        put_dir_content(out, &(struct large_dir){dir_nid + i, MAKER_ROOT,
                                                 file_nid + (uint64_t)i * files, 1, files,
                                                 'f', 1});
    NEED(fclose(out) == 0);
    return total;
}
