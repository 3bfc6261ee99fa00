/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "build/emit_impl.h"

#define BUFFER_BYTES 65536
#define NAMES_PER_TICK 1024

static const uint8_t zeros[4096];

int rafsi_emit_fail(struct emit *emit, const struct build_node *node, int code,
                    const char *format, ...)
{
    char text[160], path[160];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    rafsi_node_path(node, path, sizeof(path));
    rafsi_fail(emit->err, code, RAFS_STAGE_NONE, NULL, "%s", text);
    return rafsi_fail_object(emit->err, code, "path %s", path);
}

int rafsi_emit_tick(struct emit *emit, uint64_t i)
{
    if (i % NAMES_PER_TICK != 0)
        return RAFS_OK;
    return rafsi_call_check(&emit->image->env, emit->call, RAFS_STAGE_NONE, emit->err);
}

static int flush(struct emit *emit)
{
    size_t len = emit->fill;

    emit->fill = 0;
    return len == 0 ? RAFS_OK
                    : emit->write(emit->user, emit->buffer, len, emit->call, emit->err);
}

int rafsi_emit_put(struct emit *emit, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;

    emit->at += len;
    while (len != 0) {
        size_t piece = (size_t)rafsi_min(len, BUFFER_BYTES - emit->fill);

        memcpy(emit->buffer + emit->fill, from, piece);
        emit->fill += piece;
        from += piece;
        len -= piece;
        if (emit->fill == BUFFER_BYTES) {
            int rc = flush(emit);

            if (rc < 0)
                return rc;
        }
    }
    return RAFS_OK;
}

int rafsi_emit_pad(struct emit *emit, uint64_t until)
{
    if (until < emit->at)
        return rafsi_fail(emit->err, RAFS_E_BUG, RAFS_STAGE_NONE, "bootstrap",
                          "byte %llu was placed behind byte %llu",
                          (unsigned long long)until, (unsigned long long)emit->at);
    while (emit->at < until) {
        size_t piece = (size_t)rafsi_min(until - emit->at, sizeof(zeros));
        int rc = rafsi_emit_put(emit, zeros, piece);

        if (rc < 0)
            return rc;
    }
    return RAFS_OK;
}

/* The next number for a blob that has none. */
static int number_blob(struct emit *emit, const struct build_node *node, uint32_t blob,
                       uint32_t blobs_max)
{
    if (blob >= emit->image->blobs.count)
        return rafsi_emit_fail(emit, node, RAFS_E_BUG, "chunk in blob %u of %u", blob,
                               emit->image->blobs.count);
    if (emit->number[blob] != NO_BLOB)
        return RAFS_OK;
    if (emit->blobs == blobs_max)
        return rafsi_emit_fail(emit, node, RAFS_E_LIMIT,
                               "the image needs more than %u blobs; merge fewer layers, "
                               "or build with one blob for all",
                               blobs_max);
    emit->blob[emit->blobs] = blob;
    emit->number[blob] = emit->blobs++;
    return RAFS_OK;
}

/* A file's chunks are there and as long as they have to be. */
static int look_at_file(struct emit *emit, const struct build_node *node,
                        uint32_t blobs_max)
{
    const struct build_image *image = emit->image;
    const struct build_inode *inode = node->inode;
    uint64_t left = inode->size;
    uint32_t count;

    if (!rafsi_chunks_of(inode->size, image->chunk_size, &count))
        return rafsi_emit_fail(emit, node, RAFS_E_LIMIT,
                               "file of %llu bytes: more than 2^32 chunks",
                               (unsigned long long)inode->size);
    for (uint32_t i = 0; i < count; i++) {
        const struct build_chunk *chunk;
        int rc;

        if (inode->chunks[i] == NO_CHUNK && image->version == 6) {
            left -= rafsi_min(left, image->chunk_size);
            continue;
        }
        if (inode->chunks[i] >= image->chunks.count)
            return rafsi_emit_fail(emit, node, RAFS_E_BUG, "chunk %u is missing", i);
        chunk = rafsi_chunks_at(&image->chunks, inode->chunks[i]);
        if (chunk->uncompressed_size != rafsi_min(left, image->chunk_size))
            return rafsi_emit_fail(emit, node, RAFS_E_BUG, "chunk %u has %u bytes", i,
                                   chunk->uncompressed_size);
        left -= chunk->uncompressed_size;
        rc = number_blob(emit, node, chunk->blob, blobs_max);
        if (rc < 0)
            return rc;
    }
    return RAFS_OK;
}

