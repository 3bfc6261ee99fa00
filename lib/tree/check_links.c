/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/check.h"

#define ROOM_AT_FIRST 64

static struct rafsi_link *slot(struct rafsi_link *table, size_t room, uint64_t ino,
                               uint64_t seed)
{
    /* An odd factor that the image could not know spreads numbers of any pattern. */
    size_t i = (size_t)(ino * (seed | 1) >> 32) & (room - 1);

    while (table[i].ino != 0 && table[i].ino != ino)
        i = (i + 1) & (room - 1);
    return &table[i];
}

static int make_room(struct rafsi_links *links, rafs_error *err)
{
    size_t room = links->room ? links->room * 2 : ROOM_AT_FIRST;
    struct rafsi_link *table;

    if (links->used < links->room / 4 * 3)
        return RAFS_OK;
    table = rafsi_alloc_zero(links->env, room * sizeof(*table));
    if (!table)
        return rafsi_fail_nomem(err, room * sizeof(*table));
    for (size_t i = 0; i < links->room; i++)
        if (links->table[i].ino != 0)
            *slot(table, room, links->table[i].ino, links->seed) = links->table[i];
    rafsi_free(links->env, links->table);
    links->table = table;
    links->room = room;
    return RAFS_OK;
}

int rafsi_links_add(struct rafsi_links *links, uint64_t ino, uint32_t nlink, bool *first,
                    rafs_error *err)
{
    struct rafsi_link *link;
    int rc = make_room(links, err);

    if (rc < 0)
        return rc;
    link = slot(links->table, links->room, ino, links->seed);
    *first = link->ino == 0;
    if (*first) {
        links->used++;
        *link = (struct rafsi_link){.ino = ino, .nlink = nlink};
    }
    link->seen++;
    return RAFS_OK;
}

void rafsi_links_free(struct rafsi_links *links)
{
    rafsi_free(links->env, links->table);
    links->table = NULL;
    links->room = links->used = 0;
}
