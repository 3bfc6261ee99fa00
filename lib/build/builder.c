/* SPDX-License-Identifier: Apache-2.0 */

/* A builder from its options to its bootstrap. */

#include "build/builder.h"

#include <string.h>

static uint32_t stored_as(uint32_t compressor)
{
    return compressor == RAFS_STORE_NONE  ? RAFS_COMPRESSOR_NONE
           : compressor == RAFS_STORE_LZ4 ? RAFS_COMPRESSOR_LZ4_BLOCK
                                          : RAFS_COMPRESSOR_ZSTD;
}

static void image_init(struct build_image *image, const struct rafsi_env *env)
{
    image->env = *env;
    rafsi_arena_init(&image->arena, &image->env);
    image->chunks.env = &image->env;
    image->blobs.env = &image->env;
}

static void image_fill(struct build_image *image, const rafs_build_options *o)
{
    image->version = o->version;
    image->compressor = stored_as(o->compressor);
    image->digest_algorithm = o->digest == RAFS_HASH_SHA256 ? RAFSI_SHA256 : RAFSI_BLAKE3;
    image->chunk_size = o->chunk_size;
    image->no_owners = (o->flags & RAFS_BUILD_NO_OWNERS) != 0;
    image->layers = 1;
    /* What every file is to have, these have too. */
    if (o->flags & RAFS_BUILD_OWNER) {
        image->implied_uid = o->owner_uid;
        image->implied_gid = o->owner_gid;
    }
    if (o->flags & RAFS_BUILD_MTIME_ALL)
        image->implied_mtime = o->mtime_max;
}

static void image_free(struct build_image *image)
{
    rafsi_chunks_free(&image->chunks);
    rafsi_blobs_free(&image->blobs);
    rafsi_hashes_free(image->hashes);
    rafsi_arena_free(&image->arena);
}

/* Chunks that need not be stored: dictionaries and the index. */
static int open_known(rafs_builder *builder, const struct rafsi_tree *const *dictionaries,
                      struct rafsi_data_options *data, rafs_error *err)
{
    const rafs_build_options *o = &builder->options;
    int rc = RAFS_OK;

    rafsi_borrow_init(&builder->borrow, &builder->image);
    if (o->dictionary_count)
        rc = rafsi_dictionary_new(&builder->borrow, dictionaries, o->dictionary_count,
                                  NULL, &builder->dictionary, err);
    if (rc == RAFS_OK && o->store_index)
        rc = rafsi_store_index_new(&builder->borrow, builder->sink, o->store_index, NULL,
                                   &builder->index, err);
    data->dictionary = rafsi_dictionary_known(builder->dictionary);
    data->index = rafsi_store_index_known(builder->index);
    return rc;
}

static int start(rafs_builder *builder, const struct rafsi_tree *const *dictionaries,
                 rafs_error *err)
{
    const rafs_build_options *o = &builder->options;
    struct rafsi_data_options data = {.flags = o->flags,
                                      .level = o->level,
                                      .batch_size = o->batch_size,
                                      .dedup = o->dedup,
                                      .threads = o->threads};
    int rc = rafsi_hashes_new(&builder->image.env, &builder->image.hashes, err);

    builder->path_room = rafsi_arena_alloc(&builder->image.arena,
                                           o->exclude_count ? RAFS_PATH_MAX + 2 : 1);
    if (rc == RAFS_OK && !builder->path_room)
        rc = rafsi_fail_nomem(err, RAFS_PATH_MAX + 2);
    if (rc == RAFS_OK)
        rc = open_known(builder, dictionaries, &data, err);
    if (rc == RAFS_OK)
        rc = rafsi_layers_new(&builder->image,
                              o->flags & RAFS_BUILD_KEEP_WHITEOUTS ? LAYERS_KEEP_WHITEOUTS
                                                                   : 0,
                              &builder->layers, err);
    if (rc == RAFS_OK)
        rc = rafsi_data_new(&builder->image, builder->sink, &data, &builder->data, err);
    return rc;
}

int rafsi_builder_new(const rafs_build_options *options,
                      const struct rafsi_tree *const *dictionaries, rafs_sink *sink,
                      const rafs_env *env, rafs_builder **out, rafs_error *err)
{
    struct rafsi_env taken;
    rafs_builder *builder;
    int rc = rafsi_env_take(env, &taken, err);

    if (rc < 0)
        return rc;
    builder = rafsi_alloc_zero(&taken, sizeof(*builder));
    if (!builder)
        return rafsi_fail_nomem(err, sizeof(*builder));
    image_init(&builder->image, &taken);
    builder->sink = sink;
    rc = rafsi_build_options_take(options, &builder->image.arena, &builder->options, err);
    if (rc == RAFS_OK) {
        image_fill(&builder->image, &builder->options);
        rc = start(builder, dictionaries, err);
    }
    if (rc < 0) {
        rafsi_builder_free(builder);
        return rc;
    }
    *out = builder;
    return RAFS_OK;
}