/* An image may be emitted twice: what was there is forgotten. */
static void forget(const struct build_image *image)
{
    for (struct build_node *node = image->root; node; node = rafsi_batched_next(node)) {
        node->inode->at = 0;
        node->inode->scratch = 0;
    }
}

static int look_at_names(struct emit *emit, uint32_t blobs_max)
{
    int rc = RAFS_OK;

    for (struct build_node *node = emit->image->root; node && rc == RAFS_OK;
         node = rafsi_batched_next(node)) {
        struct build_inode *inode = node->inode;

        rc = rafsi_emit_tick(emit, node->index);
        if (rc == RAFS_OK && node->name_len > RAFS_NAME_MAX)
            rc = rafsi_emit_fail(emit, node, RAFS_E_LIMIT, "a name of %u bytes",
                                 node->name_len);
        if (rc < 0 || inode->scratch != 0)
            continue;
        inode->scratch = node->index;
        if (S_ISREG(inode->mode))
            rc = look_at_file(emit, node, blobs_max);
    }
    return rc;
}

int rafsi_emit_begin(struct emit *emit, uint32_t blobs_max)
{
    const struct rafsi_env *env = &emit->image->env;
    uint32_t count = emit->image->blobs.count;
    size_t size = (count ? count : 1) * sizeof(*emit->number);

    emit->buffer = rafsi_alloc(env, BUFFER_BYTES);
    emit->number = rafsi_alloc(env, size);
    emit->blob = rafsi_alloc(env, size);
    if (!emit->buffer || !emit->number || !emit->blob)
        return rafsi_fail_nomem(emit->err, BUFFER_BYTES + 2 * size);
    for (uint32_t i = 0; i < count; i++)
        emit->number[i] = NO_BLOB;
    forget(emit->image);
    return look_at_names(emit, blobs_max);
}

int rafsi_emit_finish(struct emit *emit, uint32_t *used)
{
    int rc = flush(emit);

    if (rc == RAFS_OK && used && emit->image->blobs.count != 0)
        memcpy(used, emit->number, emit->image->blobs.count * sizeof(*used));
    return rc;
}

void rafsi_emit_free(struct emit *emit)
{
    const struct rafsi_env *env = &emit->image->env;

    rafsi_free(env, emit->buffer);
    rafsi_free(env, emit->number);
    rafsi_free(env, emit->blob);
}

uint64_t rafsi_emit_flags(const struct emit *emit)
{
    const struct build_image *image = emit->image;
    uint64_t flags = rafsi_super_flags_of(image->compressor, image->digest_algorithm);

    if (!image->no_owners)
        flags |= SB_EXPLICIT_UID_GID;
    if (image->has_xattr)
        flags |= SB_HAS_XATTR;
    return flags;
}

void rafsi_emit_record(const struct emit *emit, const struct build_chunk *chunk,
                       uint64_t file_offset, struct chunk_record *out)
{
    *out = (struct chunk_record){
        .blob = emit->number[chunk->blob],
        .flags = chunk->flags,
        .compressed_size = chunk->compressed_size,
        .uncompressed_size = chunk->uncompressed_size,
        .compressed_offset = chunk->compressed_offset,
        .uncompressed_offset = chunk->uncompressed_offset,
        .file_offset = file_offset,
        .index = chunk->index,
        .crc32 = chunk->crc32,
    };
    memcpy(out->digest, chunk->digest, sizeof(out->digest));
}
