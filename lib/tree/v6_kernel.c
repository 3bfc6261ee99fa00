/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Linux takes for granted of a bootstrap that it mounts, looked at before it does.
 *
 * The kernel has rules of its own for what is broken: it follows an entry of a chunk to
 * whatever device and block it names, and looks at no record of the chunk table. So an
 * image that reading refuses file by file could show other bytes through a mount.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree/check.h"
#include "tree/v6_tree.h"
#include "tree/walk.h"

/* Features of a super block that leave what it holds as it is: RAFS, times. */
#define COMPAT_KNOWN 0x40000002u

enum { STEPS_PER_LOOK = 256, CLAIMS_MAX = 4 };

/* Part of the bootstrap that the kernel reads. Entries of chunks are changed while it is
 * mounted (rafs/fence.h), so nothing else may lie there, nor another file's. */
struct part {
    uint64_t at, end;
    uint64_t owner; /* position of the inode whose entries it holds; 0: no entries */
};

struct kernel_check {
    const struct v6_tree *v6;
    const rafs_call *call;
    struct part *parts;
    uint64_t count, room;
    uint64_t claimed; /* bytes of entries */
    uint64_t steps;
    struct rafsi_links links;
};

static int look_at_call(struct kernel_check *check, rafs_error *err)
{
    return ++check->steps % STEPS_PER_LOOK == 0
               ? rafsi_call_check(&check->v6->tree.env, check->call, RAFS_STAGE_METADATA,
                                  err)
               : RAFS_OK;
}

static int add_part(struct kernel_check *check, uint64_t at, uint64_t len, uint64_t owner,
                    rafs_error *err)
{
    const struct rafsi_env *env = &check->v6->tree.env;

    if (len == 0)
        return RAFS_OK;
    if (check->count == check->room) {
        uint64_t room = check->room ? check->room * 2 : 1024;
        size_t bytes = (size_t)room * sizeof(*check->parts);
        struct part *larger = rafsi_alloc(env, bytes);

        if (!larger)
            return rafsi_fail_nomem(err, bytes);
        if (check->count > 0)
            memcpy(larger, check->parts, (size_t)check->count * sizeof(*larger));
        rafsi_free(env, check->parts);
        check->parts = larger;
        check->room = room;
    }
    check->parts[check->count++] = (struct part){at, at + len, owner};
    return RAFS_OK;
}

static int check_xattrs(struct kernel_check *check, const struct rafsi_node *node,
                        rafs_error *err)
{
    struct rafsi_xattr xattr;
    uint64_t offset = 0;
    bool end = node->v6.xattr_bytes == 0;
    int rc = RAFS_OK;

    while (rc == RAFS_OK && !end) {
        rc = rafsi_v6_xattr_at(&check->v6->tree, node, &offset, &xattr, &end, err);
        if (rc == RAFS_OK)
            rc = look_at_call(check, err);
    }
    return rc;
}

/* Directories and links. */
static int take_content(struct kernel_check *check, const struct rafsi_node *node,
                        rafs_error *err)
{
    uint64_t count = node->v6.size == 0 ? 0 : rafsi_v6_blocks(node), at;
    uint64_t whole = count;
    size_t len;
    int rc = RAFS_OK;

    if (count > 0 && node->v6.layout == V6_LAYOUT_INLINE) {
        rafsi_v6_block(node, --whole, &at, &len);
        rc = add_part(check, at, len, 0, err);
    }
    if (rc == RAFS_OK && whole > 0)
        rc = add_part(check, (uint64_t)node->v6.u * V6_BLOCK_BYTES,
                      rafsi_min(node->v6.size, whole * V6_BLOCK_BYTES), 0, err);
    return rc;
}

/* Each of its chunks is what its record says, and lies where the kernel looks. */
static int take_file(struct kernel_check *check, const struct rafsi_node *file,
                     rafs_error *err)
{
    const struct rafsi_tree *tree = &check->v6->tree;
    uint32_t chunk_size = tree->super.chunk_size;
    uint64_t count = file->v6.size / chunk_size + (file->v6.size % chunk_size != 0);
    uint64_t bytes = count * V6_CHUNK_ADDR_BYTES;
    struct rafsi_chunk chunk;
    int rc = RAFS_OK;

    check->claimed += bytes;
    if (check->claimed / CLAIMS_MAX > rafsi_source_size(tree->source))
        return rafsi_corrupt(err, file->at + 8, "files share entries of their chunks");
    for (uint64_t i = 0; rc == RAFS_OK && i < count; i++) {
        rc = rafsi_v6_chunk(tree, file, i * chunk_size, &chunk, err);
        if (rc == RAFS_OK)
            rc = look_at_call(check, err);
        if (rc == RAFS_OK && i == 0 && chunk.hole &&
            rafsi_v6_is_run(&file->v6, chunk_size))
            rc = rafsi_corrupt(err, file->at + 16, "holes that follow one another");
    }
    return rc < 0 ? rc
                  : add_part(check, rafsi_v6_chunk_array(file), bytes, file->at, err);
}

