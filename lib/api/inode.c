/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "api/api.h"

int rafs_image_resolve(const rafs_image *image, const char *path, uint32_t flags,
                       uint64_t *ino, rafs_error *err)
{
    if (!image || !path || !ino)
        return rafsi_fail_null(err, image ? "path or ino" : "image");
    if ((flags & ~(uint32_t)RAFS_RESOLVE_NOFOLLOW) != 0)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "flags",
                          "0x%x are not known", flags);
    return rafsi_tree_resolve(image->tree, path, flags, ino, err);
}

int rafs_image_lookup(const rafs_image *image, uint64_t parent, const char *name,
                      uint64_t *ino, rafs_error *err)
{
    struct rafsi_node dir;
    size_t len;
    int rc;

    if (!image || !name || !ino)
        return rafsi_fail_null(err, image ? "name or ino" : "image");
    len = strnlen(name, RAFS_NAME_MAX + 1);
    if (len > RAFS_NAME_MAX)
        return rafsi_fail_os(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, ENAMETOOLONG,
                             "name", "is longer than %d bytes", RAFS_NAME_MAX);
    if (len == 0 || strchr(name, '/'))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "name",
                          "is empty or has a '/'; rafs_image_resolve() takes paths");
    rc = rafsi_tree_dir(image->tree, parent, &dir, err);
    return rc < 0 ? rc : rafsi_tree_lookup(image->tree, &dir, name, len, ino, err);
}

int rafs_image_get_attr(const rafs_image *image, uint64_t ino, rafs_attr *attr,
                        rafs_error *err)
{
    struct rafsi_node node;
    int rc;

    if (!image || !attr)
        return rafsi_fail_null(err, image ? "attr" : "image");
    rc = rafsi_tree_node(image->tree, ino, &node, err);
    if (rc == RAFS_OK)
        *attr = node.attr;
    return rc;
}

/* The checks and the node that the functions with a buffer begin with. */
static int begin(const rafs_image *image, uint64_t ino, const void *buf, size_t room,
                 size_t *len, struct rafsi_node *node, rafs_error *err)
{
    if (len)
        *len = 0;
    if (!image || !len || (!buf && room > 0))
        return rafsi_fail_null(err, image ? "buf or len" : "image");
    return rafsi_tree_node(image->tree, ino, node, err);
}

int rafs_image_readlink(const rafs_image *image, uint64_t ino, char *buf, size_t room,
                        size_t *len, rafs_error *err)
{
    struct rafsi_node node;
    int rc = begin(image, ino, buf, room, len, &node, err);

    return rc < 0 ? rc : rafsi_tree_readlink(image->tree, &node, buf, room, len, err);
}

int rafs_image_list_xattr(const rafs_image *image, uint64_t ino, char *buf, size_t room,
                          size_t *len, rafs_error *err)
{
    struct rafsi_node node;
    int rc = begin(image, ino, buf, room, len, &node, err);

    return rc < 0 ? rc : rafsi_tree_list_xattr(image->tree, &node, buf, room, len, err);
}

int rafs_image_get_xattr(const rafs_image *image, uint64_t ino, const char *name,
                         void *buf, size_t room, size_t *len, rafs_error *err)
{
    struct rafsi_node node;
    int rc = begin(image, ino, buf, room, len, &node, err);

    if (rc < 0)
        return rc;
    if (!name)
        return rafsi_fail_null(err, "name");
    return rafsi_tree_get_xattr(image->tree, &node, name, buf, room, len, err);
}

int rafs_image_get_path(const rafs_image *image, uint64_t ino, char *buf, size_t room,
                        size_t *len, const rafs_call *call, rafs_error *err)
{
    struct rafsi_node node;
    rafs_call taken;
    int rc = begin(image, ino, buf, room, len, &node, err);

    if (rc == RAFS_OK)
        rc = rafsi_call_take(call, &taken, err);
    if (rc < 0)
        return rc;
    return rafsi_tree_path(image->tree, ino, buf, room, len, &taken, err);
}
