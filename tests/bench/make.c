/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/*
 * A v6 bootstrap of as many files as one likes, spread over directories below the root.
 * All have the same size and the same few chunks, which no blob has: it is for names and
 * attributes. The layout is that of the reference writer: extended inodes, a chunk array
 * behind each, names packed into blocks. Not a builder: fields that do not matter are 0.
 */

enum {
    BLOCK = 4096,
    NID = 32,
    INODE = 64,
    FILE_SLOT = 96, /* an inode, one chunk address, up to the next nid */
    PER_BLOCK = BLOCK / FILE_SLOT,
    CHUNKS = 16,
    BLOBS_AT = 4096,
    CHUNKS_AT = 8192,
    META_AT = 12288,
    DIRENT = 12,
    NAME = 8,
    ROOT_NID = 2
};

struct maker {
    FILE *out;
    uint64_t files, dirs;
    uint64_t files_at;  /* first block of files' inodes */
    uint64_t names_at;  /* first block of names */
    uint64_t dir_bytes; /* of one directory's names, in whole blocks */
    uint64_t root_bytes;
};

static void put(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void emit(struct maker *maker, uint64_t at, const void *bytes, size_t len)
{
    must_os(fseeko(maker->out, (off_t)at, SEEK_SET) == 0 &&
                fwrite(bytes, 1, len, maker->out) == len,
            "write");
}

static uint64_t files_of(const struct maker *maker, uint64_t dir)
{
    return maker->files / maker->dirs + (dir < maker->files % maker->dirs);
}

static uint64_t file_at(const struct maker *maker, uint64_t i)
{
    return maker->files_at + i / PER_BLOCK * BLOCK + i % PER_BLOCK * FILE_SLOT;
}

static uint64_t dir_at(uint64_t dir)
{
    return META_AT + ROOT_NID * NID + (dir + 1) * INODE;
}

static uint64_t nid(uint64_t at)
{
    return (at - META_AT) / NID;
}

/* Entries that fit in a block, of names with NAME bytes. */
enum { FIT = BLOCK / (DIRENT + NAME) };

static uint64_t names_bytes(uint64_t count)
{
    return (count + 2 + FIT - 1) / FIT * BLOCK;
}

static void put_inode(uint8_t *at, uint32_t mode, uint64_t size, uint32_t u, uint64_t i)
{
    bool file = (mode & 0170000) == 0100000;

    memset(at, 0, INODE);
    put(at, file ? 9 : 1, 2); /* extended; chunks or plain */
    put(at + 4, mode, 2);
    put(at + 8, size, 8);
    put(at + 16, u, 4);
    put(at + 20, i, 4);
    put(at + 24, 1000, 4);
    put(at + 28, 1000, 4);
    put(at + 32, 1750000000 + i, 8);
    put(at + 44, file ? 1 : 2, 4);
}

/* One entry of block `at` that has `count`; says where the next name begins. */
static size_t put_name(uint8_t *at, size_t i, size_t begin, const char *name,
                       uint64_t number, bool dir)
{
    put(at + i * DIRENT, number, 8);
    put(at + i * DIRENT + 8, begin, 2);
    put(at + i * DIRENT + 10, dir ? 2 : 1, 1);
    memcpy(at + begin, name, strlen(name));
    return begin + strlen(name);
}

/* Names of a directory: "." and "..", which sort first, and count more. */
static void emit_names(struct maker *maker, uint64_t at, uint64_t self, uint64_t parent,
                       uint64_t first, uint64_t count, bool dirs)
{
    uint64_t all = count + 2;

    for (uint64_t done = 0; done < all; at += BLOCK) {
        uint8_t block[BLOCK] = {0};
        size_t here = (size_t)(all - done < FIT ? all - done : FIT);
        size_t begin = here * DIRENT;

        for (size_t i = 0; i < here; i++, done++) {
            uint64_t number = first + done - 2;
            char name[NAME + 1];

            if (done < 2) {
                begin = put_name(block, i, begin, done ? ".." : ".", done ? parent : self,
                                 true);
                continue;
            }
            snprintf(name, sizeof(name), "%c%07u", dirs ? 'd' : 'f',
                     (unsigned)(number % 10000000));
            begin = put_name(block, i, begin, name,
                             nid(dirs ? dir_at(number) : file_at(maker, number)), dirs);
        }
        emit(maker, at, block, sizeof(block));
    }
}

static const char blob_id[] =
    "0000000000000000000000000000000000000000000000000000000000000001";

static void emit_tables(struct maker *maker, uint64_t end)
{
    uint8_t head[BLOCK] = {0};
    uint8_t blob[256] = {0};
    uint8_t chunks[CHUNKS * 80] = {0};

    put(head + 1024, 0xe0f5e1e2, 4);
    put(head + 1032, 0x40000000, 4);
    put(head + 1036, 12, 1);
    put(head + 1038, ROOT_NID, 2);
    put(head + 1040, maker->files + maker->dirs + 1, 8);
    put(head + 1060, end / BLOCK, 4);
    put(head + 1064, META_AT / BLOCK, 4);
    put(head + 1104, 0xc, 4);
    put(head + 1110, 1, 2);
    put(head + 1112, 11, 2);
    put(head + 1152, 0x15, 8); /* no compressor, BLAKE3, owners told */
    put(head + 1160, BLOBS_AT, 8);
    put(head + 1168, sizeof(blob), 4);
    put(head + 1172, 1 << 20, 4);
    put(head + 1176, CHUNKS_AT, 8);
    put(head + 1184, sizeof(chunks), 8);
    memcpy(head + 1408, blob_id, 64);
    put(head + 1472, CHUNKS, 4);
    emit(maker, 0, head, sizeof(head));
    memcpy(blob, blob_id, 64);
    put(blob + 68, 1 << 20, 4);
    put(blob + 72, CHUNKS, 4);
    put(blob + 84, 1, 4); /* chunks are aligned */
    put(blob + 88, CHUNKS * BLOCK, 8);
    put(blob + 96, CHUNKS * BLOCK, 8);
    put(blob + 120, CHUNKS * 16, 8);
    put(blob + 128, CHUNKS * 16, 8);
    emit(maker, BLOBS_AT, blob, sizeof(blob));
    for (uint32_t i = 0; i < CHUNKS; i++) {
        uint8_t *chunk = chunks + (size_t)i * 80;

        memset(chunk, (int)i + 1, 32);
        put(chunk + 40, BLOCK, 4);
        put(chunk + 44, BLOCK, 4);
        put(chunk + 48, (uint64_t)i * BLOCK, 8);
        put(chunk + 56, (uint64_t)i * BLOCK, 8);
        put(chunk + 72, i, 4);
    }
    emit(maker, CHUNKS_AT, chunks, sizeof(chunks));
}

static void emit_files(struct maker *maker)
{
    for (uint64_t i = 0; i < maker->files;) {
        uint8_t block[BLOCK] = {0};
        uint64_t at = file_at(maker, i);

        for (size_t j = 0; j < PER_BLOCK && i < maker->files; j++, i++) {
            uint8_t *slot = block + j * FILE_SLOT;

            put_inode(slot, 0100644, BLOCK, 0x20 | 8, i);
            put(slot + INODE, i % CHUNKS, 2);
            put(slot + INODE + 2, 1, 1);
            put(slot + INODE + 4, i % CHUNKS, 4);
        }
        emit(maker, at, block, sizeof(block));
    }
}

static void emit_dirs(struct maker *maker)
{
    uint64_t names_at = maker->names_at + maker->root_bytes;
    uint64_t first = 0;
    uint8_t inode[INODE];

    put_inode(inode, 0040755, maker->root_bytes, (uint32_t)(maker->names_at / BLOCK), 0);
    emit(maker, META_AT + ROOT_NID * NID, inode, sizeof(inode));
    emit_names(maker, maker->names_at, ROOT_NID, ROOT_NID, 0, maker->dirs, true);
    for (uint64_t dir = 0; dir < maker->dirs; dir++) {
        uint64_t count = files_of(maker, dir);

        put_inode(inode, 0040755, names_bytes(count), (uint32_t)(names_at / BLOCK), dir);
        emit(maker, dir_at(dir), inode, sizeof(inode));
        emit_names(maker, names_at, nid(dir_at(dir)), ROOT_NID, first, count, false);
        names_at += names_bytes(count);
        first += count;
    }
}

void bench_make(const char *path, uint64_t files, uint64_t dirs)
{
    struct maker maker = {.files = files, .dirs = dirs};
    uint64_t end;

    if (dirs == 0 || dirs > 1000000 || files > 10000000) {
        fputs("bench_read: 1 to 10^6 directories, up to 10^7 files\n", stderr);
        exit(2);
    }
    maker.out = fopen(path, "we");
    must_os(maker.out != NULL, path);
    maker.files_at = (dir_at(dirs) + BLOCK - 1) / BLOCK * BLOCK;
    maker.names_at = maker.files_at + (files / PER_BLOCK + 1) * BLOCK;
    maker.root_bytes = names_bytes(dirs);
    end = maker.names_at + maker.root_bytes;
    for (uint64_t dir = 0; dir < dirs; dir++)
        end += names_bytes(files_of(&maker, dir));
    emit_tables(&maker, end);
    emit_files(&maker);
    emit_dirs(&maker);
    must_os(fclose(maker.out) == 0, path);
}
