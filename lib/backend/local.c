/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/backend.h"

/*
 * The built-in backends: a directory of blobs, one file or part of one, memory. Each is
 * an ordinary set of callbacks, made with the public rafs_backend_new().
 */

struct local {
    struct rafsi_env env;
    int fd; /* the directory or the file; −1: memory */
    uint64_t offset;
    uint64_t size; /* of the one blob */
    const uint8_t *memory;
    char *only; /* the id that it answers to; NULL: to all */
};

/* A blob that a directory has opened. The others need no more than the local itself. */
struct opened {
    const struct rafsi_env *env;
    int fd;
    uint64_t size;
};

static void local_release(void *user)
{
    struct local *local = user;

    if (local->fd >= 0)
        close(local->fd);
    rafsi_free(&local->env, local->only);
    rafsi_free(&local->env, local);
}

static int local_new(const rafs_env *env, struct local **out, rafs_error *err)
{
    struct rafsi_env taken;
    int rc = rafsi_env_take(env, &taken, err);

    if (rc < 0)
        return rc;
    *out = rafsi_alloc_zero(&taken, sizeof(**out));
    if (!*out)
        return rafsi_fail_nomem(err, sizeof(**out));
    (*out)->env = taken;
    (*out)->fd = -1;
    return RAFS_OK;
}

/* Hand a local over to a backend, or take it down. */
static int publish(struct local *local, const rafs_backend_ops *ops, const char *name,
                   const rafs_env *env, rafs_backend **out, rafs_error *err)
{
    rafs_backend_ops named = *ops;
    int rc;

    named.name = name;
    rc = rafs_backend_new(&named, local, env, out, err);

    if (rc < 0)
        local_release(local);
    return rc;
}

static int directory_open(void *user, const char *blob_id, void **blob,
                          const rafs_call *call, rafs_error *err)
{
    struct local *local = user;
    struct opened *opened;
    int rc;

    (void)call;
    opened = rafsi_alloc(&local->env, sizeof(*opened));
    if (!opened)
        return rafsi_fail_nomem(err, sizeof(*opened));
    opened->env = &local->env;
    rc = rafsi_file_open(local->fd, blob_id, &opened->fd, err);
    if (rc == RAFS_OK) {
        rc = rafsi_file_size(opened->fd, &opened->size, err);
        if (rc < 0)
            close(opened->fd);
    }
    if (rc < 0) {
        rafsi_free(&local->env, opened);
        return rc;
    }
    *blob = opened;
    return RAFS_OK;
}

static int directory_size(void *user, void *blob, uint64_t *size, const rafs_call *call,
                          rafs_error *err)
{
    struct opened *opened = blob;

    (void)user;
    (void)call;
    (void)err;
    *size = opened->size;
    return RAFS_OK;
}

static int directory_read(void *user, void *blob, uint64_t offset, void *buf, size_t len,
                          size_t *nread, const rafs_call *call, rafs_error *err)
{
    struct opened *opened = blob;

    (void)user;
    (void)call;
    if (offset > INT64_MAX - len) {
        *nread = 0;
        return RAFS_OK;
    }
    return rafsi_file_read(opened->fd, offset, buf, len, nread, err);
}

static void directory_close(void *user, void *blob)
{
    struct opened *opened = blob;

    (void)user;
    close(opened->fd);
    rafsi_free(opened->env, opened);
}

int rafs_backend_new_directory(const char *path, const rafs_env *env, rafs_backend **out,
                               rafs_error *err)
{
    static const rafs_backend_ops ops = {.struct_size = sizeof(ops),
                                         .open = directory_open,
                                         .size = directory_size,
                                         .read = directory_read,
                                         .close = directory_close,
                                         .release = local_release};
    struct local *local;
    int rc;

    if (!path || !out)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "backend",
                          "path or out is NULL");
    rc = local_new(env, &local, err);
    if (rc < 0)
        return rc;
    local->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (local->fd < 0) {
        int os_errno = errno;

        local_release(local);
        return rafsi_fail_os(err, os_errno == ENOTDIR ? RAFS_E_BADARG : RAFS_E_BACKEND,
                             RAFS_STAGE_OPEN, os_errno, path,
                             os_errno == ENOENT    ? "there is no such directory"
                             : os_errno == ENOTDIR ? "is not a directory"
                             : os_errno == EACCES  ? "permission denied"
                                                   : "the directory cannot be opened");
    }
    return publish(local, &ops, "directory", env, out, err);
}

