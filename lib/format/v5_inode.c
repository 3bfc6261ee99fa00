/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "format/format.h"

#define V5_INODE_FLAGS \
    (V5_INODE_SYMLINK | V5_INODE_HARDLINK | V5_INODE_XATTR | V5_INODE_HAS_HOLE)

static bool known_type(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return true;
    default:
        return false;
    }
}

/* What holds for every type. `at`: position of the inode. */
static int check_any(const struct v5_inode *inode, uint32_t entries, uint64_t at,
                     rafs_error *err)
{
    if (inode->ino == 0 || inode->ino > entries)
        return rafsi_corrupt(err, at + 40, "inode number %llu; the table has %u",
                             (unsigned long long)inode->ino, entries);
    if (!known_type(inode->mode) || inode->mode >> 16 != 0)
        return rafsi_corrupt(err, at + 60, "mode 0x%x is of no known type", inode->mode);
    if (inode->flags & ~(uint64_t)V5_INODE_FLAGS)
        return rafsi_fail_at(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_METADATA, NULL, at + 80,
                             "inode has unknown flags 0x%llx",
                             (unsigned long long)inode->flags);
    if (inode->nlink == 0)
        return rafsi_corrupt(err, at + 88, "inode without a link");
    if (inode->name_size == 0 || inode->name_size > RAFS_NAME_MAX)
        return rafsi_corrupt(err, at + 100, "name of %u bytes", inode->name_size);
    if (inode->mtime_nsec >= 1000000000)
        return rafsi_corrupt(err, at + 108, "%u nanoseconds", inode->mtime_nsec);
    return RAFS_OK;
}

/* The root is the only one without a parent. Numbers grow on the way down, which is what
 * keeps directories from forming a loop; only links of a file may be numbered earlier. */
static int check_parent(const struct v5_inode *inode, uint64_t at, rafs_error *err)
{
    bool linked = !S_ISDIR(inode->mode) && inode->nlink > 1;

    if (inode->ino == V5_ROOT)
        return inode->parent == 0
                   ? RAFS_OK
                   : rafsi_corrupt(err, at + 32, "the root has a parent, %llu",
                                   (unsigned long long)inode->parent);
    if (inode->parent == 0 || (inode->parent >= inode->ino && !linked))
        return rafsi_corrupt(err, at + 32, "parent %llu of inode %llu",
                             (unsigned long long)inode->parent,
                             (unsigned long long)inode->ino);
    return RAFS_OK;
}

static int check_dir(const struct v5_inode *inode, uint32_t entries, uint64_t at,
                     rafs_error *err)
{
    if (inode->child_count == 0)
        return RAFS_OK;
    if (inode->child_index <= inode->ino || inode->child_index > entries ||
        inode->child_count > entries - inode->child_index + 1)
        return rafsi_corrupt(
            err, at + 92, "children %u to %llu of directory %llu", inode->child_index,
            (unsigned long long)inode->child_index + inode->child_count - 1,
            (unsigned long long)inode->ino);
    return RAFS_OK;
}

static int check_file(const struct v5_inode *inode, uint32_t chunk_size, uint64_t at,
                      rafs_error *err)
{
    uint64_t chunks = inode->size / chunk_size + (inode->size % chunk_size != 0);

    if (inode->size > INT64_MAX)
        return rafsi_corrupt(err, at + 64, "file of %llu bytes",
                             (unsigned long long)inode->size);
    if (inode->child_count == chunks)
        return RAFS_OK;
    if (!(inode->flags & V5_INODE_HAS_HOLE) || inode->child_count > chunks)
        return rafsi_corrupt(err, at + 96, "file of %llu bytes has %u chunks",
                             (unsigned long long)inode->size, inode->child_count);
    return RAFS_OK;
}

static int check_inode(const struct v5_inode *inode, const struct v5_super *super,
                       uint64_t at, rafs_error *err)
{
    int rc = check_any(inode, super->inode_table_entries, at, err);

    if (rc == RAFS_OK)
        rc = check_parent(inode, at, err);
    if (rc < 0)
        return rc;
    if (!S_ISLNK(inode->mode) != (inode->target_size == 0))
        return rafsi_corrupt(err, at + 102, "%s with a target of %u bytes",
                             S_ISLNK(inode->mode) ? "link" : "inode that is no link",
                             inode->target_size);
    if (S_ISDIR(inode->mode))
        return check_dir(inode, super->inode_table_entries, at, err);
    if (S_ISREG(inode->mode))
        return check_file(inode, super->chunk_size, at, err);
    if (inode->child_count != 0)
        return rafsi_corrupt(err, at + 96, "%u children of an inode that can have none",
                             inode->child_count);
    return RAFS_OK;
}

