/* SPDX-License-Identifier: Apache-2.0 */
#include "bombs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "v6_maker.h"

enum { MANY = 40000, DIR = S_IFDIR | 0755, REG = S_IFREG | 0644, LNK = S_IFLNK | 0777 };

/* An image under construction. Inodes by their place: 0 is the root. */
static struct bytes image(size_t blocks, uint64_t inodes)
{
    struct bytes out = {calloc(blocks, MAKER_BLOCK), blocks * MAKER_BLOCK};

    NEED(out.at);
    maker_super(out.at, inodes);
    return out;
}

static uint64_t nid(uint64_t place)
{
    return MAKER_ROOT + place;
}

static void inode(struct bytes image, uint64_t place, struct maker_inode inode)
{
    maker_compact(image.at + nid(place) * 32, &inode);
}

static size_t dirents(struct bytes image, size_t block, const struct maker_name *names,
                      size_t count)
{
    return maker_dirents(image.at + block * MAKER_BLOCK, names, count);
}

/* A directory of one block: inode and content. */
static void dir(struct bytes out, uint64_t place, uint64_t parent, size_t block,
                const struct maker_name *names, size_t count)
{
    struct maker_name all[64] = {{".", nid(place), 2}, {"..", nid(parent), 2}};
    size_t size;

    NEED(count + 2 <= 64);
    for (size_t i = 0; i < count; i++)
        all[i + 2] = names[i];
    size = dirents(out, block, all, count + 2);
    inode(out, place,
          (struct maker_inode){DIR, 2, (uint32_t)size, (uint32_t)block, 0, 0});
}

/* Content of a directory whose names all lead to one place, or on from it. */
static size_t many_names(struct bytes out, size_t first_block, uint64_t self,
                         uint64_t parent, uint64_t to, uint64_t step, uint8_t type)
{
    struct maker_name names[256];
    char text[256][8];
    size_t done = 0;
    size_t block = first_block;
    size_t size = 0;

    while (done < MANY) {
        size_t count = 0;
        size_t room = 200;

        if (done == 0) {
            names[count++] = (struct maker_name){".", self, 2};
            names[count++] = (struct maker_name){"..", parent, 2};
        }
        for (; count < room && done < MANY; count++, done++) {
            snprintf(text[count], sizeof(text[count]), "n%05u",
                     (unsigned)(done % 100000));
            names[count] = (struct maker_name){text[count], to + done * step, type};
        }
        size = dirents(out, block++, names, count);
    }
    return (block - 1 - first_block) * MAKER_BLOCK + size;
}

static const size_t many_blocks = MANY / 198 + 2;

static struct bytes root_in_itself(void)
{
    struct bytes out = image(4, 1000);

    dir(out, 0, 0, 2, (struct maker_name[]){{"a", nid(0), 2}}, 1);
    return out;
}

static struct bytes loop_below(void)
{
    struct bytes out = image(6, 1000);

    dir(out, 0, 0, 2, (struct maker_name[]){{"a", nid(1), 2}}, 1);
    dir(out, 1, 0, 3, (struct maker_name[]){{"b", nid(2), 2}}, 1);
    dir(out, 2, 1, 4, (struct maker_name[]){{"a", nid(1), 2}}, 1);
    return out;
}

/* Forty directories, each with two names in the one above: 2^40 paths. */
static struct bytes two_names(void)
{
    struct bytes out = image(64, (uint64_t)1 << 40);

    for (uint64_t i = 0; i < 40; i++)
        dir(out, i, i ? i - 1 : 0, 4 + i,
            (struct maker_name[]){{"a", nid(i + 1), 2}, {"b", nid(i + 1), 2}}, 2);
    dir(out, 40, 39, 60, NULL, 0);
    return out;
}

/* Many directories, all of whose content is the root's. */
static struct bytes content_shared(void)
{
    struct bytes out = image(2 + MANY * 32 / MAKER_BLOCK + many_blocks, MANY + 1);
    size_t block = 2 + MANY * 32 / MAKER_BLOCK;
    size_t size = many_names(out, block, nid(0), nid(0), nid(1), 1, 2);

