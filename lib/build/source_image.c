/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "build/builder.h"
#include "build/source_node.h"
#include "rafs/image.h"

/*
 * Merging: an image's tree becomes a layer, and its chunks stay where they are. Names,
 * links and whiteouts are layers.c's business, as with any source. Sources of facts:
 * bootstrap-common.md, 8 and 9.
 */

enum { SCRATCH_BYTES = 256 * 1024 };

struct source_image {
    rafs_builder *builder;
    const struct rafsi_tree *tree;
    const rafs_build_layer *change; /* NULL: nothing */
    const rafs_call *call;
    struct rafsi_walk *walk;
    struct arena scratch; /* of the entries since it was emptied */
    uint32_t own;         /* the blob that `change` is about */
    uint32_t *blobs;      /* by the tree's number: ours; NO_BLOB: not met yet */
    struct rafsi_met met;
};

static int begin_fits(struct source_image *s, rafs_error *err)
{
    const struct build_image *image = &s->builder->image;
    int rc = rafsi_tree_fits(image, s->tree, "image", err);

    if (rc == RAFS_OK && !(s->tree->super.flags & SB_EXPLICIT_UID_GID) &&
        !image->no_owners && !(s->builder->options.flags & RAFS_BUILD_OWNER))
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "image",
                        "holds no owners; build without them (RAFS_BUILD_NO_OWNERS) or "
                        "say whose the files are");
    return rc;
}

/* An id that stands for that of the blob which the bootstrap itself lies in. */
static bool is_placeholder(const char *id)
{
    return strspn(id, "x") == RAFS_BLOB_ID_MAX && id[RAFS_BLOB_ID_MAX] == '\0';
}

/* Which of the image's blobs is the layer's own: the one without a name, the one that no
 * dictionary has or, if that does not tell, the one that no layer before had. */
static int find_own(struct source_image *s, rafs_error *err)
{
    const struct rafsi_tree *tree = s->tree;
    uint32_t count = 0, fresh = 0, last = 0, last_fresh = 0, number;

    for (uint32_t i = 0; i < tree->super.blob_count; i++) {
        s->own = i;
        if (is_placeholder(tree->blobs[i].id))
            return RAFS_OK;
    }
    for (uint32_t i = 0; i < tree->super.blob_count; i++) {
        if (rafsi_dictionary_has(s->builder->dictionary, tree->blobs[i].id))
            continue;
        count++;
        last = i;
        if (rafsi_blobs_find(&s->builder->image.blobs, tree->blobs[i].id, &number))
            continue;
        fresh++;
        last_fresh = i;
    }
    s->own = count == 1 ? last : last_fresh;
    if (count == 1 || fresh == 1 || tree->super.blob_count == 0)
        return RAFS_OK;
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "image",
                      "%u of its %u blobs could be the one that is called otherwise; "
                      "give the dictionaries that it was built with",
                      count, tree->super.blob_count);
}

static bool changes_blob(const rafs_build_layer *change)
{
    return change && (change->blob_id || change->blob_size || change->toc_digest ||
                      change->toc_size);
}

static int check_change(const rafs_build_layer *change, rafs_error *err)
{
    const uint8_t *id = (const uint8_t *)change->blob_id;

    if (id && rafsi_check_blob_id(id, strlen(change->blob_id), 0, NULL) < 0)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "blob_id",
                          "is no blob id: 1 to %d letters, digits and the like",
                          RAFS_BLOB_ID_MAX);
    return RAFS_OK;
}

/* Of blobs that are a foreign layer the id is that layer's; what the merge is told is
 * about the blob of metadata beside it. */
