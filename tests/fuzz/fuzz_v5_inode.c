/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structures of a v5 bootstrap, each from its own bytes: which, a u32 parameter, bytes.
 */
#include "format/format.h"
#include "fuzz.h"

static const struct v5_super any_super = {.chunk_size = 0x100000,
                                          .flags = SB_EXPLICIT_UID_GID | SB_HAS_XATTR,
                                          .inodes = 1 << 20};

static void super(struct span bytes, uint32_t parameter)
{
    struct v5_super out;

    if (rafsi_v5_super(bytes, parameter, &out, NULL) != RAFS_OK)
        return;
    MUST(out.inode_table + (uint64_t)out.inode_table_entries * 4 <= parameter);
    /* An empty table may claim to lie anywhere. */
    MUST(out.blob_table_bytes == 0 || out.blob_table + out.blob_table_bytes <= parameter);
    if (rafsi_v5_super_extended(&out, parameter, parameter / 2, NULL) == RAFS_OK)
        MUST(out.extended_entries == 0 ||
             out.extended_table +
                     (uint64_t)out.extended_entries * out.extended_entry_bytes <=
                 parameter);
}

static void inode(struct span bytes, uint32_t parameter)
{
    struct v5_inode out;
    uint64_t at = parameter & 0xffff8;
    uint64_t file_size = 0x200000;

    if (rafsi_v5_inode(bytes, &any_super, &out, NULL) != RAFS_OK)
        return;
    if (rafsi_v5_inode_layout(&out, at, parameter >> 20, file_size, NULL) != RAFS_OK)
        return;
    MUST(out.end <= file_size && out.end >= at + V5_INODE_BYTES);
    MUST(out.target_at <= out.end && out.chunks_at <= out.end);
    MUST(out.xattr_bytes == 0 || out.xattr_at + out.xattr_bytes <= out.end);
}

static void blobs(struct span bytes)
{
    size_t pos = 0;

    while (pos < bytes.len) {
        struct blob_record out;
        size_t used = 0;
        struct span rest = {bytes.at + pos, bytes.len - pos, bytes.origin + pos};

        if (rafsi_v5_blob(rest, &out, &used, NULL) != RAFS_OK)
            return;
        MUST(used > 0 && used <= rest.len);
        MUST(out.id[0] != '\0' && strlen(out.id) <= RAFS_BLOB_ID_MAX);
        pos += used;
    }
}

static void xattrs(struct span bytes)
{
    size_t pos = 0;

    while (pos < bytes.len) {
        struct v5_xattr out;
        size_t rest = bytes.len - pos;
        struct span head = {bytes.at + pos,
                            rest < V5_XATTR_HEAD_BYTES ? rest : V5_XATTR_HEAD_BYTES,
                            bytes.origin + pos};

        if (rafsi_v5_xattr(head, rest, &out, NULL) != RAFS_OK)
            return;
        MUST(out.pair_len > 0 && out.pair_len <= rest);
        MUST(out.value_pos + (uint64_t)out.value_len <= out.pair_len);
        pos += out.pair_len;
    }
}

static void chunk(struct span bytes)
{
    struct chunk_record out;

    if (rafsi_chunk_record(bytes, 0x100000, &out, NULL) != RAFS_OK)
        return;
    MUST(out.uncompressed_size <= RAFS_CHUNK_SIZE_MAX);
    MUST(out.compressed_offset + out.compressed_size >= out.compressed_offset);
    MUST(out.uncompressed_offset + out.uncompressed_size >= out.uncompressed_offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    unsigned which = (unsigned)input_number(&in, 1) % 6;
    uint32_t parameter = (uint32_t)input_number(&in, 4);
    struct span bytes = input_copy(&in, 8192, 4096);
    struct blob_record record = {0};

    if (which == 0)
        super(bytes, parameter);
    else if (which == 1)
        inode(bytes, parameter);
    else if (which == 2)
        blobs(bytes);
    else if (which == 3)
        (void)rafsi_v5_extended_blob(bytes, &record, NULL);
    else if (which == 4)
        xattrs(bytes);
    else
        chunk(bytes);
    input_free(bytes);
    return 0;
}
