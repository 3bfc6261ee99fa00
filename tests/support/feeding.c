/* SPDX-License-Identifier: Apache-2.0 */
#include "feeding.h"

#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "golden.h"

static int sink_begin(void *user, uint32_t kind, void **object, const rafs_call *call,
                      rafs_error *err)
{
    struct feed_sink *sink = user;

    (void)call, (void)err;
    NEED(sink->count < FEED_OBJECTS_MAX);
    *object = &sink->objects[sink->count++];
    ((struct feed_object *)*object)->kind = kind;
    return RAFS_OK;
}

static int sink_write(void *user, void *object, const void *data, size_t len,
                      const rafs_call *call, rafs_error *err)
{
    struct feed_sink *sink = user;
    struct feed_object *to = object;

    (void)call;
    NEED(len > 0 && !to->committed && !to->aborted);
    if (sink->writes == sink->fail_at) {
        sink->failed = true;
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, "sink", "full");
    }
    if (sink->writes++ == sink->cancel_at)
        rafs_cancel_fire(sink->cancel);
    if (to->room - to->len < len) {
        to->room = 2 * to->room + len;
        to->at = realloc(to->at, to->room);
        NEED(to->at != NULL);
    }
    memcpy(to->at + to->len, data, len);
    to->len += len;
    return RAFS_OK;
}

static int sink_commit(void *user, void *object, const rafs_sink_object *what,
                       const rafs_call *call, rafs_error *err)
{
    struct feed_object *to = object;

    (void)user, (void)call, (void)err;
    NEED(!to->committed && !to->aborted && what->size == to->len);
    to->committed = true;
    to->what = *what;
    return RAFS_OK;
}

static void sink_abort(void *user, void *object)
{
    struct feed_object *to = object;

    (void)user;
    NEED(!to->committed && !to->aborted);
    to->aborted = true;
}

void feed_sink_init(struct feed_sink *sink)
{
    memset(sink, 0, sizeof(*sink));
    NEED(rafsi_env_take(NULL, &sink->sink.env, NULL) == RAFS_OK);
    sink->sink.ops = (rafs_sink_ops){.struct_size = sizeof(rafs_sink_ops),
                                     .begin = sink_begin,
                                     .write = sink_write,
                                     .commit = sink_commit,
                                     .abort = sink_abort};
    sink->sink.user = sink;
    sink->fail_at = sink->cancel_at = WATCH_NEVER;
}

void feed_sink_drop(struct feed_sink *sink)
{
    for (uint32_t i = 0; i < sink->count; i++) {
        NEED(sink->objects[i].committed || sink->objects[i].aborted);
        free(sink->objects[i].at);
    }
}

/* Block number i, 16 bytes: words of a small vocabulary, which compress, or, with every
 * fourth seed, what does not. */
static void make_block(uint32_t seed, uint64_t i, uint8_t out[16])
{
    uint64_t mixed = (i ^ (uint64_t)seed << 40) * 0x9e3779b97f4a7c15ull;
    uint64_t words[2] = {0, 0};

    mixed ^= mixed >> 29;
    if (seed % 4 != 1)
        mixed = mixed % 61 * 0x2545f4914f6cdd1dull;
    if (seed != 0) {
        words[0] = mixed;
        words[1] = mixed * 0xd6e8feb86659fd93ull;
    }
    memcpy(out, words, sizeof(words));
}

static void fill(uint32_t seed, uint64_t offset, uint8_t *to, size_t len)
{
    uint8_t block[16];

    while (len > 0) {
        size_t skip = offset % sizeof(block);
        size_t part = (size_t)rafsi_min(len, sizeof(block) - skip);

        make_block(seed, offset / sizeof(block), block);
        memcpy(to, block + skip, part);
        offset += part;
        to += part;
        len -= part;
    }
}

void feed_fill(const struct feed_file *file, uint64_t offset, void *buf, size_t len)
{
    uint64_t border = file->size - file->tail;
    size_t first = offset < border ? (size_t)rafsi_min(len, border - offset) : 0;

    fill(file->seed, offset, buf, first);
    fill(file->seed + 1000, offset + first, (uint8_t *)buf + first, len - first);
}

