/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/data_impl.h"
#include "rafs/image.h"

/*
 * What comes behind the chunks of a blob (blob.md, 4 and 14): compression information,
 * digests, a bootstrap, the table of contents, those that were asked for.
 */

enum { SECTIONS_MAX = 5, STREAM_BYTES = 128 << 10 };

struct tail {
    struct rafsi_data *data;
    const rafs_call *call;
    struct blob_record record;
    struct toc_entry toc[SECTIONS_MAX];
    uint32_t toc_count;
    bool framed; /* sections have tar headers */
    bool listed; /* there is a table of contents */
};

static int put(struct tail *tail, const void *bytes, size_t len, rafs_error *err)
{
    return rafsi_blob_put(tail->data, bytes, len, tail->call, err);
}

static uint64_t here(const struct tail *tail)
{
    return tail->data->blob.out.size;
}

/* The header behind a section, where sections have one. */
static int put_header(struct tail *tail, const char *name, uint64_t size, rafs_error *err)
{
    uint8_t header[TAR_HEADER_BYTES];

    if (!tail->framed)
        return RAFS_OK;
    rafsi_tar_section_put(name, size, header);
    return put(tail, header, sizeof(header), err);
}

/* An entry of the table of contents, its digest still to be filled in. */
static struct toc_entry *list(struct tail *tail, const char *name, uint32_t compressor,
                              uint64_t at, uint64_t stored_size,
                              uint64_t uncompressed_size)
{
    struct toc_entry *entry = &tail->toc[tail->toc_count++];

    *entry = (struct toc_entry){.compressor = compressor,
                                .at = at,
                                .stored_size = stored_size,
                                .uncompressed_size = uncompressed_size};
    memcpy(entry->name, name, strnlen(name, sizeof(entry->name) - 1));
    return entry;
}

static int sha256(struct tail *tail, const void *bytes, size_t len, uint8_t out[32],
                  rafs_error *err)
{
    return rafsi_hash_bytes(tail->data->image->hashes, RAFSI_SHA256, bytes, len, out,
                            err);
}

/* Chunks end here. The entry's digest is that of the data and of its header. */
static int put_data_end(struct tail *tail, rafs_error *err)
{
    struct blob_out *blob = &tail->data->blob;
    struct toc_entry *entry;
    int rc;

    if (blob->count == 0)
        return RAFS_OK;
    rc = put_header(tail, SECTION_BLOB, blob->compressed, err);
    if (rc < 0 || !tail->listed)
        return rc;
    entry = list(tail, SECTION_BLOB, RAFS_COMPRESSOR_NONE, 0, blob->compressed,
                 blob->uncompressed);
    return rafsi_hash_peek(&blob->out.hash, entry->digest, err);
}

static void entry_of(const struct blob_out *blob, const struct build_chunk *chunk,
                     bool v2, struct ci_entry *out)
{
    *out = (struct ci_entry){.uncompressed_offset = chunk->uncompressed_offset,
                             .compressed_offset = chunk->compressed_offset,
                             .uncompressed_size = chunk->uncompressed_size,
                             .compressed_size = chunk->compressed_size};
    if (!v2)
        return;
    if (blob->members[chunk->index].batch != NO_BATCH) {
        out->flags = CI_BATCH | CI_COMPRESSED;
        out->batch_index = blob->members[chunk->index].batch;
        out->batch_offset = blob->members[chunk->index].offset;
        return;
    }
    if (chunk->flags & CHUNK_COMPRESSED)
        out->flags |= CI_COMPRESSED;
    if (chunk->crc32 != 0)
        out->flags |= CI_HAS_CRC32;
    out->crc32 = chunk->crc32;
}

static void put_entries(struct tail *tail, const struct ci_header *header, uint8_t *ci)
{
    const struct blob_out *blob = &tail->data->blob;

    for (uint32_t i = 0; i < blob->count; i++) {
        struct ci_entry entry;

        entry_of(blob, rafsi_chunks_at(&tail->data->image->chunks, blob->numbers[i]),
                 header->entry_bytes == CI_V2_BYTES, &entry);
        rafsi_ci_put_entry(&entry, header->entry_bytes,
                           ci + (size_t)i * header->entry_bytes);
    }
    for (uint32_t i = 0; i < header->contexts; i++)
        rafsi_ci_put_batch(&blob->contexts[i],
                           ci + header->contexts_at + (size_t)i * CI_BATCH_BYTES);
}

