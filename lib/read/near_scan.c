/* SPDX-License-Identifier: Apache-2.0 */
/* What lies near a file in the tree. All of it is metadata that is at hand. */
#include <stdlib.h>
#include <sys/stat.h>

#include "read/near.h"

enum {
    NAMES_MAX = 16384,           /* looked at for one list */
    ITEMS_MAX = 8192,            /* in one list */
    CHUNK_MAX = 1 << 20,         /* stored bytes; a larger chunk is no guess to make */
    FILE_BYTES_MAX = 4 << 20,    /* stored, of a file that is fetched to its end */
    DIR_BYTES_MAX = 4 << 20,     /* of what lies in one directory */
    BESIDE_BYTES_MAX = 16 << 20, /* of what lies in those beside */
    COUSINS_BYTES_MAX = 1 << 20, /* of what is of the same kind there */
};

struct scan {
    struct rafsi_reader *reader;
    struct near_list *out;
    uint64_t most;  /* stored bytes */
    unsigned names; /* that may still be looked at */
};

static uint32_t hash_of(const char *text, size_t len)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * 16777619u;
    return hash ? hash : 1;
}

/* A slot has 30 bits of the hash, and two facts. */
enum { VISITED = 1, OFFERED = 2, FACTS = 3 };

static unsigned facts_of(struct near_names *names, uint32_t hash, unsigned add)
{
    atomic_uint *slot = &names->at[hash % NEAR_NAMES];
    unsigned old = atomic_load_explicit(slot, memory_order_relaxed);
    unsigned facts = (old ^ hash) & ~(unsigned)FACTS ? 0 : old & FACTS;

    if (add & ~facts)
        atomic_store_explicit(slot, (hash & ~(unsigned)FACTS) | facts | add,
                              memory_order_relaxed);
    return facts;
}

void rafsi_near_visit(struct near_names *names, const struct near_place *place)
{
    facts_of(names, place->dir_hash, VISITED);
    facts_of(names, place->parent_hash, VISITED);
}

static bool offer(struct near_names *names, const struct rafsi_name *name)
{
    return facts_of(names, hash_of(name->name, name->len), OFFERED) != OFFERED;
}

/* What a name ends in, as a number: "so" of libz.so.1.2; 0 of a name without a dot. */
static uint32_t kind_of(const char *name, size_t len)
{
    size_t end = len;

    while (end > 0) {
        size_t begin = end;
        bool digits = true;

        while (begin > 0 && name[begin - 1] != '.') {
            begin--;
            digits &= name[begin] >= '0' && name[begin] <= '9';
        }
        if (begin <= 1)
            return 0;
        if (!digits)
            return hash_of(name + begin, end - begin);
        end = begin - 1;
    }
    return 0;
}

/* Goes through a directory. false: the end, or too many names. */
static bool next_name(struct scan *scan, const struct rafsi_node *dir,
                      struct rafsi_name *name, uint64_t *offset)
{
    bool end = false;

    if (scan->names == 0) {
        scan->out->too_many = true;
        return false;
    }
    scan->names--;
    if (rafsi_tree_entry(scan->reader->tree, dir, *offset, name, &end, NULL) < 0 || end)
        return false;
    *offset = name->next;
    return true;
}

static bool grow(struct scan *scan)
{
    struct near_list *list = scan->out;
    size_t room = list->room ? 2 * list->room : 64;
    struct near_item *items;

    if (list->count < list->room)
        return true;
    items =
        room > ITEMS_MAX ? NULL : rafsi_alloc(&scan->reader->env, room * sizeof(*items));
    if (!items) {
        list->too_many = true;
        return false;
    }
    if (list->count > 0)
        memcpy(items, list->items, list->count * sizeof(*items));
    rafsi_free(&scan->reader->env, list->items);
    list->items = items;
    list->room = room;
    return true;
}