void rafsi_builder_free(rafs_builder *builder)
{
    struct rafsi_env env;

    if (!builder)
        return;
    env = builder->image.env;
    rafsi_data_free(builder->data);
    rafsi_dictionary_free(builder->dictionary);
    rafsi_store_index_free(builder->index);
    rafsi_borrow_free(&builder->borrow);
    rafsi_layers_free(builder->layers);
    rafsi_free(&env, builder->kept_xattrs);
    rafsi_free(&env, builder->used);
    image_free(&builder->image);
    rafsi_free(&env, builder);
}

/* End the blob of the layers so far; not with an inlined bootstrap, which comes first. */
static int end_blob(rafs_builder *builder, const rafs_call *call, rafs_error *err)
{
    uint32_t number;
    int rc = rafsi_data_flush(builder->data, call, err);

    return rc < 0 ? rc
                  : rafsi_data_end_blob(builder->data, builder->layer, NULL, &number,
                                        call, err);
}

int rafsi_builder_next_layer(rafs_builder *builder, const rafs_call *call,
                             rafs_error *err)
{
    uint32_t flags = builder->options.flags;
    int rc = RAFS_OK;

    if (flags & (RAFS_BUILD_INLINE_BOOTSTRAP | RAFS_BUILD_KEEP_WHITEOUTS))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "builder",
                          "a bootstrap inside the blob, or with whiteouts, is of one "
                          "layer");
    if (flags & RAFS_BUILD_BLOB_PER_LAYER)
        rc = end_blob(builder, call, err);
    if (rc == RAFS_OK)
        rc = rafsi_layers_next(builder->layers, err);
    if (rc == RAFS_OK)
        builder->layer++;
    return rc;
}

/* The prefetch list as names of the tree; what is not there is left out. */
static int find_prefetch(rafs_builder *builder, rafs_error *err)
{
    struct build_image *image = &builder->image;
    size_t count = builder->options.prefetch_count;

    if (count == 0)
        return RAFS_OK;
    image->prefetch = rafsi_arena_alloc(&image->arena, count * sizeof(*image->prefetch));
    if (!image->prefetch)
        return rafsi_fail_nomem(err, count * sizeof(*image->prefetch));
    for (size_t i = 0; i < count; i++) {
        const char *path = builder->options.prefetch[i];
        struct build_node *node = rafsi_layers_find(builder->layers, path, strlen(path));

        if (node)
            image->prefetch[image->prefetch_count++] = node;
    }
    return RAFS_OK;
}

/* A bootstrap is written to its own object and, if it is inlined, into the blob too. */
struct emission {
    rafs_builder *builder;
    struct rafsi_out out;
    rafsi_write_fn also;
    void *also_user;
};

static int emit_part(void *user, const void *data, size_t len, const rafs_call *call,
                     rafs_error *err)
{
    struct emission *emission = user;
    int rc = rafsi_out_write(&emission->out, data, len, call, err);

    if (rc == RAFS_OK && emission->also)
        rc = emission->also(emission->also_user, data, len, call, err);
    return rc;
}

static int emit(void *user, rafsi_write_fn also, void *also_user, const rafs_call *call,
                rafs_error *err)
{
    struct emission *emission = user;
    struct build_image *image = &emission->builder->image;

    emission->also = also;
    emission->also_user = also_user;
    rafsi_free(&image->env, emission->builder->used);
    emission->builder->used = rafsi_alloc_zero(
        &image->env, (image->blobs.count + 1u) * sizeof(*emission->builder->used));
    if (!emission->builder->used)
        return rafsi_fail_nomem(err, (image->blobs.count + 1u) * sizeof(uint32_t));
    return image->version == 5 ? rafsi_emit_v5(image, emission->builder->used, emit_part,
                                               emission, call, err)
                               : rafsi_emit_v6(image, emission->builder->used, emit_part,
                                               emission, call, err);
}

