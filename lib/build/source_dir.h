/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_BUILD_SOURCE_DIR_H
#define RAFSI_BUILD_SOURCE_DIR_H

/* What the parts of the directory source share. */

#include <sys/stat.h>

#include "build/builder.h"

/* Names of a directory, sorted by their bytes. */
struct dir_level {
    struct dir_level *up;
    int fd; /* -1: closed, to be opened again */
    uint32_t depth;
    size_t path_len; /* of its path in dir_walk.path */
    size_t count;
    size_t next;
    const char *names[]; /* behind them: the texts */
};

/* Inodes with more names than one, by device and number. */
struct dir_links {
    struct dir_link {
        uint64_t device;
        uint64_t number;
        struct build_inode *inode; /* NULL: a free place */
    } * at;
    size_t room; /* a power of two, or 0 */
    size_t count;
};
struct build_inode *rafsi_dir_links_find(const struct dir_links *links, uint64_t device,
                                         uint64_t number);
int rafsi_dir_links_add(struct dir_links *links, const struct rafsi_env *env,
                        uint64_t device, uint64_t number, struct build_inode *inode,
                        rafs_error *err);
void rafsi_dir_links_free(struct dir_links *links, const struct rafsi_env *env);

/* A file whose content is to come. */
struct dir_feed {
    struct build_node *node; /* its path */
    struct build_inode *inode;
    uint64_t device;
    uint64_t number;
};

struct dir_walk {
    rafs_builder *builder;
    const struct rafsi_env *env;
    const char *root;
    int root_fd;
    uint64_t device; /* of the root */
    struct dir_level *level;
    char *path; /* "/a/b" of what is looked at; "" for the root */
    size_t path_len, path_room;
    char target[4097];
    char *xattr_text; /* names, then values */
    size_t xattr_room;
    struct build_xattr *xattrs;
    uint32_t xattrs_room;
    struct dir_links links;
    struct dir_feed *feed;
    size_t feed_count, feed_room;
};

/* source_dir_read.c. */
int rafsi_level_read(struct dir_walk *walk, int fd, struct dir_level **out,
                     rafs_error *err); /* takes fd when it succeeds */
int rafsi_dir_reopen(struct dir_walk *walk, struct dir_level *level, rafs_error *err);
int rafsi_dir_xattrs(struct dir_walk *walk, int dir, const char *name,
                     struct build_inode *inode, rafs_error *err);

/* source_dir_feed.c. */
int rafsi_feed_add(struct dir_walk *walk, struct build_inode *inode,
                   const struct stat *st, rafs_error *err);
int rafsi_feed_all(struct dir_walk *walk, const rafs_call *call, rafs_error *err);
void rafsi_feed_free(struct dir_walk *walk);

#endif
