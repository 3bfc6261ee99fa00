/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_MOUNT_RUN_H
#define RAFS_MOUNT_RUN_H

#include "mount.h"

/* Start a daemon that listens at STATE/NAME.sock; it does so when this returns. False and
 * errno: EEXIST if another one does. In the background it says what goes wrong in
 * STATE/NAME.log, else where we do. */
bool mount_daemon_start(const char *state, const char *name, bool foreground);

/* --foreground: until the mount is gone; a signal unmounts it. Says to a service manager
 * that it answers. */
void mount_stay(struct mount_options *o, const char *state, const char *name);

/* --upgrade */
void mount_upgrade(struct mount_options *o);

#endif
