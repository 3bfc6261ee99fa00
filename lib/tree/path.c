/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "tree/tree.h"

#define ENTRIES_PER_TICK 256

/* A path that is put together from its end. */
struct backwards {
    const struct rafsi_env *env;
    char *at;
    size_t room;
    size_t len; /* bytes in use, at the end of the memory */
};

static int put_front(struct backwards *text, const char *name, size_t len,
                     rafs_error *err)
{
    size_t need = text->len + len + 1;

    if (need > text->room) {
        size_t room = need * 2 + 256;
        char *larger = rafsi_alloc(text->env, room);

        if (!larger)
            return rafsi_fail_nomem(err, room);
        if (text->len > 0)
            memcpy(larger + room - text->len, text->at + text->room - text->len,
                   text->len);
        rafsi_free(text->env, text->at);
        text->at = larger;
        text->room = room;
    }
    text->len = need;
    text->at[text->room - need] = '/';
    memcpy(text->at + text->room - need + 1, name, len);
    return RAFS_OK;
}

/* A directory's name, found among the entries of the one that it says it lies in. *left:
 * entries that may still be looked at on the whole way up. */
static int scan(const struct rafsi_tree *tree, const struct rafsi_node *node,
                uint64_t *dir, struct rafsi_name *out, uint64_t *left,
                const rafs_call *call, rafs_error *err)
{
    struct rafsi_node holder;
    uint64_t offset = 0;
    uint64_t parent = 0;
    bool end = false;
    int rc = tree->ops->parent(tree, node, &parent, err);

    if (rc == RAFS_OK)
        rc = rafsi_tree_dir(tree, parent, &holder, err);
    for (uint64_t i = 0; rc == RAFS_OK; i++) {
        if (i % ENTRIES_PER_TICK == 0)
            rc = rafsi_call_check(&tree->env, call, RAFS_STAGE_LOOKUP, err);
        if (rc == RAFS_OK)
            rc = tree->ops->entry(tree, &holder, offset, out, &end, err);
        if (rc < 0 || end || *left == 0)
            break;
        --*left;
        if (out->ino == node->attr.ino) {
            *dir = parent;
            return RAFS_OK;
        }
        offset = out->next;
    }
    if (rc == RAFS_OK || rc == RAFS_E_NOTDIR || rc == RAFS_E_BADARG)
        rc =
            rafsi_corrupt(err, node->at, "directory %llu does not hold directory %llu",
                          (unsigned long long)parent, (unsigned long long)node->attr.ino);
    return rc;
}

static int climb(const struct rafsi_tree *tree, const struct rafsi_node *from,
                 struct backwards *text, const rafs_call *call, rafs_error *err)
{
    struct rafsi_node node = *from;
    struct rafsi_name name;
    /* Each name lies in one directory, so no way up meets more than there are: one that
     * goes round in a circle of long directories must not take long. */
    uint64_t left = tree->entries_max;
    uint64_t dir;

    for (uint32_t depth = 0; node.attr.ino != tree->super.root; depth++) {
        int rc = rafsi_call_check(&tree->env, call, RAFS_STAGE_LOOKUP, err);

        if (rc == RAFS_OK && depth > RAFS_DEPTH_MAX)
            rc = rafsi_corrupt(err, node.at, "directories are more than %d deep",
                               RAFS_DEPTH_MAX);
        if (rc == RAFS_OK && tree->ops->where)
            rc = tree->ops->where(tree, &node, &dir, &name, err);
        else if (rc == RAFS_OK)
            rc = scan(tree, &node, &dir, &name, &left, call, err);
        if (rc == RAFS_OK)
            rc = put_front(text, name.name, name.len, err);
        if (rc == RAFS_OK)
            rc = rafsi_tree_dir(tree, dir, &node, err);
        if (rc < 0)
            return rc;
    }
    return text->len == 0 ? put_front(text, "", 0, err) : RAFS_OK;
}

/* Where a file does not know its name, all names are looked at. */
static int search(const struct rafsi_tree *tree, uint64_t ino, struct backwards *text,
                  const rafs_call *call, rafs_error *err)
{
    const rafs_walk_entry *entry = NULL;
    struct rafsi_walk *walk = NULL;
    int broken = RAFS_OK; /* the first failure, which may have hidden the name */
    int rc = rafsi_walk_new(tree, "/", &walk, err);

    for (uint64_t i = 0; rc == RAFS_OK; i++) {
        if (i % ENTRIES_PER_TICK == 0)
            rc = rafsi_call_check(&tree->env, call, RAFS_STAGE_LOOKUP, err);
        if (rc < 0)
            goto out;
        rc = rafsi_walk_step(walk, &entry, broken < 0 ? NULL : err);
        if (rc == RAFS_E_CORRUPT || rc == RAFS_E_UNSUPPORTED) {
            broken = broken < 0 ? broken : rc;
            rc = RAFS_OK;
            continue;
        }
        if (rc < 0 || !entry || entry->ino == ino)
            break;
    }
    if (rc < 0)
        goto out;
    if (entry)
        rc = put_front(text, entry->path + 1, entry->path_len - 1, err);
    else if (broken < 0)
        rc = broken;
    else
        rc = rafsi_fail_object(err,
                               rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_LOOKUP, NULL,
                                          "no path leads to this inode"),
                               "inode %llu", (unsigned long long)ino);
out:
    rafsi_walk_free(walk);
    return rc;
}

int rafsi_tree_path(const struct rafsi_tree *tree, uint64_t ino, char *buf, size_t room,
                    size_t *len, const rafs_call *call, rafs_error *err)
{
    struct backwards text = {.env = &tree->env};
    struct rafsi_node node;
    int rc;

    *len = 0;
    rc = rafsi_tree_node(tree, ino, &node, err);
    if (rc < 0)
        return rc;
    if (S_ISDIR(node.attr.mode) || tree->ops->where)
        rc = climb(tree, &node, &text, call, err);
    else
        rc = search(tree, ino, &text, call, err);
    if (rc < 0) {
        rc = rafsi_fail_object(err, rc, "bootstrap");
        goto out;
    }
    *len = text.len;
    if (room <= text.len) {
        rc = rafsi_fail(err, RAFS_E_RANGE, RAFS_STAGE_ARGUMENT, "buffer",
                        "room for %zu bytes; %zu are needed", room, text.len + 1);
        goto out;
    }
    memcpy(buf, text.at + text.room - text.len, text.len);
    buf[text.len] = '\0';
out:
    rafsi_free(&tree->env, text.at);
    return rc;
}
