/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "build/emit_v6.h"

/* Inode numbers count from one block before the root, which so has number 128 and lies,
 * without blobs, where the reference puts it; 0 is no number. */
#define ROOT_NID (V6_BLOCK_BYTES / V6_NID_BYTES)
#define NID_MAX UINT32_MAX /* the prefetch table has no more bits */
/* Blobs begin at multiples of 512 KiB when all are put on one disk, as the reference
 * does. */
#define MAPPED_ALIGN 0x80000u

static uint64_t round_up(uint64_t value, uint64_t power)
{
    return (value + power - 1) & ~(power - 1);
}

/* Chunks that files refer to; each is one record of the chunk table. */
static int mark_chunks(struct v6_emit *v6, const struct build_node *node)
{
    const struct build_image *image = v6->emit.image;
    uint32_t count = image->whole ? 0 : rafsi_emit_chunks(image, node->inode);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = node->inode->chunks[i];
        uint64_t bit = 1ull << number % 64;
        const struct build_chunk *chunk;

        if (number == NO_CHUNK || v6->marks[number / 64] & bit)
            continue;
        chunk = rafsi_chunks_at(&image->chunks, number);
        if (chunk->uncompressed_offset % V6_BLOCK_BYTES != 0 ||
            chunk->uncompressed_offset / V6_BLOCK_BYTES >= V6_HOLE ||
            chunk->index >= RAFS_CHUNKS_PER_BLOB_MAX)
            return rafsi_emit_fail(&v6->emit, node, RAFS_E_LIMIT,
                                   "chunk %u at byte %llu of its blob has no address in "
                                   "v6",
                                   chunk->index,
                                   (unsigned long long)chunk->uncompressed_offset);
        v6->marks[number / 64] |= bit;
        v6->ext.chunk_count++;
    }
    return RAFS_OK;
}

static int check_target(struct v6_emit *v6, const struct build_node *node)
{
    if (node->inode->size == 0 || node->inode->size >= V6_TARGET_MAX)
        return rafsi_emit_fail(&v6->emit, node, RAFS_E_LIMIT,
                               "link target of %llu bytes; the kernel reads 1 to %u",
                               (unsigned long long)node->inode->size, V6_TARGET_MAX - 1);
    return RAFS_OK;
}

/* What places depend on, and what is refused. */
static int measure(struct v6_emit *v6, struct build_node *node)
{
    struct build_inode *inode = node->inode;

    if (S_ISDIR(inode->mode))
        inode->size = rafsi_v6_dir_size(node);
    else if (S_ISLNK(inode->mode))
        return check_target(v6, node);
    else if (S_ISREG(inode->mode))
        return mark_chunks(v6, node);
    return RAFS_OK;
}

/* Give every inode its number. */
static int number_inodes(struct v6_emit *v6, struct v6_places *places)
{
    struct v6_order order = rafsi_v6_order(v6);
    struct build_node *node;
    struct v6_place place;
    int rc = RAFS_OK;

    while (rc == RAFS_OK) {
        uint64_t nid;

        rc = rafsi_v6_order_next(&order, &node, &place);
        if (rc < 0 || !node)
            break;
        nid = (place.at - v6->super.meta_at) / V6_NID_BYTES;
        if (nid > NID_MAX)
            rc = rafsi_emit_fail(&v6->emit, node, RAFS_E_LIMIT,
                                 "the bootstrap grows beyond 2^32 inode numbers");
        node->inode->at = nid;
    }
    *places = order.places;
    return rc;
}

static int place_all(struct v6_emit *v6)
{
    struct v6_places places = v6->begin;
    int rc = RAFS_OK;

    for (struct build_node *node = v6->emit.image->root; node && rc == RAFS_OK;
         node = rafsi_batched_next(node)) {
        rc = rafsi_emit_tick(&v6->emit, node->index);
        if (rc == RAFS_OK && rafsi_emit_first(node))
            rc = measure(v6, node);
    }
    if (rc == RAFS_OK)
        rc = number_inodes(v6, &places);
    if (rc == RAFS_OK)
        rc = rafsi_v6_sort_chunks(v6);
    if (rc < 0)
        return rc;
    v6->blocks_at = round_up(places.at, V6_BLOCK_BYTES);
    v6->ext.chunks_at = v6->blocks_at + places.blocks * V6_BLOCK_BYTES;
    v6->file_size = round_up(v6->ext.chunks_at + v6->ext.chunk_count * CHUNK_RECORD_BYTES,
                             V6_BLOCK_BYTES);
    if ((v6->file_size + v6->emit.image->data_bytes) / V6_BLOCK_BYTES >= V6_HOLE)
        return rafsi_fail(v6->emit.err, RAFS_E_LIMIT, RAFS_STAGE_NONE, "bootstrap",
                          "a file of more than 2^32 blocks");
    return RAFS_OK;
}

