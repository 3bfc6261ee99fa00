/* SPDX-License-Identifier: Apache-2.0 */

/* Entries of a program's own. */

#include <string.h>
#include <sys/stat.h>

#include "build/builder.h"

/* Linux's "new" encoding of a device number. */
static uint32_t device(uint32_t major, uint32_t minor)
{
    return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

static int check(const rafs_build_entry *entry, rafs_error *err)
{
    const char *wrong = NULL;

    switch (entry->mode & S_IFMT) {
    case S_IFREG:
        wrong = entry->size && !entry->read ? "a file without read" : NULL;
        break;
    case S_IFLNK:
        wrong = entry->target && *entry->target ? NULL : "a link without target";
        break;
    case S_IFCHR:
    case S_IFBLK:
        wrong = entry->rdev_major > 0xfff || entry->rdev_minor > 0xfffff
                    ? "a device number that is too large"
                    : NULL;
        break;
    case S_IFDIR:
    case S_IFIFO:
    case S_IFSOCK:
        break;
    default:
        wrong = "of a type that is none";
    }
    if (!wrong && entry->mtime_nsec >= 1000000000)
        wrong = "with more than 999999999 nanoseconds";
    if (!wrong && entry->xattr_count && !entry->xattrs)
        wrong = "whose xattrs are NULL";
    return wrong ? rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                              "the entry is %s", wrong)
                 : RAFS_OK;
}

static int convert_xattrs(const struct rafsi_env *env, const rafs_build_entry *entry,
                          struct build_xattr **out, rafs_error *err)
{
    struct build_xattr *xattrs;

    if (entry->xattr_count == 0)
        return RAFS_OK;
    if (entry->xattr_count > 65535)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_ARGUMENT, NULL,
                          "%u attributes are more than 65535", entry->xattr_count);
    xattrs = rafsi_alloc_zero(env, entry->xattr_count * sizeof(*xattrs));
    if (!xattrs)
        return rafsi_fail_nomem(err, entry->xattr_count * sizeof(*xattrs));
    for (uint32_t i = 0; i < entry->xattr_count; i++) {
        const rafs_build_xattr *from = &entry->xattrs[i];

        if (!from->name || (from->size && !from->value) || from->size > UINT32_MAX) {
            rafsi_free(env, xattrs);
            return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, NULL,
                              "attribute %u has no name or no value", i);
        }
        xattrs[i].name = from->name;
        xattrs[i].name_len = (uint32_t)strlen(from->name);
        xattrs[i].value = from->value;
        xattrs[i].value_len = (uint32_t)from->size;
    }
    *out = xattrs;
    return RAFS_OK;
}

static int feed(rafs_builder *builder, const rafs_build_entry *entry,
                struct build_inode *inode, const rafs_call *call, rafs_error *err)
{
    enum { PART = 65536 };
    uint8_t *part = rafsi_alloc(&builder->image.env, PART);
    uint64_t left = entry->size;
    int rc =
        part ? rafsi_data_begin(builder->data, inode, err) : rafsi_fail_nomem(err, PART);

    while (rc == RAFS_OK && left > 0) {
        size_t want = (size_t)rafsi_min(left, PART), got = 0;

        rc = rafsi_answer(entry->read(entry->user, part, want, &got, call, err), "entry",
                          "read", err);
        if (rc == RAFS_OK && (got == 0 || got > want))
            rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_FETCH, NULL,
                            got ? "read gave more than was asked for"
                                : "read ended before the entry's size");
        if (rc == RAFS_OK)
            rc = rafsi_data_add(builder->data, part, got, call, err);
        if (rc == RAFS_OK)
            rc = rafsi_builder_tick(builder, call, err);
        left -= rc == RAFS_OK ? got : 0;
    }
    if (rc == RAFS_OK)
        rc = rafsi_data_end(builder->data, call, err);
    rafsi_free(&builder->image.env, part);
    return rc;
}

static int add(rafs_builder *builder, const rafs_build_entry *entry,
               const rafs_call *call, rafs_error *err)
{
    struct build_xattr *xattrs = NULL;
    struct build_inode *inode = NULL;
    struct layers_entry shaped = {.path = entry->path, .path_len = strlen(entry->path)};
    bool wanted = true;
    int rc = check(entry, err);

    if (rc == RAFS_OK)
        rc = convert_xattrs(&builder->image.env, entry, &xattrs, err);
    if (rc < 0)
        return rc;
    shaped.inode.mode = entry->mode;
    shaped.inode.uid = entry->uid;
    shaped.inode.gid = entry->gid;
    shaped.inode.mtime_sec = entry->mtime_sec;
    shaped.inode.mtime_nsec = entry->mtime_nsec;
    shaped.inode.xattrs = xattrs;
    shaped.inode.xattr_count = entry->xattr_count;
    if (S_ISCHR(entry->mode) || S_ISBLK(entry->mode))
        shaped.inode.rdev = device(entry->rdev_major, entry->rdev_minor);
    if (S_ISREG(entry->mode))
        shaped.inode.size = entry->size;
    if (S_ISLNK(entry->mode)) {
        shaped.inode.target = entry->target;
        shaped.inode.size = strlen(entry->target);
    }
    rc = rafsi_builder_shape(builder, &shaped, &wanted, err);
    if (rc == RAFS_OK && wanted)
        rc = rafsi_layers_add(builder->layers, &shaped, &inode, err);
    /* Not once its name is in the tree: then it needs its content. */
    if (rc < 0)
        rc = rafsi_builder_refuse(builder, rc);
    if (rc == RAFS_OK && inode && S_ISREG(entry->mode) && entry->size)
        rc = feed(builder, entry, inode, call, err);
    rafsi_free(&builder->image.env, xattrs);
    return rc;
}

int rafsi_source_entry(rafs_builder *builder, const rafs_build_entry *entry,
                       const rafs_call *call, rafs_error *err)
{
    int rc = rafsi_builder_tick(builder, call, err);

    if (rc < 0)
        return rc;
    builder->entries++;
    if (entry->hardlink) {
        if (!rafsi_builder_excluded(builder, entry->path, strlen(entry->path)))
            rc = rafsi_layers_link(builder->layers, entry->path, strlen(entry->path),
                                   entry->hardlink, strlen(entry->hardlink), err);
    } else {
        rc = add(builder, entry, call, err);
    }
    return rc < 0 ? rafsi_fail_object(err, rc, "path %.180s", entry->path) : rc;
}
