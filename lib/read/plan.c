/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "read/plan.h"

enum { ROOM_FIRST = 256 };

void rafsi_plan_init(struct plan *plan, struct rafsi_reader *reader)
{
    *plan = (struct plan){.reader = reader};
}

void rafsi_plan_drop(struct plan *plan)
{
    rafsi_free(&plan->reader->env, plan->entries);
    plan->entries = NULL;
    plan->count = plan->room = 0;
}

/* As many chunks as the index of an image may have: 8 bytes for each there, 32 here. */
static int grow(struct plan *plan, rafs_error *err)
{
    uint64_t most = plan->reader->tree->limits.chunk_index_bytes / 8;
    size_t room = plan->room ? 2 * plan->room : ROOM_FIRST;
    struct plan_entry *entries;

    if (plan->count >= most)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, "prefetch",
                          "more than %llu chunks, as chunk_index_bytes in rafs_limits "
                          "allows",
                          (unsigned long long)most);
    entries = rafsi_alloc(&plan->reader->env, room * sizeof(*entries));
    if (!entries)
        return rafsi_fail_nomem(err, room * sizeof(*entries));
    if (plan->count > 0)
        memcpy(entries, plan->entries, plan->count * sizeof(*entries));
    rafsi_free(&plan->reader->env, plan->entries);
    plan->entries = entries;
    plan->room = room;
    return RAFS_OK;
}

static int add(struct plan *plan, const struct rafsi_chunk *chunk, uint64_t ino,
               rafs_error *err)
{
    bool by_number = plan->reader->tree->super.version == 6 && !chunk->no_record;
    struct plan_entry *entry;

    if (plan->count == plan->room) {
        int rc = grow(plan, err);

        if (rc < 0)
            return rc;
    }
    entry = &plan->entries[plan->count++];
    entry->stored = chunk->record.compressed_offset;
    entry->key = by_number ? chunk->record.index : ino;
    entry->offset = chunk->file_offset;
    entry->blob = chunk->record.blob;
    entry->size_flags =
        (chunk->record.compressed_size & PLAN_SIZE) | (by_number ? 0 : PLAN_IN_FILE);
    if (chunk->no_record) /* its place in the plain blob is all that is known */
        entry->stored = chunk->record.uncompressed_offset;
    return RAFS_OK;
}

int rafsi_plan_file(struct plan *plan, const struct rafsi_node *file, uint64_t from,
                    uint64_t until, const rafs_call *call, rafs_error *err)
{
    struct rafsi_reader *reader = plan->reader;
    uint64_t end = rafsi_min(until, file->attr.size);

    while (from < end) {
        struct rafsi_chunk chunk;
        int rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_METADATA, err);

        if (rc == RAFS_OK)
            rc = rafsi_tree_chunk(reader->tree, file, from, &chunk, err);
        if (rc == RAFS_OK && !chunk.hole)
            rc = add(plan, &chunk, file->attr.ino, err);
        if (rc < 0)
            return rc;
        from = chunk.file_offset + chunk.length;
    }
    return RAFS_OK;
}

int rafsi_plan_number(struct plan *plan, uint32_t blob, uint32_t number, rafs_error *err)
{
    const struct rafsi_tree *tree = plan->reader->tree;
    struct rafsi_chunk chunk = {.file_offset = 0};
    int rc;

    if (tree->super.version != 6 || blob >= tree->super.blob_count)
        return RAFS_OK;
    rc = rafsi_v6_chunk_of(tree, blob, number, &chunk.record, err);
    if (rc == RAFS_E_NOENT)
        return RAFS_OK;
    return rc < 0 ? rc : add(plan, &chunk, 0, err);
}

int rafsi_plan_path(struct plan *plan, const char *path, const rafs_call *call,
                    rafs_error *err)
{
    struct rafsi_reader *reader = plan->reader;
    const rafs_walk_entry *entry = NULL;
    struct rafsi_walk *walk = NULL;
    int rc = rafsi_walk_new(reader->tree, path, &walk, err);

    while (rc == RAFS_OK) {
        struct rafsi_node file;

        rc = rafsi_call_check(&reader->env, call, RAFS_STAGE_METADATA, err);
        if (rc == RAFS_OK)
            rc = rafsi_walk_step(walk, &entry, err);
        if (rc < 0 || !entry)
            break;
        if (!S_ISREG(entry->attr.mode))
            continue;
        rc = rafsi_tree_file(reader->tree, entry->ino, &file, err);
        if (rc == RAFS_OK)
            rc = rafsi_plan_file(plan, &file, 0, UINT64_MAX, call, err);
    }
    rafsi_walk_free(walk);
    return rc;
}

