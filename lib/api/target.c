/* SPDX-License-Identifier: Apache-2.0 */
/* Repositories that can be written. */
#include "api/pull.h"

void rafs_target_options_init(rafs_target_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

int rafs_target_open(const char *where, const rafs_target_options *options,
                     rafs_target **out, const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc;

    if (!where || !out)
        return rafsi_fail_null(err, where ? "out" : "where");
    rc = rafsi_call_take(call, &taken, err);
    return rc < 0 ? rc : rafsi_target_open(where, options, out, &taken, err);
}

void rafs_target_close(rafs_target *target)
{
    rafsi_target_close(target);
}

const char *rafs_target_tag(const rafs_target *target)
{
    return target ? target->where.reference.tag : "";
}

int rafs_target_has_blob(rafs_target *target, const uint8_t digest[RAFS_DIGEST_BYTES],
                         uint64_t *size, const rafs_call *call, rafs_error *err)
{
    uint64_t found = UINT64_MAX;
    rafs_call taken;
    int rc;

    if (!target || !digest)
        return rafsi_fail_null(err, target ? "digest" : "target");
    rc = rafsi_call_take(call, &taken, err);
    if (rc == RAFS_OK)
        rc = target->kind->has(target, digest, &found, &taken, err);
    if (rc == RAFS_OK && size)
        *size = found;
    return rafsi_fail_object(err, rc, "%s", target->name);
}

int rafs_target_mount_blob(rafs_target *target, const uint8_t digest[RAFS_DIGEST_BYTES],
                           const char *repository, const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc;

    if (!target || !digest || !repository)
        return rafsi_fail_null(err, !target  ? "target"
                                    : digest ? "repository"
                                             : "digest");
    rc = rafsi_call_take(call, &taken, err);
    if (rc == RAFS_OK)
        rc = rafsi_target_mount(target, digest, repository, &taken, err);
    return rafsi_fail_object(err, rc, "%s", target->name);
}

int rafs_upload_new(rafs_target *target, rafs_upload **out, const rafs_call *call,
                    rafs_error *err)
{
    rafs_call taken;
    int rc;

    if (!target || !out)
        return rafsi_fail_null(err, target ? "out" : "target");
    rc = rafsi_call_take(call, &taken, err);
    return rc < 0 ? rc : rafsi_upload_new(target, out, &taken, err);
}

int rafs_upload_write(rafs_upload *upload, const void *data, size_t len,
                      const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc;

    if (!upload || (!data && len > 0))
        return rafsi_fail_null(err, upload ? "data" : "upload");
    rc = rafsi_call_take(call, &taken, err);
    return rc < 0 ? rc : rafsi_upload_write(upload, data, len, &taken, err);
}

int rafs_upload_commit(rafs_upload *upload, const uint8_t expect[RAFS_DIGEST_BYTES],
                       uint8_t digest[RAFS_DIGEST_BYTES], uint64_t *size,
                       const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc;

    if (!upload)
        return rafsi_fail_null(err, "upload");
    rc = rafsi_call_take(call, &taken, err);
    return rc < 0 ? rc : rafsi_upload_commit(upload, expect, digest, size, &taken, err);
}

void rafs_upload_free(rafs_upload *upload)
{
    rafsi_upload_free(upload);
}

int rafs_target_put_manifest(rafs_target *target, const void *data, size_t len,
                             const char *media_type, const char *tag,
                             uint8_t digest[RAFS_DIGEST_BYTES], const rafs_call *call,
                             rafs_error *err)
{
    rafs_call taken;
    int rc;

    if (!target || !data)
        return rafsi_fail_null(err, target ? "data" : "target");
    rc = rafsi_call_take(call, &taken, err);
    return rc < 0 ? rc
                  : rafsi_target_put(target, data, len, media_type, tag, digest, &taken,
                                     err);
}

int rafs_target_finish(rafs_target *target, const rafs_call *call, rafs_error *err)
{
    rafs_call taken;
    int rc;

    if (!target)
        return rafsi_fail_null(err, "target");
    rc = rafsi_call_take(call, &taken, err);
    if (rc == RAFS_OK && target->kind->finish)
        rc = target->kind->finish(target, &taken, err);
    return rafsi_fail_object(err, rc, "%s", target->name);
}
