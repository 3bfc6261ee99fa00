/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SNIFF_BYTES 1152

static int in_bootstrap(rafs_error *err, int rc)
{
    return rc < 0 ? rafsi_fail_object(err, rc, "bootstrap") : rc;
}

static int open_version(const struct rafsi_env *env, struct rafsi_source *source,
                        const rafs_limits *limits, struct rafsi_tree **out,
                        rafs_error *err)
{
    size_t len = (size_t)rafsi_min(rafsi_source_size(source), SNIFF_BYTES);
    uint8_t scratch[SNIFF_BYTES];
    const uint8_t *head;
    bool plain_erofs;
    int rc = rafsi_source_view(source, 0, len, scratch, &head, err);

    if (rc < 0)
        return rc;
    switch (rafsi_sniff((struct span){head, len, 0}, &plain_erofs)) {
    case 5:
        return rafsi_v5_open(env, source, limits, out, err);
    case 6:
        return rafsi_v6_open(env, source, limits, out, err);
    default:
        if (plain_erofs)
            return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_OPEN, NULL,
                              "an EROFS image, but not one of RAFS");
        return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_OPEN, NULL,
                          "neither a RAFS v5 nor a v6 bootstrap");
    }
}

int rafsi_tree_open(const struct rafsi_env *env, struct rafsi_source *source,
                    const rafs_limits *limits, struct rafsi_tree **out, rafs_error *err)
{
    rafs_limits filled = {0};
    struct rafsi_tree *tree;
    int rc;

    if (limits)
        filled = *limits;
    rafsi_limits_fill(&filled);
    rc = in_bootstrap(err, open_version(env, source, &filled, &tree, err));
    if (rc < 0)
        return rc;
    rc = rafsi_homes_new(tree, err);
    if (rc < 0)
        tree->ops->close(tree); /* not the source: the caller keeps it */
    else
        *out = tree;
    return rc;
}

void rafsi_tree_close(struct rafsi_tree *tree)
{
    struct rafsi_source *source;

    if (!tree)
        return;
    source = tree->source;
    rafsi_free(&tree->env, tree->homes);
    tree->ops->close(tree);
    rafsi_source_free(source);
}

int rafsi_tree_node(const struct rafsi_tree *tree, uint64_t ino, struct rafsi_node *out,
                    rafs_error *err)
{
    int rc = tree->ops->node(tree, ino, out, err);

    if (rc == RAFS_E_BADARG)
        return rafsi_fail_object(err, rc, "inode %llu", (unsigned long long)ino);
    return in_bootstrap(err, rc);
}

int rafsi_tree_dir(const struct rafsi_tree *tree, uint64_t ino, struct rafsi_node *out,
                   rafs_error *err)
{
    struct rafsi_node node;
    int rc = rafsi_tree_node(tree, ino, &node, err);

    if (rc < 0)
        return rc;
    if (!S_ISDIR(node.attr.mode)) {
        rc = rafsi_fail(err, RAFS_E_NOTDIR, RAFS_STAGE_LOOKUP, NULL,
                        "not a directory, which is needed here");
        return rafsi_fail_object(err, rc, "inode %llu", (unsigned long long)ino);
    }
    *out = node;
    return RAFS_OK;
}

int rafsi_tree_file(const struct rafsi_tree *tree, uint64_t ino, struct rafsi_node *out,
                    rafs_error *err)
{
    struct rafsi_node node;
    int rc = rafsi_tree_node(tree, ino, &node, err);

    if (rc < 0)
        return rc;
    if (S_ISREG(node.attr.mode)) {
        *out = node;
        return RAFS_OK;
    }
    if (S_ISDIR(node.attr.mode))
        rc = rafsi_fail(err, RAFS_E_ISDIR, RAFS_STAGE_ARGUMENT, NULL,
                        "a directory, where a regular file is needed");
    else
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                        "not a regular file, which is needed here");
    return rafsi_fail_object(err, rc, "inode %llu", (unsigned long long)ino);
}

