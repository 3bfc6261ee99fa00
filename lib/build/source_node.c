/* SPDX-License-Identifier: Apache-2.0 */
#include "build/source_node.h"

#include <string.h>
#include <sys/stat.h>

struct met_slot {
    uint64_t ino; /* 0: the slot is free */
    struct build_inode *inode;
};

static int take_xattr(const struct rafsi_tree *tree, const struct rafsi_xattr *from,
                      struct arena *arena, struct build_xattr *to, rafs_error *err)
{
    size_t size = (size_t)from->name_len + 1 + from->value_len;
    char *name = rafsi_arena_alloc(arena, size);
    uint8_t *value;

    if (!name)
        return rafsi_fail_nomem(err, size);
    value = (uint8_t *)name + from->name_len + 1;
    memcpy(name, from->name, from->name_len);
    *to = (struct build_xattr){name, value, from->name_len, from->value_len};
    return rafsi_source_read(tree->source, from->value_at, from->value_len, value, err);
}

/* The attributes: counted first, for the array. */
static int take_xattrs(const struct rafsi_tree *tree, const struct rafsi_node *node,
                       struct arena *arena, struct build_inode *inode, rafs_error *err)
{
    struct build_xattr *xattrs = NULL;
    uint32_t count = 0;

    for (int pass = 0; pass < 2; pass++) {
        struct rafsi_xattr xattr;
        uint64_t offset = 0;
        uint32_t i = 0;
        bool end = false;
        int rc;

        for (;; i++) {
            rc = tree->ops->xattr(tree, node, &offset, &xattr, &end, err);
            if (rc < 0)
                return rc;
            if (end)
                break;
            /* Of a file that nobody vouched for, and that changes meanwhile. */
            if (xattrs && i == count)
                return rafsi_corrupt(err, node->at,
                                     "extended attributes change while they are read");
            rc = xattrs ? take_xattr(tree, &xattr, arena, &xattrs[i], err) : RAFS_OK;
            if (rc < 0)
                return rc;
        }
        if (i == 0)
            return RAFS_OK;
        count = i;
        if (!xattrs)
            xattrs = rafsi_arena_alloc(arena, count * sizeof(*xattrs));
        if (!xattrs)
            return rafsi_fail_nomem(err, count * sizeof(*xattrs));
    }
    inode->xattrs = xattrs;
    inode->xattr_count = count;
    return RAFS_OK;
}

static int take_target(const struct rafsi_tree *tree, const struct rafsi_node *node,
                       struct arena *arena, struct build_inode *inode, rafs_error *err)
{
    size_t len = (size_t)node->attr.size, got;
    char *target;
    int rc;

    if (node->attr.size > RAFS_PATH_MAX)
        return rafsi_corrupt(err, node->at, "symbolic link of %llu bytes",
                             (unsigned long long)node->attr.size);
    target = rafsi_arena_alloc(arena, len + 1);
    if (!target)
        return rafsi_fail_nomem(err, len + 1);
    rc = rafsi_tree_readlink(tree, node, target, len + 1, &got, err);
    inode->target = target;
    return rc;
}

/* Linux's "new" encoding of device numbers. */
static uint32_t device_of(const rafs_attr *attr)
{
    return (attr->rdev_minor & 0xff) | attr->rdev_major << 8 |
           (attr->rdev_minor & ~0xffu) << 12;
}

int rafsi_node_describe(const struct rafsi_tree *tree, const struct rafsi_node *node,
                        struct arena *arena, struct build_inode *out, rafs_error *err)
{
    const rafs_attr *attr = &node->attr;
    int rc = RAFS_OK;

    *out = (struct build_inode){.size = attr->size,
                                .mtime_sec = attr->mtime_sec,
                                .mtime_nsec = attr->mtime_nsec,
                                .mode = attr->mode,
                                .uid = attr->uid,
                                .gid = attr->gid};
    if (S_ISCHR(attr->mode) || S_ISBLK(attr->mode))
        out->rdev = device_of(attr);
    else if (!S_ISREG(attr->mode) && !S_ISLNK(attr->mode))
        out->size = 0;
    if (S_ISLNK(attr->mode))
        rc = take_target(tree, node, arena, out, err);
    if (rc == RAFS_OK && attr->xattr_hint)
        rc = take_xattrs(tree, node, arena, out, err);
    return rc;
}

static struct met_slot *slot_of(const struct rafsi_met *met, struct met_slot *slots,
                                size_t room, uint64_t ino)
{
    size_t i = (size_t)((ino ^ met->seed) * 0x9e3779b97f4a7c15u >> 20) & (room - 1);

    while (slots[i].ino && slots[i].ino != ino)
        i = (i + 1) & (room - 1);
    return &slots[i];
}

void rafsi_met_init(struct rafsi_met *met, const struct rafsi_env *env)
{
    *met = (struct rafsi_met){.env = env, .seed = rafsi_seed()};
}

void rafsi_met_free(struct rafsi_met *met)
{
    rafsi_free(met->env, met->slots);
    met->slots = NULL;
    met->room = met->used = 0;
}

struct build_inode *rafsi_met_find(const struct rafsi_met *met, uint64_t ino)
{
    return met->room ? slot_of(met, met->slots, met->room, ino)->inode : NULL;
}

int rafsi_met_note(struct rafsi_met *met, uint64_t ino, struct build_inode *inode,
                   rafs_error *err)
{
    if (met->used >= met->room / 2) {
        size_t room = met->room ? met->room * 2 : 256;
        struct met_slot *larger = rafsi_alloc_zero(met->env, room * sizeof(*larger));

        if (!larger)
            return rafsi_fail_nomem(err, room * sizeof(*larger));
        for (size_t i = 0; i < met->room; i++)
            if (met->slots[i].ino)
                *slot_of(met, larger, room, met->slots[i].ino) = met->slots[i];
        rafsi_free(met->env, met->slots);
        met->slots = larger;
        met->room = room;
    }
    *slot_of(met, met->slots, met->room, ino) = (struct met_slot){ino, inode};
    met->used++;
    return RAFS_OK;
}
