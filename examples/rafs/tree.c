/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/*
 * A directory being read. Its children come in order of their names; the content of a
 * child "a" belongs where the name "a/" would be, which may be some siblings later. Until
 * then it waits on a stack. Each that waits is a prefix of the one above it (a name
 * between "a" and "a/" begins with "a"), so one name holds them all and there are at most
 * RAFS_NAME_MAX of them: memory grows with the depth, not with the image.
 */
struct waiting {
    size_t name_len;
    uint64_t ino;
};

struct level {
    rafs_dir *dir;
    uint64_t ino;
    size_t path_len; /* of the directory in walk->path; 0 for the root */
    bool ended;
    bool has_next;
    uint64_t next_ino;
    uint32_t next_type;
    char next_name[RAFS_NAME_MAX + 1];
    char wait_name[RAFS_NAME_MAX + 1];
    struct waiting *waiting;
    size_t wait_count;
    size_t wait_room;
};

struct tree_walk {
    const rafs_image *image;
    char *path;
    size_t path_room;
    struct level **levels;
    size_t depth;
    size_t level_room;
    uint64_t start_ino;
    size_t start_len; /* of the path, "/" counting as 0 */
    bool begun;
    uint64_t entries_left;
};

static int no_memory(rafs_error *err)
{
    return rafs_error_set(err, RAFS_E_NOMEM, 0, NULL, "out of memory");
}

static void close_level(struct level *level)
{
    if (!level)
        return;
    rafs_dir_close(level->dir);
    free(level->waiting);
    free(level);
}

struct tree_walk *tree_open(const rafs_image *image, const char *start, uint64_t ino)
{
    struct tree_walk *walk = calloc(1, sizeof *walk);
    rafs_image_info info = {.struct_size = sizeof info};
    size_t len = strlen(start);

    if (!walk)
        return NULL;
    walk->image = image;
    walk->start_ino = ino;
    walk->start_len = len == 1 ? 0 : len;
    walk->path_room = len + RAFS_NAME_MAX + 2;
    walk->path = malloc(walk->path_room);
    /* An entry takes 12 bytes or more in either format. Directories that contain one
     * directory twice could otherwise make more paths than anyone can wait for. */
    if (rafs_image_get_info(image, &info, NULL) == RAFS_OK)
        walk->entries_left = info.bootstrap_bytes / 12 + 1;
    if (!walk->path) {
        tree_close(walk);
        return NULL;
    }
    memcpy(walk->path, start, len + 1);
    return walk;
}

void tree_close(struct tree_walk *walk)
{
    if (!walk)
        return;
    while (walk->depth > 0)
        close_level(walk->levels[--walk->depth]);
    free(walk->levels);
    free(walk->path);
    free(walk);
}

/* Set the path to that of a level, or of a name in it. */
static int set_path(struct tree_walk *walk, const struct level *level, const char *name,
                    size_t len, rafs_error *err)
{
    size_t need = level->path_len + len + 2;

    if (need > walk->path_room) {
        char *grown = realloc(walk->path, 2 * need);

        if (!grown)
            return no_memory(err);
        walk->path = grown;
        walk->path_room = 2 * need;
    }
    walk->path[level->path_len] = '/';
    if (len > 0)
        memcpy(walk->path + level->path_len + 1, name, len);
    walk->path[level->path_len + 1 + len] = '\0';
    return RAFS_OK;
}

static int push_level(struct tree_walk *walk, uint64_t ino, size_t path_len,
                      rafs_error *err)
{
    struct level *level;
    int rc;

    for (size_t i = 0; i < walk->depth; i++) {
        if (walk->levels[i]->ino == ino)
            return rafs_error_set(err, RAFS_E_CORRUPT, 0, NULL,
                                  "the directory contains itself");
    }
    if (walk->depth >= RAFS_DEPTH_MAX)
        return rafs_error_set(err, RAFS_E_LIMIT, 0, NULL,
                              "directories lie deeper than RAFS_DEPTH_MAX");
    if (walk->depth == walk->level_room) {
        size_t room = walk->level_room ? 2 * walk->level_room : 16;
        struct level **grown = realloc(walk->levels, room * sizeof *grown);

        if (!grown)
            return no_memory(err);
        walk->levels = grown;
        walk->level_room = room;
    }
    level = calloc(1, sizeof *level);
    if (!level)
        return no_memory(err);
    level->ino = ino;
    level->path_len = path_len;
    rc = rafs_dir_open(walk->image, ino, 0, &level->dir, err);
    if (rc < 0)
        close_level(level);
    else
        walk->levels[walk->depth++] = level;
    return rc;
}

/* Read one name ahead. */
static int read_ahead(struct level *level, rafs_error *err)
{
    const rafs_dirent *entry = NULL;
    int rc = rafs_dir_next(level->dir, &entry, err);

    if (rc < 0 || !entry) {
        level->ended = true;
        return rc;
    }
    if (entry->name_len > RAFS_NAME_MAX || entry->name_len == 0 ||
        strcmp(entry->name, level->next_name) <= 0) {
        level->ended = true;
        return rafs_error_set(err, RAFS_E_CORRUPT, 0, NULL,
                              "the directory's names are not in order");
    }
    memcpy(level->next_name, entry->name, entry->name_len);
    level->next_name[entry->name_len] = '\0';
    level->next_ino = entry->ino;
    level->next_type = entry->type;
    level->has_next = true;
    return RAFS_OK;
}

