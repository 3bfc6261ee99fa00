/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

/*
 * librafs in this process against the same image mounted by somebody else (`plain_dir` is
 * the mount point): listing the tree with attributes, and reading all files. Not the same
 * thing: a mount serves programs that know nothing of images, and pays for the kernel.
 */

struct tree {
    struct bench *bench;
    const char *mount;
    struct files files;
    char *buf;
    uint64_t entries;
};

enum { PIECE = 1 << 20 };

static void walk_ours(void *work)
{
    struct tree *tree = work;
    rafs_error err = RAFS_ERROR_INIT;
    const rafs_walk_entry *entry;
    rafs_walk *walk;

    must(rafs_walk_open(tree->bench->image, "/", 0, &walk, &err), &err, "walk");
    tree->entries = 0;
    do {
        must(rafs_walk_next(walk, &entry, &err), &err, "walk");
        tree->entries += entry != NULL;
    } while (entry);
    rafs_walk_close(walk);
}

/* Depth first; few descriptors: directories are closed before those below are opened. */
static void walk_dir(struct tree *tree, const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char **below = NULL;
    size_t count = 0;

    must_os(dir != NULL, path);
    while ((entry = readdir(dir))) {
        struct stat st;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        must_os(fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0, path);
        tree->entries++;
        if (!S_ISDIR(st.st_mode))
            continue;
        below = realloc(below, (count + 1) * sizeof(*below));
        must_os(below != NULL, "realloc");
        must_os(asprintf(&below[count++], "%s/%s", path, entry->d_name) > 0, "asprintf");
    }
    closedir(dir);
    for (size_t i = 0; i < count; i++) {
        walk_dir(tree, below[i]);
        free(below[i]);
    }
    free(below);
}

static void walk_mount(void *work)
{
    struct tree *tree = work;

    tree->entries = 1;
    walk_dir(tree, tree->mount);
}

static void read_ours(void *work)
{
    struct tree *tree = work;
    rafs_error err = RAFS_ERROR_INIT;

    for (size_t i = 0; i < tree->files.count; i++) {
        const struct file *file = &tree->files.at[i];
        uint64_t ino;
        size_t n;

        must(rafs_image_resolve(tree->bench->image, file->path, 0, &ino, &err), &err,
             file->path);
        for (uint64_t at = 0; at < file->size; at += n)
            must(rafs_image_read(tree->bench->image, ino, at, PIECE, tree->buf, &n, NULL,
                                 &err),
                 &err, file->path);
    }
}

static void read_mount(void *work)
{
    struct tree *tree = work;

    for (size_t i = 0; i < tree->files.count; i++) {
        const struct file *file = &tree->files.at[i];
        char path[4096];
        int fd;

        snprintf(path, sizeof(path), "%s%s", tree->mount, file->path);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        must_os(fd >= 0, path);
        for (uint64_t at = 0; at < file->size;) {
            ssize_t n = read(fd, tree->buf, PIECE);

            must_os(n > 0, path);
            at += (uint64_t)n;
        }
        close(fd);
    }
}

static void say_once(const char *name, double amount, double ours, double peer,
                     const char *unit)
{
    printf("RATIO\t%s\t%.6g\t%.6g\t%s\t%.3f\n", name, amount / ours, amount / peer, unit,
           peer / ours);
    fflush(stdout);
}

static double timed(void (*run)(void *), struct tree *tree)
{
    double start = now();

    run(tree);
    return now() - start;
}

void bench_tree(struct bench *bench)
{
    struct tree tree = {.bench = bench, .mount = bench->plain_dir};
    double ours, peer;

    tree.buf = must_alloc(PIECE);
    memset(tree.buf, 1, PIECE);
    peer = timed(walk_mount, &tree);
    open_image(bench);
    ours = timed(walk_ours, &tree);
    say_once("mount: list, first", (double)tree.entries / 1e3, ours, peer, "k/s");
    list_files(bench, &tree.files);
    peer = timed(read_mount, &tree);
    ours = timed(read_ours, &tree);
    say_once("mount: read, first", (double)tree.files.bytes / 1e6, ours, peer, "MB/s");
    compete(bench, "mount: list, again", (double)tree.entries / 1e3, "k/s", walk_ours,
            walk_mount, &tree);
    compete(bench, "mount: read, again", (double)tree.files.bytes / 1e6, "MB/s",
            read_ours, read_mount, &tree);
    close_image(bench);
    free_files(&tree.files);
    free(tree.buf);
}
