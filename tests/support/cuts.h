/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CUTS_H
#define TESTS_CUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What was done to the files of one directory, and what a power cut may leave of it.
 *
 * The rules are those of a disk that promises only what it says: what was written to a
 * file since its last fsync or fdatasync may be there, be missing, or be there in part, a
 * sector or page at a time, each on its own; the file may have its new length without its
 * new bytes. A name is as it was at the last fsync of the directory, or as at any time
 * since, each name on its own.
 */

enum { CUT_NAME_BYTES = 96, CUT_FILES_MAX = 256, CUT_NAMES_MAX = 64 };

struct cut_op {
    enum {
        CUT_CREATE,
        CUT_UNLINK,
        CUT_RENAME,
        CUT_WRITE,
        CUT_LENGTH,
        CUT_SYNC,      /* of a file; what it holds will stay */
        CUT_SYNC_LOST, /* it failed: what was not yet on disk may never get there */
        CUT_SYNC_DIR,
        CUT_MARK /* of the test's own: `at` is its number */
    } kind;
    unsigned file;
    char name[CUT_NAME_BYTES], other[CUT_NAME_BYTES];
    uint64_t at;
    uint8_t *bytes;
    size_t len;
};

struct cuts {
    struct cut_op *ops;
    size_t count, room;
    unsigned files;
    struct {
        char name[CUT_NAME_BYTES];
        unsigned file; /* one more than its number; 0: none */
    } names[CUT_NAMES_MAX];
};

/* Note something. Ends the program without memory. */
unsigned cuts_open(struct cuts *cuts, const char *name, bool create); /* a file number */
void cuts_unlink(struct cuts *cuts, const char *name);
void cuts_rename(struct cuts *cuts, const char *from, const char *to);
void cuts_write(struct cuts *cuts, unsigned file, uint64_t at, const void *bytes,
                size_t len);
void cuts_length(struct cuts *cuts, unsigned file, uint64_t len);
void cuts_sync(struct cuts *cuts, unsigned file, bool good);
void cuts_sync_dir(struct cuts *cuts);
void cuts_mark(struct cuts *cuts, uint64_t number);
void cuts_drop(struct cuts *cuts);

enum cut_luck {
    CUT_NOTHING,    /* that was not synced is there */
    CUT_SOME,       /* is there */
    CUT_EVERYTHING, /* is there, as after the death of a process */
    CUT_DROPPED     /* the same, but without what a failed sync lost: its memory was
                       needed for something else meanwhile */
};

/* Write what is left after the first `ops` of them into an empty directory. */
void cuts_replay(const struct cuts *cuts, size_t ops, enum cut_luck luck, uint64_t seed,
                 int dir);

#endif
