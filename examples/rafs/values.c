/* SPDX-License-Identifier: Apache-2.0 */
/* Values whose length is not known before they are asked for. */
#include "command.h"

#include <stdlib.h>
#include <string.h>

static char *out_of_memory(rafs_error *err)
{
    rafs_error_set(err, RAFS_E_NOMEM, 0, NULL, "out of memory");
    return NULL;
}

/* The three calls share a shape: fill a buffer, or say with RANGE how much is needed. */
typedef int fill_fn(const rafs_image *image, uint64_t ino, const char *name, char *buf,
                    size_t room, size_t *len, rafs_error *err);

static int fill_target(const rafs_image *image, uint64_t ino, const char *name, char *buf,
                       size_t room, size_t *len, rafs_error *err)
{
    (void)name;
    return rafs_image_readlink(image, ino, buf, room, len, err);
}

static int fill_names(const rafs_image *image, uint64_t ino, const char *name, char *buf,
                      size_t room, size_t *len, rafs_error *err)
{
    (void)name;
    return rafs_image_list_xattr(image, ino, buf, room, len, err);
}

static int fill_value(const rafs_image *image, uint64_t ino, const char *name, char *buf,
                      size_t room, size_t *len, rafs_error *err)
{
    return rafs_image_get_xattr(image, ino, name, buf, room, len, err);
}

static char *read_whole(fill_fn *fill, const rafs_image *image, uint64_t ino,
                        const char *name, size_t *len, rafs_error *err)
{
    size_t room = 256;

    for (;;) {
        char *buf = malloc(room + 1);
        size_t need = 0;
        int rc;

        if (!buf)
            return out_of_memory(err);
        rc = fill(image, ino, name, buf, room, &need, err);
        if (rc == RAFS_OK) {
            buf[need] = '\0';
            *len = need;
            return buf;
        }
        free(buf);
        /* need < room would ask for the same again, for ever */
        if (rc != RAFS_E_RANGE || need < room)
            return NULL;
        room = need + 1;
    }
}

char *read_target(const rafs_image *image, uint64_t ino, size_t *len, rafs_error *err)
{
    return read_whole(fill_target, image, ino, NULL, len, err);
}

char *read_xattr(const rafs_image *image, uint64_t ino, const char *name, size_t *len,
                 rafs_error *err)
{
    return read_whole(fill_value, image, ino, name, len, err);
}

static int compare_names(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;

    return strcmp(*left, *right);
}

char **read_xattr_names(const rafs_image *image, uint64_t ino, size_t *count,
                        rafs_error *err)
{
    size_t len = 0, names = 0;
    char *list = read_whole(fill_names, image, ino, NULL, &len, err);
    char **array = NULL;
    char *copy;

    if (!list)
        return NULL;
    for (size_t i = 0; i < len; i++)
        names += list[i] == '\0';
    array = malloc((names + 1) * sizeof *array + len + 1);
    if (!array) {
        out_of_memory(err);
        goto out;
    }
    copy = (char *)(array + names + 1);
    memcpy(copy, list, len + 1);
    for (size_t i = 0; i < names; i++) {
        array[i] = copy;
        copy += strlen(copy) + 1;
    }
    array[names] = NULL;
    qsort(array, names, sizeof *array, compare_names);
    *count = names;
out:
    free(list);
    return array;
}

char *joined(const char *first, const char *second)
{
    size_t room = strlen(first) + strlen(second) + 1;
    char *text = malloc(room);

    if (text)
        snprintf(text, room, "%s%s", first, second);
    return text;
}
