/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/data_impl.h"
#include "rafs/image.h"

/* Decisions that depend on the order of chunks, taken by the feeder in this order. */

#define COMPRESSED_MAX (1ull << 40)
#define UNCOMPRESSED_MAX (1ull << 44)
/* The number of a chunk in its blob has 24 bits, and readers count that many. */
#define CHUNKS_MAX (RAFS_CHUNKS_PER_BLOB_MAX - 1)

/* What the file begins with, up to and with this chunk: files of equal size share chunks
 * as far as they are alike. */
static void chain(struct rafsi_data *data, const struct item *item)
{
    uint8_t link[64] = {0};

    if (item->slot == 0) {
        struct pen pen = pen_of(link, 32);

        put_u64(&pen, item->inode->size);
    } else {
        memcpy(link, data->chain, 32);
    }
    memcpy(link + 32, item->digest, 32);
    rafsi_blake3(link, sizeof(link), data->chain);
}

/* A chunk that was found before needs not be asked for. */
static bool find_found(struct rafsi_data *data, const struct item *item, size_t *from,
                       uint32_t *number)
{
    for (*from = 0; *from < 2; ++*from)
        if (rafsi_seen_find(&data->known[*from], item->digest, item->size, number))
            return true;
    return false;
}

static int ask(struct rafsi_data *data, const struct item *item, size_t *from,
               uint32_t *number, rafs_error *err)
{
    const struct rafsi_known *const known[2] = {data->options.dictionary,
                                                data->options.index};
    int rc = RAFS_E_NOENT;

    for (*from = 0; *from < 2; ++*from) {
        if (!known[*from])
            continue;
        rc =
            known[*from]->find(known[*from]->user, item->digest, item->size, number, err);
        if (rc == RAFS_E_NOENT)
            continue;
        return rc < 0 ? rc
                      : rafsi_seen_add(&data->known[*from], item->digest, *number, err);
    }
    return rc;
}

/* One that this build needs not store. RAFS_E_NOENT: there is none. */
static int find_known(struct rafsi_data *data, const struct item *item, uint32_t *number,
                      rafs_error *err)
{
    uint64_t *const counted[2] = {&data->counted.same_dictionary_bytes,
                                  &data->counted.same_index_bytes};
    size_t from;
    int rc = RAFS_OK;

    if (!find_found(data, item, &from, number))
        rc = ask(data, item, &from, number, err);
    if (rc == RAFS_OK)
        *counted[from] += item->size;
    return rc;
}

/* The chunk that an item is the same as. RAFS_E_NOENT: it is new. */
static int find_same(struct rafsi_data *data, const struct item *item, uint32_t *number,
                     rafs_error *err)
{
    uint32_t level = data->options.dedup;
    bool alike;
    int rc = RAFS_E_NOENT;

    if (level == RAFS_DEDUP_NONE)
        return rc;
    chain(data, item);
    alike = rafsi_seen_find(&data->files, data->chain, item->size, number);
    if (level == RAFS_DEDUP_FILE) {
        rc = alike ? RAFS_OK : RAFS_E_NOENT;
        data->counted.same_file_bytes += alike ? item->size : 0;
    } else if (rafsi_seen_find(&data->chunks, item->digest, item->size, number)) {
        rc = RAFS_OK;
        *(alike ? &data->counted.same_file_bytes : &data->counted.same_image_bytes) +=
            item->size;
    } else {
        rc = find_known(data, item, number, err);
    }
    if (rc == RAFS_OK && !alike)
        rc = rafsi_seen_add(&data->files, data->chain, *number, err);
    return rc;
}

static int remember(struct rafsi_data *data, const struct item *item, uint32_t number,
                    rafs_error *err)
{
    int rc = RAFS_OK;

    if (data->options.dedup == RAFS_DEDUP_CHUNK)
        rc = rafsi_seen_add(&data->chunks, item->digest, number, err);
    if (rc == RAFS_OK && data->options.dedup != RAFS_DEDUP_NONE)
        rc = rafsi_seen_add(&data->files, data->chain, number, err);
    return rc;
}

