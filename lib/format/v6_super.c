/* SPDX-License-Identifier: Apache-2.0 */
#include "format/format.h"

#include <string.h>

#define EROFS_MAGIC 0xe0f5e1e2u
#define COMPAT_RAFS_V6 0x40000000u
#define COMPAT_MTIME 0x2u
#define INCOMPAT_CHUNKED 0x4u
#define INCOMPAT_RAFS 0xcu /* chunked files, device table */
#define BLOCK_BITS 12
#define BLOCK_BITS_TARFS 9
#define DEVICE_SLOT (V6_DEVICES_AT / V6_DEVICE_BYTES)
#define NSEC_END 1000000000u
#define RESERVED_BYTES 38
#define UUID_BYTES 16
#define VOLUME_BYTES 16

/* The volume name of an image in which chunks were moved. */
static const uint8_t moved_name[VOLUME_BYTES] = "rafs moved";

static int unsupported(rafs_error *err, uint64_t at, const char *what)
{
    return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, at, "%s",
                         what);
}

/* What decides whether the rest is understood. */
struct super_kind {
    uint32_t magic;
    uint32_t compat;
    uint8_t block_bits;
    uint8_t slots;
    uint32_t incompat;
    uint16_t algorithms;
    uint16_t device_slot;
    const uint8_t *reserved;
};

static int check_kind(const struct super_kind *kind, uint64_t at, rafs_error *err)
{
    if (kind->magic != EROFS_MAGIC)
        return rafsi_corrupt(err, at, "no EROFS super block here");
    if ((kind->compat & COMPAT_RAFS_V6) == 0)
        return unsupported(err, at + 8, "a plain EROFS image, not RAFS v6");
    if (kind->block_bits == BLOCK_BITS_TARFS)
        return unsupported(err, at + 12,
                           "tarfs image: blobs are tar files, without digests");
    if (kind->block_bits != BLOCK_BITS)
        return rafsi_corrupt(err, at + 12, "block size is 2^%u, not 4096",
                             kind->block_bits);
    if (kind->slots != 0)
        return unsupported(err, at + 13, "super block with extension slots");
    if (kind->incompat != INCOMPAT_RAFS)
        return unsupported(err, at + 80, "EROFS features other than those of RAFS v6");
    if (kind->algorithms != 0)
        return unsupported(err, at + 84, "EROFS compression, which RAFS v6 does not use");
    if (kind->device_slot != DEVICE_SLOT)
        return rafsi_corrupt(err, at + 88, "device slots do not follow the super blocks");
    if (!rafsi_all_zero(kind->reserved, RESERVED_BYTES))
        return unsupported(err, at + 90, "super block fields of a newer EROFS");
    return RAFS_OK;
}

/*
 * EROFS super block, 128 bytes at 1024.
 *
 *   0 u32 magic          4 u32 checksum, 0       8 u32 compatible features
 *  12 u8  block bits    13 u8  extension slots  14 u16 root nid
 *  16 u64 inodes        24 u64 build seconds    32 u32 build nanoseconds
 *  36 u32 blocks        40 u32 metadata block   44 u32 shared xattr block, 0
 *  48 uuid: 16          64 volume name: 16      80 u32 incompatible features
 *  84 u16 algorithms, 0 86 u16 devices          88 u16 first device slot
 *  90 reserved: 38
 *
 * Source: erofs_super_block of Linux; bootstrap-v6.md, 2.
 */
