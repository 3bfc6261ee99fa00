/* SPDX-License-Identifier: Apache-2.0 */
/* Does what is written lie in what is read? Then each build would take in what the last
 * one made, and the same input would give other bytes. */
#include "build.h"

#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The directory that a file is in. */
static char *directory_of(const char *file)
{
    const char *slash = strrchr(file, '/');
    size_t len = slash ? (size_t)(slash - file) : 0;
    char *dir = malloc(len + 2);

    if (dir)
        snprintf(dir, len + 2, "%.*s", slash ? (int)(len ? len : 1) : 1,
                 slash ? file : ".");
    return dir;
}

/* The path that something has in the image of a directory: "/a/b"; NULL: none. Both are
 * without links. */
static const char *inside(const char *source, const char *path)
{
    size_t len = strcmp(source, "/") == 0 ? 0 : strlen(source);

    if (strncmp(source, path, len) != 0)
        return NULL;
    return path[len] == '/' ? path + len : path[len] == '\0' ? "/" : NULL;
}

/* Is the path, or one above it, left out? As rafs_build_options.exclude has patterns. */
static bool left_out(const struct making *m, const char *path)
{
    char part[PATH_MAX];

    for (size_t end = 1; end <= strlen(path) && end < sizeof part; end++) {
        if (path[end] != '/' && path[end] != '\0')
            continue;
        snprintf(part, sizeof part, "%.*s", (int)end, path);
        for (size_t i = 0; i < m->exclude.count; i++) {
            const char *pattern = m->exclude.at[i];

            if (strchr(pattern, '/') ? fnmatch(pattern, part, FNM_PATHNAME) == 0
                                     : fnmatch(pattern, strrchr(part, '/') + 1, 0) == 0)
                return true;
        }
    }
    return false;
}

static bool is_apart(struct making *m, const char *source, const char *dir)
{
    char *from = realpath(source, NULL), *to = dir ? realpath(dir, NULL) : NULL;
    const char *path = from && to ? inside(from, to) : NULL;
    bool apart = !path || left_out(m, path);

    if (!apart)
        command_say(
            m->c, EXIT_USAGE,
            "%s lies in %s, and would become part of the image; write elsewhere%s%s", dir,
            source, path[1] ? ", or --exclude " : "", path[1] ? path : "");
    free(from);
    free(to);
    return apart;
}

bool making_is_apart(struct making *m, const char *source)
{
    char *boot_dir = m->out_dir || !m->bootstrap ? NULL : directory_of(m->bootstrap);
    bool apart = m->out_dir
                     ? is_apart(m, source, m->out_dir)
                     : is_apart(m, source, m->blob_dir) && is_apart(m, source, boot_dir);

    free(boot_dir);
    return apart;
}