/* Blobs one after the other behind the bootstrap, as a disk of all of them has them. */
static int place_devices(struct v6_emit *v6)
{
    uint64_t at = v6->file_size;

    for (uint32_t i = 0; i < v6->emit.blobs; i++) {
        const struct blob_record *blob =
            &v6->emit.image->blobs.at[v6->emit.blob[i]].record;
        uint64_t blocks = blob->uncompressed_size / V6_BLOCK_BYTES;
        struct v6_device device = {.blocks = (uint32_t)blocks};
        uint8_t bytes[V6_DEVICE_BYTES];
        int rc;

        if (blocks == 0 || blocks > UINT32_MAX)
            return rafsi_fail(v6->emit.err, RAFS_E_LIMIT, RAFS_STAGE_NONE, blob->id,
                              "blob of %llu uncompressed bytes is no device for v6",
                              (unsigned long long)blob->uncompressed_size);
        at = round_up(at, MAPPED_ALIGN);
        /* Where no disk is large enough, it is left at "not mapped". */
        if ((at / V6_BLOCK_BYTES) + blocks <= UINT32_MAX)
            device.mapped = (uint32_t)(at / V6_BLOCK_BYTES);
        at += blocks * V6_BLOCK_BYTES;
        memcpy(device.tag, blob->id, sizeof(device.tag));
        rafsi_v6_device_put(&device, bytes);
        rc = rafsi_emit_put(&v6->emit, bytes, sizeof(bytes));
        if (rc < 0)
            return rc;
    }
    return RAFS_OK;
}

static uint64_t flags_of(const struct v6_emit *v6)
{
    uint64_t flags = rafsi_emit_flags(&v6->emit) | SB_INLINED_CHUNK_DIGEST;
    bool encrypted = false;

    for (uint32_t i = 0; i < v6->emit.blobs; i++) {
        const struct blob_record *blob =
            &v6->emit.image->blobs.at[v6->emit.blob[i]].record;

        if (!(blob->features & RAFS_BLOB_INLINED_CHUNK_DIGEST))
            flags &= ~(uint64_t)SB_INLINED_CHUNK_DIGEST;
        encrypted |= blob->cipher != 0;
    }
    return flags | (encrypted ? SB_ENCRYPTION_AES_128_XTS : SB_ENCRYPTION_NONE);
}

/* Tables of RAFS; where they end. */
static int begin_tables(struct v6_emit *v6, uint64_t *out)
{
    const struct build_image *image = v6->emit.image;
    uint64_t end;

    v6->ext.blobs_at = round_up(
        V6_DEVICES_AT + (uint64_t)v6->emit.blobs * V6_DEVICE_BYTES, V6_BLOCK_BYTES);
    end = v6->ext.blobs_at + (uint64_t)v6->emit.blobs * V6_BLOB_BYTES;
    if (v6->emit.blobs != 0 && image->prefetch_count != 0) {
        if (image->prefetch_count > UINT32_MAX / 4)
            return rafsi_fail(v6->emit.err, RAFS_E_LIMIT, RAFS_STAGE_NONE, "bootstrap",
                              "%zu names to be prefetched", image->prefetch_count);
        v6->ext.prefetch_at = end;
        v6->ext.prefetch_count = (uint32_t)image->prefetch_count;
        end += (uint64_t)v6->ext.prefetch_count * 4;
    }
    v6->super.devices = v6->emit.blobs;
    v6->super.moved = image->moved;
    v6->ext.chunk_size = image->chunk_size;
    v6->ext.flags = flags_of(v6);
    *out = end;
    return RAFS_OK;
}

