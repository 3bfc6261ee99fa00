/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/target.h"

#include <stdio.h>

static const char *bare(const char *reference)
{
    static const char scheme[] = "docker://";

    return strncmp(reference, scheme, sizeof(scheme) - 1) == 0
               ? reference + sizeof(scheme) - 1
               : reference;
}

static int check_options(const rafs_target_options *options, rafs_error *err)
{
    if (options->flags & ~(uint32_t)RAFS_TARGET_REPLACE)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT,
                          "rafs_target_options", "flags 0x%x are not known",
                          options->flags);
    if (options->part_bytes &&
        (options->part_bytes < TARGET_PART_MIN || options->part_bytes > TARGET_PART_MAX))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "rafs_target_options",
                          "part_bytes is not within %d and %d", TARGET_PART_MIN,
                          TARGET_PART_MAX);
    return RAFS_OK;
}

static int open_kind(rafs_target *target, const rafs_target_options *options,
                     const rafs_call *call, rafs_error *err)
{
    if (target->where.kind == OCI_IN_REGISTRY)
        return rafsi_target_registry(target, options, err);
    snprintf(target->name, sizeof(target->name), "%s", target->where.path);
    if (target->where.kind == OCI_IN_LAYOUT)
        return rafsi_target_layout(target, call, err);
    return rafsi_target_archive(target, options->flags & RAFS_TARGET_REPLACE, call, err);
}

int rafsi_target_open(const char *where, const rafs_target_options *options,
                      rafs_target **out, const rafs_call *call, rafs_error *err)
{
    rafs_target_options wanted;
    struct rafsi_env env;
    rafs_target *target;
    int rc =
        rafsi_take_struct(options, &wanted, sizeof(wanted), "rafs_target_options", err);

    if (rc == RAFS_OK)
        rc = check_options(&wanted, err);
    if (rc == RAFS_OK)
        rc = rafsi_env_take(wanted.env, &env, err);
    if (rc < 0)
        return rc;
    target = rafsi_alloc_zero(&env, sizeof(*target));
    if (!target)
        return rafsi_fail_nomem(err, sizeof(*target));
    target->env = env;
    target->part_bytes = wanted.part_bytes ? wanted.part_bytes : TARGET_PART_DEFAULT;
    rc = rafsi_hashes_new(&env, &target->hashes, err);
    if (rc == RAFS_OK)
        rc = rafsi_oci_where_parse(&env, where, &target->where, err);
    if (rc == RAFS_OK)
        rc = open_kind(target, &wanted, call, err);
    if (rc < 0) {
        if (target->name[0])
            rafsi_fail_object(err, rc, "%s", target->name);
        rafsi_target_close(target);
    } else {
        *out = target;
    }
    return rc;
}

void rafsi_target_close(rafs_target *target)
{
    struct rafsi_env env;

    if (!target)
        return;
    env = target->env;
    if (target->kind)
        target->kind->close(target);
    rafsi_oci_where_drop(&env, &target->where);
    rafsi_hashes_free(target->hashes);
    rafsi_free(&env, target);
}

int rafsi_target_mount(rafs_target *target, const uint8_t *digest, const char *from,
                       const rafs_call *call, rafs_error *err)
{
    struct oci_reference reference;
    int rc = rafsi_oci_reference_parse(bare(from), &reference, err);

    if (rc < 0)
        return rc;
    if (!target->kind->mount ||
        strcmp(reference.host, target->where.reference.host) != 0 ||
        strcmp(reference.repo, target->where.reference.repo) == 0)
        return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, target->name,
                          "there is no other repository of this host to take it from");
    return target->kind->mount(target, digest, &reference, call, err);
}

int rafsi_upload_new(rafs_target *target, rafs_upload **out, const rafs_call *call,
                     rafs_error *err)
{
    rafs_upload *upload = rafsi_alloc_zero(&target->env, sizeof(*upload));
    int rc;

    if (!upload)
        return rafsi_fail_nomem(err, sizeof(*upload));
    upload->target = target;
    upload->room = target->part_bytes;
    upload->buffer = rafsi_alloc(&target->env, upload->room);
    rc = upload->buffer ? RAFS_OK : rafsi_fail_nomem(err, upload->room);
    if (rc == RAFS_OK)
        rc = rafsi_hash_begin(target->hashes, RAFSI_SHA256, &upload->hash, err);
    if (rc == RAFS_OK)
        rc = target->kind->begin(upload, call, err);
    if (rc < 0) {
        rafsi_hash_drop(&upload->hash);
        rafsi_free(&target->env, upload->buffer);
        rafsi_free(&target->env, upload);
    } else {
        *out = upload;
    }
    return rafsi_fail_object(err, rc, "%s", target->name);
}

static int is_over(const rafs_upload *upload, rafs_error *err)
{
    return upload->ended ? rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "upload",
                                      "was committed, or failed, before")
                         : RAFS_OK;
}