static uint64_t room_of(const struct rafsi_data *data, uint32_t size)
{
    uint64_t mask = BLOB_ALIGNMENT - 1;

    if (data->image->version != 6 && !(data->options.flags & RAFS_BUILD_ALIGNED))
        return size;
    return (size + mask) & ~mask;
}

static int check_limits(const struct rafsi_data *data, uint64_t room, rafs_error *err)
{
    const struct blob_out *blob = &data->blob;
    uint64_t end =
        rafsi_blob_plain(data) ? blob->uncompressed : blob->compressed + blob->unwritten;

    if (blob->count >= CHUNKS_MAX)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_NONE, NULL,
                          "more than %u chunks in one blob: take larger chunks, or a "
                          "blob for each layer",
                          (unsigned)CHUNKS_MAX);
    if (end + room > COMPRESSED_MAX || blob->uncompressed + room > UNCOMPRESSED_MAX)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_NONE, NULL,
                          "a blob of more than 1 TiB, or of 16 TiB uncompressed: take a "
                          "blob for each layer");
    return RAFS_OK;
}

static bool is_batched(const struct rafsi_data *data, const struct item *item)
{
    return data->blob.batches && item->alone && item->size < data->options.batch_size / 2;
}

/* What waits in the open batch is to be compressed. */
static void close_batch(struct rafsi_data *data, struct job *job)
{
    struct blob_out *blob = &data->blob;

    if (!blob->batch)
        return;
    job->pieces[job->piece_count++] = (struct piece){.bytes = blob->batch->at,
                                                     .batch = blob->batch,
                                                     .size = (uint32_t)blob->batch->len,
                                                     .index = blob->batch_first,
                                                     .count = blob->batch_count};
    blob->batch = NULL;
    blob->batch_count = 0;
}

static int open_batch(struct rafsi_data *data, rafs_error *err)
{
    struct blob_out *blob = &data->blob;
    int rc = rafsi_blob_contexts(data, err);

    if (rc == RAFS_OK)
        rc = rafsi_pool_take(data->pool, data->options.batch_size, &blob->batch, err);
    if (rc < 0)
        return rc;
    blob->batch->len = 0;
    blob->batch_first = blob->count;
    blob->contexts[blob->context_count++] = (struct ci_batch){0, 0};
    return RAFS_OK;
}

static const uint8_t *bytes_of(const struct rafsi_data *data, const struct job *job,
                               const struct item *item)
{
    return item->zeros ? data->zeros : job->bytes->at + item->at;
}

static int put_in_batch(struct rafsi_data *data, struct job *job, const struct item *item,
                        rafs_error *err)
{
    struct blob_out *blob = &data->blob;
    int rc = RAFS_OK;

    if (blob->batch && blob->batch->len + item->size >= data->options.batch_size)
        close_batch(data, job);
    if (!blob->batch)
        rc = open_batch(data, err);
    if (rc < 0)
        return rc;
    blob->members[blob->count] =
        (struct member){blob->context_count - 1, (uint32_t)blob->batch->len};
    memcpy(blob->batch->at + blob->batch->len, bytes_of(data, job, item), item->size);
    blob->batch->len += item->size;
    blob->batch_count++;
    return RAFS_OK;
}

/* Chunks of one batch follow each other: what goes by itself ends it. */
static void put_alone(struct rafsi_data *data, struct job *job, const struct item *item)
{
    struct blob_out *blob = &data->blob;

    close_batch(data, job);
    if (blob->batches)
        blob->members[blob->count] = (struct member){NO_BATCH, 0};
    job->pieces[job->piece_count++] = (struct piece){.bytes = bytes_of(data, job, item),
                                                     .size = item->size,
                                                     .index = blob->count,
                                                     .count = 1};
}

