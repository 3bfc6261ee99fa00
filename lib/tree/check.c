/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree/walk.h"

#define NAMES_PER_TICK 256
#define CHUNKS_PER_TICK 4096
#define PIECE_BYTES 4096

/* The state of one check. */
struct check {
    const struct rafsi_tree *tree;
    struct rafsi_hashes *hashes;
    const struct rafsi_tree_visitor *visitor;
    rafs_error *err;
    struct rafsi_links links;
    uint64_t names;  /* paths, the root included */
    uint64_t inodes; /* of them different ones */
    uint64_t chunks;
    uint64_t claimed; /* bytes of the bootstrap that the inodes seen have to themselves */
    bool broken;      /* names were lost: counts of them prove nothing */
};

/* Failures that end the check; all others are what it looks for. */
static bool ends_check(int rc)
{
    switch (rc) {
    case RAFS_E_NOMEM:
    case RAFS_E_TIMEOUT:
    case RAFS_E_CANCELLED:
    case RAFS_E_LIMIT:
    case RAFS_E_BUG:
        return true;
    default:
        return false;
    }
}

/* Hand over what was found. rc: as `found` came back; RAFS_OK: nothing was. */
static int report(struct check *check, int rc, rafs_error *found, uint64_t ino,
                  const char *path)
{
    if (rc == RAFS_OK)
        return RAFS_OK;
    if (ends_check(rc)) {
        if (check->err)
            *check->err = *found;
        return rc;
    }
    found->stage = RAFS_STAGE_CHECK;
    found->object[0] = '\0';
    if (ino != 0 && path)
        rafsi_fail_object(found, rc, "inode %llu %s", (unsigned long long)ino, path);
    else if (ino != 0)
        rafsi_fail_object(found, rc, "inode %llu", (unsigned long long)ino);
    else
        rafsi_fail_object(found, rc, "%s%s", path ? "path " : "bootstrap",
                          path ? path : "");
    check->visitor->finding(check->visitor->user, found);
    return RAFS_OK;
}

static int tick(struct check *check)
{
    if (!check->visitor->tick)
        return RAFS_OK;
    return check->visitor->tick(check->visitor->user, check->inodes, check->err);
}

static int check_dir_links(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                           rafs_error *err)
{
    struct rafsi_name name;
    uint64_t offset = 0;
    uint64_t subdirs = 0;
    bool end = false;

    for (uint64_t i = 0; i <= tree->entries_max; i++) {
        /* The walk comes here too, and reports what is broken. */
        if (tree->ops->entry(tree, dir, offset, &name, &end, NULL) < 0)
            return RAFS_OK;
        if (end)
            break;
        subdirs += name.type == S_IFDIR;
        offset = name.next;
    }
    if (dir->attr.nlink != subdirs + 2)
        return rafsi_corrupt(err, dir->at,
                             "directory has %u links, but %llu directories in it",
                             dir->attr.nlink, (unsigned long long)subdirs);
    return RAFS_OK;
}

static int check_target(const struct rafsi_tree *tree, const struct rafsi_node *link,
                        rafs_error *err)
{
    char piece[PIECE_BYTES];
    int rc = RAFS_OK;

    if (link->attr.size == 0 || link->attr.size > RAFS_TARGET_MAX)
        return rafsi_corrupt(err, link->at, "link with a target of %llu bytes",
                             (unsigned long long)link->attr.size);
    for (uint64_t at = 0; rc == RAFS_OK && at < link->attr.size; at += sizeof(piece))
        rc = tree->ops->target(tree, link, at,
                               (size_t)rafsi_min(sizeof(piece), link->attr.size - at),
                               piece, err);
    return rc;
}

/* Chunks and holes follow each other from the first byte to the last. */
static int check_chunks(struct check *check, const struct rafsi_node *file,
                        const char *path)
{
    uint64_t offset = 0;
    rafs_error found;
    int rc;

    while (offset < file->attr.size) {
        struct rafsi_chunk chunk;

        rc = rafsi_tree_chunk(check->tree, file, offset, &chunk, &found);
        if (rc == RAFS_OK && chunk.file_offset != offset)
            rc = rafsi_corrupt(&found, file->at, "chunks overlap at byte %llu of a file",
                               (unsigned long long)offset);
        if (rc < 0)
            return report(check, rc, &found, file->attr.ino, path);
        offset += chunk.length;
        if (++check->chunks % CHUNKS_PER_TICK == 0) {
            rc = tick(check);
            if (rc < 0)
                return rc;
        }
    }
    return RAFS_OK;
}