void feed_init(struct feed *feed)
{
    memset(feed, 0, sizeof(*feed));
    watch_init(&feed->watch);
    feed_sink_init(&feed->sink);
    NEED(rafsi_env_take(&feed->watch.env, &feed->image.env, NULL) == RAFS_OK);
    NEED(rafsi_hashes_new(&feed->image.env, &feed->image.hashes, NULL) == RAFS_OK);
    feed->image.chunks.env = feed->image.blobs.env = &feed->image.env;
    feed->image.version = 6;
    feed->image.compressor = RAFS_COMPRESSOR_ZSTD;
    feed->image.digest_algorithm = RAFSI_BLAKE3;
    feed->image.chunk_size = 64 << 10;
    feed->options.dedup = RAFS_DEDUP_CHUNK;
    feed->options.threads = 2;
    feed->fail_read = WATCH_NEVER;
}

void feed_add(struct feed *feed, uint64_t size, uint32_t seed, enum feed_way way)
{
    struct feed_file *file = &feed->files[feed->file_count++];

    NEED(feed->file_count <= FEED_FILES_MAX);
    file->size = size;
    file->seed = seed;
    file->way = way;
}

void feed_usual(struct feed *feed)
{
    for (uint32_t i = 1; i <= 150; i++)
        feed_add(feed, i * 37, i, i % 2 ? FEED_READ : FEED_PIECES);
    feed_add(feed, 0, 5, FEED_READ);
    feed_add(feed, 1, 5, FEED_PIECES);
    feed_add(feed, 300000, 8, FEED_READ);
    feed_add(feed, 300000, 8, FEED_PIECES); /* the same */
    feed_add(feed, 300000, 8, FEED_READ);   /* begins alike */
    feed->files[feed->file_count - 1].tail = 100000;
    feed_add(feed, 300001, 8, FEED_READ); /* whole chunks are the same */
    feed_add(feed, 500000, 0, FEED_ZEROS);
    feed_add(feed, 70000, 0, FEED_READ);
    feed_add(feed, 400000, 9, FEED_PIECES); /* does not compress */
    for (uint32_t i = 1; i <= 60; i++)
        feed_add(feed, 20 + i % 7 * 10000, i % 11, i % 3 ? FEED_READ : FEED_PIECES);
}

static int content_read(void *user, uint64_t offset, void *buf, size_t len,
                        rafs_error *err)
{
    struct feed_file *file = user;

    if (atomic_fetch_add(&file->feed->reads, 1) == file->feed->fail_read) {
        atomic_store(&file->feed->read_failed, true);
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, "file", "unreadable");
    }
    NEED(len > 0 && offset + len <= file->size);
    if (file->feed->reading)
        file->feed->reading(file->feed, file);
    if (file->fails)
        return rafsi_fail(err, file->fails, RAFS_STAGE_FETCH, "file", "unreadable");
    feed_fill(file, offset, buf, len);
    return RAFS_OK;
}

static void content_release(void *user)
{
    struct feed_file *file = user;

    atomic_fetch_add(&file->feed->released, 1);
}

static int feed_pieces(struct feed *feed, struct feed_file *file, const rafs_call *call)
{
    uint8_t room[7777];
    uint64_t at = 0;
    int rc = rafsi_data_begin(feed->data, &file->inode, &feed->err);

    while (rc == RAFS_OK && at < file->size) {
        size_t len = (size_t)rafsi_min(file->size - at, sizeof(room));

        feed_fill(file, at, room, len);
        rc = rafsi_data_add(feed->data, room, len, call, &feed->err);
        at += len;
    }
    return rc < 0 ? rc : rafsi_data_end(feed->data, call, &feed->err);
}

/* The holes begin and end within chunks. */
static int feed_zeros(struct feed *feed, struct feed_file *file, const rafs_call *call)
{
    uint64_t some = rafsi_min(file->size, 1000);
    uint8_t room[1000] = {0};
    int rc = rafsi_data_begin(feed->data, &file->inode, &feed->err);

    if (rc == RAFS_OK)
        rc = rafsi_data_add(feed->data, room, (size_t)some, call, &feed->err);
    if (rc == RAFS_OK)
        rc = rafsi_data_add_zeros(feed->data, file->size - some, call, &feed->err);
    return rc < 0 ? rc : rafsi_data_end(feed->data, call, &feed->err);
}

