/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/backend.h"

#include <inttypes.h>

enum { BACKEND_NAME_BYTES = 81 };

struct rafs_backend {
    struct rafsi_env env;
    rafs_backend_ops ops;
    void *user;
    char name[BACKEND_NAME_BYTES];
};

void rafs_backend_ops_init(rafs_backend_ops *ops)
{
    memset(ops, 0, sizeof(*ops));
    ops->struct_size = sizeof(*ops);
}

int rafs_backend_new(const rafs_backend_ops *ops, void *user, const rafs_env *env,
                     rafs_backend **out, rafs_error *err)
{
    rafs_backend made;
    rafs_backend *backend;
    int rc;

    if (!ops || !out)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "backend",
                          "ops or out is NULL");
    rc = rafsi_take_struct(ops, &made.ops, sizeof(made.ops), "rafs_backend_ops", err);
    if (rc < 0)
        return rc;
    if (!made.ops.open || !made.ops.read)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "backend",
                          "open and read must be set");
    if (made.ops.flags & ~(uint32_t)(RAFS_BACKEND_REMOTE | RAFS_BACKEND_RELAYED))
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_ARGUMENT, "backend",
                          "flags 0x%x are not known", made.ops.flags);
    rc = rafsi_env_take(env, &made.env, err);
    if (rc < 0)
        return rc;
    made.user = user;
    rafsi_text_copy(made.name, sizeof(made.name),
                    made.ops.name ? made.ops.name : "program");
    made.ops.name = NULL;
    backend = rafsi_alloc(&made.env, sizeof(*backend));
    if (!backend)
        return rafsi_fail_nomem(err, sizeof(*backend));
    *backend = made;
    *out = backend;
    return RAFS_OK;
}

const char *rafsi_backend_name(const rafs_backend *backend)
{
    return backend->name;
}

bool rafsi_backend_remote(const rafs_backend *backend)
{
    return backend->ops.flags & RAFS_BACKEND_REMOTE;
}

bool rafsi_backend_relayed(const rafs_backend *backend)
{
    return backend->ops.flags & RAFS_BACKEND_RELAYED;
}

void rafs_backend_free(rafs_backend *backend)
{
    if (!backend)
        return;
    if (backend->ops.release)
        backend->ops.release(backend->user);
    rafsi_free(&backend->env, backend);
}

/*
 * Make sense of a code that a callback returned: only those that mean something for a
 * source pass; a code that is none becomes RAFS_E_BACKEND. The error is completed where
 * the callback left it empty.
 */
static int judge(int rc, const char *what, const char *blob_id, rafs_error *local,
                 rafs_error *err)
{
    if (rc == RAFS_OK)
        return rc;
    switch (rc) {
    case RAFS_E_NOMEM:
    case RAFS_E_UNSUPPORTED:
    case RAFS_E_TIMEOUT:
    case RAFS_E_CANCELLED:
    case RAFS_E_NOENT:
        break;
    default:
        rc = RAFS_E_BACKEND;
    }
    if (!err)
        return rc;
    if (local->text[0] == '\0')
        rafsi_fail(local, rc, RAFS_STAGE_FETCH, NULL, "the source failed to %s the blob",
                   what);
    local->text[sizeof(local->text) - 1] = '\0';
    local->object[sizeof(local->object) - 1] = '\0';
    local->code = rc;
    if (local->stage == RAFS_STAGE_NONE)
        local->stage = RAFS_STAGE_FETCH;
    rafsi_fail_object(local, rc, "blob %s", blob_id);
    *err = *local;
    return rc;
}

int rafsi_backend_open(rafs_backend *backend, const char *blob_id, const rafs_call *call,
                       struct rafsi_blob_handle *out, rafs_error *err)
{
    rafs_error local = RAFS_ERROR_INIT;
    void *blob = NULL;
    int rc = rafsi_call_check(&backend->env, call, RAFS_STAGE_FETCH, err);

    if (rc < 0)
        return rc;
    rc = backend->ops.open(backend->user, blob_id, &blob, call, &local);
    rc = judge(rc, "open", blob_id, &local, err);
    if (rc == RAFS_OK)
        *out = (struct rafsi_blob_handle){backend, blob};
    return rc;
}

void rafsi_backend_close(struct rafsi_blob_handle *handle)
{
    if (handle->backend && handle->backend->ops.close)
        handle->backend->ops.close(handle->backend->user, handle->blob);
    handle->backend = NULL;
}

int rafsi_backend_size(const struct rafsi_blob_handle *handle, const char *blob_id,
                       const rafs_call *call, uint64_t *size, rafs_error *err)
{
    rafs_backend *backend = handle->backend;
    rafs_error local = RAFS_ERROR_INIT;
    uint64_t told = 0;
    int rc;

    if (!backend->ops.size)
        return rafsi_fail(err, RAFS_E_UNSUPPORTED, RAFS_STAGE_FETCH, NULL,
                          "the source cannot tell the length of a blob");
    rc = rafsi_call_check(&backend->env, call, RAFS_STAGE_FETCH, err);
    if (rc < 0)
        return rc;
    rc = backend->ops.size(backend->user, handle->blob, &told, call, &local);
    rc = judge(rc, "measure", blob_id, &local, err);
    if (rc == RAFS_OK)
        *size = told;
    return rc;
}

int rafsi_backend_read(const struct rafsi_blob_handle *handle, const char *blob_id,
                       uint64_t offset, void *buf, size_t len, const rafs_call *call,
                       uint64_t *requests, rafs_error *err)
{
    rafs_backend *backend = handle->backend;
    rafs_error local = RAFS_ERROR_INIT;
    size_t got = 0;
    int rc = rafsi_call_check(&backend->env, call, RAFS_STAGE_FETCH, err);

    if (rc < 0)
        return rc;
    ++*requests;
    rc = backend->ops.read(backend->user, handle->blob, offset, buf, len, &got, call,
                           &local);
    rc = judge(rc, "read", blob_id, &local, err);
    if (rc < 0)
        return rc;
    if (got > len)
        return rafsi_fail(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL,
                          "the source says it gave %zu bytes where %zu were asked", got,
                          len);
    if (got < len)
        return rafsi_fail_at(err, RAFS_E_BACKEND, RAFS_STAGE_FETCH, NULL, offset + got,
                             "the blob ends here; %zu more bytes are wanted: is it "
                             "complete?",
                             len - got);
    return RAFS_OK;
}
