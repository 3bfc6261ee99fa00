/* SPDX-License-Identifier: Apache-2.0 */
#include "draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "rafs/image.h"

enum { CHUNK_BYTES = 4096 };

static void must(int rc, const rafs_error *err, const char *what)
{
    if (rc == RAFS_OK)
        return;
    fprintf(stderr, "draft: %s: %s (%s)\n", what, err->text, err->object);
    abort();
}

void draft_init(struct draft *draft, uint32_t version, const rafs_env *env)
{
    struct build_image *image = &draft->image;
    rafs_error err;

    memset(draft, 0, sizeof(*draft));
    must(rafsi_env_take(env, &image->env, &err), &err, "environment");
    must(rafsi_hashes_new(&image->env, &image->hashes, &err), &err, "hashes");
    rafsi_arena_init(&image->arena, &image->env);
    image->chunks.env = &image->env;
    image->blobs.env = &image->env;
    image->version = version;
    image->compressor = RAFS_COMPRESSOR_NONE;
    image->digest_algorithm = RAFS_DIGEST_BLAKE3;
    image->chunk_size = CHUNK_BYTES;
    must(rafsi_layers_new(image, 0, &draft->layers, &err), &err, "layers");
}

void draft_done(struct draft *draft)
{
    rafsi_layers_free(draft->layers);
    rafsi_blobs_free(&draft->image.blobs);
    rafsi_chunks_free(&draft->image.chunks);
    rafsi_arena_free(&draft->image.arena);
    rafsi_hashes_free(draft->image.hashes);
}

struct build_inode *draft_entry(struct draft *draft, const struct layers_entry *entry)
{
    struct build_inode *inode = NULL;
    rafs_error err;

    must(rafsi_layers_add(draft->layers, entry, &inode, &err), &err, entry->path);
    return inode;
}

struct build_inode *draft_add(struct draft *draft, const char *path, uint32_t mode)
{
    struct layers_entry entry = {
        .path = path, .path_len = strlen(path), .inode = {.mode = mode}};

    return draft_entry(draft, &entry);
}

void draft_link(struct draft *draft, const char *path, const char *target)
{
    rafs_error err;

    must(rafsi_layers_link(draft->layers, path, strlen(path), target, strlen(target),
                           &err),
         &err, path);
}

struct build_inode *draft_symlink(struct draft *draft, const char *path,
                                  const char *target)
{
    struct layers_entry entry = {
        .path = path,
        .path_len = strlen(path),
        .inode = {.mode = S_IFLNK | 0777, .size = strlen(target), .target = target}};

    return draft_entry(draft, &entry);
}

struct build_inode *draft_file(struct draft *draft, const char *path, uint64_t size,
                               uint32_t blob, uint32_t seed)
{
    struct layers_entry entry = {.path = path,
                                 .path_len = strlen(path),
                                 .inode = {.mode = S_IFREG | 0644, .size = size}};
    struct build_inode *inode = draft_entry(draft, &entry);
    uint32_t chunk_size = draft->image.chunk_size;

    for (uint32_t i = 0; (uint64_t)i * chunk_size < size; i++)
        inode->chunks[i] =
            draft_chunk(draft, blob, seed + i,
                        (uint32_t)rafsi_min(size - (uint64_t)i * chunk_size, chunk_size));
    return inode;
}

void draft_xattr(struct draft *draft, const char *path, uint32_t mode, size_t size)
{
    static uint8_t value[65536];
    const struct build_xattr xattr = {"user.large", value, 10, (uint32_t)size};
    struct layers_entry entry = {
        .path = path,
        .path_len = strlen(path),
        .inode = {.mode = mode, .xattrs = &xattr, .xattr_count = 1}};

    memset(value, 'v', sizeof(value));
    draft_entry(draft, &entry);
}

uint32_t draft_blob(struct draft *draft, char letter)
{
    struct blob_record *record;
    uint32_t number;
    rafs_error err;

    must(rafsi_blobs_add(&draft->image.blobs, &number, &err), &err, "blob");
    record = &draft->image.blobs.at[number].record;
    snprintf(record->id, sizeof(record->id), "%c%063u", letter, number);
    record->features = RAFS_BLOB_CAP_TAR_TOC;
    if (draft->image.version == 6)
        record->features |= RAFS_BLOB_ALIGNED;
    record->compressor = draft->image.compressor;
    record->digest_algorithm = draft->image.digest_algorithm;
    record->chunk_size = draft->image.chunk_size;
    return number;
}

uint32_t draft_chunk(struct draft *draft, uint32_t blob, uint32_t seed, uint32_t size)
{
    struct blob_record *record = &draft->image.blobs.at[blob].record;
    struct build_chunk chunk = {.compressed_offset = record->compressed_size,
                                .uncompressed_offset = record->uncompressed_size,
                                .compressed_size = size,
                                .uncompressed_size = size,
                                .blob = blob,
                                .index = record->chunk_count};
    uint32_t number;
    rafs_error err;

    must(rafsi_hash_bytes(draft->image.hashes, draft->image.digest_algorithm, &seed,
                          sizeof(seed), chunk.digest, &err),
         &err, "digest");
    must(rafsi_chunks_add(&draft->image.chunks, &chunk, &number, &err), &err, "chunk");
    record->chunk_count++;
    record->compressed_size += (size + 4095) & ~4095u;
    record->uncompressed_size += (size + 4095) & ~4095u;
    record->ci_offset = record->compressed_size;
    record->ci_compressed_size = record->ci_uncompressed_size =
        (uint64_t)record->chunk_count * CI_V1_BYTES;
    return number;
}

void draft_seal(struct draft *draft)
{
    rafs_error err;

    must(rafsi_image_seal(&draft->image, &err), &err, "seal");
}

static int collect(void *user, const void *data, size_t len, const rafs_call *call,
                   rafs_error *err)
{
    struct emitted *out = user;

    (void)call;
    if (out->writes++ == out->fail_at)
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_NONE, "sink", "as asked for");
    while (out->room - out->len < len) {
        out->room = out->room ? out->room * 2 : 65536;
        out->bytes = realloc(out->bytes, out->room);
        if (!out->bytes)
            abort();
    }
    memcpy(out->bytes + out->len, data, len);
    out->len += len;
    return RAFS_OK;
}

int draft_emit(struct draft *draft, struct emitted *out, uint32_t *used, rafs_error *err)
{
    if (draft->image.version == 6)
        return rafsi_emit_v6(&draft->image, used, collect, out, NULL, err);
    return rafsi_emit_v5(&draft->image, used, collect, out, NULL, err);
}

void emitted_drop(struct emitted *out)
{
    free(out->bytes);
    *out = (struct emitted)EMITTED_INIT;
}
