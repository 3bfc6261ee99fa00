/* SPDX-License-Identifier: Apache-2.0 */
#include "format/format.h"

#define V5_MAGIC 0x52414653u
#define V5_VERSION 0x500u

/* A table of the super block, as far as it is the same for all of them. */
struct table {
    const char *name;
    uint64_t at;
    uint64_t bytes;
    uint64_t field; /* where the super block says so, for errors */
};

static int check_table(const struct table *table, uint64_t file_size, rafs_error *err)
{
    if (table->bytes == 0)
        return RAFS_OK;
    if (table->at % 8 != 0)
        return rafsi_corrupt(err, table->field, "%s table at %llu is not aligned",
                             table->name, (unsigned long long)table->at);
    if (table->at < V5_SUPER_BYTES || !rafsi_within(table->at, table->bytes, file_size))
        return rafsi_corrupt(
            err, table->field, "%s table (%llu bytes at %llu) leaves the file of %llu",
            table->name, (unsigned long long)table->bytes, (unsigned long long)table->at,
            (unsigned long long)file_size);
    return RAFS_OK;
}

static int check_overlap(const struct table *a, const struct table *b, rafs_error *err)
{
    if (a->bytes == 0 || b->bytes == 0)
        return RAFS_OK;
    if (a->at < b->at + b->bytes && b->at < a->at + a->bytes)
        return rafsi_corrupt(err, b->field, "%s table overlaps the %s table", b->name,
                             a->name);
    return RAFS_OK;
}

enum { TABLES = 4, EXTENDED = 3 };

static void tables_of(const struct v5_super *super, uint32_t extended_bytes,
                      struct table tables[TABLES])
{
    tables[0] = (struct table){"inode", super->inode_table,
                               (uint64_t)super->inode_table_entries * 4, 32};
    tables[1] = (struct table){"prefetch", super->prefetch_table,
                               (uint64_t)super->prefetch_entries * 4, 40};
    tables[2] = (struct table){"blob", super->blob_table, super->blob_table_bytes, 48};
    tables[EXTENDED] =
        (struct table){"extended blob", super->extended_table,
                       (uint64_t)super->extended_entries * extended_bytes, 72};
}

static int check_tables(const struct v5_super *super, uint32_t extended_bytes,
                        uint64_t file_size, rafs_error *err)
{
    struct table tables[TABLES];
    int rc = RAFS_OK;

    tables_of(super, extended_bytes, tables);
    for (size_t i = 0; rc == RAFS_OK && i < TABLES; i++)
        rc = check_table(&tables[i], file_size, err);
    /* Now that each lies in the file, no sum overflows. */
    for (size_t i = 0; i < TABLES; i++)
        for (size_t k = 0; rc == RAFS_OK && k < i; k++)
            rc = check_overlap(&tables[k], &tables[i], err);
    return rc;
}

static int check_super(struct v5_super *super, uint64_t origin, uint64_t file_size,
                       rafs_error *err)
{
    int rc;

    if (!rafsi_is_power_of_two(super->chunk_size) ||
        super->chunk_size < RAFS_CHUNK_SIZE_MIN ||
        super->chunk_size > RAFS_CHUNK_SIZE_MAX)
        return rafsi_corrupt(err, origin + 12, "chunk size 0x%x", super->chunk_size);
    if (super->flags & (SB_TARFS | SB_ENCRYPTION_AES_128_XTS))
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL,
                             origin + 16, "%s in a v5 image",
                             super->flags & SB_TARFS ? "tarfs" : "encryption");
    rc = rafsi_super_flags(super->flags, false, origin + 16, &super->compressor,
                           &super->digest_algorithm, err);
    if (rc < 0)
        return rc;
    if (super->inode_table_entries == 0)
        return rafsi_corrupt(err, origin + 56, "inode table is empty: no root");
    if (super->inodes > super->inode_table_entries)
        return rafsi_corrupt(err, origin + 24, "%llu inodes in a table of %u",
                             (unsigned long long)super->inodes,
                             super->inode_table_entries);
    if (super->blob_table_bytes > RAFS_BLOBS_MAX * (uint64_t)V5_BLOB_HEAD_BYTES)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL,
                             origin + 64, "blob table of %u bytes",
                             super->blob_table_bytes);
    return check_tables(super, V5_EXTENDED_OLD_BYTES, file_size, err);
}

