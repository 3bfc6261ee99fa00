/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "format/format.h"

#define FORMAT_EXTENDED 0x1u
#define FORMAT_LAYOUT 0xeu
#define NSEC_END 1000000000u
#define CHUNK_BITS 0x1fu
#define CHUNK_INDEXES 0x20u
#define DIR_MIN 27 /* two entries of 12 bytes, "." and ".." */

/*
 * Extended inode, 64 bytes.
 *
 *   0 u16 format   2 u16 xattr count   4 u16 mode   6 u16 0       8 u64 size
 *  16 u32 u       20 u32 number       24 u32 uid   28 u32 gid
 *  32 u64 mtime   40 u32 its ns       44 u32 links 48 reserved: 16
 *
 * Newer kernels take the 0 for the high part of u where that is a block.
 * Source: erofs_inode_extended of Linux; bootstrap-v6.md, 6.2.
 */
static void take_extended(struct cursor *c, struct v6_inode *inode)
{
    inode->mode = take_u16(c);
    inode->newer = take_u16(c) != 0;
    inode->size = take_u64(c);
    inode->u = take_u32(c);
    inode->number = take_u32(c);
    inode->uid = take_u32(c);
    inode->gid = take_u32(c);
    inode->mtime_sec = (int64_t)take_u64(c);
    inode->mtime_nsec = take_u32(c);
    inode->nlink = take_u32(c);
    take_skip(c, 16);
}

/*
 * Compact inode, 32 bytes; its time is the image's.
 *
 *   0 u16 format   2 u16 xattr count   4 u16 mode   6 u16 links   8 u32 size
 *  12 u32 0       16 u32 u            20 u32 number
 *  24 u16 uid     26 u16 gid          28 u32 -
 *
 * Newer kernels add the 0 to that. Source: erofs_inode_compact of Linux;
 * bootstrap-v6.md, 6.3.
 */
static void take_compact(struct cursor *c, struct v6_inode *inode)
{
    inode->mode = take_u16(c);
    inode->nlink = take_u16(c);
    inode->size = take_u32(c);
    inode->newer = take_u32(c) != 0;
    inode->u = take_u32(c);
    inode->number = take_u32(c);
    inode->uid = take_u16(c);
    inode->gid = take_u16(c);
    take_skip(c, 4);
}

/* The smallest b for which 4096 << b is not less than size; 32 if there is none. */
static uint32_t bits_for(uint64_t size)
{
    uint32_t bits = 0;

    while (bits < 32 && ((uint64_t)V6_BLOCK_BYTES << bits) < size)
        bits++;
    return bits;
}

/*
 * Field u of a regular file: bits 0-4 b, where EROFS takes 4096 << b for the chunk size;
 * bit 5 set, entries have 8 bytes; others 0. It is RAFS' chunk size, or, if the chunks of
 * the file lie one after the other, a power of two that holds the file, so that the
 * kernel needs the first entry only. The array is the same in both cases.
 * Source: bootstrap-v6.md, 8.
 */
static int check_chunk_format(const struct v6_inode *inode, uint32_t chunk_size,
                              uint64_t at, rafs_error *err)
{
    uint32_t bits = inode->u & CHUNK_BITS;

    if ((inode->u & ~CHUNK_BITS) != CHUNK_INDEXES)
        return rafsi_corrupt(err, at, "unknown chunk format 0x%x", inode->u);
    if (((uint64_t)V6_BLOCK_BYTES << bits) == chunk_size)
        return RAFS_OK;
    if (inode->size <= chunk_size || bits != bits_for(inode->size))
        return rafsi_corrupt(err, at, "chunks of 2^%u blocks fit neither image nor file",
                             bits);
    return RAFS_OK;
}

bool rafsi_v6_is_run(const struct v6_inode *inode, uint32_t chunk_size)
{
    return ((uint64_t)V6_BLOCK_BYTES << (inode->u & CHUNK_BITS)) != chunk_size;
}

uint32_t rafsi_v6_chunk_format(uint64_t size, uint32_t chunk_size, bool contiguous)
{
    uint32_t bits = bits_for(size);

    if (!contiguous || size <= chunk_size || bits > CHUNK_BITS)
        bits = bits_for(chunk_size);
    return CHUNK_INDEXES | bits;
}

static int check_type(const struct v6_inode *inode, uint32_t chunk_size, uint64_t at,
                      rafs_error *err)
{
    uint64_t size_at = at + 8;

    if (S_ISREG(inode->mode) != (inode->layout == V6_LAYOUT_CHUNKS))
        return rafsi_corrupt(err, at, "data layout %u does not fit mode 0%o",
                             inode->layout, inode->mode);
    switch (inode->mode & S_IFMT) {
    case S_IFREG:
        return check_chunk_format(inode, chunk_size, at + 16, err);
    case S_IFDIR:
        if (inode->size < DIR_MIN)
            return rafsi_corrupt(err, size_at,
                                 "directory too small for \".\" and \"..\"");
        return RAFS_OK;
    case S_IFLNK:
        if (inode->size == 0 || inode->size > V6_TARGET_MAX)
            return rafsi_corrupt(err, size_at, "link target of %llu bytes",
                                 (unsigned long long)inode->size);
        return RAFS_OK;
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return RAFS_OK;
    default:
        return rafsi_corrupt(err, at + 4, "mode 0%o is of no file type", inode->mode);
    }
}

