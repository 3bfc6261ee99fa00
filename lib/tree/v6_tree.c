/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "rafs/image.h"
#include "tree/v6_tree.h"

/* A directory entry takes 12 bytes and a name: no image has more names than fit in it. */
#define NAME_BYTES_MIN (V6_DIRENT_BYTES + 1)

static int read_super(struct v6_tree *v6, rafs_error *err)
{
    uint64_t size = rafsi_source_size(v6->tree.source);
    uint8_t scratch[V6_SUPER_BYTES + V6_EXT_SUPER_BYTES];
    const uint8_t *at;
    int rc = rafsi_source_view(v6->tree.source, V6_SUPER_AT, sizeof(scratch), scratch,
                               &at, err);

    if (rc < 0)
        return rc;
    rc = rafsi_v6_super((struct span){at, V6_SUPER_BYTES, V6_SUPER_AT}, size, &v6->super,
                        err);
    if (rc < 0)
        return rc;
    return rafsi_v6_ext_super(
        (struct span){at + V6_SUPER_BYTES, V6_EXT_SUPER_BYTES, V6_EXT_SUPER_AT},
        &v6->super, size, &v6->ext, err);
}

/* A blob's record and its device slot tell the same. */
static int read_blob(const struct v6_tree *v6, uint32_t i, struct blob_record *blob,
                     rafs_error *err)
{
    const struct rafsi_source *source = v6->tree.source;
    uint64_t record_at = v6->ext.blobs_at + (uint64_t)i * V6_BLOB_BYTES;
    uint64_t device_at = V6_DEVICES_AT + (uint64_t)i * V6_DEVICE_BYTES;
    uint8_t scratch[V6_BLOB_BYTES];
    struct v6_device device;
    const uint8_t *at;
    int rc = rafsi_source_view(source, record_at, V6_BLOB_BYTES, scratch, &at, err);

    if (rc == RAFS_OK)
        rc = rafsi_v6_blob((struct span){at, V6_BLOB_BYTES, record_at}, i,
                           v6->ext.chunk_size, blob, err);
    if (rc == RAFS_OK)
        rc = rafsi_source_view(source, device_at, V6_DEVICE_BYTES, scratch, &at, err);
    if (rc == RAFS_OK)
        rc = rafsi_v6_device((struct span){at, V6_DEVICE_BYTES, device_at}, &device, err);
    if (rc < 0)
        return rc;
    if (strcmp(device.tag, blob->id) != 0)
        return rafsi_corrupt(err, device_at, "device and blob %u have different ids", i);
    if (device.blocks != (blob->uncompressed_size / V6_BLOCK_BYTES & 0xffffffff) &&
        !(blob->features & RAFS_BLOB_EXTERNAL))
        return rafsi_corrupt(err, device_at + 64, "device of %u blocks for %llu bytes",
                             device.blocks, (unsigned long long)blob->uncompressed_size);
    return RAFS_OK;
}

static int read_blobs(struct v6_tree *v6, rafs_error *err)
{
    uint32_t count = v6->super.devices;
    struct blob_record *blobs;

    if (count == 0)
        return RAFS_OK;
    blobs = rafsi_alloc_zero(&v6->tree.env, count * sizeof(*blobs));
    if (!blobs)
        return rafsi_fail_nomem(err, count * sizeof(*blobs));
    v6->tree.blobs = blobs;
    v6->tree.super.blob_count = count;
    for (uint32_t i = 0; i < count; i++) {
        int rc = read_blob(v6, i, &blobs[i], err);

        if (rc < 0)
            return rc;
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(blobs[i].id, blobs[j].id) == 0)
                return rafsi_corrupt(err, v6->ext.blobs_at + (uint64_t)i * V6_BLOB_BYTES,
                                     "blobs %u and %u have the same id", j, i);
    }
    return RAFS_OK;
}

static int check_root(const struct v6_tree *v6, rafs_error *err)
{
    struct rafsi_node root;
    int rc = rafsi_v6_node(&v6->tree, v6->super.root_nid, &root, err);

    if (rc == RAFS_E_BADARG)
        return rafsi_corrupt(err, V6_SUPER_AT + 14, "root directory beyond the file");
    if (rc == RAFS_OK && !S_ISDIR(root.attr.mode))
        return rafsi_corrupt(err, root.at + 4, "the root is no directory");
    return rc;
}

