/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_API_OPEN_H
#define RAFSI_API_OPEN_H

#include "api/boot.h"

/* What the ways to open an image share: the caller's options with everything filled in.
 */
struct wishes {
    rafs_open_options options;
    rafs_limits limits;
    struct rafsi_env env;
    rafs_call call;
    struct expected expected;
    bool bound; /* the bytes of the origin follow from a digest that the caller gave */
    const rafs_image *base; /* whose sources and cache it takes; borrowed; NULL: none */
};

int rafsi_wishes_take(const rafs_open_options *options, const rafs_call *call,
                      struct wishes *out, rafs_error *err);
/* origin: borrowed until the image is closed, if it is memory. */
int rafsi_image_make(const struct origin *origin, const struct wishes *wishes,
                     rafs_image **out, rafs_error *err);

#endif
