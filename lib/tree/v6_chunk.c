/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "rafs/image.h"
#include "tree/v6_tree.h"

/* Blobs whose stored form only their compression information tells. */
#define STORED_ELSEWHERE \
    (RAFS_BLOB_ZRAN | RAFS_BLOB_SEPARATE | RAFS_BLOB_ENCRYPTED | RAFS_BLOB_EXTERNAL)

/* Blobs whose records do not describe what files are made of: a generated dictionary
 * lists chunks of any size one after the other, an external blob has no digests. */
#define NO_RECORDS (RAFS_BLOB_CHUNKDICT | RAFS_BLOB_EXTERNAL)

static int check_flags(const struct chunk_record *record, const struct blob_record *blob,
                       uint64_t at, rafs_error *err)
{
    if (record->flags & CHUNK_HOLE)
        return rafsi_corrupt(err, at + 36, "record of a chunk that is a hole");
    if (((record->flags & CHUNK_BATCH) && !(blob->features & RAFS_BLOB_BATCH)) ||
        ((record->flags & CHUNK_ENCRYPTED) && !(blob->features & RAFS_BLOB_ENCRYPTED)))
        return rafsi_corrupt(err, at + 36, "chunk flags 0x%x in a blob of features 0x%x",
                             record->flags, blob->features);
    return RAFS_OK;
}

/* Where a chunk is stored. Members of a batch have size 0 and no flag. */
static int check_stored(const struct chunk_record *record, const struct blob_record *blob,
                        uint64_t at, rafs_error *err)
{
    bool compressed = record->flags & CHUNK_COMPRESSED;

    if (blob->features & STORED_ELSEWHERE)
        return RAFS_OK;
    if (!rafsi_within(record->compressed_offset, record->compressed_size,
                      rafsi_blob_data_bytes(blob)))
        return rafsi_corrupt(err, at + 48, "chunk lies beyond its blob");
    if (record->compressed_size == 0)
        return blob->features & RAFS_BLOB_BATCH
                   ? RAFS_OK
                   : rafsi_corrupt(err, at + 40, "chunk of 0 stored bytes");
    if (compressed && blob->compressor == RAFS_COMPRESSOR_NONE)
        return rafsi_corrupt(err, at + 36,
                             "compressed chunk in a blob without a compressor");
    if (!compressed && !(record->flags & CHUNK_BATCH) &&
        record->compressed_size != record->uncompressed_size)
        return rafsi_corrupt(err, at + 40, "chunk of %u bytes is stored plain in %u",
                             record->uncompressed_size, record->compressed_size);
    return RAFS_OK;
}

/* A record against its blob. */
static int check_record(const struct rafsi_tree *tree, const struct chunk_record *record,
                        uint64_t at, rafs_error *err)
{
    const struct blob_record *blob;
    int rc;

    if (record->blob >= tree->super.blob_count)
        return rafsi_corrupt(err, at + 32, "chunk in blob %u of %u", record->blob,
                             tree->super.blob_count);
    blob = &tree->blobs[record->blob];
    if (blob->features & NO_RECORDS)
        return RAFS_OK;
    if (record->index >= blob->chunk_count)
        return rafsi_corrupt(err, at + 72, "chunk %u of %u", record->index,
                             blob->chunk_count);
    if (record->uncompressed_offset % V6_BLOCK_BYTES != 0 ||
        !rafsi_within(record->uncompressed_offset, record->uncompressed_size,
                      blob->uncompressed_size))
        return rafsi_corrupt(err, at + 56, "chunk lies beyond its uncompressed blob");
    rc = check_flags(record, blob, at, err);
    if (rc < 0)
        return rc;
    return check_stored(record, blob, at, err);
}

uint64_t rafsi_v6_chunk_count(const struct rafsi_tree *tree)
{
    return tree->super.version == 6 ? v6_tree_of(tree)->ext.chunk_count : 0;
}

int rafsi_v6_chunk_at(const struct rafsi_tree *tree, uint64_t i, struct chunk_record *out,
                      rafs_error *err)
{
    const struct v6_tree *v6 = v6_tree_of(tree);
    uint64_t at = v6->ext.chunks_at + i * CHUNK_RECORD_BYTES;
    uint8_t scratch[CHUNK_RECORD_BYTES];
    struct chunk_record record;
    const uint8_t *bytes;
    int rc;

    if (i >= rafsi_v6_chunk_count(tree))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "record %llu of a chunk table", (unsigned long long)i);
    rc = rafsi_source_view(tree->source, at, sizeof(scratch), scratch, &bytes, err);
    if (rc == RAFS_OK)
        rc = rafsi_chunk_record((struct span){bytes, sizeof(scratch), at},
                                v6->ext.chunk_size, &record, err);
    if (rc == RAFS_OK)
        rc = check_record(tree, &record, at, err);
    if (rc == RAFS_OK)
        *out = record;
    return rc;
}

int rafsi_v6_chunk_find(const struct rafsi_tree *tree, uint32_t blob, uint32_t chunk,
                        bool *found, uint64_t *number, rafs_error *err)
{
    return rafsi_v6_find(v6_tree_of(tree), blob, chunk, found, number, err);
}

int rafsi_v6_chunk_of(const struct rafsi_tree *tree, uint32_t blob, uint32_t chunk,
                      struct chunk_record *out, rafs_error *err)
{
    uint64_t number = 0;
    bool found = false;
    int rc = rafsi_v6_find(v6_tree_of(tree), blob, chunk, &found, &number, err);

    if (rc < 0)
        return rc;
    return found ? rafsi_v6_chunk_at(tree, number, out, err) : RAFS_E_NOENT;
}

