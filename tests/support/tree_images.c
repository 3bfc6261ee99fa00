/* SPDX-License-Identifier: Apache-2.0 */
#include "tree_images.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int add(const char *root, const char *prefix, struct tree_image *images, int room)
{
    struct dirent **entries = NULL;
    int found = scandir(root, &entries, NULL, compare_names);
    int count = 0;

    for (int i = 0; i < found; i++) {
        const char *name = entries[i]->d_name;

        if (strncmp(name, prefix, strlen(prefix)) == 0 && count < room) {
            struct tree_image *image = &images[count];

            snprintf(image->name, sizeof(image->name), "%.63s", name);
            snprintf(image->boot, sizeof(image->boot), "%s/%.63s/image.boot", root, name);
            snprintf(image->listing, sizeof(image->listing), "%s/%.63s/expected.jsonl",
                     root, name);
            if (access(image->listing, R_OK) != 0)
                snprintf(image->listing, sizeof(image->listing), "%s/expected.jsonl",
                         root);
            count += access(image->boot, R_OK) == 0;
        }
        free(entries[i]);
    }
    free(entries);
    return count;
}

int tree_images_find(const char *prefix, struct tree_image *images, int room)
{
    const char *outside = getenv("RAFS_TESTDATA");
    char root[600];
    int count = add(RAFS_SOURCE_DIR "/tests/golden", prefix, images, room);

    if (!outside)
        outside = RAFS_SOURCE_DIR "/../shared/testdata";
    snprintf(root, sizeof(root), "%.500s/golden", outside);
    if (access(root, R_OK) != 0)
        fprintf(stderr, "skipped: no %s, so only the project's own images are read\n",
                root);
    return count + add(root, prefix, images + count, room - count);
}

const struct tree_image *tree_images_named(const struct tree_image *images, int count,
                                           const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(images[i].name, name) == 0)
            return &images[i];
    return NULL;
}

struct tree_bytes tree_bytes_load(const char *path)
{
    struct tree_bytes bytes = {NULL, 0};
    FILE *file = fopen(path, "rb");
    long len = -1;

    if (!file)
        return bytes;
    if (fseek(file, 0, SEEK_END) == 0)
        len = ftell(file);
    if (len > 0 && fseek(file, 0, SEEK_SET) == 0)
        bytes.at = malloc((size_t)len);
    if (bytes.at && fread(bytes.at, 1, (size_t)len, file) == (size_t)len) {
        bytes.len = (size_t)len;
    } else {
        free(bytes.at);
        bytes.at = NULL;
    }
    fclose(file);
    return bytes;
}

static int open_source(struct opened_tree *out, struct rafsi_source *source,
                       rafs_error *err)
{
    int rc = rafsi_tree_open(&out->env, source, NULL, &out->tree, err);

    if (rc < 0)
        rafsi_source_free(source);
    return rc;
}

int opened_tree_bytes(struct opened_tree *out, const void *data, size_t len,
                      rafs_error *err)
{
    struct rafsi_source *source = NULL;
    int rc;

    memset(out, 0, sizeof(*out));
    rc = rafsi_env_take(NULL, &out->env, err);
    if (rc == RAFS_OK)
        rc = rafsi_source_memory(&out->env, data, len, &source, err);
    return rc < 0 ? rc : open_source(out, source, err);
}

int opened_tree_file(struct opened_tree *out, const char *path, uint64_t cache_bytes,
                     rafs_error *err)
{
    struct rafsi_source *source = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc;

    memset(out, 0, sizeof(*out));
    rc = rafsi_env_take(NULL, &out->env, err);
    if (rc == RAFS_OK)
        rc = rafsi_source_fd(&out->env, fd, 0, 0, cache_bytes, &source, err);
    if (fd >= 0)
        close(fd);
    return rc < 0 ? rc : open_source(out, source, err);
}

void opened_tree_close(struct opened_tree *opened)
{
    rafsi_tree_close(opened->tree);
    opened->tree = NULL;
}