static int check_type(struct check *check, const struct rafsi_node *node,
                      const char *path)
{
    const struct rafsi_tree_visitor *visitor = check->visitor;
    rafs_error found;
    int rc;

    switch (node->attr.mode & S_IFMT) {
    case S_IFDIR:
        rc = check_dir_links(check->tree, node, &found);
        return report(check, rc, &found, node->attr.ino, path);
    case S_IFLNK:
        rc = check_target(check->tree, node, &found);
        return report(check, rc, &found, node->attr.ino, path);
    case S_IFREG:
        /* Who looks at the content looks at the map of it too. */
        return visitor->file ? visitor->file(visitor->user, node, path, check->err)
                             : check_chunks(check, node, path);
    default:
        return RAFS_OK;
    }
}

static int check_node(struct check *check, const struct rafsi_node *node,
                      const char *path)
{
    const struct rafsi_tree_ops *ops = check->tree->ops;
    rafs_error found;
    int rc = check_type(check, node, path);

    if (rc < 0)
        return rc;
    rc = rafsi_check_xattrs(check->tree, node, &found);
    rc = report(check, rc, &found, node->attr.ino, path);
    if (rc < 0 || !ops->check)
        return rc;
    rc = ops->check(check->tree, check->hashes, node, &found);
    return report(check, rc, &found, node->attr.ino, path);
}

/* Bytes of the bootstrap that belong to this inode alone. They lie within it. */
static uint64_t claim(const struct rafsi_tree *tree, const struct rafsi_node *node)
{
    uint64_t size = node->attr.size;
    uint64_t bytes;

    if (tree->super.version == 5)
        return node->v5.end - node->at +
               (S_ISDIR(node->attr.mode) ? 4 * (uint64_t)node->v5.child_count : 0);
    bytes = node->v6.bytes + (uint64_t)node->v6.xattr_bytes;
    if (S_ISREG(node->attr.mode))
        bytes += V6_CHUNK_ADDR_BYTES *
                 (size / tree->super.chunk_size + (size % tree->super.chunk_size != 0));
    else if (S_ISDIR(node->attr.mode) || S_ISLNK(node->attr.mode))
        bytes += size;
    return bytes;
}

/* Many inodes that share one long part would take the square of the time. So what they
 * have together is held against the bootstrap's length, and once it is too much, no more
 * parts are looked at. */
static bool overlaps(struct check *check, const struct rafsi_node *node,
                     rafs_error *found)
{
    uint64_t room = rafsi_source_size(check->tree->source);

    if (check->claimed <= room)
        check->claimed += claim(check->tree, node);
    else
        return true;
    if (check->claimed > room)
        rafsi_corrupt(found, node->at,
                      "parts of inodes overlap: together they are longer than the "
                      "bootstrap; the parts of this and further ones are not checked");
    return check->claimed > room;
}

/* A name. What it stands for is looked at the first time only. */
static int visit(struct check *check, const struct rafsi_node *node, const char *path)
{
    bool first = true;
    rafs_error found;
    int rc;

    if (check->names++ % NAMES_PER_TICK == 0) {
        rc = tick(check);
        if (rc < 0)
            return rc;
    }
    if (!S_ISDIR(node->attr.mode) && node->attr.nlink > 1) {
        rc = rafsi_links_add(&check->links, node->attr.ino, node->attr.nlink, &first,
                             &found);
        if (rc < 0)
            return report(check, rc, &found, node->attr.ino, path);
    } else if (!S_ISDIR(node->attr.mode) && node->attr.nlink != 1) {
        rc = rafsi_corrupt(&found, node->at, "inode without a link");
        rc = report(check, rc, &found, node->attr.ino, path);
        if (rc < 0)
            return rc;
    }
    if (!first)
        return RAFS_OK;
    check->inodes++;
    found.code = RAFS_OK;
    if (overlaps(check, node, &found))
        return report(check, found.code, &found, node->attr.ino, path);
    return check_node(check, node, path);
}

static int check_names(struct check *check)
{
    const rafs_walk_entry *entry;
    struct rafsi_walk *walk = NULL;
    rafs_error found;
    int rc = rafsi_walk_new(check->tree, "/", &walk, &found);

    if (rc < 0) {
        check->broken = true;
        return report(check, rc, &found, 0, "/");
    }
    for (;;) {
        rc = rafsi_walk_step(walk, &entry, &found);
        if (rc < 0) {
            check->broken = true;
            rc = report(check, rc, &found, 0, rafsi_walk_place(walk));
        } else if (!entry) {
            break;
        } else {
            rc = visit(check, rafsi_walk_node(walk), entry->path);
        }
        if (rc < 0)
            break;
    }
    rafsi_walk_free(walk);
    return rc == RAFS_OK ? tick(check) : rc;
}