/* Tables are there; what follows them is where inodes begin. */
static int begin(struct v6_emit *v6)
{
    const struct build_image *image = v6->emit.image;
    uint64_t words = image->chunks.count / 64 + 1;
    uint64_t end = V6_SUPER_AT + V6_SUPER_BYTES;
    int rc;

    v6->marks = rafsi_alloc_zero(&image->env, (size_t)words * sizeof(*v6->marks));
    if (!v6->marks)
        return rafsi_fail_nomem(v6->emit.err, (size_t)words * sizeof(*v6->marks));
    if (image->names > INT32_MAX)
        return rafsi_fail(v6->emit.err, RAFS_E_LIMIT, RAFS_STAGE_NONE, "bootstrap",
                          "%llu names; v6 holds 2^31 - 1",
                          (unsigned long long)image->names);
    rc = image->whole ? RAFS_OK : begin_tables(v6, &end);
    if (rc < 0)
        return rc;
    v6->begin.at = round_up(end, V6_BLOCK_BYTES);
    v6->super.root_nid = ROOT_NID;
    v6->super.meta_at = v6->begin.at - V6_BLOCK_BYTES;
    v6->super.inodes = image->names;
    v6->super.whole = image->whole;
    return RAFS_OK;
}

static int write_supers(struct v6_emit *v6)
{
    uint8_t super[V6_SUPER_BYTES], ext[V6_EXT_SUPER_BYTES];
    int rc = rafsi_emit_pad(&v6->emit, V6_SUPER_AT);

    if (v6->super.devices != 0 || v6->super.whole)
        v6->super.blocks =
            (uint32_t)((v6->file_size + v6->emit.image->data_bytes) / V6_BLOCK_BYTES);
    rafsi_v6_super_put(&v6->super, super);
    if (rc == RAFS_OK)
        rc = rafsi_emit_put(&v6->emit, super, sizeof(super));
    if (v6->super.whole)
        return rc;
    rafsi_v6_ext_super_put(&v6->ext, v6->emit.blobs, ext);
    if (rc == RAFS_OK)
        rc = rafsi_emit_put(&v6->emit, ext, sizeof(ext));
    if (rc == RAFS_OK)
        rc = place_devices(v6);
    return rc;
}

static int write_blobs(struct v6_emit *v6)
{
    int rc = rafsi_emit_pad(&v6->emit, v6->ext.blobs_at);

    for (uint32_t i = 0; rc == RAFS_OK && i < v6->emit.blobs; i++) {
        uint8_t bytes[V6_BLOB_BYTES];

        rafsi_v6_blob_put(&v6->emit.image->blobs.at[v6->emit.blob[i]].record, i, bytes);
        rc = rafsi_emit_put(&v6->emit, bytes, sizeof(bytes));
    }
    return rc;
}

static int write_prefetch(struct v6_emit *v6)
{
    int rc = RAFS_OK;

    for (uint32_t i = 0; rc == RAFS_OK && i < v6->ext.prefetch_count; i++) {
        uint8_t bytes[4];
        struct pen pen = pen_of(bytes, sizeof(bytes));

        put_u32(&pen, (uint32_t)v6->emit.image->prefetch[i]->inode->at);
        rc = rafsi_emit_put(&v6->emit, bytes, sizeof(bytes));
    }
    return rc;
}

int rafsi_emit_v6(struct build_image *image, uint32_t *used, rafsi_write_fn write,
                  void *user, const rafs_call *call, rafs_error *err)
{
    struct v6_emit v6 = {
        .emit = {.image = image, .write = write, .user = user, .call = call, .err = err}};
    int rc = rafsi_emit_begin(&v6.emit, image->whole ? RAFS_BLOBS_MAX : V6_BLOBS_MAX - 1);

    if (rc == RAFS_OK)
        rc = begin(&v6);
    if (rc == RAFS_OK)
        rc = place_all(&v6);
    if (rc == RAFS_OK)
        rc = write_supers(&v6);
    if (rc == RAFS_OK && !image->whole)
        rc = write_blobs(&v6);
    if (rc == RAFS_OK)
        rc = write_prefetch(&v6);
    if (rc == RAFS_OK)
        rc = rafsi_v6_write_inodes(&v6);
    if (rc == RAFS_OK)
        rc = rafsi_v6_write_blocks(&v6);
    if (rc == RAFS_OK)
        rc = rafsi_v6_write_chunks(&v6);
    if (rc == RAFS_OK)
        rc = rafsi_emit_pad(&v6.emit, v6.file_size);
    if (rc == RAFS_OK)
        rc = rafsi_emit_finish(&v6.emit, used);
    rafsi_free(&image->env, v6.marks);
    rafsi_free(&image->env, v6.chunks);
    rafsi_emit_free(&v6.emit);
    return rc;
}
