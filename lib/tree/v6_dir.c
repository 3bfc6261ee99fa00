/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "tree/v6_tree.h"

/*
 * A directory is sorted as a whole, "." and ".." included, and cut into blocks. Lookup
 * goes by the first names of blocks, then by the names of one block; it decodes the
 * entries that it compares with and no others.
 */

/* A block in view. */
struct block {
    struct span span;
    uint32_t count; /* entries, at least one */
    uint8_t scratch[V6_BLOCK_BYTES];
};

static int view_block(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                      uint64_t i, struct block *block, rafs_error *err)
{
    int rc;

    rafsi_v6_block(dir, i, &block->span.origin, &block->span.len);
    rc = rafsi_source_view(tree->source, block->span.origin, block->span.len,
                           block->scratch, &block->span.at, err);
    if (rc < 0)
        return rc;
    return rafsi_v6_dirent_count(block->span, &block->count, err);
}

static int compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

    if (order != 0)
        return order;
    return (a_len > b_len) - (a_len < b_len);
}

/* A name that is looked for, and the entry that has it. */
struct search {
    const uint8_t *name;
    size_t len;
    bool found;
    uint64_t at; /* position of the entry */
    uint64_t nid;
    uint32_t type;
};

/* The last block whose first name is not greater; block 0 if there is none. */
static int find_block(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                      const struct search *search, struct block *block, uint64_t *found,
                      rafs_error *err)
{
    uint64_t low = 0;
    uint64_t high = rafsi_v6_blocks(dir);

    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        struct v6_dirent first;
        int rc = view_block(tree, dir, middle, block, err);

        if (rc == RAFS_OK)
            rc = rafsi_v6_dirent(block->span, block->count, 0, &first, err);
        if (rc < 0)
            return rc;
        if (compare(first.name, first.name_len, search->name, search->len) <= 0)
            low = middle;
        else
            high = middle;
    }
    *found = low;
    return RAFS_OK;
}

static int find_in_block(const struct block *block, struct search *search,
                         rafs_error *err)
{
    uint32_t low = 0;
    uint32_t high = block->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct v6_dirent dirent;
        int order, rc = rafsi_v6_dirent(block->span, block->count, middle, &dirent, err);

        if (rc < 0)
            return rc;
        order = compare(dirent.name, dirent.name_len, search->name, search->len);
        if (order == 0) {
            search->found = true;
            search->at = block->span.origin + (uint64_t)middle * V6_DIRENT_BYTES;
            search->nid = dirent.nid;
            search->type = dirent.type;
            return RAFS_OK;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return RAFS_OK;
}

static int check_nid(const struct rafsi_tree *tree, uint64_t nid, uint64_t at,
                     rafs_error *err)
{
    if (!rafsi_v6_nid_fits(v6_tree_of(tree), nid))
        return rafsi_corrupt(err, at, "directory entry with inode number %llu",
                             (unsigned long long)nid);
    return RAFS_OK;
}

static int find(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                struct search *search, rafs_error *err)
{
    struct block block;
    uint64_t i = 0;
    int rc = find_block(tree, dir, search, &block, &i, err);

    if (rc == RAFS_OK)
        rc = view_block(tree, dir, i, &block, err);
    if (rc == RAFS_OK)
        rc = find_in_block(&block, search, err);
    if (rc == RAFS_OK && search->found)
        rc = check_nid(tree, search->nid, search->at, err);
    return rc;
}

int rafsi_v6_lookup(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                    const char *name, size_t len, uint64_t *ino, rafs_error *err)
{
    struct search search = {.name = (const uint8_t *)name, .len = len};
    int rc = find(tree, dir, &search, err);

    if (rc < 0)
        return rc;
    if (!search.found)
        return RAFS_E_NOENT;
    *ino = search.nid;
    return RAFS_OK;
}

int rafsi_v6_parent(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                    uint64_t *ino, rafs_error *err)
{
    struct search search = {.name = (const uint8_t *)"..", .len = 2};
    uint64_t at;
    size_t len;
    int rc;

    if (dir->attr.ino == tree->super.root) {
        *ino = dir->attr.ino;
        return RAFS_OK;
    }
    rc = find(tree, dir, &search, err);
    if (rc < 0)
        return rc;
    rafsi_v6_block(dir, 0, &at, &len);
    if (!search.found)
        return rafsi_corrupt(err, at, "directory without \"..\"");
    if (!S_ISDIR(search.type))
        return rafsi_corrupt(err, search.at + 10, "\"..\" is no directory");
    *ino = search.nid;
    return RAFS_OK;
}

/* The last name of a block: what comes before the first of the next. */
static int last_name(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                     uint64_t i, uint8_t name[RAFS_NAME_MAX], size_t *len,
                     rafs_error *err)
{
    struct block block;
    struct v6_dirent last;
    int rc = view_block(tree, dir, i, &block, err);

    if (rc == RAFS_OK)
        rc = rafsi_v6_dirent(block.span, block.count, block.count - 1, &last, err);
    if (rc < 0)
        return rc;
    memcpy(name, last.name, last.name_len);
    *len = last.name_len;
    return RAFS_OK;
}

/* Names ascend strictly, so none comes twice and a search finds all that a listing
 * shows. */
static int check_order(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                       uint64_t block_index, const struct block *block, uint32_t i,
                       const struct v6_dirent *dirent, rafs_error *err)
{
    uint8_t name[RAFS_NAME_MAX];
    struct v6_dirent before = {.name = name};
    size_t len = 0;
    int rc;

    if (i != 0) {
        rc = rafsi_v6_dirent(block->span, block->count, i - 1, &before, err);
        len = before.name_len;
    } else if (block_index != 0) {
        rc = last_name(tree, dir, block_index - 1, name, &len, err);
    } else {
        return RAFS_OK;
    }
    if (rc < 0)
        return rc;
    if (compare(before.name, len, dirent->name, dirent->name_len) >= 0)
        return rafsi_corrupt(err, block->span.origin + (uint64_t)i * V6_DIRENT_BYTES,
                             "names of a directory do not ascend");
    return RAFS_OK;
}

static int bad_offset(uint64_t offset, rafs_error *err)
{
    return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                      "no directory entry at offset %llu", (unsigned long long)offset);
}

