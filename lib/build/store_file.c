/* SPDX-License-Identifier: Apache-2.0 */
#include "build/store_file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rafs/image.h"

enum { BLOCK = 64 * 1024, TOGETHER = 64 /* chunks that are read at once */ };

void rafsi_store_name(const struct build_image *image, char name[STORE_NAME_BYTES])
{
    static const char *const compressors[] = {"-none", "-lz4", "-gzip", "-zstd"};
    const char *compressor = "";

    if (image->version == 5) /* which has one for all of its blobs */
        compressor = compressors[image->compressor % 4];
    snprintf(name, STORE_NAME_BYTES, "v%u-%s-%u%s.chunks", image->version,
             image->digest_algorithm == RAFSI_SHA256 ? "sha256" : "blake3",
             image->chunk_size, compressor);
}

void rafsi_store_put_chunk(const struct chunk_record *chunk,
                           uint8_t out[STORE_CHUNK_BYTES])
{
    struct pen pen = pen_of(out, STORE_CHUNK_BYTES);

    put_bytes(&pen, chunk->digest, sizeof(chunk->digest));
    put_u64(&pen, chunk->compressed_offset);
    put_u64(&pen, chunk->uncompressed_offset);
    put_u32(&pen, chunk->compressed_size);
    put_u32(&pen, chunk->uncompressed_size);
    put_u32(&pen, chunk->blob);
    put_u32(&pen, chunk->index);
    put_u32(&pen, chunk->flags);
    put_u32(&pen, chunk->crc32);
}

static void take_chunk(struct cursor *c, struct chunk_record *out)
{
    *out = (struct chunk_record){0};
    take_copy(c, out->digest, sizeof(out->digest));
    out->compressed_offset = take_u64(c);
    out->uncompressed_offset = take_u64(c);
    out->compressed_size = take_u32(c);
    out->uncompressed_size = take_u32(c);
    out->blob = take_u32(c);
    out->index = take_u32(c);
    out->flags = take_u32(c);
    out->crc32 = take_u32(c);
}

/* Blob: id[64], u64 file size, then the fields of struct blob_record in its order: u32
 * features … chunk count, u64 compressed … prefetch size, u32 TOC size, u32 CI
 * compressor, u64 CI offset … uncompressed size, TOC digest[32], meta digest[32], u64
 * meta size, u32 cipher; zeros. */
void rafsi_store_put_blob(const struct store_blob *blob, uint8_t out[STORE_BLOB_BYTES])
{
    const struct blob_record *record = &blob->record;
    struct pen pen = pen_of(out, STORE_BLOB_BYTES);

    memset(out, 0, STORE_BLOB_BYTES);
    put_bytes(&pen, record->id, RAFS_BLOB_ID_MAX);
    put_u64(&pen, blob->file_size);
    put_u32(&pen, record->features);
    put_u32(&pen, record->compressor);
    put_u32(&pen, record->digest_algorithm);
    put_u32(&pen, record->chunk_size);
    put_u32(&pen, record->chunk_count);
    put_u64(&pen, record->compressed_size);
    put_u64(&pen, record->uncompressed_size);
    put_u64(&pen, record->prefetch_size);
    put_u32(&pen, record->toc_size);
    put_u32(&pen, record->ci_compressor);
    put_u64(&pen, record->ci_offset);
    put_u64(&pen, record->ci_compressed_size);
    put_u64(&pen, record->ci_uncompressed_size);
    put_bytes(&pen, record->toc_digest, sizeof(record->toc_digest));
    put_bytes(&pen, record->meta_digest, sizeof(record->meta_digest));
    put_u64(&pen, record->meta_size);
    put_u32(&pen, record->cipher);
}

static int take_blob(struct span bytes, struct store_blob *out, rafs_error *err)
{
    struct cursor c = cursor_of(bytes);
    struct blob_record *record = &out->record;

    *out = (struct store_blob){0};
    take_copy(&c, record->id, RAFS_BLOB_ID_MAX);
    out->file_size = take_u64(&c);
    record->features = take_u32(&c);
    record->compressor = take_u32(&c);
    record->digest_algorithm = take_u32(&c);
    record->chunk_size = take_u32(&c);
    record->chunk_count = take_u32(&c);
    record->compressed_size = take_u64(&c);
    record->uncompressed_size = take_u64(&c);
    record->prefetch_size = take_u64(&c);
    record->toc_size = take_u32(&c);
    record->ci_compressor = take_u32(&c);
    record->ci_offset = take_u64(&c);
    record->ci_compressed_size = take_u64(&c);
    record->ci_uncompressed_size = take_u64(&c);
    take_copy(&c, record->toc_digest, sizeof(record->toc_digest));
    take_copy(&c, record->meta_digest, sizeof(record->meta_digest));
    record->meta_size = take_u64(&c);
    record->cipher = take_u32(&c);
    return rafsi_check_blob_id((const uint8_t *)record->id, strlen(record->id),
                               bytes.origin, err);
}