/* The array, compressed if that makes it smaller; the record says which. */
static int put_array(struct tail *tail, const uint8_t *ci, size_t size, rafs_error *err)
{
    struct rafsi_data *data = tail->data;
    uint8_t *packed = rafsi_alloc(&data->env, size);
    size_t len = 0;
    int rc;

    if (!packed)
        return rafsi_fail_nomem(err, size);
    /* The workers have nothing to do. */
    rc = rafsi_encode(data->workers[0].encoder, ci, size, packed, &len, err);
    tail->record.ci_offset = here(tail);
    tail->record.ci_compressor = len > 0 ? data->image->compressor : RAFS_COMPRESSOR_NONE;
    tail->record.ci_compressed_size = len > 0 ? len : size;
    tail->record.ci_uncompressed_size = size;
    if (rc == RAFS_OK)
        rc = put(tail, len > 0 ? packed : ci, len > 0 ? len : size, err);
    rafsi_free(&data->env, packed);
    return rc;
}

static int list_ci(struct tail *tail, const uint8_t *ci, const uint8_t *header,
                   rafs_error *err)
{
    const struct blob_record *record = &tail->record;
    struct toc_entry *entry =
        list(tail, SECTION_META, record->ci_compressor, record->ci_offset,
             record->ci_compressed_size, record->ci_uncompressed_size);
    int rc = sha256(tail, ci, (size_t)record->ci_uncompressed_size, entry->digest, err);

    if (rc < 0)
        return rc;
    entry = list(tail, SECTION_META_HEADER, RAFS_COMPRESSOR_NONE,
                 record->ci_offset + record->ci_compressed_size, CI_HEADER_BYTES,
                 CI_HEADER_BYTES);
    return sha256(tail, header, CI_HEADER_BYTES, entry->digest, err);
}

static int put_ci(struct tail *tail, rafs_error *err)
{
    struct rafsi_data *data = tail->data;
    const struct blob_out *blob = &data->blob;
    struct ci_header header = {.entries = blob->count,
                               .entry_bytes = blob->batches ? CI_V2_BYTES : CI_V1_BYTES,
                               .contexts = blob->context_count};
    uint64_t entries = (uint64_t)blob->count * header.entry_bytes;
    size_t size = (size_t)(entries + (uint64_t)header.contexts * CI_BATCH_BYTES);
    uint8_t bytes[CI_HEADER_BYTES];
    uint8_t *ci = rafsi_alloc(&data->env, size);
    int rc;

    if (!ci)
        return rafsi_fail_nomem(err, size);
    header.contexts_at = blob->batches ? entries : 0;
    header.contexts_bytes = size - entries;
    put_entries(tail, &header, ci);
    rc = put_array(tail, ci, size, err);
    rafsi_ci_put_header(&header, &tail->record, bytes);
    if (rc == RAFS_OK)
        rc = put(tail, bytes, sizeof(bytes), err);
    if (rc == RAFS_OK)
        rc = put_header(tail, SECTION_META, here(tail) - tail->record.ci_offset, err);
    if (rc == RAFS_OK && tail->listed)
        rc = list_ci(tail, ci, bytes, err);
    rafsi_free(&data->env, ci);
    return rc;
}

static int put_digests(struct tail *tail, rafs_error *err)
{
    const struct blob_out *blob = &tail->data->blob;
    uint64_t at = here(tail);
    uint64_t size = (uint64_t)blob->count * 32;
    struct toc_entry *entry;
    struct rafsi_hash hash;
    int rc = rafsi_hash_begin(tail->data->image->hashes, RAFSI_SHA256, &hash, err);

    for (uint32_t i = 0; i < blob->count && rc == RAFS_OK; i++) {
        const uint8_t *digest =
            rafsi_chunks_at(&tail->data->image->chunks, blob->numbers[i])->digest;

        rc = put(tail, digest, 32, err);
        if (rc == RAFS_OK)
            rc = rafsi_hash_add(&hash, digest, 32, err);
    }
    if (rc < 0) {
        rafsi_hash_drop(&hash);
        return rc;
    }
    entry = list(tail, SECTION_DIGEST, RAFS_COMPRESSOR_NONE, at, size, size);
    rc = rafsi_hash_end(&hash, entry->digest, err);
    return rc < 0 ? rc : put_header(tail, SECTION_DIGEST, size, err);
}

