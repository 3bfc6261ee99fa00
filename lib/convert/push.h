/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFSI_CONVERT_PUSH_H
#define RAFSI_CONVERT_PUSH_H

#include "convert/copy.h"
#include "rafs/push.h"

/*
 * A bootstrap into a target, with the manifest that makes it an image. Its blobs are
 * there already.
 */

struct push_image {
    struct compose_image
        image; /* with its blobs; what is of the bootstrap is filled in */
    /* Bytes of the bootstrap; *got less than len only at its end. */
    int (*read)(void *user, uint64_t offset, void *buf, size_t len, size_t *got,
                rafs_error *err);
    void *user;
    uint64_t size;          /* of it */
    const char *tag;        /* as rafs_target_put_manifest(); NULL: by its digest alone */
    uint64_t manifest_size; /* filled in */
};

/* digest: of the manifest. */
int rafsi_push_image(rafs_target *to, struct push_image *push, uint8_t *digest,
                     const rafs_call *call, rafs_error *err);

/* A document as a blob of the target. */
int rafsi_push_text(rafs_target *to, const void *data, size_t len,
                    struct compose_blob *out, const rafs_call *call, rafs_error *err);

/* boot_layer.c: the bootstrap's layer into a target; its digest and size, and that of the
 * tar in it, into push->image. */
int rafsi_push_boot(rafs_target *to, struct push_image *push, const rafs_call *call,
                    rafs_error *err);

#endif
