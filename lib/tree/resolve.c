/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "tree/tree.h"

/*
 * Path resolution as Linux does it, without recursion: a stack of texts, the caller's
 * path at the bottom and above it the target of each link that is being followed. The
 * components still to be looked up are what is left of the top text, then of the one
 * below it, and so on. No more than RAFS_LINKS_MAX links are followed, so neither time
 * nor memory grows.
 */

struct text {
    const char *at;
    size_t len;
    size_t pos;
    char *owned; /* a target's memory; NULL for the path */
};

struct resolver {
    const struct rafsi_tree *tree;
    const char *path;
    uint32_t flags;
    uint32_t links;
    struct text texts[RAFS_LINKS_MAX + 1];
    size_t depth;
    bool slash;            /* one followed the component that was taken last */
    bool must_dir;         /* one followed the path's last component */
    size_t where;          /* in the path: the component that led here */
    struct rafsi_node dir; /* or, at the end, the result */
    char name[RAFS_NAME_MAX];
    size_t name_len;
};

static int locate(const struct resolver *r, rafs_error *err, int rc)
{
    if (err) {
        err->stage = RAFS_STAGE_LOOKUP;
        err->object[0] = '\0';
        rafsi_fail_object(err, rc, "path %s", r->path);
        err->has_offset = 1;
        err->offset = r->where;
    }
    return rc;
}

static void pop(struct resolver *r)
{
    r->depth--;
    rafsi_free(&r->tree->env, r->texts[r->depth].owned);
}

/* Go to the next component: past slashes and the ends of texts. */
static void settle(struct resolver *r)
{
    while (r->depth > 0) {
        struct text *text = &r->texts[r->depth - 1];

        while (text->pos < text->len && text->at[text->pos] == '/') {
            text->pos++;
            r->slash = true;
        }
        if (text->pos < text->len)
            return;
        pop(r);
    }
}

static int take_name(struct resolver *r, rafs_error *err)
{
    struct text *text = &r->texts[r->depth - 1];
    const char *begin = text->at + text->pos;
    const char *slash = memchr(begin, '/', text->len - text->pos);
    size_t len = slash ? (size_t)(slash - begin) : text->len - text->pos;

    if (r->depth == 1 && !text->owned)
        r->where = text->pos;
    if (len > RAFS_NAME_MAX)
        return locate(r, err,
                      rafsi_fail_os(err, RAFS_E_BADARG, RAFS_STAGE_LOOKUP, ENAMETOOLONG,
                                    NULL, "name of %zu bytes; %d are allowed", len,
                                    RAFS_NAME_MAX));
    memcpy(r->name, begin, len);
    r->name_len = len;
    text->pos += len;
    r->slash = false;
    settle(r);
    if (r->depth == 0 && r->slash)
        r->must_dir = true;
    return RAFS_OK;
}

/* Put a link's target in front of what is left. */
static int follow(struct resolver *r, const struct rafsi_node *link, rafs_error *err)
{
    size_t room = (size_t)rafsi_min(link->attr.size, RAFS_TARGET_MAX) + 1;
    struct text *text = &r->texts[r->depth];
    size_t len;
    int rc;

    if (++r->links > RAFS_LINKS_MAX)
        return locate(r, err,
                      rafsi_fail(err, RAFS_E_LOOP, RAFS_STAGE_LOOKUP, NULL,
                                 "more than %d symbolic links", RAFS_LINKS_MAX));
    text->owned = rafsi_alloc(&r->tree->env, room);
    if (!text->owned)
        return rafsi_fail_nomem(err, room);
    rc = rafsi_tree_readlink(r->tree, link, text->owned, room, &len, err);
    if (rc == RAFS_OK && len == 0)
        rc = rafsi_fail_object(err, rafsi_corrupt(err, link->at, "link without a target"),
                               "bootstrap");
    if (rc == RAFS_OK && text->owned[0] == '/')
        rc = rafsi_tree_dir(r->tree, r->tree->super.root, &r->dir, err);
    text->at = text->owned;
    text->len = len;
    text->pos = 0;
    r->depth++;
    settle(r);
    return rc;
}

/* The component that was taken, in the directory where we are. */
static int step(struct resolver *r, rafs_error *err)
{
    bool last = r->depth == 0;
    struct rafsi_node node;
    uint64_t ino;
    int rc = rafsi_tree_lookup(r->tree, &r->dir, r->name, r->name_len, &ino, err);

    if (rc == RAFS_E_NOENT)
        return locate(r, err, rc);
    if (rc == RAFS_OK)
        rc = rafsi_tree_node(r->tree, ino, &node, err);
    if (rc == RAFS_E_BADARG)
        rc = rafsi_fail_object(err,
                               rafsi_corrupt(err, r->dir.at,
                                             "a name of directory %llu leads nowhere",
                                             (unsigned long long)r->dir.attr.ino),
                               "bootstrap");
    if (rc < 0)
        return rc;
    if (S_ISLNK(node.attr.mode) &&
        (!last || r->must_dir || !(r->flags & RAFS_RESOLVE_NOFOLLOW)))
        return follow(r, &node, err);
    r->dir = node;
    if (!S_ISDIR(node.attr.mode) && (!last || r->must_dir))
        return locate(r, err,
                      rafsi_fail(err, RAFS_E_NOTDIR, RAFS_STAGE_LOOKUP, NULL,
                                 "not a directory, but the path goes on below it"));
    return RAFS_OK;
}

static int check_args(const char *path, uint32_t flags, rafs_error *err)
{
    if (strnlen(path, RAFS_PATH_MAX + 1) > RAFS_PATH_MAX)
        return rafsi_fail_os(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, ENAMETOOLONG,
                             "path", "path of more than %d bytes", RAFS_PATH_MAX);
    if (flags & ~(uint32_t)RAFS_RESOLVE_NOFOLLOW)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "flags",
                          "unknown flags 0x%x", flags);
    return RAFS_OK;
}

int rafsi_tree_resolve(const struct rafsi_tree *tree, const char *path, uint32_t flags,
                       uint64_t *ino, rafs_error *err)
{
    struct resolver r;
    int rc = check_args(path, flags, err);

    if (rc < 0)
        return rc;
    r.tree = tree;
    r.path = path;
    r.flags = flags;
    r.links = 0;
    r.slash = r.must_dir = false;
    r.where = 0;
    r.texts[0] = (struct text){path, strlen(path), 0, NULL};
    r.depth = 1;
    rc = rafsi_tree_dir(tree, tree->super.root, &r.dir, err);
    if (rc < 0)
        return rc;
    settle(&r);
    while (rc == RAFS_OK && r.depth > 0) {
        rc = take_name(&r, err);
        if (rc == RAFS_OK)
            rc = step(&r, err);
    }
    while (r.depth > 0)
        pop(&r);
    if (rc == RAFS_OK)
        *ino = r.dir.attr.ino;
    return rc;
}
