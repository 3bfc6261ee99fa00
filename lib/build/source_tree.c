/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "build/borrow.h"
#include "build/data.h"
#include "build/relaid.h"
#include "build/source_node.h"

/* Chunks and holes of all files, besides what the bootstrap has bytes for: a file states
 * any size, and a hole needs no bytes. */
enum { SLOTS_MORE = 1 << 24 };

/* A directory that the walk is in, and where its next name goes. */
struct level {
    struct build_node *dir;
    struct build_node **end;
};

/* An entry of the prefetch table. */
struct wanted {
    uint64_t ino;
    struct build_node *node; /* its first name; NULL: not met yet */
};

struct source_tree {
    struct build_image *image;
    const struct rafsi_tree *tree;
    const rafs_call *call;
    struct rafsi_borrow borrow;
    struct rafsi_met met;
    struct level *levels;
    uint32_t level_room;
    uint32_t *blobs;       /* by the tree's number: ours; NO_BLOB: not met yet */
    struct wanted *wanted; /* an open table; ino 0: the slot is free */
    uint32_t wanted_room;  /* a power of two, or 0 */
    uint64_t slots;        /* of all files so far */
};

static int blob_of(struct source_tree *s, uint32_t number, uint32_t *out, rafs_error *err)
{
    int rc = RAFS_OK;

    if (number >= s->tree->super.blob_count)
        return rafsi_corrupt(err, 0, "chunk in blob %u of %u", number,
                             s->tree->super.blob_count);
    if (s->blobs[number] == NO_BLOB)
        rc = rafsi_borrow_blob(&s->borrow, &s->tree->blobs[number], 0, &s->blobs[number],
                               err);
    *out = s->blobs[number];
    return rc;
}

static int uneven(const struct source_tree *s, const struct rafsi_node *file,
                  rafs_error *err)
{
    return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, file->at,
                         "file is not cut every %u bytes, and EROFS maps no other",
                         s->tree->super.chunk_size);
}

static int take_chunk(struct source_tree *s, const struct rafsi_node *file,
                      uint64_t offset, uint32_t *number, rafs_error *err)
{
    uint64_t len = rafsi_min(s->tree->super.chunk_size, file->attr.size - offset);
    struct rafsi_chunk chunk;
    uint32_t blob = NO_BLOB;
    int rc = rafsi_tree_chunk(s->tree, file, offset, &chunk, err);

    if (rc < 0)
        return rc;
    *number = NO_CHUNK;
    if (chunk.hole)
        return chunk.length - (offset - chunk.file_offset) >= len ? RAFS_OK
                                                                  : uneven(s, file, err);
    if (chunk.file_offset != offset || chunk.length != len)
        return uneven(s, file, err);
    if (chunk.no_record)
        chunk.record.flags |= CHUNK_UNKNOWN;
    rc = blob_of(s, chunk.record.blob, &blob, err);
    return rc < 0 ? rc : rafsi_borrow_chunk(&s->borrow, &chunk.record, blob, number, err);
}

static int take_chunks(struct source_tree *s, const struct rafsi_node *file,
                       struct build_inode *inode, rafs_error *err)
{
    uint32_t chunk_size = s->tree->super.chunk_size;
    uint64_t most = rafsi_source_size(s->tree->source) / V6_CHUNK_ADDR_BYTES + SLOTS_MORE;
    uint32_t count;
    int rc = RAFS_OK;

    if (!rafsi_chunks_of(inode->size, chunk_size, &count) || count > most - s->slots)
        return rafsi_fail_at(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, NULL, file->at,
                             "with this file of %llu bytes the image has more than %llu "
                             "chunks and holes",
                             (unsigned long long)inode->size, (unsigned long long)most);
    s->slots += count;
    if (count == 0)
        return RAFS_OK;
    inode->chunks = rafsi_arena_alloc(&s->image->arena, count * sizeof(uint32_t));
    if (!inode->chunks)
        return rafsi_fail_nomem(err, count * sizeof(uint32_t));
    for (uint32_t i = 0; rc == RAFS_OK && i < count; i++) {
        if (i % 4096 == 4095)
            rc = rafsi_call_check(&s->image->env, s->call, RAFS_STAGE_METADATA, err);
        if (rc == RAFS_OK)
            rc = take_chunk(s, file, (uint64_t)i * chunk_size, &inode->chunks[i], err);
    }
    return rc;
}

