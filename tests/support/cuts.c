/* SPDX-License-Identifier: Apache-2.0 */
#include "cuts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "golden.h"

static struct cut_op *add(struct cuts *cuts, unsigned kind)
{
    if (cuts->count == cuts->room) {
        cuts->room = cuts->room ? 2 * cuts->room : 256;
        cuts->ops = realloc(cuts->ops, cuts->room * sizeof(*cuts->ops));
        NEED(cuts->ops != NULL);
    }
    memset(&cuts->ops[cuts->count], 0, sizeof(*cuts->ops));
    cuts->ops[cuts->count].kind = kind;
    return &cuts->ops[cuts->count++];
}

static unsigned *file_of(struct cuts *cuts, const char *name)
{
    for (size_t i = 0; i < CUT_NAMES_MAX; i++) {
        if (cuts->names[i].name[0] == '\0')
            snprintf(cuts->names[i].name, CUT_NAME_BYTES, "%s", name);
        if (strcmp(cuts->names[i].name, name) == 0)
            return &cuts->names[i].file;
    }
    NEED(false && "too many names");
    return NULL;
}

static void name_it(char into[CUT_NAME_BYTES], const char *name)
{
    NEED(strlen(name) < CUT_NAME_BYTES);
    memcpy(into, name, strlen(name) + 1);
}

unsigned cuts_open(struct cuts *cuts, const char *name, bool create)
{
    unsigned *file = file_of(cuts, name);

    if (create) {
        struct cut_op *op = add(cuts, CUT_CREATE);

        NEED(cuts->files < CUT_FILES_MAX);
        op->file = cuts->files++;
        *file = op->file + 1;
        name_it(op->name, name);
    }
    NEED(*file > 0);
    return *file - 1;
}

void cuts_unlink(struct cuts *cuts, const char *name)
{
    name_it(add(cuts, CUT_UNLINK)->name, name);
    *file_of(cuts, name) = 0;
}

void cuts_rename(struct cuts *cuts, const char *from, const char *to)
{
    struct cut_op *op = add(cuts, CUT_RENAME);

    name_it(op->name, from);
    name_it(op->other, to);
    op->file = *file_of(cuts, from) - 1;
    *file_of(cuts, to) = *file_of(cuts, from);
    *file_of(cuts, from) = 0;
}

void cuts_write(struct cuts *cuts, unsigned file, uint64_t at, const void *bytes,
                size_t len)
{
    struct cut_op *op = add(cuts, CUT_WRITE);

    op->file = file;
    op->at = at;
    op->len = len;
    op->bytes = malloc(len ? len : 1);
    NEED(op->bytes != NULL);
    memcpy(op->bytes, bytes, len);
}

void cuts_length(struct cuts *cuts, unsigned file, uint64_t len)
{
    struct cut_op *op = add(cuts, CUT_LENGTH);

    op->file = file;
    op->at = len;
}

void cuts_sync(struct cuts *cuts, unsigned file, bool good)
{
    add(cuts, good ? CUT_SYNC : CUT_SYNC_LOST)->file = file;
}

void cuts_sync_dir(struct cuts *cuts)
{
    add(cuts, CUT_SYNC_DIR);
}

void cuts_mark(struct cuts *cuts, uint64_t number)
{
    add(cuts, CUT_MARK)->at = number;
}

void cuts_drop(struct cuts *cuts)
{
    for (size_t i = 0; i < cuts->count; i++)
        free(cuts->ops[i].bytes);
    free(cuts->ops);
    memset(cuts, 0, sizeof(*cuts));
}

/* --- what is left ----------------------------------------------------------------------
 */

struct content {
    uint8_t *bytes;
    uint64_t len, room;
    size_t synced; /* ops before this one are on disk */
    bool linked;
};

struct replay {
    const struct cuts *cuts;
    size_t ops;
    enum cut_luck luck;
    uint64_t random;
    struct content *files;
};