static int take_node(struct kernel_check *check, const struct rafsi_node *node,
                     rafs_error *err)
{
    bool first = true;
    int rc = RAFS_OK;

    if (!S_ISDIR(node->v6.mode) && node->v6.nlink > 1)
        rc = rafsi_links_add(&check->links, node->attr.ino, node->v6.nlink, &first, err);
    if (rc < 0 || !first)
        return rc;
    if (node->v6.newer)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, node->at,
                             "inode with fields that only newer kernels read");
    rc = add_part(check, node->at, node->v6.bytes + (uint64_t)node->v6.xattr_bytes, 0,
                  err);
    if (rc == RAFS_OK)
        rc = check_xattrs(check, node, err);
    if (rc == RAFS_OK && S_ISREG(node->v6.mode))
        rc = take_file(check, node, err);
    else if (rc == RAFS_OK && (S_ISDIR(node->v6.mode) || S_ISLNK(node->v6.mode)))
        rc = take_content(check, node, err);
    if (rc == RAFS_OK && S_ISLNK(node->v6.mode)) {
        char target[V6_TARGET_MAX];

        rc = rafsi_v6_target(&check->v6->tree, node, 0, (size_t)node->v6.size, target,
                             err);
    }
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const struct part *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return x->owner < y->owner ? -1 : x->owner > y->owner;
}

/* Entries lie apart from all else, and those of each file from those of others. */
static int check_parts(struct kernel_check *check, rafs_error *err)
{
    uint64_t entries_end = 0, end = 0;

    qsort(check->parts, (size_t)check->count, sizeof(*check->parts), by_place);
    for (uint64_t i = 0; i < check->count; i++) {
        const struct part *part = &check->parts[i];

        /* A file with several names that says it has one. */
        if (i > 0 && by_place(part, part - 1) == 0)
            continue;
        if (part->at < entries_end || (part->owner != 0 && part->at < end))
            return rafsi_corrupt(err, part->at,
                                 "entries of chunks lie in what is something else too");
        if (part->owner != 0)
            entries_end = part->end;
        if (part->end > end)
            end = part->end;
    }
    return RAFS_OK;
}

/* Devices that stand for blocks of the first one must not do so where the metadata is. */
static int check_devices(const struct v6_tree *v6, rafs_error *err)
{
    uint64_t blocks = rafsi_source_size(v6->tree.source) / V6_BLOCK_BYTES;
    int rc = RAFS_OK;

    for (uint32_t i = 0; rc == RAFS_OK && i < v6->super.devices; i++) {
        uint64_t at = V6_DEVICES_AT + (uint64_t)i * V6_DEVICE_BYTES;
        uint8_t scratch[V6_DEVICE_BYTES];
        struct v6_device device;
        const uint8_t *bytes;

        rc =
            rafsi_source_view(v6->tree.source, at, sizeof(scratch), scratch, &bytes, err);
        if (rc == RAFS_OK)
            rc = rafsi_v6_device((struct span){bytes, sizeof(scratch), at}, &device, err);
        if (rc == RAFS_OK && device.mapped != 0 && device.mapped < blocks)
            rc = rafsi_corrupt(err, at + 68, "device takes the place of the metadata");
    }
    return rc;
}

static int check_super(const struct v6_tree *v6, rafs_error *err)
{
    if (v6->super.compat & ~COMPAT_KNOWN)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL,
                             V6_SUPER_AT + 8, "EROFS features 0x%x, which RAFS has not",
                             v6->super.compat & ~COMPAT_KNOWN);
    return check_devices(v6, err);
}

static int check_names(struct kernel_check *check, rafs_error *err)
{
    const struct rafsi_tree *tree = &check->v6->tree;
    const rafs_walk_entry *step = NULL;
    struct rafsi_walk *walk = NULL;
    int rc = rafsi_walk_new(tree, "/", &walk, err);

    while (rc == RAFS_OK) {
        rc = rafsi_walk_step(walk, &step, err);
        if (rc < 0 || !step)
            break;
        rc = take_node(check, rafsi_walk_node(walk), err);
        rc = rafsi_fail_object(err, rc, "path %s", step->path);
        if (rc == RAFS_OK)
            rc = look_at_call(check, err);
    }
    rafsi_walk_free(walk);
    return rc;
}

int rafsi_v6_kernel_check(const struct rafsi_tree *tree, const rafs_call *call,
                          rafs_error *err)
{
    struct kernel_check check = {.v6 = v6_tree_of(tree),
                                 .call = call,
                                 .links = {.env = &tree->env, .seed = rafsi_seed()}};
    int rc = check_super(check.v6, err);

    if (rc == RAFS_OK)
        rc = add_part(&check, 0,
                      V6_DEVICES_AT + (uint64_t)check.v6->super.devices * V6_DEVICE_BYTES,
                      0, err);
    if (rc == RAFS_OK)
        rc = check_names(&check, err);
    if (rc == RAFS_OK)
        rc = check_parts(&check, err);
    rafsi_links_free(&check.links);
    rafsi_free(&tree->env, check.parts);
    return rafsi_fail_object(err, rc, "bootstrap");
}
