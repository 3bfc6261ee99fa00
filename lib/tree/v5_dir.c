/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "tree/v5_tree.h"

/* Order of names: by their bytes, a prefix first. */
static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, (size_t)rafsi_min(a_len, b_len));

    if (order != 0)
        return order;
    return a_len < b_len ? -1 : a_len > b_len;
}

/* A child has to say that it lies in the directory that lists it. This rules out that two
 * directories share children, and so loops. */
static int check_child(const struct v5_tree *v5, const struct rafsi_node *dir,
                       const struct v5_child *child, rafs_error *err)
{
    struct v5_inode first;
    uint64_t at;
    int rc;

    if (child->inode.parent != dir->v5.ino)
        return rafsi_corrupt(err, child->at + 32,
                             "inode %u lies in directory %llu, but names %llu",
                             child->index, (unsigned long long)dir->v5.ino,
                             (unsigned long long)child->inode.parent);
    if (child->inode.ino == child->index)
        return RAFS_OK;
    rc = rafsi_v5_record(v5, (uint32_t)child->inode.ino, &first, &at, err);
    if (rc < 0)
        return rc;
    if (first.ino != child->inode.ino ||
        (first.mode & S_IFMT) != (child->inode.mode & S_IFMT))
        return rafsi_corrupt(err, child->at + 40,
                             "inode %u is a link of inode %llu, which is another one",
                             child->index, (unsigned long long)child->inode.ino);
    return RAFS_OK;
}

int rafsi_v5_lookup(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                    const char *name, size_t len, uint64_t *ino, rafs_error *err)
{
    const struct v5_tree *v5 = v5_tree_of(tree);
    uint32_t low = 0;
    uint32_t high = dir->v5.child_count;
    struct v5_child child;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int rc = rafsi_v5_child(v5, dir->v5.child_index + middle, &child, err);
        int order;

        if (rc < 0)
            return rc;
        order = compare(name, len, child.name, child.inode.name_size);
        if (order == 0) {
            rc = check_child(v5, dir, &child, err);
            if (rc == RAFS_OK)
                *ino = child.inode.ino;
            return rc;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return RAFS_E_NOENT;
}

static int check_order(const struct v5_tree *v5, const struct v5_child *child,
                       rafs_error *err)
{
    struct v5_child before;

    /* One that cannot be decoded is reported when it is asked for, not by its neighbour.
     */
    if (rafsi_v5_child(v5, child->index - 1, &before, NULL) < 0)
        return RAFS_OK;
    if (compare(before.name, before.inode.name_size, child->name,
                child->inode.name_size) >= 0)
        return rafsi_corrupt(err, rafsi_v5_name_at(child->at),
                             "names of a directory are not in ascending order");
    return RAFS_OK;
}

int rafsi_v5_entry(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                   uint64_t offset, struct rafsi_name *out, bool *end, rafs_error *err)
{
    const struct v5_tree *v5 = v5_tree_of(tree);
    struct v5_child child;
    int rc;

    if (offset > dir->v5.child_count)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "offset %llu is none of this directory's",
                          (unsigned long long)offset);
    *end = offset == dir->v5.child_count;
    if (*end)
        return RAFS_OK;
    out->next = offset + 1;
    rc = rafsi_v5_child(v5, dir->v5.child_index + (uint32_t)offset, &child, err);
    if (rc == RAFS_OK)
        rc = rafsi_check_name((const uint8_t *)child.name, child.inode.name_size,
                              rafsi_v5_name_at(child.at), err);
    if (rc == RAFS_OK)
        rc = check_child(v5, dir, &child, err);
    if (rc == RAFS_OK && offset > 0)
        rc = check_order(v5, &child, err);
    if (rc < 0)
        return rc;
    out->ino = child.inode.ino;
    out->type = child.inode.mode & S_IFMT;
    out->len = child.inode.name_size;
    memcpy(out->name, child.name, (size_t)out->len + 1);
    return RAFS_OK;
}

int rafsi_v5_parent(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                    uint64_t *ino, rafs_error *err)
{
    (void)tree;
    (void)err;
    *ino = dir->v5.ino == V5_ROOT ? V5_ROOT : dir->v5.parent;
    return RAFS_OK;
}

int rafsi_v5_where(const struct rafsi_tree *tree, const struct rafsi_node *node,
                   uint64_t *dir, struct rafsi_name *out, rafs_error *err)
{
    const struct v5_tree *v5 = v5_tree_of(tree);
    struct rafsi_node holder;
    struct rafsi_name name;
    bool end;
    int rc;

    if (node->v5.ino == V5_ROOT)
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_METADATA, NULL,
                          "the root has no name");
    rc = rafsi_v5_node(tree, node->v5.parent, &holder, err);
    if (rc == RAFS_E_BADARG)
        return rafsi_corrupt(err, node->at + 32, "parent %llu is no directory",
                             (unsigned long long)node->v5.parent);
    if (rc < 0)
        return rc;
    if (!S_ISDIR(holder.attr.mode) || node->v5.ino < holder.v5.child_index ||
        node->v5.ino - holder.v5.child_index >= holder.v5.child_count)
        return rafsi_corrupt(err, node->at + 32, "parent %llu does not hold inode %llu",
                             (unsigned long long)node->v5.parent,
                             (unsigned long long)node->v5.ino);
    rc = rafsi_v5_entry(&v5->tree, &holder, node->v5.ino - holder.v5.child_index, &name,
                        &end, err);
    if (rc < 0)
        return rc;
    *dir = holder.v5.ino;
    *out = name;
    return RAFS_OK;
}
