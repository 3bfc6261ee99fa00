/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_MOUNT_INFO_H
#define RAFS_MOUNT_INFO_H

#include <stdbool.h>
#include <stdint.h>

/* What /proc/self/mountinfo says; nothing here touches a mount itself. A mount of ours
 * has the source STATE/DAEMON.NUMBER (kernel) or rafs:STATE/DAEMON.NUMBER (FUSE). */
struct mount_seen {
    const char *dir, *type, *source; /* valid during the call */
    const char *daemon;              /* NULL: not made by a daemon of rafs */
    uint32_t number;
};

/* For each mount, from the lowest to the topmost; false ends it. */
typedef bool mount_see(void *user, const struct mount_seen *seen);
/* False: it cannot be read; errno. */
bool mount_info(const char *state, mount_see *see, void *user);

enum mount_found { MOUNT_NONE, MOUNT_OTHER, MOUNT_OURS };
/* What lies on top at `dir`. */
struct mount_top {
    enum mount_found found;
    bool fuse;
    char daemon[128]; /* of MOUNT_OURS */
    uint32_t number;
};
void mount_info_at(const char *state, const char *dir, struct mount_top *top);

#endif