static int inode_of(struct source_tree *s, const struct rafsi_node *node,
                    struct build_inode **out, rafs_error *err)
{
    bool linked = node->attr.nlink > 1 && !S_ISDIR(node->attr.mode);
    struct build_inode *inode = linked ? rafsi_met_find(&s->met, node->attr.ino) : NULL;
    int rc;

    *out = inode;
    if (inode)
        return RAFS_OK;
    inode = rafsi_arena_alloc(&s->image->arena, sizeof(*inode));
    if (!inode)
        return rafsi_fail_nomem(err, sizeof(*inode));
    *out = inode;
    rc = rafsi_node_describe(s->tree, node, &s->image->arena, inode, err);
    if (rc == RAFS_OK && S_ISREG(inode->mode))
        rc = take_chunks(s, node, inode, err);
    if (rc == RAFS_OK && linked)
        rc = rafsi_met_note(&s->met, node->attr.ino, inode, err);
    return rc;
}

static struct wanted *wanted_slot(const struct source_tree *s, uint64_t ino)
{
    uint32_t i = (uint32_t)((ino ^ s->met.seed) * 0x9e3779b97f4a7c15u >> 32) &
                 (s->wanted_room - 1);

    while (s->wanted[i].ino && s->wanted[i].ino != ino)
        i = (i + 1) & (s->wanted_room - 1);
    return &s->wanted[i];
}

static void note_wanted(struct source_tree *s, uint64_t ino, struct build_node *node)
{
    struct wanted *slot = s->wanted_room ? wanted_slot(s, ino) : NULL;

    if (slot && slot->ino && !slot->node)
        slot->node = node;
}

/* The directory that was entered is where the next deeper names go. */
static int push(struct source_tree *s, uint32_t depth, struct build_node *dir,
                rafs_error *err)
{
    if (depth == s->level_room) {
        uint32_t room = depth ? depth * 2 : 64;
        struct level *larger = rafsi_alloc(&s->image->env, room * sizeof(*larger));

        if (!larger)
            return rafsi_fail_nomem(err, room * sizeof(*larger));
        if (depth)
            memcpy(larger, s->levels, depth * sizeof(*larger));
        rafsi_free(&s->image->env, s->levels);
        s->levels = larger;
        s->level_room = room;
    }
    s->levels[depth] = (struct level){dir, &dir->children};
    return RAFS_OK;
}

static int take_entry(struct source_tree *s, const struct rafsi_walk *walk,
                      const rafs_walk_entry *step, rafs_error *err)
{
    const char *name = step->depth ? strrchr(step->path, '/') + 1 : "";
    size_t len = strlen(name);
    size_t size = offsetof(struct build_node, name) + len + 1;
    struct build_node *node = rafsi_arena_alloc(&s->image->arena, size);
    int rc;

    if (!node)
        return rafsi_fail_nomem(err, size);
    memcpy(node->name, name, len);
    node->name_len = (uint16_t)len;
    rc = inode_of(s, rafsi_walk_node(walk), &node->inode, err);
    if (rc < 0)
        return rc;
    if (step->depth == 0) {
        s->image->root = node;
    } else {
        struct level *level = &s->levels[step->depth - 1];

        node->parent = level->dir;
        level->dir->child_count++;
        *level->end = node;
        level->end = &node->next;
    }
    note_wanted(s, step->ino, node);
    return S_ISDIR(node->inode->mode) ? push(s, step->depth, node, err) : RAFS_OK;
}

