/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_TREE_H
#define RAFSI_TREE_H

/*
 * The door of tree: structs to names. Path lookup, directories, links, attributes and the
 * chunk list of a file, for both versions behind one table of functions. Knows the blob
 * table but no blobs.
 *
 * After rafsi_tree_open() a tree never changes, apart from the v6 chunk index, which is
 * made once when first needed. Any number of threads use it without a lock.
 */

#include "base/base.h"
#include "format/format.h"
#include "rafs/dir.h"
#include "rafs/inode.h"
#include "rafs/limits.h"
#include "rafs/read.h"

struct rafsi_tree;

/* What the super block says. */
struct rafsi_super {
    uint32_t version; /* 5 or 6 */
    uint64_t flags;
    uint64_t inodes; /* as claimed */
    uint64_t root;
    uint32_t chunk_size;
    uint32_t block_size;
    uint32_t compressor;
    uint32_t digest_algorithm;
    uint32_t blob_count;
    uint32_t prefetch_count;
    bool moved; /* v6: see v6_super */
};

/* An inode with what its version needs to go on from it. A plain value. */
struct rafsi_node {
    rafs_attr attr;
    uint64_t at; /* position of its record in the bootstrap */
    union {
        struct v5_inode v5;
        struct v6_inode v6;
    };
};

/* One name of a directory. */
struct rafsi_name {
    uint64_t ino;
    uint64_t next; /* opaque offset of the next entry */
    uint32_t type; /* S_IFMT bits as the directory says; v5: as the inode says */
    uint32_t len;
    char name[RAFS_NAME_MAX + 1];
};

/* One extended attribute: its value lies in the bootstrap. */
struct rafsi_xattr {
    char name[RAFS_XATTR_NAME_MAX + 1]; /* full name with its namespace */
    uint32_t name_len;
    uint32_t value_len;
    uint64_t value_at;
};

/* The chunk or hole that holds a byte of a file. */
struct rafsi_chunk {
    uint64_t file_offset; /* where it begins in the file */
    uint64_t length;      /* its bytes in the file; of a chunk: its uncompressed size */
    bool hole;
    bool no_record; /* v6: the chunk table has no such chunk: only blob, index and
                       uncompressed_offset are known, the digest is not */
    struct chunk_record record;
    uint32_t digest_algorithm;
    uint32_t compressor;
};

struct rafsi_tree_ops {
    /* Inode by number. RAFS_E_BADARG: none of this image's. */
    int (*node)(const struct rafsi_tree *tree, uint64_t ino, struct rafsi_node *out,
                rafs_error *err);
    /* Name in a directory; never "." or "..". RAFS_E_NOENT without touching err's text.
     */
    int (*lookup)(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                  const char *name, size_t len, uint64_t *ino, rafs_error *err);
    /* Directory that a directory says it lies in; the root's is the root. */
    int (*parent)(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                  uint64_t *ino, rafs_error *err);
    /* The entry at an offset, 0 being the first; "." and ".." are left out. *end at the
     * end. Names come in strictly ascending order of their bytes or not at all. If an
     * entry is broken, out->next may still be set, so that a walk can go on after it. */
    int (*entry)(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                 uint64_t offset, struct rafsi_name *out, bool *end, rafs_error *err);
    /* Part of a link's target: exactly len bytes from offset. */
    int (*target)(const struct rafsi_tree *tree, const struct rafsi_node *link,
                  uint64_t offset, size_t len, char *out, rafs_error *err);
    /* The attribute at an opaque offset, 0 being the first; *offset moves on. */
    int (*xattr)(const struct rafsi_tree *tree, const struct rafsi_node *node,
                 uint64_t *offset, struct rafsi_xattr *out, bool *end, rafs_error *err);
    /* The chunk or hole that holds byte `offset` of a regular file, offset < size. */
    int (*chunk)(const struct rafsi_tree *tree, const struct rafsi_node *file,
                 uint64_t offset, struct rafsi_chunk *out, rafs_error *err);
    /* A name of a non-directory and the directory that holds it, where the format says so
     * (v5); NULL where it does not (v6). */
    int (*where)(const struct rafsi_tree *tree, const struct rafsi_node *node,
                 uint64_t *dir, struct rafsi_name *out, rafs_error *err);
    /* Entry i of the prefetch table. */
    int (*prefetch)(const struct rafsi_tree *tree, uint32_t i, uint64_t *ino,
                    rafs_error *err);
    /* What a check of the whole tree looks at beyond what the functions above see, once
     * for each inode, each directory's children included; NULL: nothing. */
    int (*check)(const struct rafsi_tree *tree, struct rafsi_hashes *hashes,
                 const struct rafsi_node *node, rafs_error *err);
    /* Frees the tree and all that it has, but not its source. */
    void (*close)(struct rafsi_tree *tree);
};

/* Shared by the versions, which put their own state behind it. */
struct rafsi_tree {
    struct rafsi_env env;
    const struct rafsi_tree_ops *ops;
    struct rafsi_source *source;
    struct rafsi_super super;
    struct blob_record *blobs; /* super.blob_count of them */
    rafs_limits limits;        /* with defaults filled in */
    uint64_t entries_max;      /* more names than this cannot be in the image */
    struct rafsi_homes *homes; /* NULL: nothing is remembered */
};

