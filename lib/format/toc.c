/* SPDX-License-Identifier: Apache-2.0 */
#include "format/format.h"
#include "rafs/image.h"

#define NAME_BYTES 100
#define TOC_NAME_BYTES 16
#define CHECKSUM_AT 148
#define CHECKSUM_BYTES 8
#define TYPE_AT 156
#define SIZE_AT 124
#define SIZE_BYTES 12
#define OCTAL_SIZE_MAX 077777777777ull

/* Compressors of a section: one bit each. */
enum { TOC_PLAIN = 1, TOC_ZSTD = 2, TOC_LZ4 = 4, TOC_COMPRESSORS = 0xf };

/* An octal number: digits, then only NULs and spaces. */
static bool octal(const uint8_t *field, size_t len, uint64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;

    for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(field[i] - '0');
    if (i == 0)
        return false;
    for (; i < len; i++)
        if (field[i] != '\0' && field[i] != ' ')
            return false;
    *out = value;
    return true;
}

/* The size of a section: octal or, from 8 GiB on, 0x80 and a number, its highest byte
 * first, as GNU tar has it. */
static bool section_size(const uint8_t *field, uint64_t *out)
{
    uint64_t value = 0;

    if (field[0] != 0x80)
        return octal(field, SIZE_BYTES, out);
    for (size_t i = 1; i < SIZE_BYTES; i++) {
        if (value >> 56 != 0)
            return false;
        value = value << 8 | field[i];
    }
    *out = value;
    return true;
}

/* The sum of all bytes, those of the checksum itself taken for spaces. */
static uint64_t tar_checksum(const uint8_t *header)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < TAR_HEADER_BYTES; i++)
        sum += i - CHECKSUM_AT < CHECKSUM_BYTES ? ' ' : header[i];
    return sum;
}

/*
 * Tar header behind its section, 512 bytes: 0 name: 100 | 124 size: 12 octal digits |
 * 148 checksum: 8 | 156 type, '0' | 257 "ustar". The section is not padded, and ends
 * where the header begins, so that the chain is walked from the end of the blob. Sizes
 * from 8 GiB on are binary.
 * Source: blob.md, 14.1.
 */
int rafsi_tar_section(struct span bytes, struct tar_section *out, rafs_error *err)
{
    struct cursor c = cursor_of(bytes);
    const uint8_t *header = take_bytes(&c, TAR_HEADER_BYTES);
    struct tar_section section = {{0}, 0, 0};
    uint64_t checksum;
    size_t len;

    if (!header)
        return rafsi_corrupt(err, bytes.origin, "blob ends within a tar header");
    if (memcmp(header + 257, "ustar", 5) != 0)
        return rafsi_corrupt(err, bytes.origin + 257, "no tar header here");
    if (!octal(header + CHECKSUM_AT, CHECKSUM_BYTES, &checksum) ||
        checksum != tar_checksum(header))
        return rafsi_corrupt(err, bytes.origin + CHECKSUM_AT,
                             "tar header with a wrong checksum");
    if (header[TYPE_AT] != '0' && header[TYPE_AT] != '\0')
        return rafsi_corrupt(err, bytes.origin + TYPE_AT,
                             "tar header of something that is no file");
    if (!section_size(header + SIZE_AT, &section.size) || section.size > bytes.origin)
        return rafsi_corrupt(err, bytes.origin + SIZE_AT,
                             "section is larger than what lies before its header");
    len = strnlen((const char *)header, NAME_BYTES);
    memcpy(section.name, header, len);
    section.at = bytes.origin - section.size;
    *out = section;
    return RAFS_OK;
}

int rafsi_toc_section(const struct tar_section *section, rafs_error *err)
{
    if (strcmp(section->name, SECTION_TOC) != 0)
        return rafsi_corrupt(err, section->at + section->size, "no TOC ends here");
    if (section->size == 0 || section->size % TOC_ENTRY_BYTES != 0 ||
        section->size > TOC_MAX - TAR_HEADER_BYTES)
        return rafsi_corrupt(err, section->at + section->size, "TOC of %llu bytes",
                             (unsigned long long)section->size);
    return RAFS_OK;
}

static int section_compressor(uint32_t flags, uint64_t at, uint32_t *out, rafs_error *err)
{
    switch (flags & TOC_COMPRESSORS) {
    case TOC_PLAIN:
        *out = RAFS_COMPRESSOR_NONE;
        return RAFS_OK;
    case TOC_ZSTD:
        *out = RAFS_COMPRESSOR_ZSTD;
        return RAFS_OK;
    case TOC_LZ4:
        *out = RAFS_COMPRESSOR_LZ4_BLOCK;
        return RAFS_OK;
    default:
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, at,
                             "section of an unknown compressor (0x%x)", flags);
    }
}

/*
 * TOC entry, 128 bytes: 0 u32 flags | 4 - | 8 name: 16, padded with NULs | 24 SHA-256 |
 * 56 u64 offset | 64 u64 stored size | 72 u64 uncompressed size | 80 reserved: 48, where
 * old writers left garbage.
 *
 * The offset of image.blob is 0 whatever the entry says: old writers stored the size
 * there. Its uncompressed size is the uncompressed blob's, though the section as a whole
 * is stored plain. Source: blob.md, 14.2.
 */
