/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CONVERT_REUSE_H
#define RAFSI_CONVERT_REUSE_H

#include "convert/layers.h"

/*
 * Layers that were converted before, in a directory: what a layer became with which
 * options, and its bootstrap. Blobs are not kept: they are in the target, or the registry
 * takes them from the repository that they were made for, or the layer is built anew.
 */
struct convert_reuse;

/* Makes the directory. RAFS_E_BADARG: others can write to it, or the options make layers
 * depend on more than themselves. */
int rafsi_reuse_open(rafs_target *to, const char *dir, const struct convert_build *build,
                     struct convert_reuse **out, rafs_error *err);
void rafsi_reuse_close(struct convert_reuse *kept); /* NULL is fine */

/* Fill in the layer, whose blob is in the target then. RAFS_E_NOENT, silently: build it.
 * A file that is damaged counts as none. */
int rafsi_reuse_find(struct convert_reuse *kept, struct convert_layer *layer,
                     const rafs_call *call, rafs_error *err);
/* What cannot be kept is built again the next time: only the log hears of it. */
void rafsi_reuse_add(struct convert_reuse *kept, const struct convert_layer *layer);

#endif