/* Entries are u32 nids. */
static int v6_prefetch(const struct rafsi_tree *tree, uint32_t i, uint64_t *ino,
                       rafs_error *err)
{
    const struct v6_tree *v6 = v6_tree_of(tree);
    uint64_t at = v6->ext.prefetch_at + (uint64_t)i * 4;
    uint8_t scratch[4];
    const uint8_t *bytes;
    struct cursor c;
    int rc;

    if (i >= v6->ext.prefetch_count)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                          "entry %u of a prefetch table of %u", i,
                          v6->ext.prefetch_count);
    rc = rafsi_source_view(tree->source, at, sizeof(scratch), scratch, &bytes, err);
    if (rc < 0)
        return rc;
    c = cursor_of((struct span){bytes, sizeof(scratch), at});
    *ino = take_u32(&c);
    return RAFS_OK;
}

static void v6_close(struct rafsi_tree *tree)
{
    const struct v6_tree *v6 = v6_tree_of(tree);
    struct rafsi_env env = tree->env;

    if (v6->slot) {
        rafsi_v6_index_free(&env, atomic_load(&v6->slot->index));
        rafsi_v6_places_free(&env, atomic_load(&v6->slot->places));
        rafsi_v6_places_free(&env, atomic_load(&v6->slot->whole_places));
        rafsi_v6_owners_free(&env, atomic_load(&v6->slot->owners));
    }
    rafsi_free(&env, v6->slot);
    rafsi_free(&env, tree->blobs);
    rafsi_free(&env, tree);
}

static const struct rafsi_tree_ops v6_ops = {
    .node = rafsi_v6_node,
    .lookup = rafsi_v6_lookup,
    .parent = rafsi_v6_parent,
    .entry = rafsi_v6_entry,
    .target = rafsi_v6_target,
    .xattr = rafsi_v6_xattr_at,
    .chunk = rafsi_v6_chunk,
    .where = NULL,
    .prefetch = v6_prefetch,
    .close = v6_close,
};

static void publish_super(struct v6_tree *v6)
{
    struct rafsi_super *super = &v6->tree.super;

    super->version = 6;
    super->flags = v6->ext.flags;
    super->inodes = v6->super.inodes;
    super->root = v6->super.root_nid;
    super->chunk_size = v6->ext.chunk_size;
    super->block_size = V6_BLOCK_BYTES;
    super->compressor = v6->ext.compressor;
    super->digest_algorithm = v6->ext.digest_algorithm;
    super->prefetch_count = v6->ext.prefetch_count;
    super->moved = v6->super.moved;
    v6->tree.entries_max =
        rafsi_min(super->inodes, rafsi_source_size(v6->tree.source) / NAME_BYTES_MIN + 1);
}

int rafsi_v6_open(const struct rafsi_env *env, struct rafsi_source *source,
                  const rafs_limits *limits, struct rafsi_tree **out, rafs_error *err)
{
    struct v6_tree *v6 = rafsi_alloc_zero(env, sizeof(*v6));
    int rc;

    if (!v6)
        return rafsi_fail_nomem(err, sizeof(*v6));
    v6->tree.env = *env;
    v6->tree.ops = &v6_ops;
    v6->tree.source = source;
    v6->tree.limits = *limits;
    v6->slot = rafsi_alloc_zero(env, sizeof(*v6->slot));
    if (!v6->slot) {
        rc = rafsi_fail_nomem(err, sizeof(*v6->slot));
        goto out;
    }
    atomic_init(&v6->slot->index, NULL);
    atomic_init(&v6->slot->places, NULL);
    atomic_init(&v6->slot->whole_places, NULL);
    atomic_init(&v6->slot->owners, NULL);
    rc = read_super(v6, err);
    if (rc == RAFS_OK)
        rc = read_blobs(v6, err);
    if (rc == RAFS_OK)
        rc = check_root(v6, err);
    if (rc < 0)
        goto out;
    publish_super(v6);
    *out = &v6->tree;
    v6 = NULL;
out:
    if (v6)
        v6_close(&v6->tree);
    return rc;
}