    for (uint64_t i = 0; i <= MANY; i++)
        inode(out, i,
              (struct maker_inode){DIR, 2, (uint32_t)size, (uint32_t)block, 0, 0});
    return out;
}

static struct bytes entries_claimed(void)
{
    struct bytes out = image(3, (uint64_t)1 << 32);

    dir(out, 0, 0, 2, NULL, 0);
    inode(out, 0, (struct maker_inode){DIR, 2, 0xfffffff0u, 2, 0, 0});
    return out;
}

static struct bytes chunks_claimed(void)
{
    struct bytes out = image(4, 2);

    maker_u32(out.at + 1152 + 20, 0x1000);
    dir(out, 0, 0, 2, (struct maker_name[]){{"f", nid(1), 1}}, 1);
    inode(out, 1, (struct maker_inode){REG, 1, 0xffffffffu, 0x20, 4, 0});
    return out;
}

static struct bytes links_in_a_circle(void)
{
    struct bytes out = image(6, 4);

    dir(out, 0, 0, 2,
        (struct maker_name[]){{"a", nid(1), 7}, {"b", nid(2), 7}, {"x", nid(3), 7}}, 3);
    inode(out, 1, (struct maker_inode){LNK, 1, 1, 3, 0, 0});
    out.at[3 * MAKER_BLOCK] = 'b';
    inode(out, 2, (struct maker_inode){LNK, 1, 1, 4, 0, 0});
    out.at[4 * MAKER_BLOCK] = 'a';
    /* The longest target there is, each component of it the link itself. */
    inode(out, 3, (struct maker_inode){LNK, 1, 4096, 5, 0, 0});
    for (size_t i = 0; i < 4096; i++)
        out.at[5 * MAKER_BLOCK + i] = i % 2 ? '/' : 'x';
    return out;
}

/* Files whose chunk arrays are the same bytes: a million holes each. */
static struct bytes arrays_shared(void)
{
    size_t inode_blocks = MANY * 32 / MAKER_BLOCK + 1;
    size_t array_blocks = 2048 + inode_blocks;
    struct bytes out = image(2 + inode_blocks + array_blocks + many_blocks, MANY + 1);
    size_t block = 2 + inode_blocks + array_blocks;
    size_t size = many_names(out, block, nid(0), nid(0), nid(1), 1, 1);

    maker_u32(out.at + 1152 + 20, 0x1000);
    memset(out.at + nid(1) * 32, 0xff, (inode_blocks + array_blocks) * MAKER_BLOCK);
    inode(out, 0, (struct maker_inode){DIR, 2, (uint32_t)size, (uint32_t)block, 0, 0});
    for (uint64_t i = 1; i <= MANY; i++)
        inode(out, i, (struct maker_inode){REG, 1, 0xfffff000u, 0x20, 4, 0});
    return out;
}

/* Inodes 64 bytes apart; the attributes of each reach over the 4000 that follow. */
static struct bytes xattrs_shared(void)
{
    size_t inode_blocks = MANY * 64 / MAKER_BLOCK + 70;
    struct bytes out = image(2 + inode_blocks + many_blocks, MANY + 1);
    size_t block = 2 + inode_blocks;
    size_t size = many_names(out, block, nid(0), nid(0), nid(2), 2, 1);

    inode(out, 0, (struct maker_inode){DIR, 2, (uint32_t)size, (uint32_t)block, 0, 0});
    for (uint64_t i = 1; i <= MANY + 4090; i++) {
        uint8_t *at = out.at + nid(2 * i) * 32;

        inode(out, 2 * i, (struct maker_inode){REG, 1, 0, 0x28, 4, 64 * 4000 / 4});
        at[44] = 2; /* bytes of the name behind its space */
        at[45] = 1;
        maker_u16(at + 46, 58);
        at[48] = (uint8_t)(1 + i / 64 % 64);
        at[49] = (uint8_t)(1 + i % 64);
    }
    return out;
}

static struct bytes xattrs_claimed(void)
{
    struct bytes out = image(4, 2);

    dir(out, 0, 0, 2, (struct maker_name[]){{"f", nid(1), 1}}, 1);
    inode(out, 1, (struct maker_inode){REG, 1, 0, 0x20, 4, 65535});
    return out;
}

