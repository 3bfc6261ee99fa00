/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/push.h"

int rafsi_push_text(rafs_target *to, const void *data, size_t len,
                    struct compose_blob *out, const rafs_call *call, rafs_error *err)
{
    rafs_upload *upload = NULL;
    int rc = rafsi_upload_new(to, &upload, call, err);

    if (rc == RAFS_OK)
        rc = rafsi_upload_write(upload, data, len, call, err);
    if (rc == RAFS_OK)
        rc = rafsi_upload_commit(upload, NULL, out->digest, &out->size, call, err);
    rafsi_upload_free(upload);
    return rc;
}

int rafsi_push_image(rafs_target *to, struct push_image *push, uint8_t *digest,
                     const rafs_call *call, rafs_error *err)
{
    struct compose_blob config;
    char *text = NULL;
    size_t len = 0;
    int rc = rafsi_push_boot(to, push, call, err);

    if (rc == RAFS_OK)
        rc = rafsi_compose_config(&to->env, &push->image, &text, &len, err);
    if (rc == RAFS_OK)
        rc = rafsi_push_text(to, text, len, &config, call, err);
    rafsi_free(&to->env, text);
    text = NULL;
    if (rc == RAFS_OK)
        rc = rafsi_compose_manifest(&to->env, &push->image, &config, &text, &len, err);
    if (rc == RAFS_OK)
        rc = rafsi_target_put(to, text, len, NULL, push->tag, digest, call, err);
    push->manifest_size = len;
    rafsi_free(&to->env, text);
    return rc;
}
