/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXTRACT_LINKS_H
#define EXTRACT_LINKS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Where files with more than one name were put first, so that later names can link there.
 * Holds only what still has names to come: a path is dropped once as many names were
 * seen as the image counts links.
 */
struct link_map {
    struct link_slot *slots;
    size_t capacity; /* 0 or a power of two */
    size_t used;
};

#define LINK_MAP_INIT \
    {                 \
        NULL, 0, 0    \
    }

/* The path that an inode was put under; NULL: none yet. Valid until the next call. */
const char *link_map_find(const struct link_map *map, uint64_t ino);

/* Remember the path of an inode with nlink > 1. 0, or -1 without memory. */
int link_map_add(struct link_map *map, uint64_t ino, uint32_t nlink, const char *path);

/* One more name of an inode that link_map_find() knows was made. */
void link_map_count(struct link_map *map, uint64_t ino);

void link_map_free(struct link_map *map);

#endif