/* Is it the turn of what waits on top: does the next name sort after its "name/"? */
static bool waiting_is_due(const struct level *level)
{
    const struct waiting *top;

    if (level->wait_count == 0)
        return false;
    if (level->ended)
        return true;
    top = &level->waiting[level->wait_count - 1];
    return strncmp(level->next_name, level->wait_name, top->name_len) != 0 ||
           (unsigned char)level->next_name[top->name_len] > '/';
}

static int add_waiting(struct level *level, rafs_error *err)
{
    if (level->wait_count == level->wait_room) {
        size_t room = level->wait_room ? 2 * level->wait_room : 4;
        struct waiting *grown = realloc(level->waiting, room * sizeof *grown);

        if (!grown)
            return no_memory(err);
        level->waiting = grown;
        level->wait_room = room;
    }
    memcpy(level->wait_name, level->next_name, sizeof level->wait_name);
    level->waiting[level->wait_count++] =
        (struct waiting){strlen(level->next_name), level->next_ino};
    return RAFS_OK;
}

static void fill_entry(const struct tree_walk *walk, struct tree_entry *entry)
{
    const char *slash = strrchr(walk->path, '/');

    entry->path = walk->path;
    entry->path_len = strlen(walk->path);
    entry->name = slash && slash[1] ? slash + 1 : walk->path;
    entry->depth = (unsigned)walk->depth;
}

static int begin(struct tree_walk *walk, struct tree_entry *entry, rafs_error *err)
{
    int rc;

    walk->begun = true;
    fill_entry(walk, entry);
    entry->ino = walk->start_ino;
    rc = rafs_image_get_attr(walk->image, entry->ino, &entry->attr, err);
    if (rc == RAFS_OK && S_ISDIR(entry->attr.mode))
        rc = push_level(walk, entry->ino, walk->start_len, err);
    return rc < 0 ? -1 : 1;
}

/* Enter the directory on top of those that wait. */
static int enter_waiting(struct tree_walk *walk, struct level *level, rafs_error *err)
{
    struct waiting top = level->waiting[--level->wait_count];
    int rc = set_path(walk, level, level->wait_name, top.name_len, err);

    if (rc < 0)
        return rc;
    return push_level(walk, top.ino, level->path_len + 1 + top.name_len, err);
}

static int give_next(struct tree_walk *walk, struct level *level,
                     struct tree_entry *entry, rafs_error *err)
{
    int rc = set_path(walk, level, level->next_name, strlen(level->next_name), err);

    level->has_next = false;
    fill_entry(walk, entry);
    entry->ino = level->next_ino;
    if (rc == RAFS_OK)
        rc = rafs_image_get_attr(walk->image, entry->ino, &entry->attr, err);
    if (rc == RAFS_OK && (entry->attr.mode & S_IFMT) != (level->next_type & S_IFMT))
        rc = rafs_error_set(err, RAFS_E_CORRUPT, 0, NULL,
                            "the directory and the inode disagree about its type");
    else if (rc == RAFS_OK && S_ISDIR(entry->attr.mode))
        rc = add_waiting(level, err);
    return rc < 0 ? -1 : 1;
}

static int stop_flood(struct tree_walk *walk, struct tree_entry *entry, rafs_error *err)
{
    while (walk->depth > 0)
        close_level(walk->levels[--walk->depth]);
    fill_entry(walk, entry);
    rafs_error_set(err, RAFS_E_CORRUPT, 0, NULL,
                   "more paths than an image of this size can hold");
    return -1;
}

static int next(struct tree_walk *walk, struct tree_entry *entry, rafs_error *err)
{
    if (!walk->begun)
        return begin(walk, entry, err);
    while (walk->depth > 0) {
        struct level *level = walk->levels[walk->depth - 1];

        if (!level->has_next && !level->ended && read_ahead(level, err) < 0) {
            set_path(walk, level, "", 0, NULL);
            if (level->path_len > 0)
                walk->path[level->path_len] = '\0';
            fill_entry(walk, entry);
            return -1;
        }
        if (waiting_is_due(level)) {
            if (enter_waiting(walk, level, err) == RAFS_OK)
                continue;
            fill_entry(walk, entry);
            return -1;
        }
        if (level->ended) {
            close_level(level);
            walk->depth--;
            continue;
        }
        if (walk->entries_left-- == 0)
            return stop_flood(walk, entry, err);
        return give_next(walk, level, entry, err);
    }
    return 0;
}

int tree_next(struct tree_walk *walk, struct tree_entry *entry, rafs_error *err)
{
    int got = next(walk, entry, err);

    if (got < 0)
        blame_image(err);
    return got;
}
