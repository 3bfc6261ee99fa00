/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "build/layers_impl.h"

int rafsi_layers_refuse(rafs_error *err, int code, const char *path, size_t path_len,
                        const char *format, ...)
{
    char object[sizeof(err->object)];
    char text[sizeof(err->text)];
    size_t len = rafsi_min(path_len, sizeof(object) - 1);
    va_list args;

    if (len != 0)
        memcpy(object, path, len);
    object[len] = '\0';
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return rafsi_fail(err, code, RAFS_STAGE_METADATA, object, "%s", text);
}

struct path rafsi_path_of(const char *path, size_t len)
{
    return (struct path){path, path + len, {NULL, 0}, false};
}

/* Past "/" and "." */
static void skip_nothing(struct path *path)
{
    while (path->at < path->end) {
        if (path->at[0] == '.' && (path->end - path->at == 1 || path->at[1] == '/'))
            path->at++;
        else if (path->at[0] == '/')
            path->at++;
        else
            break;
    }
}

bool rafsi_path_next(struct path *path)
{
    const char *slash;

    skip_nothing(path);
    path->name = (struct name){path->at, 0};
    if (path->at == path->end)
        return false;
    slash = memchr(path->at, '/', (size_t)(path->end - path->at));
    path->name.len = (size_t)((slash ? slash : path->end) - path->at);
    path->at += path->name.len;
    skip_nothing(path);
    path->last = path->at == path->end;
    return true;
}

int rafsi_path_check(const char *path, size_t len, rafs_error *err)
{
    struct path parts = rafsi_path_of(path, len);
    unsigned depth = 0;

    if (len == 0)
        return rafsi_layers_refuse(err, RAFS_E_CORRUPT, path, len,
                                   "an entry has no name");
    if (len > RAFS_PATH_MAX)
        return rafsi_layers_refuse(err, RAFS_E_LIMIT, path, len,
                                   "a path of %zu bytes; %d are allowed", len,
                                   RAFS_PATH_MAX);
    if (memchr(path, '\0', len))
        return rafsi_layers_refuse(err, RAFS_E_CORRUPT, path, len,
                                   "a zero byte lies in the path");
    while (rafsi_path_next(&parts)) {
        if (parts.name.len == 2 && memcmp(parts.name.at, "..", 2) == 0)
            return rafsi_layers_refuse(err, RAFS_E_CORRUPT, path, len,
                                       "\"..\" in a path leads out of its directory");
        if (parts.name.len > RAFS_NAME_MAX)
            return rafsi_layers_refuse(err, RAFS_E_CORRUPT, path, len,
                                       "a name of %zu bytes; %d are allowed",
                                       parts.name.len, RAFS_NAME_MAX);
        if (++depth > RAFS_DEPTH_MAX)
            return rafsi_layers_refuse(err, RAFS_E_LIMIT, path, len,
                                       "more than %d directories below each other",
                                       RAFS_DEPTH_MAX);
    }
    return RAFS_OK;
}

/* From a directory into one below it. A lower layer's link or file is hidden by the
 * directory that the path needs: that is what the kernel's overlay shows of a layer that
 * was unpacked by itself, and no link is ever followed. */
static int step(struct rafsi_layers *layers, struct build_node *parent, struct name name,
                struct build_node **out, const char *path, size_t len, rafs_error *err)
{
    struct build_node *node = rafsi_table_find(layers, parent, name);

    if (node && rafsi_is_dir(node)) {
        node->index = rafsi_stamp(layers);
        *out = node;
        return RAFS_OK;
    }
    if (node && node->layer == layers->layer)
        return rafsi_layers_refuse(
            err, RAFS_E_CORRUPT, path, len,
            "the path goes through \"%.*s\", which is no directory in the same layer",
            (int)name.len, name.at);
    return rafsi_node_imply(layers, parent, name, out, err);
}

int rafsi_path_parent(struct rafsi_layers *layers, const char *path, size_t len,
                      struct build_node **parent, struct name *name, rafs_error *err)
{
    struct path parts = rafsi_path_of(path, len);
    struct build_node *at = layers->image->root;
    int rc = rafsi_path_check(path, len, err);

    while (rc == RAFS_OK && rafsi_path_next(&parts) && !parts.last) {
        int kind = rafsi_name_kind(layers, parts.name);

        if (kind == NAME_LEFT_OUT) {
            *parent = NULL;
            return RAFS_OK;
        }
        if (kind != NAME_PLAIN)
            return rafsi_layers_refuse(err, RAFS_E_CORRUPT, path, len,
                                       "something lies below a whiteout");
        rc = step(layers, at, parts.name, &at, path, len, err);
    }
    if (rc < 0)
        return rc;
    layers->image->root->index = rafsi_stamp(layers);
    *parent = at;
    *name = parts.name;
    return RAFS_OK;
}

int rafsi_layers_imply(struct rafsi_layers *layers, const char *path, size_t path_len,
                       rafs_error *err)
{
    struct build_node *parent, *node;
    struct name name;
    int rc = rafsi_path_parent(layers, path, path_len, &parent, &name, err);

    if (rc < 0 || !parent || name.len == 0 || rafsi_name_kind(layers, name) != NAME_PLAIN)
        return rc;
    return step(layers, parent, name, &node, path, path_len, err);
}

struct build_node *rafsi_layers_find(struct rafsi_layers *layers, const char *path,
                                     size_t path_len)
{
    struct path parts = rafsi_path_of(path, path_len);
    struct build_node *node = layers->image->root;

    while (node && rafsi_path_next(&parts))
        node = parts.name.len <= RAFS_NAME_MAX && rafsi_is_dir(node)
                   ? rafsi_table_find(layers, node, parts.name)
                   : NULL;
    return node;
}