static int read_addr(const struct rafsi_tree *tree, uint64_t at,
                     struct v6_chunk_addr *addr, rafs_error *err)
{
    uint8_t scratch[V6_CHUNK_ADDR_BYTES];
    const uint8_t *bytes;
    const struct blob_record *blob;
    int rc = rafsi_source_view(tree->source, at, sizeof(scratch), scratch, &bytes, err);

    if (rc == RAFS_OK)
        rc = rafsi_v6_chunk_addr((struct span){bytes, sizeof(scratch), at},
                                 tree->super.blob_count, addr, err);
    if (rc < 0 || addr->hole)
        return rc;
    blob = &tree->blobs[addr->blob];
    if (addr->chunk >= blob->chunk_count && !(blob->features & NO_RECORDS))
        return rafsi_corrupt(err, at, "chunk %u of blob %u, which has %u", addr->chunk,
                             addr->blob, blob->chunk_count);
    return RAFS_OK;
}

/* A file's idea of a chunk against the record's. */
static int check_use(const struct v6_tree *v6, uint64_t number,
                     const struct chunk_record *record, const struct v6_chunk_addr *addr,
                     uint64_t length, rafs_error *err)
{
    uint64_t at = v6->ext.chunks_at + number * CHUNK_RECORD_BYTES;

    if (record->blob != addr->blob || record->index != addr->chunk)
        return rafsi_fail_at(err, RAFS_E_BUG, RAFS_STAGE_METADATA, NULL, at,
                             "the index of chunks leads to another record");
    if (record->uncompressed_offset != addr->uncompressed_offset)
        return rafsi_corrupt(err, at + 56,
                             "file and record place chunk %u of blob %u "
                             "differently",
                             addr->chunk, addr->blob);
    if (record->uncompressed_size != length)
        return rafsi_corrupt(err, at + 44,
                             "chunk %u of blob %u has %u bytes; "
                             "the file wants %llu",
                             addr->chunk, addr->blob, record->uncompressed_size,
                             (unsigned long long)length);
    return RAFS_OK;
}

/* Find and check the record of a chunk. Without one, what the file says is given. */
static int resolve(const struct rafsi_tree *tree, const struct v6_chunk_addr *addr,
                   struct rafsi_chunk *chunk, rafs_error *err)
{
    const struct v6_tree *v6 = v6_tree_of(tree);
    const struct blob_record *blob = &tree->blobs[addr->blob];
    uint64_t number = 0;
    bool found = false;
    int rc;

    chunk->digest_algorithm = blob->digest_algorithm;
    chunk->compressor = blob->compressor;
    if (!(blob->features & NO_RECORDS)) {
        rc = rafsi_v6_find(v6, addr->blob, addr->chunk, &found, &number, err);
        if (rc < 0)
            return rc;
    }
    if (!found) {
        chunk->no_record = true;
        chunk->record.blob = addr->blob;
        chunk->record.index = addr->chunk;
        chunk->record.uncompressed_offset = addr->uncompressed_offset;
        chunk->record.uncompressed_size = (uint32_t)chunk->length;
        return RAFS_OK;
    }
    rc = rafsi_v6_chunk_at(tree, number, &chunk->record, err);
    if (rc < 0)
        return rc;
    return check_use(v6, number, &chunk->record, addr, chunk->length, err);
}

/* A file may say that its chunks lie one after the other: then the kernel looks at the
 * first entry alone, and entry i has to tell the same. */
static int check_run(const struct rafsi_tree *tree, const struct rafsi_node *file,
                     uint64_t i, const struct v6_chunk_addr *addr, rafs_error *err)
{
    uint64_t begin = rafsi_v6_chunk_array(file);
    uint64_t step = i * tree->super.chunk_size;
    struct v6_chunk_addr first;
    int rc = read_addr(tree, begin, &first, err);

    if (rc < 0)
        return rc;
    if (first.hole != addr->hole ||
        (!first.hole && (first.blob != addr->blob ||
                         first.uncompressed_offset + step != addr->uncompressed_offset)))
        return rafsi_corrupt(err, begin + i * V6_CHUNK_ADDR_BYTES,
                             "chunk %llu of a file does not follow its first one, as the "
                             "file says",
                             (unsigned long long)i);
    return RAFS_OK;
}

int rafsi_v6_chunk(const struct rafsi_tree *tree, const struct rafsi_node *file,
                   uint64_t offset, struct rafsi_chunk *out, rafs_error *err)
{
    uint64_t size = file->v6.size;
    uint32_t chunk_size = tree->super.chunk_size;
    uint64_t i = offset / chunk_size;
    struct rafsi_chunk chunk;
    struct v6_chunk_addr addr;
    uint64_t at = rafsi_v6_chunk_array(file) + i * V6_CHUNK_ADDR_BYTES;
    int rc;

    if (offset >= size)
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_METADATA, NULL,
                          "a chunk beyond the end of its file was asked for");
    rc = read_addr(tree, at, &addr, err);
    if (rc == RAFS_OK && i > 0 && rafsi_v6_is_run(&file->v6, chunk_size))
        rc = check_run(tree, file, i, &addr, err);
    if (rc < 0)
        return rc;
    memset(&chunk, 0, sizeof(chunk));
    chunk.file_offset = i * chunk_size;
    chunk.length = rafsi_min(size - chunk.file_offset, chunk_size);
    chunk.hole = addr.hole;
    if (!addr.hole) {
        const struct blob_record *blob = &tree->blobs[addr.blob];

        if (!(blob->features & NO_RECORDS) &&
            !rafsi_within(addr.uncompressed_offset, chunk.length,
                          blob->uncompressed_size))
            return rafsi_corrupt(err, at + 4, "chunk lies beyond its uncompressed blob");
        rc = resolve(tree, &addr, &chunk, err);
        if (rc < 0)
            return rc;
    }
    *out = chunk;
    return RAFS_OK;
}
