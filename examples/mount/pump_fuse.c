/* SPDX-License-Identifier: Apache-2.0 */
/* /dev/fuse, mounted. */
#include <errno.h>
#include <stdio.h>
#include <sys/mount.h>

#include "pump.h"

int pump_fuse_mount(const struct mount_options *options, const char *source, char *text)
{
    (void)source;
    snprintf(text, MOUNT_TEXT, "%s: --via fuse is not built in", options->dir);
    return -1;
}

int pump_fuse_umount(const char *dir, bool lazy)
{
    return umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0 ? 0 : errno;
}