/* nydus-image 2.2 gives hard-linked links and devices an inode each in v6, but leaves the
 * count of names that they had: too large, and known to be so. */
static bool known_habit(const struct rafsi_tree *tree, const struct rafsi_link *link)
{
    struct rafsi_node node;

    return tree->super.version == 6 && link->seen < link->nlink &&
           tree->ops->node(tree, link->ino, &node, NULL) == RAFS_OK &&
           !S_ISREG(node.attr.mode);
}

/* Hard links: as many names as the inode says. */
static int check_links(struct check *check)
{
    int rc = RAFS_OK;

    for (size_t i = 0; rc == RAFS_OK && i < check->links.room; i++) {
        const struct rafsi_link *link = &check->links.table[i];
        rafs_error found;

        if (link->ino == 0 || link->seen == link->nlink || known_habit(check->tree, link))
            continue;
        rc = rafsi_fail(&found, RAFS_E_CORRUPT, RAFS_STAGE_CHECK, NULL,
                        "file has %u names, but says %u", link->seen, link->nlink);
        rc = report(check, rc, &found, link->ino, NULL);
    }
    return rc;
}

/* v5 counts files with several names once, and has a table entry for each name. Builders
 * of 2022 left the root out of the count, later ones do not. */
static int check_counts(struct check *check)
{
    const struct rafsi_tree *tree = check->tree;
    bool v5 = tree->super.version == 5;
    uint64_t seen = v5 ? check->inodes : check->names;
    rafs_error found;
    int rc = RAFS_OK;

    if (seen != tree->super.inodes && !(v5 && seen == tree->super.inodes + 1))
        rc = rafsi_fail(&found, RAFS_E_CORRUPT, RAFS_STAGE_CHECK, NULL,
                        "%llu inodes, but the super block says %llu",
                        (unsigned long long)seen, (unsigned long long)tree->super.inodes);
    rc = report(check, rc, &found, 0, NULL);
    if (rc < 0 || !v5 || check->names == tree->entries_max)
        return rc;
    rc = rafsi_fail(&found, RAFS_E_CORRUPT, RAFS_STAGE_CHECK, NULL,
                    "inode table of %llu entries for %llu names",
                    (unsigned long long)tree->entries_max,
                    (unsigned long long)check->names);
    return report(check, rc, &found, 0, NULL);
}

static int check_prefetch(struct check *check)
{
    const struct rafsi_tree *tree = check->tree;
    int rc = RAFS_OK;

    for (uint32_t i = 0; rc == RAFS_OK && i < tree->super.prefetch_count; i++) {
        struct rafsi_node node;
        rafs_error found;
        uint64_t ino = 0;

        if (i % NAMES_PER_TICK == 0)
            rc = tick(check);
        if (rc < 0)
            return rc;
        rc = tree->ops->prefetch(tree, i, &ino, &found);
        if (rc == RAFS_OK && ino == 0)
            break;
        if (rc == RAFS_OK)
            rc = tree->ops->node(tree, ino, &node, &found);
        if (rc == RAFS_E_BADARG)
            rc = rafsi_fail(&found, RAFS_E_CORRUPT, RAFS_STAGE_CHECK, NULL,
                            "entry %u of the prefetch table, %llu, is no inode", i,
                            (unsigned long long)ino);
        rc = report(check, rc, &found, 0, NULL);
    }
    return rc;
}

int rafsi_tree_check(const struct rafsi_tree *tree, struct rafsi_hashes *hashes,
                     const struct rafsi_tree_visitor *visitor, rafs_error *err)
{
    struct check check = {.tree = tree,
                          .hashes = hashes,
                          .visitor = visitor,
                          .err = err,
                          .links = {.env = &tree->env, .seed = rafsi_seed()}};
    int rc = check_names(&check);

    if (rc == RAFS_OK && !check.broken)
        rc = check_links(&check);
    if (rc == RAFS_OK && !check.broken)
        rc = check_counts(&check);
    if (rc == RAFS_OK)
        rc = check_prefetch(&check);
    rafsi_links_free(&check.links);
    return rc;
}
