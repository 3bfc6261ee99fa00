/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structures of a v6 bootstrap, each from its own bytes: which, a u32 parameter, bytes.
 */
#include <sys/stat.h>

#include "format/format.h"
#include "fuzz.h"

static void supers(struct span bytes, uint32_t parameter)
{
    struct span first = {bytes.at, rafsi_min(bytes.len, V6_SUPER_BYTES), V6_SUPER_AT};
    struct span second = {bytes.at + first.len, bytes.len - first.len, V6_EXT_SUPER_AT};
    struct v6_super super;
    struct v6_ext_super ext;

    if (rafsi_v6_super(first, parameter, &super, NULL) != RAFS_OK)
        return;
    MUST(super.meta_at <= parameter && super.devices <= V6_BLOBS_MAX);
    if (rafsi_v6_ext_super(second, &super, parameter, &ext, NULL) != RAFS_OK)
        return;
    /* An empty table may claim to lie anywhere. */
    MUST(super.devices == 0 ||
         ext.blobs_at + (uint64_t)super.devices * V6_BLOB_BYTES <= parameter);
    MUST(ext.chunk_count == 0 ||
         ext.chunks_at + ext.chunk_count * CHUNK_RECORD_BYTES <= parameter);
    MUST(ext.prefetch_count == 0 ||
         ext.prefetch_at + (uint64_t)ext.prefetch_count * 4 <= parameter);
}

static void inode(struct span bytes)
{
    struct v6_inode out;

    if (rafsi_v6_inode(bytes, 0x100000, &out, NULL) != RAFS_OK)
        return;
    MUST(out.bytes == V6_INODE_COMPACT_BYTES || out.bytes == V6_INODE_EXTENDED_BYTES);
    MUST(out.bytes <= bytes.len);
    MUST(!S_ISREG(out.mode) || out.layout == V6_LAYOUT_CHUNKS);
}

static void xattrs(struct span bytes)
{
    size_t pos = V6_XATTR_HEADER_BYTES;

    if (rafsi_v6_xattr_header((struct span){bytes.at, rafsi_min(bytes.len, pos), 0},
                              NULL) != RAFS_OK)
        return;
    while (pos < bytes.len) {
        struct v6_xattr out;
        size_t left = bytes.len - pos;
        struct span head = {bytes.at + pos, rafsi_min(left, V6_XATTR_HEAD_MAX), pos};

        if (rafsi_v6_xattr(head, left, &out, NULL) != RAFS_OK)
            return;
        MUST(out.bytes > 0 && out.bytes <= left);
        MUST(out.value_at + (uint64_t)out.value_len <= out.bytes);
        MUST(strlen(out.name) == out.name_len);
        pos += out.bytes;
    }
}

static void chunk_addr(struct span bytes, uint32_t parameter)
{
    struct v6_chunk_addr out;

    if (rafsi_v6_chunk_addr(bytes, parameter % 256, &out, NULL) == RAFS_OK && !out.hole)
        MUST(out.blob < parameter % 256 && out.chunk < RAFS_CHUNKS_PER_BLOB_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    unsigned which = (unsigned)input_number(&in, 1) % 6;
    uint32_t parameter = (uint32_t)input_number(&in, 4);
    struct span bytes = input_copy(&in, 8192, 4096);
    struct blob_record blob;
    struct v6_device device;

    if (which == 0)
        supers(bytes, parameter);
    else if (which == 1)
        inode(bytes);
    else if (which == 2)
        xattrs(bytes);
    else if (which == 3)
        chunk_addr(bytes, parameter);
    else if (which == 4 &&
             rafsi_v6_blob(bytes, parameter & 0xff, 0x100000, &blob, NULL) == RAFS_OK)
        MUST(blob.chunk_count <= RAFS_CHUNKS_PER_BLOB_MAX && blob.id[0] != '\0');
    else if (which == 5 && rafsi_v6_device(bytes, &device, NULL) == RAFS_OK)
        MUST(strlen(device.tag) <= RAFS_BLOB_ID_MAX);
    input_free(bytes);
    return 0;
}