static int plan_dir(struct plan *plan, uint64_t ino, const rafs_call *call,
                    rafs_error *err)
{
    struct rafsi_reader *reader = plan->reader;
    char *path = rafsi_alloc(&reader->env, RAFS_PATH_MAX + 1);
    size_t len;
    int rc;

    if (!path)
        return rafsi_fail_nomem(err, RAFS_PATH_MAX + 1);
    rc = rafsi_tree_path(reader->tree, ino, path, RAFS_PATH_MAX + 1, &len, call, err);
    if (rc == RAFS_OK)
        rc = rafsi_plan_path(plan, path, call, err);
    rafsi_free(&reader->env, path);
    return rc;
}

int rafsi_plan_inode(struct plan *plan, uint64_t ino, const rafs_call *call,
                     rafs_error *err)
{
    struct rafsi_node node;
    int rc = rafsi_tree_node(plan->reader->tree, ino, &node, err);

    if (rc < 0)
        return rc;
    if (S_ISDIR(node.attr.mode))
        return plan_dir(plan, ino, call, err);
    if (S_ISREG(node.attr.mode))
        return rafsi_plan_file(plan, &node, 0, UINT64_MAX, call, err);
    return RAFS_OK;
}

static bool before(const struct plan_entry *a, const struct plan_entry *b)
{
    if (a->blob != b->blob)
        return a->blob < b->blob;
    return a->stored != b->stored ? a->stored < b->stored : a->key < b->key;
}

/* Members of a batch may lie at one place, so there numbers tell. */
static bool same(const struct plan_entry *a, const struct plan_entry *b)
{
    return a->blob == b->blob && a->stored == b->stored &&
           a->size_flags == b->size_flags &&
           (a->key == b->key || (a->size_flags & PLAN_IN_FILE));
}

/* Let entry `at` sink to where it belongs among the first `count`. */
static void sink(struct plan_entry *entries, size_t at, size_t count)
{
    struct plan_entry falling = entries[at];

    for (size_t below = 2 * at + 1; below < count; below = 2 * at + 1) {
        if (below + 1 < count && before(&entries[below], &entries[below + 1]))
            below++;
        if (!before(&falling, &entries[below]))
            break;
        entries[at] = entries[below];
        at = below;
    }
    entries[at] = falling;
}

/* No image chooses how long this takes, and it needs no memory. */
static void heap_sort(struct plan_entry *entries, size_t count)
{
    for (size_t i = count / 2; i > 0; i--)
        sink(entries, i - 1, count);
    for (size_t last = count; last > 1; last--) {
        struct plan_entry largest = entries[0];

        entries[0] = entries[last - 1];
        entries[last - 1] = largest;
        sink(entries, 0, last - 1);
    }
}

void rafsi_plan_sort(struct plan *plan, size_t from)
{
    size_t kept = from;

    if (plan->count - from < 2)
        return;
    heap_sort(plan->entries + from, plan->count - from);
    for (size_t i = from; i < plan->count; i++) {
        if (i == from || !same(&plan->entries[kept - 1], &plan->entries[i]))
            plan->entries[kept++] = plan->entries[i];
    }
    plan->count = kept;
}

int rafsi_plan_chunk(const struct plan *plan, const struct plan_entry *entry,
                     struct rafsi_chunk *out, rafs_error *err)
{
    const struct rafsi_tree *tree = plan->reader->tree;
    struct rafsi_node file;
    int rc;

    if (entry->size_flags & PLAN_IN_FILE) {
        rc = rafsi_tree_file(tree, entry->key, &file, err);
        return rc < 0 ? rc : rafsi_tree_chunk(tree, &file, entry->offset, out, err);
    }
    memset(out, 0, sizeof(*out));
    out->digest_algorithm = tree->blobs[entry->blob].digest_algorithm;
    out->compressor = tree->blobs[entry->blob].compressor;
    rc = rafsi_v6_chunk_of(tree, entry->blob, (uint32_t)entry->key, &out->record, err);
    out->length = out->record.uncompressed_size;
    return rc;
}