static void add_chunk(struct scan *scan, uint64_t ino, const struct rafsi_chunk *chunk)
{
    const struct chunk_record *record = &chunk->record;
    uint32_t features = scan->reader->tree->blobs[record->blob].features;
    struct near_list *list = scan->out;

    if (chunk->no_record || (features & RAFS_BLOB_BATCH) ||
        record->compressed_size > CHUNK_MAX || !grow(scan))
        return;
    list->items[list->count++] = (struct near_item){.ino = ino,
                                                    .file_offset = chunk->file_offset,
                                                    .at = record->compressed_offset,
                                                    .size = record->compressed_size,
                                                    .blob = record->blob};
    list->bytes += record->compressed_size;
    list->too_many |= list->bytes > scan->most;
}

static void add_file(struct scan *scan, uint64_t ino)
{
    const struct rafsi_tree *tree = scan->reader->tree;
    struct rafsi_node file;
    struct rafsi_chunk chunk;

    if (rafsi_tree_file(tree, ino, &file, NULL) < 0)
        return;
    for (uint64_t offset = 0; offset < file.attr.size && !scan->out->too_many;
         offset = chunk.file_offset + chunk.length) {
        if (rafsi_tree_chunk(tree, &file, offset, &chunk, NULL) < 0)
            return;
        if (!chunk.hole)
            add_chunk(scan, ino, &chunk);
    }
}

static bool is_hot(const struct near_kinds *kinds, uint32_t kind)
{
    for (size_t i = 0; kind != 0 && i < NEAR_KINDS; i++)
        if (kinds->kind[i] == kind)
            return kinds->files[i] >= NEAR_HOT;
    return false;
}

/* The files in a directory that are of a kind, or, with kinds, of others that were read
 * often. */
static void add_dir(struct scan *scan, uint64_t ino, const struct near_kinds *kinds,
                    uint32_t kind)
{
    struct rafsi_node dir;
    struct rafsi_name name;
    uint64_t offset = 0;

    if (rafsi_tree_dir(scan->reader->tree, ino, &dir, NULL) < 0)
        return;
    while (!scan->out->too_many && next_name(scan, &dir, &name, &offset)) {
        uint32_t its = S_ISREG(name.type) ? kind_of(name.name, name.len) : 0;
        bool fits = kinds ? its != kind && is_hot(kinds, its) : its == kind;

        if (S_ISREG(name.type) && fits)
            add_file(scan, name.ino);
    }
}