static int read_exactly(int fd, uint64_t offset, void *buf, size_t len, rafs_error *err)
{
    size_t got = 0;
    int rc = rafsi_file_read(fd, offset, buf, len, &got, err);

    if (rc == RAFS_OK && got < len)
        rc = rafsi_corrupt(err, offset + got, "the file ends early");
    return rc;
}

/* All but the digest at the end, block by block. */
static int check_digest(const struct build_image *image, int fd, uint64_t size,
                        const rafs_call *call, rafs_error *err)
{
    uint8_t *block = rafsi_alloc(&image->env, BLOCK);
    uint8_t expected[RAFSI_DIGEST_BYTES], seen[RAFSI_DIGEST_BYTES];
    uint64_t end = size - sizeof(expected);
    struct rafsi_hash hash;
    int rc;

    if (!block)
        return rafsi_fail_nomem(err, BLOCK);
    rc = rafsi_hash_begin(image->hashes, RAFSI_BLAKE3, &hash, err);
    for (uint64_t at = 0; rc == RAFS_OK && at < end; at += BLOCK) {
        size_t len = (size_t)rafsi_min(BLOCK, end - at);

        rc = rafsi_call_check(&image->env, call, RAFS_STAGE_METADATA, err);
        if (rc == RAFS_OK)
            rc = read_exactly(fd, at, block, len, err);
        if (rc == RAFS_OK)
            rc = rafsi_hash_add(&hash, block, len, err);
    }
    if (rc == RAFS_OK)
        rc = rafsi_hash_end(&hash, seen, err);
    rafsi_hash_drop(&hash);
    if (rc == RAFS_OK)
        rc = read_exactly(fd, end, expected, sizeof(expected), err);
    if (rc == RAFS_OK && memcmp(seen, expected, sizeof(seen)) != 0)
        rc = rafsi_corrupt(err, end, "the digest of the file is wrong");
    rafsi_free(&image->env, block);
    return rc;
}

static int take_footer(const struct build_image *image, struct store_file *file,
                       uint64_t size, rafs_error *err)
{
    uint8_t bytes[STORE_FOOTER_BYTES];
    struct cursor c = cursor_of((struct span){bytes, sizeof(bytes), 0});
    uint64_t at = size - sizeof(bytes);
    uint32_t version, algorithm, chunk_size;
    int rc = read_exactly(file->fd, at, bytes, sizeof(bytes), err);

    if (rc < 0)
        return rc;
    if (take_u32(&c) != STORE_LAYOUT)
        return rafsi_corrupt(err, at, "written by another version of the library");
    version = take_u32(&c);
    algorithm = take_u32(&c);
    chunk_size = take_u32(&c);
    file->blob_count = take_u32(&c);
    file->chunks = take_u32(&c);
    if (version != image->version || algorithm != image->digest_algorithm ||
        chunk_size != image->chunk_size)
        return rafsi_corrupt(err, at, "of another kind of images than its name says");
    if (STORE_HEAD_BYTES + (uint64_t)file->chunks * STORE_CHUNK_BYTES +
            (uint64_t)file->blob_count * STORE_BLOB_BYTES + STORE_FAN * 4 +
            STORE_FOOTER_BYTES !=
        size)
        return rafsi_corrupt(err, at, "its size and what it holds do not agree");
    return RAFS_OK;
}

static int take_blobs(struct store_file *file, rafs_error *err)
{
    uint64_t at = STORE_HEAD_BYTES + (uint64_t)file->chunks * STORE_CHUNK_BYTES;
    size_t bytes = (file->blob_count + 1) * sizeof(*file->blobs);
    int rc = RAFS_OK;

    file->blobs = rafsi_alloc(file->env, bytes);
    if (!file->blobs)
        return rafsi_fail_nomem(err, bytes);
    for (uint32_t i = 0; rc == RAFS_OK && i < file->blob_count; i++) {
        uint8_t blob[STORE_BLOB_BYTES];

        rc = read_exactly(file->fd, at, blob, sizeof(blob), err);
        if (rc == RAFS_OK)
            rc = take_blob((struct span){blob, sizeof(blob), at}, &file->blobs[i], err);
        at += STORE_BLOB_BYTES;
    }
    return rc;
}

static int take_fan(struct store_file *file, uint64_t size, rafs_error *err)
{
    size_t bytes = STORE_FAN * sizeof(uint32_t);
    uint64_t at = size - STORE_FOOTER_BYTES - bytes;
    uint32_t before = 0;
    struct cursor c;
    int rc;

    file->fan = rafsi_alloc(file->env, bytes);
    if (!file->fan)
        return rafsi_fail_nomem(err, bytes);
    rc = read_exactly(file->fd, at, file->fan, bytes, err);
    if (rc < 0)
        return rc;
    c = cursor_of((struct span){(const uint8_t *)file->fan, bytes, at});
    for (uint32_t i = 0; i < STORE_FAN; i++) {
        uint32_t count = take_u32(&c); /* from the same bytes that it replaces */

        if (count < before || count > file->chunks)
            return rafsi_corrupt(err, at + 4 * i,
                                 "counts of chunks contradict each other");
        file->fan[i] = before = count;
    }
    return before == file->chunks
               ? RAFS_OK
               : rafsi_corrupt(err, at, "counts of chunks do not add up");
}