/* A directory of many names that lies in itself, under the last of them. */
static struct bytes path_without_end(void)
{
    struct bytes out = image(4 + many_blocks, MANY + 2);
    size_t size = many_names(out, 3, nid(1), nid(1), nid(2), 0, 1);

    dir(out, 0, 0, 2, (struct maker_name[]){{"d", nid(1), 2}}, 1);
    inode(out, 1, (struct maker_inode){DIR, 2, (uint32_t)size, 3, 0, 0});
    inode(out, 2, (struct maker_inode){REG, 1, 0, 0x28, 4, 0});
    /* The last name becomes the way back. */
    {
        uint8_t *last = out.at + 3 * MAKER_BLOCK + (size - 1) / MAKER_BLOCK * MAKER_BLOCK;
        size_t count = (size_t)(last[8] | last[9] << 8) / 12;

        maker_u64(last + (count - 1) * 12, nid(1));
        last[(count - 1) * 12 + 10] = 2;
    }
    return out;
}

/* Deeper than RAFS_DEPTH_MAX. */
static struct bytes deep(void)
{
    struct bytes out = image(2 + 50 + 5002, 5002);

    for (uint64_t i = 0; i < 5000; i++)
        dir(out, i, i ? i - 1 : 0, 50 + i, (struct maker_name[]){{"d", nid(i + 1), 2}},
            1);
    dir(out, 5000, 4999, 5050, NULL, 0);
    return out;
}

const struct bomb bombs[] = {
    {"root in itself", root_in_itself, 0, "/a/a/a", RAFS_OK, false},
    {"directory in its child", loop_below, 0, "/a/b/a/b", RAFS_OK, false},
    {"two names for each directory", two_names, 0, "/a/b/a/b", RAFS_OK, false},
    {"one content for all directories", content_shared, 0, NULL, 0, false},
    {"2^32 entries in 12 KiB", entries_claimed, RAFS_E_CORRUPT, NULL, 0, false},
    {"2^20 chunks in 16 KiB", chunks_claimed, 0, "/f", RAFS_E_CORRUPT, false},
    {"links in a circle", links_in_a_circle, 0, "/a", RAFS_E_LOOP, true},
    {"links to themselves", links_in_a_circle, 0, "/x/x/x", RAFS_E_LOOP, true},
    {"one chunk array for all files", arrays_shared, 0, NULL, 0, false},
    {"one attribute area for all files", xattrs_shared, 0, NULL, 0, false},
    {"256 KiB of attributes in 16 KiB", xattrs_claimed, 0, NULL, 0, false},
    {"path without end", path_without_end, 0, NULL, 0, false},
    {"5000 directories deep", deep, 0, NULL, 0, false},
    {"v5: 2^32 inodes", bomb_v5_inodes_claimed, RAFS_E_CORRUPT, NULL, 0, false},
    {"v5: 2^32 blobs", bomb_v5_extended_claimed, RAFS_E_CORRUPT, NULL, 0, false},
    {"v5: 2^24 chunks", bomb_v5_chunks_claimed, 0, NULL, 0, false},
    {"v5: 2^63 bytes of attributes", bomb_v5_xattrs_claimed, 0, NULL, 0, false},
    {"v5: broken chunk of a file of 2^62 bytes", bomb_v5_broken_chunk_of_a_huge_file, 0,
     NULL, 0, false},
    {"v5: children shared", bomb_v5_children_shared, 0, NULL, 0, false},
    {"TOC: bootstrap of 2^40 bytes", bomb_toc_claims_terabytes, RAFS_E_LIMIT, NULL, 0,
     false},
    {"TOC: bootstrap as large as allowed", bomb_toc_claims_what_is_allowed,
     RAFS_E_CORRUPT, NULL, 0, false},
    {"zstd frame of 2^40 bytes", bomb_zstd_frame_claims_terabytes, RAFS_E_CORRUPT, NULL,
     0, false},
    {"zstd window of 2^31 bytes", bomb_zstd_window, RAFS_E_CORRUPT, NULL, 0, false},
    {"compression information of 2^24 chunks", bomb_ci_of_2_24_chunks, 0, NULL, 0, false},
};
const size_t bomb_count = sizeof(bombs) / sizeof(bombs[0]);