/*
 * An inode, 128 bytes: 0 digest (32); 32 parent (8); 40 number (8); 48 uid; 52 gid; 56
 * project; 60 mode; 64 size (8); 72 blocks (8); 80 flags (8); 88 links; 92 first child;
 * 96 children or chunks; 100 bytes of the name (2); 102 of the target (2); 104 device;
 * 108 nanoseconds; 112 seconds (8); 120 zeros (8). Four bytes where not said. The name
 * follows, the target of a link, the table of extended attributes if flag 4 is set, and
 * the chunks of a file, each beginning at a multiple of 8. Source: RafsV5Inode of the
 * reference writer; bytes from 108 on were zero before 2022.
 */
int rafsi_v5_inode(struct span bytes, const struct v5_super *super, struct v5_inode *out,
                   rafs_error *err)
{
    struct cursor c = cursor_of(bytes);
    struct v5_inode inode;
    int rc;

    memset(&inode, 0, sizeof(inode));
    take_copy(&c, inode.digest, sizeof(inode.digest));
    inode.parent = take_u64(&c);
    inode.ino = take_u64(&c);
    inode.uid = take_u32(&c);
    inode.gid = take_u32(&c);
    take_skip(&c, 4);
    inode.mode = take_u32(&c);
    inode.size = take_u64(&c);
    inode.blocks = take_u64(&c);
    inode.flags = take_u64(&c);
    inode.nlink = take_u32(&c);
    inode.child_index = take_u32(&c);
    inode.child_count = take_u32(&c);
    inode.name_size = take_u16(&c);
    inode.target_size = take_u16(&c);
    inode.rdev = take_u32(&c);
    inode.mtime_nsec = take_u32(&c);
    inode.mtime = take_u64(&c);
    take_skip(&c, 8);
    if (c.overrun)
        return rafsi_corrupt(err, cursor_offset(&c), "inode is cut short");
    rc = check_inode(&inode, super, bytes.origin, err);
    if (rc == RAFS_OK)
        *out = inode;
    return rc;
}

void rafsi_v5_inode_put(const struct v5_inode *inode, uint8_t out[V5_INODE_BYTES])
{
    struct pen pen = pen_of(out, V5_INODE_BYTES);

    put_bytes(&pen, inode->digest, sizeof(inode->digest));
    put_u64(&pen, inode->parent);
    put_u64(&pen, inode->ino);
    put_u32(&pen, inode->uid);
    put_u32(&pen, inode->gid);
    put_u32(&pen, 0);
    put_u32(&pen, inode->mode);
    put_u64(&pen, inode->size);
    put_u64(&pen, inode->blocks);
    put_u64(&pen, inode->flags);
    put_u32(&pen, inode->nlink);
    put_u32(&pen, inode->child_index);
    put_u32(&pen, inode->child_count);
    put_u16(&pen, inode->name_size);
    put_u16(&pen, inode->target_size);
    put_u32(&pen, inode->rdev);
    put_u32(&pen, inode->mtime_nsec);
    put_u64(&pen, inode->mtime);
    put_u64(&pen, 0);
}

static uint64_t padded(uint64_t bytes)
{
    return (bytes + 7) & ~(uint64_t)7;
}

/* No overflow: a record begins below 2^32, name and target are below 2^16. */
uint64_t rafsi_v5_inode_tail(const struct v5_inode *inode, uint64_t at)
{
    return rafsi_v5_name_at(at) + padded(inode->name_size) + padded(inode->target_size);
}

int rafsi_v5_inode_layout(struct v5_inode *inode, uint64_t at, uint64_t xattr_bytes,
                          uint64_t file_size, rafs_error *err)
{
    uint64_t tail = rafsi_v5_inode_tail(inode, at);
    uint64_t chunks = S_ISREG(inode->mode) ? inode->child_count : 0;

    inode->target_at = rafsi_v5_name_at(at) + padded(inode->name_size);
    inode->xattr_at = 0;
    inode->xattr_bytes = 0;
    if (inode->flags & V5_INODE_XATTR) {
        /* A file has less than 2^32 bytes: the sums below cannot overflow. */
        if (!rafsi_within(tail, 8, file_size) || xattr_bytes > file_size - tail - 8)
            return rafsi_corrupt(err, tail,
                                 "extended attributes of %llu bytes leave the file",
                                 (unsigned long long)xattr_bytes);
        inode->xattr_at = tail + 8;
        inode->xattr_bytes = (uint32_t)xattr_bytes;
        tail += 8 + padded(xattr_bytes);
    }
    inode->chunks_at = tail;
    inode->end = tail + chunks * CHUNK_RECORD_BYTES;
    if (inode->end > file_size)
        return rafsi_corrupt(
            err, at, "inode record up to %llu leaves the file of %llu bytes",
            (unsigned long long)inode->end, (unsigned long long)file_size);
    return RAFS_OK;
}