static int check_wanted(const char *name, size_t len, rafs_error *err)
{
    if (len == 0)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_LOOKUP, "name", "empty name");
    if (len > RAFS_NAME_MAX)
        return rafsi_fail_os(err, RAFS_E_BADARG, RAFS_STAGE_LOOKUP, ENAMETOOLONG, "name",
                             "name of %zu bytes; %d are allowed", len, RAFS_NAME_MAX);
    if (memchr(name, '/', len))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_LOOKUP, "name",
                          "name holds a slash; to look up a path, resolve it");
    return RAFS_OK;
}

/* ".." leads to what the directory says, which had better be a directory. */
static int lookup_parent(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                         uint64_t *ino, rafs_error *err)
{
    struct rafsi_node parent;
    uint64_t found = 0;
    int rc = tree->ops->parent(tree, dir, &found, err);

    if (rc == RAFS_OK)
        rc = rafsi_tree_dir(tree, found, &parent, err);
    if (rc == RAFS_E_BADARG || rc == RAFS_E_NOTDIR)
        rc = rafsi_corrupt(err, dir->at, "parent %llu of inode %llu is no directory",
                           (unsigned long long)found, (unsigned long long)dir->attr.ino);
    if (rc < 0)
        return in_bootstrap(err, rc);
    *ino = found;
    return RAFS_OK;
}

int rafsi_tree_lookup(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                      const char *name, size_t len, uint64_t *ino, rafs_error *err)
{
    int rc = check_wanted(name, len, err);

    if (rc < 0)
        return rc;
    if (!S_ISDIR(dir->attr.mode)) {
        rc = rafsi_fail(err, RAFS_E_NOTDIR, RAFS_STAGE_LOOKUP, NULL,
                        "not a directory, which is needed here");
        return rafsi_fail_object(err, rc, "inode %llu",
                                 (unsigned long long)dir->attr.ino);
    }
    if (len == 1 && name[0] == '.') {
        *ino = dir->attr.ino;
        return RAFS_OK;
    }
    if (len == 2 && name[0] == '.' && name[1] == '.')
        return lookup_parent(tree, dir, ino, err);
    rc = tree->ops->lookup(tree, dir, name, len, ino, err);
    if (rc == RAFS_E_NOENT) {
        rafsi_fail(err, rc, RAFS_STAGE_LOOKUP, NULL, "no such file or directory");
        return rafsi_fail_object(err, rc, "name %.*s", (int)len, name);
    }
    if (rc == RAFS_OK)
        rafsi_home_note(tree, dir->attr.ino, *ino);
    return in_bootstrap(err, rc);
}

int rafsi_tree_entry(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                     uint64_t offset, struct rafsi_name *out, bool *end, rafs_error *err)
{
    int rc = tree->ops->entry(tree, dir, offset, out, end, err);

    if (rc == RAFS_E_BADARG)
        return rafsi_fail_object(err, rc, "directory %llu",
                                 (unsigned long long)dir->attr.ino);
    return in_bootstrap(err, rc);
}

static int no_room(rafs_error *err, size_t room, size_t need)
{
    return rafsi_fail(err, RAFS_E_RANGE, RAFS_STAGE_ARGUMENT, "buffer",
                      "room for %zu bytes; %zu are needed", room, need);
}

int rafsi_tree_readlink(const struct rafsi_tree *tree, const struct rafsi_node *link,
                        char *buf, size_t room, size_t *len, rafs_error *err)
{
    size_t size;
    int rc;

    *len = 0;
    if (!S_ISLNK(link->attr.mode)) {
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                        "not a symbolic link");
        return rafsi_fail_object(err, rc, "inode %llu",
                                 (unsigned long long)link->attr.ino);
    }
    if (link->attr.size > RAFS_TARGET_MAX) {
        rc = rafsi_corrupt(err, link->at, "link with a target of %llu bytes",
                           (unsigned long long)link->attr.size);
        return in_bootstrap(err, rc);
    }
    size = (size_t)link->attr.size;
    if (room <= size) {
        *len = size;
        return no_room(err, room, size + 1);
    }
    rc = tree->ops->target(tree, link, 0, size, buf, err);
    if (rc < 0)
        return in_bootstrap(err, rc);
    buf[size] = '\0';
    *len = size;
    return RAFS_OK;
}

