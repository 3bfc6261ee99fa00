/* SPDX-License-Identifier: Apache-2.0 */

/* Content of a directory source: files of the prefetch list first, then in order. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build/source_dir.h"

/* A file that workers read. */
struct content {
    const struct rafsi_env *env;
    int fd;
    uint64_t size;
    const struct build_node *node;
};

int rafsi_feed_add(struct dir_walk *walk, struct build_inode *inode,
                   const struct stat *st, rafs_error *err)
{
    if (walk->feed_count == walk->feed_room) {
        size_t room = walk->feed_room ? walk->feed_room * 2 : 1024;
        struct dir_feed *feed = rafsi_alloc(walk->env, room * sizeof(*feed));

        if (!feed)
            return rafsi_fail_nomem(err, room * sizeof(*feed));
        if (walk->feed_count)
            memcpy(feed, walk->feed, walk->feed_count * sizeof(*feed));
        rafsi_free(walk->env, walk->feed);
        walk->feed = feed;
        walk->feed_room = room;
    }
    walk->feed[walk->feed_count++] = (struct dir_feed){
        .node = rafsi_layers_find(walk->builder->layers, walk->path, walk->path_len),
        .inode = inode,
        .device = st->st_dev,
        .number = st->st_ino};
    return RAFS_OK;
}

void rafsi_feed_free(struct dir_walk *walk)
{
    rafsi_free(walk->env, walk->feed);
}

/* The place of a file in the prefetch list: that of its nearest listed ancestor, which
 * `scratch` holds plus one. */
static size_t wanted_at(const struct build_node *node, size_t none)
{
    for (; node; node = node->parent)
        if (node->inode->scratch)
            return node->inode->scratch - 1;
    return none;
}

/* Note the places of the listed names, or forget them. */
static void mark(struct dir_walk *walk, bool set)
{
    const rafs_build_options *o = &walk->builder->options;

    for (size_t i = o->prefetch_count; i > 0; i--) {
        struct build_node *node = rafsi_layers_find(
            walk->builder->layers, o->prefetch[i - 1], strlen(o->prefetch[i - 1]));

        if (node)
            node->inode->scratch = set ? (uint32_t)i : 0;
    }
}

/* Move the files of the prefetch list to the front; both parts keep their order. */
static int put_first(struct dir_walk *walk, rafs_error *err)
{
    const rafs_build_options *o = &walk->builder->options;
    struct dir_feed *sorted = rafsi_alloc(walk->env, walk->feed_count * sizeof(*sorted));
    uint32_t *at = rafsi_alloc(walk->env, (walk->feed_count + 1) * sizeof(*at));
    size_t *starts = rafsi_alloc_zero(walk->env, (o->prefetch_count + 2) * 8);
    int rc = RAFS_OK;

    if (!sorted || !at || !starts) {
        rc = rafsi_fail_nomem(err, walk->feed_count * sizeof(*sorted));
        goto out;
    }
    mark(walk, true);
    for (size_t i = 0; i < walk->feed_count; i++) {
        at[i] = (uint32_t)wanted_at(walk->feed[i].node, o->prefetch_count);
        starts[at[i] + 1]++;
    }
    for (size_t i = 1; i <= o->prefetch_count; i++)
        starts[i] += starts[i - 1];
    for (size_t i = 0; i < walk->feed_count; i++)
        sorted[starts[at[i]]++] = walk->feed[i];
    mark(walk, false);
    memcpy(walk->feed, sorted, walk->feed_count * sizeof(*sorted));
out:
    rafsi_free(walk->env, sorted);
    rafsi_free(walk->env, at);
    rafsi_free(walk->env, starts);
    return rc;
}

static int fail_node(const struct build_node *node, int code, int os_errno,
                     const char *what, rafs_error *err)
{
    char path[180];

    rafsi_node_path(node, path, sizeof(path));
    rafsi_fail_os(err, code, RAFS_STAGE_FETCH, os_errno, NULL, "%s", what);
    return rafsi_fail_object(err, code, "path %s", path);
}

