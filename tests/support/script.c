/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

#include <string.h>

const char *const script_fault_names[SCRIPT_FAULTS] = {
    "good",  "fails",  "short",    "empty",    "altered", "late",
    "hangs", "claims", "nonsense", "positive", "noent",   "nomem"};

void script_init(struct script *script, const struct bytes *blobs, const char (*ids)[80],
                 size_t count, struct watch *watch)
{
    memset(script, 0, sizeof(*script));
    script->blobs = blobs;
    script->ids = ids;
    script->count = count;
    script->watch = watch;
    script->fault_at = WATCH_NEVER;
}

void script_arm(struct script *script, enum script_fault fault, size_t at)
{
    script->fault = fault;
    script->fault_at = at;
    atomic_store(&script->answers, 0);
    atomic_store(&script->fired, false);
}

/* Is it time to do wrong? */
static enum script_fault next(struct script *script)
{
    size_t answer = atomic_fetch_add(&script->answers, 1);

    if (answer != script->fault_at && !(script->fault_stays && answer > script->fault_at))
        return SCRIPT_GOOD;
    atomic_store(&script->fired, true);
    return script->fault;
}

/* Faults that are a code, and those that are time. 0: go on. */
static int misbehave(struct script *script, enum script_fault fault,
                     const rafs_call *call)
{
    if (call->deadline_ns == 0)
        atomic_store(&script->without_deadline, true);
    atomic_store(&script->last_deadline, call->deadline_ns);
    if ((fault == SCRIPT_LATE || fault == SCRIPT_HANGS) && call->deadline_ns != 0)
        atomic_store(&script->watch->now_ns, call->deadline_ns + 1);
    switch (fault) {
    case SCRIPT_FAILS:
        return RAFS_E_BACKEND;
    case SCRIPT_HANGS:
        return RAFS_E_TIMEOUT;
    case SCRIPT_NONSENSE:
        return -1000;
    case SCRIPT_POSITIVE:
        return 7;
    case SCRIPT_NOENT:
        return RAFS_E_NOENT;
    case SCRIPT_NOMEM:
        return RAFS_E_NOMEM;
    default:
        return RAFS_OK;
    }
}

static int script_open(void *user, const char *blob_id, void **blob,
                       const rafs_call *call, rafs_error *err)
{
    struct script *script = user;
    int rc = misbehave(script, next(script), call);

    (void)err;
    atomic_fetch_add(&script->opens, 1);
    if (rc != RAFS_OK) {
        atomic_fetch_sub(&script->opens, 1); /* closes have to come out even */
        return rc;
    }
    for (size_t i = 0; i < script->count; i++)
        if (!script->ids || strcmp(script->ids[i], blob_id) == 0) {
            *blob = (void *)(uintptr_t)&script->blobs[i];
            return RAFS_OK;
        }
    atomic_fetch_sub(&script->opens, 1);
    return RAFS_E_NOENT;
}

static int script_size(void *user, void *blob, uint64_t *size, const rafs_call *call,
                       rafs_error *err)
{
    struct script *script = user;
    const struct bytes *bytes = blob;
    enum script_fault fault = next(script);
    int rc = misbehave(script, fault, call);

    (void)err;
    atomic_fetch_add(&script->sizes, 1);
    if (rc != RAFS_OK)
        return rc;
    *size = bytes->len;
    if (fault == SCRIPT_SHORT && bytes->len > 0)
        *size = bytes->len - 1;
    if (fault == SCRIPT_EMPTY)
        *size = 0;
    if (fault == SCRIPT_CLAIMS)
        *size = UINT64_MAX;
    return RAFS_OK;
}

static int script_read(void *user, void *blob, uint64_t offset, void *buf, size_t len,
                       size_t *nread, const rafs_call *call, rafs_error *err)
{
    struct script *script = user;
    const struct bytes *bytes = blob;
    enum script_fault fault = next(script);
    size_t have = offset < bytes->len ? bytes->len - (size_t)offset : 0;
    size_t give = have < len ? have : len;
    int rc;

    atomic_fetch_add(&script->reads, 1);
    rc = misbehave(script, fault, call);
    if (rc == RAFS_OK && script->before_read)
        rc = script->before_read(script->before_user, offset, call);
    if (rc != RAFS_OK)
        return fault == SCRIPT_FAILS
                   ? rafs_error_set(err, rc, 5, NULL, "the script says so")
                   : rc;
    if (fault == SCRIPT_SHORT && give > 0)
        give--;
    if (fault == SCRIPT_EMPTY)
        give = 0;
    if (give > 0)
        memcpy(buf, bytes->at + offset, give);
    if (fault == SCRIPT_ALTERED && give > 0)
        ((uint8_t *)buf)[give / 2] ^= 0x10;
    *nread = fault == SCRIPT_CLAIMS ? len + 1 : give;
    return RAFS_OK;
}

static void script_close(void *user, void *blob)
{
    struct script *script = user;

    (void)blob;
    atomic_fetch_add(&script->closes, 1);
}

static void script_release(void *user)
{
    struct script *script = user;

    atomic_fetch_add(&script->releases, 1);
}

rafs_backend_ops script_ops(void)
{
    rafs_backend_ops ops = RAFS_BACKEND_OPS_INIT;

    ops.open = script_open;
    ops.size = script_size;
    ops.read = script_read;
    ops.close = script_close;
    ops.release = script_release;
    return ops;
}

rafs_backend *script_backend(struct script *script, const rafs_env *env)
{
    rafs_backend_ops ops = script_ops();
    rafs_backend *backend = NULL;

    NEED(rafs_backend_new(&ops, script, env, &backend, NULL) == RAFS_OK);
    return backend;
}