int rafsi_v6_super(struct span bytes, uint64_t file_size, struct v6_super *out,
                   rafs_error *err)
{
    struct cursor c = cursor_of(bytes);
    struct super_kind kind;
    struct v6_super super;
    uint32_t checksum, shared_xattrs;
    const uint8_t *volume;
    int rc;

    kind.magic = take_u32(&c);
    checksum = take_u32(&c);
    kind.compat = take_u32(&c);
    kind.block_bits = take_u8(&c);
    kind.slots = take_u8(&c);
    super.root_nid = take_u16(&c);
    super.inodes = take_u64(&c);
    super.build_sec = (int64_t)take_u64(&c);
    super.build_nsec = take_u32(&c);
    super.blocks = take_u32(&c);
    super.meta_at = (uint64_t)take_u32(&c) * V6_BLOCK_BYTES;
    shared_xattrs = take_u32(&c);
    take_skip(&c, UUID_BYTES);
    volume = take_bytes(&c, VOLUME_BYTES);
    kind.incompat = take_u32(&c);
    kind.algorithms = take_u16(&c);
    super.devices = take_u16(&c);
    kind.device_slot = take_u16(&c);
    kind.reserved = take_bytes(&c, RESERVED_BYTES);
    if (c.overrun)
        return rafsi_corrupt(err, bytes.origin, "file ends within the super block");
    super.whole = false;
    super.compat = kind.compat;
    super.moved = memcmp(volume, moved_name, VOLUME_BYTES) == 0;
    rc = check_kind(&kind, bytes.origin, err);
    if (rc < 0)
        return rc;
    if (file_size < V6_BLOCK_BYTES || file_size % V6_BLOCK_BYTES != 0)
        return rafsi_corrupt(err, file_size, "bootstrap is not a number of whole blocks");
    if (checksum != 0)
        return unsupported(err, bytes.origin + 4, "super block with a checksum");
    if (super.root_nid == 0)
        return rafsi_corrupt(err, bytes.origin + 14, "root directory has inode number 0");
    if (super.inodes == 0)
        return rafsi_corrupt(err, bytes.origin + 16, "image claims to have no inodes");
    if (super.build_nsec >= NSEC_END)
        return rafsi_corrupt(err, bytes.origin + 32, "a second of %u nanoseconds",
                             super.build_nsec);
    if (super.devices == 0 && super.blocks != 0 && super.blocks != V6_BLOCK_BYTES)
        return rafsi_corrupt(err, bytes.origin + 36, "blocks without a device");
    if (super.meta_at > file_size)
        return rafsi_corrupt(err, bytes.origin + 40, "metadata begins beyond the file");
    if (shared_xattrs != 0)
        return unsupported(err, bytes.origin + 44, "shared extended attributes");
    if (super.devices > V6_BLOBS_MAX)
        return rafsi_corrupt(err, bytes.origin + 86, "%u devices; 255 can be addressed",
                             super.devices);
    if (!rafsi_within(V6_DEVICES_AT, (uint64_t)super.devices * V6_DEVICE_BYTES,
                      file_size))
        return rafsi_corrupt(err, bytes.origin + 86,
                             "device slots reach beyond the file");
    *out = super;
    return RAFS_OK;
}

void rafsi_v6_super_put(const struct v6_super *super, uint8_t out[V6_SUPER_BYTES])
{
    struct pen pen = pen_of(out, V6_SUPER_BYTES);

    put_u32(&pen, EROFS_MAGIC);
    put_u32(&pen, 0);
    put_u32(&pen, super->whole ? COMPAT_MTIME : COMPAT_RAFS_V6);
    put_u8(&pen, BLOCK_BITS);
    put_u8(&pen, 0);
    put_u16(&pen, (uint16_t)super->root_nid);
    put_u64(&pen, super->inodes);
    put_u64(&pen, (uint64_t)super->build_sec);
    put_u32(&pen, super->build_nsec);
    put_u32(&pen, super->blocks);
    put_u32(&pen, (uint32_t)(super->meta_at / V6_BLOCK_BYTES));
    put_u32(&pen, 0);
    put_zeros(&pen, UUID_BYTES);
    if (super->moved)
        put_bytes(&pen, moved_name, VOLUME_BYTES);
    else
        put_zeros(&pen, VOLUME_BYTES);
    put_u32(&pen, super->whole ? INCOMPAT_CHUNKED : INCOMPAT_RAFS);
    put_u16(&pen, 0);
    put_u16(&pen, (uint16_t)super->devices);
    put_u16(&pen, super->whole ? 0 : DEVICE_SLOT);
    put_zeros(&pen, RESERVED_BYTES);
}

/* A table of the extended super block. */
struct table {
    const char *name;
    uint64_t at;
    uint64_t bytes;
    uint64_t field; /* position of the field that says where the table is */
    uint32_t entry; /* bytes */
    uint32_t align;
};

static int check_table(const struct table *table, uint64_t first, uint64_t file_size,
                       rafs_error *err)
{
    if (table->bytes == 0)
        return RAFS_OK;
    if (table->bytes % table->entry != 0)
        return rafsi_corrupt(err, table->field + 8, "%s table of a broken size",
                             table->name);
    if (table->at % table->align != 0 || table->at < first)
        return rafsi_corrupt(err, table->field, "%s table where none can be",
                             table->name);
    if (!rafsi_within(table->at, table->bytes, file_size))
        return rafsi_corrupt(err, table->field, "%s table reaches beyond the file",
                             table->name);
    return RAFS_OK;
}