int rafsi_toc_entry(struct span toc, uint64_t i, uint64_t blob_size,
                    struct toc_entry *out, rafs_error *err)
{
    struct cursor c = cursor_at_entry(toc, i, TOC_ENTRY_BYTES);
    uint64_t origin = cursor_offset(&c);
    struct toc_entry entry = {0};
    uint32_t flags = take_u32(&c);
    bool data;
    int rc;

    take_skip(&c, 4);
    take_copy(&c, entry.name, TOC_NAME_BYTES);
    take_copy(&c, entry.digest, sizeof(entry.digest));
    entry.at = take_u64(&c);
    entry.stored_size = take_u64(&c);
    entry.uncompressed_size = take_u64(&c);
    take_skip(&c, 48);
    if (c.overrun)
        return rafsi_corrupt(err, origin, "TOC ends within an entry");
    rc = section_compressor(flags, origin, &entry.compressor, err);
    if (rc < 0)
        return rc;
    data = strcmp(entry.name, SECTION_BLOB) == 0;
    if (data)
        entry.at = 0;
    if (!rafsi_within(entry.at, entry.stored_size, blob_size))
        return rafsi_corrupt(err, origin + 56, "section lies beyond the blob");
    if (!data && entry.compressor == RAFS_COMPRESSOR_NONE &&
        entry.stored_size != entry.uncompressed_size)
        return rafsi_corrupt(err, origin + 64, "plain section of two sizes");
    *out = entry;
    return RAFS_OK;
}

/* The name of entry i, or "". */
static void peek_name(struct span toc, uint64_t i, char name[TOC_NAME_BYTES + 1])
{
    struct cursor c = cursor_at_entry(toc, i, TOC_ENTRY_BYTES);

    take_skip(&c, 8);
    take_copy(&c, name, TOC_NAME_BYTES);
    name[TOC_NAME_BYTES] = '\0';
}

/* Other entries are not decoded: a section that nobody asked for does no harm. */
int rafsi_toc_find(struct span toc, uint64_t blob_size, const char *name,
                   struct toc_entry *out, bool *found, rafs_error *err)
{
    uint64_t count = toc.len / TOC_ENTRY_BYTES;
    uint64_t match = count;
    char seen[TOC_NAME_BYTES + 1];

    if (toc.len == 0 || toc.len % TOC_ENTRY_BYTES != 0 || toc.len > TOC_MAX)
        return rafsi_corrupt(err, toc.origin, "TOC of %zu bytes", toc.len);
    for (uint64_t i = 0; i < count; i++) {
        peek_name(toc, i, seen);
        if (strcmp(seen, name) != 0)
            continue;
        if (match != count)
            return rafsi_corrupt(err, toc.origin + i * TOC_ENTRY_BYTES,
                                 "TOC with two sections of one name");
        match = i;
    }
    if (match != count) {
        int rc = rafsi_toc_entry(toc, match, blob_size, out, err);

        if (rc < 0)
            return rc;
    }
    *found = match != count;
    return RAFS_OK;
}

static void put_octal(uint8_t *field, size_t digits, uint64_t value)
{
    for (size_t i = digits; i > 0; i--, value >>= 3)
        field[i - 1] = (uint8_t)('0' + (value & 7));
}

static void put_size(uint8_t *field, uint64_t size)
{
    if (size <= OCTAL_SIZE_MAX) {
        put_octal(field, SIZE_BYTES - 1, size);
        return;
    }
    field[0] = 0x80;
    for (size_t i = SIZE_BYTES - 1; i > 0; i--, size >>= 8)
        field[i] = (uint8_t)size;
}

void rafsi_tar_section_put(const char *name, uint64_t size, uint8_t out[TAR_HEADER_BYTES])
{
    static const char magic[8] = {'u', 's', 't', 'a', 'r', ' ', ' ', '\0'};

    memset(out, 0, TAR_HEADER_BYTES);
    memcpy(out, name, strnlen(name, NAME_BYTES - 1));
    put_size(out + SIZE_AT, size);
    put_octal(out + 136, SIZE_BYTES - 1, 0); /* time */
    out[TYPE_AT] = '0';
    memcpy(out + 257, magic, sizeof(magic));
    /* Six digits, a NUL that is there, a space. */
    put_octal(out + CHECKSUM_AT, 6, tar_checksum(out));
    out[CHECKSUM_AT + 7] = ' ';
}

void rafsi_toc_entry_put(const struct toc_entry *entry, uint8_t out[TOC_ENTRY_BYTES])
{
    struct pen pen = pen_of(out, TOC_ENTRY_BYTES);
    size_t len = strnlen(entry->name, TOC_NAME_BYTES);

    put_u32(&pen, entry->compressor == RAFS_COMPRESSOR_ZSTD        ? TOC_ZSTD
                  : entry->compressor == RAFS_COMPRESSOR_LZ4_BLOCK ? TOC_LZ4
                                                                   : TOC_PLAIN);
    put_u32(&pen, 0);
    put_bytes(&pen, entry->name, len);
    put_zeros(&pen, TOC_NAME_BYTES - len);
    put_bytes(&pen, entry->digest, sizeof(entry->digest));
    put_u64(&pen, entry->at);
    put_u64(&pen, entry->stored_size);
    put_u64(&pen, entry->uncompressed_size);
    put_zeros(&pen, 48);
}