int rafsi_tree_list_xattr(const struct rafsi_tree *tree, const struct rafsi_node *node,
                          char *buf, size_t room, size_t *len, rafs_error *err)
{
    struct rafsi_xattr xattr;
    uint64_t offset = 0;
    size_t total = 0;
    bool end = false;

    *len = 0;
    for (;;) {
        int rc = tree->ops->xattr(tree, node, &offset, &xattr, &end, err);
        size_t need;

        if (rc < 0)
            return in_bootstrap(err, rc);
        if (end)
            break;
        need = (size_t)xattr.name_len + 1;
        if (total <= room && need <= room - total)
            memcpy(buf + total, xattr.name, need);
        total += need;
    }
    *len = total;
    return total > room ? no_room(err, room, total) : RAFS_OK;
}

static int find_xattr(const struct rafsi_tree *tree, const struct rafsi_node *node,
                      const char *name, struct rafsi_xattr *out, rafs_error *err)
{
    size_t len = strlen(name);
    uint64_t offset = 0;
    bool end = false;
    int rc;

    for (;;) {
        rc = tree->ops->xattr(tree, node, &offset, out, &end, err);
        if (rc < 0)
            return in_bootstrap(err, rc);
        if (end)
            break;
        if (out->name_len == len && memcmp(out->name, name, len) == 0)
            return RAFS_OK;
    }
    rc = rafsi_fail(err, RAFS_E_NOATTR, RAFS_STAGE_LOOKUP, NULL,
                    "no such extended attribute");
    return rafsi_fail_object(err, rc, "attribute %s", name);
}

int rafsi_tree_get_xattr(const struct rafsi_tree *tree, const struct rafsi_node *node,
                         const char *name, void *buf, size_t room, size_t *len,
                         rafs_error *err)
{
    struct rafsi_xattr xattr;
    int rc;

    *len = 0;
    rc = find_xattr(tree, node, name, &xattr, err);
    if (rc < 0)
        return rc;
    if (xattr.value_len > room) {
        *len = xattr.value_len;
        return no_room(err, room, xattr.value_len);
    }
    rc = rafsi_source_read(tree->source, xattr.value_at, xattr.value_len, buf, err);
    if (rc < 0)
        return in_bootstrap(err, rc);
    *len = xattr.value_len;
    return RAFS_OK;
}

int rafsi_tree_chunk(const struct rafsi_tree *tree, const struct rafsi_node *file,
                     uint64_t offset, struct rafsi_chunk *out, rafs_error *err)
{
    int rc;

    if (!S_ISREG(file->attr.mode) || offset >= file->attr.size)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "no chunk at %llu of inode %llu", (unsigned long long)offset,
                          (unsigned long long)file->attr.ino);
    rc = tree->ops->chunk(tree, file, offset, out, err);
    /* Whoever copies bytes by these two numbers need not ask again. */
    if (rc == RAFS_OK &&
        (out->file_offset > offset || out->length <= offset - out->file_offset ||
         out->length > file->attr.size - out->file_offset))
        rc = rafsi_corrupt(err, file->at, "chunk of a file does not hold its byte %llu",
                           (unsigned long long)offset);
    return in_bootstrap(err, rc);
}

/* A zero ends the table. */
int rafsi_tree_prefetch(const struct rafsi_tree *tree, uint32_t first, uint64_t *inos,
                        size_t room, size_t *count, rafs_error *err)
{
    size_t filled = 0;

    *count = 0;
    for (uint64_t i = first; i < tree->super.prefetch_count && filled < room; i++) {
        uint64_t ino;
        int rc = tree->ops->prefetch(tree, (uint32_t)i, &ino, err);

        if (rc < 0)
            return in_bootstrap(err, rc);
        if (ino == 0)
            break;
        inos[filled++] = ino;
    }
    *count = filled;
    return RAFS_OK;
}