static int by_place(const void *a, const void *b)
{
    const struct near_item *x = a, *y = b;

    if (x->blob != y->blob)
        return x->blob < y->blob ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void finish(struct scan *scan)
{
    struct near_list *list = scan->out;

    if (list->too_many)
        rafsi_near_drop(scan->reader, list);
    if (list->count > 1)
        qsort(list->items, list->count, sizeof(*list->items), by_place);
}

void rafsi_near_drop(struct rafsi_reader *reader, struct near_list *list)
{
    rafsi_free(&reader->env, list->items);
    *list = (struct near_list){0};
}

static struct scan begin(struct rafsi_reader *reader, struct near_list *out,
                         uint64_t most)
{
    *out = (struct near_list){0};
    return (struct scan){.reader = reader, .out = out, .most = most, .names = NAMES_MAX};
}

/* The name of an inode in a directory. */
static bool name_in(struct rafsi_reader *reader, const struct rafsi_node *dir,
                    uint64_t ino, struct rafsi_name *name)
{
    struct near_list none;
    struct scan scan = begin(reader, &none, 0);
    uint64_t offset = 0;

    while (next_name(&scan, dir, name, &offset))
        if (name->ino == ino)
            return true;
    return false;
}

bool rafsi_near_find(struct rafsi_reader *reader, uint64_t ino, struct near_place *out)
{
    const struct rafsi_tree *tree = reader->tree;
    uint64_t home = rafsi_home_of(tree, ino);
    struct rafsi_name name;
    struct rafsi_node dir;
    uint64_t parent, above;

    if (home == 0 || rafsi_tree_dir(tree, home, &out->dir, NULL) < 0 ||
        !name_in(reader, &out->dir, ino, &name))
        return false;
    out->ino = ino;
    out->kind = kind_of(name.name, name.len);
    out->dir_name_len = 0;
    if (rafsi_tree_lookup(tree, &out->dir, "..", 2, &parent, NULL) < 0 ||
        rafsi_tree_dir(tree, parent, &out->parent, NULL) < 0)
        return false;
    out->dir_hash = out->parent_hash = 0;
    if (parent == home || !name_in(reader, &out->parent, home, &name))
        return true;
    memcpy(out->dir_name, name.name, name.len);
    out->dir_name_len = name.len;
    out->dir_hash = hash_of(name.name, name.len);
    if (rafsi_tree_lookup(tree, &out->parent, "..", 2, &above, NULL) == RAFS_OK &&
        rafsi_tree_dir(tree, above, &dir, NULL) == RAFS_OK &&
        name_in(reader, &dir, parent, &name))
        out->parent_hash = hash_of(name.name, name.len);
    return true;
}

void rafsi_near_file(struct rafsi_reader *reader, uint64_t ino, struct near_list *out)
{
    struct scan scan = begin(reader, out, FILE_BYTES_MAX);

    add_file(&scan, ino);
    finish(&scan);
    if (out->count < 2)
        rafsi_near_drop(reader, out);
}

void rafsi_near_dir(struct rafsi_reader *reader, const struct near_place *place,
                    struct near_list *out)
{
    struct scan scan = begin(reader, out, DIR_BYTES_MAX);

    add_dir(&scan, place->dir.attr.ino, NULL, place->kind);
    finish(&scan);
}

void rafsi_near_nephews(struct rafsi_reader *reader, const struct near_place *place,
                        struct near_names *names, struct near_list *out)
{
    struct scan scan = begin(reader, out, BESIDE_BYTES_MAX);
    const struct rafsi_tree *tree = reader->tree;
    struct rafsi_name name;
    uint64_t offset = 0;

    if (place->dir_name_len == 0)
        return;
    while (!out->too_many && next_name(&scan, &place->parent, &name, &offset)) {
        struct rafsi_node beside;
        uint64_t ino;

        if (S_ISDIR(name.type) && name.ino != place->dir.attr.ino &&
            rafsi_tree_dir(tree, name.ino, &beside, NULL) == RAFS_OK &&
            tree->ops->lookup(tree, &beside, place->dir_name, place->dir_name_len, &ino,
                              NULL) == RAFS_OK &&
            offer(names, &name))
            add_dir(&scan, ino, NULL, place->kind);
    }
    finish(&scan);
}

/* Files of the same kind, or with kinds of others, in the directories beside. */
static void beside(struct scan *scan, const struct near_place *place,
                   const struct near_kinds *kinds, struct near_names *names)
{
    struct rafsi_name name;
    uint64_t offset = 0;

    if (place->dir_name_len == 0)
        return;
    while (!scan->out->too_many && next_name(scan, &place->parent, &name, &offset))
        if (S_ISDIR(name.type) && name.ino != place->dir.attr.ino &&
            facts_of(names, hash_of(name.name, name.len), 0) != OFFERED)
            add_dir(scan, name.ino, kinds, place->kind);
    finish(scan);
}

void rafsi_near_cousins(struct rafsi_reader *reader, const struct near_place *place,
                        struct near_names *names, struct near_list *out)
{
    struct scan scan = begin(reader, out, COUSINS_BYTES_MAX);

    beside(&scan, place, NULL, names);
}

void rafsi_near_siblings(struct rafsi_reader *reader, const struct near_place *place,
                         const struct near_kinds *kinds, struct near_names *names,
                         struct near_list *out)
{
    struct scan scan = begin(reader, out, BESIDE_BYTES_MAX);

    beside(&scan, place, kinds, names);
}