/*
 * The super block: 0 magic; 4 version; 8 size of the super block; 12 chunk size; 16 flags
 * (8); 24 number of inodes (8), hard links once; 32 inode table (8); 40 prefetch table
 * (8); 48 blob table (8); 56 entries of the inode table; 60 of the prefetch table; 64
 * bytes of the blob table; 68 entries of the extended blob table; 72 extended blob table
 * (8); 80 zeros up to 8192. Four bytes where not said; tables by their position in the
 * file, which means nothing if they are empty. Source: RafsV5SuperBlock of the reference
 * writer.
 */
int rafsi_v5_super(struct span head, uint64_t file_size, struct v5_super *out,
                   rafs_error *err)
{
    struct cursor c = cursor_of(head);
    uint32_t magic = take_u32(&c);
    uint32_t version = take_u32(&c);
    uint32_t super_bytes = take_u32(&c);
    struct v5_super super = {.chunk_size = take_u32(&c)};
    int rc;

    super.flags = take_u64(&c);
    super.inodes = take_u64(&c);
    super.inode_table = take_u64(&c);
    super.prefetch_table = take_u64(&c);
    super.blob_table = take_u64(&c);
    super.inode_table_entries = take_u32(&c);
    super.prefetch_entries = take_u32(&c);
    super.blob_table_bytes = take_u32(&c);
    super.extended_entries = take_u32(&c);
    super.extended_table = take_u64(&c);
    if (c.overrun)
        return rafsi_corrupt(err, cursor_offset(&c), "super block is cut short");
    if (magic != V5_MAGIC)
        return rafsi_corrupt(err, head.origin, "no v5 super block: magic 0x%x", magic);
    if (version != V5_VERSION)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL,
                             head.origin + 4, "version 0x%x; 0x500 is known", version);
    if (super_bytes != V5_SUPER_BYTES)
        return rafsi_corrupt(err, head.origin + 8, "super block of %u bytes",
                             super_bytes);
    if (file_size <= V5_SUPER_BYTES || file_size > V5_FILE_MAX || file_size % 8 != 0)
        return rafsi_corrupt(
            err, file_size,
            "length %llu: a v5 bootstrap has more than %u bytes, at most "
            "%u, and a multiple of 8",
            (unsigned long long)file_size, V5_SUPER_BYTES, V5_FILE_MAX);
    rc = check_super(&super, head.origin, file_size, err);
    if (rc == RAFS_OK)
        *out = super;
    return rc;
}

void rafsi_v5_super_put(const struct v5_super *super, uint8_t out[V5_SUPER_USED])
{
    struct pen pen = pen_of(out, V5_SUPER_USED);

    put_u32(&pen, V5_MAGIC);
    put_u32(&pen, V5_VERSION);
    put_u32(&pen, V5_SUPER_BYTES);
    put_u32(&pen, super->chunk_size);
    put_u64(&pen, super->flags);
    put_u64(&pen, super->inodes);
    put_u64(&pen, super->inode_table);
    put_u64(&pen, super->prefetch_table);
    put_u64(&pen, super->blob_table);
    put_u32(&pen, super->inode_table_entries);
    put_u32(&pen, super->prefetch_entries);
    put_u32(&pen, super->blob_table_bytes);
    put_u32(&pen, super->extended_entries);
    put_u64(&pen, super->extended_table);
}

int rafsi_v5_super_extended(struct v5_super *super, uint64_t file_size,
                            uint64_t first_record, rafs_error *err)
{
    uint64_t room = file_size - super->extended_table;
    struct table tables[TABLES];

    super->extended_entry_bytes = 0;
    if (super->extended_entries == 0)
        return RAFS_OK;
    tables_of(super, V5_EXTENDED_BYTES, tables);
    for (size_t i = 0; i < EXTENDED; i++)
        if (tables[i].bytes != 0 && tables[i].at >= super->extended_table)
            room = rafsi_min(room, tables[i].at - super->extended_table);
    if (first_record >= super->extended_table)
        room = rafsi_min(room, first_record - super->extended_table);
    if (room / V5_EXTENDED_BYTES >= super->extended_entries)
        super->extended_entry_bytes = V5_EXTENDED_BYTES;
    else if (room / V5_EXTENDED_OLD_BYTES >= super->extended_entries)
        super->extended_entry_bytes = V5_EXTENDED_OLD_BYTES;
    else
        return rafsi_corrupt(err, 72, "extended blob table runs into what follows it");
    return RAFS_OK;
}
