/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_DIR_H
#define RAFS_DIR_H

#include <stddef.h>
#include <stdint.h>

#include "inode.h"

/**
 * @file
 * Reading directories, in batches or one entry at a time, and walking trees.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** One entry of a directory. "." and ".." are never among them. */
typedef struct rafs_dirent {
    uint64_t ino;
    uint64_t next_offset; /**< offset to go on after this entry */
    const char *name;     /**< NUL terminated; where it lives: see the function */
    uint32_t name_len;
    uint32_t type;  /**< type bits as in rafs_attr.mode (S_IFDIR …) */
    rafs_attr attr; /**< filled only if asked for, else zeros */
} rafs_dirent;

/** Flags of rafs_image_readdir() and rafs_walk_open(). */
enum { RAFS_DIR_ATTR = 1 /**< fill attr too */ };

/**
 * Read entries of a directory, as many as fit, in order of their names' bytes.
 *
 * Keeps no state: offset is opaque, 0 to begin, and any next_offset seen in the same
 * directory of the same image later, in any thread, as often as one likes.
 *
 * @param image    open image
 * @param dir      inode number of a directory
 * @param offset   where to begin
 * @param flags    0 or RAFS_DIR_ATTR
 * @param entries  out: room for capacity entries
 * @param capacity entries
 * @param names    out: where the names are put, one after the other in the order of the
 *                 entries, each with its NUL; entries[].name points into it
 * @param room     bytes in names; RAFS_NAME_MAX + 1 or more
 * @param count    out: entries filled; 0 at the end of the directory
 * @param err      out, optional
 * @return RAFS_OK
 *         RAFS_E_NOTDIR   not a directory
 *         RAFS_E_BADARG   also: offset is none of this directory's, room is too small
 *         and what inode.h says
 *
 * On failure *count is 0. Blocks on storage. Any threads. Source: directories of v5 and
 * v6. Since: 1.0.
 */
RAFS_API int rafs_image_readdir(const rafs_image *image, uint64_t dir, uint64_t offset,
                                uint32_t flags, rafs_dirent *entries, size_t capacity,
                                char *names, size_t room, size_t *count, rafs_error *err);

/** A position in a directory. One thread at a time. */
typedef struct rafs_dir rafs_dir;

/**
 * Open a directory to read it one entry at a time.
 *
 * @param image  borrowed until rafs_dir_close()
 * @param ino    inode number of a directory
 * @param flags  0 or RAFS_DIR_ATTR
 * @param out    out: the position, to be closed with rafs_dir_close()
 * @param err    out, optional
 * @return RAFS_OK; RAFS_E_NOTDIR; and what inode.h says
 *
 * On failure *out is unchanged. Blocks on storage. Source: as rafs_image_readdir().
 * Since: 1.0.
 */
RAFS_API int rafs_dir_open(const rafs_image *image, uint64_t ino, uint32_t flags,
                           rafs_dir **out, rafs_error *err);

/**
 * The next entry.
 *
 * @param dir    from rafs_dir_open()
 * @param entry  out: the entry, borrowed until the next call on dir; NULL at the end
 * @param err    out, optional
 * @return RAFS_OK; and what inode.h says
 *
 * On failure *entry is NULL and the position is unchanged. Blocks on storage. Source: as
 * rafs_image_readdir(). Since: 1.0.
 */
RAFS_API int rafs_dir_next(rafs_dir *dir, const rafs_dirent **entry, rafs_error *err);

/**
 * Go to an offset seen as next_offset, or to 0.
 *
 * @param dir     from rafs_dir_open()
 * @param offset  a wrong one is reported by rafs_dir_next()
 *
 * Never blocks. Source: none. Since: 1.0.
 */
RAFS_API void rafs_dir_seek(rafs_dir *dir, uint64_t offset);

/** Close a position. @param dir  NULL does nothing. Never blocks. Source: none.
 *  Since: 1.0. */
RAFS_API void rafs_dir_close(rafs_dir *dir);

/** A walk over all that lies below an inode. One thread at a time. */
typedef struct rafs_walk rafs_walk;

/** One step of a walk; valid until the next call on it. */
typedef struct rafs_walk_entry {
    const char
        *path; /**< absolute, NUL terminated, without a final slash; "/" is the root */
    size_t path_len;
    uint64_t ino;
    uint64_t
        parent; /**< inode of the directory that holds it; the start's own for itself */
    uint32_t depth; /**< 0: where the walk started */
    uint32_t reserved;
    rafs_attr attr;
} rafs_walk_entry;

/**
 * Walk a tree: an inode, then what lies below it, each directory before its content and
 * names in order of their bytes. Links are not followed.
 *
 * Memory is bounded by the depth, not by the size of the tree. An image whose directories
 * form a loop, or that has more entries than it can hold, ends in RAFS_E_CORRUPT, not in
 * a walk without end.
 *
 * @param image  borrowed until rafs_walk_close()
 * @param path   where to start; a link there is not followed; copied
 * @param flags  0
 * @param out    out: the walk, to be closed with rafs_walk_close()
 * @param err    out, optional
 * @return RAFS_OK; as rafs_image_resolve()
 *
 * On failure *out is unchanged. Blocks on storage. Source: as rafs_image_readdir().
 * Since: 1.0.
 */
RAFS_API int rafs_walk_open(const rafs_image *image, const char *path, uint32_t flags,
                            rafs_walk **out, rafs_error *err);

/**
 * The next entry of a walk.
 *
 * @param walk   from rafs_walk_open()
 * @param entry  out: the entry, borrowed until the next call on walk; NULL at the end
 * @param err    out, optional
 * @return RAFS_OK; and what inode.h says. After an error the walk may be asked again: it
 *         goes on after the broken entry or directory, and ends at last.
 *
 * On failure *entry is NULL. Blocks on storage. Source: as rafs_image_readdir().
 * Since: 1.0.
 */
RAFS_API int rafs_walk_next(rafs_walk *walk, const rafs_walk_entry **entry,
                            rafs_error *err);

/** Do not enter the directory that rafs_walk_next() returned last. @param walk  not NULL.
 *  Never blocks. Source: none. Since: 1.0. */
RAFS_API void rafs_walk_skip(rafs_walk *walk);

/** Close a walk. @param walk  NULL does nothing. Never blocks. Source: none. Since: 1.0.
 */
RAFS_API void rafs_walk_close(rafs_walk *walk);

#ifdef __cplusplus
}
#endif
#endif