static int check_tables(const struct table *tables, size_t count, uint64_t first,
                        uint64_t file_size, rafs_error *err)
{
    for (size_t i = 0; i < count; i++) {
        int rc = check_table(&tables[i], first, file_size, err);

        if (rc < 0)
            return rc;
        for (size_t j = 0; j < i; j++)
            if (tables[i].bytes != 0 && tables[j].bytes != 0 &&
                tables[i].at < tables[j].at + tables[j].bytes &&
                tables[j].at < tables[i].at + tables[i].bytes)
                return rafsi_corrupt(err, tables[i].field,
                                     "%s table overlaps the %s table", tables[i].name,
                                     tables[j].name);
    }
    return RAFS_OK;
}

/*
 * Extended super block, 256 bytes at 1152.
 *
 *   0 u64 flags
 *   8 u64 blob table       16 u32 its bytes   20 u32 chunk size
 *  24 u64 chunk table      32 u64 its bytes
 *  40 u64 prefetch table   48 u32 its bytes   52 reserved: 204
 *
 * A prefetch table at 0 is none, whatever its size: old writers left a size there. The
 * reference ends device slots too early when it looks whether tables overlap them.
 * Source: bootstrap-v6.md, 3.
 */
int rafsi_v6_ext_super(struct span bytes, const struct v6_super *super,
                       uint64_t file_size, struct v6_ext_super *out, rafs_error *err)
{
    struct cursor c = cursor_of(bytes);
    uint64_t first = V6_DEVICES_AT + (uint64_t)super->devices * V6_DEVICE_BYTES;
    struct table tables[3] = {
        {.name = "blob", .entry = V6_BLOB_BYTES, .align = V6_BLOCK_BYTES},
        {.name = "chunk", .entry = CHUNK_RECORD_BYTES, .align = V6_BLOCK_BYTES},
        {.name = "prefetch", .entry = 4, .align = 8},
    };
    struct v6_ext_super ext = {0};
    int rc;

    ext.flags = take_u64(&c);
    tables[0].field = cursor_offset(&c);
    ext.blobs_at = tables[0].at = take_u64(&c);
    tables[0].bytes = take_u32(&c);
    ext.chunk_size = take_u32(&c);
    tables[1].field = cursor_offset(&c);
    ext.chunks_at = tables[1].at = take_u64(&c);
    tables[1].bytes = take_u64(&c);
    tables[2].field = cursor_offset(&c);
    ext.prefetch_at = tables[2].at = take_u64(&c);
    tables[2].bytes = take_u32(&c);
    take_skip(&c, V6_EXT_SUPER_BYTES - 52);
    if (c.overrun)
        return rafsi_corrupt(err, bytes.origin, "file ends within the super block");
    rc = rafsi_super_flags(ext.flags, true, bytes.origin, &ext.compressor,
                           &ext.digest_algorithm, err);
    if (rc < 0)
        return rc;
    if (ext.flags & SB_TARFS)
        return unsupported(err, bytes.origin,
                           "tarfs image: blobs are tar files, without digests");
    if (!rafsi_is_power_of_two(ext.chunk_size) || ext.chunk_size < RAFS_CHUNK_SIZE_MIN ||
        ext.chunk_size > RAFS_CHUNK_SIZE_MAX)
        return rafsi_corrupt(err, bytes.origin + 20, "chunk size of %u bytes",
                             ext.chunk_size);
    if (tables[2].at == 0)
        tables[2].bytes = 0;
    rc = check_tables(tables, 3, first, file_size, err);
    if (rc < 0)
        return rc;
    if (tables[0].bytes / V6_BLOB_BYTES != super->devices)
        return rafsi_corrupt(err, bytes.origin + 16,
                             "%u blobs in the table, but %u devices",
                             (unsigned)(tables[0].bytes / V6_BLOB_BYTES), super->devices);
    ext.chunk_count = tables[1].bytes / CHUNK_RECORD_BYTES;
    ext.prefetch_count = (uint32_t)(tables[2].bytes / 4);
    *out = ext;
    return RAFS_OK;
}

void rafsi_v6_ext_super_put(const struct v6_ext_super *ext, uint32_t blobs,
                            uint8_t out[V6_EXT_SUPER_BYTES])
{
    struct pen pen = pen_of(out, V6_EXT_SUPER_BYTES);

    put_u64(&pen, ext->flags);
    put_u64(&pen, ext->blobs_at);
    put_u32(&pen, blobs * V6_BLOB_BYTES);
    put_u32(&pen, ext->chunk_size);
    put_u64(&pen, ext->chunks_at);
    put_u64(&pen, ext->chunk_count * CHUNK_RECORD_BYTES);
    put_u64(&pen, ext->prefetch_at);
    put_u32(&pen, ext->prefetch_count * 4);
    put_zeros(&pen, V6_EXT_SUPER_BYTES - 52);
}