/* tree.c. Open: reads super block and tables. Takes source when it succeeds. */
int rafsi_tree_open(const struct rafsi_env *env, struct rafsi_source *source,
                    const rafs_limits *limits, struct rafsi_tree **out, rafs_error *err);
void rafsi_tree_close(struct rafsi_tree *tree);
/* hold.c: the same tree on a copy of its bootstrap in memory. */
int rafsi_tree_hold(const struct rafsi_tree *tree, const rafs_call *call,
                    struct rafsi_tree **out, rafs_error *err);

/* v5_tree.c, v6_tree.c: the same, once the version is known; source not taken on failure.
 */
int rafsi_v5_open(const struct rafsi_env *env, struct rafsi_source *source,
                  const rafs_limits *limits, struct rafsi_tree **out, rafs_error *err);
int rafsi_v6_open(const struct rafsi_env *env, struct rafsi_source *source,
                  const rafs_limits *limits, struct rafsi_tree **out, rafs_error *err);

/* v6_chunk.c: the chunk table, record by record, each checked against its blob; 0 records
 * in v5. For checks of a whole image. */
uint64_t rafsi_v6_chunk_count(const struct rafsi_tree *tree);
int rafsi_v6_chunk_at(const struct rafsi_tree *tree, uint64_t i, struct chunk_record *out,
                      rafs_error *err);
/* The record of a chunk by its blob and number; RAFS_E_NOENT if the table has none. */
int rafsi_v6_chunk_of(const struct rafsi_tree *tree, uint32_t blob, uint32_t chunk,
                      struct chunk_record *out, rafs_error *err);
/* The number of a chunk's record, if it has one. */
int rafsi_v6_chunk_find(const struct rafsi_tree *tree, uint32_t blob, uint32_t chunk,
                        bool *found, uint64_t *number, rafs_error *err);

/* v6_place.c: the chunks of blobs by where they lie in them, uncompressed. Made when
 * first wanted, then as long-lived as the tree. whole: of every blob, by a walk through
 * all files if there has to be one; else of those chunks that have records. */
struct v6_places;
struct rafsi_v6_place {
    uint64_t offset;
    uint32_t size;
    bool overlaps; /* another chunk that is not the same lies there too */
};
int rafsi_v6_places(const struct rafsi_tree *tree, bool whole, const rafs_call *call,
                    const struct v6_places **out, rafs_error *err);
/* Are all chunks of the blob there, so that nothing lies between them? */
bool rafsi_v6_places_whole(const struct v6_places *places, uint32_t blob);
/* The first chunk of a blob that ends behind offset, and the end of its chunks. */
uint32_t rafsi_v6_place_from(const struct v6_places *places, uint32_t blob,
                             uint64_t offset);
uint32_t rafsi_v6_place_end(const struct v6_places *places, uint32_t blob);
struct rafsi_v6_place rafsi_v6_place(const struct v6_places *places, uint32_t i);
/* file_offset is 0: which files have it is not known. */
int rafsi_v6_place_chunk(const struct rafsi_tree *tree, const struct v6_places *places,
                         uint32_t i, struct rafsi_chunk *out, rafs_error *err);

/* v6_owner.c: the file that has the chunk that begins at a byte of a blob, where it does
 * in the file, and the file's directory. A hint, and not before somebody published what
 * a walk found. */
struct v6_owners;
void rafsi_v6_owners_publish(const struct rafsi_tree *tree, struct v6_owners *owners);
bool rafsi_v6_owner(const struct rafsi_tree *tree, uint32_t blob, uint64_t offset,
                    struct rafsi_node *file, uint64_t *file_offset, uint64_t *dir);

/* tree.c: the operations with the checks that both versions share, and "bootstrap" as the
 * object of errors without one. */
int rafsi_tree_node(const struct rafsi_tree *tree, uint64_t ino, struct rafsi_node *out,
                    rafs_error *err);
/* A node that has to be a directory (RAFS_E_NOTDIR). */
int rafsi_tree_dir(const struct rafsi_tree *tree, uint64_t ino, struct rafsi_node *out,
                   rafs_error *err);
/* A node that has to be a regular file (RAFS_E_ISDIR, RAFS_E_BADARG). */
int rafsi_tree_file(const struct rafsi_tree *tree, uint64_t ino, struct rafsi_node *out,
                    rafs_error *err);
/* Understands "." and ".."; ".." of the root is the root. Name of 1 to 255 bytes. */
int rafsi_tree_lookup(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                      const char *name, size_t len, uint64_t *ino, rafs_error *err);
/* home.c: the directory in which an inode was looked up not long ago. A hint that may be
 * wrong: whoever uses it looks for the inode there. 0: not known. */
