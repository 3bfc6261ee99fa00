/* SPDX-License-Identifier: Apache-2.0 */
#include "build/sink.h"

#include <string.h>

void rafs_sink_ops_init(rafs_sink_ops *ops)
{
    memset(ops, 0, sizeof(*ops));
    ops->struct_size = sizeof(*ops);
}

int rafs_sink_new(const rafs_sink_ops *ops, void *user, const rafs_env *env,
                  rafs_sink **out, rafs_error *err)
{
    struct rafsi_env taken;
    rafs_sink_ops set;
    rafs_sink *sink;
    int rc;

    if (!ops || !out)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "sink", "%s is NULL",
                          ops ? "out" : "ops");
    rc = rafsi_take_struct(ops, &set, sizeof(set), "rafs_sink_ops", err);
    if (rc == RAFS_OK)
        rc = rafsi_env_take(env, &taken, err);
    if (rc < 0)
        return rc;
    if (!set.begin || !set.write || !set.commit || !set.abort)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "sink",
                          "begin, write, commit and abort have to be set");
    sink = rafsi_alloc_zero(&taken, sizeof(*sink));
    if (!sink)
        return rafsi_fail_nomem(err, sizeof(*sink));
    sink->env = taken;
    sink->ops = set;
    sink->user = user;
    *out = sink;
    return RAFS_OK;
}

void rafs_sink_free(rafs_sink *sink)
{
    struct rafsi_env env;

    if (!sink)
        return;
    env = sink->env;
    if (sink->ops.release)
        sink->ops.release(sink->user);
    rafsi_free(&env, sink);
}

int rafsi_answer(int rc, const char *object, const char *what, rafs_error *err)
{
    if (rc == RAFS_OK)
        return rc;
    if (rc > 0 || rc < RAFS_E_AGAIN)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_FETCH, object,
                          "%s returned %d, which is no RAFS_E_ code", what, rc);
    if (err && err->code != rc)
        return rafsi_fail(err, rc, RAFS_STAGE_FETCH, object, "%s failed", what);
    return rc;
}

static int answer(int rc, const char *what, rafs_error *err)
{
    return rafsi_answer(rc, "sink", what, err);
}

int rafsi_out_begin(struct rafsi_out *out, rafs_sink *sink, struct rafsi_hashes *hashes,
                    uint32_t kind, const rafs_call *call, rafs_error *err)
{
    int rc;

    memset(out, 0, sizeof(*out));
    rc = rafsi_hash_begin(hashes, RAFSI_SHA256, &out->hash, err);
    if (rc < 0)
        return rc;
    if (sink)
        rc = answer(sink->ops.begin(sink->user, kind, &out->object, call, err), "begin",
                    err);
    if (rc < 0) {
        rafsi_hash_drop(&out->hash);
        return rc;
    }
    out->sink = sink;
    out->kind = kind;
    out->open = true;
    return RAFS_OK;
}

int rafsi_out_write(struct rafsi_out *out, const void *data, size_t len,
                    const rafs_call *call, rafs_error *err)
{
    rafs_sink *sink = out->sink;
    int rc;

    if (len == 0)
        return RAFS_OK;
    rc = rafsi_hash_add(&out->hash, data, len, err);
    if (rc == RAFS_OK && sink)
        rc = answer(sink->ops.write(sink->user, out->object, data, len, call, err),
                    "write", err);
    if (rc == RAFS_OK)
        out->size += len;
    return rc;
}

int rafsi_out_commit(struct rafsi_out *out, uint8_t sha256[32], const rafs_call *call,
                     rafs_error *err)
{
    rafs_sink_object what = {.struct_size = sizeof(what), .kind = out->kind};
    rafs_sink *sink = out->sink;
    int rc = rafsi_hash_end(&out->hash, what.sha256, err);

    if (rc < 0) {
        rafsi_out_abort(out);
        return rc;
    }
    what.size = out->size;
    out->open = false;
    if (sink)
        rc = answer(sink->ops.commit(sink->user, out->object, &what, call, err), "commit",
                    err);
    if (rc == RAFS_OK)
        memcpy(sha256, what.sha256, sizeof(what.sha256));
    return rc;
}

void rafsi_out_abort(struct rafsi_out *out)
{
    if (!out->open)
        return;
    out->open = false;
    rafsi_hash_drop(&out->hash);
    if (out->sink)
        out->sink->ops.abort(out->sink->user, out->object);
}