static int take_file(const struct build_image *image, struct store_file *file,
                     const rafs_call *call, rafs_error *err)
{
    uint8_t magic[STORE_HEAD_BYTES];
    uint64_t size = 0;
    int rc = rafsi_file_size(file->fd, &size, err);

    if (rc < 0)
        return rc;
    if (size < STORE_HEAD_BYTES + STORE_FAN * 4 + STORE_FOOTER_BYTES)
        return rafsi_corrupt(err, size, "the file ends early");
    rc = read_exactly(file->fd, 0, magic, sizeof(magic), err);
    if (rc == RAFS_OK && memcmp(magic, STORE_MAGIC, sizeof(magic)) != 0)
        rc = rafsi_corrupt(err, 0, "is no index of chunks");
    if (rc == RAFS_OK)
        rc = check_digest(image, file->fd, size, call, err);
    if (rc == RAFS_OK)
        rc = take_footer(image, file, size, err);
    if (rc == RAFS_OK)
        rc = take_blobs(file, err);
    if (rc == RAFS_OK)
        rc = take_fan(file, size, err);
    return rc;
}

int rafsi_store_open(const struct build_image *image, int dir, struct store_file *out,
                     const rafs_call *call, rafs_error *err)
{
    struct store_file file = {.env = &image->env, .fd = -1};
    char name[STORE_NAME_BYTES];
    int rc;

    rafsi_store_name(image, name);
    rc = rafsi_file_open(dir, name, &file.fd, err);
    if (rc == RAFS_OK)
        rc = take_file(image, &file, call, err);
    if (rc < 0) {
        rafsi_store_close(&file);
        return rafsi_fail_object(err, rc, "%s", name);
    }
    *out = file;
    return RAFS_OK;
}

void rafsi_store_close(struct store_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->env) {
        rafsi_free(file->env, file->fan);
        rafsi_free(file->env, file->blobs);
    }
    *file = (struct store_file){.env = file->env, .fd = -1};
}

static int check_chunk(const struct store_file *file, const struct chunk_record *chunk,
                       uint64_t at, rafs_error *err)
{
    const struct blob_record *blob;

    if (chunk->blob >= file->blob_count)
        return rafsi_corrupt(err, at, "chunk in blob %u of %u", chunk->blob,
                             file->blob_count);
    blob = &file->blobs[chunk->blob].record;
    if (chunk->index >= blob->chunk_count || chunk->uncompressed_size == 0 ||
        chunk->uncompressed_size > blob->chunk_size ||
        !rafsi_within(chunk->uncompressed_offset, chunk->uncompressed_size,
                      blob->uncompressed_size) ||
        !rafsi_within(chunk->compressed_offset, chunk->compressed_size,
                      file->blobs[chunk->blob].file_size))
        return rafsi_corrupt(err, at, "chunk lies beyond its blob");
    return RAFS_OK;
}

int rafsi_store_chunks(const struct store_file *file, uint32_t first, uint32_t count,
                       struct chunk_record *out, rafs_error *err)
{
    uint8_t bytes[TOGETHER * STORE_CHUNK_BYTES];
    int rc = RAFS_OK;

    while (rc == RAFS_OK && count > 0) {
        uint32_t some = count < TOGETHER ? count : TOGETHER;
        size_t len = (size_t)some * STORE_CHUNK_BYTES;
        uint64_t at = STORE_HEAD_BYTES + (uint64_t)first * STORE_CHUNK_BYTES;
        struct cursor c = cursor_of((struct span){bytes, len, at});

        rc = read_exactly(file->fd, at, bytes, len, err);
        for (uint32_t i = 0; rc == RAFS_OK && i < some; i++) {
            take_chunk(&c, out);
            rc = check_chunk(file, out++, cursor_offset(&c) - STORE_CHUNK_BYTES, err);
        }
        first += some;
        count -= some;
    }
    return rc;
}

int rafsi_store_find(const struct store_file *file, const uint8_t digest[32],
                     struct chunk_record *record, bool *found, rafs_error *err)
{
    uint32_t bucket = (uint32_t)digest[0] << 8 | digest[1];
    uint32_t low = bucket ? file->fan[bucket - 1] : 0, high = file->fan[bucket];

    *found = false;
    while (low < high) {
        struct chunk_record some[TOGETHER];
        uint32_t middle = low + (high - low) / 2, count = 1;
        int rc;

        if (high - low <= TOGETHER) { /* the rest in one go */
            middle = low;
            count = high - low;
        }
        rc = rafsi_store_chunks(file, middle, count, some, err);
        if (rc < 0)
            return rc;
        for (uint32_t i = 0; i < count; i++) {
            int order = memcmp(some[i].digest, digest, sizeof(some[i].digest));

            if (order == 0) {
                *record = some[i];
                *found = true;
                return RAFS_OK;
            }
            if (count > 1 && order > 0)
                return RAFS_OK;
            if (order < 0)
                low = middle + i + 1;
            else
                high = middle;
        }
    }
    return RAFS_OK;
}