static int write_all(rafs_builder *builder, struct emission *emission,
                     const rafs_call *call, rafs_error *err)
{
    struct rafsi_boot boot = {.user = emission, .write = emit};
    uint32_t number;
    int rc;

    if (!(builder->options.flags & RAFS_BUILD_INLINE_BOOTSTRAP)) {
        rc = rafsi_data_end_blob(builder->data, builder->layer, NULL, &number, call, err);
        if (rc == RAFS_OK)
            rc = rafsi_out_begin(&emission->out, builder->sink, builder->image.hashes,
                                 RAFS_OBJECT_BOOTSTRAP, call, err);
        return rc < 0 ? rc : emit(emission, NULL, NULL, call, err);
    }
    rc = rafsi_out_begin(&emission->out, builder->sink, builder->image.hashes,
                         RAFS_OBJECT_BOOTSTRAP, call, err);
    return rc < 0 ? rc
                  : rafsi_data_end_blob(builder->data, builder->layer, &boot, &number,
                                        call, err);
}

static void sum_up(rafs_builder *builder, uint64_t bootstrap_size,
                   const uint8_t sha256[32])
{
    rafs_build_result *r = &builder->result;
    struct rafsi_data_count count;

    rafsi_data_counted(builder->data, &count);
    r->struct_size = sizeof(*r);
    for (uint32_t i = 0; i < builder->image.blobs.count; i++)
        r->blob_count += builder->used[i] != NO_BLOB;
    memcpy(r->bootstrap_sha256, sha256, sizeof(r->bootstrap_sha256));
    r->bootstrap_size = bootstrap_size;
    r->entries = builder->image.names;
    r->inodes = builder->image.inodes;
    r->skipped = builder->skipped;
    r->file_bytes = count.bytes;
    r->chunks = count.chunks;
    r->stored_chunks = count.stored_chunks;
    r->stored_bytes = count.stored;
    r->same_file_bytes = count.same_file_bytes;
    r->same_image_bytes = count.same_image_bytes;
    r->same_dictionary_bytes = count.same_dictionary_bytes;
    r->same_index_bytes = count.same_index_bytes;
}

/* The order of events: content, tree, blob, bootstrap. */
static int complete(rafs_builder *builder, struct emission *emission,
                    const rafs_call *call, rafs_error *err)
{
    uint8_t sha256[32];
    uint64_t size;
    int rc = rafsi_data_flush(builder->data, call, err);

    if (rc == RAFS_OK)
        rc = rafsi_image_seal(&builder->image, err);
    if (rc == RAFS_OK)
        rc = find_prefetch(builder, err);
    if (rc == RAFS_OK)
        rc = write_all(builder, emission, call, err);
    if (rc < 0)
        return rc;
    size = emission->out.size;
    rc = rafsi_out_commit(&emission->out, sha256, call, err);
    if (rc == RAFS_OK)
        sum_up(builder, size, sha256);
    return rc;
}

/* The image is complete; without the index a later build stores more than it had to. */
static void keep_index(rafs_builder *builder, const rafs_call *call)
{
    rafs_error why = RAFS_ERROR_INIT;

    if (builder->index && rafsi_store_index_add(builder->index, call, &why) < 0)
        rafsi_log(&builder->image.env, RAFS_LOG_WARNING,
                  "%s: %s; what was stored was not added to it", why.object, why.text);
}

int rafsi_builder_finish(rafs_builder *builder, rafs_build_result *result,
                         const rafs_call *call, rafs_error *err)
{
    struct emission emission = {.builder = builder};
    int rc = complete(builder, &emission, call, err);

    if (rc < 0) {
        rafsi_out_abort(&emission.out);
        return rc;
    }
    builder->finished = true;
    keep_index(builder, call);
    return result ? rafsi_give_struct(&builder->result, sizeof(builder->result), result,
                                      "rafs_build_result", err)
                  : RAFS_OK;
}

int rafsi_builder_get_blob(const rafs_builder *builder, uint32_t i, rafs_build_blob *blob,
                           rafs_error *err)
{
    rafs_build_blob found = {.struct_size = sizeof(found)};

    for (uint32_t n = 0; builder->finished && n < builder->image.blobs.count; n++) {
        const struct build_blob *from = &builder->image.blobs.at[n];

        if (builder->used[n] != i)
            continue;
        found.written = from->ours;
        found.size = from->ours ? from->file_size : from->record.compressed_size;
        found.uncompressed_size = from->record.uncompressed_size;
        found.chunks = from->record.chunk_count;
        found.layer = from->layer;
        found.toc_size = from->record.toc_size;
        memcpy(found.toc_digest, from->record.toc_digest, sizeof(found.toc_digest));
        if (from->ours)
            rafsi_digest_hex(from->sha256, found.id);
        else
            memcpy(found.id, from->record.id, sizeof(found.id) - 1);
        return rafsi_give_struct(&found, sizeof(found), blob, "rafs_build_blob", err);
    }
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "builder",
                      builder->finished ? "has no blob %u" : "is not finished: blob %u",
                      i);
}