static int take_tree(struct source_tree *s, rafs_error *err)
{
    const rafs_walk_entry *step = NULL;
    struct rafsi_walk *walk = NULL;
    int rc = rafsi_walk_new(s->tree, "/", &walk, err);

    while (rc == RAFS_OK) {
        rc = rafsi_call_check(&s->image->env, s->call, RAFS_STAGE_METADATA, err);
        if (rc == RAFS_OK)
            rc = rafsi_walk_step(walk, &step, err);
        if (rc < 0 || !step)
            break;
        rc = take_entry(s, walk, step, err);
        if (rc < 0)
            rafsi_fail_object(err, rc, "path %.*s", (int)rafsi_min(step->path_len, 200),
                              step->path);
    }
    rafsi_walk_free(walk);
    return rc;
}

/* Which inodes are to be prefetched; numbers that are none are left out in the end. */
static int read_wanted(struct source_tree *s, uint64_t *inos, rafs_error *err)
{
    uint32_t count = s->tree->super.prefetch_count;
    size_t got = 0;
    int rc = rafsi_tree_prefetch(s->tree, 0, inos, count, &got, err);

    if (rc < 0 || got == 0)
        return rc;
    for (s->wanted_room = 16; s->wanted_room / 2 < got; s->wanted_room *= 2)
        ;
    s->wanted = rafsi_alloc_zero(&s->image->env, s->wanted_room * sizeof(*s->wanted));
    if (!s->wanted)
        return rafsi_fail_nomem(err, s->wanted_room * sizeof(*s->wanted));
    for (size_t i = 0; i < got; i++)
        if (inos[i])
            wanted_slot(s, inos[i])->ino = inos[i];
    return RAFS_OK;
}

static int list_wanted(struct source_tree *s, const uint64_t *inos, rafs_error *err)
{
    struct build_image *image = s->image;
    uint32_t count = s->tree->super.prefetch_count;
    struct build_node **list;

    if (!s->wanted_room)
        return RAFS_OK;
    list = rafsi_arena_alloc(&image->arena, count * sizeof(*list));
    if (!list)
        return rafsi_fail_nomem(err, count * sizeof(*list));
    for (uint32_t i = 0; i < count; i++) {
        struct build_node *node = inos[i] ? wanted_slot(s, inos[i])->node : NULL;

        if (node)
            list[image->prefetch_count++] = node;
    }
    image->prefetch = list;
    return RAFS_OK;
}

int rafsi_source_tree(struct build_image *image, const struct rafsi_tree *tree,
                      const rafs_call *call, rafs_error *err)
{
    size_t blob_bytes = (tree->super.blob_count + 1) * sizeof(uint32_t);
    size_t ino_bytes = (tree->super.prefetch_count + (size_t)1) * sizeof(uint64_t);
    struct source_tree s = {.image = image, .tree = tree, .call = call};
    uint64_t *inos = rafsi_alloc_zero(&image->env, ino_bytes);
    int rc = RAFS_OK;

    rafsi_borrow_init(&s.borrow, image);
    rafsi_met_init(&s.met, &image->env);
    s.blobs = rafsi_alloc(&image->env, blob_bytes);
    if (!s.blobs || !inos)
        rc = rafsi_fail_nomem(err, blob_bytes + ino_bytes);
    else
        memset(s.blobs, 0xff, blob_bytes);
    if (rc == RAFS_OK)
        rc = read_wanted(&s, inos, err);
    if (rc == RAFS_OK)
        rc = take_tree(&s, err);
    if (rc == RAFS_OK)
        rc = list_wanted(&s, inos, err);
    if (rc == RAFS_OK)
        rc = rafsi_image_seal(image, err);
    rafsi_free(&image->env, s.wanted);
    rafsi_free(&image->env, s.levels);
    rafsi_free(&image->env, s.blobs);
    rafsi_free(&image->env, inos);
    rafsi_met_free(&s.met);
    rafsi_borrow_free(&s.borrow);
    return rc;
}
