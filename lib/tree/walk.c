/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/walk.h"

#include <string.h>
#include <sys/stat.h>

/* A directory that the walk is in. */
struct level {
    struct rafsi_node dir;
    uint64_t offset; /* of its next entry */
    size_t path_len; /* of its path; 0 for the root, so that a slash and a name follow */
};

struct rafsi_walk {
    const struct rafsi_tree *tree;
    char *path; /* NUL terminated */
    size_t path_len;
    size_t path_room;
    struct level *levels;
    size_t depth;
    size_t room;
    uint64_t names; /* seen so far, broken ones included */
    bool begun;
    bool enter; /* node is a directory that the next step goes into */
    struct rafsi_node node;
    rafs_walk_entry entry;
};

static int grow(const struct rafsi_env *env, void **array, size_t used, size_t room,
                rafs_error *err)
{
    void *larger = rafsi_alloc(env, room);

    if (!larger)
        return rafsi_fail_nomem(err, room);
    if (used > 0)
        memcpy(larger, *array, used);
    rafsi_free(env, *array);
    *array = larger;
    return RAFS_OK;
}

/* Cut the path to len bytes and put "/name" after them. */
static int set_path(struct rafsi_walk *walk, size_t len, const char *name,
                    size_t name_len, rafs_error *err)
{
    size_t need = len + 1 + name_len + 1;

    if (need > walk->path_room) {
        void *path = walk->path;
        int rc = grow(&walk->tree->env, &path, len, need * 2, err);

        if (rc < 0)
            return rc;
        walk->path = path;
        walk->path_room = need * 2;
    }
    walk->path[len] = '/';
    memcpy(walk->path + len + 1, name, name_len);
    walk->path_len = len + 1 + name_len;
    walk->path[walk->path_len] = '\0';
    return RAFS_OK;
}

static void cut_path(struct rafsi_walk *walk, size_t len)
{
    walk->path_len = len ? len : 1;
    walk->path[walk->path_len] = '\0';
}

/* The start as an absolute path: without "." and needless slashes. */
static int start_path(struct rafsi_walk *walk, const char *path, rafs_error *err)
{
    int rc = set_path(walk, 0, "", 0, err);
    size_t len = 0;

    while (rc == RAFS_OK && *path) {
        size_t name_len = strcspn(path, "/");

        if (name_len > 0 && !(name_len == 1 && path[0] == '.')) {
            rc = set_path(walk, len, path, name_len, err);
            len = walk->path_len;
        }
        path += name_len + (path[name_len] == '/');
    }
    return rc;
}

int rafsi_walk_new(const struct rafsi_tree *tree, const char *path,
                   struct rafsi_walk **out, rafs_error *err)
{
    struct rafsi_walk *walk = NULL;
    uint64_t ino;
    int rc = rafsi_tree_resolve(tree, path, RAFS_RESOLVE_NOFOLLOW, &ino, err);

    if (rc < 0)
        return rc;
    walk = rafsi_alloc_zero(&tree->env, sizeof(*walk));
    if (!walk)
        return rafsi_fail_nomem(err, sizeof(*walk));
    walk->tree = tree;
    rc = start_path(walk, path, err);
    if (rc == RAFS_OK)
        rc = rafsi_tree_node(tree, ino, &walk->node, err);
    if (rc < 0)
        goto out;
    *out = walk;
    walk = NULL;
out:
    rafsi_walk_free(walk);
    return rc;
}

static void give(struct rafsi_walk *walk, uint64_t parent, const rafs_walk_entry **entry)
{
    walk->enter = S_ISDIR(walk->node.attr.mode);
    walk->entry = (rafs_walk_entry){.path = walk->path,
                                    .path_len = walk->path_len,
                                    .ino = walk->node.attr.ino,
                                    .parent = parent,
                                    .depth = (uint32_t)walk->depth,
                                    .attr = walk->node.attr};
    *entry = &walk->entry;
}

/* A directory has one parent. Entered only from there, no way leads round a loop, and
 * none to one directory from two. */
static int check_parent(const struct rafsi_walk *walk, rafs_error *err)
{
    uint64_t expected = walk->levels[walk->depth - 1].dir.attr.ino;
    uint64_t parent = 0;
    int rc = walk->tree->ops->parent(walk->tree, &walk->node, &parent, err);

    if (rc == RAFS_OK &&
        (parent != expected || walk->node.attr.ino == walk->tree->super.root))
        rc = rafsi_corrupt(err, walk->node.at,
                           "directory %llu was found in %llu, but says it lies in %llu",
                           (unsigned long long)walk->node.attr.ino,
                           (unsigned long long)expected, (unsigned long long)parent);
    return rc;
}

