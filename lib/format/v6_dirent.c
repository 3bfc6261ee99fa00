/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "format/format.h"

/*
 * Directory block: entries, then their names without terminators, in the same order.
 *
 * Entry, 12 bytes: 0 u64 nid | 8 u16 where its name begins in the block | 10 u8 type |
 * 11 u8 -. A name ends where the next one begins, the last one at a NUL or at the end of
 * the block. Where the first name begins tells the number of entries.
 * Source: erofs_dirent of Linux; bootstrap-v6.md, 10.2.
 */

/* Type bits by file type on disk. */
static const uint32_t types[] = {
    [1] = S_IFREG, [2] = S_IFDIR,  [3] = S_IFCHR, [4] = S_IFBLK,
    [5] = S_IFIFO, [6] = S_IFSOCK, [7] = S_IFLNK,
};

int rafsi_v6_dirent_count(struct span block, uint32_t *count, rafs_error *err)
{
    struct cursor c = cursor_of(block);
    uint32_t first;

    take_skip(&c, 8);
    first = take_u16(&c);
    if (c.overrun)
        return rafsi_corrupt(err, block.origin, "directory block of %zu bytes",
                             block.len);
    if (first == 0 || first % V6_DIRENT_BYTES != 0 || first >= block.len)
        return rafsi_corrupt(err, block.origin + 8,
                             "first name at byte %u of a directory block of %zu", first,
                             block.len);
    *count = first / V6_DIRENT_BYTES;
    return RAFS_OK;
}

/* Where name i begins: after all entries, and before the end of the block. */
static bool name_begin(struct span block, uint32_t count, uint32_t i, size_t *begin)
{
    struct cursor c = cursor_at_entry(block, i, V6_DIRENT_BYTES);

    take_skip(&c, 8);
    *begin = take_u16(&c);
    return !c.overrun && *begin >= (size_t)count * V6_DIRENT_BYTES && *begin < block.len;
}

/* Where name i ends. */
static bool name_end(struct span block, uint32_t count, uint32_t i, size_t begin,
                     size_t *end)
{
    const uint8_t *nul;

    if (i + 1 < count)
        return name_begin(block, count, i + 1, end) && *end > begin;
    nul = memchr(block.at + begin, '\0', block.len - begin);
    *end = nul ? (size_t)(nul - block.at) : block.len;
    return true;
}

int rafsi_v6_dirent(struct span block, uint32_t count, uint32_t i, struct v6_dirent *out,
                    rafs_error *err)
{
    struct cursor c = cursor_at_entry(block, i, V6_DIRENT_BYTES);
    uint64_t at = cursor_offset(&c);
    struct v6_dirent dirent;
    size_t begin, end;
    uint32_t type;
    int rc;

    dirent.nid = take_u64(&c);
    take_skip(&c, 2);
    type = take_u8(&c);
    if (i >= count || c.overrun)
        return rafsi_corrupt(err, at, "directory entry beyond its block");
    if (!name_begin(block, count, i, &begin) || !name_end(block, count, i, begin, &end))
        return rafsi_corrupt(err, at + 8,
                             "names of a directory block begin where they cannot");
    dirent.name = block.at + begin;
    dirent.name_len = (uint32_t)(end - begin);
    dirent.dots =
        (dirent.name_len == 1 && dirent.name[0] == '.') ||
        (dirent.name_len == 2 && dirent.name[0] == '.' && dirent.name[1] == '.');
    if (type == 0 || type >= sizeof(types) / sizeof(types[0]))
        return rafsi_corrupt(err, at + 10, "directory entry of unknown type %u", type);
    dirent.type = types[type];
    if (!dirent.dots) {
        rc = rafsi_check_name(dirent.name, dirent.name_len, block.origin + begin, err);
        if (rc < 0)
            return rc;
    }
    *out = dirent;
    return RAFS_OK;
}

void rafsi_v6_dirent_put(uint64_t nid, uint32_t name_at, uint32_t mode,
                         uint8_t out[V6_DIRENT_BYTES])
{
    struct pen pen = pen_of(out, V6_DIRENT_BYTES);
    uint8_t type = 0;

    for (uint8_t i = 1; i < sizeof(types) / sizeof(types[0]); i++)
        if (types[i] == (mode & S_IFMT))
            type = i;
    put_u64(&pen, nid);
    put_u16(&pen, (uint16_t)name_at);
    put_u8(&pen, type);
    put_u8(&pen, 0);
}
