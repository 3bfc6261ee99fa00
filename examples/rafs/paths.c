/* SPDX-License-Identifier: Apache-2.0 */
/* Paths in the image as people give them, and attributes as people read them. */
#include "tree.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

int blame_image(rafs_error *err)
{
    if (exit_code_of(err->code) == EXIT_NO_PATH)
        err->code = RAFS_E_CORRUPT;
    return err->code;
}

char *join_path(const char *dir, const char *name, size_t name_len)
{
    size_t dir_len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);
    char *path = malloc(dir_len + name_len + 2);

    if (!path)
        return NULL;
    memcpy(path, dir, dir_len);
    path[dir_len] = '/';
    memcpy(path + dir_len + 1, name, name_len);
    path[dir_len + 1 + name_len] = '\0';
    return path;
}

/* One slash in front, none doubled or at the end, no "." */
static char *tidy(const char *given)
{
    char *path = malloc(strlen(given) + 2);
    size_t len = 0;

    if (!path)
        return NULL;
    while (*given) {
        size_t part = strcspn(given, "/");

        if (part > 0 && !(part == 1 && given[0] == '.')) {
            path[len++] = '/';
            memcpy(path + len, given, part);
            len += part;
        }
        given += part + (given[part] == '/');
    }
    if (len == 0)
        path[len++] = '/';
    path[len] = '\0';
    return path;
}

static char *path_of_directory(struct command *c, uint64_t ino, rafs_error *err)
{
    size_t room = 4096;

    for (;;) {
        char *path = malloc(room);
        size_t len = 0;
        int rc;

        if (!path) {
            rafs_error_set(err, RAFS_E_NOMEM, 0, NULL, "out of memory");
            return NULL;
        }
        rc = rafs_image_get_path(c->image, ino, path, room, &len, command_call(c), err);
        if (rc == RAFS_OK)
            return path;
        free(path);
        if (rc != RAFS_E_RANGE || len < room) {
            blame_image(err);
            return NULL;
        }
        room = len + 1;
    }
}

bool find_start(struct command *c, const char *given, bool follow, uint64_t *ino,
                char **path, rafs_attr *attr, rafs_error *err)
{
    size_t len = strlen(given);
    uint32_t flags = RAFS_RESOLVE_NOFOLLOW;
    char *found;

    /* "link/" asks for the directory, as everywhere */
    if (follow || (len > 0 && given[len - 1] == '/'))
        flags = 0;
    if (rafs_image_resolve(c->image, given, flags, ino, err) < 0)
        return false;
    if (rafs_image_get_attr(c->image, *ino, attr, err) < 0) {
        blame_image(err);
        return false;
    }
    if (S_ISDIR(attr->mode)) {
        found = path_of_directory(c, *ino, err);
    } else {
        found = tidy(given);
        if (!found)
            rafs_error_set(err, RAFS_E_NOMEM, 0, NULL, "out of memory");
    }
    if (!found)
        return false;
    *path = found;
    return true;
}

const char *type_name(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "reg";
    case S_IFDIR:
        return "dir";
    case S_IFLNK:
        return "lnk";
    case S_IFIFO:
        return "fifo";
    case S_IFCHR:
        return "chr";
    case S_IFBLK:
        return "blk";
    case S_IFSOCK:
        return "sock";
    default:
        return "?";
    }
}

static char type_letter(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return '-';
    case S_IFDIR:
        return 'd';
    case S_IFLNK:
        return 'l';
    case S_IFIFO:
        return 'p';
    case S_IFCHR:
        return 'c';
    case S_IFBLK:
        return 'b';
    case S_IFSOCK:
        return 's';
    default:
        return '?';
    }
}

void mode_string(uint32_t mode, char out[11])
{
    static const char letters[] = "rwxrwxrwx";

    out[0] = type_letter(mode);
    for (unsigned i = 0; i < 9; i++)
        out[i + 1] = '-';
    for (unsigned i = 0; i < 9; i++) {
        if (mode & (0400u >> i))
            out[i + 1] = letters[i];
    }
    if (mode & S_ISUID)
        out[3] = mode & S_IXUSR ? 's' : 'S';
    if (mode & S_ISGID)
        out[6] = mode & S_IXGRP ? 's' : 'S';
    if (mode & S_ISVTX)
        out[9] = mode & S_IXOTH ? 't' : 'T';
    out[10] = '\0';
}

void time_string(int64_t seconds, char *buf, size_t room)
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&t, &tm) && strftime(buf, room, "%Y-%m-%d %H:%M:%S", &tm) > 0)
        return;
    snprintf(buf, room, "@%" PRId64, seconds);
}
