/* SPDX-License-Identifier: Apache-2.0 */
#include "extract_paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The path of a directory, with room behind it for "/", a name and a NUL. */
static char *directory_path(struct command *c, uint64_t ino, rafs_error *err)
{
    char probe[1];
    size_t len = 0, room;
    char *path;
    int rc = rafs_image_get_path(c->image, ino, probe, 0, &len, command_call(c), err);

    if (rc != RAFS_E_RANGE)
        return NULL;
    room = len + RAFS_NAME_MAX + 2;
    path = malloc(room);
    if (!path) {
        rafs_error_set(err, RAFS_E_NOMEM, ENOMEM, "", "out of memory");
        return NULL;
    }
    if (rafs_image_get_path(c->image, ino, path, room, &len, command_call(c), err) < 0) {
        free(path);
        return NULL;
    }
    return path;
}

/* Where a path leads: links on the way are followed, one at its end is itself chosen. */
static char *true_path(struct command *c, const char *arg, rafs_error *err)
{
    const char *slash = strrchr(arg, '/');
    const char *name = slash ? slash + 1 : arg;
    char *parent, *path;
    uint64_t ino;

    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        /* It names a directory by something else than its name. */
        if (rafs_image_resolve(c->image, arg, 0, &ino, err) < 0)
            return NULL;
        return directory_path(c, ino, err);
    }
    parent = strndup(arg, (size_t)(name - arg));
    if (!parent) {
        rafs_error_set(err, RAFS_E_NOMEM, ENOMEM, "", "out of memory");
        return NULL;
    }
    path = NULL;
    if (rafs_image_resolve(c->image, arg, RAFS_RESOLVE_NOFOLLOW, &ino, err) == RAFS_OK &&
        rafs_image_resolve(c->image, parent, 0, &ino, err) == RAFS_OK)
        path = directory_path(c, ino, err);
    if (path) {
        if (strcmp(path, "/") != 0)
            strcat(path, "/");
        strcat(path, name);
    }
    free(parent);
    return path;
}

/* The order of a walk: as bytes, but a slash before everything, so that what lies below a
 * directory follows it at once. */
static int walk_order(const void *a, const void *b)
{
    const unsigned char *x = *(const unsigned char *const *)a;
    const unsigned char *y = *(const unsigned char *const *)b;

    while (*x && *x == *y) {
        x++;
        y++;
    }
    if (*x == *y)
        return 0;
    if (*x == '\0' || *y == '\0')
        return *x == '\0' ? -1 : 1;
    if (*x == '/' || *y == '/')
        return *x == '/' ? -1 : 1;
    return *x < *y ? -1 : 1;
}

static bool lies_below(const char *path, const char *directory)
{
    size_t len = strcmp(directory, "/") == 0 ? 0 : strlen(directory);

    return strncmp(path, directory, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static void drop_nested(struct selection *selection)
{
    size_t kept = 0, i;

    for (i = 0; i < selection->count; i++) {
        if (kept > 0 && lies_below(selection->paths[i], selection->paths[kept - 1]))
            free(selection->paths[i]);
        else
            selection->paths[kept++] = selection->paths[i];
    }
    selection->count = kept;
}

void selection_make(struct command *c, char **args, size_t count,
                    struct selection *selection)
{
    char root[] = "/", *whole[] = {root};
    size_t i;

    if (count == 0) {
        args = whole;
        count = 1;
    }
    selection->paths = calloc(count, sizeof *selection->paths);
    if (!selection->paths) {
        command_say(c, EXIT_SOURCE, "out of memory");
        return;
    }
    for (i = 0; i < count; i++) {
        rafs_error err = RAFS_ERROR_INIT;
        char *path = true_path(c, args[i], &err);

        if (path)
            selection->paths[selection->count++] = path;
        else
            command_failed(c, args[i], &err);
    }
    qsort(selection->paths, selection->count, sizeof *selection->paths, walk_order);
    drop_nested(selection);
}

void selection_free(struct selection *selection)
{
    size_t i;

    for (i = 0; i < selection->count; i++)
        free(selection->paths[i]);
    free(selection->paths);
    *selection = (struct selection)SELECTION_INIT;
}
