/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/disk_index.h"

#include "cache/disk_impl.h"

/* Records that make us look at every chunk are rare; a journal that is full of them would
 * keep us busy for days. */
enum { WALKS_MAX = 64 };

static uint64_t end_of(const struct disk_node *node)
{
    return node->offset + node->size;
}

struct disk_node *rafsi_disk_index_at(const struct disk_index *index, uint64_t offset)
{
    struct disk_node *node = index->root;

    while (node && node->offset != offset)
        node = offset < node->offset ? node->left : node->right;
    return node;
}

struct disk_node *rafsi_disk_index_from(const struct disk_index *index, uint64_t offset)
{
    struct disk_node *node = index->root, *best = NULL;

    while (node) {
        if (end_of(node) > offset) {
            best = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return best;
}

struct disk_node *rafsi_disk_index_overlap(const struct disk_index *index,
                                           uint64_t offset, uint32_t size)
{
    struct disk_node *node = rafsi_disk_index_from(index, offset);

    return node && node->offset < offset + size ? node : NULL;
}

/* splitmix64: weights that whoever chooses the chunks cannot foresee. */
static uint32_t next_weight(struct disk_index *index)
{
    uint64_t z = index->random += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

static void count_ready(struct disk_index *index, const struct disk_node *node, int sign)
{
    if (!node->ready)
        return;
    index->count += (uint64_t)sign;
    index->bytes += (uint64_t)sign * node->size;
}

static struct disk_boot *boot_of(struct disk_index *index, uint64_t boot)
{
    for (size_t i = 0; i < DISK_BOOTS; i++)
        if (index->boots[i].oldest && index->boots[i].boot == boot)
            return &index->boots[i];
    return NULL;
}

static void pend(struct disk_index *index, struct disk_node *node)
{
    struct disk_boot *of = boot_of(index, node->since);

    for (size_t i = 0; i < DISK_BOOTS && !of; i++)
        if (!index->boots[i].oldest)
            of = &index->boots[i];
    of->boot = node->since;
    node->before = of->newest;
    node->after = NULL;
    *(node->before ? &node->before->after : &of->oldest) = node;
    of->newest = node;
}

static void unpend(struct disk_index *index, struct disk_node *node)
{
    struct disk_boot *of = boot_of(index, node->since);

    *(node->before ? &node->before->after : &of->oldest) = node->after;
    *(node->after ? &node->after->before : &of->newest) = node->before;
    node->before = node->after = NULL;
}

static void insert(struct disk_index *index, struct disk_node *node)
{
    struct disk_node **link = &index->root;
    struct disk_node **left = &node->left, **right = &node->right;
    struct disk_node *below;

    node->weight = next_weight(index);
    while (*link && (*link)->weight >= node->weight)
        link = node->offset < (*link)->offset ? &(*link)->left : &(*link)->right;
    below = *link;
    *link = node;
    while (below) {
        if (below->offset < node->offset) {
            *left = below;
            left = &below->right;
            below = below->right;
        } else {
            *right = below;
            right = &below->left;
            below = below->left;
        }
    }
    *left = *right = NULL;
    if (!node->durable)
        pend(index, node);
    count_ready(index, node, 1);
}

/* Take a node out and put it on the list of spares. */
static void take_out(struct disk_index *index, struct disk_node *node,
                     struct disk_node **spare)
{
    struct disk_node **link = &index->root;
    struct disk_node *a = node->left, *b = node->right;

    while (*link != node)
        link = node->offset < (*link)->offset ? &(*link)->left : &(*link)->right;
    while (a && b) {
        if (a->weight > b->weight) {
            *link = a;
            link = &a->right;
            a = a->right;
        } else {
            *link = b;
            link = &b->left;
            b = b->left;
        }
    }
    *link = a ? a : b;
    if (!node->durable)
        unpend(index, node);
    count_ready(index, node, -1);
    node->after = *spare;
    *spare = node;
}

/* First come, first kept: a chunk that would overlap one that is ready does not get in.
 * What is left of another boot and never became durable gives way. */
static bool make_way(struct disk_index *index, const struct disk_record *record,
                     struct disk_node **spare)
{
    struct disk_node *node;

    for (uint64_t at = record->offset; at < record->offset + record->size;
         at = end_of(node)) {
        node = rafsi_disk_index_overlap(index, at,
                                        (uint32_t)(record->offset + record->size - at));
        if (!node)
            break;
        if (node->ready)
            return false;
    }
    while ((node = rafsi_disk_index_overlap(index, record->offset, record->size)))
        take_out(index, node, spare);
    return true;
}

/* Of more boots than there can be, those whose last chunk is oldest are forgotten. */
static void boot_way(struct disk_index *index, uint64_t boot, struct disk_node **spare)
{
    struct disk_boot *stale = &index->boots[0];

    if (boot_of(index, boot))
        return;
    for (size_t i = 0; i < DISK_BOOTS && stale->oldest; i++)
        if (!index->boots[i].oldest || index->boots[i].newest->at < stale->newest->at)
            stale = &index->boots[i];
    while (stale->oldest)
        take_out(index, stale->oldest, spare);
}

static uint64_t short_boot(const uint8_t boot[DISK_BOOT_BYTES])
{
    struct cursor c = cursor_of((struct span){boot, DISK_BOOT_BYTES, 0});

    return take_u64(&c);
}

static void apply_ready(struct disk_index *index, const struct disk_record *record,
                        uint64_t at, const uint8_t boot[DISK_BOOT_BYTES],
                        struct disk_node **spare)
{
    struct disk_node *node;

    if (record->size == 0 || record->size > DISK_CHUNK_MAX ||
        record->offset > DISK_OFFSET_MAX || record->algorithm > RAFSI_SHA256 ||
        !make_way(index, record, spare))
        return;
    boot_way(index, short_boot(record->boot), spare);
    node = *spare;
    if (!node)
        return;
    *spare = node->after;
    *node = (struct disk_node){.offset = record->offset,
                               .size = record->size,
                               .at = at,
                               .since = short_boot(record->boot),
                               .algorithm = record->algorithm,
                               .ready = memcmp(record->boot, boot, DISK_BOOT_BYTES) == 0};
    memcpy(node->digest, record->digest, sizeof(node->digest));
    insert(index, node);
}

static void apply_sync(struct disk_index *index, const struct disk_record *record,
                       uint64_t at)
{
    struct disk_boot *of = boot_of(index, short_boot(record->boot));

    while (of && of->oldest && of->oldest->at < record->offset) {
        struct disk_node *node = of->oldest;

        unpend(index, node);
        count_ready(index, node, -1);
        node->durable = node->ready = true;
        node->since = at;
        count_ready(index, node, 1);
    }
}

static void apply_bad(struct disk_index *index, const struct disk_record *record,
                      struct disk_node **spare)
{
    struct disk_node *node = rafsi_disk_index_at(index, record->offset);

    if (node && node->size == record->size && node->algorithm == record->algorithm &&
        (record->about == 0 || record->about == node->at + 1) &&
        memcmp(node->digest, record->digest, sizeof(node->digest)) == 0)
        take_out(index, node, spare);
}

/* Pending ones go with those that another process's sync made durable after ours had
 * begun, which failed: an error of the disk is told to only one of them. */
static void apply_reset(struct disk_index *index, const struct disk_record *record,
                        struct disk_node **spare)
{
    bool pending = record->flags & DISK_RESET_PENDING;
    struct disk_node *node, *after;

    for (size_t i = 0; i < DISK_BOOTS; i++)
        while (index->boots[i].oldest && index->boots[i].oldest->at < record->offset)
            take_out(index, index->boots[i].oldest, spare);
    if (++index->walks > WALKS_MAX) { /* to forget more is always right */
        while (index->root)
            take_out(index, index->root, spare);
        return;
    }
    for (node = rafsi_disk_index_from(index, 0); node; node = after) {
        after = rafsi_disk_index_from(index, end_of(node));
        if (node->at < record->offset && (!pending || node->since >= record->offset))
            take_out(index, node, spare);
    }
}

void rafsi_disk_index_apply(struct disk_index *index, const struct disk_record *record,
                            uint64_t at, const uint8_t boot[DISK_BOOT_BYTES],
                            struct disk_node **spare)
{
    switch (record->kind) {
    case DISK_READY:
        apply_ready(index, record, at, boot, spare);
        break;
    case DISK_SYNC:
        apply_sync(index, record, at);
        break;
    case DISK_BAD:
        apply_bad(index, record, spare);
        index->revoked = at + DISK_RECORD_BYTES;
        break;
    case DISK_RESET:
        apply_reset(index, record, spare);
        index->revoked = at + DISK_RECORD_BYTES;
        break;
    default:
        break;
    }
}

/* Turn the tree into a list from its left end on: no walk goes back up. */
struct disk_node *rafsi_disk_index_clear(struct disk_index *index)
{
    struct disk_node *all = NULL, *node = index->root;

    while (node) {
        struct disk_node *next = node->left;

        if (next) {
            node->left = next->right;
            next->right = node;
        } else {
            next = node->right;
            node->after = all;
            all = node;
        }
        node = next;
    }
    index->root = NULL;
    memset(index->boots, 0, sizeof(index->boots));
    index->count = index->bytes = 0;
    return all;
}
