/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/optimize.h"

#include <string.h>
#include <sys/stat.h>

#include "rafs/image.h"

/*
 * Chunks that a trace names are read, verified like everything that is read, and fed to
 * the builder in the order of the trace, each as the content of a file that has no name.
 * They become a blob of their own. Then the image's tree is taken in, and wherever a file
 * refers to one of them it gets the new one. Everything else stays where it is.
 */

/* A chunk that is stored again. Where it was is its key. */
struct hot {
    struct build_inode file; /* whose only chunk it is */
    uint32_t number;         /* in the new image, once the builder is flushed */
    uint32_t blob, index;
    uint64_t offset;
};

struct optimizer {
    rafs_builder *builder;
    const struct rafsi_tree *tree;
    struct rafsi_reader *reader;
    const rafs_call *call;
    struct hot *hot;
    uint32_t count;
    uint32_t *slots; /* numbers of hot plus one */
    uint32_t room;   /* a power of two */
    uint64_t seed;
    uint8_t *buffer; /* a chunk */
};

static uint32_t *probe(const struct optimizer *o, uint32_t blob, uint32_t index,
                       uint64_t offset)
{
    uint64_t mixed = (o->seed ^ ((uint64_t)blob << 32 | index)) * 0x9e3779b97f4a7c15u;
    uint32_t i;

    mixed = ((mixed >> 32 | mixed << 32) ^ offset) * 0xff51afd7ed558ccdu;
    i = (uint32_t)(mixed >> 32) & (o->room - 1);
    while (o->slots[i]) {
        const struct hot *hot = &o->hot[o->slots[i] - 1];

        if (hot->blob == blob && hot->index == index && hot->offset == offset)
            break;
        i = (i + 1) & (o->room - 1);
    }
    return &o->slots[i];
}

/* For source_image.c: what a chunk has become. */
static int find(void *user, const struct chunk_record *chunk, uint32_t *number,
                rafs_error *err)
{
    const struct optimizer *o = user;
    uint32_t slot = *probe(o, chunk->blob, chunk->index, chunk->compressed_offset);

    (void)err;
    if (!slot)
        return RAFS_E_NOENT;
    *number = o->hot[slot - 1].number;
    return RAFS_OK;
}

static int wrong_trace(const rafs_trace_event *event, rafs_error *err)
{
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "trace",
                      "is not of this image: it has no chunk at byte %llu of inode %llu "
                      "like the trace's",
                      (unsigned long long)event->file_offset,
                      (unsigned long long)event->ino);
}

/* The chunk of an event of which nobody knows the file. RAFS_E_NOENT: only files tell of
 * it, so nobody knows which it is. */
static int look_by_number(const struct optimizer *o, const rafs_trace_event *event,
                          struct rafsi_chunk *chunk, rafs_error *err)
{
    const struct blob_record *blob;
    int rc;

    if (o->tree->super.version != 6 || event->blob >= o->tree->super.blob_count)
        return wrong_trace(event, err);
    blob = &o->tree->blobs[event->blob];
    *chunk = (struct rafsi_chunk){.digest_algorithm = blob->digest_algorithm,
                                  .compressor = blob->compressor};
    rc = rafsi_v6_chunk_of(o->tree, event->blob, event->chunk, &chunk->record, err);
    chunk->length = chunk->record.uncompressed_size;
    return rc;
}

/* The chunk of an event, which has to be where the trace says. */
static int look(const struct optimizer *o, const rafs_trace_event *event,
                struct rafsi_chunk *chunk, rafs_error *err)
{
    struct rafsi_node file;

    if (event->ino == 0) {
        int rc = look_by_number(o, event, chunk, err);

        if (rc < 0)
            return rc;
    } else if (rafsi_tree_file(o->tree, event->ino, &file, NULL) < 0 ||
               event->file_offset >= file.attr.size) {
        return wrong_trace(event, err);
    } else if (rafsi_tree_chunk(o->tree, &file, event->file_offset, chunk, err) < 0) {
        return err ? err->code : RAFS_E_CORRUPT;
    }
    if (chunk->hole || chunk->file_offset != event->file_offset ||
        chunk->length != event->length || chunk->record.blob != event->blob ||
        chunk->record.index != event->chunk || chunk->length > o->tree->super.chunk_size)
        return wrong_trace(event, err);
    return RAFS_OK;
}