static void change_record(const rafs_build_layer *change, struct blob_record *record)
{
    bool separate = record->features & RAFS_BLOB_SEPARATE;
    uint8_t digest[RAFSI_DIGEST_BYTES];

    if (change->blob_id && !separate) {
        memset(record->id, 0, sizeof(record->id));
        memcpy(record->id, change->blob_id, strlen(change->blob_id));
    } else if (change->blob_id &&
               rafsi_digest_parse(change->blob_id, strlen(change->blob_id), digest)) {
        memcpy(record->meta_digest, digest, sizeof(digest));
    }
    if (change->blob_size && separate)
        record->meta_size = change->blob_size;
    else if (change->blob_size)
        record->compressed_size = change->blob_size;
    if (change->toc_digest)
        memcpy(record->toc_digest, change->toc_digest, sizeof(record->toc_digest));
    if (change->toc_size)
        record->toc_size = change->toc_size;
}

static int blob_of(struct source_image *s, uint32_t number, uint32_t *out,
                   rafs_error *err)
{
    struct build_image *image = &s->builder->image;
    struct blob_record record;
    int rc;

    if (number >= s->tree->super.blob_count)
        return rafsi_corrupt(err, 0, "chunk in blob %u of %u", number,
                             s->tree->super.blob_count);
    if (s->blobs[number] == NO_BLOB) {
        record = s->tree->blobs[number];
        rc = rafsi_borrow_allowed(image, &record, err);
        if (rc < 0)
            return rc;
        if (changes_blob(s->change) && number == s->own)
            change_record(s->change, &record);
        rc = rafsi_borrow_blob(&s->builder->borrow, &record, image->layers - 1,
                               &s->blobs[number], err);
        if (rc < 0)
            return rc;
    }
    *out = s->blobs[number];
    return RAFS_OK;
}

static int take_chunk(struct source_image *s, const struct rafsi_node *file,
                      uint64_t offset, uint32_t *number, rafs_error *err)
{
    const struct rafsi_replace *replace = s->builder->replace;
    uint32_t chunk_size = s->tree->super.chunk_size;
    struct rafsi_chunk chunk;
    uint32_t blob = NO_BLOB;
    int rc = rafsi_tree_chunk(s->tree, file, offset, &chunk, err);

    if (rc < 0)
        return rc;
    if (chunk.hole || chunk.no_record)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, file->at,
                             chunk.hole ? "file has a hole, which is no chunk"
                                        : "file has a chunk without a digest");
    if (chunk.file_offset != offset ||
        chunk.length != rafsi_min(chunk_size, file->attr.size - offset))
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, file->at,
                             "file is not cut every %u bytes", chunk_size);
    if (replace) {
        rc = replace->find(replace->user, &chunk.record, number, err);
        if (rc != RAFS_E_NOENT)
            return rc;
    }
    rc = blob_of(s, chunk.record.blob, &blob, err);
    if (rc < 0)
        return rc;
    return rafsi_borrow_chunk(&s->builder->borrow, &chunk.record, blob, number, err);
}

static int take_chunks(struct source_image *s, const struct rafsi_node *file,
                       struct build_inode *inode, rafs_error *err)
{
    uint32_t chunk_size = s->tree->super.chunk_size;
    uint32_t count;
    int rc = RAFS_OK;

    if (!rafsi_chunks_of(file->attr.size, chunk_size, &count))
        return rafsi_corrupt(err, file->at, "file of more than 2^32 chunks");
    for (uint32_t i = 0; rc == RAFS_OK && i < count; i++) {
        if (i % 4096 == 4095)
            rc = rafsi_call_check(&s->builder->image.env, s->call, RAFS_STAGE_METADATA,
                                  err);
        if (rc == RAFS_OK)
            rc = take_chunk(s, file, (uint64_t)i * chunk_size, &inode->chunks[i], err);
    }
    return rc;
}

/* An entry whose inode is new. */
static int add(struct source_image *s, const struct rafsi_node *node,
               struct layers_entry *entry, rafs_error *err)
{
    struct build_inode *inode = NULL;
    int rc = rafsi_layers_add(s->builder->layers, entry, &inode, err);

    if (rc < 0)
        return rafsi_builder_refuse(s->builder, rc);
    if (!inode) { /* a whiteout, or covered */
        if (S_ISDIR(node->attr.mode))
            rafsi_walk_prune(s->walk);
        return RAFS_OK;
    }
    if (S_ISREG(node->attr.mode))
        rc = take_chunks(s, node, inode, err);
    if (rc == RAFS_OK && node->attr.nlink > 1 && !S_ISDIR(node->attr.mode))
        rc = rafsi_met_note(&s->met, node->attr.ino, inode, err);
    return rc;
}