static uint64_t next(struct replay *replay)
{
    uint64_t z = replay->random += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void lengthen(struct content *file, uint64_t len)
{
    if (len > file->room) {
        file->room = 2 * len;
        file->bytes = realloc(file->bytes, file->room);
        NEED(file->bytes != NULL);
    }
    if (len > file->len) {
        memset(file->bytes + file->len, 0, len - file->len);
        file->len = len;
    }
}

static void apply_write(struct content *file, const struct cut_op *op, uint64_t from,
                        uint64_t to)
{
    lengthen(file, to);
    memcpy(file->bytes + from, op->bytes + (from - op->at), to - from);
}

/* Some of its sectors or pages. */
static void apply_torn(struct replay *replay, struct content *file,
                       const struct cut_op *op)
{
    uint64_t unit = next(replay) % 2 ? 512 : 4096, end = op->at + op->len;

    for (uint64_t at = op->at; at < end;) {
        uint64_t to = (at / unit + 1) * unit;

        to = to < end ? to : end;
        if (next(replay) % 2)
            apply_write(file, op, at, to);
        at = to;
    }
    if (next(replay) % 2)
        lengthen(file, end);
}

static void set_length(struct content *file, uint64_t len)
{
    lengthen(file, len);
    file->len = len;
}

/* Lost by a sync that failed, before the cut: that is as good as never written. */
static bool lost(struct replay *replay, size_t at)
{
    const struct cut_op *op = &replay->cuts->ops[at];

    for (size_t i = at + 1; i < replay->ops; i++) {
        if (replay->cuts->ops[i].file != op->file)
            continue;
        if (replay->cuts->ops[i].kind == CUT_SYNC)
            return false;
        if (replay->cuts->ops[i].kind == CUT_SYNC_LOST)
            return replay->luck == CUT_NOTHING || replay->luck == CUT_DROPPED ||
                   (replay->luck == CUT_SOME && next(replay) % 2);
    }
    return false;
}

static void apply_content(struct replay *replay, size_t at)
{
    const struct cut_op *op = &replay->cuts->ops[at];
    struct content *file = &replay->files[op->file];
    bool all = at < file->synced || replay->luck >= CUT_EVERYTHING;
    unsigned fate;

    if (lost(replay, at) || (!all && replay->luck == CUT_NOTHING))
        return;
    fate = all ? 1 : (unsigned)(next(replay) % 3);
    if (fate == 1 && op->kind == CUT_WRITE)
        apply_write(file, op, op->at, op->at + op->len);
    else if (fate == 1)
        set_length(file, op->at);
    else if (fate == 2 && op->kind == CUT_WRITE)
        apply_torn(replay, file, op);
}

static bool changes(const struct cut_op *op, const char *name)
{
    switch (op->kind) {
    case CUT_CREATE:
    case CUT_UNLINK:
        return strcmp(op->name, name) == 0;
    case CUT_RENAME:
        return strcmp(op->name, name) == 0 || strcmp(op->other, name) == 0;
    default:
        return false;
    }
}

/* Which file a name means; 0: none, else one more than its number. */
static unsigned meaning(struct replay *replay, const char *name, size_t dir_synced)
{
    unsigned file = 0;
    size_t open = 0, taken;

    for (size_t i = dir_synced; i < replay->ops; i++)
        open += changes(&replay->cuts->ops[i], name);
    taken = replay->luck == CUT_NOTHING      ? 0
            : replay->luck >= CUT_EVERYTHING ? open
                                             : (size_t)(next(replay) % (open + 1));
    for (size_t i = 0; i < replay->ops; i++) {
        const struct cut_op *op = &replay->cuts->ops[i];

        if (!changes(op, name))
            continue;
        if (i >= dir_synced && taken-- == 0)
            break;
        file = op->kind == CUT_UNLINK ||
                       (op->kind == CUT_RENAME && strcmp(op->name, name) == 0)
                   ? 0
                   : op->file + 1;
    }
    return file;
}

static void give(int dir, const char *name, const struct content *file)
{
    int fd = (int)syscall(SYS_openat, dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    NEED(fd >= 0);
    for (uint64_t at = 0; at < file->len;) {
        ssize_t n = syscall(SYS_write, fd, file->bytes + at, file->len - at);

        NEED(n > 0);
        at += (uint64_t)n;
    }
    close(fd);
}

void cuts_replay(const struct cuts *cuts, size_t ops, enum cut_luck luck, uint64_t seed,
                 int dir)
{
    struct replay replay = {cuts, ops, luck, seed, NULL};
    size_t dir_synced = 0;

    replay.files = calloc(cuts->files ? cuts->files : 1, sizeof(*replay.files));
    NEED(replay.files != NULL);
    for (size_t i = 0; i < ops; i++) {
        if (cuts->ops[i].kind == CUT_SYNC)
            replay.files[cuts->ops[i].file].synced = i;
        if (cuts->ops[i].kind == CUT_SYNC_DIR)
            dir_synced = i;
    }
    for (size_t i = 0; i < ops; i++)
        if (cuts->ops[i].kind == CUT_WRITE || cuts->ops[i].kind == CUT_LENGTH)
            apply_content(&replay, i);
    for (size_t i = 0; i < CUT_NAMES_MAX && cuts->names[i].name[0]; i++) {
        unsigned file = meaning(&replay, cuts->names[i].name, dir_synced);

        if (file > 0)
            give(dir, cuts->names[i].name, &replay.files[file - 1]);
    }
    for (unsigned i = 0; i < cuts->files; i++)
        free(replay.files[i].bytes);
    free(replay.files);
}
