/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_INODE_H
#define RAFS_INODE_H

#include <stddef.h>
#include <stdint.h>

#include "image.h"

/**
 * @file
 * Names, inodes, attributes. An inode is a number: nothing to free. Hard links of one
 * file have one number.
 *
 * Paths and names are bytes ended by NUL; no encoding is assumed. All functions here
 * block on storage only where the bootstrap is a file larger than its cache, and may be
 * called by any number of threads at once.
 *
 * Each can return, besides what it lists: RAFS_E_BADARG (an argument is NULL or the inode
 * number is none of the image's), RAFS_E_CORRUPT (the metadata contradicts itself),
 * RAFS_E_BACKEND (the bootstrap cannot be read), RAFS_E_NOMEM.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Attributes of an inode: all that stat(2) tells and the format has. 88 bytes. */
typedef struct rafs_attr {
    uint64_t ino;
    uint64_t size;       /**< bytes: content of a file, target of a link; directories: as
                              the image says */
    uint64_t blocks;     /**< units of 512 bytes */
    int64_t mtime_sec;   /**< seconds since 1970; 0 where the format has no time */
    uint32_t mtime_nsec; /**< 0 to 999,999,999 */
    uint32_t mode;       /**< type and permissions, as Linux has them (S_IFREG …) */
    uint32_t nlink;
    uint32_t uid; /**< 0 where the image has no owners (no EXPLICIT_UID_GID) */
    uint32_t gid;
    uint32_t rdev_major; /**< of devices; else 0 */
    uint32_t rdev_minor;
    uint32_t xattr_hint; /**< 0: surely no extended attributes; 1: ask */
    uint64_t reserved[3];
} rafs_attr;

/** Flags of rafs_image_resolve(). */
enum { RAFS_RESOLVE_NOFOLLOW = 1 /**< a link at the end of the path is the result */ };

/**
 * Find the inode that a path names.
 *
 * Symbolic links are followed inside the image: an absolute target starts at its root,
 * and
 * ".." never leaves it. "" and "/" are the root; repeated and final slashes are allowed.
 *
 * @param image  open image
 * @param path   at most RAFS_PATH_MAX bytes; a leading slash may be there or not
 * @param flags  0 or RAFS_RESOLVE_NOFOLLOW
 * @param ino    out: inode number
 * @param err    out, optional: the object is the path, the offset the component's in it
 * @return RAFS_OK
 *         RAFS_E_NOENT   a component does not exist (ENOENT)
 *         RAFS_E_NOTDIR  a component before the last is not a directory (ENOTDIR)
 *         RAFS_E_LOOP    more than RAFS_LINKS_MAX links (ELOOP)
 *         RAFS_E_BADARG  also: a path or name too long (ENAMETOOLONG)
 *
 * On failure *ino is unchanged. Source: directories of v5 and v6. Since: 1.0.
 */
RAFS_API int rafs_image_resolve(const rafs_image *image, const char *path, uint32_t flags,
                                uint64_t *ino, rafs_error *err);

/**
 * Find a name in a directory.
 *
 * @param image   open image
 * @param parent  inode number of a directory
 * @param name    one component; "." and ".." are understood
 * @param ino     out: inode number; links are not followed
 * @param err     out, optional
 * @return RAFS_OK; RAFS_E_NOENT; RAFS_E_NOTDIR: parent is not a directory
 *
 * On failure *ino is unchanged. Source: directories of v5 and v6. Since: 1.0.
 */
RAFS_API int rafs_image_lookup(const rafs_image *image, uint64_t parent, const char *name,
                               uint64_t *ino, rafs_error *err);

/**
 * Attributes of an inode.
 *
 * @param image  open image
 * @param ino    inode number
 * @param attr   out: all fields
 * @param err    out, optional
 * @return RAFS_OK
 *
 * On failure *attr is unchanged. Source: inodes of v5 and v6. Since: 1.0.
 */
RAFS_API int rafs_image_get_attr(const rafs_image *image, uint64_t ino, rafs_attr *attr,
                                 rafs_error *err);

/**
 * Target of a symbolic link.
 *
 * @param image   open image
 * @param ino     inode number of a link
 * @param buf     out: the target and a NUL; may be NULL if room is 0
 * @param room    bytes in buf
 * @param len     out: bytes of the target without the NUL, also when room is too small
 * @param err     out, optional
 * @return RAFS_OK
 *         RAFS_E_RANGE   room is not more than *len; with room 0 this is how to ask
 *         RAFS_E_BADARG  also: not a link (EINVAL)
 *
 * On failure *len is 0, except for RAFS_E_RANGE. Source: as rafs_attr. Since: 1.0.
 */
RAFS_API int rafs_image_readlink(const rafs_image *image, uint64_t ino, char *buf,
                                 size_t room, size_t *len, rafs_error *err);

/**
 * Names of the extended attributes of an inode, ACLs (`system.posix_acl_…`) included.
 *
 * @param image   open image
 * @param ino     inode number
 * @param buf     out: names, each ended by NUL, as listxattr(2) has them
 * @param room    bytes in buf
 * @param len     out: bytes of all names with their NULs
 * @param err     out, optional
 * @return RAFS_OK (with *len 0 if there are none); RAFS_E_RANGE as rafs_image_readlink()
 *
 * On failure *len is 0, except for RAFS_E_RANGE. Source: xattrs of v5 and v6. Since: 1.0.
 */
RAFS_API int rafs_image_list_xattr(const rafs_image *image, uint64_t ino, char *buf,
                                   size_t room, size_t *len, rafs_error *err);

/**
 * Value of one extended attribute.
 *
 * @param image   open image
 * @param ino     inode number
 * @param name    full name with its namespace
 * @param buf     out: the value
 * @param room    bytes in buf
 * @param len     out: bytes of the value
 * @param err     out, optional
 * @return RAFS_OK; RAFS_E_NOATTR (ENODATA); RAFS_E_RANGE if room is less than *len
 *
 * On failure *len is 0, except for RAFS_E_RANGE. Source: xattrs of v5 and v6. Since: 1.0.
 */
RAFS_API int rafs_image_get_xattr(const rafs_image *image, uint64_t ino, const char *name,
                                  void *buf, size_t room, size_t *len, rafs_error *err);

/**
 * A path that names an inode; of several the first that is found.
 *
 * Fast for directories, and in v5 for everything. In v6 a file does not know its name:
 * the tree is searched, in time linear in the image.
 *
 * @param image   open image
 * @param ino     inode number
 * @param buf     out: the absolute path and a NUL
 * @param room    bytes in buf
 * @param len     out: bytes of the path without the NUL
 * @param call    deadline and cancel token; NULL: neither
 * @param err     out, optional
 * @return RAFS_OK; RAFS_E_NOENT: no path leads there; RAFS_E_RANGE; RAFS_E_TIMEOUT;
 *         RAFS_E_CANCELLED
 *
 * On failure *len is 0, except for RAFS_E_RANGE. Source: as rafs_image_lookup().
 * Since: 1.0.
 */
RAFS_API int rafs_image_get_path(const rafs_image *image, uint64_t ino, char *buf,
                                 size_t room, size_t *len, const rafs_call *call,
                                 rafs_error *err);

#ifdef __cplusplus
}
#endif
#endif
