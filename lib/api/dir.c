/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "api/api.h"

/* One name into one entry and the caller's room for names. */
static int fill_entry(const rafs_image *image, uint64_t dir,
                      const struct rafsi_name *name, uint32_t flags, char *at,
                      rafs_dirent *out, rafs_error *err)
{
    struct rafsi_node node;
    int rc;

    memset(out, 0, sizeof(*out));
    if (flags & RAFS_DIR_ATTR) {
        rc = rafsi_tree_node(image->tree, name->ino, &node, err);
        if (rc < 0)
            return rc;
        out->attr = node.attr;
        /* A kernel that lists a directory so looks none of it up any more. */
        if (S_ISREG(node.attr.mode))
            rafsi_home_note(image->tree, dir, name->ino);
    }
    memcpy(at, name->name, name->len);
    at[name->len] = '\0';
    out->ino = name->ino;
    out->next_offset = name->next;
    out->name = at;
    out->name_len = name->len;
    out->type = name->type;
    return RAFS_OK;
}

static int check_arguments(const rafs_image *image, uint32_t flags,
                           const rafs_dirent *entries, size_t capacity, const char *names,
                           size_t room, const size_t *count, rafs_error *err)
{
    if (!image || !count || (!entries && capacity > 0) || !names)
        return rafsi_fail_null(err, image ? "entries, names or count" : "image");
    if (room < RAFS_NAME_MAX + 1)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "room",
                          "fewer than the %d bytes that one name may need",
                          RAFS_NAME_MAX + 1);
    if ((flags & ~(uint32_t)RAFS_DIR_ATTR) != 0)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "flags",
                          "0x%x are not known", flags);
    return RAFS_OK;
}

int rafs_image_readdir(const rafs_image *image, uint64_t dir, uint64_t offset,
                       uint32_t flags, rafs_dirent *entries, size_t capacity, char *names,
                       size_t room, size_t *count, rafs_error *err)
{
    struct rafsi_node node;
    struct rafsi_name name;
    size_t filled = 0;
    int rc;

    if (count)
        *count = 0;
    rc = check_arguments(image, flags, entries, capacity, names, room, count, err);
    if (rc == RAFS_OK)
        rc = rafsi_tree_dir(image->tree, dir, &node, err);
    while (rc == RAFS_OK && filled < capacity) {
        bool end = false;

        rc = rafsi_tree_entry(image->tree, &node, offset, &name, &end, err);
        if (rc < 0 || end || name.len + 1 > room)
            break;
        rc = fill_entry(image, node.attr.ino, &name, flags, names, &entries[filled], err);
        if (rc < 0)
            break;
        filled++;
        offset = name.next;
        names += name.len + 1;
        room -= name.len + 1;
    }
    if (rc == RAFS_OK)
        *count = filled;
    return rc;
}

struct rafs_dir {
    const rafs_image *image;
    struct rafsi_node node;
    uint64_t offset;
    uint32_t flags;
    char name[RAFS_NAME_MAX + 1];
    rafs_dirent entry;
};

int rafs_dir_open(const rafs_image *image, uint64_t ino, uint32_t flags, rafs_dir **out,
                  rafs_error *err)
{
    struct rafsi_node node;
    rafs_dir *dir;
    int rc;

    if (!image || !out)
        return rafsi_fail_null(err, image ? "out" : "image");
    if ((flags & ~(uint32_t)RAFS_DIR_ATTR) != 0)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "flags",
                          "0x%x are not known", flags);
    rc = rafsi_tree_dir(image->tree, ino, &node, err);
    if (rc < 0)
        return rc;
    dir = rafsi_alloc_zero(&image->env, sizeof(*dir));
    if (!dir)
        return rafsi_fail_nomem(err, sizeof(*dir));
    dir->image = image;
    dir->node = node;
    dir->flags = flags;
    *out = dir;
    return RAFS_OK;
}

int rafs_dir_next(rafs_dir *dir, const rafs_dirent **entry, rafs_error *err)
{
    struct rafsi_name name;
    bool end = false;
    int rc;

    if (entry)
        *entry = NULL;
    if (!dir || !entry)
        return rafsi_fail_null(err, dir ? "entry" : "dir");
    rc = rafsi_tree_entry(dir->image->tree, &dir->node, dir->offset, &name, &end, err);
    if (rc < 0 || end)
        return rc;
    rc = fill_entry(dir->image, dir->node.attr.ino, &name, dir->flags, dir->name,
                    &dir->entry, err);
    if (rc < 0)
        return rc;
    dir->offset = name.next;
    *entry = &dir->entry;
    return RAFS_OK;
}

void rafs_dir_seek(rafs_dir *dir, uint64_t offset)
{
    if (dir)
        dir->offset = offset;
}

void rafs_dir_close(rafs_dir *dir)
{
    if (dir)
        rafsi_free(&dir->image->env, dir);
}

struct rafs_walk {
    const rafs_image *image;
    struct rafsi_walk *walk;
};

int rafs_walk_open(const rafs_image *image, const char *path, uint32_t flags,
                   rafs_walk **out, rafs_error *err)
{
    rafs_walk *walk;
    int rc;

    if (!image || !path || !out)
        return rafsi_fail_null(err, image ? "path or out" : "image");
    if (flags != 0)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "flags",
                          "0x%x are not known", flags);
    walk = rafsi_alloc_zero(&image->env, sizeof(*walk));
    if (!walk)
        return rafsi_fail_nomem(err, sizeof(*walk));
    walk->image = image;
    rc = rafsi_walk_new(image->tree, path, &walk->walk, err);
    if (rc < 0) {
        rafsi_free(&image->env, walk);
        return rc;
    }
    *out = walk;
    return RAFS_OK;
}

int rafs_walk_next(rafs_walk *walk, const rafs_walk_entry **entry, rafs_error *err)
{
    if (entry)
        *entry = NULL;
    if (!walk || !entry)
        return rafsi_fail_null(err, walk ? "entry" : "walk");
    return rafsi_walk_step(walk->walk, entry, err);
}

void rafs_walk_skip(rafs_walk *walk)
{
    if (walk)
        rafsi_walk_prune(walk->walk);
}

void rafs_walk_close(rafs_walk *walk)
{
    if (!walk)
        return;
    rafsi_walk_free(walk->walk);
    rafsi_free(&walk->image->env, walk);
}