static int enter(struct rafsi_walk *walk, rafs_error *err)
{
    int rc = walk->depth > 0 ? check_parent(walk, err) : RAFS_OK;

    if (rc < 0)
        return rc;
    if (walk->depth >= RAFS_DEPTH_MAX)
        return rafsi_corrupt(err, walk->node.at, "directories are more than %d deep",
                             RAFS_DEPTH_MAX);
    if (walk->depth == walk->room) {
        size_t room = walk->room ? walk->room * 2 : 8;
        void *levels = walk->levels;

        rc = grow(&walk->tree->env, &levels, walk->depth * sizeof(*walk->levels),
                  room * sizeof(*walk->levels), err);
        if (rc < 0)
            return rc;
        walk->levels = levels;
        walk->room = room;
    }
    walk->levels[walk->depth++] = (struct level){
        .dir = walk->node, .path_len = walk->path_len == 1 ? 0 : walk->path_len};
    return RAFS_OK;
}

/* The inode that a name stands for, which has to be of the type that the directory says.
 */
static int load(struct rafsi_walk *walk, const struct rafsi_name *name, rafs_error *err)
{
    const struct level *level = &walk->levels[walk->depth - 1];
    int rc = set_path(walk, level->path_len, name->name, name->len, err);

    if (rc == RAFS_OK)
        rc = walk->tree->ops->node(walk->tree, name->ino, &walk->node, err);
    if (rc == RAFS_E_BADARG)
        return rafsi_corrupt(err, level->dir.at, "directory %llu names inode %llu, %s",
                             (unsigned long long)level->dir.attr.ino,
                             (unsigned long long)name->ino, "which is none");
    if (rc == RAFS_OK && (walk->node.attr.mode & S_IFMT) != name->type)
        return rafsi_corrupt(
            err, walk->node.at, "inode %llu has type 0%o, but 0%o in its directory",
            (unsigned long long)name->ino, walk->node.attr.mode & S_IFMT, name->type);
    return rc;
}

/* The next entry of the directory where the walk is; *end if there is none. */
static int next(struct rafsi_walk *walk, bool *end, rafs_error *err)
{
    struct level *level = &walk->levels[walk->depth - 1];
    struct rafsi_name name;
    uint64_t before = level->offset;
    int rc;

    cut_path(walk, level->path_len);
    name.next = 0;
    rc = walk->tree->ops->entry(walk->tree, &level->dir, before, &name, end, err);
    if (rc == RAFS_OK && *end) {
        walk->depth--;
        return RAFS_OK;
    }
    if (++walk->names > walk->tree->entries_max) {
        walk->depth = 0;
        return rafsi_corrupt(err, level->dir.at,
                             "more names than the image can hold: a directory is "
                             "reached twice");
    }
    if (rc < 0) {
        /* Where there is no way past a broken entry, the rest of the directory is lost.
         */
        if (name.next > before && rc != RAFS_E_NOMEM)
            level->offset = name.next;
        else
            walk->depth--;
        return rc;
    }
    level->offset = name.next;
    return load(walk, &name, err);
}

int rafsi_walk_step(struct rafsi_walk *walk, const rafs_walk_entry **entry,
                    rafs_error *err)
{
    bool end = true;
    int rc = RAFS_OK;

    *entry = NULL;
    if (!walk->begun) {
        walk->begun = true;
        give(walk, walk->node.attr.ino, entry);
        return RAFS_OK;
    }
    if (walk->enter) {
        walk->enter = false;
        rc = enter(walk, err);
    }
    while (rc == RAFS_OK && end && walk->depth > 0)
        rc = next(walk, &end, err);
    if (rc < 0)
        return rafsi_fail_object(err, rc, "bootstrap");
    if (!end)
        give(walk, walk->levels[walk->depth - 1].dir.attr.ino, entry);
    return RAFS_OK;
}

void rafsi_walk_prune(struct rafsi_walk *walk)
{
    walk->enter = false;
}

void rafsi_walk_free(struct rafsi_walk *walk)
{
    if (!walk)
        return;
    rafsi_free(&walk->tree->env, walk->path);
    rafsi_free(&walk->tree->env, walk->levels);
    rafsi_free(&walk->tree->env, walk);
}

const struct rafsi_node *rafsi_walk_node(const struct rafsi_walk *walk)
{
    return &walk->node;
}

const char *rafsi_walk_place(const struct rafsi_walk *walk)
{
    return walk->path;
}
