/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "build/emit_v6.h"

static uint64_t round_up(uint64_t value, uint64_t power)
{
    return (value + power - 1) & ~(power - 1);
}

/* Bytes of an inode's extended attributes. */
static int xattr_area(struct v6_emit *v6, const struct build_node *node, uint32_t *area)
{
    const struct build_inode *inode = node->inode;
    uint64_t bytes = V6_XATTR_HEADER_BYTES;

    *area = 0;
    if (inode->xattr_count == 0)
        return RAFS_OK;
    for (uint32_t i = 0; i < inode->xattr_count; i++) {
        const struct build_xattr *xattr = &inode->xattrs[i];
        size_t prefix = 0;

        if (rafsi_v6_xattr_space(xattr->name, xattr->name_len, &prefix) == 0)
            return rafsi_emit_fail(&v6->emit, node, RAFS_E_UNSUPPORTED,
                                   "no image can hold the extended attribute %s",
                                   xattr->name);
        if (xattr->value_len > V6_XATTR_VALUE_MAX)
            return rafsi_emit_fail(&v6->emit, node, RAFS_E_LIMIT,
                                   "extended attribute %s of %u bytes; v6 holds %u",
                                   xattr->name, xattr->value_len, V6_XATTR_VALUE_MAX);
        bytes += round_up(V6_XATTR_ENTRY_BYTES + xattr->name_len - prefix +
                              (uint64_t)xattr->value_len,
                          4);
        if (bytes > V6_XATTR_AREA_MAX)
            return rafsi_emit_fail(&v6->emit, node, RAFS_E_LIMIT,
                                   "extended attributes take more than %u bytes",
                                   V6_XATTR_AREA_MAX);
    }
    *area = (uint32_t)bytes;
    return RAFS_OK;
}

/* Content of a directory or link lies in whole blocks, which follow all inodes, and its
 * tail behind the inode, if both fit into a block. */
static void shape_content(uint64_t size, struct v6_place *place)
{
    uint64_t tail = size % V6_BLOCK_BYTES;
    uint64_t head = V6_INODE_EXTENDED_BYTES + place->xattr_bytes;

    if (tail != 0 && head + tail <= V6_BLOCK_BYTES) {
        place->layout = V6_LAYOUT_INLINE;
        place->blocks = size / V6_BLOCK_BYTES;
        place->bytes = head + tail;
    } else {
        place->layout = V6_LAYOUT_PLAIN;
        place->blocks = round_up(size, V6_BLOCK_BYTES) / V6_BLOCK_BYTES;
        place->bytes = head;
    }
}

/* All of a place but where it is. */
static int shape(struct v6_emit *v6, const struct build_node *node,
                 struct v6_place *place)
{
    const struct build_inode *inode = node->inode;
    int rc;

    *place = (struct v6_place){.layout = V6_LAYOUT_PLAIN};
    rc = xattr_area(v6, node, &place->xattr_bytes);
    if (rc < 0)
        return rc;
    if (S_ISDIR(inode->mode) || S_ISLNK(inode->mode)) {
        shape_content(inode->size, place);
    } else if (S_ISREG(inode->mode)) {
        place->layout = V6_LAYOUT_CHUNKS;
        place->bytes =
            round_up(V6_INODE_EXTENDED_BYTES + place->xattr_bytes, V6_CHUNK_ADDR_BYTES) +
            V6_CHUNK_ADDR_BYTES * (uint64_t)rafsi_emit_chunks(v6->emit.image, inode);
    } else {
        place->bytes = V6_INODE_EXTENDED_BYTES + place->xattr_bytes;
    }
    return RAFS_OK;
}

/* An inode and its tail share a block; others may cross its end. */
static bool fits(const struct v6_places *places, const struct v6_place *place)
{
    return place->layout != V6_LAYOUT_INLINE ||
           places->at % V6_BLOCK_BYTES + place->bytes <= V6_BLOCK_BYTES;
}

static void put(struct v6_places *places, struct v6_place *place)
{
    if (!fits(places, place))
        places->at = round_up(places->at, V6_BLOCK_BYTES);
    place->at = places->at;
    place->block = places->blocks;
    places->at = round_up(places->at + place->bytes, V6_NID_BYTES);
    places->blocks += place->blocks;
}

struct v6_order rafsi_v6_order(struct v6_emit *v6)
{
    return (struct v6_order){.v6 = v6, .places = v6->begin, .next = v6->emit.image->root};
}

/* The i-th of those that wait gets its place. */
static void take_late(struct v6_order *order, uint32_t i, struct build_node **node,
                      struct v6_place *place)
{
    *node = order->late[i].node;
    *place = order->late[i].place;
    order->late_count--;
    memmove(&order->late[i], &order->late[i + 1],
            (order->late_count - i) * sizeof(order->late[0]));
    put(&order->places, place);
}

/* The next name that is its inode's first; NULL: there is none. */
static struct build_node *next_first(struct v6_order *order)
{
    struct build_node *node = order->next;

    while (node && !rafsi_emit_first(node))
        node = rafsi_batched_next(node);
    order->next = node ? rafsi_batched_next(node) : NULL;
    return node;
}

int rafsi_v6_order_next(struct v6_order *order, struct build_node **node,
                        struct v6_place *place)
{
    for (;;) {
        struct build_node *next;
        int rc;

        for (uint32_t i = 0; i < order->late_count; i++)
            if (fits(&order->places, &order->late[i].place)) {
                take_late(order, i, node, place);
                return RAFS_OK;
            }
        next = order->late_count < V6_LATE_MAX ? next_first(order) : NULL;
        if (!next && order->late_count > 0) {
            take_late(order, 0, node, place);
            return RAFS_OK;
        }
        *node = next;
        if (!next)
            return RAFS_OK;
        rc = rafsi_emit_tick(&order->v6->emit, next->index);
        if (rc == RAFS_OK)
            rc = shape(order->v6, next, place);
        if (rc < 0)
            return rc;
        if (fits(&order->places, place)) {
            put(&order->places, place);
            return RAFS_OK;
        }
        order->late[order->late_count].node = next;
        order->late[order->late_count++].place = *place;
    }
}
