/* SPDX-License-Identifier: Apache-2.0 */
#include "extract_links.h"

#include <stdlib.h>
#include <string.h>

struct link_slot {
    uint64_t ino;
    char *path;         /* NULL: all its names were seen */
    uint32_t remaining; /* names still to come, by the image's count */
    uint32_t taken;
};

/* Inode numbers of one image are often multiples of a small number; mix the high bits in,
 * or open addressing would cluster. */
static size_t slot_of(uint64_t ino, size_t capacity)
{
    uint64_t h = ino * 0x9e3779b97f4a7c15u;

    return (size_t)(h ^ h >> 32) & (capacity - 1);
}

static struct link_slot *find(const struct link_map *map, uint64_t ino)
{
    size_t i;

    if (map->capacity == 0)
        return NULL;
    for (i = slot_of(ino, map->capacity); map->slots[i].taken;
         i = (i + 1) & (map->capacity - 1)) {
        if (map->slots[i].ino == ino)
            return &map->slots[i];
    }
    return NULL;
}

static struct link_slot *insert(struct link_slot *slots, size_t capacity, uint64_t ino)
{
    size_t i = slot_of(ino, capacity);

    while (slots[i].taken)
        i = (i + 1) & (capacity - 1);
    slots[i].taken = 1;
    slots[i].ino = ino;
    return &slots[i];
}

static int grow(struct link_map *map)
{
    size_t capacity = map->capacity ? map->capacity * 2 : 64;
    struct link_slot *slots = calloc(capacity, sizeof *slots);
    size_t i;

    if (!slots)
        return -1;
    map->used = 0;
    for (i = 0; i < map->capacity; i++) {
        const struct link_slot *old = &map->slots[i];

        if (!old->path)
            continue;
        struct link_slot *slot = insert(slots, capacity, old->ino);
        slot->path = old->path;
        slot->remaining = old->remaining;
        map->used++;
    }
    free(map->slots);
    map->slots = slots;
    map->capacity = capacity;
    return 0;
}

const char *link_map_find(const struct link_map *map, uint64_t ino)
{
    const struct link_slot *slot = find(map, ino);

    return slot ? slot->path : NULL;
}

int link_map_add(struct link_map *map, uint64_t ino, uint32_t nlink, const char *path)
{
    struct link_slot *slot = find(map, ino);
    char *copy;

    if (!slot && map->used >= map->capacity / 2 && grow(map) < 0)
        return -1;
    copy = strdup(path);
    if (!copy)
        return -1;
    if (!slot) {
        slot = insert(map->slots, map->capacity, ino);
        map->used++;
    }
    free(slot->path);
    slot->path = copy;
    slot->remaining = nlink - 1;
    return 0;
}

void link_map_count(struct link_map *map, uint64_t ino)
{
    struct link_slot *slot = find(map, ino);

    if (slot && slot->path && --slot->remaining == 0) {
        free(slot->path);
        slot->path = NULL;
    }
}

void link_map_free(struct link_map *map)
{
    size_t i;

    for (i = 0; i < map->capacity; i++)
        free(map->slots[i].path);
    free(map->slots);
    *map = (struct link_map)LINK_MAP_INIT;
}
