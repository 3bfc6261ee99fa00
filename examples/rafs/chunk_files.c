/* SPDX-License-Identifier: Apache-2.0 */
#include "chunk_files.h"

#include <stdlib.h>
#include <sys/stat.h>

struct chunk_file {
    uint32_t blob, chunk;
    uint64_t ino, offset; /* 0: not found yet */
};

static int by_chunk(const void *a, const void *b)
{
    const struct chunk_file *x = a, *y = b;

    if (x->blob != y->blob)
        return x->blob < y->blob ? -1 : 1;
    return x->chunk < y->chunk ? -1 : x->chunk > y->chunk;
}

static struct chunk_file *look(const struct chunk_files *files, uint32_t blob,
                               uint32_t chunk)
{
    struct chunk_file key = {.blob = blob, .chunk = chunk};

    return files->count == 0
               ? NULL
               : bsearch(&key, files->at, files->count, sizeof key, by_chunk);
}

static void list(struct chunk_files *files, const rafs_trace *trace)
{
    rafs_trace_event events[64];
    uint32_t first = 0;
    size_t count = 0;

    while (rafs_trace_get_events(trace, first, events, 64, &count, NULL) == RAFS_OK &&
           count > 0) {
        for (size_t i = 0; i < count; i++)
            if (events[i].ino == 0)
                files->at[files->count++] =
                    (struct chunk_file){.blob = events[i].blob, .chunk = events[i].chunk};
        first += (uint32_t)count;
    }
    qsort(files->at, files->count, sizeof *files->at, by_chunk);
}

static int note_file(struct chunk_files *files, struct command *c, uint64_t ino,
                     uint64_t size, rafs_error *err)
{
    rafs_extent extents[32];
    uint64_t at = 0;
    size_t count = 1;
    int rc = RAFS_OK;

    while (rc == RAFS_OK && at < size && count > 0) {
        rc = rafs_image_get_extents(c->image, ino, at, extents, 32, &count,
                                    command_call(c), err);
        for (size_t i = 0; rc == RAFS_OK && i < count; i++) {
            struct chunk_file *found = NULL;

            if ((extents[i].flags & RAFS_EXTENT_HOLE) == 0)
                found = look(files, extents[i].blob, extents[i].chunk);
            if (found && found->ino == 0) {
                found->ino = ino;
                found->offset = extents[i].file_offset;
            }
            at = extents[i].file_offset + extents[i].length;
        }
    }
    return rc;
}

static bool walk(struct chunk_files *files, struct command *c)
{
    const rafs_walk_entry *entry = NULL;
    rafs_error err = RAFS_ERROR_INIT;
    rafs_walk *walk = NULL;
    int rc = rafs_walk_open(c->image, "/", 0, &walk, &err);

    while (rc == RAFS_OK && !command_interrupted(c)) {
        rc = rafs_walk_next(walk, &entry, &err);
        if (rc < 0 || !entry)
            break;
        if (S_ISREG(entry->attr.mode))
            rc = note_file(files, c, entry->ino, entry->attr.size, &err);
    }
    rafs_walk_close(walk);
    if (rc < 0)
        command_failed(c, c->image_path, &err);
    return rc == RAFS_OK;
}

bool chunk_files_find(struct chunk_files *files, struct command *c,
                      const rafs_trace *trace)
{
    rafs_trace_info info = RAFS_TRACE_INFO_INIT;

    *files = (struct chunk_files){NULL, 0};
    if (rafs_trace_get_info(trace, &info, NULL) < 0)
        return false;
    files->at = calloc(info.events + 1u, sizeof *files->at);
    if (!files->at) {
        command_say(c, EXIT_SOURCE, "out of memory");
        return false;
    }
    list(files, trace);
    return files->count == 0 || walk(files, c);
}

void chunk_files_name(const struct chunk_files *files, rafs_trace_event *event)
{
    const struct chunk_file *found =
        event->ino == 0 ? look(files, event->blob, event->chunk) : NULL;

    if (!found)
        return;
    event->ino = found->ino;
    event->file_offset = found->offset;
}

void chunk_files_free(struct chunk_files *files)
{
    free(files->at);
    *files = (struct chunk_files){NULL, 0};
}