/* The format word is common: bit 0 extended, bits 1-3 layout, others 0. */
int rafsi_v6_inode(struct span bytes, uint32_t chunk_size, struct v6_inode *out,
                   rafs_error *err)
{
    struct cursor c = cursor_of(bytes);
    struct v6_inode inode = {0};
    uint32_t format = take_u16(&c);
    uint32_t xattrs = take_u16(&c);
    bool extended = format & FORMAT_EXTENDED;
    int rc;

    if (extended)
        take_extended(&c, &inode);
    else
        take_compact(&c, &inode);
    if (c.overrun)
        return rafsi_corrupt(err, bytes.origin, "file ends within an inode");
    inode.bytes = extended ? V6_INODE_EXTENDED_BYTES : V6_INODE_COMPACT_BYTES;
    inode.layout = (uint8_t)((format & FORMAT_LAYOUT) >> 1);
    inode.xattr_bytes = xattrs == 0 ? 0 : V6_XATTR_HEADER_BYTES + 4 * (xattrs - 1);
    if ((format & ~(FORMAT_EXTENDED | FORMAT_LAYOUT)) != 0 ||
        (inode.layout != V6_LAYOUT_PLAIN && inode.layout != V6_LAYOUT_INLINE &&
         inode.layout != V6_LAYOUT_CHUNKS))
        return rafsi_corrupt(err, bytes.origin, "no inode here: format 0x%x", format);
    rc = check_type(&inode, chunk_size, bytes.origin, err);
    if (rc < 0)
        return rc;
    if (inode.nlink == 0)
        return rafsi_corrupt(err, bytes.origin + (extended ? 44 : 6),
                             "inode without links");
    if (inode.mtime_nsec >= NSEC_END)
        return rafsi_corrupt(err, bytes.origin + 40, "a second of %u nanoseconds",
                             inode.mtime_nsec);
    *out = inode;
    return RAFS_OK;
}

void rafsi_v6_inode_put(const struct v6_inode *inode,
                        uint8_t out[V6_INODE_EXTENDED_BYTES])
{
    struct pen pen = pen_of(out, V6_INODE_EXTENDED_BYTES);
    uint32_t xattrs = inode->xattr_bytes == 0
                          ? 0
                          : (inode->xattr_bytes - V6_XATTR_HEADER_BYTES) / 4 + 1;

    put_u16(&pen, (uint16_t)(FORMAT_EXTENDED | (uint32_t)inode->layout << 1));
    put_u16(&pen, (uint16_t)xattrs);
    put_u16(&pen, (uint16_t)inode->mode);
    put_u16(&pen, 0);
    put_u64(&pen, inode->size);
    put_u32(&pen, inode->u);
    put_u32(&pen, inode->number);
    put_u32(&pen, inode->uid);
    put_u32(&pen, inode->gid);
    put_u64(&pen, (uint64_t)inode->mtime_sec);
    put_u32(&pen, inode->mtime_nsec);
    put_u32(&pen, inode->nlink);
    put_zeros(&pen, 16);
}

/*
 * Chunk array entry, 8 bytes: 0 u16 low part of the chunk's index | 2 u8 device | 3 u8
 * high part of the index | 4 u32 first block in the device, all ones for a hole. Device 0
 * would be the bootstrap, which holds no chunks; blob i is device i + 1.
 * Source: bootstrap-v6.md, 8.
 */
int rafsi_v6_chunk_addr(struct span bytes, uint32_t blobs, struct v6_chunk_addr *out,
                        rafs_error *err)
{
    struct cursor c = cursor_of(bytes);
    uint32_t low = take_u16(&c);
    uint32_t device = take_u8(&c);
    uint32_t high = take_u8(&c);
    uint32_t block = take_u32(&c);

    if (c.overrun)
        return rafsi_corrupt(err, bytes.origin, "file ends within a chunk array");
    if (block == V6_HOLE) {
        *out = (struct v6_chunk_addr){.hole = true};
        return RAFS_OK;
    }
    if (device == 0 || device > blobs)
        return rafsi_corrupt(err, bytes.origin + 2,
                             "chunk in device %u of an image with %u blobs", device,
                             blobs);
    *out =
        (struct v6_chunk_addr){.blob = device - 1,
                               .chunk = high << 16 | low,
                               .uncompressed_offset = (uint64_t)block * V6_BLOCK_BYTES};
    return RAFS_OK;
}

void rafsi_v6_chunk_addr_put(const struct v6_chunk_addr *addr,
                             uint8_t out[V6_CHUNK_ADDR_BYTES])
{
    struct pen pen = pen_of(out, V6_CHUNK_ADDR_BYTES);
    bool blob = !addr->hole && !addr->own;

    put_u16(&pen, blob ? (uint16_t)addr->chunk : 0);
    put_u8(&pen, blob ? (uint8_t)(addr->blob + 1) : 0);
    put_u8(&pen, blob ? (uint8_t)(addr->chunk >> 16) : 0);
    put_u32(&pen, addr->hole ? V6_HOLE
                             : (uint32_t)(addr->uncompressed_offset / V6_BLOCK_BYTES));
}
