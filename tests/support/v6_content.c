/* SPDX-License-Identifier: Apache-2.0 */
#include "v6_content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rafs/digest.h"
#include "v6_maker.h"

enum {
    BLOBS_AT = 4096,
    CHUNKS_AT = 8192,
    RECORD = 80,
    ROOT_NID = 2,
    INODE = 64,
    DIRENT = 12,
    NAME = 8
};

static uint64_t whole_blocks(uint64_t bytes)
{
    return (bytes + MAKER_BLOCK - 1) / MAKER_BLOCK * MAKER_BLOCK;
}

static void put_inode(uint8_t *at, uint16_t mode, uint64_t size, uint32_t u, bool file)
{
    maker_u16(at, file ? 9 : 1); /* extended; chunks or plain */
    maker_u16(at + 4, mode);
    maker_u64(at + 8, size);
    maker_u32(at + 16, u);
    maker_u32(at + 44, file ? 1 : 2);
}

static void put_super(uint8_t *boot, const struct content *content, uint64_t end,
                      uint64_t meta)
{
    uint32_t count = content->files * content->chunks;
    uint64_t bytes = (uint64_t)count * content->chunk_size;
    uint8_t *blob = boot + BLOBS_AT;

    maker_u32(boot + 1024, 0xe0f5e1e2u);
    maker_u32(boot + 1032, 0x40000000);
    boot[1036] = 12;
    maker_u16(boot + 1038, ROOT_NID);
    maker_u64(boot + 1040, content->files + 1);
    maker_u32(boot + 1060, (uint32_t)(end / MAKER_BLOCK));
    maker_u32(boot + 1064, (uint32_t)(meta / MAKER_BLOCK));
    maker_u32(boot + 1104, 0xc);
    maker_u16(boot + 1110, 1);
    maker_u16(boot + 1112, 11);
    maker_u64(boot + 1152, 0x15); /* no compressor, BLAKE3, owners told */
    maker_u64(boot + 1160, BLOBS_AT);
    maker_u32(boot + 1168, 256);
    maker_u32(boot + 1172, content->chunk_size);
    maker_u64(boot + 1176, CHUNKS_AT);
    maker_u64(boot + 1184, (uint64_t)count * RECORD);
    memset(boot + 1408, '1', 64);
    maker_u32(boot + 1472, (uint32_t)(bytes / MAKER_BLOCK));
    memset(blob, '1', 64);
    maker_u32(blob + 68, content->chunk_size);
    maker_u32(blob + 72, count);
    maker_u32(blob + 84, 1); /* chunks are aligned */
    maker_u64(blob + 88, bytes);
    maker_u64(blob + 96, bytes);
    maker_u64(blob + 112, bytes);
    maker_u64(blob + 120, (uint64_t)count * 16);
    maker_u64(blob + 128, (uint64_t)count * 16);
}

static void put_chunks(uint8_t *table, const struct content *content)
{
    for (uint32_t i = 0; i < content->files * content->chunks; i++) {
        uint64_t at = (uint64_t)i * content->chunk_size;
        uint8_t *record = table + (size_t)i * RECORD;

        NEED(rafs_digest_bytes(RAFS_DIGEST_BLAKE3, content->blob.at + at,
                               content->chunk_size, record) == RAFS_OK);
        maker_u32(record + 40, content->chunk_size);
        maker_u32(record + 44, content->chunk_size);
        maker_u64(record + 48, at);
        maker_u64(record + 56, at);
        maker_u32(record + 72, i);
    }
}

static void put_files(uint8_t *at, const struct content *content, uint64_t room)
{
    uint32_t bits = 0;

    while (MAKER_BLOCK << bits < (int)content->chunk_size)
        bits++;
    for (uint32_t i = 0; i < content->files; i++) {
        uint8_t *inode = at + i * room;

        put_inode(inode, 0100644, (uint64_t)content->chunks * content->chunk_size,
                  0x20 | bits, true);
        for (uint32_t j = 0; j < content->chunks; j++) {
            uint32_t chunk = i * content->chunks + j;
            uint8_t *addr = inode + INODE + (size_t)j * 8;

            maker_u16(addr, (uint16_t)chunk);
            addr[2] = 1;
            addr[3] = (uint8_t)(chunk >> 16);
            maker_u32(addr + 4, chunk * (content->chunk_size / MAKER_BLOCK));
        }
    }
}

void content_make(struct content *out, uint32_t files, uint32_t chunks,
                  uint32_t chunk_size)
{
    uint64_t meta = CHUNKS_AT + whole_blocks((uint64_t)files * chunks * RECORD);
    uint64_t names_at = meta + MAKER_BLOCK;
    uint64_t files_at = names_at + MAKER_BLOCK;
    uint64_t room = whole_blocks(INODE + (uint64_t)chunks * 8);
    struct maker_name names[202] = {{".", ROOT_NID, 2}, {"..", ROOT_NID, 2}};
    char text[200][NAME + 4];
    uint32_t seed = 1;

    NEED(files <= 200);
    *out = (struct content){.files = files, .chunks = chunks, .chunk_size = chunk_size};
    out->boot.len = files_at + files * room;
    out->boot.at = calloc(1, out->boot.len);
    out->blob.len = (size_t)files * chunks * chunk_size;
    out->blob.at = malloc(out->blob.len);
    NEED(out->boot.at && out->blob.at);
    for (size_t i = 0; i < out->blob.len; i++) {
        seed = seed * 1664525 + 1013904223;
        out->blob.at[i] = (uint8_t)(seed >> 24);
    }
    for (uint32_t i = 0; i < files; i++) {
        snprintf(text[i], sizeof(text[i]), "f%07u", i % 10000000);
        names[i + 2] = (struct maker_name){text[i], (files_at + i * room - meta) / 32, 1};
    }
    put_super(out->boot.at, out, out->boot.len, meta);
    put_chunks(out->boot.at + CHUNKS_AT, out);
    put_inode(out->boot.at + meta + ROOT_NID * 32, 0040755, MAKER_BLOCK,
              (uint32_t)(names_at / MAKER_BLOCK), false);
    maker_dirents(out->boot.at + names_at, names, files + 2);
    put_files(out->boot.at + files_at, out, room);
}

void content_drop(struct content *content)
{
    free(content->boot.at);
    free(content->blob.at);
}