static int store(struct optimizer *o, const rafs_trace_event *event, rafs_error *err)
{
    struct rafsi_data *data = o->builder->data;
    struct rafsi_chunk chunk;
    struct hot *hot;
    uint32_t *slot;
    int rc = look(o, event, &chunk, err);

    if (rc < 0)
        return rc == RAFS_E_NOENT ? RAFS_OK : rc;
    slot =
        probe(o, chunk.record.blob, chunk.record.index, chunk.record.compressed_offset);
    if (*slot)
        return RAFS_OK;
    rc = rafsi_reader_chunk(o->reader, &chunk, o->buffer, o->call, err);
    if (rc < 0)
        return rc;
    hot = &o->hot[o->count];
    *hot = (struct hot){.file = {.mode = S_IFREG, .size = chunk.length},
                        .blob = chunk.record.blob,
                        .index = chunk.record.index,
                        .offset = chunk.record.compressed_offset};
    hot->file.chunks = &hot->number;
    *slot = ++o->count;
    rc = rafsi_data_begin(data, &hot->file, err);
    if (rc == RAFS_OK)
        rc = rafsi_data_add(data, o->buffer, (size_t)chunk.length, o->call, err);
    if (rc == RAFS_OK)
        rc = rafsi_data_end(data, o->call, err);
    return rc;
}

static int store_all(struct optimizer *o, const rafs_trace *trace, rafs_error *err)
{
    rafs_trace_event events[64];
    uint32_t first = 0;
    size_t count = 0;
    int rc = RAFS_OK;

    do {
        rc = rafs_trace_get_events(trace, first, events, 64, &count, err);
        for (size_t i = 0; rc == RAFS_OK && i < count; i++) {
            rc = rafsi_builder_tick(o->builder, o->call, err);
            if (rc == RAFS_OK)
                rc = store(o, &events[i], err);
        }
        first += (uint32_t)count;
    } while (rc == RAFS_OK && count > 0);
    return rc;
}

/* The blob is complete; in version 5 its record asks for it to be read ahead. */
static int end_blob(struct optimizer *o, rafs_error *err)
{
    rafs_builder *builder = o->builder;
    uint32_t number = NO_BLOB;
    int rc = rafsi_data_flush(builder->data, o->call, err);

    if (rc == RAFS_OK)
        rc = rafsi_data_end_blob(builder->data, builder->layer, NULL, &number, o->call,
                                 err);
    if (rc == RAFS_OK && number != NO_BLOB && builder->image.version == 5) {
        struct blob_record *record = &builder->image.blobs.at[number].record;

        record->prefetch_size = rafsi_min(record->compressed_size, UINT32_MAX);
    }
    return rc;
}

static int prepare(struct optimizer *o, const rafs_trace *trace, rafs_error *err)
{
    struct rafsi_env *env = &o->builder->image.env;
    rafs_trace_info info = RAFS_TRACE_INFO_INIT;
    int rc = rafs_trace_get_info(trace, &info, err);

    if (rc < 0)
        return rc;
    if (o->builder->options.flags & RAFS_BUILD_INLINE_BOOTSTRAP)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "builder",
                          "chunks that are stored again need a blob without a "
                          "bootstrap");
    rc = rafsi_tree_fits(&o->builder->image, o->tree, "image", err);
    if (rc < 0)
        return rc;
    for (o->room = 64; o->room < 2 * info.events; o->room *= 2)
        ;
    /* The builder fills in numbers until it is freed. */
    o->hot =
        rafsi_arena_alloc(&o->builder->image.arena, (info.events + 1u) * sizeof(*o->hot));
    o->slots = rafsi_alloc_zero(env, o->room * sizeof(*o->slots));
    o->buffer = rafsi_alloc(env, o->tree->super.chunk_size);
    if (!o->hot || !o->slots || !o->buffer)
        return rafsi_fail_nomem(err, (info.events + 1u) * sizeof(*o->hot));
    return RAFS_OK;
}

int rafsi_optimize(rafs_builder *builder, const struct rafsi_tree *tree,
                   struct rafsi_reader *reader, const rafs_trace *trace,
                   const rafs_call *call, rafs_error *err)
{
    const struct rafsi_env *env = &builder->image.env;
    struct optimizer o = {.builder = builder,
                          .tree = tree,
                          .reader = reader,
                          .call = call,
                          .seed = rafsi_seed()};
    struct rafsi_replace replace = {&o, find};
    int rc = prepare(&o, trace, err);

    if (rc == RAFS_OK)
        rc = store_all(&o, trace, err);
    if (rc == RAFS_OK)
        rc = end_blob(&o, err);
    if (rc == RAFS_OK) {
        builder->replace = &replace;
        rc = rafsi_source_image(builder, tree, NULL, call, err);
        builder->replace = NULL;
    }
    rafsi_free(env, o.slots);
    rafsi_free(env, o.buffer);
    return rc;
}
