/* SPDX-License-Identifier: Apache-2.0 */
#ifdef HAVE_LIBARCHIVE
#include "tar_entry.h"

#include <archive.h>
#include <archive_entry.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/*
 * system.posix_acl_*: u32 version, 2; then entries of u16 tag, u16 permissions, u32 id,
 * little endian. Source: linux/posix_acl_xattr.h.
 */
enum { ACL_HEADER = 4, ACL_ENTRY = 8, ACL_VERSION = 2 };

static uint32_t get_u32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
           (uint32_t)at[3] << 24;
}

static int tag_of(uint32_t tag)
{
    switch (tag) {
    case 0x01:
        return ARCHIVE_ENTRY_ACL_USER_OBJ;
    case 0x02:
        return ARCHIVE_ENTRY_ACL_USER;
    case 0x04:
        return ARCHIVE_ENTRY_ACL_GROUP_OBJ;
    case 0x08:
        return ARCHIVE_ENTRY_ACL_GROUP;
    case 0x10:
        return ARCHIVE_ENTRY_ACL_MASK;
    case 0x20:
        return ARCHIVE_ENTRY_ACL_OTHER;
    default:
        return 0;
    }
}

/* What libarchive can say: it keeps ids as int. */
static bool acl_fits(const unsigned char *value, size_t len)
{
    size_t pos;

    if (len < ACL_HEADER || (len - ACL_HEADER) % ACL_ENTRY != 0 ||
        get_u32(value) != ACL_VERSION)
        return false;
    for (pos = ACL_HEADER; pos < len; pos += ACL_ENTRY) {
        uint32_t tag = get_u32(value + pos) & 0xffff;
        bool named = tag == 0x02 || tag == 0x08;

        if (tag_of(tag) == 0 || (named && get_u32(value + pos + 4) > INT_MAX))
            return false;
    }
    return true;
}

/* Archives hold ACLs as text, which is what tar's --acls and bsdtar look for. False: the
 * attribute is to be stored as it is. */
static bool add_acl(struct archive_entry *to, const char *name,
                    const unsigned char *value, size_t len)
{
    int type;
    size_t pos;

    if (strcmp(name, "system.posix_acl_access") == 0)
        type = ARCHIVE_ENTRY_ACL_TYPE_ACCESS;
    else if (strcmp(name, "system.posix_acl_default") == 0)
        type = ARCHIVE_ENTRY_ACL_TYPE_DEFAULT;
    else
        return false;
    if (!acl_fits(value, len))
        return false;
    for (pos = ACL_HEADER; pos < len; pos += ACL_ENTRY) {
        uint32_t head = get_u32(value + pos);
        int tag = tag_of(head & 0xffff);
        bool named = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;

        archive_entry_acl_add_entry(to, type, (int)(head >> 16) & 7, tag,
                                    named ? (int)get_u32(value + pos + 4) : -1, NULL);
    }
    return true;
}

static int add_xattrs(struct command *c, uint64_t ino, struct archive_entry *to,
                      rafs_error *err)
{
    size_t count = 0, len, i;
    char **names = read_xattr_names(c->image, ino, &count, err);
    int rc = names ? RAFS_OK : err->code;

    for (i = 0; i < count && rc == RAFS_OK; i++) {
        char *value = read_xattr(c->image, ino, names[i], &len, err);

        if (!value)
            rc = err->code;
        else if (!add_acl(to, names[i], (const unsigned char *)value, len))
            archive_entry_xattr_add_entry(to, names[i], value, len);
        free(value);
    }
    free(names);
    return rc;
}

static void set_name(struct archive_entry *to, const char *path)
{
    archive_entry_set_pathname(to, path[1] ? path + 1 : "./");
}

int tar_fill_entry(struct command *c, const rafs_walk_entry *from, const char *first,
                   struct archive_entry *to, rafs_error *err)
{
    const rafs_attr *attr = &from->attr;
    int rc = RAFS_OK;

    set_name(to, from->path);
    archive_entry_set_mode(to, (mode_t)attr->mode);
    archive_entry_set_uid(to, attr->uid);
    archive_entry_set_gid(to, attr->gid);
    archive_entry_set_mtime(to, (time_t)attr->mtime_sec, (long)attr->mtime_nsec);
    if (first) {
        archive_entry_set_hardlink(to, first + 1);
        return RAFS_OK;
    }
    if (S_ISCHR(attr->mode) || S_ISBLK(attr->mode)) {
        archive_entry_set_rdevmajor(to, attr->rdev_major);
        archive_entry_set_rdevminor(to, attr->rdev_minor);
    }
    if (S_ISLNK(attr->mode)) {
        size_t len;
        char *target = read_target(c->image, from->ino, &len, err);

        if (!target)
            return err->code;
        archive_entry_set_symlink(to, target);
        free(target);
    }
    if (attr->xattr_hint)
        rc = add_xattrs(c, from->ino, to, err);
    return rc;
}
#else
typedef int tar_entry_needs_libarchive;
#endif