static int content_read(void *user, uint64_t offset, void *buf, size_t len,
                        rafs_error *err)
{
    const struct content *content = user;
    uint8_t *at = buf;
    uint8_t more;

    while (len > 0) {
        ssize_t n = pread(content->fd, at, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_node(content->node, RAFS_E_BACKEND, errno, "cannot be read", err);
        if (n == 0)
            return fail_node(content->node, RAFS_E_BACKEND, EAGAIN,
                             "became shorter while it was read", err);
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    if (offset == content->size && pread(content->fd, &more, 1, (off_t)offset) == 1)
        return fail_node(content->node, RAFS_E_BACKEND, EAGAIN,
                         "became longer while it was read", err);
    return RAFS_OK;
}

static void content_release(void *user)
{
    struct content *content = user;

    close(content->fd);
    rafsi_free(content->env, content);
}

/* The directory whose files come now is kept open: they come one after the other. */
struct place {
    struct dir_walk *walk;
    const struct build_node *dir;
    int fd;
};

/* Names from the root to a directory. */
static size_t names_of(const struct build_node *node, const struct build_node **names,
                       size_t room)
{
    size_t depth = 0;

    for (const struct build_node *at = node; at->parent; at = at->parent)
        depth++;
    if (depth <= room)
        for (size_t i = depth; i > 0; i--, node = node->parent)
            names[i - 1] = node;
    return depth;
}

static int enter(struct place *place, const struct build_node *dir, rafs_error *err)
{
    enum { DEPTH = 64 };
    const struct rafsi_env *env = place->walk->env;
    const struct build_node *few[DEPTH], **names = few;
    size_t depth;
    int fd;

    if (place->dir == dir)
        return RAFS_OK;
    depth = names_of(dir, few, DEPTH);
    if (depth > DEPTH) {
        names = rafsi_alloc(env, depth * sizeof(*names));
        if (!names)
            return rafsi_fail_nomem(err, depth * sizeof(*names));
        names_of(dir, names, depth);
    }
    fd = fcntl(place->walk->root_fd, F_DUPFD_CLOEXEC, 3);
    for (size_t i = 0; fd >= 0 && i < depth; i++) {
        int below =
            openat(fd, names[i]->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        close(fd);
        fd = below;
    }
    if (names != few)
        rafsi_free(env, names);
    if (fd < 0)
        return fail_node(dir, RAFS_E_BACKEND, errno, "cannot be opened again", err);
    if (place->fd >= 0)
        close(place->fd);
    place->fd = fd;
    place->dir = dir;
    return RAFS_OK;
}

/* Files that workers have still to read take descriptors: once they are through, there
 * are some. */
static int open_waiting(struct place *place, const struct build_node *node,
                        const rafs_call *call, rafs_error *err)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = openat(place->fd, node->name, flags);
    int rc;

    if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
        return fd >= 0 ? fd
                       : fail_node(node, RAFS_E_BACKEND, errno, "cannot be opened", err);
    rc = rafsi_data_flush(place->walk->builder->data, call, err);
    if (rc < 0)
        return rc;
    fd = openat(place->fd, node->name, flags);
    return fd >= 0 ? fd : fail_node(node, RAFS_E_BACKEND, errno, "cannot be opened", err);
}

static int open_file(struct place *place, const struct dir_feed *feed,
                     struct rafsi_content *out, const rafs_call *call, rafs_error *err)
{
    struct stat st;
    struct content *content;
    int rc = enter(place, feed->node->parent, err);
    int fd;

    if (rc < 0)
        return rc;
    fd = open_waiting(place, feed->node, call, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_dev != feed->device ||
        st.st_ino != feed->number || (uint64_t)st.st_size != feed->inode->size) {
        close(fd);
        return fail_node(feed->node, RAFS_E_BACKEND, EAGAIN,
                         "was changed since the directory was listed", err);
    }
    content = rafsi_alloc(place->walk->env, sizeof(*content));
    if (!content) {
        close(fd);
        return rafsi_fail_nomem(err, sizeof(*content));
    }
    *content = (struct content){
        .env = place->walk->env, .fd = fd, .size = feed->inode->size, .node = feed->node};
    *out = (struct rafsi_content){
        .user = content, .read = content_read, .release = content_release};
    return RAFS_OK;
}

int rafsi_feed_all(struct dir_walk *walk, const rafs_call *call, rafs_error *err)
{
    struct place place = {.walk = walk, .fd = -1};
    int rc = RAFS_OK;

    if (walk->builder->options.prefetch_count && walk->feed_count)
        rc = put_first(walk, err);
    for (size_t i = 0; rc == RAFS_OK && i < walk->feed_count; i++) {
        struct rafsi_content content;

        rc = rafsi_builder_tick(walk->builder, call, err);
        if (rc == RAFS_OK)
            rc = open_file(&place, &walk->feed[i], &content, call, err);
        if (rc == RAFS_OK)
            rc = rafsi_data_file(walk->builder->data, walk->feed[i].inode, &content, call,
                                 err);
    }
    /* What workers still read is told in paths of the tree, which stays. */
    if (place.fd >= 0)
        close(place.fd);
    return rc;
}