int rafsi_homes_new(struct rafsi_tree *tree, rafs_error *err);
void rafsi_home_note(const struct rafsi_tree *tree, uint64_t dir, uint64_t ino);
uint64_t rafsi_home_of(const struct rafsi_tree *tree, uint64_t ino);
int rafsi_tree_entry(const struct rafsi_tree *tree, const struct rafsi_node *dir,
                     uint64_t offset, struct rafsi_name *out, bool *end, rafs_error *err);
int rafsi_tree_readlink(const struct rafsi_tree *tree, const struct rafsi_node *link,
                        char *buf, size_t room, size_t *len, rafs_error *err);
int rafsi_tree_list_xattr(const struct rafsi_tree *tree, const struct rafsi_node *node,
                          char *buf, size_t room, size_t *len, rafs_error *err);
int rafsi_tree_get_xattr(const struct rafsi_tree *tree, const struct rafsi_node *node,
                         const char *name, void *buf, size_t room, size_t *len,
                         rafs_error *err);
int rafsi_tree_chunk(const struct rafsi_tree *tree, const struct rafsi_node *file,
                     uint64_t offset, struct rafsi_chunk *out, rafs_error *err);
int rafsi_tree_prefetch(const struct rafsi_tree *tree, uint32_t first, uint64_t *inos,
                        size_t room, size_t *count, rafs_error *err);

/* resolve.c: as rafs_image_resolve(). */
int rafsi_tree_resolve(const struct rafsi_tree *tree, const char *path, uint32_t flags,
                       uint64_t *ino, rafs_error *err);

/* walk.c: as rafs_walk_…, on a tree. Entering a directory checks that it says it lies in
 * the one it was found in, and the number of names is bounded by tree->entries_max, so
 * that neither a loop nor a directory with two names makes a walk without end. */
struct rafsi_walk;
int rafsi_walk_new(const struct rafsi_tree *tree, const char *path,
                   struct rafsi_walk **out, rafs_error *err);
int rafsi_walk_step(struct rafsi_walk *walk, const rafs_walk_entry **entry,
                    rafs_error *err);
void rafsi_walk_prune(struct rafsi_walk *walk);
/* The inode of the entry that the last step gave. */
const struct rafsi_node *rafsi_walk_node(const struct rafsi_walk *walk);
void rafsi_walk_free(struct rafsi_walk *walk);

/* path.c: as rafs_image_get_path(). */
int rafsi_tree_path(const struct rafsi_tree *tree, uint64_t ino, char *buf, size_t room,
                    size_t *len, const rafs_call *call, rafs_error *err);

/*
 * check.c: metadata invariants of a whole tree. Calls `finding` for each problem and goes
 * on; calls `file` for each regular file once (hard links too: once), so that its chunks
 * can be looked at; calls `tick` now and then (inodes so far), which may stop the check
 * by returning a code other than RAFS_OK.
 */
struct rafsi_tree_visitor {
    void *user;
    void (*finding)(void *user, const rafs_error *finding);
    int (*file)(void *user, const struct rafsi_node *file, const char *path,
                rafs_error *err);
    int (*tick)(void *user, uint64_t inodes, rafs_error *err);
};
int rafsi_tree_check(const struct rafsi_tree *tree, struct rafsi_hashes *hashes,
                     const struct rafsi_tree_visitor *visitor, rafs_error *err);

/* v6_kernel.c: does an image of version 6 hold what Linux takes for granted of it? The
 * first that it does not is the error. Goes through all of it. */
int rafsi_v6_kernel_check(const struct rafsi_tree *tree, const rafs_call *call,
                          rafs_error *err);

/* fence.c: entries of chunk arrays by the chunk that they lead to, for a bootstrap whose
 * copy is changed while it is mounted; see rafs/fence.h.
 * Of one blob, sorted: block in the blob << 32 | place of the entry / 8. */
struct fence_entries {
    uint64_t *items;
    uint64_t count;
    uint64_t room;
    /* Files whose chunks lie one after the other, so that the kernel looks at the first
     * entry alone: in the same order, with the bytes of the whole. */
    struct fence_run {
        uint64_t item;
        uint64_t bytes;
    } * runs;
    uint64_t run_count;
    uint64_t run_room;
};

/* All entries of an image of version 6, one array for each blob; to be freed with
 * rafsi_fence_entries_free() in any case. *owners is for rafsi_v6_owners_publish(), of
 * this tree or one that was held; NULL: there was no room for them. */
int rafsi_fence_collect(const struct rafsi_tree *tree, const rafs_call *call,
                        struct fence_entries *blobs, struct v6_owners **owners,
                        rafs_error *err);
void rafsi_fence_entries_free(const struct rafsi_tree *tree, struct fence_entries *blobs);

/* The first item of a chunk at or behind this byte of the blob. */
uint64_t rafsi_fence_first(const struct fence_entries *blob, uint64_t offset);
static inline uint64_t rafsi_fence_offset(uint64_t item)
{
    return (item >> 32) * V6_BLOCK_BYTES;
}
static inline uint64_t rafsi_fence_entry_at(uint64_t item)
{
    return (item & UINT32_MAX) * V6_CHUNK_ADDR_BYTES;
}

#endif