/* A directory that its layer says nothing about, see layers.h. */
static bool is_implied(const rafs_attr *attr)
{
    return attr->mode == (S_IFDIR | 0755) && attr->uid == 0 && attr->gid == 0 &&
           attr->mtime_sec == 0 && attr->mtime_nsec == LAYERS_IMPLIED_NSEC;
}

static int take_entry(struct source_image *s, const rafs_walk_entry *step,
                      rafs_error *err)
{
    struct layers_entry entry = {.path = step->path, .path_len = step->path_len};
    struct build_inode *met = NULL;
    struct rafsi_node node;
    bool wanted = false;
    int rc;

    s->builder->entries++;
    rc = rafsi_tree_node(s->tree, step->ino, &node, err);

    if (rc == RAFS_OK && is_implied(&node.attr) &&
        !rafsi_builder_excluded(s->builder, step->path, step->path_len))
        return rafsi_layers_imply(s->builder->layers, step->path, step->path_len, err);
    if (rc == RAFS_OK)
        rc = rafsi_node_describe(s->tree, &node, &s->scratch, &entry.inode, err);
    if (rc < 0)
        return rc;
    rc = rafsi_builder_shape(s->builder, &entry, &wanted, err);
    if (rc < 0)
        rc = rafsi_builder_refuse(s->builder, rc);
    if (rc < 0 || !wanted) {
        if (S_ISDIR(node.attr.mode))
            rafsi_walk_prune(s->walk);
        return rc;
    }
    if (node.attr.nlink > 1 && !S_ISDIR(node.attr.mode))
        met = rafsi_met_find(&s->met, node.attr.ino);
    if (met)
        return rafsi_layers_link_inode(s->builder->layers, step->path, step->path_len,
                                       met, err);
    return add(s, &node, &entry, err);
}

static int take_tree(struct source_image *s, rafs_error *err)
{
    const rafs_walk_entry *step = NULL;
    int rc = rafsi_walk_new(s->tree, "/", &s->walk, err);

    while (rc == RAFS_OK) {
        rc = rafsi_builder_tick(s->builder, s->call, err);
        if (rc == RAFS_OK)
            rc = rafsi_walk_step(s->walk, &step, err);
        if (rc < 0 || !step)
            break;
        rc = take_entry(s, step, err);
        if (rc < 0)
            rafsi_fail_object(err, rc, "%.*s", (int)rafsi_min(step->path_len, 200),
                              step->path);
        if (s->scratch.given >= SCRATCH_BYTES)
            rafsi_arena_free(&s->scratch);
    }
    return rc;
}

int rafsi_source_image(rafs_builder *builder, const struct rafsi_tree *tree,
                       const rafs_build_layer *layer, const rafs_call *call,
                       rafs_error *err)
{
    const struct rafsi_env *env = &builder->image.env;
    size_t bytes = (tree->super.blob_count + 1) * sizeof(uint32_t);
    struct source_image s = {
        .builder = builder, .tree = tree, .change = layer, .call = call};
    int rc;

    rafsi_arena_init(&s.scratch, env);
    rafsi_met_init(&s.met, env);
    rc = begin_fits(&s, err);
    if (rc == RAFS_OK && changes_blob(layer)) {
        rc = check_change(layer, err);
        if (rc == RAFS_OK)
            rc = find_own(&s, err);
    }
    if (rc < 0)
        goto out;
    s.blobs = rafsi_alloc(env, bytes);
    if (!s.blobs) {
        rc = rafsi_fail_nomem(err, bytes);
        goto out;
    }
    memset(s.blobs, 0xff, bytes);
    rc = take_tree(&s, err);
out:
    rafsi_walk_free(s.walk);
    rafsi_arena_free(&s.scratch);
    rafsi_met_free(&s.met);
    rafsi_free(env, s.blobs);
    return rc;
}