/* Does the one blob answer to this id? */
static int single_open(void *user, const char *blob_id, void **blob,
                       const rafs_call *call, rafs_error *err)
{
    struct local *local = user;

    (void)call;
    if (local->only && strcmp(local->only, blob_id) != 0)
        return rafsi_fail(err, RAFS_E_NOENT, RAFS_STAGE_FETCH, NULL,
                          "this source has another blob: %s", local->only);
    *blob = local;
    return RAFS_OK;
}

static int single_size(void *user, void *blob, uint64_t *size, const rafs_call *call,
                       rafs_error *err)
{
    struct local *local = user;

    (void)blob;
    (void)call;
    (void)err;
    *size = local->size;
    return RAFS_OK;
}

static int single_read(void *user, void *blob, uint64_t offset, void *buf, size_t len,
                       size_t *nread, const rafs_call *call, rafs_error *err)
{
    struct local *local = user;

    (void)blob;
    (void)call;
    *nread = 0;
    if (offset >= local->size)
        return RAFS_OK;
    len = (size_t)rafsi_min(len, local->size - offset);
    if (local->fd >= 0)
        return rafsi_file_read(local->fd, local->offset + offset, buf, len, nread, err);
    if (len > 0)
        memcpy(buf, local->memory + offset, len);
    *nread = len;
    return RAFS_OK;
}

static const rafs_backend_ops single_ops = {.struct_size = sizeof(single_ops),
                                            .open = single_open,
                                            .size = single_size,
                                            .read = single_read,
                                            .release = local_release};

/* What the two kinds of single blobs have in common. */
static int single_new(const char *blob_id, const rafs_env *env, struct local **out,
                      rafs_error *err)
{
    struct local *local;
    int rc = local_new(env, &local, err);

    if (rc < 0)
        return rc;
    if (blob_id) {
        local->only = rafsi_strdup(&local->env, blob_id);
        if (!local->only) {
            local_release(local);
            return rafsi_fail_nomem(err, strlen(blob_id) + 1);
        }
    }
    *out = local;
    return RAFS_OK;
}

int rafs_backend_new_fd(const char *blob_id, int32_t fd, uint64_t offset, uint64_t size,
                        const rafs_env *env, rafs_backend **out, rafs_error *err)
{
    struct local *local;
    uint64_t whole;
    int rc;

    if (!out)
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "backend",
                          "out is NULL");
    rc = rafsi_file_size(fd, &whole, err);
    if (rc < 0)
        return rc;
    if (!rafsi_within(offset, size, whole))
        return rafsi_fail_at(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "backend", offset,
                             "the file ends at %llu", (unsigned long long)whole);
    rc = single_new(blob_id, env, &local, err);
    if (rc < 0)
        return rc;
    local->offset = offset;
    local->size = size ? size : whole - offset;
    rc = rafsi_file_dup(fd, &local->fd, err);
    if (rc < 0) {
        local_release(local);
        return rc;
    }
    return publish(local, &single_ops, "file", env, out, err);
}

int rafs_backend_new_memory(const char *blob_id, const void *data, size_t size,
                            const rafs_env *env, rafs_backend **out, rafs_error *err)
{
    struct local *local;
    int rc;

    if (!out || (!data && size > 0))
        return rafsi_fail(err, RAFS_E_BADARG, RAFS_STAGE_ARGUMENT, "backend",
                          "data or out is NULL");
    rc = single_new(blob_id, env, &local, err);
    if (rc < 0)
        return rc;
    local->memory = data;
    local->size = size;
    return publish(local, &single_ops, "memory", env, out, err);
}
