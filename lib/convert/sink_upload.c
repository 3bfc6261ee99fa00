/* SPDX-License-Identifier: Apache-2.0 */
/* A sink whose blobs are uploads. A failure abandons them: nothing appears in the target
 * but what was complete. */
#include "convert/layers.h"

enum { BOOT_FIRST = 64 << 10 };
#define BOOT_MAX ((size_t)1 << 30)

static int on_begin(void *user, uint32_t kind, void **object, const rafs_call *call,
                    rafs_error *err)
{
    struct upload_sink *sink = user;
    rafs_upload *upload = NULL;
    int rc;

    if (kind != RAFS_OBJECT_BLOB) {
        *object = sink;
        return RAFS_OK;
    }
    if (!sink->to)
        return rafsi_fail(err, RAFS_E_BUG, RAFS_STAGE_FETCH, "merge",
                          "there is data where only names are expected");
    rc = rafsi_upload_new(sink->to, &upload, call, err);
    *object = upload;
    return rc;
}

static int grow(struct upload_sink *sink, size_t len, rafs_error *err)
{
    size_t room = sink->boot_room ? sink->boot_room : BOOT_FIRST;
    uint8_t *larger;

    if (len > BOOT_MAX - sink->boot_len)
        return rafsi_fail(err, RAFS_E_LIMIT, RAFS_STAGE_FETCH, "bootstrap",
                          "of more than %zu bytes", BOOT_MAX);
    while (room < sink->boot_len + len)
        room *= 2;
    if (room == sink->boot_room)
        return RAFS_OK;
    larger = rafsi_alloc(sink->env, room);
    if (!larger)
        return rafsi_fail_nomem(err, room);
    if (sink->boot_len > 0)
        memcpy(larger, sink->boot, sink->boot_len);
    rafsi_free(sink->env, sink->boot);
    sink->boot = larger;
    sink->boot_room = room;
    return RAFS_OK;
}

static int on_write(void *user, void *object, const void *data, size_t len,
                    const rafs_call *call, rafs_error *err)
{
    struct upload_sink *sink = user;
    int rc;

    if (object != sink)
        return rafsi_upload_write(object, data, len, call, err);
    rc = grow(sink, len, err);
    if (rc < 0)
        return rc;
    memcpy(sink->boot + sink->boot_len, data, len);
    sink->boot_len += len;
    return RAFS_OK;
}

static int on_commit(void *user, void *object, const rafs_sink_object *what,
                     const rafs_call *call, rafs_error *err)
{
    struct upload_sink *sink = user;
    int rc;

    if (object == sink)
        return RAFS_OK;
    rc = rafsi_upload_commit(object, what->sha256, sink->blob.digest, &sink->blob.size,
                             call, err);
    rafsi_upload_free(object);
    return rc;
}

static void on_abort(void *user, void *object)
{
    if (object != user)
        rafsi_upload_free(object);
}

/* What an index of chunks names has to be where the image goes to. */
static int on_has(void *user, const char *blob_id, uint64_t size, const rafs_call *call,
                  rafs_error *err)
{
    struct upload_sink *sink = user;
    uint8_t digest[OCI_DIGEST_BYTES];
    uint64_t has = UINT64_MAX;
    int rc;

    if (!sink->to || strlen(blob_id) != 64 || !rafsi_digest_parse(blob_id, 64, digest))
        return RAFS_E_NOENT;
    rc = sink->to->kind->has(sink->to, digest, &has, call, err);
    return rc == RAFS_OK && has != UINT64_MAX && size != 0 && has != size ? RAFS_E_NOENT
                                                                          : rc;
}

int rafsi_upload_sink(struct upload_sink *sink, rafs_sink **out, rafs_error *err)
{
    rafs_sink_ops ops = RAFS_SINK_OPS_INIT;

    ops.begin = on_begin;
    ops.write = on_write;
    ops.commit = on_commit;
    ops.abort = on_abort;
    ops.has = on_has;
    return rafs_sink_new(&ops, sink, &sink->env->set, out, err);
}

void rafsi_upload_sink_drop(struct upload_sink *sink)
{
    rafsi_free(sink->env, sink->boot);
    sink->boot = NULL;
}
