/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/emit_v6.h"

/*
 * A directory's content: "." and ".." and the names in it, all sorted by their bytes, cut
 * into blocks, each of which is entries and then names. Names below '.' sort before the
 * dots. Source: bootstrap-v6.md, 10.2.
 */

/* A name on its way into a block. */
struct entry {
    const char *name;
    size_t len;
    const struct build_inode *inode;
};

struct v6_names rafsi_v6_names(const struct build_node *dir)
{
    return (struct v6_names){.dir = dir, .child = dir->children};
}

/* Does the child's name sort before so many dots? No name is equal to them. */
static bool before_dots(const struct build_node *child, size_t dots)
{
    size_t len = child->name_len < dots ? child->name_len : dots;
    int order = memcmp(child->name, "..", len);

    return order != 0 ? order < 0 : child->name_len < dots;
}

static bool next_name(struct v6_names *names, struct entry *entry)
{
    const struct build_node *child = names->child;

    if (names->dots < 2 && !(child && before_dots(child, names->dots + 1))) {
        const struct build_node *dir =
            names->dots == 0 || !names->dir->parent ? names->dir : names->dir->parent;

        *entry = (struct entry){"..", ++names->dots, dir->inode};
        return true;
    }
    if (!child)
        return false;
    *entry = (struct entry){child->name, child->name_len, child->inode};
    names->child = child->next;
    return true;
}

uint64_t rafsi_v6_dir_size(const struct build_node *dir)
{
    struct v6_names names = rafsi_v6_names(dir);
    uint64_t blocks = 0;
    size_t fill = 0;
    struct entry entry;

    while (next_name(&names, &entry)) {
        size_t cost = V6_DIRENT_BYTES + entry.len;

        if (fill + cost > V6_BLOCK_BYTES) {
            blocks++;
            fill = 0;
        }
        fill += cost;
    }
    return blocks * V6_BLOCK_BYTES + fill;
}

/* How many of the next names go into one block, and how much of it they take. */
static uint32_t names_in_block(struct v6_names names, size_t *fill)
{
    struct entry entry;
    uint32_t count = 0;

    for (*fill = 0; next_name(&names, &entry); count++) {
        size_t cost = V6_DIRENT_BYTES + entry.len;

        if (*fill + cost > V6_BLOCK_BYTES)
            break;
        *fill += cost;
    }
    return count;
}

size_t rafsi_v6_names_block(struct v6_names *names, uint8_t block[V6_BLOCK_BYTES])
{
    size_t fill;
    uint32_t count = names_in_block(*names, &fill);
    uint32_t name_at = count * V6_DIRENT_BYTES;
    struct entry entry;

    for (uint32_t i = 0; i < count && next_name(names, &entry); i++) {
        rafsi_v6_dirent_put(entry.inode->at, name_at, entry.inode->mode,
                            block + i * V6_DIRENT_BYTES);
        memcpy(block + name_at, entry.name, entry.len);
        name_at += (uint32_t)entry.len;
    }
    return fill;
}