static int add_new(struct rafsi_data *data, struct job *job, const struct item *item,
                   uint32_t *number, const rafs_call *call, rafs_error *err)
{
    struct blob_out *blob = &data->blob;
    struct build_chunk chunk = {.uncompressed_size = item->size};
    uint64_t room = room_of(data, item->size);
    int rc = rafsi_blob_open(data, call, err);

    if (rc == RAFS_OK)
        rc = check_limits(data, room, err);
    if (rc == RAFS_OK)
        rc = rafsi_blob_rows(data, err);
    if (rc < 0)
        return rc;
    memcpy(chunk.digest, item->digest, sizeof(chunk.digest));
    chunk.uncompressed_offset = blob->uncompressed;
    chunk.blob = blob->number;
    chunk.index = blob->count;
    chunk.crc32 = item->crc32; /* 0 stands for none */
    chunk.flags = item->crc32 ? CHUNK_HAS_CRC32 : 0;
    rc = rafsi_chunks_add(&data->image->chunks, &chunk, number, err);
    if (rc == RAFS_OK && is_batched(data, item))
        rc = put_in_batch(data, job, item, err);
    else if (rc == RAFS_OK)
        put_alone(data, job, item);
    if (rc < 0)
        return rc;
    blob->numbers[blob->count++] = *number;
    blob->uncompressed += room;
    blob->unwritten += item->size;
    data->counted.stored_chunks++;
    return remember(data, item, *number, err);
}

/* Bytes that no piece refers to are not needed any more. */
static void drop_bytes(struct job *job)
{
    for (uint32_t i = 0; i < job->piece_count; i++)
        if (!job->pieces[i].batch)
            return;
    rafsi_buffer_free(job->bytes);
    job->bytes = NULL;
}

int rafsi_place_decide(struct rafsi_data *data, struct job *job, const rafs_call *call,
                       rafs_error *err)
{
    for (uint32_t i = 0; i < job->item_count; i++) {
        const struct item *item = &job->items[i];
        uint32_t number = 0;
        int rc = find_same(data, item, &number, err);

        if (rc == RAFS_OK)
            data->counted.same_chunks++;
        else if (rc == RAFS_E_NOENT)
            rc = add_new(data, job, item, &number, call, err);
        if (rc < 0)
            return rc;
        item->inode->chunks[item->slot] = number;
        data->counted.bytes += item->size;
        data->counted.chunks++;
    }
    if (job->last)
        close_batch(data, job);
    drop_bytes(job);
    return RAFS_OK;
}

static void note_batch(struct rafsi_data *data, const struct piece *piece)
{
    struct blob_out *blob = &data->blob;
    struct ci_batch *batch = &blob->contexts[blob->members[piece->index].batch];

    *batch = (struct ci_batch){piece->stored_size, piece->size};
    for (uint32_t i = 0; i < piece->count; i++)
        rafsi_chunks_at(&data->image->chunks, blob->numbers[piece->index + i])
            ->compressed_offset = blob->compressed;
}

static void place_piece(struct rafsi_data *data, const struct piece *piece)
{
    struct blob_out *blob = &data->blob;
    struct build_chunk *chunk =
        rafsi_chunks_at(&data->image->chunks, blob->numbers[piece->index]);

    if (blob->batches && blob->members[piece->index].batch != NO_BATCH) {
        note_batch(data, piece);
    } else {
        chunk->compressed_offset = blob->compressed;
        chunk->compressed_size = piece->stored_size;
        if (piece->stored_size < piece->size)
            chunk->flags |= CHUNK_COMPRESSED;
    }
    blob->unwritten -= piece->size;
    blob->compressed += rafsi_blob_room(data, piece->stored_size);
}

int rafsi_place_write(struct rafsi_data *data, struct job *job, const rafs_call *call,
                      rafs_error *err)
{
    for (uint32_t i = 0; i < job->piece_count; i++)
        place_piece(data, &job->pieces[i]);
    if (!job->packed)
        return RAFS_OK;
    return rafsi_blob_put(data, job->packed->at, job->packed->len, call, err);
}
