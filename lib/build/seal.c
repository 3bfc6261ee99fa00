/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/layers_impl.h"

/* The tree is complete: order and numbers. Without recursion, for directories may lie
 * thousands deep. */

static int compare(const struct build_node *a, const struct build_node *b)
{
    int order = memcmp(a->name, b->name, rafsi_min(a->name_len, b->name_len));

    return order != 0 ? order : a->name_len - b->name_len;
}

static struct build_node *merge(struct build_node *a, struct build_node *b)
{
    struct build_node *first = NULL;
    struct build_node **end = &first;

    while (a && b) {
        struct build_node **less = compare(a, b) <= 0 ? &a : &b;

        *end = *less;
        end = &(*less)->next;
        *less = *end;
    }
    *end = a ? a : b;
    return first;
}

/* runs[i] is empty or has 2^i names, as in a binary counter. */
static struct build_node *sort(struct build_node *list)
{
    struct build_node *runs[33] = {NULL};
    unsigned used = 0;

    while (list) {
        struct build_node *run = list;
        unsigned i = 0;

        list = list->next;
        run->next = NULL;
        for (; runs[i]; i++) {
            run = merge(runs[i], run);
            runs[i] = NULL;
        }
        runs[i] = run;
        used = i > used ? i : used;
    }
    for (unsigned i = 0; i <= used; i++)
        list = merge(runs[i], list);
    return list;
}

static void drop_dead(struct build_node *dir)
{
    struct build_node **link = &dir->children;

    dir->child_count = 0;
    while (*link) {
        if ((*link)->flags & NODE_DEAD) {
            *link = (*link)->next;
            continue;
        }
        dir->child_count++;
        link = &(*link)->next;
    }
}

/* The next free index, and what the image has of names and inodes, go on. */
static void number(struct build_image *image, struct build_node *node)
{
    struct build_inode *inode = node->inode;

    node->index = (uint32_t)++image->names;
    node->first = 0;
    if (!rafsi_is_dir(node))
        node->children = NULL; /* what it covered */
    if (inode->number == 0) {
        inode->number = (uint32_t)++image->inodes;
        image->has_xattr |= inode->xattr_count != 0;
    }
    inode->nlink++;
}

/* A directory's names are sorted and numbered. */
static void seal_one(struct build_image *image, struct build_node *dir)
{
    drop_dead(dir);
    dir->children = sort(dir->children);
    dir->first = (uint32_t)image->names + 1;
    dir->inode->nlink = 2;
    for (struct build_node *node = dir->children; node; node = node->next) {
        number(image, node);
        dir->inode->nlink += rafsi_is_dir(node);
    }
}

static struct build_node *next_dir(struct build_node *node)
{
    while (node && !rafsi_is_dir(node))
        node = node->next;
    return node;
}

int rafsi_image_seal(struct build_image *image, rafs_error *err)
{
    struct build_node *dir = image->root;

    image->names = 0;
    image->inodes = 0;
    image->has_xattr = false;
    number(image, dir);
    while (dir) {
        struct build_node *next;

        seal_one(image, dir);
        if (image->names >= UINT32_MAX)
            return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_METADATA, "image",
                              "more than 2^32 - 2 names");
        next = next_dir(dir->children);
        while (!next && dir->parent) {
            next = next_dir(dir->next);
            dir = dir->parent;
        }
        dir = next;
    }
    return RAFS_OK;
}

/* The last name of a directory stands before what lies in the first directory of it; so
 * after the last one below a directory comes what lies in the next directory beside it.
 */
struct build_node *rafsi_batched_next(const struct build_node *node)
{
    const struct build_node *dir;

    if (node->next)
        return node->next;
    if (!node->parent)
        return node->children;
    /* The directories of this list, in order; then those beside each one above. */
    dir = next_dir(node->parent->children);
    for (;;) {
        for (; dir; dir = next_dir(dir->next))
            if (dir->children)
                return dir->children;
        node = node->parent;
        if (!node->parent)
            return NULL;
        dir = next_dir(node->next);
    }
}

struct build_node *rafsi_depth_next(const struct build_node *node)
{
    if (node->children)
        return node->children;
    while (node && !node->next)
        node = node->parent;
    return node ? node->next : NULL;
}

/* What of it fits. */
static void put(char *out, size_t room, size_t at, const char *bytes, size_t len)
{
    if (at < room)
        memcpy(out + at, bytes, rafsi_min(len, room - at));
}

void rafsi_node_path(const struct build_node *node, char *out, size_t room)
{
    size_t at = 0;

    if (room == 0)
        return;
    for (const struct build_node *n = node; n->parent; n = n->parent)
        at += n->name_len + 1u;
    out[rafsi_min(at, room - 1)] = '\0';
    for (; node->parent; node = node->parent) {
        at -= node->name_len + 1u;
        put(out, room - 1, at, "/", 1);
        put(out, room - 1, at + 1, node->name, node->name_len);
    }
    if (out[0] == '\0' && room > 1)
        memcpy(out, "/", 2);
}
