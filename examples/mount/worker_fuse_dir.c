/* SPDX-License-Identifier: Apache-2.0 */
#ifdef HAVE_FUSE3
#include "worker_fuse_own.h"

#include <errno.h>
#include <string.h>

enum {
    ANSWER_BYTES = 64 << 10,
    BATCH = 64,           /* entries */
    BATCH_NAMES = 4096,   /* bytes; RAFS_NAME_MAX + 1 at least */
    ENTRY_BYTES = 24 + 8, /* the least that an entry takes */
    PLUS_BYTES = 128 + ENTRY_BYTES
};

/* Offsets, as the kernel gives them back: 0 before ".", 1 before "..", then those of the
 * image and 2. */
enum { OFFSET_SELF = 0, OFFSET_PARENT = 1, OFFSET_FIRST = 2 };

struct answer {
    struct fuse_service *s;
    fuse_req_t req;
    uint64_t dir;
    uint64_t offset; /* to go on at */
    bool plus;
    bool full;
    size_t room, used;
    char bytes[ANSWER_BYTES];
};

/* One more entry; `full` if there is no room for it. */
static void add(struct answer *a, const char *name, const struct fuse_entry_param *entry,
                uint64_t next)
{
    char *to = a->bytes + a->used;
    size_t room = a->room - a->used;
    size_t len =
        a->plus ? fuse_add_direntry_plus(a->req, to, room, name, entry, (off_t)next)
                : fuse_add_direntry(a->req, to, room, name, &entry->attr, (off_t)next);

    if (len > room) {
        a->full = true;
        return;
    }
    a->used += len;
    a->offset = next;
}

/* "." and ".." have numbers, but are no entries: the kernel has them already. */
static int add_dots(struct answer *a, rafs_error *err)
{
    static const char *const names[] = {".", ".."};

    while (a->offset < OFFSET_FIRST && !a->full) {
        struct fuse_entry_param entry = {.ino = 0};
        const char *name = names[a->offset];
        uint64_t ino = a->dir;
        int rc = RAFS_OK;

        if (a->offset == OFFSET_PARENT)
            rc = rafs_image_lookup(a->s->image, a->dir, name, &ino, err);
        if (rc < 0)
            return rc;
        entry.attr.st_ino = node_of(a->s, ino);
        entry.attr.st_mode = S_IFDIR;
        add(a, name, &entry, a->offset + 1);
    }
    return RAFS_OK;
}

static void add_entry(struct answer *a, const rafs_dirent *from, bool with_attr)
{
    struct fuse_entry_param entry = {.ino = 0};

    if (with_attr) {
        fuse_entry_of(a->s, &from->attr, &entry);
    } else {
        entry.attr.st_ino = node_of(a->s, from->ino);
        entry.attr.st_mode = from->type;
    }
    add(a, from->name, &entry, from->next_offset + OFFSET_FIRST);
}

static int add_entries(struct answer *a, rafs_error *err)
{
    rafs_dirent entries[BATCH];
    char names[BATCH_NAMES];
    size_t least = a->plus ? PLUS_BYTES : ENTRY_BYTES;
    bool with_attr = a->plus;

    while (!a->full) {
        size_t fit = (a->room - a->used) / least, count = 0;
        uint64_t offset = a->offset - OFFSET_FIRST;
        int rc;

        if (fit == 0)
            break;
        rc = rafs_image_readdir(
            a->s->image, a->dir, offset, with_attr ? RAFS_DIR_ATTR : 0, entries,
            fit < BATCH ? fit : BATCH, names, sizeof names, &count, err);
        if (rc < 0 && with_attr) { /* of a broken inode at least the name */
            with_attr = false;
            continue;
        }
        if (rc < 0)
            return rc;
        if (count == 0)
            break;
        for (size_t i = 0; i < count && !a->full; i++)
            add_entry(a, &entries[i], with_attr);
    }
    return RAFS_OK;
}

static void answer(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, bool plus)
{
    struct fuse_service *s = service_of(req);
    rafs_error err = RAFS_ERROR_INIT;
    struct answer a;
    int rc;

    a.s = s;
    a.req = req;
    a.dir = ino_of(s, node);
    a.offset = (uint64_t)offset;
    a.plus = plus;
    a.full = false;
    a.used = 0;
    a.room = size < sizeof a.bytes ? size : sizeof a.bytes;
    rc = add_dots(&a, &err);
    if (rc == RAFS_OK && !a.full)
        rc = add_entries(&a, &err);
    if (rc < 0 && a.used == 0) /* else with the next call */
        fuse_reply_err(req, err.code == RAFS_E_NOTDIR
                                ? ENOTDIR
                                : fuse_failed(s, "listing", a.dir, &err));
    else
        fuse_reply_buf(req, a.bytes, a.used);
}

void fuse_op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                     struct fuse_file_info *file)
{
    (void)file;
    answer(req, node, size, offset, false);
}

void fuse_op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                         struct fuse_file_info *file)
{
    (void)file;
    answer(req, node, size, offset, true);
}
#endif