/* The bootstrap on its way into the blob. */
struct boot_out {
    struct tail *tail;
    struct rafsi_encoder *encoder; /* NULL: stored as it is */
    struct rafsi_hash hash;
    uint64_t size;
    uint8_t *room;
};

static int put_boot_step(struct boot_out *boot, const void *bytes, size_t len, bool last,
                         const rafs_call *call, rafs_error *err)
{
    struct encode_step step = {.in = bytes, .in_left = len, .last = last};
    int rc = RAFS_OK;

    while (rc == RAFS_OK && (step.in_left > 0 || (last && !step.done))) {
        step.out = boot->room;
        step.out_left = STREAM_BYTES;
        rc = rafsi_encode_step(boot->encoder, &step, err);
        if (rc == RAFS_OK)
            rc = rafsi_blob_put(boot->tail->data, boot->room,
                                STREAM_BYTES - step.out_left, call, err);
    }
    return rc;
}

static int put_boot_bytes(void *user, const void *bytes, size_t len,
                          const rafs_call *call, rafs_error *err)
{
    struct boot_out *boot = user;
    int rc = rafsi_hash_add(&boot->hash, bytes, len, err);

    boot->size += len;
    if (rc < 0)
        return rc;
    if (boot->encoder)
        return put_boot_step(boot, bytes, len, false, call, err);
    return rafsi_blob_put(boot->tail->data, bytes, len, call, err);
}

/* Compressed where a table of contents says so. */
static int begin_boot(struct boot_out *boot, rafs_error *err)
{
    struct rafsi_data *data = boot->tail->data;
    int rc = rafsi_hash_begin(data->image->hashes, RAFSI_SHA256, &boot->hash, err);

    if (rc < 0 || !boot->tail->listed)
        return rc;
    boot->room = rafsi_alloc(&data->env, STREAM_BYTES);
    if (!boot->room)
        return rafsi_fail_nomem(err, STREAM_BYTES);
    return rafsi_encoder_new(&data->env, RAFS_COMPRESSOR_ZSTD, 0, &boot->encoder, err);
}

static int list_boot(struct tail *tail, struct boot_out *boot, uint64_t at,
                     rafs_error *err)
{
    struct toc_entry *entry = list(
        tail, SECTION_BOOT, boot->encoder ? RAFS_COMPRESSOR_ZSTD : RAFS_COMPRESSOR_NONE,
        at, here(tail) - at, boot->size);
    int rc = rafsi_hash_end(&boot->hash, entry->digest, err);

    return rc < 0 ? rc : put_header(tail, SECTION_BOOT, entry->stored_size, err);
}

static int put_boot(struct tail *tail, const struct rafsi_boot *from, rafs_error *err)
{
    struct boot_out boot = {.tail = tail};
    uint64_t at = here(tail);
    int rc = begin_boot(&boot, err);

    if (rc == RAFS_OK)
        rc = from->write(from->user, put_boot_bytes, &boot, tail->call, err);
    if (rc == RAFS_OK && boot.encoder)
        rc = put_boot_step(&boot, NULL, 0, true, tail->call, err);
    if (rc == RAFS_OK)
        rc = list_boot(tail, &boot, at, err);
    rafsi_hash_drop(&boot.hash);
    rafsi_encoder_free(boot.encoder);
    rafsi_free(&tail->data->env, boot.room);
    return rc;
}

