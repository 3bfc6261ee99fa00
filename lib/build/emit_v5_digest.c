/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/emit_v5.h"

/*
 * The digest of a file is that of its chunks' digests, of a link that of its target, of a
 * directory that of its children's digests in order, of all else that of no bytes.
 * Source: bootstrap-common.md, 3.4.
 */

static int add_chunks(const struct build_image *image, const struct build_inode *inode,
                      struct rafsi_hash *hash, rafs_error *err)
{
    uint32_t count = rafsi_emit_chunks(image, inode);
    int rc = RAFS_OK;

    for (uint32_t i = 0; rc == RAFS_OK && i < count; i++)
        rc = rafsi_hash_add(hash,
                            rafsi_chunks_at(&image->chunks, inode->chunks[i])->digest,
                            RAFSI_DIGEST_BYTES, err);
    return rc;
}

static int digest_file(struct v5_emit *v5, const struct build_inode *inode,
                       uint8_t digest[RAFSI_DIGEST_BYTES])
{
    const struct build_image *image = v5->emit.image;
    rafs_error *err = v5->emit.err;
    struct rafsi_hash hash;
    int rc = rafsi_hash_begin(image->hashes, image->digest_algorithm, &hash, err);

    if (rc < 0)
        return rc;
    rc = add_chunks(image, inode, &hash, err);
    if (rc == RAFS_OK)
        rc = rafsi_hash_end(&hash, digest, err);
    rafsi_hash_drop(&hash);
    return rc;
}

int rafsi_v5_digest(struct v5_emit *v5, const struct build_node *node,
                    uint8_t digest[RAFSI_DIGEST_BYTES])
{
    const struct build_image *image = v5->emit.image;
    const struct build_inode *inode = node->inode;
    size_t target = S_ISLNK(inode->mode) ? (size_t)inode->size : 0;

    if (S_ISDIR(inode->mode)) {
        memcpy(digest, v5->dirs[inode->scratch].digest, RAFSI_DIGEST_BYTES);
        return RAFS_OK;
    }
    if (S_ISREG(inode->mode))
        return digest_file(v5, inode, digest);
    return rafsi_hash_bytes(image->hashes, image->digest_algorithm,
                            target ? inode->target : "", target, digest, v5->emit.err);
}

static int digest_dir(struct v5_emit *v5, struct v5_dir *dir)
{
    const struct build_image *image = v5->emit.image;
    rafs_error *err = v5->emit.err;
    struct rafsi_hash hash;
    int rc = rafsi_hash_begin(image->hashes, image->digest_algorithm, &hash, err);

    if (rc < 0)
        return rc;
    for (const struct build_node *child = dir->node->children; rc == RAFS_OK && child;
         child = child->next) {
        uint8_t digest[RAFSI_DIGEST_BYTES];

        rc = rafsi_v5_digest(v5, child, digest);
        if (rc == RAFS_OK)
            rc = rafsi_hash_add(&hash, digest, sizeof(digest), err);
    }
    if (rc == RAFS_OK)
        rc = rafsi_hash_end(&hash, dir->digest, err);
    rafsi_hash_drop(&hash);
    return rc;
}

/* From the last one on: what lies below a directory comes after it. */
int rafsi_v5_digest_dirs(struct v5_emit *v5)
{
    int rc = RAFS_OK;

    for (uint32_t i = v5->dir_count; rc == RAFS_OK && i-- > 0;) {
        rc = rafsi_emit_tick(&v5->emit, i);
        if (rc == RAFS_OK)
            rc = digest_dir(v5, &v5->dirs[i]);
    }
    return rc;
}