static int feed_one(struct feed *feed, struct feed_file *file, const rafs_call *call)
{
    struct rafsi_content content = {file, content_read, content_release};
    uint32_t count;

    file->feed = feed;
    file->inode.size = file->size;
    NEED(rafsi_chunks_of(file->size, feed->image.chunk_size, &count));
    free(file->inode.chunks);
    file->inode.chunks = malloc((count + 1) * sizeof(uint32_t));
    NEED(file->inode.chunks != NULL);
    memset(file->inode.chunks, 0xff, count * sizeof(uint32_t));
    if (file->way == FEED_PIECES)
        return feed_pieces(feed, file, call);
    if (file->way == FEED_ZEROS)
        return feed_zeros(feed, file, call);
    feed->taken++;
    if (feed->taken - atomic_load(&feed->released) > feed->most)
        feed->most = feed->taken - atomic_load(&feed->released);
    return rafsi_data_file(feed->data, &file->inode, &content, call, &feed->err);
}

int feed_all(struct feed *feed, const rafs_call *call)
{
    int rc = RAFS_OK;

    if (!feed->data)
        rc = rafsi_data_new(&feed->image, &feed->sink.sink, &feed->options, &feed->data,
                            &feed->err);
    for (size_t i = 0; i < feed->file_count && rc == RAFS_OK; i++)
        rc = feed_one(feed, &feed->files[i], call);
    return rc < 0 ? rc : rafsi_data_flush(feed->data, call, &feed->err);
}

int feed_run(struct feed *feed, const struct rafsi_boot *boot, const rafs_call *call)
{
    int rc = feed_all(feed, call);

    return rc < 0
               ? rc
               : rafsi_data_end_blob(feed->data, 0, boot, &feed->blob, call, &feed->err);
}

void feed_drop(struct feed *feed)
{
    rafsi_data_free(feed->data);
    rafsi_chunks_free(&feed->image.chunks);
    rafsi_blobs_free(&feed->image.blobs);
    rafsi_hashes_free(feed->image.hashes);
    feed_sink_drop(&feed->sink);
    for (size_t i = 0; i < feed->file_count; i++)
        free(feed->files[i].inode.chunks);
    NEED(atomic_load(&feed->released) == feed->taken);
    NEED(atomic_load(&feed->watch.live) == 0);
}

int feed_boot_write(void *user, rafsi_write_fn write, void *write_user,
                    const rafs_call *call, rafs_error *err)
{
    struct feed_boot *boot = user;
    uint8_t room[1000];
    size_t left = boot->size;
    int rc = RAFS_OK;

    boot->seen = boot->feed->image.blobs.at[boot->feed->image.blobs.count - 1].record;
    for (size_t i = 0; i < sizeof(room); i++)
        room[i] = (uint8_t)(i * i / 7);
    while (rc == RAFS_OK && left > 0) {
        size_t len = left < sizeof(room) ? left : sizeof(room);

        rc = write(write_user, room, len, call, err);
        left -= len;
    }
    return rc;
}

/* The compression information of a blob, as readers see it. */
struct ci {
    const struct blob_record *record;
    struct ci_header header;
    uint8_t *bytes;
    struct span array;
};

static void ci_load(const struct feed_object *object, const struct blob_record *record,
                    struct rafsi_decoder *decoder, struct ci *out)
{
    uint64_t end = record->ci_offset + record->ci_compressed_size;
    size_t size = (size_t)record->ci_uncompressed_size;

    NEED(end + CI_HEADER_BYTES <= object->len);
    out->record = record;
    out->bytes = malloc(size);
    NEED(out->bytes != NULL);
    NEED(rafsi_decode(decoder, record->ci_compressor, object->at + record->ci_offset,
                      (size_t)record->ci_compressed_size, out->bytes, size,
                      NULL) == RAFS_OK);
    out->array = (struct span){out->bytes, size, 0};
    NEED(rafsi_ci_header((struct span){object->at + end, CI_HEADER_BYTES, end}, record,
                         &out->header, NULL) == RAFS_OK);
}

