/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BUILD_GROW_H
#define TESTS_BUILD_GROW_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "build/layers.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* An image that has a tree and nothing else. */
struct grown {
    struct build_image image;
    struct rafsi_layers *layers;
};

static inline int grow_init(struct grown *grown, const rafs_env *env, uint32_t flags,
                            rafs_error *err)
{
    int rc = RAFS_OK;

    memset(grown, 0, sizeof(*grown));
    if (rafsi_env_take(env, &grown->image.env, err) < 0)
        return err->code;
    grown->image.chunk_size = 4096;
    rafsi_arena_init(&grown->image.arena, &grown->image.env);
    rc = rafsi_layers_new(&grown->image, flags, &grown->layers, err);
    if (rc < 0)
        rafsi_arena_free(&grown->image.arena);
    return rc;
}

static inline void grow_done(struct grown *grown)
{
    rafsi_layers_free(grown->layers);
    rafsi_arena_free(&grown->image.arena);
}

static inline struct layers_entry entry_of(const char *path, size_t len, uint32_t mode,
                                           uint32_t tag)
{
    return (struct layers_entry){
        path, len, {.mode = mode, .uid = tag, .size = S_ISREG(mode) ? tag : 0}};
}

/*
 * Add what a word says; tag is its uid:
 *   a/b    file        a/b/   directory     a@t    symbolic link to t
 *   a!     fifo        a%     device        a=t    hard link to t
 */
static inline int grow_word(struct grown *grown, const char *word, size_t len,
                            uint32_t tag, rafs_error *err)
{
    size_t mark = strcspn(word, "@!%=");
    struct layers_entry entry;
    struct build_inode *inode;
    char target[64];

    mark = mark < len ? mark : len;
    if (mark < len && word[mark] == '=')
        return rafsi_layers_link(grown->layers, word, mark, word + mark + 1,
                                 len - mark - 1, err);
    entry = entry_of(word, mark, S_IFREG | 0644, tag);
    if (mark == len && word[len - 1] == '/')
        entry.inode.mode = S_IFDIR | 0755;
    if (mark < len && word[mark] == '!')
        entry.inode.mode = S_IFIFO | 0644;
    if (mark < len && word[mark] == '%')
        entry.inode.mode = S_IFCHR | 0644;
    if (mark < len && word[mark] == '@') {
        snprintf(target, sizeof(target), "%.*s", (int)(len - mark - 1), word + mark + 1);
        entry.inode.mode = S_IFLNK | 0777;
        entry.inode.target = target;
    }
    return rafsi_layers_add(grown->layers, &entry, &inode, err);
}

/* The tree as words in depth-first order, each with the tag of what it is: "a/:1 a/b:2".
 * A hard link shows how many names it has: "a:1*2". Owner 0 is not shown: "a/". */
static inline void grow_show(const struct grown *grown, char *out, size_t room)
{
    const struct build_node *node = grown->image.root;
    size_t at = 0;

    out[0] = '\0';
    for (node = rafsi_depth_next(node); node; node = rafsi_depth_next(node)) {
        const struct build_inode *inode = node->inode;
        char path[4096], tag[16] = "", links[16] = "";

        rafsi_node_path(node, path, sizeof(path));
        if (inode->uid != 0)
            snprintf(tag, sizeof(tag), ":%u", inode->uid);
        if (!S_ISDIR(inode->mode) && inode->nlink != 1)
            snprintf(links, sizeof(links), "*%u", inode->nlink);
        at += (size_t)snprintf(out + at, room - at, "%s%s%s%s%s%s%s", at ? " " : "",
                               path + 1, S_ISDIR(inode->mode) ? "/" : "",
                               S_ISLNK(inode->mode) ? "@" : "",
                               S_ISLNK(inode->mode) ? inode->target : "", tag, links);
        if (at >= room)
            return;
    }
}

static inline int grow_suite(void (*add)(TCase *))
{
    Suite *suite = suite_create("build");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    add(tcase);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
