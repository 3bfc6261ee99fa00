/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "tree/v5_tree.h"

#define PIECE_BYTES 4096

/* The digest of a file is that of its chunks' digests, of a link that of its target, of a
 * directory that of its children's digests, in order; of all else that of no bytes. */
static int add_chunks(const struct v5_tree *v5, const struct v5_inode *inode,
                      struct rafsi_hash *hash, rafs_error *err)
{
    int rc = RAFS_OK;

    for (uint32_t i = 0; rc == RAFS_OK && i < inode->child_count; i++) {
        uint8_t scratch[RAFSI_DIGEST_BYTES];
        const uint8_t *digest;

        rc = rafsi_source_view(v5->tree.source,
                               inode->chunks_at + (uint64_t)i * CHUNK_RECORD_BYTES,
                               sizeof(scratch), scratch, &digest, err);
        if (rc == RAFS_OK)
            rc = rafsi_hash_add(hash, digest, sizeof(scratch), err);
    }
    return rc;
}

static int add_target(const struct v5_tree *v5, const struct v5_inode *inode,
                      struct rafsi_hash *hash, rafs_error *err)
{
    int rc = RAFS_OK;

    for (size_t at = 0; rc == RAFS_OK && at < inode->target_size; at += PIECE_BYTES) {
        size_t len = (size_t)rafsi_min(PIECE_BYTES, inode->target_size - at);
        uint8_t scratch[PIECE_BYTES];
        const uint8_t *piece;

        rc = rafsi_source_view(v5->tree.source, inode->target_at + at, len, scratch,
                               &piece, err);
        if (rc == RAFS_OK)
            rc = rafsi_hash_add(hash, piece, len, err);
    }
    return rc;
}

static int add_children(const struct v5_tree *v5, const struct v5_inode *inode,
                        struct rafsi_hash *hash, rafs_error *err)
{
    int rc = RAFS_OK;

    for (uint32_t i = 0; rc == RAFS_OK && i < inode->child_count; i++) {
        struct v5_inode child;
        uint64_t at;

        rc = rafsi_v5_record(v5, inode->child_index + i, &child, &at, err);
        if (rc == RAFS_OK)
            rc = rafsi_hash_add(hash, child.digest, sizeof(child.digest), err);
    }
    return rc;
}

static int check_digest(const struct v5_tree *v5, struct rafsi_hashes *hashes,
                        const struct rafsi_node *node, rafs_error *err)
{
    const struct v5_inode *inode = &node->v5;
    uint8_t digest[RAFSI_DIGEST_BYTES];
    struct rafsi_hash hash;
    int rc = rafsi_hash_begin(hashes, v5->super.digest_algorithm, &hash, err);

    if (rc < 0)
        return rc;
    if (S_ISREG(inode->mode))
        rc = add_chunks(v5, inode, &hash, err);
    else if (S_ISLNK(inode->mode))
        rc = add_target(v5, inode, &hash, err);
    else if (S_ISDIR(inode->mode))
        rc = add_children(v5, inode, &hash, err);
    if (rc == RAFS_OK)
        rc = rafsi_hash_end(&hash, digest, err);
    rafsi_hash_drop(&hash);
    if (rc == RAFS_OK && !rafsi_digest_equal(digest, inode->digest))
        rc = rafsi_corrupt(err, node->at, "inode's digest is not that of its content");
    return rc;
}

/* Are [a, a + len) and [b, b + len) the same bytes? */
static int compare_bytes(const struct v5_tree *v5, uint64_t a, uint64_t b, uint64_t len,
                         bool *same, rafs_error *err)
{
    int rc = RAFS_OK;

    *same = true;
    for (uint64_t at = 0; rc == RAFS_OK && *same && at < len; at += PIECE_BYTES) {
        size_t piece = (size_t)rafsi_min(PIECE_BYTES, len - at);
        uint8_t a_scratch[PIECE_BYTES], b_scratch[PIECE_BYTES];
        const uint8_t *x, *y;

        rc = rafsi_source_view(v5->tree.source, a + at, piece, a_scratch, &x, err);
        if (rc == RAFS_OK)
            rc = rafsi_source_view(v5->tree.source, b + at, piece, b_scratch, &y, err);
        if (rc == RAFS_OK)
            *same = memcmp(x, y, piece) == 0;
    }
    return rc;
}

/* Records of one file's names differ in name and parent, and in nothing else but the flag
 * that builders from tars set on all names but the first. */
static int check_link(const struct v5_tree *v5, const struct v5_inode *inode, uint64_t at,
                      rafs_error *err)
{
    /* The bytes that count: all but parent (32), flags (80), length of the name (100). */
    static const struct {
        uint8_t begin, end;
    } parts[] = {{0, 32}, {40, 80}, {88, 100}, {102, 128}};
    struct v5_inode first;
    uint64_t first_at;
    uint64_t tail = inode->end - inode->target_at;
    bool same;
    int rc = rafsi_v5_record(v5, (uint32_t)inode->ino, &first, &first_at, err);

    if (rc < 0)
        return rc;
    same = tail == first.end - first.target_at &&
           ((inode->flags ^ first.flags) & ~(uint64_t)V5_INODE_HARDLINK) == 0;
    for (size_t i = 0; same && i < sizeof(parts) / sizeof(parts[0]); i++) {
        rc = compare_bytes(v5, at + parts[i].begin, first_at + parts[i].begin,
                           (uint64_t)parts[i].end - parts[i].begin, &same, err);
        if (rc < 0)
            return rc;
    }
    if (same)
        rc = compare_bytes(v5, inode->target_at, first.target_at, tail, &same, err);
    if (rc == RAFS_OK && !same)
        rc = rafsi_corrupt(err, at, "a link of inode %llu differs from it",
                           (unsigned long long)inode->ino);
    return rc;
}

static int check_links(const struct v5_tree *v5, const struct v5_inode *dir,
                       rafs_error *err)
{
    int rc = RAFS_OK;

    for (uint32_t i = 0; rc == RAFS_OK && i < dir->child_count; i++) {
        uint32_t index = dir->child_index + i;
        struct v5_inode child;
        uint64_t at;

        rc = rafsi_v5_record(v5, index, &child, &at, err);
        if (rc == RAFS_OK && child.ino != index)
            rc = check_link(v5, &child, at, err);
    }
    return rc;
}

int rafsi_v5_check(const struct rafsi_tree *tree, struct rafsi_hashes *hashes,
                   const struct rafsi_node *node, rafs_error *err)
{
    const struct v5_tree *v5 = v5_tree_of(tree);
    int rc = check_digest(v5, hashes, node, err);

    if (rc == RAFS_OK && S_ISDIR(node->v5.mode))
        rc = check_links(v5, &node->v5, err);
    return rc;
}