/* What is said of it in records is the digest of its entries and its header. */
static int put_toc(struct tail *tail, rafs_error *err)
{
    uint8_t bytes[SECTIONS_MAX * TOC_ENTRY_BYTES + TAR_HEADER_BYTES];
    size_t size = tail->toc_count * TOC_ENTRY_BYTES;
    int rc;

    for (uint32_t i = 0; i < tail->toc_count; i++)
        rafsi_toc_entry_put(&tail->toc[i], bytes + i * TOC_ENTRY_BYTES);
    rafsi_tar_section_put(SECTION_TOC, size, bytes + size);
    size += TAR_HEADER_BYTES;
    tail->record.toc_size = (uint32_t)size;
    rc = sha256(tail, bytes, size, tail->record.toc_digest, err);
    return rc < 0 ? rc : put(tail, bytes, size, err);
}

static uint32_t features_of(const struct tail *tail, bool boot)
{
    const struct rafsi_data *data = tail->data;
    bool v6 = data->image->version == 6;
    uint32_t features = 0;

    if (v6 || (data->options.flags & RAFS_BUILD_ALIGNED))
        features |= RAFS_BLOB_ALIGNED;
    if (boot)
        features |= RAFS_BLOB_INLINED_FS_META;
    if (!v6)
        return features;
    features |= RAFS_BLOB_CAP_TAR_TOC;
    if (tail->framed)
        features |= RAFS_BLOB_HAS_TAR_HEADER;
    if (tail->listed)
        features |= RAFS_BLOB_HAS_TOC | RAFS_BLOB_INLINED_CHUNK_DIGEST;
    if (data->blob.batches)
        features |= RAFS_BLOB_BATCH | RAFS_BLOB_CHUNK_INFO_V2;
    return features;
}

static void begin_record(struct tail *tail, bool boot)
{
    const struct build_image *image = tail->data->image;
    const struct blob_out *blob = &tail->data->blob;

    tail->record.features = features_of(tail, boot);
    tail->record.compressor = image->compressor;
    tail->record.digest_algorithm = image->digest_algorithm;
    tail->record.chunk_size = image->chunk_size;
    tail->record.chunk_count = blob->count;
    tail->record.uncompressed_size = blob->uncompressed;
    tail->record.ci_compressor = RAFS_COMPRESSOR_NONE;
    if (boot)
        memset(tail->record.id, 'x', 64);
}

static void publish(struct tail *tail)
{
    tail->data->image->blobs.at[tail->data->blob.number].record = tail->record;
}

static int put_sections(struct tail *tail, const struct rafsi_boot *boot, rafs_error *err)
{
    bool v6 = tail->data->image->version == 6;
    bool any = tail->data->blob.count > 0;
    int rc = put_data_end(tail, err);

    if (rc == RAFS_OK && v6 && any)
        rc = put_ci(tail, err);
    if (rc == RAFS_OK && tail->listed && any)
        rc = put_digests(tail, err);
    /* As long as it is known: up to where the bootstrap begins. */
    tail->record.compressed_size = here(tail);
    publish(tail);
    if (rc == RAFS_OK && boot)
        rc = put_boot(tail, boot, err);
    if (rc == RAFS_OK && tail->listed)
        rc = put_toc(tail, err);
    return rc;
}

int rafsi_tail_write(struct rafsi_data *data, uint32_t layer,
                     const struct rafsi_boot *boot, const rafs_call *call,
                     rafs_error *err)
{
    struct tail tail = {.data = data, .call = call};
    struct build_blob *blob;
    uint8_t digest[32];
    int rc;

    tail.listed = (data->options.flags & RAFS_BUILD_TOC) && data->image->version == 6;
    tail.framed = tail.listed || boot;
    begin_record(&tail, boot);
    rc = put_sections(&tail, boot, err);
    if (rc == RAFS_OK)
        rc = rafsi_out_commit(&data->blob.out, digest, call, err);
    if (rc < 0)
        return rc;
    data->blob.open = false;
    if (!boot) {
        tail.record.compressed_size = data->blob.out.size;
        rafsi_digest_hex(digest, tail.record.id);
    }
    publish(&tail);
    blob = &data->image->blobs.at[data->blob.number];
    blob->layer = layer;
    blob->file_size = data->blob.out.size;
    memcpy(blob->sha256, digest, sizeof(digest));
    return RAFS_OK;
}
