/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_NEAR_H
#define RAFSI_NEAR_H

#include "read/reader.h"

/* near.c: what is likely to be read since something near to it in the tree was. NULL in
 * reader->near where nothing is fetched that nobody asked for. */
int rafsi_near_new(struct rafsi_reader *reader, rafs_error *err);
/* After the crew, whose threads use it. */
void rafsi_near_free(struct rafsi_reader *reader);
/* A chunk of the file is fetched for somebody who waits, or was fetched ahead and is now
 * used for the first time. Never waits for anything but a lock that is held shortly. */
void rafsi_near_note(struct rafsi_reader *reader, const struct rafsi_node *file);

/* A chunk that may be wanted, by the file that has it. */
struct near_item {
    uint64_t ino, file_offset;
    uint64_t at; /* in the stored blob */
    uint32_t size, blob;
};

/* Of near_scan.c, which fills it: chunks sorted by where they are stored. */
struct near_list {
    struct near_item *items;
    size_t count, room;
    uint64_t bytes; /* stored */
    bool too_many;  /* then it is of no use */
};

enum { NEAR_KINDS = 64, NEAR_HOT = 3 };

/* The kinds of files that were read: a kind is what the names end in. */
struct near_kinds {
    uint32_t kind[NEAR_KINDS];
    uint32_t files[NEAR_KINDS];
};

/*
 * Names of directories: what was offered under a name and never visited, such as "tests",
 * is not offered again in the next place. A table that forgets, without a lock.
 */
enum { NEAR_NAMES = 256 };

struct near_names {
    atomic_uint at[NEAR_NAMES];
};

/* Where a file lies, and of which kind it is. */
struct near_place {
    struct rafsi_node dir, parent;
    uint64_t ino;
    uint32_t kind;
    uint32_t parent_hash; /* of its name */
    uint32_t dir_hash;
    char dir_name[RAFS_NAME_MAX + 1]; /* in its parent; "": the root has none */
    uint32_t dir_name_len;
};

void rafsi_near_visit(struct near_names *names, const struct near_place *place);

/* false: it is not known where the file lies. */
bool rafsi_near_find(struct rafsi_reader *reader, uint64_t ino, struct near_place *out);
/* The other chunks of the file itself. */
void rafsi_near_file(struct rafsi_reader *reader, uint64_t ino, struct near_list *out);
/* Files of the same kind in the same directory. */
void rafsi_near_dir(struct rafsi_reader *reader, const struct near_place *place,
                    struct near_list *out);
/* Files of the same kind in the directories of the same name that lie in those beside:
 * of a/b/c/file those in a/b/x/c, for all x. */
void rafsi_near_nephews(struct rafsi_reader *reader, const struct near_place *place,
                        struct near_names *names, struct near_list *out);
/* Files of the same kind in the directories beside, where they are few: those in a/b/x.
 */
void rafsi_near_cousins(struct rafsi_reader *reader, const struct near_place *place,
                        struct near_names *names, struct near_list *out);
/* Files of other kinds that were read often in the directories beside: those in a/b/x. */
void rafsi_near_siblings(struct rafsi_reader *reader, const struct near_place *place,
                         const struct near_kinds *kinds, struct near_names *names,
                         struct near_list *out);
void rafsi_near_drop(struct rafsi_reader *reader, struct near_list *list);

#endif
