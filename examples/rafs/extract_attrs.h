/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXTRACT_ATTRS_H
#define EXTRACT_ATTRS_H

#include <rafs/inode.h>
#include <stddef.h>
#include <stdint.h>

/* What could not be restored, by kind: an entry that lacks something is still there, and
 * the user is told at the end. */
enum lack_kind {
    LACK_OWNER,
    LACK_SETID,
    LACK_MODE,
    LACK_TIME,
    LACK_XATTR,
    LACK_DEVICE,
    LACK_LINK,
    LACK_KINDS
};

enum { LACK_NAMED = 3 }; /* paths kept of each kind */

struct lack {
    uint64_t count;
    char *paths[LACK_NAMED];
    char detail[LACK_NAMED][64]; /* attribute's name, or "" */
    int os_errno[LACK_NAMED];    /* 0: not even tried */
    int refused;                 /* of one, a missing privilege was not the reason */
};

/* How attributes are restored, and what was not. */
struct restore {
    const rafs_image *image;
    int owners;        /* try to set them */
    int xattrs;        /* try to set them */
    int scrub;         /* the destination hands down ACLs of its own, which have to go */
    uint32_t uid, gid; /* who we are: what an entry gets that is not given away */
    struct lack lacks[LACK_KINDS];
};

/* The entry whose attributes are set: name in the directory parent, and fd where it is a
 * regular file or directory that is open, else -1. */
struct target {
    int parent;
    const char *name;
    int fd;
    const char *path; /* in the image, for messages */
};

/* Owner, extended attributes, mode and time, in the order in which the kernel keeps
 * them: chown drops set-id bits and capabilities, so it comes first, and writing an
 * attribute needs the permission that the mode may take away. RAFS_OK, or what reading
 * the image failed with. */
int restore_attributes(struct restore *restore, const struct target *target,
                       const rafs_attr *attr, rafs_error *err);

/* Note that something is missing. os_errno 0: it was not tried. */
void restore_lack(struct restore *restore, enum lack_kind kind, const char *path,
                  const char *detail, int os_errno);

void restore_free(struct restore *restore);

#endif