static void decode_chunk(const struct feed_object *object, const struct ci *ci,
                         const struct build_chunk *chunk, struct rafsi_decoder *decoder,
                         uint8_t *room, uint8_t **out)
{
    uint64_t at = chunk->compressed_offset;
    uint32_t stored = chunk->compressed_size, size = chunk->uncompressed_size;
    bool packed = chunk->flags & CHUNK_COMPRESSED;
    struct ci_entry entry;

    *out = room;
    if (ci->bytes) {
        NEED(rafsi_ci_entry(ci->array, &ci->header, ci->record, chunk->index, &entry,
                            NULL) == RAFS_OK);
        NEED(entry.uncompressed_offset == chunk->uncompressed_offset &&
             entry.uncompressed_size == size && entry.compressed_offset == at &&
             entry.compressed_size == stored);
        if (entry.flags & CI_BATCH) {
            struct ci_batch batch;

            NEED(rafsi_ci_batch(ci->array, &ci->header, ci->record, &entry, &batch,
                                NULL) == RAFS_OK);
            stored = batch.compressed_size;
            size = batch.uncompressed_size;
            packed = stored != size;
            *out = room + entry.batch_offset;
        } else {
            NEED(packed == ((entry.flags & CI_COMPRESSED) != 0));
        }
    }
    NEED(at + stored <= object->len);
    NEED(rafsi_decode(decoder, packed ? ci->record->compressor : RAFS_COMPRESSOR_NONE,
                      object->at + at, stored, room, size, NULL) == RAFS_OK);
}

static void check_file(struct feed *feed, struct feed_file *file, const struct ci *ci,
                       struct rafsi_decoder *decoder, uint8_t *room, uint8_t *want)
{
    uint32_t chunk_size = feed->image.chunk_size;

    for (uint64_t at = 0; at < file->size; at += chunk_size) {
        uint32_t number = file->inode.chunks[at / chunk_size];
        uint32_t len = (uint32_t)rafsi_min(file->size - at, chunk_size);
        const struct build_chunk *chunk = rafsi_chunks_at(&feed->image.chunks, number);
        uint8_t digest[32];
        uint8_t *got;

        NEED(number < feed->image.chunks.count && chunk->uncompressed_size == len);
        feed_fill(file, at, want, len);
        NEED(rafsi_hash_bytes(feed->image.hashes, feed->image.digest_algorithm, want, len,
                              digest, NULL) == RAFS_OK);
        NEED(memcmp(digest, chunk->digest, 32) == 0);
        NEED(chunk->crc32 == rafsi_crc32c_portable(want, len));
        NEED(chunk->blob == feed->blob);
        decode_chunk(&feed->sink.objects[0], ci, chunk, decoder, room, &got);
        NEED(memcmp(got, want, len) == 0);
    }
}

void feed_check(struct feed *feed)
{
    const struct build_blob *blob = &feed->image.blobs.at[feed->blob];
    struct feed_object *object = &feed->sink.objects[0];
    uint8_t *room = malloc(feed->image.chunk_size);
    uint8_t *want = malloc(feed->image.chunk_size);
    struct rafsi_decoder *decoder;
    struct ci ci = {&blob->record, {0}, NULL, {NULL, 0, 0}};
    uint8_t digest[32];

    NEED(room && want && blob->ours);
    NEED(rafsi_decoder_new(&feed->sink.sink.env, &decoder, NULL) == RAFS_OK);
    NEED(object->committed && object->len == blob->file_size);
    NEED(rafsi_hash_bytes(feed->image.hashes, RAFSI_SHA256, object->at, object->len,
                          digest, NULL) == RAFS_OK);
    NEED(memcmp(digest, blob->sha256, 32) == 0 &&
         memcmp(digest, object->what.sha256, 32) == 0);
    if (feed->image.version == 6 && blob->record.chunk_count > 0)
        ci_load(object, &blob->record, decoder, &ci);
    for (size_t i = 0; i < feed->file_count; i++)
        check_file(feed, &feed->files[i], &ci, decoder, room, want);
    rafsi_decoder_free(decoder);
    free(ci.bytes);
    free(room);
    free(want);
}
