/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_MOUNT_INFO_H
#define RAFS_MOUNT_INFO_H

#include <stdbool.h>
#include <stdint.h>

/* What /proc/self/mountinfo says; nothing here touches a mount itself. */
struct mount_seen {
    const char *dir, *type, *source; /* valid during the call */
    bool ours;                       /* looks like one that a daemon of rafs made */
};

/* For each mount, from the lowest to the topmost; false ends it. */
typedef bool mount_see(void *user, const struct mount_seen *seen);
/* False: it cannot be read; errno. */
bool mount_info(mount_see *see, void *user);

enum mount_found { MOUNT_NONE, MOUNT_OTHER, MOUNT_OURS };
/* What lies on top at `dir`. */
enum mount_found mount_info_at(const char *dir, bool *fuse);

#endif