static void fill_name(const struct v6_dirent *dirent, uint64_t next,
                      struct rafsi_name *out)
{
    out->ino = dirent->nid;
    out->next = next;
    out->type = dirent->type;
    out->len = dirent->name_len;
    memcpy(out->name, dirent->name, dirent->name_len);
    out->name[dirent->name_len] = '\0';
}

/* Offsets are a block's first byte in the content plus the number of an entry, of which a
 * block of 4096 bytes has fewer than that. */
int rafsi_v6_entry(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                   uint64_t offset, struct rafsi_name *out, bool *end, rafs_error *err)
{
    uint64_t stop = rafsi_v6_blocks(dir) * V6_BLOCK_BYTES;
    struct block block;

    if (offset > stop)
        return bad_offset(offset, err);
    /* At most twice round the loop for "." and "..", as names ascend. */
    while (offset < stop) {
        uint64_t block_index = offset / V6_BLOCK_BYTES;
        uint32_t i = (uint32_t)(offset % V6_BLOCK_BYTES);
        struct v6_dirent dirent;
        int rc = view_block(tree, dir, block_index, &block, err);

        if (rc < 0)
            return rc;
        if (i >= block.count)
            return bad_offset(offset, err);
        rc = rafsi_v6_dirent(block.span, block.count, i, &dirent, err);
        if (rc == RAFS_OK)
            rc = check_order(tree, dir, block_index, &block, i, &dirent, err);
        if (rc == RAFS_OK)
            rc = check_nid(tree, dirent.nid,
                           block.span.origin + (uint64_t)i * V6_DIRENT_BYTES, err);
        if (rc < 0)
            return rc;
        offset = i + 1 < block.count ? offset + 1 : (block_index + 1) * V6_BLOCK_BYTES;
        if (dirent.dots)
            continue;
        fill_name(&dirent, offset, out);
        *end = false;
        return RAFS_OK;
    }
    *end = true;
    return RAFS_OK;
}
