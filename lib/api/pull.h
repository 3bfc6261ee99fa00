/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_API_PULL_H
#define RAFSI_API_PULL_H

#include "api/open.h"
#include "oci/oci.h"

/*
 * The bootstrap that pull leads to into memory, and an image on top of it whose last
 * sources of blobs are `own`, taken once this succeeds. wishes->options.backends must
 * have room for them, see rafsi_room_for_one().
 */
int rafsi_image_pull(const struct oci_pull *pull, rafs_backend *const *own, size_t count,
                     struct wishes *wishes, rafs_image **out, rafs_error *err);

/* RAFS_E_BADARG if there are as many backends as there can be. */
int rafsi_room_for_one(const struct wishes *wishes, rafs_error *err);

#endif
