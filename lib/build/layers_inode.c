/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "build/layers_impl.h"

enum { TARGET_MAX = 4095 }; /* bytes, as Linux has it */
/* Of all files together: 128 TiB of them in chunks of 1 MiB. A header can state any size,
 * and a sparse one needs no bytes for it. */
enum { IMAGE_CHUNKS_MAX = 1 << 27 };

static int refuse(const struct layers_entry *entry, rafs_error *err, int code,
                  const char *why)
{
    return rafsi_layers_refuse(err, code, entry->path, entry->path_len, "%s", why);
}

static int copy_target(struct rafsi_layers *layers, const struct layers_entry *entry,
                       struct build_inode *inode, rafs_error *err)
{
    size_t len = entry->inode.target ? strlen(entry->inode.target) : 0;
    char *copy;

    if (len == 0)
        return refuse(entry, err, RAFS_E_CORRUPT, "a symbolic link to nothing");
    if (len > TARGET_MAX)
        return rafsi_layers_refuse(err, RAFS_E_LIMIT, entry->path, entry->path_len,
                                   "a symbolic link of %zu bytes; %d are allowed", len,
                                   TARGET_MAX);
    copy = rafsi_arena_alloc(&layers->image->arena, len + 1);
    if (!copy)
        return rafsi_fail_nomem(err, len + 1);
    memcpy(copy, entry->inode.target, len);
    inode->target = copy;
    inode->size = len;
    return RAFS_OK;
}

static int make_chunks(struct rafsi_layers *layers, const struct layers_entry *entry,
                       struct build_inode *inode, rafs_error *err)
{
    uint32_t count;

    inode->size = entry->inode.size;
    if (!rafsi_chunks_of(inode->size, layers->image->chunk_size, &count) ||
        count > IMAGE_CHUNKS_MAX - layers->chunks)
        return rafsi_layers_refuse(
            err, RAFS_E_LIMIT, entry->path, entry->path_len,
            "with this file of %llu bytes the image has more than %d chunks; larger "
            "chunks may help",
            (unsigned long long)inode->size, IMAGE_CHUNKS_MAX);
    layers->chunks += count;
    if (count == 0)
        return RAFS_OK;
    inode->chunks = rafsi_arena_alloc(&layers->image->arena, count * sizeof(uint32_t));
    return inode->chunks ? RAFS_OK : rafsi_fail_nomem(err, count * sizeof(uint32_t));
}

static int check_xattr(const struct layers_entry *entry, const struct build_xattr *xattr,
                       rafs_error *err)
{
    if (xattr->name_len == 0)
        return refuse(entry, err, RAFS_E_CORRUPT, "an extended attribute has no name");
    if (memchr(xattr->name, '\0', xattr->name_len))
        return refuse(entry, err, RAFS_E_CORRUPT,
                      "a zero byte lies in the name of an extended attribute");
    if (xattr->name_len > RAFS_XATTR_NAME_MAX || xattr->value_len > RAFS_XATTR_VALUE_MAX)
        return rafsi_layers_refuse(
            err, RAFS_E_LIMIT, entry->path, entry->path_len,
            "extended attribute of %u bytes with a name of %u; %d and %d are allowed",
            xattr->value_len, xattr->name_len, RAFS_XATTR_VALUE_MAX, RAFS_XATTR_NAME_MAX);
    return RAFS_OK;
}

static int copy_xattr(struct arena *arena, const struct build_xattr *from,
                      struct build_xattr *to, rafs_error *err)
{
    size_t size = (size_t)from->name_len + 1 + from->value_len;
    char *bytes = rafsi_arena_alloc(arena, size);

    if (!bytes)
        return rafsi_fail_nomem(err, size);
    memcpy(bytes, from->name, from->name_len);
    if (from->value_len != 0)
        memcpy(bytes + from->name_len + 1, from->value, from->value_len);
    *to = (struct build_xattr){.name = bytes,
                               .name_len = from->name_len,
                               .value = (uint8_t *)bytes + from->name_len + 1,
                               .value_len = from->value_len};
    return RAFS_OK;
}

static int compare(const struct build_xattr *a, const struct build_xattr *b)
{
    size_t len = rafsi_min(a->name_len, b->name_len);
    int order = memcmp(a->name, b->name, len);

    return order != 0 ? order : (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

/* Where the name is, or belongs, among those that are sorted. */
static uint32_t place(const struct build_xattr *sorted, uint32_t count,
                      const struct build_xattr *xattr)
{
    uint32_t low = 0;

    while (low < count) {
        uint32_t middle = low + (count - low) / 2;

        if (compare(&sorted[middle], xattr) < 0)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

/* Sorted by insertion, for there are few. Of two with one name the later one counts. */
static int copy_xattrs(struct rafsi_layers *layers, const struct layers_entry *entry,
                       struct build_inode *inode, rafs_error *err)
{
    const struct build_xattr *from = entry->inode.xattrs;
    uint32_t count = entry->inode.xattr_count;
    struct build_xattr *sorted;

    if (count == 0)
        return RAFS_OK;
    if (count > LAYERS_XATTRS_MAX)
        return refuse(entry, err, RAFS_E_LIMIT, "too many extended attributes");
    sorted = rafsi_arena_alloc(&layers->image->arena, count * sizeof(*sorted));
    if (!sorted)
        return rafsi_fail_nomem(err, count * sizeof(*sorted));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = place(sorted, inode->xattr_count, &from[i]);
        int rc = check_xattr(entry, &from[i], err);

        if (rc < 0)
            return rc;
        if (at == inode->xattr_count || compare(&sorted[at], &from[i]) != 0) {
            memmove(&sorted[at + 1], &sorted[at],
                    (inode->xattr_count - at) * sizeof(*sorted));
            inode->xattr_count++;
        }
        rc = copy_xattr(&layers->image->arena, &from[i], &sorted[at], err);
        if (rc < 0)
            return rc;
    }
    inode->xattrs = sorted;
    return RAFS_OK;
}

int rafsi_inode_fill(struct rafsi_layers *layers, const struct layers_entry *entry,
                     struct build_inode *inode, rafs_error *err)
{
    const struct build_inode *from = &entry->inode;
    int rc = RAFS_OK;

    *inode = (struct build_inode){.mtime_sec = from->mtime_sec,
                                  .mtime_nsec = from->mtime_nsec,
                                  .mode = from->mode & (S_IFMT | 07777),
                                  .uid = from->uid,
                                  .gid = from->gid,
                                  .layer = layers->layer};
    if (inode->mtime_nsec >= 1000000000)
        return refuse(entry, err, RAFS_E_CORRUPT, "a second has 10^9 nanoseconds");
    switch (from->mode & S_IFMT) {
    case S_IFREG:
        rc = make_chunks(layers, entry, inode, err);
        break;
    case S_IFLNK:
        rc = copy_target(layers, entry, inode, err);
        break;
    case S_IFCHR:
    case S_IFBLK:
        inode->rdev = from->rdev;
        break;
    case S_IFDIR:
    case S_IFIFO:
    case S_IFSOCK:
        break;
    default:
        rc = rafsi_layers_refuse(err, RAFS_E_UNSUPPORTED, entry->path, entry->path_len,
                                 "mode 0%o is of no kind of file", from->mode);
    }
    return rc < 0 ? rc : copy_xattrs(layers, entry, inode, err);
}