/* A full buffer goes out only when more comes: so the last part is never empty. */
static int take(rafs_upload *upload, const uint8_t **data, size_t *len,
                const rafs_call *call, rafs_error *err)
{
    size_t use;
    int rc = RAFS_OK;

    if (upload->fill == upload->room)
        rc = upload->target->kind->part(upload, call, err);
    if (rc < 0)
        return rc;
    use = (size_t)rafsi_min(*len, upload->room - upload->fill);
    memcpy(upload->buffer + upload->fill, *data, use);
    upload->fill += use;
    upload->size += use;
    *data += use;
    *len -= use;
    return RAFS_OK;
}

int rafsi_upload_write(rafs_upload *upload, const void *data, size_t len,
                       const rafs_call *call, rafs_error *err)
{
    const uint8_t *at = data;
    int rc = is_over(upload, err);

    if (rc < 0)
        return rc;
    if (len > 0)
        rc = rafsi_hash_add(&upload->hash, data, len, err);
    while (rc == RAFS_OK && len > 0)
        rc = take(upload, &at, &len, call, err);
    upload->ended = rc < 0;
    return rafsi_fail_object(err, rc, "%s", upload->target->name);
}

static int compare(const uint8_t *digest, const uint8_t *expect, rafs_error *err)
{
    char want[65], have[65];

    if (!expect || rafsi_digest_equal(digest, expect))
        return RAFS_OK;
    rafsi_digest_hex(expect, want);
    rafsi_digest_hex(digest, have);
    return rafsi_fail(err, RAFS_E_CORRUPT, RAFS_STAGE_VERIFY, NULL,
                      "digest mismatch: the blob is %s, expected was %s", have, want);
}

int rafsi_upload_commit(rafs_upload *upload, const uint8_t *expect, uint8_t *digest,
                        uint64_t *size, const rafs_call *call, rafs_error *err)
{
    uint8_t found[OCI_DIGEST_BYTES];
    int rc = is_over(upload, err);

    if (rc < 0)
        return rc;
    upload->ended = true;
    rc = rafsi_hash_end(&upload->hash, found, err);
    if (rc == RAFS_OK)
        rc = compare(found, expect, err);
    if (rc == RAFS_OK)
        rc = upload->target->kind->commit(upload, found, call, err);
    if (rc < 0)
        return rafsi_fail_object(err, rc, "%s", upload->target->name);
    if (digest)
        memcpy(digest, found, sizeof(found));
    if (size)
        *size = upload->size;
    return RAFS_OK;
}

void rafsi_upload_free(rafs_upload *upload)
{
    struct rafsi_env env;

    if (!upload)
        return;
    env = upload->target->env;
    upload->target->kind->abandon(upload);
    rafsi_hash_drop(&upload->hash);
    rafsi_free(&env, upload->buffer);
    rafsi_free(&env, upload);
}

/* Registries allow for no other; a layout could hold it, and nobody could name it then.
 */
static int check_tag(const rafs_target *target, const char *tag, rafs_error *err)
{
    size_t len = tag ? strlen(tag) : 0;
    size_t good = tag ? strspn(tag, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789_.-")
                      : 0;

    if (target->where.kind != OCI_IN_REGISTRY) {
        good = len;
        for (size_t i = 0; i < len; i++)
            if ((unsigned char)tag[i] < 0x20 || tag[i] == 0x7f)
                good = i;
    }
    if (len == good && len < OCI_TAG_MAX &&
        !(len > 0 && (tag[0] == '.' || tag[0] == '-')))
        return RAFS_OK;
    return rafsi_fail_at(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "tag", good,
                         "is no tag (at byte %zu)", good);
}

int rafsi_target_put(rafs_target *target, const void *data, size_t len,
                     const char *media_type, const char *tag, uint8_t *digest,
                     const rafs_call *call, rafs_error *err)
{
    struct oci_put put = {.data = data, .len = len, .tag = tag};
    struct oci_facts facts = {.descriptor = NULL};
    int rc = check_tag(target, tag, err);

    if (rc == RAFS_OK)
        rc = rafsi_hash_bytes(target->hashes, RAFSI_SHA256, data, len, put.digest, err);
    if (rc == RAFS_OK)
        rc = rafsi_oci_facts(data, len, media_type, put.digest, &facts, err);
    if (rc == RAFS_OK && tag && target->where.reference.has_digest &&
        strcmp(tag, target->where.reference.tag) == 0 &&
        !rafsi_digest_equal(put.digest, target->where.reference.digest))
        rc = rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, target->name,
                        "the target names another digest than the image has");
    if (rc == RAFS_OK) {
        put.media_type = facts.media_type;
        put.has_subject = facts.has_subject;
        memcpy(put.subject, facts.subject, sizeof(put.subject));
        put.descriptor = facts.descriptor;
        rc = target->kind->put(target, &put, call, err);
    }
    if (rc == RAFS_OK && digest)
        memcpy(digest, put.digest, sizeof(put.digest));
    rafsi_oci_facts_drop(&facts);
    return rafsi_fail_object(err, rc, "%s", target->name);
}
